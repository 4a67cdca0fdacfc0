"""Held-out forecasts: known risks, no leak, and a best that is chosen on other folds."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prehoc import tables
from prehoc.errors import InputError
from prehoc.predictors import held_out as judging
from prehoc.predictors.features import Design, design, see
from prehoc.predictors.nested import Boosting, folds_of, forecasts, judged, models
from prehoc.synthetic.frames import simulate_task

PLAN = judging.Plan(names=("linear", "ridge", "extrapolation"))
LINEAR = {
    "process": "linear_gaussian",
    "rho": 0.75,
    "initial_sd": 0.2,
    "target_noise": 0.3,
    "metric_noise": 0.1,
}
DEPTHS = [1, 4, 16]


def frames(spec=None, runs=600, depths=(*DEPTHS,), horizon=64, task="made", forks=None):
    spec = {**(spec or LINEAR), **({"forks": forks} if forks else {})}
    return simulate_task(task, spec, runs, list(depths), horizon, [7])


def seen_of(spec=None, **given):
    runs, _, draws, truth = frames(spec, **given)
    return see(runs, draws, metric="value", horizon=64), truth


def exact(truth, depth, information):
    rows = truth[(truth["depth"] == depth) & (truth["information"] == information)]
    return float(rows["risk"].iloc[0])


def share(table, **where):
    for key, value in where.items():
        table = table[table[key] == value]
    assert len(table) == 1
    return table.iloc[0]


@pytest.fixture(scope="module")
def linear():
    seen, truth = seen_of(runs=2000)
    held = judging.held_out(seen, PLAN, 3)
    return seen, truth, held, judging.predictors_table(held, "value", 0.95)


def test_ridge_reaches_the_exact_risk_of_a_gaussian_process(linear):
    """All is linear, so the Bayes risk given the prefix is ridge's own, but for learning P coefficients."""
    _, truth, _, table = linear
    for depth in DEPTHS:
        row = share(table, depth=depth, information="trajectory", predictor="ridge")
        assert row["risk"] == pytest.approx(exact(truth, depth, "prefix"), abs=3.5 * row["se"])
        assert row["risk"] < 1.15 * exact(truth, depth, "prefix")  # 2000 runs: 5 se
    none = share(table, depth=0, information="none", predictor="mean")
    assert none["share"] == pytest.approx(1.0, abs=0.005)


def test_the_interval_holds_the_exact_risk_at_its_rate():
    held = 0
    for i in range(40):
        seen, truth = seen_of(runs=200, depths=[4], task=f"made_{i}")
        table = judging.predictors_table(judging.held_out(seen, PLAN, 3), "value", 0.9)
        row = share(table, depth=4, information="trajectory", predictor="linear")
        # least squares on 2 columns from 160 runs: 2/160 above the exact risk
        held += row["ci_low"] <= exact(truth, 4, "prefix") * (1 + 2 / 160) <= row["ci_high"]
    assert held >= 30  # of 40 at 90 %: 36 on average, sd 1.9


def test_a_visible_factor_that_settles_r_is_told_before_the_first_step():
    spec = {"process": "visible_factor", "rho": 0.75, "eta_0": 0.15, "initial_sd": 0.1, "target_noise": 0.1,
            "factor_sd": 1.0, "reveal": 0.0}  # fmt: skip
    seen, truth = seen_of(spec)
    held = judging.held_out(
        seen, judging.Plan(names=("linear", "ridge", "boosting"), trees=60, rate=0.15), 3
    )
    table = judging.predictors_table(held, "value", 0.95)
    exactly = exact(truth, 0, "static")
    assert exactly < 0.1 * seen.var_r
    for name in ("linear", "ridge", "best"):
        row = share(table, depth=0, information="static", predictor=name)
        assert row["risk"] == pytest.approx(exactly, abs=4 * row["se"])
    assert share(table, depth=0, information="static", predictor="boosting")["share"] < 0.2


