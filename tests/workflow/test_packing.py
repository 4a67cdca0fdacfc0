"""Another packing is other jobs, and the same numbers from the same checkpoints."""

import re

import pandas as pd
import pytest
import yaml
from project import CI, ROOT, copy_project

from prehoc import tables
from prehoc.config import load_laid
from prehoc.plan.cost import cost

# 16 runs in banks of eight; a bank takes 8 x 64 x 0.1 ms: with a target of half of that it goes in two parts.
ONE = """
only: [tiny_modular]
tasks:
  tiny_modular: {runs: 16, shard: 16, forks: {depths: [4, 16, 32], trunks: 8, per_trunk: 2}, resources: {step_ms: 0.1}}
"""
AUTO = "packing: {job_minutes: 0.0005}\ntasks: {tiny_modular: {shard: auto}}\n"


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    made = copy_project(tmp_path_factory.mktemp("packing") / "project")
    (made.folder / "one.yaml").write_text(ONE)
    (made.folder / "auto.yaml").write_text(AUTO)
    return made


def counted(project, *args):
    """Jobs by rule of a dry run."""
    done = project.run("-n", *args, "--quiet", "rules")
    return {
        rule: int(count) for rule, count in re.findall(r"^(\w+)\s+(\d+)$", done.stdout + done.stderr, re.M)
    }


@pytest.mark.parametrize("files", [["one.yaml"], ["one.yaml", "auto.yaml"]])
def test_a_plan_has_the_jobs_that_snakemake_plans(project, files):
    laid = ["config/ci.yaml", *files]
    planned = counted(project, "tables", "--configfile", *laid)
    config = load_laid([project.folder / name for name in laid], project.folder / "config.yaml", {})
    jobs = cost(config).jobs()
    assert {rule: planned.get(rule) for rule in jobs} == jobs
    assert ("train_part" in jobs) == (len(files) == 2)


def test_each_part_waits_for_the_one_before(project):
    """At a target of next to nothing each depth is a job: a chain that ends in the shard's table."""
    auto = (*CI, "one.yaml", "auto.yaml", "--config", "packing={job_minutes: 0.00001}")
    jobs = project.plan("results/tiny_modular/shards/runs_000000-000008.parquet", *auto)
    parts = {f"tiny_modular_000000-000008_{d:08d}" for d in (1, 2, 4, 8, 16, 32)}
    assert jobs == {("train_part", name) for name in parts} | {
        ("train", "tiny_modular_000000-000008"),
        ("prepare", "tiny_modular"),
    }
    first = project.plan("results/tiny_modular/parts/until_000000-000008_00000002.json", *auto)
    assert {name[-8:] for rule, name in first if rule == "train_part"} == {"00000001", "00000002"}


def test_the_default_config_keeps_its_numbers():
    raw = yaml.safe_load((ROOT / "config.yaml").read_text())
    blocks = [*raw["defaults"].values(), *raw["tasks"].values()]
    assert all(block.get("shard", 1) != "auto" for block in blocks)


@pytest.mark.slow
def test_another_packing_trains_no_run_again_and_changes_no_number(project):
    whole, auto = (*CI, "one.yaml"), (*CI, "one.yaml", "auto.yaml")
    cut = [project.folder / f"results/tiny_modular/shards/runs_{a:06d}-{a + 8:06d}.parquet" for a in (0, 8)]
    one = project.folder / "results/tiny_modular/shards/runs_000000-000016.parquet"
    targets = [str(path.relative_to(project.folder)) for path in cut]

    def checkpoints():
        kept = sorted(project.folder.glob(".prehoc/checkpoints/*/*/*/*.safetensors"))
        return {path: path.stat().st_mtime_ns for path in kept}

    project.run(*targets, *auto)
    before = checkpoints()
    assert len(before) == 2 * 7
    assert project.plan(*targets, *auto) == set()
    made = pd.concat([pd.read_parquet(path) for path in cut], ignore_index=True)
    cut[0].unlink()  # the parts that are done are not done again
    assert project.plan(*targets, *auto) == {("train", "tiny_modular_000000-000008")}
    project.run(str(one.relative_to(project.folder)), *whole)
    assert checkpoints() == before
    pd.testing.assert_frame_equal(
        tables.in_order("runs", pd.read_parquet(one)), tables.in_order("runs", made), check_exact=True
    )


@pytest.mark.slow
def test_forks_outlive_another_cut_of_the_shards(project):
    """Their trunks' numbers are the same, so other shards fork nothing again."""
    whole = (*CI, "one.yaml")
    project.run("tables", *whole)
    forks = {path: path.read_bytes() for path in project.folder.glob("results/tiny_modular/forks/depths_*")}
    assert forks
    cut = (*whole, "--config", "tasks={tiny_modular: {shard: 8}}")
    again = project.plan("tables", *cut)
    assert ("train", "tiny_modular_000000-000008") in again
    project.run("tables", *cut)
    logs = [path.read_text() for path in project.folder.glob("results/logs/fork/tiny_modular_*.log")]
    assert logs
    assert all("are in the store" in log and "forks from depth 4," not in log for log in logs)
    assert {path: path.read_bytes() for path in forks} == forks
