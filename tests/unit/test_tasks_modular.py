"""Modular addition: clean splits, and the stacked transformer against a plain one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from prehoc.errors import InputError
from prehoc.tasks.modular import ModularProblem, modular_splits
from prehoc.tasks.problem import DropoutKey


def unordered(pairs):
    return {tuple(sorted(p)) for p in pairs.tolist()}


@pytest.mark.parametrize("root", [1, 2, 3])
@pytest.mark.parametrize(
    ("modulus", "share", "val", "target"), [(11, 0.4, 20, 30), (11, 0.5, 12, 21), (47, 0.4, 300, 500)]
)
def test_no_unordered_pair_is_in_two_splits(modulus, share, val, target, root):
    splits = modular_splits(modulus, share, val, target, root)
    seen = [unordered(p) for p in splits.values()]
    assert sum(map(len, seen)) == len(set.union(*seen))
    assert len(splits["val"]) == val
    assert len(splits["target"]) == target
    assert abs(len(splits["train"]) - share * modulus**2) <= 2
    for pairs in splits.values():
        assert len({tuple(p) for p in pairs.tolist()}) == len(pairs)
        assert pairs.min() >= 0
        assert pairs.max() < modulus
    twins = {tuple(p) for p in splits["train"].tolist()}
    assert twins == {(b, a) for a, b in twins}  # both orders of a training pair


def test_splits_are_the_roots_and_the_moduluss():
    first = modular_splits(11, 0.4, 20, 30, 1)
    again = modular_splits(11, 0.4, 20, 30, 1)
    other = modular_splits(11, 0.4, 20, 30, 2)
    assert all(np.array_equal(first[s], again[s]) for s in first)
    assert not np.array_equal(first["train"], other["train"])


@pytest.mark.parametrize(
    ("share", "val", "target", "says"),
    [
        (1.2, 1, 1, r"arithmetic\.train: 1\.2 must be a share"),
        (0.5, 40, 40, r"arithmetic\.target: 11\^2 = 121 sums do not hold 60"),
    ],
)
def test_splits_that_cannot_be_are_refused(share, val, target, says):
    with pytest.raises(InputError, match=says):
        modular_splits(11, share, val, target, 1)


def test_heads_must_divide_the_width(family):
    with pytest.raises(InputError, match=r"method\.heads: 3 does not divide method\.width 16"):
        ModularProblem(family("modular", method__heads=3))


def plain(theta, run, tokens, heads, depth):
    """Logits [B, p] of one run, all positions of all layers computed, head by head."""
    w = {k: v[run] for k, v in theta.items()}
    states = w["embed"][tokens] + w["place"]
    width = states.shape[-1] // heads
    for i in range(depth):
        parts = []
        for h in range(heads):
            q, k, v = (
                (states @ w[f"{i}.{n}"])[..., h * width : (h + 1) * width]
                for n in ("query", "key", "value")
            )
            parts.append(torch.softmax(q @ k.transpose(1, 2) / width**0.5, -1) @ v)
        states = states + torch.cat(parts, -1) @ w[f"{i}.out"]
        states = states + functional.relu(states @ w[f"{i}.up"]) @ w[f"{i}.down"]
    return states[:, -1] @ w["unembed"]


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_stacked_transformer_is_the_plain_one(family, depth, one_thread):
    """Losses and gradients; fp32 rounding alone, largest seen 5e-7 absolute."""
    problem = ModularProblem(family("modular", method__depth=depth))
    rng = np.random.default_rng(0)
    theta = {
        p.name: torch.tensor(np.stack([p.init(rng) for _ in range(3)])).requires_grad_()
        for p in problem.parameters
    }
    rows = torch.randint(problem.rows("train"), (3, 9), generator=torch.Generator().manual_seed(0))
    losses = problem.losses(theta, rows, problem.labels[rows], DropoutKey(torch.arange(3), 0))
    grads = torch.autograd.grad(losses.mean(1).sum(), list(theta.values()))
    total = 0.0
    for run in range(3):
        tokens = problem.tokens["train"][rows[run]]
        logits = plain(theta, run, tokens, 2, depth)
        mine = functional.cross_entropy(logits, (tokens[:, 0] + tokens[:, 1]) % 11)
        torch.testing.assert_close(losses[run].mean(), mine, rtol=1e-5, atol=1e-6)
        total = total + mine
    for ours, theirs in zip(grads, torch.autograd.grad(total, list(theta.values())), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)
    correct, loss = problem.evaluate(theta, "val")
    logits = plain(theta, 2, problem.tokens["val"], 2, depth)
    answers = problem.tokens["val"][:, :2].sum(1) % 11
    assert torch.equal(correct[2], (logits.argmax(-1) == answers).float())
    theirs = functional.cross_entropy(logits, answers, reduction="none")
    torch.testing.assert_close(loss[2], theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("count", [7, 10, 15])
def test_a_runs_evaluation_is_the_same_bits_in_every_slot(family, count, one_thread):
    problem = ModularProblem(family("modular", arithmetic__val=count, arithmetic__target=count))
    generator = torch.Generator().manual_seed(3)
    theta = {p.name: torch.randn(5, *p.shape, generator=generator) * 0.3 for p in problem.parameters}
    for split in ("val", "target"):
        together = problem.evaluate(theta, split)
        assert together[1].shape == (5, count)
        for i in range(5):
            alone = problem.evaluate({k: v[i : i + 1].clone() for k, v in theta.items()}, split)
            assert torch.equal(alone[0][0], together[0][i])
            assert torch.equal(alone[1][0], together[1][i])
