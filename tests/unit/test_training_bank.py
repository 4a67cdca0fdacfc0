"""The bank's updates against torch.optim on each run alone."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from lion_pytorch import Lion as LionOfLibrary

from prehoc.tasks.problem import Parameter, normal, zeros
from prehoc.tasks.streams import generator
from prehoc.training.bank import Bank

RUNS, STEPS = 5, 30
SHAPES = {"weight": (3, 4), "up": (4, 2), "bias": (4,)}
RATES = torch.tensor([1e-3, 3e-3, 1e-2, 3e-2, 1e-1])


def parameters():
    return [
        Parameter("weight", (3, 4), normal((3, 4), 1.0)),
        Parameter("up", (4, 2), normal((4, 2), 1.0)),
        Parameter("bias", (4,), zeros((4,)), decay=False),
    ]


def optimiser(**over):
    return {
        "name": "adamw",
        "weight_decay": 0.0,
        "momentum": 0.0,
        "betas": (0.9, 0.999),
        "clip": None,
    } | over


def data(step):
    """Inputs [S, B, 3] and targets [S, B, 2] of a step, of growing size so that clipping bites."""
    rng = np.random.default_rng(step)
    size = np.array([0.1, 1.0, 1.0, 5.0, 20.0])[:, None, None]
    inputs = torch.tensor(rng.normal(size=(RUNS, 6, 3)) * size, dtype=torch.float32)
    return inputs, torch.tensor(rng.normal(size=(RUNS, 6, 2)), dtype=torch.float32)


def losses_of(theta, inputs, wanted):
    inner = torch.tanh(torch.bmm(inputs, theta["weight"]) + theta["bias"][:, None])
    return (torch.bmm(inner, theta["up"]) - wanted).square().mean((1, 2))


def started(settings, runs=RUNS):
    bank = Bank(parameters(), runs, settings)
    for row in range(runs):
        bank.initialise(row, 7, "bank", row)
    return bank


@pytest.mark.parametrize("clip", [None, 0.5])
@pytest.mark.parametrize(
    "settings",
    [
        {"name": "adamw"},
        {"name": "adamw", "weight_decay": 0.1, "betas": (0.8, 0.95)},
        {"name": "sgd"},
        {"name": "sgd", "momentum": 0.9},
        {"name": "sgd", "momentum": 0.9, "weight_decay": 0.1},
        {"name": "lion"},
        {"name": "lion", "weight_decay": 0.1, "betas": (0.8, 0.95)},
        {"name": "adafactor"},
        {"name": "adafactor", "weight_decay": 0.1},
    ],
)
def test_each_run_is_the_librarys_optimiser_on_that_run_alone(settings, clip):
    """30 steps, a rate a run that changes by step; largest difference seen 1.2e-5 of the value (SGD
    at a rate of .1 on inputs of size 20), 2e-6 for AdamW, 1e-6 for Adafactor, none for Lion."""
    settings = optimiser(**settings, clip=clip)
    bank = started(settings)
    alone = []
    for run in range(RUNS):
        theta = {n: v[run].detach().clone().requires_grad_() for n, v in bank.theta.items()}
        groups = [
            {"params": [theta["weight"], theta["up"]]},
            {"params": [theta["bias"]], "weight_decay": 0.0},
        ]
        decay = settings["weight_decay"]
        rule = {
            "adamw": partial(torch.optim.AdamW, betas=settings["betas"]),
            "sgd": partial(torch.optim.SGD, momentum=settings["momentum"]),
            "lion": partial(LionOfLibrary, betas=settings["betas"]),
            "adafactor": torch.optim.Adafactor,
        }[settings["name"]](groups, weight_decay=decay)
        alone.append((theta, rule))
    for step in range(STEPS):
        inputs, wanted = data(step)
        rate = RATES / (1 + step)
        bank.step(losses_of(bank.theta, inputs, wanted), rate, step)
        for run, (theta, rule) in enumerate(alone):
            rule.zero_grad()
            stacked = {n: v[None] for n, v in theta.items()}
            losses_of(stacked, inputs[run : run + 1], wanted[run : run + 1]).sum().backward()
            if clip is not None:
                torch.nn.utils.clip_grad_norm_(list(theta.values()), clip)
            for group in rule.param_groups:
                group["lr"] = float(rate[run])
            rule.step()
    for run, (theta, _) in enumerate(alone):
        for name, value in theta.items():
            torch.testing.assert_close(bank.theta[name][run], value, rtol=2e-5, atol=1e-6)
            assert not torch.allclose(value, started(settings).theta[name][run])


@pytest.mark.parametrize("name", ["adamw", "sgd", "lion", "adafactor"])
def test_rows_do_not_feel_each_other(name):
    """A row's neighbours replaced by others, even broken ones: the row's bits stay."""
    settings = optimiser(name=name, momentum=0.9, clip=0.5, weight_decay=0.1)
    left, right = started(settings), started(settings)
    for row in (0, 1, 3, 4):
        right.initialise(row, 8, "other", row)
    right.values[4] = float("inf")
    for step in range(STEPS):
        inputs, wanted = data(step)
        left.step(losses_of(left.theta, inputs, wanted), RATES, step)
        inputs = inputs.clone()
        inputs[[0, 1, 3]] += 1.0
        right.step(losses_of(right.theta, inputs, wanted), RATES, step)
    for name, kept in left.state().items():
        assert torch.equal(kept[2], right.state()[name][2])
    assert right.failed_at.tolist() == [-1, -1, -1, -1, 0]


NAMES = ["adamw", "sgd", "lion", "adafactor"]


@pytest.mark.parametrize("name", NAMES)
def test_a_broken_run_is_frozen_as_it_was_before_the_step(name):
    bank = started(optimiser(name=name, momentum=0.9, weight_decay=0.1, clip=1.0))
    for step in range(3):
        bank.step(losses_of(bank.theta, *data(step)), RATES, step)
    before = bank.values.clone()
    for step in range(3, 8):
        losses = losses_of(bank.theta, *data(step))
        factor = torch.ones(RUNS)
        if step == 3:
            factor[1] = float("nan")
        bank.step(losses * factor, RATES, step)
    assert bank.failed_at.tolist() == [-1, 3, -1, -1, -1]
    assert torch.equal(bank.values[1], before[1])
    assert not torch.equal(bank.values[0], before[0])
    assert bool(torch.isfinite(bank.values).all())


def test_a_finite_loss_with_an_infinite_gradient_freezes_too():
    bank = started(optimiser(clip=None))
    bank.theta["up"].data[2] = 0.0
    steep = bank.theta["up"].square().sum((1, 2)).sqrt()  # at 0 its gradient is not finite
    losses = losses_of(bank.theta, *data(0)) + steep
    assert bool(torch.isfinite(losses).all())
    bank.step(losses, RATES, 0)
    assert bank.failed_at.tolist() == [-1, -1, 0, -1, -1]


def test_a_run_starts_from_its_init_stream_wherever_it_sits():
    bank = Bank(parameters(), 3, optimiser())
    bank.initialise(2, 7, "bank", 41)
    rng = generator(7, "bank", 41, "init")
    flat = np.concatenate([p.init(rng).ravel() for p in parameters()])
    np.testing.assert_array_equal(bank.values[2, : len(flat)].numpy(), flat)
    assert bank.values.shape[1] % 16 == 0  # a slot begins where any other does, in the processor's lines
    np.testing.assert_array_equal(bank.theta["up"][2].detach().numpy().ravel(), flat[12:20])
    assert bank.values[:2].abs().sum() == 0


def test_load_takes_rows_and_may_repeat_them():
    bank = started(optimiser())
    for step in range(3):
        bank.step(losses_of(bank.theta, *data(step)), RATES, step)
    other = Bank(parameters(), 4, optimiser())
    other.load(bank.state(), [3, 3, 0, 4])
    for name, kept in bank.state().items():
        assert torch.equal(other.state()[name], kept[[3, 3, 0, 4]])
    assert torch.equal(other.theta["weight"][0], bank.theta["weight"][3])  # views moved along


@pytest.mark.parametrize("name", NAMES)
def test_a_state_kept_midway_continues_to_the_same_bits(name):
    """Rows of a kept state, in another order in another bank, as forks and checkpoints take them."""
    settings = optimiser(name=name, momentum=0.9, weight_decay=0.1, clip=1.0)
    bank = started(settings)
    for step in range(12):
        bank.step(losses_of(bank.theta, *data(step)), RATES, step)
    other = Bank(parameters(), RUNS, settings)
    order = [3, 0, 4, 1, 2]
    other.load(bank.state(), order)
    for step in range(12, STEPS):
        inputs, wanted = data(step)
        bank.step(losses_of(bank.theta, inputs, wanted), RATES, step)
        other.step(losses_of(other.theta, inputs[order], wanted[order]), RATES[order], step)
    for name_of, kept in bank.state().items():
        assert kept.shape[0] == RUNS
        assert torch.equal(other.state()[name_of], kept[order])
