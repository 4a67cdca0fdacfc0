"""`prehoc advise` and its library: chances by simulation, budgets, units, and what it will not say."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import prehoc
from own_runs import DEPTHS, law, runs
from prehoc import tables
from prehoc.cli import app
from prehoc.errors import InputError
from prehoc.fits.advise import advise, c_star_of, tells
from prehoc.fits.beside import Forks, Level, forks_of, sees, static_of
from prehoc.fits.known import Known, known_task, odd_shape
from prehoc.fits.library import SHIPPED, _rows, nearest, read_library
from prehoc.risk import chances


def task(**changed) -> Known:
    """A task of 400 runs with L(c) = .1 + .9 (c^-.4 - 256^-.4), Var R = 1, mean 10, known exactly."""
    risk = law(DEPTHS, 0.1, 0.9, 0.4)
    made = Known(
        task="t", depth=np.array(DEPTHS), risk=risk, low=0.9 * risk, high=1.1 * risk, horizon=256, var_r=1.0,
        mean_r=10.0, metric="accuracy", regime="dynamic_critical", runs=400, proxy="residual",
        information="last", features={"train": 4000.0, "classes": 2.0},
    )  # fmt: skip
    return replace(made, **changed)


@pytest.mark.parametrize("share", [0.05, 0.4, 0.9, 1.0])
@pytest.mark.parametrize("threshold", [3.0, 3.5, 5.2])
def test_chances_to_be_wrong_agree_with_simulation(share, threshold):
    rng = np.random.default_rng([3, int(100 * share), int(10 * threshold)])
    n, mean, sd = 200_000, 3.0, 1.7
    risk = share * sd**2
    f = mean + sd * np.sqrt(1 - share) * rng.standard_normal(n)
    r = f + np.sqrt(risk) * rng.standard_normal(n)
    # a share of 200,000 has a standard error of at most .0011: four of them
    wrong = np.mean((f >= threshold) != (r >= threshold))
    if share < 1.0:  # with no forecast a call at the mean itself is a coin's
        assert chances.wrong_call(risk, sd**2, mean, threshold) == pytest.approx(wrong, abs=0.0045)
        half = n // 2
        wrong = np.mean((f[:half] > f[half:]) != (r[:half] > r[half:]))
        assert chances.wrong_pick(risk, sd**2) == pytest.approx(wrong, abs=0.0065)
    else:
        assert chances.wrong_call(risk, sd**2, mean, threshold) == pytest.approx(wrong, abs=0.0045) or (
            threshold == mean
        )
        assert chances.wrong_pick(risk, sd**2) == 0.5
    k = 8
    groups_f, groups_r = f.reshape(-1, k), r.reshape(-1, k)
    picked = groups_r[np.arange(len(groups_r)), groups_f.argmax(axis=1)]
    short = np.mean(groups_r.max(axis=1) - picked)
    if share < 1.0:
        assert chances.short_of_best(risk, sd**2, k) == pytest.approx(short, abs=0.04)


def test_known_values_of_chances():
    assert chances.wrong_pick(0.0, 2.0) == 0.0
    assert chances.wrong_pick(0.5, 1.0) == pytest.approx(0.25)  # rho = 1/sqrt 2: arccos is pi/4
    assert chances.wrong_call(0.0, 1.0, 0.0, 0.3) == 0.0
    assert chances.wrong_call(0.5, 1.0, 0.0, 0.0) == pytest.approx(0.25, abs=1e-6)
    assert chances.expected_best(2) == pytest.approx(1 / np.sqrt(np.pi))
    assert chances.expected_best(3) == pytest.approx(1.5 / np.sqrt(np.pi))
    with pytest.raises(InputError, match="no chance can be told"):
        chances.wrong_pick(1.0, 0.0)


@settings(max_examples=30, deadline=None)
@given(st.floats(0.01, 0.99), st.floats(-3, 3))
def test_more_left_open_is_wrong_more_often(share, t):
    less, more = chances.wrong_call(0.9 * share, 1.0, 0.0, t), chances.wrong_call(share, 1.0, 0.0, t)
    assert less <= more + 1e-6
    assert more <= min(0.5, chances.wrong_call(1.0, 1.0, 0.0, t)) + 1e-6


def test_one_run_is_probed_to_c_star_or_as_deep_as_the_budget_goes():
    known = task()
    risk = np.array([1.0, *known.level])
    at = np.array([0, *DEPTHS])
    for price in (0.05, 0.2, 1.0):
        assert c_star_of(known, price) == at[np.argmin(risk + price * at / 256)]
    rich = advise(known, 1e6, price=0.2, threshold=10.5)
    assert rich.depth == c_star_of(known, 0.2) == 64
    assert rich.risk == pytest.approx(law(64, 0.1, 0.9, 0.4))
    assert rich.sd_left**2 == pytest.approx(rich.risk)
    assert (rich.saved_steps, rich.saved_share) == (192, 0.75)
    assert rich.wrong_call == pytest.approx(chances.wrong_call(rich.risk, 1.0, 10.0, 10.5))
    assert rich.wrong_pick_low < rich.wrong_pick < rich.wrong_pick_high
    poor = advise(known, 20)
    assert poor.depth == 20  # between measured depths, linear in log c
    between = np.interp(np.log(20), np.log([16, 32]), law([16, 32], 0.1, 0.9, 0.4))
    assert poor.risk == pytest.approx(between)
    assert "the budget ends before c* = 64" in str(poor)
    none = advise(task(depth=np.array(DEPTHS) * 4, horizon=1024), 3)
    assert none.depth is None
    assert "nothing was measured before depth 4" in str(none)
    json.dumps(none.as_dict(), allow_nan=False)


def test_units():
    known = task()
    hours = advise(known, 0.01, unit="hours", step_seconds=1.8)
    assert hours.depth == 20  # .01 h are 36 s
    money = advise(known, 0.025, unit="money", step_seconds=1.8, price_per_hour=2.5)
    assert money.depth == 20
    assert "of money" in str(money)
    for options, said in (
        ({"unit": "days"}, "unit 'days' is unknown: give one of steps, hours, money"),
        ({"unit": "hours"}, "needs --step-seconds"),
        ({"unit": "money", "step_seconds": 1.0}, "needs --price-per-hour"),
        ({"unit": "hours", "step_seconds": -1.0}, "step-seconds -1: give a number above 0"),
        ({"price": 0.0}, "price 0: give a number above 0"),
        ({"candidates": 0}, "candidates 0: give a whole number"),
        ({"threshold": np.nan}, "threshold nan"),
    ):
        with pytest.raises(InputError, match=said):
            advise(known, 10, **options)
    for budget in (-5, 0, np.nan, np.inf):
        with pytest.raises(InputError, match=r"budget .*: give a number above 0"):
            advise(known, budget)


def test_candidates_share_the_budget_and_the_best_goes_on():
    known = task()
    made = advise(known, 20 * 30 + 226, candidates=20)
    assert made.depth == 30
    assert made.spent_steps == 20 * 30 + 226
    assert made.saved_steps == 20 * 256 - made.spent_steps
    assert made.short_of_best == pytest.approx(chances.short_of_best(made.risk, 1.0, 20))
    assert "probe all 20 candidates to depth 30 of 256, then train the best to the end" in str(made)
    few = advise(known, 270, candidates=20)
    assert few.depth is None
    assert "they are enough for 15" in str(few)
    assert advise(known, 270, candidates=15).depth == 1
    assert "not enough for two" in str(advise(known, 100, candidates=20))
    whole = advise(known, 20 * 256, candidates=20)
    assert (whole.depth, whole.risk, whole.short_of_best) == (256, 0.0, 0.0)
    # a risk that has come to its floor by depth 8 is not probed deeper for
    floor = task(risk=np.maximum(known.risk, known.risk[3]), low=known.low, high=known.high)
    flat = advise(floor, 20 * 100 + 156, candidates=20)
    assert flat.depth == 8
    assert "deeper tells no more" in str(flat)


def test_it_promises_nothing_beyond_what_was_measured():
    known = task()
    flat = task(risk=np.full(8, 1.0), low=np.full(8, 0.9), high=np.full(8, 1.1), falls=False)
    told = advise(flat, 1000)
    assert told.depth == 0
    assert told.wrong_pick == 0.5
    assert "the worse of two runs: 50%." in str(told)  # no interval where both ends are the number itself
    assert "do not probe; decide at once" in str(told)
    assert "does not fall with depth (K = 0)" in str(told)
    assert "any pick may be as good" in str(advise(flat, 1000, candidates=5))
    assert "alpha is not identified" in str(advise(task(identified=False), 1000))
    assert "Noise-Dominant: most of Var R stays open" in str(advise(task(regime="noise_dominant"), 1000))
    assert "nothing was measured between depth 128 and the end" in str(advise(known, 1000))
    assert "say nothing of how one run will end" in str(advise(known, 1000))
    constant = advise(task(var_r=0.0), 1000)
    assert "R is the same in all runs" in str(constant)
    with pytest.raises(InputError, match="nothing was measured at depth 200, but from 1 to 128"):
        known.at(200)
    # 8 runs and a risk 5 % below Var R: chance
    assert not tells(task(runs=8), 0.95)
    assert tells(task(runs=400), 0.95)


def test_static_information_is_what_no_probing_leaves():
    known = task()
    # as good as all depths: the verdict's Static-Sufficient
    sure = task(static=Level(0.14, 0.12, 0.16))
    assert sure.at(0) == (0.14, 0.12, 0.16)
    assert sure.at(16)[0] == pytest.approx(0.14)  # never above what static information leaves
    told = advise(sure, 1000, price=0.2, threshold=10.5)
    assert (told.depth, told.spent_steps, told.information) == (0, 0.0, "static")
    assert told.risk == pytest.approx(0.14)
    assert told.wrong_call == pytest.approx(chances.wrong_call(0.14, 1.0, 10.0, 10.5))
    assert "do not probe; go by what is known at the start" in str(told)
    assert "no clear gain" in str(told)
    assert "14% of Var R, to a predictor that sees static information alone" in str(told)
    picked = advise(sure, 20 * 30 + 226, candidates=20)
    assert (picked.depth, picked.finish, picked.spent_steps) == (0, True, 256.0)
    assert picked.short_of_best == pytest.approx(chances.short_of_best(0.14, 1.0, 20))
    assert "pick the best of 20 by the static forecast, and train one to the end" in str(picked)

    # a little helps, and depth helps clearly more: c* by the same rule, from L(0) = .6
    some = task(static=Level(0.6, 0.55, 0.65))
    at = np.array([0, *DEPTHS])
    level = np.array([0.6, *np.minimum(known.level, 0.6)])
    level[1:] = np.where(np.minimum(known.high, 0.65) < 0.55, level[1:], 0.6)
    for price in (0.05, 0.2, 1.0, 20.0):
        assert c_star_of(some, price) == at[np.argmin(level + price * at / 256)]
    assert c_star_of(some, 20.0) == 0
    assert advise(some, 20 * 30 + 226, candidates=20).depth == 30
    assert "static information alone, before any step, leaves 60%" in str(advise(some, 1000))

    # budgets under the first measured depth, and under one whole run
    deep = task(depth=np.array(DEPTHS) * 4, horizon=1024, static=Level(0.6, 0.55, 0.65))
    tiny = advise(deep, 3)
    assert (tiny.depth, tiny.risk) == (0, 0.6)
    assert "the budget ends before the first measured depth, 4" in str(tiny)
    assert advise(deep, 0.5).depth == 0
    some_left = advise(deep, 1024, candidates=3)
    assert (some_left.depth, some_left.finish, some_left.spent_steps) == (0, True, 1024.0)
    none = advise(deep, 100, candidates=3)
    assert (none.depth, none.finish, none.spent_steps) == (0, False, 0.0)
    assert "the budget does not train one to the end" in str(none)
    json.dumps(none.as_dict(), allow_nan=False)


def test_what_a_table_says_of_static_information_and_forks():
    rows = [("residual", "last", c, 0.3) for c in (1, 4, 16)]
    rows += [("residual", "static+prefix", c, 0.15) for c in (1, 4, 16)]
    rows += [("residual", "static", 0, 0.2)] + [("fork", "state", c, 0.1 / c) for c in (1, 4, 16)]
    made = pd.DataFrame(rows, columns=["proxy", "information", "depth", "risk"])
    made = made.assign(ci_low=0.9 * made["risk"], ci_high=1.1 * made["risk"], var_r=1.0, n=100)
    assert static_of(made) == Level(0.2, pytest.approx(0.18), pytest.approx(0.22))
    assert static_of(made.assign(n=4, risk=0.95)) is None  # chance
    assert static_of(made[made["information"] != "static"]) is None
    assert sees(made, "last") == "static+prefix"
    assert sees(made[(made["depth"] != 4) | (made["information"] == "last")], "last") == "last"
    forks = forks_of(made)
    assert forks.middle == 4
    assert forks.at(8).risk == pytest.approx((0.1 / 4 + 0.1 / 16) / 2)
    assert forks.at(32) is None


def test_forks_are_named_at_the_same_depth_and_where_they_leave_clearly_less():
    depth = np.array([1.0, 16.0, 128.0])
    none = Forks(depth, np.full(3, 0.3), np.full(3, 0.2), np.full(3, 0.4))
    assert "by forks" not in str(advise(task(forks=none), 1000))
    less = Forks(
        depth, np.array([0.5, 0.1, 0.01]), np.array([0.4, 0.09, 0.005]), np.array([0.6, 0.11, 0.02])
    )
    told = str(advise(task(forks=less), 1000))
    share = np.interp(np.log(64), np.log(depth), less.risk)
    assert f"leaves {share:.0%} of Var R at depth 64, where what is seen leaves" in told
    # the same risk at another depth is no difference
    known = task()
    same = Forks(known.depth[:4].astype(float), known.risk[:4], known.low[:4], known.high[:4])
    assert "by forks" not in str(advise(task(forks=same), 1000))


def test_the_regime_is_the_verdicts_or_it_says_whose():
    assert "Dynamic-Critical)" in str(advise(task(verdict="dynamic_critical"), 1000))
    told = str(advise(task(regime="noise_dominant", verdict="dynamic_critical"), 1000))
    assert "Noise-Dominant to who sees the curve)" in told
    assert "the verdict says Dynamic-Critical, by forks" in told


def test_an_outcome_far_from_normal_is_said():
    rng = np.random.default_rng(4)
    normal = [odd_shape(rng.standard_normal(64)) for _ in range(200)]
    assert np.mean(normal) < 0.12  # one of twenty: 200 draws have a standard error of .015
    assert odd_shape(np.where(rng.random(64) < 0.5, 0.2, 0.9) + 0.02 * rng.standard_normal(64))
    assert not odd_shape(np.ones(20))
    assert "far from normal" in str(advise(task(odd_shape=True), 100))
    assert "far from normal" not in str(advise(task(odd_shape=False), 100))


def test_from_a_fit_its_folder_and_the_command(tmp_path):
    made = prehoc.fit(runs(n=300, seed=2), resamples=50)
    told = made.advise(1000, threshold=10.0)
    assert known_task(made).odd_shape is False
    assert told.task == "t"
    assert told.depth in DEPTHS
    assert told.risk == pytest.approx(law(told.depth, 0.1, 0.9, 0.4), rel=0.35)
    folder = tmp_path / "fit"
    folder.mkdir()
    for name in ("variance", "envelope", "regimes"):
        tables.write(name, getattr(made, name), folder / f"{name}.csv")
    tables.write_json(made.verdict().to_dict(), folder / "verdict.json")
    again = prehoc.advise(folder, 1000, threshold=10.0)
    assert again.depth == told.depth
    assert again.wrong_call == pytest.approx(told.wrong_call, rel=1e-6)
    asked = ["advise", str(folder), "--budget", "20", "--unit", "hours", "--step-seconds", "30"]
    words = CliRunner().invoke(app, asked)
    assert words.exit_code == 0, words.output
    assert "probe a run to depth" in words.output
    payload = json.loads(CliRunner().invoke(app, [*asked, "--json"]).output)
    assert payload["depth"] == again.depth
    with pytest.raises(InputError, match="no fitted task 'x'; there are t"):
        prehoc.advise(folder, 10, task="x")
    with pytest.raises(InputError, match="no such folder"):
        prehoc.advise(tmp_path / "none", 10)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no fitted task there"):
        prehoc.advise(tmp_path / "empty", 10)


def workflow_task(folder, name, seed, features):
    """The files of one task of the workflow that advice reads."""
    made = prehoc.fit(runs(n=60, seed=seed, task=name), resamples=50)
    here = folder / name
    here.mkdir(parents=True)
    for table in ("variance", "envelope", "regimes"):
        tables.write(table, getattr(made, table), here / f"{table}.csv")
    tables.write_json(made.verdict().to_dict()["tasks"][0], here / "verdict.json")
    frame = runs(n=60, seed=seed, task=name)
    end = frame.drop_duplicates("seed")
    rows = pd.DataFrame(
        {
            "task": name, "seed": end["seed"], "depth": 128, "split": "target", "metric": "metric",
            "value": end["final"], "failure": False,
        }
    )  # fmt: skip
    tables.write("runs", rows, here / "runs.parquet")
    static = pd.DataFrame({"task": name, "feature": list(features), "value": list(features.values())})
    tables.write("static", static, here / "static.parquet")
    return here


def test_the_library_and_the_nearest_task(tmp_path):
    results = tmp_path / "results"
    small = {"rows_train": 100.0, "classes": 2.0, "base_parameters": 1e6, "length_mean": 20.0}
    workflow_task(results, "small", 1, small)
    workflow_task(results, "large", 2, {**small, "rows_train": 10_000.0, "base_parameters": 1e8})
    path = tmp_path / "library.csv"
    run = CliRunner().invoke(app, ["library", str(results), "--out", str(path)])
    assert run.exit_code == 0, run.output
    known = read_library(path)
    assert set(known) == {"small", "large"}
    direct = known_task(results, "small")
    np.testing.assert_allclose(known["small"].risk, direct.risk, rtol=1e-8)
    assert direct.mean_r == pytest.approx(runs(n=60, seed=1).drop_duplicates("seed")["final"].mean())

    start = replace(direct, static=Level(0.2, 0.1, 0.3), task="start")
    tables.write("library", pd.DataFrame(_rows(start)), tmp_path / "start.csv")
    again = read_library(tmp_path / "start.csv")["start"]
    assert again.static == Level(0.2, 0.1, 0.3)
    np.testing.assert_array_equal(again.depth, direct.depth)

    near = nearest(known, {"train": 200.0, "classes": 2.0}, "metric")
    assert near.known.task == "small"
    assert near.distance == pytest.approx(np.log(2) / np.sqrt(2))
    told = prehoc.advise(None, 50, like={"train": 5000.0}, metric="metric", library=path)
    assert told.nearest["task"] == "large"
    assert "Your task is not fitted" in str(told)
    assert "train 5000 against 10000" in str(told)
    assert told.nearest["not_compared"] == ["parameters", "classes", "label_entropy", "length", "horizon"]
    twin = nearest(known | {"twin": replace(known["small"], task="twin")}, {"train": 100.0}, "metric")
    assert set(twin.ties) == {"twin"}
    assert "As near are twin" in twin.in_words()
    far = nearest(known, {"train": 1e9}, "metric")
    assert "a guess, no more" in far.in_words()

    # a task that is prepared and not fitted goes by its own static table
    shutil.copytree(results / "small", results / "new")
    (results / "new" / "variance.csv").unlink()
    frame = tables.read("static", results / "new" / "static.parquet").assign(task="new")
    tables.write("static", frame, results / "new" / "static.parquet")
    told = prehoc.advise(results, 50, task="new", metric="metric", library=path)
    assert told.nearest["task"] == "small"
    assert told.nearest["distance"] == 0.0

    for like, metric, said in (
        ({"size": 3.0}, "metric", "feature 'size' is unknown; give some of parameters"),
        ({"train": -3.0}, "metric", "feature train: -3"),
        ({"train": 3.0}, "f1", "no task of metric 'f1', but of metric"),
        ({"label_entropy": 0.5}, "metric", "no task of the library has the feature"),
    ):
        with pytest.raises(InputError, match=said):
            nearest(known, like, metric)
    with pytest.raises(InputError, match="no fitted task and no features"):
        prehoc.advise(None, 50)
    with pytest.raises(InputError, match="in the library already"):
        CliRunner().invoke(
            app, ["library", str(results), str(results), "--out", str(path)], catch_exceptions=False
        )
    bad = CliRunner().invoke(app, ["advise", "--budget", "5", "--feature", "train"])
    assert "give NAME=VALUE with a number" in str(bad.exception)


def test_the_library_that_comes_with_prehoc_is_whole():
    assert SHIPPED.exists()
    known = read_library()
    assert len(known) >= 5
    assert not any(one.own for one in known.values())
    for one in known.values():
        told = advise(one, 1e6)
        assert told.depth is not None
        assert 0 <= told.wrong_pick <= 0.5
        assert nearest(known, one.features | {"horizon": one.horizon}, one.metric).distance == 0.0
