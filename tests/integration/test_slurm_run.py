"""`snakemake --profile slurm` from the root, undisturbed: the same tables as without SLURM."""

import re

from on_slurm import TINY, tiny_project


def test_a_whole_run_ends_in_the_same_tables(cluster, undisturbed, tmp_path):
    project = tiny_project(tmp_path / "project")
    done = project.slurm("tables", "--config", "tasks={tiny: {runs: 32}}", quick=False)
    assert done.wait() == 0, project.said()[-3000:]
    said = project.said()
    sent = re.findall(r"SLURM jobid \d+ \(log: \S+/(?:rule|group)_(\w+?)/", said)
    assert sorted(s.split("_")[0] for s in sent) == ["prepare", "reduce", "reduce", "train", "train"]
    for job in re.findall(r"SLURM jobid (\d+) \(log: \S+/rule_train", said):
        shown = cluster.say("scontrol", "show", "job", job)
        assert re.search(r"TRES_per_job=gres:gpu:1|TresPerJob=gres:gpu:1", shown, re.I), shown
        assert "MinMemoryNode=1000M" in shown
        assert "Requeue=1" in shown
    alone = undisturbed.folder / "results/tiny/shards"
    for path in (project.folder / "results/tiny/shards").glob("*.parquet"):
        assert path.read_bytes() == (alone / path.name).read_bytes()
    project.run("tables", *TINY, "--config", "tasks={tiny: {runs: 96}}")  # the rest, on this machine
    assert project.tables() == undisturbed.tables()
    assert "Nothing to be done" in project.run("tables", *TINY, "-n").stderr
