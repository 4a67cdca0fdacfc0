"""Killed at any moment and started again, the workflow ends in the undisturbed run's tables."""

import os
import signal
import time
from pathlib import Path

import pytest
from project import CI, copy_prepared

pytestmark = pytest.mark.slow

WHOLE = ("all", *CI)
# What training and a task's own reductions make; the rest is joined from it by short local jobs, and one
# test does that too.
TRAINED = ("tiny_head", "tiny_noise", "tiny_modular", "tiny_crossed")
OWN = (*(f"results/{t}/verdict.json" for t in TRAINED[:3]), "results/tiny_crossed/sources.csv", *CI)
LATER = {
    f"{t}.csv" for t in ("predictors", "own_depth", "policies", "policies_against", "gap", "gap_needed")
}


def wait_for(condition, process):
    """Poll until `condition()`; fail if the workflow ends before (there is no deadline to be late for)."""
    while not condition():
        if process.poll() is not None:
            assert condition(), process.stderr.read()[-2000:]
            return
        time.sleep(0.02)


def checkpoints(project, least):
    return lambda: len(list((project.folder / ".prehoc/checkpoints").glob("*/*/*/*.safetensors"))) >= least


def training_jobs(project):
    """Process numbers of this project's `prehoc train` and `prehoc fork` commands."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
                here = (entry / "cwd").resolve() == project.folder.resolve()
            except OSError:
                continue
            if here and (b"train" in words or b"fork" in words) and b"snakemake" not in words[1]:
                found.append(int(entry.name))
    return found


def logs(project):
    """What the training jobs' logs say."""
    return "".join(p.read_text() for p in project.folder.glob("results/logs/train/*.log"))


def settle(project):
    """Wait until no job of a killed workflow is left."""
    while training_jobs(project):
        time.sleep(0.05)


def own(tables):
    """Those that OWN makes."""
    later = {*LATER, "held_out.parquet"}
    parts = {name: name.split("/") for name in tables}
    return {n: tables[n] for n, (task, table) in parts.items() if task in TRAINED and table not in later}


def assert_same(project, finished, asked):
    """The tables of the undisturbed run, byte for byte: all of them, or those of the tasks' own."""
    ours, theirs = project.tables(asked == WHOLE), finished.tables()
    if asked == OWN:
        ours, theirs = (own(tables) for tables in (ours, theirs))
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if ours[name] != theirs[name]] == []


def reduced(project):
    return lambda: any(project.folder.glob("results/*/variance.csv"))


@pytest.mark.parametrize(
    ("name", "least", "asked"),
    [("SIGINT", (3, 30), OWN), ("SIGTERM", (1, 20), OWN), ("SIGKILL", (5, 25), WHOLE)],
    ids=["SIGINT", "SIGTERM", "SIGKILL"],
)
def test_workflow_killed_while_it_trains_and_while_it_reduces(finished, tmp_path, name, least, asked):
    project = copy_prepared(finished, tmp_path / "project")
    for moment in [*(checkpoints(project, n) for n in least), reduced(project)]:
        process = project.start(*asked, "--quiet", "all", start_new_session=True)
        wait_for(moment, process)
        assert process.poll() is None, "the workflow ended before it could be killed"
        os.kill(process.pid, getattr(signal, name))
        process.wait()
        settle(project)
        project.unlock()
    project.run(*asked)
    assert_same(project, finished, asked)


def test_training_job_killed(finished, tmp_path):
    project = copy_prepared(finished, tmp_path / "project")
    process = project.start(*OWN, "--quiet", "host", "reason")
    wait_for(lambda: checkpoints(project, 4)() and training_jobs(project), process)
    for number in training_jobs(project):
        os.kill(number, signal.SIGKILL)
    assert process.wait() != 0
    assert "Error in rule train" in process.stderr.read()
    project.run(*OWN)
    assert_same(project, finished, OWN)


def test_started_again_while_jobs_of_a_killed_workflow_live_on(finished, tmp_path):
    """The second writer of a shard waits for the first, and goes on from what it left."""
    project = copy_prepared(finished, tmp_path / "project")
    process = project.start(*OWN, "--quiet", "all", start_new_session=True)
    wait_for(lambda: checkpoints(project, 4)() and training_jobs(project), process)
    lived_on = training_jobs(project)
    for number in lived_on:  # they stand still, so that the second workflow meets them for certain
        os.kill(number, signal.SIGSTOP)
    locked = list(project.folder.glob(".prehoc/checkpoints/*/*/locks/*.lock"))
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    project.run("--unlock", *CI)
    again = project.start(*OWN, "--quiet", "host")
    if locked:
        wait_for(lambda: "waiting for" in logs(project), again)
    for number in lived_on:
        os.kill(number, signal.SIGCONT)
    said = again.communicate()[1]
    assert again.returncode == 0, said[-3000:]
    settle(project)
    assert_same(project, finished, OWN)


def test_truncated_store_files_are_made_again(finished, tmp_path):
    """A half-written checkpoint or encoding, as after a full disk, is never taken for a whole one."""
    project = copy_prepared(finished, tmp_path / "project")
    process = project.start(*OWN, "--quiet", "all")
    wait_for(checkpoints(project, 12), process)
    process.send_signal(signal.SIGTERM)
    process.wait()
    settle(project)
    for path in (project.folder / ".prehoc").rglob("*.safetensors"):
        if "models" not in path.parts:
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    project.run(*OWN)
    assert_same(project, finished, OWN)
