"""The envelope: exact recovery, calibrated intervals, rivals, onset, and honest refusals."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from prehoc.errors import InputError
from prehoc.risk.envelope import fit_envelope
from prehoc.risk.many import fit_many
from prehoc.risk.onset import find_onset
from prehoc.risk.proxies import residual
from prehoc.risk.rivals import aic_weights, compare, isotonic, log_regression
from prehoc.synthetic.instances import INSTANCES

D = 2.0 ** np.arange(11)
T = 1024


def law(b, K, alpha, shift=0.0, depth=D):
    return b + K * ((depth + shift) ** -alpha - (T + shift) ** -alpha)


def sample(mu, nu, rng, count=None):
    size = mu.shape if count is None else (count, *mu.shape)
    return mu * rng.chisquare(nu, size) / nu


@pytest.mark.parametrize("alpha", [0.1, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("b", [0.0, 0.05, 2.0])
def test_exact_curve_is_recovered(alpha, b):
    depth = D if b > 0 else D[:-1]  # at T the risk would be zero
    fit = fit_envelope(depth, law(b, 1.5, alpha, depth=depth), np.full(len(depth), 1e6), T)
    assert (fit.alpha, fit.K) == pytest.approx((alpha, 1.5), rel=1e-3)
    assert fit.b == pytest.approx(b, abs=2e-4)
    assert fit.identified
    assert fit.lack_of_fit_p > 0.99


def test_half_shift_recovers_two_rho_minus_one():
    for rho in (0.65, 0.75, 0.9):
        p = INSTANCES["dynamic_rho075"].build()
        p = type(p)(T, rho=rho, initial_sd=0.2, target_noise=0.1)
        risk = p.exact_risk(D.astype(int), "state")
        fit = fit_envelope(D, risk, np.full(11, 1500.0), T, shift=0.5)
        assert fit.alpha == pytest.approx(2 * rho - 1, abs=0.01)
        bare = fit_envelope(D, risk, np.full(11, 1500.0), T, shift=0.0)
        assert abs(bare.alpha - (2 * rho - 1)) > abs(fit.alpha - (2 * rho - 1))


def test_profile_reaches_the_optimisers_maximum():
    rng = np.random.default_rng(0)
    u = sample(law(0.04, 1.0, 0.5), 300, rng, 20)
    nu = np.full(11, 300.0)
    b, K, alpha = fit_many(D, u, nu, T)

    def cost(t, row):
        mu = law(np.exp(t[0]), np.exp(t[1]), np.exp(t[2]))
        return 0.5 * np.sum(nu * (np.log(mu) + row / mu))

    for i, row in enumerate(u):
        start = np.log([max(b[i], 1e-3), K[i], alpha[i]]) + 0.2
        best = minimize(
            cost, start, (row,), method="Nelder-Mead",
            options={"xatol": 1e-8, "fatol": 1e-9, "maxiter": 4000},
        )  # fmt: skip
        mu = b[i] + K[i] * (D ** -alpha[i] - T ** -alpha[i])
        assert 0.5 * np.sum(nu * (np.log(mu) + row / mu)) <= best.fun + 1e-5


def test_rmse_is_near_the_cramer_rao_bound():
    rng = np.random.default_rng(1)
    nu, count = 1500, 1000
    u = sample(law(0.04, 1.0, 0.5), nu, rng, count)
    alpha = fit_many(D, u, np.full(11, nu), T)[2]
    x, slope = law(0, 1, 0.5), -np.log(D) * D**-0.5 + np.log(T) * T**-0.5
    g = np.stack([np.ones(11), x, slope], 1) / law(0.04, 1.0, 0.5)[:, None]
    bound = np.sqrt(np.linalg.inv(nu / 2 * g.T @ g)[2, 2])
    rmse = np.sqrt(np.mean((alpha - 0.5) ** 2))
    assert 0.93 < rmse / bound < 1.1  # three standard errors of an rmse from 1000 fits: 7 %


@pytest.mark.parametrize(("n", "low", "high"), [(50, 0.88, 0.99), (300, 0.90, 0.99)])
def test_intervals_cover_on_correlated_curves(n, low, high):
    """Residuals of one set of runs: depths are correlated, which the sandwich must see."""
    instance = INSTANCES["dynamic_a050"]
    p, rng, count = instance.build(), np.random.default_rng(2), 150
    exact = p.exact_risk(instance.depths, "last")
    hits = np.zeros((count, 2))
    for i in range(count):
        s = p.simulate(n, instance.depths, rng)
        e = residual(s.metric, s.outcome, "last")
        f = fit_envelope(D, e.risk, e.nu, T, e.covariance)
        hits[i] = f.alpha_low <= 0.5 <= f.alpha_high, f.b_low <= exact[-1] <= f.b_high
    assert np.all(hits.mean(0) > low)
    assert np.all(hits.mean(0) <= high)


def test_correlation_between_depths_sharpens_alpha():
    """Where R's own noise is most of the risk, depths move together, and knowing so helps."""
    instance = INSTANCES["noise_a050"]
    p, rng, off = instance.build(), np.random.default_rng(3), np.zeros((150, 2))
    for i in range(len(off)):
        s = p.simulate(1500, instance.depths, rng)
        e = residual(s.metric, s.outcome, "last")
        apart, together = fit_envelope(D, e.risk, e.nu, T), fit_envelope(D, e.risk, e.nu, T, e.covariance)
        off[i] = apart.alpha - 0.5, together.alpha - 0.5
        assert together.alpha_high - together.alpha_low < apart.alpha_high - apart.alpha_low
    without, with_it = np.sqrt((off**2).mean(0))
    assert with_it < 0.97 * without  # measured: .92


