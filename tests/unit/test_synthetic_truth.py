"""Exact risks: against closed forms, against each other, and against brute force."""

import numpy as np
import pytest
from scipy.special import zeta

from prehoc.errors import InputError
from prehoc.synthetic.instances import (
    INSTANCES,
    build,
    instances,
    processes,
    regime_of,
    true_regime,
)
from prehoc.synthetic.linear_gaussian import LinearGaussian, PowerLaw, Quadratic
from prehoc.synthetic.population import HiddenFactor, PolyaUrn, VisibleFactor

DEPTHS = (1, 2, 4, 8, 16, 32, 64)


@pytest.mark.parametrize("offset", [0.0, 0.5])
@pytest.mark.parametrize("rho", [0.6, 0.75, 1.0])
def test_flat_direction_is_the_hurwitz_zeta(rho, offset):
    p = LinearGaussian(64, rho=rho, eta_0=0.4, sigma=1.5, offset=offset, target_noise=0.2)
    c = np.array(DEPTHS)
    tail = zeta(2 * rho, c + 1 + offset) - zeta(2 * rho, 65 + offset)
    expected = 0.2**2 + (0.4 * 1.5) ** 2 * tail
    assert p.exact_risk(DEPTHS, "state") == pytest.approx(expected, rel=1e-10)


def test_exact_power_law():
    p = PowerLaw(64, K=2.0, alpha=0.4, target_noise=0.3)
    c = np.array(DEPTHS, float)
    expected = 0.09 + 2.0 * (c**-0.4 - 64**-0.4)
    assert p.exact_risk(DEPTHS, "state") == pytest.approx(expected, rel=1e-12)


def test_alpha_of_rho_decay_is_two_rho_minus_one():
    T = 1_000_000
    for rho in (0.6, 0.75, 0.9):
        p = LinearGaussian(T, rho=rho)
        risk = p.exact_risk([100, 200], "state")
        remainder = zeta(2 * rho, T + 1) * p.eta_0**2
        slope = np.log2((risk[0] + remainder) / (risk[1] + remainder))
        assert slope == pytest.approx(2 * rho - 1, abs=0.01)


def test_alpha_at_rho_one_is_one_minus_two_h_eta():
    p = LinearGaussian(1_000_000, rho=1.0, eta_0=0.5, h=0.4)
    tail = p.moments.tail_noise
    far = tail[[1000, 2000]] + p.eta_0**2 / (1 - 0.4) * 1e6**-1.0
    assert np.log2(far[0] / far[1]) == pytest.approx(1 - 2 * 0.4 * 0.5, abs=0.02)


def _joint_risk(p, depths, information):
    """Gaussian conditioning on the joint covariance, built step by step: an independent route."""
    a, q = p.transition()
    cov = np.zeros((p.horizon + 1,) * 2)
    cov[0, 0] = p.initial_sd**2
    for k in range(1, p.horizon + 1):
        cov[k, :k] = cov[:k, k] = a[k - 1] * cov[k - 1, :k]
        cov[k, k] = a[k - 1] ** 2 * cov[k - 1, k - 1] + q[k - 1]
    out = []
    for i, c in enumerate(depths):
        seen = list(depths[: i + 1]) if information == "prefix" else [c]
        block = cov[np.ix_(seen, seen)] + p.metric_noise**2 * np.eye(len(seen))
        cross = cov[seen, -1]
        out.append(cov[-1, -1] + p.target_noise**2 - cross @ np.linalg.solve(block, cross))
    return np.array(out)


@pytest.mark.parametrize("information", ["last", "prefix"])
def test_kalman_agrees_with_joint_conditioning(information):
    p = LinearGaussian(64, rho=0.7, h=0.3, metric_noise=0.3, target_noise=0.2)
    expected = _joint_risk(p, DEPTHS, information)
    assert p.exact_risk(DEPTHS, information) == pytest.approx(expected, rel=1e-9)
    plain = HiddenFactor(64, rho=0.7, h=0.3, metric_noise=0.3, target_noise=0.2, factor_sd=0.0)
    assert plain.exact_risk(DEPTHS, information) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("name", sorted(INSTANCES))
