"""`snakemake --profile slurm` from the root, undisturbed: the same tables as without SLURM."""

import re

from on_slurm import TINY, tiny_project

HALVES = ("--config", "tasks={tiny: {shard: 48}}")  # fewer jobs; a run's numbers do not depend on its shard


def test_a_whole_run_ends_in_the_same_tables(cluster, undisturbed, tmp_path):
    project = tiny_project(tmp_path / "project")
    done = project.slurm("tables", *HALVES)
    assert done.wait() == 0, project.said()[-3000:]
    said = project.said()
    sent = re.findall(r"SLURM jobid \d+ \(log: \S+/(?:rule|group)_([a-z]+)", said)
    assert sorted(sent) == ["prepare", "reduce", "train", "train"]  # the rest is made where snakemake runs
    for job in re.findall(r"SLURM jobid (\d+) \(log: \S+/rule_train", said):
        shown = cluster.say("scontrol", "show", "job", job)
        assert "TresPerJob=gres:gpu:1" in shown
        assert "MinMemoryNode=1000M" in shown
        assert "TimeLimit=00:04:00" in shown
        assert "Requeue=1" in shown
    ours = {k: v for k, v in project.tables().items() if "/shards/" not in k}
    theirs = {k: v for k, v in undisturbed.tables().items() if "/shards/" not in k}
    assert ours == theirs
    again = project.run("tables", *TINY, *HALVES, "-n")
    assert "Nothing to be done" in again.stdout + again.stderr
