"""Online stopping against known truths: exact L(c), runs of known scale, and runs it cannot judge."""

from __future__ import annotations

import numpy as np
import pytest

from prehoc.errors import InputError
from prehoc.predictors import online
from prehoc.predictors.spread import fit_spread
from prehoc.synthetic.instances import build

DEPTHS = np.array([1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024])
HORIZON = 1024


def mixture(n, seed, spread=0.8):
    """Random walks whose steps' sd k_i is a run's own, log normal; R = theta_T + N(0, .2^2)."""
    rng = np.random.default_rng(seed)
    law = DEPTHS.astype(float) ** -0.5
    own = np.exp(spread * rng.standard_normal(n))[:, None]
    steps = own * np.sqrt(law[:-1] - law[1:]) * rng.standard_normal((n, len(law) - 1))
    theta = 0.3 * rng.standard_normal(n)[:, None] + np.cumsum(np.c_[np.zeros(n), steps], axis=1)
    metric = theta + 0.02 * rng.standard_normal(theta.shape)
    return metric, theta[:, -1] + 0.2 * rng.standard_normal(n)


def total(stops, outcome, rate):
    return float(np.mean((outcome - stops.forecast) ** 2) + rate * DEPTHS[stops.index].mean())


@pytest.mark.parametrize("name", ["synthetic_dynamic", "synthetic_noise"])
@pytest.mark.parametrize("price", [0.05, 0.2, 1.0])
def test_where_runs_are_alike_it_is_near_exact_optimal_stopping(name, price):
    process = build(name, {}, HORIZON)
    exact = process.exact_risk(DEPTHS, "prefix")
    var_r = float(process.exact_risk([0], "none")[0])
    rate = price * var_r / HORIZON
    best = float(np.min(exact[3:] + rate * DEPTHS[3:]))
    past = process.simulate(300, DEPTHS, np.random.default_rng(1))
    new = process.simulate(4000, DEPTHS, np.random.default_rng(2))
    prior = online.fit_prior(DEPTHS, past.metric, past.outcome, HORIZON)
    stops = online.stop_depths(prior, DEPTHS, new.metric, rate=rate)
    # sd of a mean of 4,000 squared errors is 2.2 %; measured regrets are under 5 % of the optimum
    assert total(stops, new.outcome, rate) < 1.08 * best
    assert stops.told.mean() > 0.98
    met = float(np.mean((new.outcome - stops.forecast) ** 2))
    # the mean square of 300 runs has a relative sd of sqrt(2/300) = 8.2 %: three of them
    assert np.mean(stops.risk) == pytest.approx(met, rel=0.25)


def test_risks_told_agree_with_errors_met_over_many_priors():
    process = build("synthetic_dynamic", {}, HORIZON)
    new = process.simulate(1000, DEPTHS, np.random.default_rng(20))
    told, met = [], []
    for seed in range(12):
        past = process.simulate(60, DEPTHS, np.random.default_rng([21, seed]))
        prior = online.fit_prior(DEPTHS, past.metric, past.outcome, HORIZON)
        stops = online.stop_depths(prior, DEPTHS, new.metric, rate=2e-4)
        told.append(stops.risk.mean())
        met.append(np.mean((new.outcome - stops.forecast) ** 2))
    # each prior's mean square has a relative sd of sqrt(2/60) = 18 %, the mean of 12 one of 5.3 %
    assert np.mean(told) == pytest.approx(np.mean(met), rel=0.16)


def test_where_runs_have_scales_of_their_own_it_beats_every_fixed_depth():
    metric, outcome = mixture(250, 1)
    new, truth = mixture(4000, 2)
    prior = online.fit_prior(DEPTHS, metric, outcome, HORIZON)
    for price in (0.05, 0.2, 1.0):
        rate = price * truth.var() / HORIZON
        stops = online.stop_depths(prior, DEPTHS, new, rate=rate)
        at = online.standing(prior, DEPTHS, new, rate=rate)[0].forecast
        fixed = np.mean((truth[:, None] - at[:, 3:]) ** 2, axis=0) + rate * DEPTHS[3:]
        assert total(stops, truth, rate) < 0.93 * fixed.min()  # measured: .78 to .86


