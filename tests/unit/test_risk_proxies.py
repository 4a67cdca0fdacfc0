"""Proxies: unbiased, with intervals that cover, and failures that are counted."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prehoc.errors import InputError
from prehoc.risk.envelope import fit_envelope
from prehoc.risk.forks import fork
from prehoc.risk.proxies import change, interval, residual, run_to_run
from prehoc.risk.resample import fork_risks, quick_risks
from prehoc.synthetic.instances import INSTANCES

DEPTHS = (1, 4, 16, 64)


def draw(n, rng, name="dynamic_a050", horizon=64):
    p = INSTANCES[name].build(horizon)
    return p, p.simulate(n, DEPTHS, rng)


def binomial_bounds(level, count, width=4.0):
    half = width * np.sqrt(level * (1 - level) / count)
    return level - half, level + half


@pytest.mark.parametrize("information", ["last", "prefix"])
@pytest.mark.parametrize("n", [50, 300])
def test_residual_is_unbiased_and_covers(information, n):
    rng = np.random.default_rng(0)
    risks, covered, count = [], [], 300
    for _ in range(count):
        p, s = draw(n, rng)
        e = residual(s.metric, s.outcome, information)
        exact = p.exact_risk(DEPTHS, information)
        risks.append(e.risk / exact)
        covered.append((e.ci_low <= exact) & (exact <= e.ci_high))
    error = np.std(risks, axis=0) / np.sqrt(count)
    assert np.all(np.abs(np.mean(risks, axis=0) - 1) < 4 * error)
    low, high = binomial_bounds(0.95, count)
    assert np.all((np.mean(covered, axis=0) > low - 0.01) & (np.mean(covered, axis=0) < high))


def test_fork_is_unbiased_and_covers():
    rng = np.random.default_rng(1)
    risks, covered, count = [], [], 300
    for _ in range(count):
        p, s = draw(24, rng)
        e = fork([p.forks(s.state[:, j], c, 4, rng) for j, c in enumerate(DEPTHS)])
        exact = p.exact_risk(DEPTHS, "state")
        risks.append(e.risk / exact)
        covered.append((e.ci_low <= exact) & (exact <= e.ci_high))
    error = np.std(risks, axis=0) / np.sqrt(count)
    assert np.all(np.abs(np.mean(risks, axis=0) - 1) < 4 * error)
    low, high = binomial_bounds(0.95, count)
    assert np.all((np.mean(covered, axis=0) > low - 0.01) & (np.mean(covered, axis=0) < high))


def test_intervals_follow_heavy_tails():
    rng = np.random.default_rng(2)
    n, count = 300, 300
    covered = []
    for _ in range(count):
        e = run_to_run(rng.laplace(size=(n, 8)))
        covered.append((e.ci_low <= 2) & (e.ci_high >= 2))
    assert 0.92 < np.mean(covered) < 0.98
    normal = interval(np.array([2.0]), np.array([n - 1.0]))
    assert e.ci_high[0] - e.ci_low[0] > 1.2 * (normal[1] - normal[0])[0]


def test_covariance_across_depths_matches_repeated_draws():
    rng = np.random.default_rng(3)
    relative, given_ = [], []
    for _ in range(600):
        p, s = draw(200, rng)
        e = residual(s.metric, s.outcome, "last")
        relative.append(e.risk / p.exact_risk(DEPTHS, "last"))
        given_.append(e.covariance)
    seen = np.cov(np.array(relative).T)
    assert np.mean(given_, axis=0) == pytest.approx(seen, abs=0.12 * seen.max())


def test_variance_identity():
    _, s = draw(500, np.random.default_rng(4))
    e = residual(s.metric, s.outcome, "last")
    for j in range(len(DEPTHS)):
        fitted = np.polyval(np.polyfit(s.metric[:, j], s.outcome, 1), s.metric[:, j])
        explained = s.outcome.var() - fitted.var()
        assert e.risk[j] == pytest.approx(explained * 500 / 498, rel=1e-9)


def test_change_holds_the_metrics_noise():
    rng = np.random.default_rng(5)
    theta = rng.normal(size=20_000)
    metric = theta + 0.5 * rng.normal(size=20_000)
    e = change(metric[:, None], theta + 3.0)
    assert e.risk[0] == pytest.approx(0.25, rel=0.05)


def test_failures_are_counted_not_averaged():
    rng = np.random.default_rng(6)
    _, s = draw(100, rng)
    metric, outcome = s.metric.copy(), s.outcome.copy()
    metric[:10], outcome[:10] = np.nan, np.nan
    part = residual(metric, outcome, "last")
    clean = residual(s.metric[10:], s.outcome[10:], "last")
    assert part.risk == pytest.approx(clean.risk, rel=1e-12)
    assert part.failure_rate == pytest.approx([0.1] * 4)
    assert part.n.tolist() == [90] * 4
    forks = rng.normal(size=(30, 4))
    forks[0, 1:], forks[1, 0] = np.nan, np.nan
    e = fork([forks])
    expected = (2 * forks[1, 1:].var(ddof=1) + 3 * forks[2:].var(axis=1, ddof=1).sum()) / 86
    assert e.risk[0] == pytest.approx(expected)
    assert e.n[0] == 29
    assert e.failure_rate[0] == pytest.approx(4 / 120)


def test_a_wild_run_does_not_move_the_robust_variance():
    rng = np.random.default_rng(7)
    x = rng.normal(size=(400, 1))
    x[0] = 1000.0
    e = run_to_run(x)
    assert e.risk[0] > 100
    assert e.robust[0] == pytest.approx(1.0, rel=0.25)


def test_a_collinear_prefix_costs_nothing():
    _, s = draw(50, np.random.default_rng(8))
    twice = np.column_stack([s.metric[:, 0], s.metric[:, 0] * 2 + 1, s.metric[:, 0]])
    e = residual(twice, s.outcome, "prefix")
    assert e.risk == pytest.approx([e.risk[0]] * 3, rel=1e-9)


def test_constant_metric_gives_zero_and_no_interval():
    e = run_to_run(np.full((30, 2), 0.9))
    assert e.risk.tolist() == [0.0, 0.0]
    assert np.isnan(e.nu).all()
    assert np.isnan(e.ci_low).all()


def test_too_few_degrees_of_freedom_is_no_number():
    _, s = draw(6, np.random.default_rng(9))
    e = residual(s.metric, s.outcome, "prefix")
    assert np.isfinite(e.risk[:2]).all()
    assert np.isnan(e.risk[2:]).all()


@pytest.mark.parametrize("n", [0, 1, 4])
def test_too_few_runs_are_refused(n):
    with pytest.raises(InputError, match="at least 5 runs"):
        run_to_run(np.zeros((n, 3)))
    with pytest.raises(InputError, match="at least 5 trunks"):
        fork([np.zeros((n, 4))])


def test_quick_risks_are_the_same_numbers():
    rng = np.random.default_rng(10)
    _, s = draw(60, rng)
    static = rng.normal(size=(60, 2))
    for information in ("last", "prefix", "static", "static+prefix"):
        slow = residual(s.metric, s.outcome, information, static).risk
        quick = quick_risks(s.metric, s.outcome, information, static)
        assert quick == pytest.approx(slow, rel=1e-9)
    forks = tuple(rng.normal(size=(20, 4)) for _ in range(3))
    assert fork_risks(forks, np.ones((1, len(forks[0]))))[0] == pytest.approx(
        fork(list(forks)).risk, rel=1e-12
    )


@settings(max_examples=30, deadline=None)
@given(st.floats(0.01, 100), st.floats(-50, 50), st.integers(0, 1000))
def test_scale_shift_and_permutation(scale, shift, seed):
    rng = np.random.default_rng(seed)
    _, s = draw(40, rng)
    order = rng.permutation(40)
    for proxy in ("last", "prefix"):
        base = residual(s.metric, s.outcome, proxy)
        moved = residual(s.metric[order] * scale + shift, s.outcome[order] * scale + shift, proxy)
        assert moved.risk == pytest.approx(base.risk * scale**2, rel=1e-6)
        assert moved.nu == pytest.approx(base.nu, rel=1e-6)


def test_features_of_no_use_raise_no_false_alarm():
    """Nested regressions on noise: the truth is flat, and U's small steps must not look sure."""
    depth, alarms = 2.0 ** np.arange(10), 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        e = residual(rng.normal(size=(300, 10)), rng.normal(size=300), "prefix")
        alarms += fit_envelope(depth, e.risk, e.nu, 512, e.covariance).lack_of_fit_p < 0.01
    assert alarms <= 3  # it was 17 of 40 with the plain r^2


def test_tails_that_differ_by_depth_are_seen_at_each():
    """Normal early, Laplace late: one kurtosis for all would be too sure of the late risks."""
    rng, inside = np.random.default_rng(0), np.zeros((400, 2))
    for i in range(len(inside)):
        wide = np.stack([rng.normal(0, 3, 1500), rng.laplace(0, 1, 1500)], 1)
        e = run_to_run(wide)
        inside[i] = (e.ci_low <= [9, 2]) & (e.ci_high >= [9, 2])
    assert (np.abs(inside.mean(0) - 0.95) < 0.035).all()  # pooled: .99 and .87
