"""Policies of probing: where they stop, what they saw, and what is known exactly about the outcome."""

import dataclasses
import functools
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prehoc.predictors import policies
from prehoc.predictors.forecasts import Trial, fit_ridge, forecasts, trial_of
from prehoc.predictors.judged import judge
from prehoc.synthetic.frames import simulate_task
from prehoc.synthetic.instances import INSTANCES

SET = {
    "min_runs": 20, "splits": 2, "shallow": {"steps": 100, "share": 0.1}, "deep": 0.5, "grace": 0.05, "eta": 2,
    "workers": 4, "cohort": 8, "rounds": 2, "threshold": 0.5, "sure": 0.05, "sweep": [], "resamples": 100,
}  # fmt: skip
PRICES = (0.05, 0.2, 1.0)
FIXED = ("no_probing", "shallow", "deep", "full")


@functools.cache
def trial(name="dynamic_a050", runs=1200, seed=7):
    instance = INSTANCES[name]
    drawn = instance.build().simulate(runs, instance.depths, np.random.default_rng(seed))
    visible = drawn.factor is not None and instance.build().visible
    static = drawn.factor[:, None] if visible else np.empty((runs, 0))
    return Trial(
        name, instance.horizon, np.array(instance.depths), drawn.metric, np.empty((*drawn.metric.shape, 0)),
        static, drawn.outcome, np.empty(0), True,
    )  # fmt: skip


@functools.cache
def table(name="dynamic_a050", runs=1200):
    return judged(trial(name, runs), prices=PRICES, settings=SET, seed=3).set_index(["policy", "price"])


def judged(one, **given):
    return judge(one, **given)[0]


def some(n=60, d=6, seed=0, **changes):
    rng = np.random.default_rng(seed)
    path = rng.standard_normal((n, 1)) + np.cumsum(rng.standard_normal((n, d)), axis=1) / d
    made = Trial(
        "some", 2 ** (d - 1), 2 ** np.arange(d), path, np.empty((n, d, 0)), np.empty((n, 0)),
        path[:, -1] + 0.3 * rng.standard_normal(n), np.empty(0), True,
    )  # fmt: skip
    return dataclasses.replace(made, **changes)


def test_leave_one_out_errors_are_those_of_leaving_one_out():
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((30, 4)), rng.standard_normal(30)
    mean = fit_ridge(np.empty((30, 0)), y)
    np.testing.assert_allclose(mean.loo, [y[i] - np.delete(y, i).mean() for i in range(30)])
    assert np.mean(mean.loo**2) == pytest.approx(np.var(y, ddof=1) * (1 + 1 / 29), rel=1e-12)
    y = x @ [3.0, -2.0, 1.0, 0.5] + 0.01 * y  # the least penalty wins, and is next to none
    for i in range(0, 30, 7):
        a = np.column_stack([np.ones(29), np.delete(x, i, axis=0)])
        weight = np.linalg.lstsq(a, np.delete(y, i), rcond=None)[0]
        assert fit_ridge(x, y).loo[i] == pytest.approx(y[i] - np.r_[1, x[i]] @ weight, rel=0.02, abs=1e-4)


def test_ridge_of_pure_noise_keeps_to_the_mean():
    rng = np.random.default_rng(2)
    x, y = rng.standard_normal((40, 25)), rng.standard_normal(40)
    fresh = rng.standard_normal((4000, 25))
    said = fit_ridge(x, y).predict(fresh)
    assert np.mean((said - y.mean()) ** 2) < 0.15


