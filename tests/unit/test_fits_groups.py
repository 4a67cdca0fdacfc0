"""Mixed groups and spikes: false alarms, power, and exact components."""

from __future__ import annotations

import numpy as np
import pytest
from test_fits_stops import curves

from own_runs import runs
from prehoc.fits import groups, spikes


def names(count, each):
    return np.repeat(np.array([f"g{i}" for i in range(count)]), each)


def test_components_are_the_analysis_of_variance():
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(5), [4, 6, 8, 3, 9])
    r = rng.normal(size=30) + group
    between, within = groups.components(r, group)
    means = np.array([r[group == g].mean() for g in range(5)])
    count = np.bincount(group)
    msw = sum(((r[group == g] - means[g]) ** 2).sum() for g in range(5)) / 25
    msb = (count * (means - r.mean()) ** 2).sum() / 4
    n0 = (30 - (count**2).sum() / 30) / 4
    assert within == pytest.approx(msw)
    assert between == pytest.approx((msb - msw) / n0)


def test_one_law_in_all_groups_is_seldom_called_mixed_and_a_shift_is():
    rng = np.random.default_rng(1)
    label = names(8, 10)
    alarms = [groups.compare(rng.standard_t(4, 80), label, i).mixed for i in range(150)]
    assert np.mean(alarms) <= 0.04  # level .01, and a share of .1 besides: 150 sets
    found = [
        groups.compare(rng.normal(size=80) + np.repeat(rng.normal(size=8), 10), label, i).mixed
        for i in range(50)
    ]
    assert np.mean(found) >= 0.95
    share = [groups.compare(rng.normal(size=800) + np.repeat(rng.normal(size=80), 10), names(80, 10)).share]
    assert share[0] == pytest.approx(0.5, abs=0.12)


def test_what_cannot_be_tested_is_said():
    r = np.random.default_rng(2).normal(size=10)
    for label, said in (
        (np.array([""] * 10), "No groups are told"),
        (np.array(["a"] * 10), "All runs are of one group"),
        (np.array([f"g{i}" for i in range(10)]), "too few runs each"),
    ):
        test = groups.compare(r, label)
        assert said in test.in_words
        assert not test.mixed
        assert test.as_dict()["p"] is None


def test_a_spike_is_found_in_its_run_and_depth_and_smooth_runs_have_none():
    frame = runs(n=60, seed=3).drop(columns="final")
    plain = curves(frame)
    assert not spikes.find_spikes(plain, "lower").at.any()
    plain.value[7, 3] += 40.0
    plain.value[9, 5] -= 40.0
    up, down = spikes.find_spikes(plain, "lower").at, spikes.find_spikes(plain, "higher").at
    assert np.argwhere(up).tolist() == [[7, 3]]  # worse is up for a loss
    assert np.argwhere(down).tolist() == [[9, 5]]


def test_false_alarms_of_spikes_are_rare_under_heavy_tails():
    rng = np.random.default_rng(4)
    frame = runs(n=200, seed=4)
    plain = curves(frame)
    plain.value[:] = rng.standard_t(5, plain.value.shape)
    assert spikes.find_spikes(plain, "lower").at.mean() < 0.002


def test_too_few_runs_and_constant_curves_have_no_spikes():
    plain = curves(runs(n=4))
    plain.value[0, 3] = 1e9
    assert not spikes.find_spikes(plain, "lower").at.any()
    flat = curves(runs(n=20))
    flat.value[:] = 1.0
    assert not spikes.find_spikes(flat, "lower").at.any()