def test_information_orders_the_risks(name):
    p = INSTANCES[name].build(64)
    state, last, prefix = (p.exact_risk(DEPTHS, i) for i in ("state", "last", "prefix"))
    none = p.exact_risk([1], "none")[0]
    tiny = 1e-9 * none
    assert np.all(state <= prefix + tiny)
    assert np.all(prefix <= last + tiny)
    assert np.all(last <= none + tiny)
    assert np.all(np.diff(state) <= tiny)
    assert np.all(np.diff(prefix) <= tiny)


PROCESSES = [
    LinearGaussian(64, h=0.2, metric_noise=0.2, target_noise=0.3),
    LinearGaussian(64, schedule="linear", eta_0=0.1, target_noise=0.3),
    PowerLaw(64, alpha=0.5, target_noise=0.3),
    Quadratic(64, centre=1.0, target_noise=0.3),
    HiddenFactor(64, metric_noise=0.2, target_noise=0.3),
    PolyaUrn(64, red=2.0, blue=3.0, target_noise=0.05),
]


@pytest.mark.parametrize("p", PROCESSES, ids=lambda p: type(p).__name__)
def test_forks_are_unbiased_for_the_exact_risk(p):
    rng = np.random.default_rng(3)
    trunks = 6000
    for depth in (4, 64):
        s = p.simulate(trunks, [depth], rng)
        within = p.forks(s.state[:, 0], depth, 4, rng, s.factor).var(axis=1, ddof=1)
        exact = p.exact_risk([depth], "state")[0]
        error = within.std(ddof=1) / np.sqrt(trunks)
        assert abs(within.mean() - exact) < 4 * error


@pytest.mark.parametrize("p", PROCESSES, ids=lambda p: type(p).__name__)
def test_var_r_is_the_risk_of_no_information(p):
    s = p.simulate(40_000, [1], np.random.default_rng(4))
    assert s.outcome.var() == pytest.approx(p.exact_risk([0], "none")[0], rel=0.06)


def test_visible_factor_is_static_information():
    p = VisibleFactor(64, factor_sd=1.0, target_noise=0.3, reveal=0.0, metric_noise=0.1)
    static = p.exact_risk([0], "static")[0]
    assert p.exact_risk([0], "none")[0] - static == pytest.approx(1.0)
    slow = VisibleFactor(64, factor_sd=1.0, target_noise=0.3, reveal=0.5, metric_noise=0.1)
    gain = slow.exact_risk(DEPTHS, "prefix") - slow.exact_risk(DEPTHS, "static+prefix")
    assert np.all(gain > -1e-12)
    assert gain[0] > 0.1


def test_registry_covers_the_regimes():
    regular = [i for i in instances() if i.power_law and not i.name.startswith("synthetic")]
    assert len(regular) >= 18
    assert len(instances(power_law=False)) == 3
    names = {"synthetic_static", "synthetic_dynamic", "synthetic_noise"}
    assert names <= set(INSTANCES)
    for instance in instances(power_law=True):
        for information in instance.holds:
            regime, _, _ = true_regime(instance.build(), instance.depths, information)
            assert regime == regime_of(instance.name), (instance.name, information)


@pytest.mark.parametrize("name", ["synthetic_static", "synthetic_dynamic", "synthetic_noise"])
@pytest.mark.parametrize("horizon", [64, 256, 1024])
def test_canonical_instances_keep_their_regime_at_any_horizon(name, horizon):
    depths = tuple(2**i for i in range(int(np.log2(horizon)) + 1))
    for information in ("state", "last"):
        regime, _, _ = true_regime(INSTANCES[name].build(horizon), depths, information)
        assert regime == regime_of(name)


def test_unknown_keys_are_named():
    with pytest.raises(InputError, match=r"'alhpa'.*'alpha'"):
        build("power_law", {"alhpa": 1.0}, 64)
    with pytest.raises(InputError, match=r"'nothing' is unknown.*power_law"):
        build("nothing", {}, 64)
    with pytest.raises(InputError, match="must be a number"):
        build("power_law", {"alpha": "0.5"}, 64)
    with pytest.raises(InputError, match="finite"):
        build("power_law", {"alpha": float("nan")}, 64)
    assert "alpha" in processes()["power_law"]
    assert "horizon" not in processes()["power_law"]


def test_bad_depths_are_refused():
    p = PowerLaw(64)
    for bad in ([], [65], [-1], [2, 2], [4, 2], [1.5]):
        with pytest.raises(InputError, match="depths"):
            p.exact_risk(bad, "last")
