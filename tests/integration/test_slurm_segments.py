"""A shard whose depths are cut into segments: a chain of SLURM jobs, or one where they are joined by hand."""

import re

from on_slurm import TINY, twin

CUT = ("--config", "tasks={tiny: {shard: auto, runs: 16}}", "packing={job_minutes: 0.001}")
WHOLE = ("--config", "tasks={tiny: {shard: 16, runs: 16}}")
JOINED = ("--groups", "train_part=chain", "train=chain")


def runs(first):
    return f"results/tiny/shards/runs_{first:06d}-{first + 8:06d}.parquet"


def sent(project):
    return re.findall(r"SLURM jobid \d+ \(log: \S+/(?:rule|group)_(\w+)/", project.said())


def test_segments_apart_and_joined(prepared, cluster, tmp_path):
    project = twin(prepared, tmp_path / "cut")
    apart = project.slurm(runs(0), *CUT)
    assert apart.wait() == 0, project.said()[-3000:]
    assert sent(project) == ["train_part", "train_part", "train"]
    parts = sorted(path.name for path in (project.folder / "results/tiny/parts").iterdir())
    assert parts == [f"until_000000-000008_{depth:08d}.json" for depth in (64, 256)]
    joined = project.slurm(runs(8), *CUT, *JOINED)
    assert joined.wait() == 0, project.said()[-3000:]
    assert len(sent(project)) == 1  # they wait in the queue once, and each is a file of its own still
    assert len(list((project.folder / "results/tiny/parts").iterdir())) == 4
    done = project.checkpoints()
    project.run("results/tiny/verdict.json", *TINY, *CUT)
    whole = twin(prepared, tmp_path / "whole")
    whole.run("results/tiny/verdict.json", *TINY, *WHOLE)
    assert project.kept(done), "a finished part was trained again"
    ours, theirs = ({k: v for k, v in p.tables().items() if "/shards/" not in k} for p in (project, whole))
    assert ours == theirs
