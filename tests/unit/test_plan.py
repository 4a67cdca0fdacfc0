"""`prehoc plan`: arithmetic that is known, budgets that close, what is measured and what estimated."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from prehoc import cli, tables
from prehoc.config import digest, resolve, stage_config
from prehoc.config.loading import merge
from prehoc.errors import InputError
from prehoc.plan import pilot, prospects
from prehoc.plan.budget import relative_error, runs_for, with_runs
from prehoc.plan.cost import cost
from prehoc.plan.pilot import Measured
from prehoc.plan.sizes import checkpoint_bytes
from prehoc.training import loop, problems

ROOT = Path(__file__).parents[2]
RAW = yaml.safe_load((ROOT / "config.yaml").read_text())
KNOWN = {  # a step of 36 ms: 100,000 steps an hour
    "runs": 100,
    "shard": 20,
    "bank": 10,
    "depths": [10, 50],
    "horizon": 100,
    "forks": {"depths": [10, 50], "trunks": 10, "per_trunk": 2},
    "resources": {"step_ms": 36.0},
}


def known(start=36.0, minutes=60.0, **changes):
    over = {"packing": {"job_minutes": minutes, "start_seconds": start}, "only": ["movie_polarity"]}
    return resolve(merge(merge(RAW, over), {"tasks": {"movie_polarity": KNOWN | changes}}))


def test_known_steps_are_known_hours():
    """100 runs of 100 steps, 20 forks of 90 and 50: 12,800 steps; 5 + 2 + 1 jobs of 0.01 h to begin."""
    (task,) = cost(known()).tasks
    assert task.jobs == {"prepare": 1, "train": 5, "fork": 2, "collect": 1, "risk": 1, "decide": 1}
    assert (task.train_steps, task.fork_steps) == (10_000, 2_800)
    assert task.train_hours == pytest.approx(0.1)
    assert task.fork_hours == pytest.approx(0.028)
    assert task.start_hours == pytest.approx(0.08)
    # prepare, a shard of 2,000 steps, the longer fork job of 1,800: 3 starts and 3,800 steps
    assert task.longest_hours == pytest.approx(0.03 + 0.038)
    assert (task.unit, task.times_from, task.bytes_from) == ("GPU", "resources.step_ms", "estimated")
    assert task.checkpoint_bytes == pytest.approx(
        100 * 3 * checkpoint_bytes(known().tasks["movie_polarity"])
    )


def test_wall_time_is_shared_work_or_the_longest_chain():
    whole = cost(known()).wall_hours
    assert whole == pytest.approx(0.208)
    assert cost(known(), at_once=2).wall_hours == pytest.approx(0.104)
    assert cost(known(), at_once=1000).wall_hours == pytest.approx(0.068)


def test_parts_of_depths_are_jobs():
    """A bank of ten takes 0.6 minutes; at 0.3 a job it goes in two parts, and fork depths lie apart."""
    (task,) = cost(known(minutes=0.3, shard="auto")).tasks
    assert task.jobs["train"] == task.jobs["train_part"] == 10
    assert task.jobs["fork"] == 2
    assert task.longest_hours == pytest.approx(4 * 0.01 + 0.01 + 0.018)


def test_units_follow_what_jobs_ask_for():
    assert cost(known()).units == ["GPU"]
    assert cost(resolve(known().model_dump(mode="json") | {"device": "cpu"})).units == ["core"]
    assert cost(known(resources={"step_ms": 36.0, "gpu": 0})).units == ["core"]


def test_estimates_of_checkpoints_are_near_the_measured_ones():
    """docs/training.md: 1.5 MB a run for the encoders, over nine depths."""
    assert 9 * checkpoint_bytes(resolve(RAW).tasks["movie_polarity"]) == pytest.approx(1.5e6, rel=0.1)


@settings(max_examples=60, deadline=None)
@given(
    runs=st.integers(5, 400),
    more=st.integers(1, 100),
    shard=st.one_of(st.just("auto"), st.integers(1, 60)),
    minutes=st.floats(0.01, 20),
)
def test_more_runs_never_cost_less(runs, more, shard, minutes):
    base = known(minutes=minutes, shard=shard)
    few, many = (cost(with_runs(base, n), at_once=7) for n in (runs, runs + more))
    assert few.hours("GPU") <= many.hours("GPU")
    assert few.bytes <= many.bytes
    assert few.tasks[0].train_steps < many.tasks[0].train_steps


@settings(max_examples=40, deadline=None)
@given(
    budget=st.floats(0.01, 5),
    shard=st.one_of(st.just("auto"), st.integers(1, 60)),
    minutes=st.floats(0.05, 20),
)
def test_a_budget_holds_n_and_not_one_more(budget, shard, minutes):
    config = known(minutes=minutes, shard=shard)
    fits = runs_for(config, budget, "GPU")
    least = cost(with_runs(config, 5)).hours("GPU")
    assert (fits is None) == (least > budget)
    assume(fits is not None)
    runs, then = fits
    assert then.hours("GPU") == cost(with_runs(config, runs)).hours("GPU") <= budget
    assert cost(with_runs(config, runs + 1)).hours("GPU") > budget


def test_crossed_tasks_take_whole_blocks_of_a_budget():
    raw = merge(RAW, {"only": ["movie_polarity_sources"], "device": "cpu"})
    config = resolve(raw)
    runs, then = runs_for(config, 1.0, "core")
    assert then.tasks[0].runs % 16 == 0
    assert then.hours("core") <= 1.0 < cost(with_runs(config, runs + 1)).hours("core")


def test_a_unit_that_no_task_has_is_named():
    with pytest.raises(InputError, match="gpu-hours; give that unit"):
        runs_for(known(), 1.0, "core")


def test_the_error_of_a_variance():
    """sqrt(2/(N - 1)) is the sd of a Gaussian sample's variance: 20,000 of them, to 3 %."""
    drawn = np.random.default_rng(7).normal(size=(20_000, 30)).var(axis=1, ddof=1)
    assert relative_error(30) == pytest.approx(drawn.std(), rel=0.03)


