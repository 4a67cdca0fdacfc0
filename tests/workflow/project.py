"""A copy of the project in a folder of its own, and ways to run and to dry-run its workflow there."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PARTS = ("Snakefile", "config.yaml", "config", "workflow", "profiles", "envs", "src")
CI = ("--configfile", "config/ci.yaml")
TABLES = (
    "variance",
    "envelope",
    "c_star",
    "regimes",
    "intrinsic",
    "advice",
    "predictors",
    "policies",
    "policies_against",
)


@dataclass
class Project:
    folder: Path

    @property
    def env(self):
        scripts = str(Path(sys.executable).parent)
        return {
            **os.environ,
            "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(self.folder / "src"),
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def start(self, *args, **options):
        return subprocess.Popen(
            ["snakemake", *args],
            cwd=self.folder,
            env=self.env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )

    def run(self, *args, good=True):
        done = subprocess.run(
            ["snakemake", *args], cwd=self.folder, env=self.env, capture_output=True, text=True
        )
        if good:
            assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
        return done

    def plan(self, *args):
        """What a dry run would do: pairs of rule and the name of its log."""
        done = self.run("-n", "-p", *args)
        text = done.stdout + done.stderr
        jobs = set(re.findall(r"results/logs/(\w+)(?:/([\w.-]+))?\.log", text))
        if not jobs:
            assert "Nothing to be done" in text, text[-2000:]
        return jobs

    def unlock(self):
        """As `snakemake --unlock` does, where a killed workflow left its locks."""
        for lock in (self.folder / ".snakemake/locks").glob("*.lock"):
            lock.unlink()

    def tables(self, joined=True):
        """The bytes of every table; those joined from all tasks' must be there if `joined`."""
        results = self.folder / "results"
        files = [results / "tables" / f"{t}.csv" for t in TABLES if joined]
        files += sorted(results.glob("*/verdict.json")) + sorted(results.glob("*/*.csv"))
        files += sorted(results.glob("*/*.parquet"))
        return {str(f.relative_to(results)): f.read_bytes() for f in files}


def copy_prepared(finished, folder):
    """A finished project's copy with no more of its results than its `prepare` jobs made."""
    shutil.copytree(finished.folder, folder)
    results = folder / "results"
    kept = {*results.glob("*/static.parquet"), *results.glob("*/sources.json")}
    for part in ("config", "logs/prepare", "benchmarks/prepare"):
        kept |= set((results / part).rglob("*"))
    for path in [p for p in results.rglob("*") if p.is_file() and p not in kept]:
        path.unlink()
    for part in (folder / ".prehoc").iterdir():
        if part.name not in ("models", "encodings", "frozen"):
            shutil.rmtree(part)
    return Project(folder)


def copy_project(folder):
    folder.mkdir(parents=True, exist_ok=True)
    for part in PARTS:
        if (ROOT / part).is_dir():
            ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
            shutil.copytree(ROOT / part, folder / part, ignore=ignore)
        else:
            shutil.copyfile(ROOT / part, folder / part)
    return Project(folder)
