"""Runs whose R is known before T (steps to a target), and variances within groups, against exact truth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prehoc.risk import proxies, resample
from prehoc.risk.curves import measure
from prehoc.risk.data import TaskData


def geometric(rng, n, p=0.3, depths=8):
    """R geometric on 1..depths (the last by force), and a metric that says nothing of it."""
    r = np.minimum(rng.geometric(p, n), depths).astype(float)
    depth = np.arange(1, depths + 1)
    settled = depth[None, :] >= r[:, None]
    metric = np.where(settled, np.nan, rng.normal(size=settled.shape))
    return depth, r, metric, settled


def exact_risk(c, p=0.3, depths=8):
    """P(R > c) Var(R | R > c) for that law, by its definition."""
    k = np.arange(1, depths + 1)
    mass = p * (1 - p) ** (k - 1)
    mass[-1] = 1 - mass[:-1].sum()
    later = k > c
    share = mass[later].sum()
    mean = (k[later] * mass[later]).sum() / share
    return share * (((k[later] - mean) ** 2 * mass[later]).sum() / share)


def test_open_runs_alone_carry_risk_and_the_share_of_them_counts():
    rng = np.random.default_rng(0)
    risks, covered = [], []
    truth = np.array([exact_risk(c) for c in range(1, 6)])
    for _ in range(400):
        _, r, metric, settled = geometric(rng, 200)
        e = proxies.residual(metric, r, settled=settled)
        risks.append(e.risk[:5])
        covered.append((e.ci_low[:5] <= truth) & (truth <= e.ci_high[:5]))
    mean, se = np.mean(risks, axis=0), np.std(risks, axis=0) / np.sqrt(len(risks))
    assert np.all(np.abs(mean - truth) < 4 * se)
    assert np.all(np.mean(covered, axis=0) > 0.90)  # 400 sets: 95 % +- 1.1


def test_a_depth_at_which_all_are_settled_is_not_measured():
    rng = np.random.default_rng(1)
    _, r, metric, settled = geometric(rng, 100)
    e = proxies.residual(metric, r, settled=settled)
    assert np.isnan(e.risk[-1])
    assert np.all(e.n[:4] == 100)  # settled runs are counted


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 5))
def test_within_groups_is_ols_with_a_mean_for_each_group(seed, count):
    rng = np.random.default_rng(seed)
    n = 8 * count
    group = np.repeat(np.arange(count), 8)
    x = rng.normal(size=(n, 2)) + group[:, None]
    r = 3.0 * group + x[:, 0] + rng.normal(size=n)
    e = proxies.residual(x, r, "prefix", group=group)
    for j in range(2):
        design = np.column_stack([np.eye(count)[group], x[:, : j + 1]])
        rss = np.linalg.lstsq(design, r, rcond=None)[1][0]
        assert e.risk[j] == pytest.approx(rss / (n - count - j - 1), rel=1e-9)


def test_variances_within_small_groups_are_unbiased():
    rng = np.random.default_rng(2)
    group = np.repeat(np.arange(40), 3)
    found = [
        proxies.run_to_run(rng.normal(size=120)[:, None] * 2 + 10 * group[:, None], group=group).risk[0]
        for _ in range(500)
    ]
    assert np.mean(found) == pytest.approx(4.0, rel=0.02)  # 500 sets of 80 degrees of freedom: se .7 %


@pytest.mark.parametrize("grouped", [False, True])
def test_the_bootstrap_of_open_runs_is_the_estimate_on_the_rows_that_it_draws(grouped):
    rng = np.random.default_rng(3)
    depth, r, metric, settled = geometric(rng, 60)
    group = np.repeat(np.arange(6), 10) if grouped else None
    counts = resample.resampled_counts(60, 5, 7)
    fast = resample.masked_risks(metric, r, counts, group, settled)
    for b, held in enumerate(counts.astype(int)):
        rows = np.repeat(np.arange(60), held)
        own = None if group is None else group[rows]
        slow = proxies.residual(metric[rows], r[rows], group=own, settled=settled[rows]).risk
        known = np.isfinite(slow)
        assert known[:4].all()
        np.testing.assert_allclose(fast[b][known], slow[known], rtol=1e-8, atol=1e-12)
    assert depth[-1] == 8


def test_the_variance_of_the_metric_ends_with_the_first_stop():
    rng = np.random.default_rng(4)
    depth, r, metric, settled = geometric(rng, 60)
    metric[:, 0], settled[:, 0] = rng.normal(size=60), False
    data = TaskData(
        task="t", horizon=8, depth=depth, metric=metric, outcome=np.maximum(r, 2), static=np.empty((60, 0)),
        fork_depth=np.empty(0, np.int64), forks=(), failure_rate=0.0, target=True, runs=60, fork_steps=0.0,
        settled=settled, first_stop=1,
    )  # fmt: skip
    assert list(measure(data, "run_to_run", "last").depth) == [1]
    assert len(measure(data, "residual", "last").depth) == 8