@pytest.mark.parametrize("name", ["linear", "ridge", "boosting", "best"])
def test_shuffled_outcomes_are_told_by_nobody(name):
    """A leak of the run that is judged would show as a share below 1."""
    runs, _, draws, _ = frames(runs=300)
    seen = see(runs, draws, metric="value", horizon=64)
    rng = np.random.default_rng(5)
    made = []
    for _ in range(4):
        object.__setattr__(seen, "outcome", rng.permutation(seen.outcome))
        plan = judging.Plan(depths=(16,), trees=20, rate=0.2)
        table = judging.predictors_table(judging.held_out(seen, plan, 3), "value", 0.95)
        made.append(share(table, depth=16, information="trajectory", predictor=name)["share"])
    assert np.mean(made) > 0.97  # sd of one share about 0.01


@given(st.integers(0, 10_000), st.integers(3, 6))
@settings(max_examples=25, deadline=None)
def test_the_best_of_a_fold_does_not_depend_on_that_folds_outcomes(seed, folds):
    rng = np.random.default_rng(seed)
    n = 8 * folds
    fold = folds_of(n, folds, rng)
    outcome = rng.standard_normal(n)
    lefts = [(k,) for k in range(folds)] + [(j, k) for j in range(folds) for k in range(j + 1, folds)]
    made = {name: {left: rng.standard_normal(n) for left in lefts} for name in ("a", "b", "c")}
    k = int(rng.integers(folds))
    changed = np.where(fold == k, outcome + 10 * rng.standard_normal(n), outcome)
    one, other = judged(made, outcome, fold)["best"], judged(made, changed, fold)["best"]
    np.testing.assert_array_equal(one[fold == k], other[fold == k])


def test_the_best_takes_the_predictor_that_is_right_elsewhere():
    rng = np.random.default_rng(1)
    fold, outcome = folds_of(60, 3, rng), rng.standard_normal(60)
    lefts = [(0,), (1,), (2,), (0, 1), (0, 2), (1, 2)]
    right = {left: outcome.copy() for left in lefts}
    trap = {left: outcome + 5.0 * (len(left) == 2) for left in lefts}  # right on the judged fold alone
    told = judged({"trap": trap, "right": {k: v + 0.1 for k, v in right.items()}}, outcome, fold)
    np.testing.assert_allclose(told["best"], outcome + 0.1)


def test_models_agree_with_least_squares_done_by_hand():
    rng = np.random.default_rng(2)
    x, fold = rng.standard_normal((90, 4)), folds_of(90, 3, rng)
    y = 5 + x @ [1.0, 0.0, -2.0, 0.5] + rng.standard_normal(90)
    columns = Design(x, tuple("abcd"), np.ones(4, bool), np.ones(4, bool))
    told = models(columns, y, fold, ["linear", "ridge"], Boosting())
    for left in ((1,), (0, 2)):
        train = ~np.isin(fold, left)
        slopes, *_ = np.linalg.lstsq(
            np.column_stack([np.ones(train.sum()), x[train]]), y[train], rcond=None
        )
        np.testing.assert_allclose(told["linear"][left], slopes[0] + x @ slopes[1:])
    assert np.mean((told["ridge"][1,][fold == 1] - y[fold == 1]) ** 2) < 2


def test_gaps_are_filled_and_said_and_constant_columns_dropped():
    runs, _, draws, _ = frames(runs=50)
    first = (runs["split"] == "val") & (runs["depth"] == 4) & (runs["seed"] < 10)
    runs.loc[first, "value"] = np.nan
    flat = runs[runs["split"] == "val"].assign(metric="flat", value=1.0)
    seen = see(pd.concat([runs, flat], ignore_index=True), draws, metric="value", horizon=64)
    made = design(seen, "trajectory", 1)
    assert np.isfinite(made.x).all()
    assert "value@4 is missing" in made.names
    assert not [n for n in made.names if "flat" in n]
    np.testing.assert_allclose(made.x.std(axis=0), 1)


