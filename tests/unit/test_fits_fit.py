"""`prehoc.fit` against processes whose L(c) is known, and what it refuses."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import prehoc
from own_runs import DEPTHS, HORIZON, falling, law, runs
from prehoc import tables
from prehoc.errors import InputError
from prehoc.risk import pipeline


def verdict(fit, task="t"):
    return fit.verdict(task).to_dict()["tasks"][0]


@pytest.fixture(scope="module")
def known():
    return prehoc.fit(runs(n=600, seed=1), horizon=HORIZON)


def test_the_risk_is_the_exact_one_within_its_intervals(known):
    rows = known.variance[
        (known.variance["proxy"] == "residual") & (known.variance["information"] == "last")
    ]
    truth = law(rows["depth"], 0.1, 0.9, 0.4)
    assert list(rows["depth"]) == list(DEPTHS)
    assert np.all(np.abs(rows["risk"] - truth) < 4 * rows["se"])


def test_alpha_l_int_regime_and_c_star_are_the_truth(known):
    said = verdict(known)
    assert said["status"] == "verdict"
    assert said["alpha"]["identified"]
    assert said["alpha"]["low"] <= 0.4 <= said["alpha"]["high"]
    assert said["L_int"]["low"] <= 0.1 <= said["L_int"]["high"]
    assert said["regime"] == "dynamic_critical"
    assert said["law"]["winner"] == "power"
    assert said["law"]["fits"]
    assert len(said["saving"]) == 3
    for one in said["saving"]:
        rate = one["price"] * said["var_r"] / HORIZON
        true = min((0.4 * 0.9 / rate) ** (1 / 1.4), HORIZON)
        assert one["low"] <= true <= one["high"]
        assert one["steps_saved"] == pytest.approx(HORIZON - one["c_star"])
        assert one["risk_at_c_star"] == pytest.approx(law(max(one["c_star"], 1), 0.1, 0.9, 0.4), abs=0.08)
    assert said["next"]["seeds"] > 0


@pytest.mark.parametrize(
    ("b", "K", "alpha", "regime"),
    [
        (0.8, 0.2, 0.5, "noise_dominant"),
        (0.05, 0.9, 0.4, "dynamic_critical"),
        (0.05, 0.05, 2.0, "static_sufficient"),
    ],
)
def test_regimes_are_told_apart(b, K, alpha, regime):
    said = verdict(prehoc.fit(runs(n=200, b=b, K=K, alpha=alpha, seed=2)))
    assert said["regime"] == regime


def test_the_numbers_are_the_workflows_own():
    frame = runs(n=50, seed=3)
    fit = prehoc.fit(frame, horizon=HORIZON)
    last = frame.drop_duplicates("seed")
    long = pd.concat(
        [
            frame.assign(split="val", value=frame["metric"]),
            last.assign(split="target", depth=HORIZON, value=last["final"]),
        ]
    ).assign(metric="metric", failure=False)
    u = pipeline.variance_table(long[list(tables.SCHEMAS["runs"].columns)], metric="metric")
    merged = fit.variance.merge(u, on=["task", "depth", "proxy", "information"], suffixes=("", "_other"))
    assert len(merged) == len(fit.variance)
    np.testing.assert_allclose(merged["risk"], merged["risk_other"], rtol=1e-10)
    np.testing.assert_allclose(merged["ci_high"], merged["ci_high_other"], rtol=1e-10)


def test_the_order_of_rows_and_names_of_seeds_say_nothing():
    frame = runs(n=30, seed=4)
    named = frame.sample(frac=1, random_state=0)
    named["seed"] = "run-" + named["seed"].astype(str).str.zfill(3)
    one, other = prehoc.fit(frame), prehoc.fit(named.sort_values("seed"))
    pd.testing.assert_frame_equal(one.variance, other.variance)
    pd.testing.assert_frame_equal(one.c_star, prehoc.fit(frame.sample(frac=1, random_state=1)).c_star)


def test_steps_to_target_are_judged_with_runs_that_are_done():
    fit = prehoc.fit(falling(target=0.55, n=150))
    said = verdict(fit)
    assert said["outcome"]["kind"] == "to_target"
    assert said["censoring"]["kind"] == "target"
    assert said["censoring"]["target"] == pytest.approx(0.55, abs=0.02)
    driven = next(r for r in said["readings"] if r["reading"] == "bayes")
    assert said["censoring"]["risk_until_then"] == driven["iota"]
    assert said["censoring"]["open_until"] < said["horizon"]
    assert "the first depth, 50" in refused(fit, "regime")  # told by then: at once, or slowly?
    assert {one["risk_at_horizon"] for one in said["saving"]} == {0.0}
    assert all(0 <= one["runs_open"] <= 1 for one in said["saving"])
    assert set(fit.variance.loc[fit.variance["proxy"] == "residual", "metric"]) == {"steps to target"}
    own = fit.variance[fit.variance["proxy"] == "run_to_run"]
    assert own["depth"].max() < said["censoring"]["first_stop"]
    assert np.allclose(own["var_r"], own.sort_values("depth")["risk"].iloc[-1])


def test_steps_to_a_target_that_no_curve_foretells_are_noise_dominant():
    rng = np.random.default_rng(9)
    rows = []
    for s in range(300):
        for d in range(10, 210, 10):
            met = d > 50 and rng.random() < 0.2
            rows.append(("t", s, d, 1.0 + rng.random() if met else rng.random()))
            if met:
                break
    said = verdict(
        prehoc.fit(pd.DataFrame(rows, columns=["task", "seed", "depth", "metric"]), direction="higher")
    )
    assert said["outcome"]["kind"] == "to_target"
    assert said["censoring"]["open_until"] == 50
    assert said["censoring"]["risk_until_then"] == pytest.approx(1.0, abs=0.05)
    assert said["regime"] == "noise_dominant"


def refused(fit, what="task"):
    found = [r for r in verdict(fit)["refused"] if r["what"] == what]
    assert found, verdict(fit)["refused"]
    assert found[0]["remedy"]
    return found[0]["why"]


def test_too_few_runs_are_refused_or_get_no_regime():
    few = prehoc.fit(runs(n=4))
    assert few.tasks == ()
    assert "4 runs" in refused(few)
    some = prehoc.fit(runs(n=12))
    assert "12 runs" in refused(some, "regime")
    assert set(some.regimes["regime"]) == {"undecided"}
    assert verdict(some)["saving"]


def mixed(n=40, shift=3.0):
    frame = runs(n=n, seed=5)
    frame["group"] = np.where(frame["seed"] % 2 == 0, "a", "b")
    frame["final"] += shift * (frame["group"] == "b")
    return frame


def test_mixed_groups_are_refused_split_pooled_or_taken_within():
    assert "mixed groups" in refused(prehoc.fit(mixed()))
    split = prehoc.fit(mixed(), groups="split")
    assert split.tasks == ("t [a]", "t [b]")
    within, pool = prehoc.fit(mixed(), groups="within"), prehoc.fit(mixed(), groups="pool")
    apart = prehoc.fit(mixed(shift=0.0), groups="within")
    assert verdict(within)["var_r"] == pytest.approx(verdict(apart)["var_r"], rel=1e-9)
    assert verdict(pool)["var_r"] > 2 * verdict(within)["var_r"]
    assert "within the 2 groups" in verdict(within)["groups"]["in_words"]
    assert prehoc.fit(mixed(shift=0.0)).tasks == ("t",)


def test_spikes_are_set_aside_counted_and_many_of_them_leave_no_alpha():
    frame = runs(n=100, seed=6)
    few = frame.copy()
    few.loc[(few["seed"] == 3) & (few["depth"] == 8), "metric"] += 80
    said = verdict(prehoc.fit(few, direction="lower"))
    assert said["spikes"]["count"] == 1
    assert {"what": "values", "count": 1, "why": "spikes in a run's curve"} in said["set_aside"]
    assert verdict(prehoc.fit(few, direction="lower", spikes="keep"))["set_aside"] == []
    frame.loc[(frame["seed"] < 20) & (frame["depth"] == 8), "metric"] += 80
    many = prehoc.fit(frame, direction="lower")
    assert "20%" in refused(many, "alpha")
    assert "spikes" in refused(many, "regime")
    assert not verdict(many)["alpha"]["identified"]


def test_failed_runs_are_a_rate_and_aborted_ones_are_counted():
    frame = runs(n=50, seed=7).drop(columns="final")
    frame.loc[(frame["seed"] < 5) & (frame["depth"] > 8), "metric"] = np.nan
    frame = frame[(frame["seed"] != 9) | (frame["depth"] < 64)]
    said = verdict(prehoc.fit(frame))
    assert said["failure_rate"] == pytest.approx(5 / 49)
    assert {"what": "runs", "count": 1, "why": "no value at depth 128"} in said["set_aside"]


def test_one_refused_task_does_not_stop_the_others():
    fit = prehoc.fit(pd.concat([runs(n=30, task="good"), runs(n=3, task="small")]))
    assert (fit.tasks, fit.refused) == (("good",), ("small",))
    assert [v["status"] for v in fit.verdict().to_dict()["tasks"]] == ["verdict", "refused"]


def test_an_outcome_that_does_not_vary_needs_no_prediction():
    frame = runs(n=30)
    frame["final"] = 1.0
    said = verdict(prehoc.fit(frame))
    assert said["regime"] == "static_sufficient"
    assert said["law"]["winner"] is None


@pytest.mark.parametrize(
    "bad",
    [
        {"outcome": "best"},
        {"direction": "up"},
        {"groups": "drop"},
        {"spikes": "cut"},
        {"information": "state"},
        {"horizon": 0},
        {"seed": -1},
        {"confidence": 95},
        {"prices": [0.0]},
        {"prices": [float("nan")]},
        {"gammas": [1.0], "cost_per_step": 0.0},
        {"bad_rows": "drop"},
    ],
)
def test_bad_options_are_refused(bad):
    with pytest.raises(InputError):
        prehoc.fit(runs(n=6), **bad)


def test_gamma_and_lambda_make_a_price():
    fit = prehoc.fit(runs(n=40), gammas=[0.01], cost_per_step=2.0, horizon=HORIZON)
    row = fit.c_star[fit.c_star["recommended"]].iloc[0]
    assert (row["gamma"], row["lambda"]) == (0.01, 2.0)
    assert row["price"] == pytest.approx(0.02 * HORIZON / verdict(fit)["var_r"])


def test_plots_are_figures_and_take_known_tasks(known):
    assert known.plot_decay().axes
    assert known.plot_phase(["t"]).axes
    with pytest.raises(InputError, match="no measured task 'x'"):
        known.plot_decay(["x"])
    with pytest.raises(InputError, match="no task 'x'"):
        known.verdict("x")


def test_a_final_value_in_another_unit_is_not_set_beside_the_metric():
    frame = runs(n=60, seed=8)
    same = prehoc.fit(frame)
    assert set(same.variance["metric"]) == {"metric"}
    assert "change" in set(same.variance["proxy"])
    other = prehoc.fit(frame.assign(final=frame["final"] * 1e5))
    own = other.variance[other.variance["proxy"] == "run_to_run"]
    assert set(other.variance["proxy"]) == {"residual", "run_to_run"}
    assert len(set(own["var_r"])) == 1
    assert own["var_r"].iloc[0] == own.sort_values("depth")["risk"].iloc[-1]
    shares = [
        f.variance.loc[f.variance["proxy"] == "residual", "risk"] / f.variance["var_r"].max()
        for f in (same, other)
    ]
    np.testing.assert_allclose(shares[0].dropna().to_numpy(), shares[1].dropna().to_numpy(), rtol=1e-6)


def test_a_late_first_depth_names_no_task_static_sufficient():
    frame = runs(n=200, b=0.05, K=0.9, alpha=1.0, seed=2)
    assert verdict(prehoc.fit(frame, horizon=HORIZON))["regime"] == "dynamic_critical"
    late = prehoc.fit(frame[frame["depth"] >= 16], horizon=HORIZON)
    assert "the first depth, 16" in refused(late, "regime")
    assert verdict(late)["regime"] == "undecided"
    told = prehoc.fit(runs(n=200, b=0.05, K=0.05, alpha=2.0, seed=2), horizon=HORIZON)
    assert verdict(told)["refused"] == []


def test_what_is_open_at_the_end_is_no_more_than_at_the_last_depth():
    for seed in range(5):
        fit = prehoc.fit(runs(n=60, b=0.3, K=0.5, alpha=0.05, seed=seed), horizon=HORIZON)
        u = fit.variance[(fit.variance["proxy"] == "residual") & (fit.variance["information"] == "last")]
        driven = next(r for r in verdict(fit)["readings"] if r["reading"] == "bayes")
        last = u.sort_values("depth").iloc[-1]
        assert driven["iota"] <= last["risk"] / last["var_r"] + 1e-12


def test_a_few_runs_that_make_most_of_var_r_are_no_task():
    for column in ("final", "metric"):
        frame = runs(n=100, seed=10)
        last = frame["depth"] == DEPTHS[-1]
        if column == "metric":
            frame = frame.drop(columns="final")
        frame.loc[(frame["seed"] == 4) & (last | (column == "final")), column] += 60
        fit = prehoc.fit(frame)
        assert "R of 1 run lies over 8" in refused(fit, "regime")
        assert not verdict(fit)["alpha"]["identified"]
        assert verdict(prehoc.fit(frame, spikes="keep"))["refused"] == []


def test_steps_saved_are_those_that_runs_would_have_taken():
    frame = falling(target=0.55, n=150)
    fit = prehoc.fit(frame)
    r = frame.groupby("seed")["depth"].max().to_numpy(float)
    said = verdict(fit)
    r = r[np.isin(r, r[r <= said["horizon"]])]
    for one in said["saving"]:
        assert one["steps_saved"] <= np.maximum(r - one["c_star"], 0).mean() * 1.02
        assert one["share_saved"] == pytest.approx(one["steps_saved"] / said["outcome"]["mean"])


@pytest.mark.parametrize("options", [{}, {"outcome": "to-target:99"}, {"horizon": 2}])
def test_a_task_that_nothing_can_be_said_of_is_refused_and_the_others_go_on(options):
    poor = pd.DataFrame(
        {"task": "poor", "seed": range(30), "depth": 1, "metric": np.random.default_rng(0).random(30)}
    )
    good = runs(n=30, task="good").drop(columns="final")
    fit = prehoc.fit(pd.concat([good, poor]), direction="higher", **options)
    assert "poor" in fit.refused
    assert all(r["remedy"] for r in verdict(fit, "poor")["refused"])
    if not options:
        assert fit.tasks == ("good",)


def test_more_depths_than_runs_are_no_trouble_for_the_prefix():
    rng = np.random.default_rng(11)
    walk = np.cumsum(rng.normal(size=(25, 30)), axis=1)
    frame = pd.DataFrame(
        {
            "seed": np.repeat(np.arange(25), 30),
            "depth": np.tile(np.arange(1, 31), 25),
            "metric": walk.ravel(),
        }
    )
    fit = prehoc.fit(frame, information="prefix")
    assert fit.tasks == ("task",)


def test_a_direction_that_runs_do_not_show_is_assumed():
    rng = np.random.default_rng(12)
    frame = pd.DataFrame(
        {"seed": np.repeat(np.arange(40), 4), "depth": np.tile([1, 2, 4, 8], 40), "metric": rng.random(160)}
    )
    assert "assumed" in verdict(prehoc.fit(frame), "task")["direction"]


def test_what_is_no_frame_or_file_is_refused():
    twice = pd.DataFrame([[0, 1, 2.0, 3.0]], columns=["seed", "depth", "metric", "metric"])
    with pytest.raises(InputError, match="same name"):
        prehoc.fit(twice)
    with pytest.raises(InputError, match="not dict"):
        prehoc.fit({"seed": [0]})
    with pytest.raises(InputError, match="leave --horizon out"):
        prehoc.fit(runs(n=6), outcome="depth:8", horizon=64)
