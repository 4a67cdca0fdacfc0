"""Where to stop: the closed form, the corners, the guard, and monotony."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prehoc.benchmark.trials import Setting, trials, truth_of
from prehoc.errors import InputError
from prehoc.risk.depth_interval import drift_of, interval_of_depth
from prehoc.risk.envelope import fit_envelope
from prehoc.risk.proxies import residual
from prehoc.risk.stopping import (
    Decision,
    argmin,
    break_even_runs,
    closed_form,
    depth_for_share,
    frontier,
    grid_argmin,
    guarded,
    optimal_depth,
    price_to_rate,
)
from prehoc.synthetic.instances import INSTANCES, instances

D = 2.0 ** np.arange(11)
T = 1024
VAR_R = 1.2


def exact_fit(b=0.04, K=1.0, alpha=0.5, nu=1500.0):
    mu = b + K * (D**-alpha - T**-alpha)
    return fit_envelope(D, mu, np.full(11, nu), T)


def test_closed_form_is_the_papers():
    assert optimal_depth(2.0, 0.5, 1e-3) == pytest.approx((0.5 * 2 / 1e-3) ** (1 / 1.5))
    assert optimal_depth(2.0, 0.5, 1e-3, 0.5) == pytest.approx(optimal_depth(2.0, 0.5, 1e-3) - 0.5)


def test_argmin_agrees_with_a_search():
    fit = exact_fit()
    for rate in (1e-5, 1e-4, 1e-3, 1e-2, 0.3, 2.0):
        steps = np.arange(1, T + 1)
        totals = np.r_[VAR_R, fit.mu(steps) + rate * steps]
        best = argmin(fit, rate, VAR_R)
        assert best.total_risk == pytest.approx(totals.min(), rel=1e-12)
        assert best.c_star == np.argmin(totals)
        assert best.low <= best.c_star <= best.high


def test_corners_are_named():
    fit = exact_fit()
    assert argmin(fit, 1e-9, VAR_R).corner == "horizon"
    assert argmin(fit, 1e-3, VAR_R).corner == "interior"
    assert argmin(fit, 10.0, VAR_R).corner == "zero"
    assert closed_form(fit, 1e-9).corner == "horizon"
    assert grid_argmin(fit, 10.0, VAR_R).corner == "zero"


def test_intrinsic_risk_plays_no_part():
    a, b = closed_form(exact_fit(b=0.04), 1e-3), closed_form(exact_fit(b=0.8), 1e-3)
    assert a.c_star == pytest.approx(b.c_star, rel=1e-3)


@settings(max_examples=60, deadline=None)
@given(
    st.floats(1e-3, 1e3), st.floats(0.05, 3), st.floats(1e-5, 10), st.floats(1.01, 50),
)  # fmt: skip
def test_monotone_in_price_and_K(K, alpha, rate, more):
    assert optimal_depth(K, alpha, rate * more) <= optimal_depth(K, alpha, rate)
    assert optimal_depth(K * more, alpha, rate) >= optimal_depth(K, alpha, rate)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.floats(0.01, 100))
def test_decisions_fall_with_price_and_ignore_the_metrics_scale(seed, scale):
    mu = 0.04 + 1.0 * (D**-0.5 - T**-0.5)
    u = mu * np.random.default_rng(seed).chisquare(200, 11) / 200
    nu = np.full(11, 200.0)
    prices = np.geomspace(0.01, 10, 12)
    one = frontier(fit_envelope(D, u, nu, T), prices, VAR_R)
    two = frontier(fit_envelope(D, u * scale**2, nu, T), prices, VAR_R * scale**2)
    depths = [d.c_star for _, d in one]
    assert depths == sorted(depths, reverse=True)
    assert depths == pytest.approx([d.c_star for _, d in two], rel=0.01, abs=1.0)
    assert all(d.low <= d.c_star <= d.high for _, d in one)


def test_interval_is_the_delta_methods_where_all_is_known_well():
    fit = exact_fit(nu=15_000.0)
    rate = price_to_rate(0.2, VAR_R, T)
    low, high = interval_of_depth(fit, rate)
    log_c = np.log(optimal_depth(fit.K, fit.alpha, rate))
    slope = np.array([0.0, 1.0, 1 / fit.alpha - log_c]) / (fit.alpha + 1)
    half = 1.96 * np.sqrt(slope @ fit.covariance @ slope)
    assert np.log([low, high]) == pytest.approx([log_c - half, log_c + half], abs=0.12 * half)


def test_a_price_carries_the_error_of_var_r():
    fit = exact_fit(nu=1500.0)
    rate = price_to_rate(0.2, VAR_R, T)
    known = interval_of_depth(fit, rate)
    forks = interval_of_depth(fit, rate, drift_of("fork", fit.risk, fit.nu, VAR_R, 0.1 * VAR_R))
    wide = np.log(forks[1] / forks[0])
    plain = np.log(known[1] / known[0])
    # log c* = ... - log Var R/(alpha + 1), and the two errors are independent
    assert wide == pytest.approx(np.hypot(plain, 2 * 1.96 * 0.1 / 1.5), rel=0.05)
    shared = interval_of_depth(fit, rate, drift_of("residual", fit.risk, fit.nu, VAR_R, 0.1 * VAR_R))
    assert np.log(shared[1] / shared[0]) != pytest.approx(wide, rel=0.001)


def test_a_risk_that_does_not_fall_leaves_an_upper_end_alone():
    flat = fit_envelope(D, np.full(11, 0.5), np.full(11, 60.0), T)
    rate = price_to_rate(0.2, 0.5, T)
    low, high = interval_of_depth(flat, rate)
    assert low == 0.0
    assert 0 < high < T
    found = argmin(flat, rate, 0.5, 0.1)
    assert (found.c_star, found.corner, found.low, found.high) == (0.0, "zero", 0.0, high)
    sure = argmin(flat, rate, 5.0, 0.1)  # the first step tells most of R, whatever comes later
    assert sure.c_star == 1.0


@pytest.mark.parametrize(
    ("name", "n", "least"),
    [("dynamic_a050", 300, 0.88), ("noise_a050", 50, 0.85), ("static_visible", 50, 0.88)],
)
def test_interval_of_c_star_covers(name, n, least):
    """Where alpha is hardly identified too; measured: .95, .94, .96."""
    setting = Setting(name, 11, 0.2)
    truth = truth_of(setting)
    made = trials(setting, n, 100, truth)
    rows = made[made["quantity"] == "c_star:guarded"]
    held = (rows["low"] <= truth.c_star) & (truth.c_star <= rows["high"])
    assert held.mean() >= least


def regret(instance, n, count, price=0.2):
    """Mean true J at the guarded choice, less the least true J, in Var R."""
    p, rng = instance.build(), np.random.default_rng(1)
    steps = np.arange(1, T + 1)
    exact = p.exact_risk(steps, "last")
    var_r = float(p.exact_risk([T], "none")[0])
    rate = price_to_rate(price, var_r, T)
    total = np.r_[var_r, exact + rate * steps]
    lost = []
    for _ in range(count):
        s = p.simulate(n, instance.depths, rng)
        e = residual(s.metric, s.outcome, "last")
        fit = fit_envelope(D, e.risk, e.nu, T, e.covariance, shift=instance.shift)
        c = int(guarded(fit, rate, float(s.outcome.var(ddof=1))).c_star)
        lost.append(total[c] - total.min())
    return np.mean(lost) / var_r


@pytest.mark.parametrize("name", ["dynamic_a050", "dynamic_rho075", "static_a100", "noise_a050"])
def test_guarded_regret_on_power_laws(name):
    assert regret(INSTANCES[name], 300, 25) < 0.003


@pytest.mark.parametrize("instance", instances(power_law=False), ids=lambda i: i.name)
def test_guarded_regret_on_controls(instance):
    assert regret(instance, 300, 25) < 0.03


def test_the_guard_leaves_the_envelope_where_it_does_not_fit():
    mu = np.where(D < 300, 1.0, 0.2)
    fit = fit_envelope(D, mu, np.full(11, 1500.0), T)
    assert fit.lack_of_fit_p < 0.01
    found = guarded(fit, 1e-5, VAR_R)
    assert found.rule == "guarded"
    assert found.c_star == 512
    assert guarded(exact_fit(), 1e-3, VAR_R).c_star == argmin(exact_fit(), 1e-3, VAR_R).c_star


def test_interval_reaches_zero_where_no_probing_is_as_good():
    fit = exact_fit(b=1.0, K=0.1, nu=100.0)
    found = argmin(fit, 1e-4, 1.05, 0.15)
    assert found.low == 0.0


def test_depth_for_share():
    fit = exact_fit()
    half = depth_for_share(fit, 0.5)
    gone = (fit.mu(1.0) - fit.mu(half)) / (fit.mu(1.0) - fit.mu(T))
    assert gone >= 0.5
    assert half > 1
    assert (fit.mu(1.0) - fit.mu(half - 1)) / (fit.mu(1.0) - fit.mu(T)) < 0.5
    assert depth_for_share(fit, 1.0) == T
    with pytest.raises(InputError, match="share"):
        depth_for_share(fit, 0.0)


def test_break_even():
    decision = Decision("argmin", 100.0, 90.0, 110.0, "interior", 0.5)
    runs = break_even_runs(1000.0, decision, 0.3, 1e-3, 1000.0)
    assert runs == pytest.approx(1000.0 / ((0.3 + 1.0 - 0.5) / 1e-3))
    assert np.isnan(break_even_runs(1000.0, decision, 0.0, 1e-4, 100.0))


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), float("inf")])
def test_bad_prices_are_refused(rate):
    with pytest.raises(InputError, match="positive"):
        optimal_depth(1.0, 0.5, rate)
    with pytest.raises(InputError, match="price"):
        price_to_rate(rate, 1.0, 10)
