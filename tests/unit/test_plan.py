"""`prehoc plan`: arithmetic that is known, budgets that close, what is measured and what estimated."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from planned import CUT
from typer.testing import CliRunner

from prehoc import cli
from prehoc.config import resolve
from prehoc.config.loading import merge
from prehoc.errors import InputError
from prehoc.plan.budget import relative_error, runs_for, with_runs
from prehoc.plan.cost import cost
from prehoc.plan.pilot import Measured
from prehoc.plan.sizes import checkpoint_bytes

ROOT = Path(__file__).parents[2]
RAW = yaml.safe_load((ROOT / "config.yaml").read_text())
KNOWN = CUT | {"resources": {"step_ms": 36.0}}  # 100,000 steps an hour


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


def test_measured_forks_have_a_pace_of_their_own():
    found = Measured(
        runs=5, step_ms=36.0, step_from="checkpoints", start_seconds=0.0, forks=20, fork_step_ms=18.0
    )
    (task,) = cost(known(), {"movie_polarity": found}).tasks
    assert task.fork_hours == pytest.approx(0.014)
    assert "20 forks" in task.times_from
    assert math.isclose(task.hours, 0.114)


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