@pytest.mark.parametrize("n", [40, 400])
def test_the_batch_gives_the_single_fits(n):
    instance = INSTANCES["noise_a050"]
    p, rng = instance.build(), np.random.default_rng(8)
    made = [p.simulate(n, instance.depths, rng) for _ in range(12)]
    found = [residual(s.metric, s.outcome, "last") for s in made]
    one = [fit_envelope(D, e.risk, e.nu, T, e.covariance) for e in found]
    risk, nu, relative = (np.stack([getattr(e, k) for e in found]) for k in ("risk", "nu", "covariance"))
    many = np.stack(fit_many(D, risk, nu, T, relative))
    assert many == pytest.approx(np.array([[f.b, f.K, f.alpha] for f in one]).T, rel=1e-6)


def test_a_limit_that_was_measured_is_never_fitted_away():
    """Generalised least squares may send b to 0 though U(T) > 0; then the first stage stands."""
    rng = np.random.default_rng(9)
    for _ in range(40):
        u = sample(law(0.02, 1.0, 0.5), 12, rng)
        r = np.exp(-np.abs(np.subtract.outer(np.log(D), np.log(D))) / 20)
        fit = fit_envelope(D, u, np.full(11, 12.0), T, r * 2 / 12)
        assert np.all(fit.mu(D) > 0)
        assert np.isfinite(fit.lack_of_fit_p)


def test_the_second_stage_is_the_first_where_depths_are_independent():
    rng = np.random.default_rng(4)
    u, nu = sample(law(0.05, 1.0, 0.5), 300, rng), np.full(11, 300.0)
    one = fit_envelope(D, u, nu, T)
    two = fit_envelope(D, u, nu, T, np.diag(2 / nu) + 1e-9)
    assert two.alpha == pytest.approx(one.alpha, abs=0.003)
    assert (two.b, two.K) == pytest.approx((one.b, one.K), rel=0.01)
    assert two.alpha_high == pytest.approx(one.alpha_high, rel=0.01)


@pytest.mark.parametrize("name", ["control_constant", "control_linear", "control_contraction"])
def test_controls_are_caught(name):
    instance = INSTANCES[name]
    p, rng = instance.build(), np.random.default_rng(4)
    for _ in range(25):
        s = p.simulate(300, instance.depths, rng)
        e = residual(s.metric, s.outcome, "last")
        assert fit_envelope(D, e.risk, e.nu, T, e.covariance).lack_of_fit_p < 0.01


def test_false_alarms_are_rare():
    instance = INSTANCES["dynamic_a050"]
    p, rng, alarms = instance.build(), np.random.default_rng(5), 0
    for _ in range(120):
        s = p.simulate(300, instance.depths, rng)
        e = residual(s.metric, s.outcome, "last")
        alarms += fit_envelope(D, e.risk, e.nu, T, e.covariance).lack_of_fit_p < 0.01
    assert alarms <= 6  # at a true rate of 2 % more than 6 of 120 has probability .01


def test_the_horizon_term_matters():
    """Without it alpha = .2, L_int = 0 reads as a much steeper law: the paper's fit shows it."""
    u = law(1e-4, 1.0, 0.2)
    fit = fit_envelope(D, u, np.full(11, 1500.0), T)
    assert fit.alpha == pytest.approx(0.2, abs=0.01)
    assert log_regression(fit).alpha > 0.3


def test_log_regression_recovers_its_own_law():
    u = 0.3 + 2.0 * D**-0.8
    found = log_regression(fit_envelope(D, u, np.full(11, 1500.0), T))
    assert (found.L_int, found.K, found.alpha) == pytest.approx((0.3, 2.0, 0.8), rel=1e-3)


def test_rivals_win_where_they_are_true():
    rng, nu = np.random.default_rng(6), np.full(11, 1500.0)
    truths = {
        "power": law(0.05, 1.0, 0.5),
        "exponential": 0.1 + np.exp(-D / 60),
        "flat": np.full(11, 0.7),
        "late": np.where(D < 300, 1.0, 0.2),
    }
    for name, mu in truths.items():
        wins = 0
        for _ in range(12):
            weights = aic_weights(compare(fit_envelope(D, sample(mu, 1500, rng), nu, T)))
            assert sum(weights.values()) == pytest.approx(1)
            wins += max(weights, key=weights.get) == name
        assert wins >= 9, name


