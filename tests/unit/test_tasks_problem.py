"""Dropout masks from a hash: right rate, no memory, no company, no pattern."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from prehoc.tasks.problem import DropoutKey, dropout, normal, uniform, zeros


def mask(keys, step, shape=(8, 384), rate=0.5, site=0):
    kept = dropout(torch.ones(len(keys), *shape), rate, DropoutKey(torch.tensor(keys), step), site)
    return (kept > 0).numpy().reshape(len(keys), -1)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_rate_and_scale(rate):
    states = torch.ones(16, 8, 384)
    kept = dropout(states, rate, DropoutKey(torch.arange(16), 3), 0)
    share = float((kept > 0).double().mean())
    assert share == pytest.approx(1 - rate, abs=5 * np.sqrt(rate * (1 - rate) / kept.numel()))
    assert torch.allclose(kept[kept > 0], torch.tensor(1 / (1 - rate)))
    assert dropout(states, 0.0, DropoutKey(torch.arange(16), 3), 0) is states


def test_masks_depend_on_key_step_site_and_on_nothing_else():
    alone = mask([77], 5)
    among = mask([1, 2, 77, 3], 5)
    np.testing.assert_array_equal(among[2], alone[0])
    np.testing.assert_array_equal(mask([77], 5), alone)
    for other in (mask([78], 5), mask([77], 6), mask([77], 5, site=1)):
        assert 0.45 < float((other != alone).mean()) < 0.55


def test_masks_are_the_same_for_every_shape_of_the_states():
    np.testing.assert_array_equal(mask([9], 1, (4, 6)), mask([9], 1, (24,)))


def _correlation(a, b):
    """Correlation of two sets of bits, in standard errors."""
    a, b = a.ravel().astype(float), b.ravel().astype(float)
    return np.corrcoef(a, b)[0, 1] * np.sqrt(len(a))


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_neighbours_are_not_correlated(rate):
    """Neighbouring elements, steps, sites and keys: all within 4.5 standard errors of zero."""
    rng = np.random.default_rng(0)
    keys = rng.integers(1 << 31, size=64).tolist()
    grid = np.stack([mask(keys, k, rate=rate) for k in range(16)])  # [step, run, element]
    scores = [_correlation(grid[:, :, lag:], grid[:, :, :-lag]) for lag in (1, 2, 8, 384, 512)]
    scores += [_correlation(grid[lag:], grid[:-lag]) for lag in (1, 2, 8)]
    scores += [_correlation(grid[:, 1:], grid[:, :-1])]
    scores += [_correlation(mask(keys, 0, rate=rate), mask(keys, 0, rate=rate, site=1))]
    near = [mask(list(range(i, i + 64)), 0, rate=rate) for i in (0, 1, 2, 64)]
    scores += [_correlation(near[0], other) for other in near[1:]]
    assert np.abs(scores).max() < 4.5


def test_every_element_is_dropped_as_often_as_chance_says():
    """Chi-square over elements, over runs and over steps, within four standard deviations."""
    keys = np.random.default_rng(1).integers(1 << 31, size=64).tolist()
    grid = np.stack([mask(keys, k, (384,)) for k in range(64)]).astype(float)
    for axes in ((0, 1), (0, 2), (1, 2)):
        count = grid.sum(axes)
        trials = grid.size / count.size
        square = ((count - trials / 2) ** 2 / (trials / 4)).sum()
        assert abs(square - count.size) < 4 * np.sqrt(2 * count.size)


def test_pairs_of_runs_agree_as_often_as_chance_says():
    """All pairs of 64 runs, fixed step: the largest of 2,016 |z| scores stays below 5."""
    keys = np.random.default_rng(2).integers(1 << 31, size=64).tolist()
    bits = 2.0 * mask(keys, 7) - 1.0
    scores = bits @ bits.T / np.sqrt(bits.shape[1])
    np.fill_diagonal(scores, 0.0)
    assert np.abs(scores).max() < 5


def test_initial_laws():
    rng = np.random.default_rng(0)
    assert zeros((3, 2))(rng).sum() == 0
    draw = normal((400, 100), 0.02)(rng)
    assert draw.dtype == np.float32
    assert draw.std() == pytest.approx(0.02, rel=0.02)
    flat = uniform((400, 100), 0.25)(rng)
    assert -0.25 <= flat.min() < -0.249 < 0.249 < flat.max() <= 0.25