@pytest.mark.parametrize("name", ["dynamic_a050", "noise_a050", "static_a100"])
def test_on_exact_instances_the_numbers_are_the_theorys(name):
    """Standard errors of a risk of 1,200 runs are 4 %, of its fall 2 %: tolerances of 4 and more of these."""
    made, process = table(name), INSTANCES[name].build()
    depth = trial(name).depth
    exact = process.exact_risk(list(depth), "prefix")
    var_r = float(process.exact_risk([0], "none")[0])
    assert made.loc[("no_probing", 0.2), "risk"] == pytest.approx(var_r * (1 + 1 / 600), rel=0.16)
    assert made.loc[("full", 0.2), "risk"] == pytest.approx(exact[-1], rel=0.16)
    for price in PRICES:
        rate = price * trial(name).var_r / INSTANCES[name].horizon
        best = min(var_r, (exact + rate * depth).min())
        sample = trial(name).var_r / var_r  # the runs' own Var R, off by 4 %
        for policy in ("c_star", "c_star_guarded"):
            assert made.loc[(policy, price), "total_risk"] / sample < 1.12 * best, (policy, price)
        oracle = made.loc[("oracle", price), "total_risk"]
        assert all(oracle <= made.loc[(p, price), "total_risk"] * (1 + 1e-12) for p in FIXED)
        assert oracle <= made.loc[("c_star", price), "total_risk"] * (1 + 1e-12)


def test_no_probing_is_the_variance_of_held_out_runs_about_the_other_halfs_mean():
    """Var R (1 + 1/n) exactly, on average over all halves; of 120 halves to within 3 %."""
    one = some(n=40, d=2)
    made = judged(one, prices=[0.2], settings=SET | {"splits": 60, "resamples": 100}, seed=1)
    got = made.set_index("policy").loc["no_probing", "risk"]
    assert got == pytest.approx(one.var_r * (1 + 1 / 20), rel=0.03)


def test_steps_prices_and_totals_add_up():
    made = table().reset_index()
    rate = made["price"] * made["var_r"] / 1024
    np.testing.assert_allclose(made["total_risk"], made["risk"] + rate * made["steps"])
    np.testing.assert_allclose(made["steps_share"], made["steps"] / 1024)
    for name in ("risk", "total", "regret_go", "regret_best"):
        value = made["total_risk" if name == "total" else name]
        assert (made[f"{name}_low"] <= value).all()
        assert (value <= made[f"{name}_high"]).all()
    fixed = made[made["price"] == 0.2].set_index("policy")["steps"]
    assert fixed[list(FIXED)].tolist() == [0, 64, 512, 1024]
    assert set(made["policy"]) == set(policies.POLICIES)


def test_a_run_that_is_judged_teaches_nothing():
    one = some()
    known, judged = np.arange(30), np.arange(30, 60)
    features = [one.features(j) for j in range(7)]
    before, errors = forecasts(features, one.outcome, known, judged)
    other = np.where(np.arange(60) >= 30, 99.0, one.outcome)
    after, same = forecasts(features, other, known, judged)
    np.testing.assert_array_equal(before, after)
    np.testing.assert_array_equal(errors, same)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.floats(-5, 5))
def test_a_stop_takes_no_notice_of_what_comes_after(seed, jump):
    rng = np.random.default_rng(seed)
    known, new = rng.standard_normal((2, 20, 6)).cumsum(axis=2)
    outcome = known[:, -1] + rng.standard_normal(20)
    stops = [
        policies.median_stop(known, new, 1),
        policies.extrapolation_stop(known, outcome, new, 0.5, 1, 0.2)[0],
    ]
    for i in range(20):
        changed = [new.copy(), new.copy()]
        for stop, to in zip(stops, changed, strict=True):
            to[i, stop[i] :] += jump
        assert policies.median_stop(known, changed[0], 1)[i] == stops[0][i]
        assert policies.extrapolation_stop(known, outcome, changed[1], 0.5, 1, 0.2)[0][i] == stops[1][i]


def test_median_rule_by_hand():
    known = np.array(
        [[0.0, 1.0, 2.0], [0.2, 0.4, 0.6], [1.0, 1.0, 1.0]]
    )  # running means .2 .5 1. at medians
    new = np.array([[0.1, 9.0, 9.0], [0.2, 0.3, 9.0], [0.3, 0.6, 0.7], [9.0, 0.0, 0.0]])
    assert policies.median_stop(known, new, 0).tolist() == [1, 2, 3, 3]
    assert policies.median_stop(known, new, 1).tolist() == [3, 2, 3, 3]


