"""Advice: following it halves alpha's interval; the extended covariance; honest refusals."""

import numpy as np
import pytest

from prehoc import tables
from prehoc.risk.advice import (
    Present,
    advise,
    alpha_sd,
    at_alpha,
    best_depths,
    extend,
    steps_for,
    unseen_fall,
)
from prehoc.risk.envelope import fit_envelope
from prehoc.risk.forks import fork
from prehoc.risk.pipeline import advice_table, variance_table
from prehoc.risk.planning import advice_words
from prehoc.risk.proxies import residual
from prehoc.synthetic.frames import simulate_task
from prehoc.synthetic.instances import INSTANCES

T = 1024
INSTANCE = INSTANCES["dynamic_a050"]


def fit_of(n, depths, rng):
    s = INSTANCE.build().simulate(n, depths, rng)
    e = residual(s.metric, s.outcome, "last")
    return fit_envelope(np.array(depths, float), e.risk, e.nu, T, e.covariance)


def fork_fit(trunks, depths, rng, per=4):
    p = INSTANCE.build()
    s = p.simulate(trunks, depths, rng)
    e = fork([p.forks(s.state[:, j], c, per, rng) for j, c in enumerate(depths)])
    return fit_envelope(np.array(depths, float), e.risk, e.nu, T, e.covariance)


def mean_width(make, n, depths, rng, count=40):
    fits = [make(n, depths, rng) for _ in range(count)]
    return np.mean([f.alpha_high - f.alpha_low for f in fits])


@pytest.mark.parametrize(
    ("depths", "option"),
    [((1, 4, 16, 64, 256, 1024), "seeds"), ((4, 16, 64, 256), "seeds_and_depths")],
)
def test_following_the_advice_halves_the_interval(depths, option):
    """Mean width from fresh draws of 200 runs, and of the runs advised: half, within 15 %."""
    rng = np.random.default_rng(1)
    now = mean_width(fit_of, 200, depths, rng)
    plans = {p.option: p for p in advise(fit_of(200, depths, rng), Present(200))}
    plan = plans[option]
    assert plan.width_then <= 0.5005 * plan.width_now
    assert sum(p.recommended for p in plans.values()) == 1
    assert plan.width_then == pytest.approx(plan.width_now / 2, rel=0.01)
    then = mean_width(fit_of, 200 + int(plan.further_runs), plan.depths, rng)
    assert then / now == pytest.approx(0.5, rel=0.15)


def test_following_the_advice_halves_the_interval_of_forks():
    rng, depths = np.random.default_rng(2), (1, 8, 64, 256, 1024)
    now = mean_width(fork_fit, 40, depths, rng)
    plans = advise(fork_fit(40, depths, rng), Present(40, per_trunk=4, available=500))
    plan = next(p for p in plans if p.recommended)
    then = mean_width(fork_fit, 40 + int(plan.further_runs), plan.depths, rng, 25)
    assert then / now == pytest.approx(0.5, rel=0.15)


def test_the_sd_is_what_repeated_fits_scatter_by():
    rng, depths = np.random.default_rng(3), INSTANCE.depths
    fits = [fit_of(300, depths, rng) for _ in range(120)]
    said = np.mean([alpha_sd(f, depths, False) for f in fits])
    seen = np.std([f.alpha for f in fits])
    assert said == pytest.approx(seen, rel=4 / np.sqrt(2 * 120))
    bound = np.mean([alpha_sd(f, depths, False, bound=True) for f in fits])
    assert 0.8 * said < bound <= said


@pytest.mark.parametrize("independent", [False, True])
def test_the_extended_covariance(independent):
    """Unchanged where measured, positive everywhere, and near what the new depth's own data show."""
    fit = fit_of(300, (4, 16, 64, 256), np.random.default_rng(4))
    nu, same = extend(fit, fit.depth, independent)
    assert same == pytest.approx(fit.relative)
    assert nu == pytest.approx(fit.nu)
    many = np.union1d(np.round(np.geomspace(4, T, 60)), fit.depth)
    nu, wide = extend(fit, many, independent)
    assert np.linalg.eigvalsh(wide)[0] > 0
    assert np.diag(wide) == pytest.approx(2 / nu)
    at = np.searchsorted(many, fit.depth)
    assert wide[np.ix_(at, at)] == pytest.approx(fit.relative)


def test_interpolated_correlations_are_near_the_measured_ones():
    rng = np.random.default_rng(5)
    both = (4, 8, 16, 32, 64, 128, 256)
    seen, told = [], []
    for _ in range(30):
        whole = fit_of(300, both, rng)
        e = whole.relative[::2, ::2]
        part = fit_envelope(whole.depth[::2], whole.risk[::2], whole.nu[::2], T, e)
        seen.append(whole.relative * 150)
        told.append(extend(part, np.array(both, float), False)[1] * 150)
    assert np.abs(np.mean(seen, axis=0) - np.mean(told, axis=0)).max() < 0.1


