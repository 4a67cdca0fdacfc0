"""One workflow, six training jobs, each with a fault of its own.  Then the tables are an undisturbed run's.

Every job is held at its third checkpoint (hooks/sitecustomize.py) until its test disturbs it there.
"""

import re
import time
from datetime import datetime, timedelta

import pytest
from on_slurm import shards, twin, until

CANCELLED, TIMED_OUT, HUNGRY, CRASHED, PREEMPTED, PATIENT = (f"{first:06d}" for first in range(0, 96, 16))
HELD = (CANCELLED, TIMED_OUT, CRASHED, PREEMPTED, PATIENT)


class Disturbed:
    """The workflow, and what was done to it."""

    def __init__(self, work, cluster):
        self.work, self.cluster = work, cluster
        work.hold(*(f"{shard} stop" for shard in HELD), f"{HUNGRY} hog 1600")
        self.process = work.slurm(*shards(*range(0, 96, 16)))
        self.before = {}

    def held(self, shard):
        """The job of a shard that has frozen itself, which is held no more when it comes back."""
        job = self.work.job(shard)
        self.work.frozen(shard)
        orders = (self.work.folder / "hold").read_text().splitlines()
        self.work.hold(*(order for order in orders if not order.startswith(shard)))
        self.before |= self.work.checkpoints()
        return job

    def done(self, shard):
        name = shards(int(shard))[0]
        until(
            (self.work.folder / name).exists,
            lambda: f"shard {shard} to end\n{self.work.said()[-4000:]}",
        )

    def failed(self, job):
        """What Snakemake said of a job's end."""
        found = until(
            lambda: re.search(rf"SLURM-job '{job}' failed, SLURM status is: '(\w+)'", self.work.said()),
            lambda: f"word of job {job}\n{self.work.said()[-4000:]}",
        )
        return found[1]


@pytest.fixture(scope="module")
def disturbed(cluster, prepared, alone, tmp_path_factory):
    made = Disturbed(twin(prepared, tmp_path_factory.mktemp("disturbed") / "project"), cluster)
    yield made
    if made.process.poll() is None:
        for shard in HELD:
            made.work.release(shard)
        made.process.kill()
        cluster.say("scancel", "--user=root")


@pytest.fixture(scope="module")
def slow(disturbed, cluster):
    """The two faults that SLURM takes half a minute to see, begun before the others: their jobs."""
    limited, crashed = disturbed.held(TIMED_OUT), disturbed.held(CRASHED)
    soon = (datetime.now() + timedelta(seconds=1)).strftime("%Y-%m-%dT%H:%M:%S")
    cluster.say("scontrol", "update", f"JobId={limited}", f"EndTime={soon}")
    node = cluster.field(crashed, "NodeList")
    cluster.crash_node(node)
    return limited, crashed, node


def test_scancel(disturbed, slow, cluster):
    job = disturbed.held(CANCELLED)
    cluster.say("scancel", job)
    assert disturbed.failed(job) == "CANCELLED"
    again = disturbed.work.job(CANCELLED, 2)
    assert again != job
    disturbed.done(CANCELLED)


def test_memory(disturbed, cluster):
    """Killed above its memory; the next attempt asks for as much more, and ends well."""
    job = disturbed.work.job(HUNGRY)
    assert disturbed.failed(job) in ("FAILED", "OUT_OF_MEMORY")
    again = disturbed.work.job(HUNGRY, 2)
    asked = [cluster.field(j, "MinMemoryNode") for j in (job, again)]
    assert asked == ["1500M", "3000M"]
    assert [cluster.field(j, "TimeLimit") for j in (job, again)] == ["00:04:00", "00:08:00"]
    disturbed.done(HUNGRY)
    assert len(disturbed.work.jobs(HUNGRY)) == 2


def test_preempted_and_requeued(disturbed, cluster):
    """The same job comes back to the queue; Snakemake waits for it and uses no retry."""
    job = disturbed.held(PREEMPTED)
    cluster.displace(job)
    until(lambda: cluster.field(job, "Restarts") == "1", "the job to be requeued")
    disturbed.done(PREEMPTED)
    assert disturbed.work.jobs(PREEMPTED) == [job]


def test_controller_restarted(disturbed, cluster):
    """slurmctld is killed and comes back: jobs go on, and so does Snakemake."""
    job = disturbed.held(PATIENT)
    cluster.kill("slurmctld")
    time.sleep(3)  # three questions without an answer
    disturbed.work.release(PATIENT)
    cluster.start("slurmctld")
    disturbed.done(PATIENT)
    assert disturbed.work.jobs(PATIENT) == [job]
    assert disturbed.process.poll() in (None, 0)


def test_time_limit(disturbed, slow):
    job = slow[0]
    assert disturbed.failed(job) == "TIMEOUT"
    disturbed.work.job(TIMED_OUT, 2)
    disturbed.done(TIMED_OUT)


def test_node_down(disturbed, slow, cluster):
    """The node is found dead, and its job starts on another; no retry is used."""
    _, job, node = slow
    until(
        lambda: "DOWN" in cluster.say("sinfo", "-h", "-n", node, "-o", "%T").upper(), f"{node} to be down"
    )
    until(lambda: cluster.field(job, "Restarts") == "1", "the job to be requeued")
    disturbed.done(CRASHED)
    cluster.start("slurmd", "-N", node)
    assert disturbed.work.jobs(CRASHED) == [job]
    assert cluster.field(job, "NodeList") != node


def test_after_all_this_the_tables_are_the_same(disturbed, undisturbed):
    for shard in HELD:
        disturbed.work.release(shard)
    assert disturbed.process.wait() == 0, disturbed.work.said()[-4000:]
    assert disturbed.work.kept(disturbed.before), "a finished part was trained again"
    disturbed.work.same_as(undisturbed, "tables")
