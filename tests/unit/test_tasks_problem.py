"""Dropout masks from a hash: right rate, no memory, no company, no pattern."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from prehoc.tasks.problem import DropoutKey, dropout, dropout_rows, normal, row_keys, uniform, zeros


def mask(keys, step, shape=(8, 384), rate=0.5, site=0):
    kept = dropout(torch.ones(len(keys), *shape), rate, DropoutKey(torch.tensor(keys), step), site)
    return (kept > 0).numpy().reshape(len(keys), -1)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_rate_and_scale(rate):
    states = torch.ones(16, 8, 384)
    kept = dropout(states, rate, DropoutKey(torch.arange(16), 3), 0)
    share = float((kept > 0).double().mean())
    assert share == pytest.approx(1 - rate, abs=5 * np.sqrt(rate * (1 - rate) / kept.numel()))
    assert torch.allclose(kept[kept > 0], torch.tensor(1 / (1 - rate)), rtol=2**-17 / (1 - rate))
    assert dropout(states, 0.0, DropoutKey(torch.arange(16), 3), 0) is states


def test_masks_depend_on_key_step_site_and_on_nothing_else():
    alone = mask([77], 5)
    among = mask([1, 2, 77, 3], 5)
    np.testing.assert_array_equal(among[2], alone[0])
    np.testing.assert_array_equal(mask([77], 5), alone)
    for other in (mask([78], 5), mask([77], 6), mask([77], 5, site=1)):
        assert 0.45 < float((other != alone).mean()) < 0.55


def test_masks_do_not_depend_on_the_other_rows_and_columns():
    whole = mask([9], 1, (24, 7)).reshape(24, 7)
    np.testing.assert_array_equal(mask([9], 1, (4, 6, 7)).reshape(24, 7), whole)
    np.testing.assert_array_equal(mask([9], 1, (5, 7)).reshape(5, 7), whole[:5])
    for width in (1, 2, 5, 6):  # odd ones too: two columns share a hash
        np.testing.assert_array_equal(mask([9], 1, (24, width)).reshape(24, width), whole[:, :width])


def test_packed_rows_get_the_masks_of_their_numbers():
    """Rows of three runs in one array, shuffled, some left out; and the same by `rows`."""
    key = DropoutKey(torch.tensor([5, 6, 7]), 11)
    states = torch.randn(3, 10, 31)
    whole = dropout(states, 0.3, key, 2)
    order = torch.randperm(30, generator=torch.Generator().manual_seed(0))[:17]
    run, row = order // 10, order % 10
    packed = dropout_rows(states[run, row], 0.3, row_keys(key, 2, run, row))
    assert torch.equal(packed, whole[run, row])
    some = torch.tensor([7, 2, 5])
    assert torch.equal(dropout(states[:, some], 0.3, key, 2, some), whole[:, some])
    each = torch.stack([some, some + 1, some - 2])
    picked = torch.stack([states[i, each[i]] for i in range(3)])
    wanted = torch.stack([whole[i, each[i]] for i in range(3)])
    assert torch.equal(dropout(picked, 0.3, key, 2, each), wanted)


def test_a_step_may_be_a_tensor():
    states = torch.ones(3, 4, 8)
    keys = torch.tensor([1, 2, (1 << 31) - 1])
    for step in (0, 1, 70_000):
        plain = dropout(states, 0.5, DropoutKey(keys, step), 1)
        assert torch.equal(dropout(states, 0.5, DropoutKey(keys, torch.tensor(step)), 1), plain)


def test_gradients_pass_where_states_were_kept():
    states = torch.ones(4, 8, 32, requires_grad=True)
    kept = dropout(states, 0.25, DropoutKey(torch.arange(4), 0), 0)
    (grad,) = torch.autograd.grad(kept.sum(), states)
    assert torch.equal(grad, kept)


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_in_bf16_the_mean_is_kept(rate):
    """The factor is not itself rounded: of 1e6 values in [1, 2), rounding leaves the mean to 1e-4."""
    rng = torch.Generator().manual_seed(0)
    states = (1 + torch.rand(4, 400, 640, generator=rng)).bfloat16()
    key = DropoutKey(torch.arange(4), 0)
    kept = dropout(states, rate, key, 0)
    assert kept.dtype == torch.bfloat16
    exact = dropout(states.float(), rate, key, 0)
    assert torch.equal(kept > 0, exact > 0)
    assert float(kept.double().mean() / exact.double().mean()) == pytest.approx(1, abs=2e-4)


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
    scores = [_correlation(grid[:, :, lag:], grid[:, :, :-lag]) for lag in (1, 2, 3, 8, 383, 384, 385)]
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


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_rectangles_are_even(rate):
    """Four elements at two rows and two columns: the product of their signs has mean zero, which sums and
    products of row and column keys would miss; over rows, steps and keys one apart, and 300 column pairs."""
    keys = list(range(64))
    grid = np.stack([mask(keys, k, (16, 384), rate) for k in range(4)]).reshape(4, 64, 16, 384)
    signs = (grid - grid.mean()) / grid.std()
    columns = np.random.default_rng(0).integers(384, size=(300, 2))
    columns = columns[columns[:, 0] != columns[:, 1]]
    for other in (np.roll(signs, 1, 0), np.roll(signs, 1, 1), np.roll(signs, 1, 2)):
        both = signs * other
        scores = [float((both[..., a] * both[..., b]).sum()) / 64 for a, b in columns]  # 64^2 terms
        assert np.abs(scores).max() < 5.5 / (2 * np.sqrt(rate * (1 - rate))) ** 2
        assert np.std(scores) == pytest.approx(1, rel=0.25)


def test_byte_patterns_are_as_frequent_as_chance_says():
    """Chi-square of the 256 patterns of eight neighbours: within four standard deviations; columns, then rows."""
    grid = np.stack([mask(list(range(64)), k, (32, 384)) for k in range(4)]).reshape(4 * 64, 32, 384)
    for bits in (grid.reshape(-1, 8), grid.reshape(256, 4, 8, 384).swapaxes(2, 3).reshape(-1, 8)):
        count = np.bincount(np.packbits(bits, axis=1)[:, 0], minlength=256)
        square = ((count - count.mean()) ** 2 / count.mean()).sum()
        assert abs(square - 255) < 4 * np.sqrt(2 * 255)


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
