"""`snakemake --profile slurm` from the root, undisturbed: the same tables as without SLURM."""

import re

from on_slurm import TINY, tiny_project

HALVES = ("--config", "tasks={tiny: {shard: 48}}")  # fewer jobs; a run's numbers do not depend on its shard


def edit_site(profile):
    """Take the comment signs off some lines of the profile's first block, as a user does."""
    text = profile.read_text()
    for line in ("slurm_partition: gpu", "constraint: a100|h100", "slurm_extra: --mail-type=FAIL"):
        assert text.count(f"  # {line}") == 1
        text = text.replace(f"  # {line}", f"  {line}")
    profile.write_text(text)


def test_a_whole_run_ends_in_the_same_tables(cluster, undisturbed, tmp_path):
    project = tiny_project(tmp_path / "project")
    edit_site(project.folder / "profiles/slurm/config.yaml")
    done = project.slurm("tables", *HALVES)
    assert done.wait() == 0, project.said()[-3000:]
    said = project.said()
    sent = re.findall(r"SLURM jobid \d+ \(log: \S+/(?:rule|group)_([a-z]+)", said)
    assert sorted(sent) == ["prepare", "reduce", "train", "train"]  # the rest is made where snakemake runs
    for job in re.findall(r"SLURM jobid (\d+) \(log: \S+/rule_train", said):
        shown = cluster.say("scontrol", "show", "job", job)
        assert "TresPerJob=gres:gpu:1" in shown
        assert "MinMemoryNode=1500M" in shown
        assert "TimeLimit=00:04:00" in shown
        assert "Requeue=1" in shown
        assert "Partition=gpu" in shown
        assert "Features=a100|h100" in shown
    ours = {k: v for k, v in project.tables().items() if "/shards/" not in k}
    theirs = {k: v for k, v in undisturbed.tables().items() if "/shards/" not in k}
    assert ours == theirs
    again = project.run("tables", *TINY, *HALVES, "-n")
    assert "Nothing to be done" in again.stdout + again.stderr