def test_risks_told_are_met_in_each_quarter_of_them():
    metric, outcome = mixture(400, 3)
    new, truth = mixture(8000, 4)
    prior = online.fit_prior(DEPTHS, metric, outcome, HORIZON)
    at, why = online.standing(prior, DEPTHS, new, rate=1e-4)
    assert why == ""
    for k in (3, 6):
        told, met = at.now[:, k], (truth - at.forecast[:, k]) ** 2
        parts = np.array_split(np.argsort(told), 4)
        ratio = [met[p].mean() / told[p].mean() for p in parts]
        assert np.all(np.array(ratio) > 0.55), ratio
        assert np.all(np.array(ratio) < 1.8), ratio
        assert met[parts[3]].mean() > 4 * met[parts[0]].mean()  # and they do tell runs apart


def test_a_run_uses_its_own_numbers_up_to_its_stop_alone():
    metric, outcome = mixture(60, 5)
    new, _ = mixture(200, 6)
    prior = online.fit_prior(DEPTHS, metric, outcome, HORIZON)
    whole = online.stop_depths(prior, DEPTHS, new, rate=1e-4)
    cut = new.copy()
    for row, k in zip(cut, whole.index, strict=True):
        row[k + 1 :] = 1e6
    again = online.stop_depths(prior, DEPTHS, cut, rate=1e-4)
    np.testing.assert_array_equal(again.index, whole.index)
    np.testing.assert_array_equal(again.forecast, whole.forecast)
    np.testing.assert_array_equal(again.risk, whole.risk)
    alone = online.stop_depths(prior, DEPTHS, new[:1], rate=1e-4)
    assert alone.index[0] == whole.index[0]
    assert alone.forecast[0] == pytest.approx(whole.forecast[0], rel=1e-12)


@pytest.mark.parametrize("rate", [0.0, 1e-6, 1e-4, 1e2])
def test_never_before_the_least_depths_and_deeper_where_steps_are_cheap(rate):
    metric, outcome = mixture(80, 7)
    new, _ = mixture(300, 8)
    for least in (4, 6):
        prior = online.fit_prior(DEPTHS, metric, outcome, HORIZON, least_depths=least)
        stops = online.stop_depths(prior, DEPTHS, new, rate=rate)
        assert stops.index.min() >= least - 1
        assert stops.index.max() <= len(DEPTHS) - 1
    if rate == 1e2:
        assert set(stops.index) == {least - 1}
    cheap = online.stop_depths(prior, DEPTHS, new, rate=rate / 10).index.mean()
    assert cheap >= stops.index.mean() - 1e-9


def test_it_says_when_it_cannot_tell():
    metric, outcome = mixture(80, 9)
    new, _ = mixture(40, 10)
    few = online.fit_prior(DEPTHS, metric[:8], outcome[:8], HORIZON)
    stops = online.stop_depths(few, DEPTHS, new, rate=1e-4)
    assert not stops.told.any()
    assert set(stops.index) == {online.own_c_star(few, DEPTHS, rate=1e-4)}
    assert "8 finished runs; 10 are needed" in stops.note[0]
    none = online.stop_depths(
        online.fit_prior(DEPTHS, metric[:2], outcome[:2], HORIZON), DEPTHS, new, rate=1e-4
    )
    assert set(none.index) == {len(DEPTHS) - 1}
    assert np.isnan(none.forecast).all()

    prior = online.fit_prior(DEPTHS, metric, outcome, HORIZON)
    odd = new.copy()
    odd[0, 2] += 50.0  # a path like none of the finished
    odd[1, 1:] = np.nan  # a run that failed
    stops = online.stop_depths(prior, DEPTHS, odd, rate=1e-4)
    assert not stops.told[:2].any()
    assert stops.index[0] == online.own_c_star(prior, DEPTHS, rate=1e-4)
    assert "unlike" in stops.note[0]
    assert stops.index[1] == -1
    assert "no metric at depth 2" in stops.note[1]

    wild = outcome.copy()
    wild[3] = 1e4  # one run makes all of the squared error
    lone = online.fit_prior(DEPTHS, metric, wild, HORIZON)
    stops = online.stop_depths(lone, DEPTHS, new, rate=1e-4)
    assert not stops.told.any()
    assert "most of the squared error" in stops.note[0]