# ---------------------------------------------------------------- pilots
@pytest.fixture
def trained(tmp_path, monkeypatch, one_thread):
    """A folder with the files of a finished pilot of tiny_modular: 16 runs, checkpoints, benchmark files."""
    monkeypatch.chdir(tmp_path)
    raw = merge(yaml.safe_load((ROOT / "config/ci.yaml").read_text()), {"only": ["tiny_modular"]})
    config = resolve(merge(RAW, raw))
    for stage in ("train", "fork"):
        payload = stage_config(config, "tiny_modular", stage)
        tables.write_json(payload, f"results/config/tiny_modular/{stage}-{digest(payload)}.json")
    stage = stage_config(config, "tiny_modular", "train")
    loop.train(stage, problems.build(stage), range(16), lambda line: None)
    at = 1_000_000_000.0  # each bank reaches each depth at 0.25 s a run and step
    for folder in Path(".prehoc/checkpoints/tiny_modular").glob("*/seeds_*"):
        for path in folder.glob("*.safetensors"):
            depth = int(path.stem.removeprefix("depth_"))
            os.utime(path, (at, at + 8 * 0.25 * depth))
    bench = Path("results/benchmarks/train/tiny_modular_000000-000016.tsv")
    bench.parent.mkdir(parents=True)
    bench.write_text(f"s\th:m:s\n{16 * 64 * 0.25 + 9}\t0\n")
    return config


def test_a_pilots_checkpoints_are_what_is_measured(trained):
    found = pilot.read(Path("results"), trained, ["tiny_modular"])["tiny_modular"]
    assert (found.runs, found.step_from, found.notes) == (16, "checkpoints", [])
    assert found.step_ms == pytest.approx(250)
    assert found.start_seconds == pytest.approx(9)
    sizes = [p.stat().st_size for p in Path(".prehoc").glob("checkpoints/*/*/*/*.safetensors")]
    assert found.checkpoint_bytes == pytest.approx(np.mean(sizes) / 8)
    (task,) = cost(trained, {"tiny_modular": found}).tasks
    assert task.train_hours == pytest.approx(32 * 64 * 0.25 / 3600)
    assert task.start_hours == pytest.approx(3 * 9 / 3600)
    assert task.times_from == "measured (16 runs: checkpoints)"
    assert task.bytes_from == "checkpoints measured, the rest estimated"


def test_without_checkpoints_benchmark_files_are(trained):
    Path(".prehoc").rename("gone")
    Path("results/benchmarks/train/tiny_modular_000016-000032.tsv").write_text("no benchmark file")
    found = pilot.read(Path("results"), trained, ["tiny_modular"])["tiny_modular"]
    assert found.step_ms == pytest.approx(250 + 9 / (16 * 64) * 1000)
    assert (found.runs, found.start_seconds) == (16, 0.0)
    assert found.step_from == "benchmark files, starts in them"
    assert found.checkpoint_bytes is None