def test_extrapolation_stops_when_it_is_sure():
    rng = np.random.default_rng(0)
    outcome = rng.standard_normal(400)
    known = np.column_stack([outcome + s * rng.standard_normal(400) for s in (9.0, 9.0, 1.0, 0.1)])
    new = np.array([[0, 0, 0.0, 3.0], [0, 0, 9.0, 9.0], [0, 0, 0.0, 0.0], [99.0, 99.0, 0.0, 0.0]])
    stop, forecast = policies.extrapolation_stop(known, outcome, new, 0.0, 0, 0.05)
    assert stop.tolist() == [4, 3, 4, 4]
    assert forecast[1, 2] == pytest.approx(4.5, rel=0.2)  # half the signal: the line learned shrinks it


def test_fixed_depths():
    depth = np.array([1, 2, 4, 8, 16, 32, 64, 128, 256])
    assert policies.shallow(depth, 256, 100, 0.1) == 7  # 64
    assert policies.shallow(depth, 200, 100, 0.1) == 5  # half of T or more: a tenth of 200, 16
    assert policies.upto(depth, 128) == 8
    assert policies.upto(depth, 0.5) == 1


def test_units_and_the_sign_of_the_metric_change_nothing_else():
    one = some()
    plain = judged(one, prices=[0.2], settings=SET, seed=5).set_index("policy")
    loss = dataclasses.replace(one, metric=-10 * one.metric, outcome=-10 * one.outcome, higher=False)
    turned = judged(loss, prices=[0.2], settings=SET, seed=5).set_index("policy")
    for column, factor in (
        ("risk", 100), ("total_risk", 100), ("regret_go", 10), ("regret_best", 10), ("steps", 1),
        ("total_high", 100), ("regret_best_high", 10), ("calibration_steps", 1), ("break_even_runs", 1),
    ):  # fmt: skip
        np.testing.assert_allclose(turned[column], factor * plain[column], rtol=1e-6, err_msg=column)


def test_too_few_runs_or_a_constant_outcome_give_no_rows():
    assert judged(some(n=19), prices=[0.2], settings=SET, seed=0).empty
    assert judged(some(outcome=np.full(60, 0.7)), prices=[0.2], settings=SET, seed=0).empty
    assert len(judged(some(n=20), prices=[0.2], settings=SET, seed=0)) == len(policies.POLICIES)


def test_few_depths_and_a_metric_that_stands_still():
    assert (
        len(judged(some(d=2), prices=[0.2], settings=SET, seed=0)) == len(policies.POLICIES) - 1
    )  # no online
    still = some(metric=np.full((60, 6), 0.5))
    made = judged(still, prices=[0.2], settings=SET, seed=0).set_index("policy")
    assert made.loc["full", "risk"] == pytest.approx(made.loc["no_probing", "risk"])
    assert made.loc["c_star", "steps"] <= 1


def test_failed_runs_pay_their_steps_and_nothing_else():
    one = some()
    lost = dataclasses.replace(one, failed=np.full(20, 8.0))
    plain = judged(one, prices=[0.2], settings=SET, seed=5).set_index("policy")
    made = judged(lost, prices=[0.2], settings=SET, seed=5).set_index("policy")
    np.testing.assert_allclose(made["risk"], plain["risk"])
    np.testing.assert_allclose(made["regret_best"], plain["regret_best"])
    for policy, paid in (("no_probing", 0), ("full", 8), ("deep", 8), ("shallow", 2), ("sha", 8)):
        expected = (60 * plain.loc[policy, "steps"] + 20 * paid) / 80
        assert made.loc[policy, "steps"] == pytest.approx(expected), policy
    assert made["note"].str.contains("20 failed runs").all()
    assert made.loc["c_star", "calibration_steps"] == 30 * 32 + 80