def test_depths_that_a_new_run_lacks_are_left_out_and_foreign_ones_refused():
    metric, outcome = mixture(80, 11)
    new, _ = mixture(20, 12)
    prior = online.fit_prior(DEPTHS, metric, outcome, HORIZON)
    some = np.array([0, 2, 4, 6, 8])
    stops = online.stop_depths(prior, DEPTHS[some], new[:, some], rate=1e-4)
    narrow = online.fit_prior(DEPTHS[some], metric[:, some], outcome, HORIZON)
    same = online.stop_depths(narrow, DEPTHS[some], new[:, some], rate=1e-4)
    np.testing.assert_array_equal(stops.index, same.index)
    np.testing.assert_allclose(stops.forecast, same.forecast)
    with pytest.raises(InputError, match="at depth 3; there are 1, 2, 4"):
        online.stop_depths(prior, [1, 2, 3, 4], new[:, :4], rate=1e-4)
    with pytest.raises(InputError, match="3 depths; give 4 or more"):
        online.stop_depths(prior, [1, 2, 4], new[:, :3], rate=1e-4)
    for rate in (-1.0, np.nan):
        with pytest.raises(InputError, match="is no cost of a step"):
            online.stop_depths(prior, DEPTHS, new, rate=rate)
    with pytest.raises(InputError, match="least_depths is 3"):
        online.fit_prior(DEPTHS, metric, outcome, HORIZON, least_depths=3)
    with pytest.raises(InputError, match="end by the horizon 512"):
        online.fit_prior(DEPTHS, metric, outcome, 512)


def test_units_do_not_matter_and_constants_do_no_harm():
    metric, outcome = mixture(60, 13)
    new, _ = mixture(30, 14)
    prior = online.fit_prior(DEPTHS, metric, outcome, HORIZON)
    one = online.stop_depths(prior, DEPTHS, new, rate=1e-4)
    scaled = online.fit_prior(DEPTHS, 100 * metric + 7, 10 * outcome - 3, HORIZON)
    two = online.stop_depths(scaled, DEPTHS, 100 * new + 7, rate=1e-2)
    np.testing.assert_array_equal(one.index, two.index)
    np.testing.assert_allclose(10 * one.forecast - 3, two.forecast, rtol=1e-6)
    np.testing.assert_allclose(100 * one.risk, two.risk, rtol=1e-6)
    flat = online.fit_prior(DEPTHS, np.ones_like(metric), np.ones_like(outcome), HORIZON)
    stops = online.stop_depths(flat, DEPTHS, np.ones_like(new), rate=1e-4)
    assert set(stops.index) == {3}
    np.testing.assert_allclose(stops.forecast, 1.0)
    np.testing.assert_allclose(stops.risk, 0.0, atol=1e-12)


def test_the_spread_finds_slopes_that_are_there_and_no_others():
    rng = np.random.default_rng(15)
    n = 600
    x, other = rng.standard_normal((2, n, 1))
    square = np.exp(0.8 * x) * rng.standard_normal((n, 1)) ** 2
    found = fit_spread((x, other), square)
    assert found.slope[0][0, 0] == pytest.approx(0.8, abs=4 * np.sqrt(2 / n))
    assert abs(found.slope[0][1, 0]) < 0.12
    none = fit_spread((x, other), rng.standard_normal((n, 1)) ** 2)
    assert np.abs(none.slope[0]).max() < 0.12
    factor = found.factor(0, (x[:, 0], other[:, 0]), 3.0)
    assert factor.mean() == pytest.approx(1.0, abs=1e-9)