def test_other_settings_are_not_measured_and_a_note_says_so(trained):
    change = {"tasks": {"tiny_modular": {"optimiser": {"batch_size": 64}}}}
    other = resolve(merge(trained.model_dump(mode="json"), change))
    found = pilot.read(Path("results"), other, ["tiny_modular"])["tiny_modular"]
    assert (found.step_ms, found.runs, found.checkpoint_bytes) == (None, 0, None)
    assert "estimated" in found.notes[0]
    assert cost(other, {"tiny_modular": found}).tasks[0].times_from == "estimated"


def test_times_of_another_device_are_not_used(trained):
    tables.write_json({"device": "cuda"}, "results/tiny_modular/shards/engine_000000-000016.json")
    on_cpu = resolve(trained.model_dump(mode="json") | {"device": "cpu"})
    found = pilot.read(Path("results"), on_cpu, ["tiny_modular"])["tiny_modular"]
    assert found.step_ms is None
    assert "ran on cuda" in found.notes[0]
    assert pilot.read(Path("results"), trained, ["tiny_modular"])["tiny_modular"].device == "cuda"


def test_a_broken_checkpoint_is_noted_and_not_counted(trained):
    path = next(Path(".prehoc").glob("checkpoints/*/*/*/depth_00000064.safetensors"))
    path.write_bytes(path.read_bytes()[:100])
    found = pilot.read(Path("results"), trained, ["tiny_modular"])["tiny_modular"]
    assert path.name in found.notes[0]
    assert found.step_ms == pytest.approx(250)


def test_no_pilot_is_one_line():
    with pytest.raises(InputError, match="no results of a pilot"):
        pilot.read(Path("nowhere"), known(), ["movie_polarity"])


@pytest.fixture
def decided(tmp_path, monkeypatch):
    """A pilot of a synthetic task of 50 runs, in which c* = 4 at price .2 is repaid by 100 runs."""
    monkeypatch.chdir(tmp_path)
    forks = {"depths": [1], "trunks": 10, "per_trunk": 2}
    tiny = {"runs": 50, "depths": [1, 4, 8], "horizon": 16, "forks": forks}
    config = resolve(merge(RAW, {"only": ["synthetic_dynamic"], "tasks": {"synthetic_dynamic": tiny}}))
    name = "synthetic_dynamic"
    stage = stage_config(config, name, "simulate")
    tables.write_json(stage, f"results/config/{name}/simulate-{digest(stage)}.json")
    CliRunner().invoke(
        cli.app,
        ["simulate", "--config", f"results/config/{name}/simulate-{digest(stage)}.json"]
        + [x for k in ("runs", "forks", "draws", "truth", "static") for x in (f"--{k}", f"results/{name}/{k}.parquet")],
    )  # fmt: skip
    about = {"task": name, "proxy": "residual", "information": "last"}
    made = {
        "variance": {"depth": 1, "n": 50, "metric": "value"},
        "envelope": {"model": "power", "alpha": 0.5, "alpha_low": 0.3, "alpha_high": 0.8, "horizon": 16,
                     "identified": True, "depths": 4, "note": ""},
        "c_star": {"rule": "guarded", "price": 0.2, "c_star": 4.0, "corner": "interior",
                   "break_even_runs": 100.0, "recommended": True},
    }  # fmt: skip
    for table, row in made.items():
        frame = pd.DataFrame([about | row]).reindex(columns=list(tables.SCHEMAS[table].columns))
        tables.write(table, frame, f"results/tables/{table}.csv")
    return config


def test_what_a_pilot_says_of_c_star_and_alpha_scales_to_the_plan(decided):
    """Four times the runs: alpha's interval halves; break-even grows with the calibration's steps."""
    (one,), notes = prospects.read(Path("results"), with_runs(decided, 200), ["synthetic_dynamic"])
    assert notes == []
    assert one.pilot_steps == 50 * 16 + 10 * 2 * 15
    assert one.planned_steps == 200 * 16 + 10 * 2 * 15
    assert (one.n, one.planned, one.c_star, one.price) == (50, 200, 4.0, 0.2)
    assert one.width_then == pytest.approx(0.25)
    assert one.break_even == pytest.approx(100 * 3500 / 1100)