def test_isotonic_pools_violators():
    out = isotonic(np.array([3.0, 1.0, 2.0, 0.5]), np.array([1.0, 1.0, 3.0, 1.0]))
    assert out == pytest.approx([3.0, 1.75, 1.75, 0.5])


def test_onset_skips_a_transient():
    rng = np.random.default_rng(7)
    mu = law(0.05, 1.0, 0.5)
    mu[:3] = [0.2, 0.35, 0.5]
    found = find_onset(D, sample(mu, 1500, rng), np.full(11, 1500.0), T)
    assert found.whole.lack_of_fit_p < 0.01
    assert found.depth in (4.0, 8.0)
    assert found.fit.alpha_low < 0.5 < found.fit.alpha_high
    regular = find_onset(D, law(0.05, 1.0, 0.5), np.full(11, 1500.0), T)
    assert regular.depth == 1.0


def test_no_onset_where_nothing_is_a_power_law():
    mu = np.where(np.arange(11) % 2, 0.3, 1.0)
    found = find_onset(D, mu, np.full(11, 1500.0), T)
    assert np.isnan(found.depth)


def test_not_identified_says_why():
    nu = np.full(11, 100.0)
    flat = fit_envelope(D, np.full(11, 0.5), nu, T)
    assert not flat.identified
    assert "does not fall" in flat.reason
    few = fit_envelope(D[:3], law(0.1, 1, 0.5)[:3], nu[:3], T)
    assert not few.identified
    assert "3 depths" in few.reason
    faint = fit_envelope(D, law(1.0, 0.05, 0.5), nu, T)
    assert not faint.identified
    assert "the range tried" in faint.reason
    assert (faint.alpha_low, faint.alpha_high) == (0.02, 4.0)


def test_without_the_horizon_b_is_vaguer():
    mu, nu = law(0.05, 1.0, 0.5), np.full(11, 1500.0)
    whole = fit_envelope(D, mu, nu, T)
    cut = fit_envelope(D[:-1], mu[:-1], nu[:-1], T)
    assert cut.b_low < 0.05 < cut.b_high
    assert cut.b_high - cut.b_low > whole.b_high - whole.b_low
    assert cut.alpha_high - cut.alpha_low > whole.alpha_high - whole.alpha_low


def test_band_covers_the_curve():
    rng = np.random.default_rng(8)
    mu, inside = law(0.05, 1.0, 0.5), []
    for _ in range(100):
        low, high = fit_envelope(D, sample(mu, 300, rng), np.full(11, 300.0), T).band(D)
        inside.append((low <= mu) & (mu <= high))
    assert 0.91 < np.mean(inside) < 0.985


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"depth": np.r_[0.0, D[1:]]}, "depth 0"),
        ({"depth": np.r_[-1.0, D[1:]]}, "depth 0"),
        ({"depth": np.r_[D[:2], D[1:-1]]}, "once"),
        ({"risk": np.r_[0.0, law(0.1, 1, 0.5)[1:]]}, "positive"),
        ({"risk": np.r_[np.nan, law(0.1, 1, 0.5)[1:]]}, "positive"),
        ({"risk": np.ones(10)}, "10 risks"),
        ({"nu": np.zeros(11)}, "nu"),
        ({"horizon": 512}, "beyond the horizon"),
        ({"horizon": float("nan")}, "horizon"),
        ({"covariance": np.eye(3)}, "covariance"),
    ],
)
def test_bad_input_is_refused(change, message):
    given_ = {"depth": D, "risk": law(0.1, 1, 0.5), "nu": np.full(11, 100.0), "horizon": T}
    with pytest.raises(InputError, match=message):
        fit_envelope(**(given_ | change))


@settings(max_examples=30, deadline=None)
@given(st.floats(1e-3, 1e3), st.integers(0, 10_000))
def test_scale_equivariance(scale, seed):
    u = sample(law(0.05, 1.0, 0.5), 100, np.random.default_rng(seed))
    nu = np.full(11, 100.0)
    one, two = fit_envelope(D, u, nu, T), fit_envelope(D, u * scale**2, nu, T)
    assert two.alpha == pytest.approx(one.alpha, rel=1e-5)
    assert two.b == pytest.approx(one.b * scale**2, rel=1e-4, abs=1e-9 * scale**2)
    assert two.K / one.K / scale**2 == pytest.approx(1.0, rel=1e-4)
    assert two.lack_of_fit_p == pytest.approx(one.lack_of_fit_p, rel=1e-3, abs=1e-6)
    assert one.b >= 0
    assert one.K >= 0


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(1e-6, 1e6), min_size=11, max_size=11), st.floats(2, 1e5))
def test_any_positive_curve_gives_finite_parameters(values, nu):
    fit = fit_envelope(D, np.array(values), np.full(11, nu), T)
    assert np.isfinite([fit.b, fit.K, fit.alpha]).all()
    assert fit.b >= 0
    assert fit.K >= 0
    assert 0.02 <= fit.alpha_low <= fit.alpha * (1 + 1e-6)
    assert fit.alpha * (1 - 1e-6) <= fit.alpha_high <= 4