def test_break_even_is_against_the_best_policy_that_needs_no_calibration():
    made = table()
    for price in PRICES:
        row = made.loc[("c_star", price)]
        other = min(FIXED, key=lambda p: made.loc[(p, price), "total_risk"])
        saving = made.loc[(other, price), "total_risk"] - row["total_risk"]
        assert row["calibration_steps"] == 600 * 1024
        assert row["note"].endswith(other)
        if saving > 0:
            rate = price * row["var_r"] / 1024
            assert row["break_even_runs"] == pytest.approx(600 * 1024 * rate / saving)
        else:
            assert np.isnan(row["break_even_runs"])
    assert made.loc[list(policies.FREE), "break_even_runs"].isna().all()
    assert (made.loc[list(policies.FREE), "calibration_steps"] == 0).all()


def test_tables_become_a_trial_with_its_failures():
    spec = {"process": "visible_factor", "rho": 0.75, "reveal": 0.0, "target_noise": 0.3}
    runs, _, draws, _ = simulate_task("t", spec, 40, [1, 2, 4, 8], 16, [1])
    gone = (runs["seed"] == 3) & (runs["depth"] >= 4)
    runs.loc[gone, "value"], runs.loc[gone, "failure"] = np.nan, True
    made = trial_of(runs, draws, metric="value", horizon=16)
    assert made.depth.tolist() == [1, 2, 4, 8, 16]
    assert made.metric.shape == (39, 5)
    assert made.static.shape == (39, 2)
    assert made.failed.tolist() == [4.0]
    last = runs[(runs["split"] == "target") & (runs["seed"] != 3)].sort_values("seed")["value"]
    np.testing.assert_array_equal(made.outcome, last)
    loss = runs.assign(metric="loss")
    both = trial_of(pd.concat([runs, loss]), draws, metric="value", horizon=16)
    assert both.beside.shape == (39, 5, 1)
    np.testing.assert_array_equal(both.beside[:, :, 0], both.metric)
    assert not trial_of(loss, draws, metric="loss", horizon=16).higher


def test_policies_are_compared_on_the_same_runs():
    made, pairs = judge(trial(), prices=PRICES, settings=SET, seed=3)
    total = made.set_index(["policy", "price"])["total_risk"]
    for row in pairs.to_dict("records"):
        expected = total[row["other"], row["price"]] / total[row["policy"], row["price"]]
        assert row["ratio"] == pytest.approx(expected)
        assert row["low"] <= row["ratio"] <= row["high"]
    assert set(pairs["policy"]) == set(policies.CALIBRATED)
    near = pairs[
        (pairs["policy"] == "c_star") & (pairs["other"] == "oracle") & (pairs["price"] == 0.05)
    ].iloc[0]
    alone = made[(made["policy"] == "c_star") & (made["price"] == 0.05)].iloc[0]
    width = (alone["total_high"] - alone["total_low"]) / alone["total_risk"]
    assert near["high"] - near["low"] < 0.5 * width  # much the same stops: little is left between them


@pytest.mark.parametrize("odd", ["one run apart", "two values", "a metric far from zero", "ties"])
def test_odd_outcomes_are_judged_without_a_warning(odd):
    one = some(n=24)
    if odd == "one run apart":  # half of the time the calibration runs are all alike
        one = dataclasses.replace(one, outcome=np.r_[1.0, np.zeros(23)], metric=np.zeros((24, 6)))
    elif odd == "two values":
        one = dataclasses.replace(one, outcome=(one.outcome > 0).astype(float))
    elif odd == "a metric far from zero":
        one = dataclasses.replace(one, outcome=one.outcome + 1e6, metric=one.metric + 1e6)
    else:
        one = dataclasses.replace(one, metric=np.round(one.metric))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made, pairs = judge(one, prices=PRICES, settings=SET, seed=0)
    assert len(made) == len(PRICES) * len(policies.POLICIES)
    assert np.isfinite(made[["risk", "total_risk", "regret_go", "regret_best", "steps"]]).all(axis=None)
    assert np.isfinite(pairs["ratio"]).all()