def test_decisions_of_other_settings_or_none_are_noted(decided):
    deeper = resolve(
        merge(decided.model_dump(mode="json"), {"tasks": {"synthetic_dynamic": {"horizon": 32}}})
    )
    seen, notes = prospects.read(Path("results"), deeper, ["synthetic_dynamic"])
    assert seen == []
    assert "other settings" in notes[0]
    Path("results/tables/c_star.csv").unlink()
    seen, notes = prospects.read(Path("results"), decided, ["synthetic_dynamic"])
    assert seen == []
    assert "no decisions yet" in notes[0]


# ---------------------------------------------------------------- the command
def run(*args):
    return CliRunner().invoke(cli.app, ["plan", *map(str, args)])


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("config.yaml").write_text((ROOT / "config.yaml").read_text())
    return tmp_path


def test_the_default_config_has_a_plan(here):
    done = run("--json", "plan.json", "--at-once", 2, "--budget", 2)
    assert done.exit_code == 0, done.output
    said = json.loads(Path("plan.json").read_text())
    assert [task["task"] for task in said["tasks"]] == resolve(RAW).enabled()
    assert said["total"]["jobs"]["train"] == sum(task["jobs"].get("train", 0) for task in said["tasks"])
    assert said["budget"]["spent"] <= 2
    for word in ("movie_polarity", "GPU-hours", "estimated", "budget: 2 GPU-hours hold N ="):
        assert word in done.output


def test_the_plan_needs_neither_torch_nor_snakemake(here):
    code = (
        "import sys; from prehoc.cli import main; sys.argv = ['prehoc', 'plan', '--config', 'seeds=32']\n"
        "try: main()\nfinally: print({'torch', 'snakemake'} & set(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.strip() == "set()", done.stderr
    assert "movie_polarity  " in done.stdout


def test_measured_steps_are_written_as_a_config_that_is_then_used(trained):
    Path("config.yaml").write_text((ROOT / "config.yaml").read_text())
    Path("ci.yaml").write_text((ROOT / "config/ci.yaml").read_text())
    asked = ("ci.yaml", "--config", "only=[tiny_modular]", "--config", "device=cpu")
    done = run(*asked, "--pilot", "results", "--write-resources", "pace.yaml", "--budget", 1)
    assert done.exit_code == 0, done.output
    assert yaml.safe_load(Path("pace.yaml").read_text()) == {
        "tasks": {"tiny_modular": {"resources": {"step_ms": 250.0}}}
    }
    config = merge(
        merge(RAW, yaml.safe_load(Path("ci.yaml").read_text())),
        yaml.safe_load(Path("pace.yaml").read_text()),
    )
    assert resolve(config).tasks["tiny_modular"].resources.step_ms == 250
    again = run(asked[0], "pace.yaml", *asked[1:])
    assert "resources.step_ms" in again.output


@pytest.mark.parametrize(
    ("args", "named"),
    [
        (["absent.yaml"], "absent.yaml: no such config file"),
        (["--config", "seeds=3"], "seeds"),
        (["--config", "seeds"], "write KEY=VALUE"),
        (["--config", "packing={job_minutes: 0}"], "packing.job_minutes"),
        (["--pilot", "nowhere"], "nowhere: no results of a pilot"),
        (["--budget", "-1"], "--budget -1"),
        (["--budget", "1", "--unit", "euros"], "gpu-hours or core-hours"),
        (["--unit", "gpu-hours"], "--budget with it"),
        (["--budget", "1", "--unit", "core-hours"], "give that unit"),
        (["--write-resources", "x.yaml"], "--pilot"),
    ],
)
def test_broken_input_is_one_line(here, args, named):
    done = run(*args)
    assert isinstance(done.exception, InputError)
    assert named in str(done.exception)
    assert "\n" not in str(done.exception)
    assert not Path("x.yaml").exists()


def test_a_config_without_training_has_no_budget(here):
    done = run("--config", "only=[synthetic_noise]", "--budget", "1")
    assert "train nothing" in str(done.exception)
    assert run("--config", "only=[synthetic_noise]").exit_code == 0


def test_measured_forks_have_a_pace_of_their_own():
    found = Measured(
        runs=5, step_ms=36.0, step_from="checkpoints", start_seconds=0.0, forks=20, fork_step_ms=18.0
    )
    (task,) = cost(known(), {"movie_polarity": found}).tasks
    assert task.fork_hours == pytest.approx(0.014)
    assert "20 forks" in task.times_from
    assert math.isclose(task.hours, 0.114)
