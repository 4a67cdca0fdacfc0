"""Races and regrets against plain restatements of them, and the jackknife against repeated draws."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prehoc.predictors import racing
from prehoc.predictors.regret import Tally, between, break_even, cohorts, regret_best, regret_go, resampled


def test_rungs_are_powers_of_eta_below_the_horizon():
    depth = np.array([1, 2, 4, 8, 16, 32, 64])
    assert depth[racing.rungs(depth, 64, 8, 2)].tolist() == [8, 16, 32, 64]
    assert depth[racing.rungs(depth, 64, 9, 3)].tolist() == [4, 16, 64]  # 7.1 and 21.3, rounded down
    assert racing.rungs(np.array([32, 64]), 64, 8, 2).tolist() == [0, 1]


def test_halving_by_hand():
    score = np.array([[[1.0, 9, 0], [2, 1, 9], [3, 3, 1], [4, 2, 0]]])
    assert racing.halve(score, 2).tolist() == [[0, 0, 2, 1]]


def asha(score, cost, eta, workers):
    """Algorithm 2 of Li et al. (2020), one cohort, step by step."""
    arms, levels = score.shape
    done, busy, jobs, started, now = [0] * arms, set(), [], 0, 0.0
    idle = list(range(workers))
    while True:
        for worker in sorted(idle):
            arm = None
            for level in range(levels - 2, -1, -1):
                complete = [a for a in range(arms) if done[a] > level]
                complete.sort(key=lambda a: (-score[a, level], a))
                top = complete[: len(complete) // eta]
                able = [a for a in top if done[a] == level + 1 and a not in busy]
                if able:
                    arm = able[0]
                    break
            if arm is None and started < arms:
                arm, started = started, started + 1
            if arm is not None:
                busy.add(arm)
                jobs.append((now + cost[done[arm]], worker, arm))
                idle.remove(worker)
        if not jobs:
            return [d - 1 for d in done]
        jobs.sort()
        now, worker, arm = jobs.pop(0)
        done[arm] += 1
        busy.remove(arm)
        idle.append(worker)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 9), st.integers(1, 4), st.integers(1, 5), st.integers(2, 3))
def test_many_races_at_a_time_are_each_race_alone(seed, arms, levels, workers, eta):
    rng = np.random.default_rng(seed)
    score, cost = rng.standard_normal((5, arms, levels)), rng.uniform(1, 2, levels)
    reached = racing.race(score, cost, eta, workers)
    assert reached.tolist() == [asha(one, cost, eta, workers) for one in score]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 12), st.integers(1, 4), st.integers(2, 3))
def test_halving_leaves_its_share_at_each_rung(seed, arms, levels, eta):
    score = np.random.default_rng(seed).standard_normal((4, arms, levels))
    last = racing.halve(score, eta)
    left = arms
    for level in range(levels):
        assert ((last >= level).sum(axis=1) == left).all()
        left = max(1, left // eta)
    best = np.argmax(score[:, :, 0], axis=1)
    assert (last[np.arange(4), best] >= min(1, levels - 1)).all()


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.floats(-2, 2))
def test_regrets_are_never_negative_and_nothing_for_one_who_knows(seed, threshold):
    rng = np.random.default_rng(seed)
    gain, said = rng.standard_normal((2, 30, 5))
    assert (regret_go(gain, said, threshold) >= 0).all()
    assert (regret_best(gain, said) >= 0).all()
    assert (regret_go(gain, gain, threshold) == 0).all()
    assert (regret_best(gain, gain) == 0).all()
    worst = regret_best(gain, -gain)
    np.testing.assert_allclose(worst, gain.max(axis=1) - gain.min(axis=1))


def test_regrets_by_hand():
    gain, said = np.array([1.0, 2.0, -1.0, -2.0]), np.array([-1.0, 0.0, 1.0, -1.0])
    assert regret_go(gain, said, 0.0).tolist() == [1.0, 0.0, 1.0, 0.0]
    group = np.array([[3.0, 1.0, 2.0]])
    assert regret_best(group, np.array([[0.0, 1.0, 2.0]])).tolist() == [1.0]
    assert regret_best(group, np.array([[0.0, 1.0, 2.0]]), np.array([[True, True, False]])).tolist() == [
        2.0
    ]
    assert regret_best(group, np.array([[0.0, 1.0, 2.0]]), np.zeros((1, 3), bool)).tolist() == [1.0]


def test_cohorts_do_not_overlap_within_a_round():
    made = cohorts(np.arange(100, 121), 8, 3, np.random.default_rng(0))
    assert made.shape == (6, 8)
    assert set(made.ravel()) <= set(range(100, 121))
    assert all(len(set(made[i : i + 2].ravel())) == 16 for i in (0, 2, 4))
    assert cohorts(np.arange(5), 8, 3, np.random.default_rng(0)).shape == (0, 8)


def test_intervals_of_best_of_k_have_the_spread_of_repeated_experiments():
    """300 experiments of 80 runs each: their mean regret's spread, against the interval's half width."""
    rng = np.random.default_rng(4)
    means, widths = [], []
    for _ in range(300):
        gain = rng.standard_normal(80)
        said = gain + rng.standard_normal(80)
        groups = cohorts(np.arange(80), 8, 30, rng)
        tally = Tally(80)
        tally.add_cohorts(groups, regret_best(gain[groups], said[groups]))
        mean, low, high = tally.best_of(0.95)
        means.append(mean)
        widths.append((high - low) / 2 / 1.96)
    assert np.mean(widths) == pytest.approx(np.std(means), rel=0.15)


def test_bootstrap_of_a_mean():
    values = np.random.default_rng(0).standard_normal((400, 1)) + 3
    mean, drawn = resampled(values, 2000, np.random.default_rng(1))
    low, high = between(drawn, 0.95)
    assert mean == pytest.approx(values.mean())
    assert (high - low)[0] / 3.92 == pytest.approx(values.std() / 20, rel=0.08)
    mean, drawn = resampled(np.r_[values, [[np.nan]]], 50, np.random.default_rng(1))
    assert mean == pytest.approx(values.mean())
    assert np.isfinite(drawn).all()


def test_break_even():
    assert break_even(1000.0, 1.0, 3.0, 0.1) == pytest.approx(50.0)
    assert np.isnan(break_even(1000.0, 3.0, 1.0, 0.1))
    assert np.isnan(break_even(1000.0, 1.0, 1.0, 0.1))
