"""Snakemake itself killed while jobs run, two workflows at once, and preemption that cancels."""

import os
import signal
import subprocess

import pytest
from on_slurm import HERE, TINY, shards, twin, until

SHARD = "000000"
LOCKS = (HERE.parents[1] / "src/prehoc/training/lock.py").exists()


def test_snakemake_killed_while_jobs_run(work, cluster, undisturbed):
    """The jobs live on; the folder is unlocked, a re-run submits them again, and nothing is lost."""
    work.hold(f"{SHARD} stop")
    killed = work.slurm(*shards(0))
    first = work.job(SHARD)
    work.frozen(SHARD)
    before = work.checkpoints()
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert cluster.state_of(first) == "RUNNING"
    refused = work.slurm(*shards(0))
    assert refused.wait() != 0
    assert "Directory cannot be locked" in work.said()
    work.run("--unlock", *TINY)
    work.hold()
    again = work.slurm(*shards(0))
    second = work.job(SHARD)
    assert second != first
    until(lambda: cluster.state_of(second) != "PENDING", "the second job to start")
    assert cluster.state_of(first) == "RUNNING"
    work.release(SHARD)
    assert again.wait() == 0, work.said()[-3000:]
    until(lambda: cluster.state_of(first) in ("COMPLETED", "FAILED"), "the first job to end")
    if LOCKS:
        assert cluster.state_of(first) == "COMPLETED"
        assert work.kept(before), "a finished part was trained again"
    work.same_as(undisturbed)


def test_config_edited_while_a_job_waits(work, cluster, undisturbed):
    """The job trains what was submitted; the edited file is the next workflow's."""
    own = ("--set-resources", "train:slurm_extra='--hold'")
    process = work.slurm(*shards(0), *own)
    job = work.job(SHARD)
    config = work.folder / "tiny.yaml"
    before = config.read_text()
    config.write_text(before.replace("lr: 2.0", "lr: 0.5"))
    assert config.read_text() != before
    assert cluster.state_of(job) == "PENDING"
    cluster.say("scontrol", "release", job)
    assert process.wait() == 0, work.said()[-3000:]
    config.write_text(before)
    work.same_as(undisturbed)


def test_two_workflows_at_once(cluster, undisturbed, tmp_path):
    """In one folder the second is refused; in two folders with one store both end well."""
    one = twin(undisturbed, tmp_path / "one").without(SHARD)
    two = twin(undisturbed, tmp_path / "two").without(SHARD)
    share_store(one, two)
    one.hold(f"{SHARD} stop")
    first = one.slurm(*shards(0))
    one.frozen(SHARD)
    before = one.checkpoints()
    beside = one.slurm(*shards(0))
    assert beside.wait() != 0
    assert "Directory cannot be locked" in one.said()
    second = two.slurm(*shards(0), "--config", "device=cpu")
    job = two.job(SHARD)
    assert "gres:gpu" not in cluster.say("scontrol", "show", "job", job)  # a CPU's job asks for no GPU
    until(lambda: cluster.state_of(job) != "PENDING", "the second workflow's job to start")
    one.release(SHARD)
    assert (first.wait(), second.wait()) == (0, 0), two.said()[-3000:]
    if LOCKS:
        assert one.kept(before), "a finished part was trained again"
    for project in (one, two):
        project.same_as(undisturbed)


def share_store(one, two):
    """Make the second project's store the first one's."""
    subprocess.run(["rm", "-r", two.folder / ".prehoc"], check=True)
    (two.folder / ".prehoc").symlink_to(one.folder / ".prehoc")


def test_preempted_by_cancelling(work, cluster, undisturbed):
    """Snakemake waits for such a job for ever; `requeue-preempted` says so and brings it back."""
    work.hold(f"{SHARD} stop")
    cores = os.cpu_count() or 1
    own = ["train:slurm_partition=scavenge", f"train:cpus_per_task={min(cores + 1, 8)}"]
    process = work.slurm(*shards(0), "--set-resources", *own)
    job = work.job(SHARD)
    # profiles/default says `cores: all`, of this machine; what is asked of a node is not cut to that.
    assert cluster.field(job, "CPUs/Task") == str(min(cores + 1, 8))
    work.frozen(SHARD)
    work.hold()
    before = work.checkpoints()
    cluster.displace(job)
    until(lambda: cluster.state_of(job) == "PREEMPTED", "the job to be cancelled")
    until(lambda: "preemption  occured" in work.said(), "Snakemake to see it")
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=4)  # four questions later it waits still
    said = cluster.say(work.folder / "profiles/slurm/requeue-preempted", "--once")
    assert f"job {job} " in said
    assert "requeued" in said
    assert process.wait() == 0, work.said()[-3000:]
    assert cluster.state_of(job) == "COMPLETED"
    assert work.kept(before), "a finished part was trained again"
    assert cluster.say(work.folder / "profiles/slurm/requeue-preempted", "--once") == ""
    work.same_as(undisturbed)