def test_steps_of_runs_and_of_forks():
    fit = fit_of(100, (4, 16, 64, 256), np.random.default_rng(6))
    runs, trunks = Present(100), Present(100, per_trunk=3, available=10)
    assert steps_for(fit, runs, [4, 16, 64, 256], 7) == 7 * T
    assert steps_for(fit, runs, [4, 16, 20, 24, 64, 256], 0) == 100 * (4 + 4)
    each = 3 * sum(T - c for c in (4, 16, 64, 256))
    assert steps_for(fit, trunks, [4, 16, 64, 256], 7) == 7 * each
    assert steps_for(fit, trunks, [4, 16, 64, 256], 12) == 12 * each + 2 * T
    assert steps_for(fit, trunks, [4, 16, 64, 256, T], 0) == 100 * (T - 256)


def test_a_horizon_that_cannot_be_measured_is_not_advised():
    fit = fit_of(200, (4, 16, 64, 256), np.random.default_rng(7))
    assert T in best_depths(fit, Present(200), 2, 40)
    assert T not in best_depths(fit, Present(200, ends=False), 2, 40)


def test_where_the_risk_does_not_fall_no_number_of_seeds_helps():
    depth = 2.0 ** np.arange(11)
    fit = fit_envelope(depth, np.linspace(0.5, 0.6, 11), np.full(11, 100.0), T)
    (only,) = advise(fit, Present(100))
    assert not only.recommended
    assert np.isnan([only.further_runs, only.steps, only.width_then]).all()
    assert "no number of seeds" in only.note
    hidden = 1 - np.exp(-1.96 * np.sqrt(2 * 2 / 100))  # two independent depths with nu = 100
    assert unseen_fall(fit) == pytest.approx(hidden, rel=1e-3)
    assert f"{hidden:.0%}" in only.note


def test_what_would_identify_alpha_is_said_as_such():
    depth = 2.0 ** np.arange(11)
    law = 1.0 + 0.2 * (depth**-0.5 - T**-0.5)
    faint = fit_envelope(depth, law, np.full(11, 100.0), T)
    assert not faint.identified
    plan = next(p for p in advise(faint, Present(100)) if p.recommended)
    assert "would identify" in plan.note
    assert plan.further_runs > 1000
    factor = (100 + plan.further_runs) / 100
    assert fit_envelope(depth, law, np.full(11, 100.0 * factor), T).identified
    steep = fit_envelope(depth[:5], np.array([1.0, 0.5, 0.5, 0.5, 0.5]), np.full(5, 30.0), T)
    assert steep.alpha == pytest.approx(4.0)
    assert 0.02 < at_alpha(steep).alpha < 4.0


@pytest.mark.parametrize("count", [2, 3])
def test_too_few_depths_ask_for_depths(count):
    depths = (1, 32, 1024)[:count]
    plans = advise(fit_of(200, depths, np.random.default_rng(8)), Present(200))
    assert np.isnan(plans[0].further_runs)
    assert "do not identify" in plans[0].note
    assert len(plans[1].depths) >= 4
    assert any(p.recommended for p in plans[1:])


# --------------------------------------------------------------------------------------- table
def frames_of(name="dynamic_a050", forks=None, n=200, depths=(1, 2, 4, 8, 16, 32, 64, 128)):
    return simulate_task(name, {"process": name, "forks": forks}, n, list(depths), 256, [5])[:3]


@pytest.mark.parametrize("forks", [None, {"depths": [1, 4, 16, 64, 256], "trunks": 40, "per_trunk": 4}])
def test_table_and_words(forks):
    frames = frames_of(forks=forks)
    table = advice_table(variance_table(*frames, metric="value"), *frames)
    assert table["recommended"].sum() == 1
    tables.check("advice", table)
    one = table[table["recommended"]].iloc[0]
    said = advice_words(table, "dynamic_a050")
    assert ("trunks" if forks else "runs") in said
    assert f"{one['further_runs']:.0f} further" in said
    assert one["alpha_width_then"] <= one["alpha_width_now"] / 2 * 1.001


def test_no_advice_on_a_constant_metric_or_a_law_that_does_not_hold():
    runs, _, _ = frames_of()
    flat = advice_table(variance_table(runs.assign(value=0.5), metric="value"), runs.assign(value=0.5))
    assert not flat["recommended"].any()
    assert "constant" in flat["note"].iloc[0]
    runs, _, _ = frames_of("control_linear", n=800)
    table = advice_table(variance_table(runs, metric="value"), runs)
    assert not table["recommended"].any()
    assert "no power law" in table["note"].iloc[0]
    assert "can be named" in advice_words(table, "control_linear")
    assert advice_words(table, "absent") == ""


def test_one_depth_asks_for_more():
    runs, _, _ = frames_of(depths=(8,))
    runs = runs[(runs["split"] != "val") | (runs["depth"] == 8)]
    table = advice_table(variance_table(runs, metric="value"), runs)
    assert len(table["depths"].iloc[0].split()) >= 6
    assert np.isnan(table["alpha_width_then"].iloc[0])
    assert "measure at depths" in advice_words(table, "dynamic_a050")