def test_signals_stand_under_the_information_that_they_are():
    runs, _, draws, _ = frames(runs=40)
    rng = np.random.default_rng(0)
    rows = [
        {"task": "made", "seed": seed, "depth": depth, "signal": name, "value": rng.standard_normal()}
        for seed in range(40)
        for name, depths in (("grad_norm", [0, 1, 4, 16]), ("projection_0", [1, 4, 16]), ("val_loss", [0]))
        for depth in depths
    ]
    signals = pd.DataFrame(rows).astype({"value": "float32"})
    seen = see(runs, draws, signals, metric="value", horizon=64)
    assert set(design(seen, "static").names) == {"grad_norm", "val_loss"}
    names = design(seen, "trajectory", 1).names
    assert {"grad_norm@1", "grad_norm@4", "projection_0@4"} <= set(names)
    assert not {"grad_norm", "projection_0@1", "grad_norm@16", "value@16"} & set(names)
    both = set(design(seen, "static+trajectory", 1).names)
    assert both == {*names, "grad_norm", "val_loss"}


def test_failed_runs_are_left_out_and_few_runs_are_told_by_the_mean():
    runs, _, draws, _ = frames(runs=8)
    runs.loc[(runs["seed"] == 3) & (runs["depth"] > 1), ["value", "failure"]] = [np.nan, True]
    seen = see(runs, draws, metric="value", horizon=64)
    assert list(seen.seed) == [0, 1, 2, 4, 5, 6, 7]
    held = judging.held_out(seen, judging.Plan(), 3)
    ridge = held[(held["predictor"] == "ridge") & (held["depth"] == 4)]
    mean = held[held["predictor"] == "mean"]
    np.testing.assert_allclose(ridge["forecast"], mean["forecast"])
    assert len(judging.predictors_table(held, "value", 0.95))


def test_constant_outcomes_give_no_rows():
    runs, _, draws, _ = frames(runs=12)
    runs.loc[runs["split"] != "val", "value"] = 1.0
    seen = see(runs, draws, metric="value", horizon=64)
    held = judging.held_out(seen, PLAN, 3)
    assert held.empty
    assert judging.predictors_table(held, "value", 0.95).empty
    none = np.zeros(0, np.int64)
    own = judging.own_depths(seen, held, none, prices=[0.1], information="last", driver="auto", shift=0.0,
                             confidence=0.95)  # fmt: skip
    assert own.empty


def test_unknown_names_are_refused():
    seen, _ = seen_of(runs=20)
    with pytest.raises(InputError, match="wizard"):
        forecasts(seen, "trajectory", 0, folds_of(20, 5, np.random.default_rng(0)), ["wizard"], Boosting())
    with pytest.raises(InputError, match="tea leaves"):
        design(seen, "tea leaves", 0)
    with pytest.raises(InputError, match="needs a depth"):
        design(seen, "trajectory")


def test_own_depth_of_a_fold_ignores_that_folds_runs():
    runs, _, draws, _ = frames(runs=100, depths=[1, 2, 4, 8, 16, 32])
    options = {"prices": [0.1, 0.5], "information": "last", "driver": "residual", "shift": 0.5,
               "confidence": 0.95}  # fmt: skip
    seen = see(runs, draws, metric="value", horizon=64)
    held = judging.held_out(seen, PLAN, 3)
    none = np.zeros(0, np.int64)
    own = judging.own_depths(seen, held, none, **options)
    assert set(own["depth"]) <= {0, 1, 2, 4, 8, 16, 32, 64}
    fold = held.drop_duplicates("seed").set_index("seed")["fold"]
    changed = runs.copy()
    hit = changed["seed"].isin(fold.index[fold == 2]) & (changed["split"] == "target")
    changed.loc[hit, "value"] += 3 * np.random.default_rng(0).standard_normal(int(hit.sum()))
    again = judging.own_depths(see(changed, draws, metric="value", horizon=64), held, none, **options)
    pd.testing.assert_frame_equal(own[own["fold"] == 2], again[again["fold"] == 2])
    assert not own[own["fold"] != 2]["c_star"].equals(again[again["fold"] != 2]["c_star"])
    tables.check("own_depth", own)
