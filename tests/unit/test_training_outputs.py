"""Outputs on the probe examples: a run's own numbers, like all the others, and at no one's cost."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from prehoc import tables
from prehoc.training import checkpoint, loop, plan, problems
from prehoc.training.bank import Bank
from prehoc.training.outputs import outputs_frame

KEY = ["seed", "depth", "example"]


def quiet(line):
    """Progress is for people."""


def train(config, seeds, store="a"):
    """The runs' records by seed, and the table of their outputs by its key."""
    config = config | {"store": f"{config['store']}-{store}"}
    said = []
    records, _ = loop.train(config, problems.build(config), seeds, quiet, said)
    frame = tables.check("outputs", outputs_frame("tiny", said))
    by_seed = {s: [repr(r) for r in records if r[0] == s] for s in seeds}
    return by_seed, tables.in_order("outputs", frame)


def of(frame, seeds):
    return frame[frame["seed"].isin(seeds)].reset_index(drop=True)


def same(left, right):
    pd.testing.assert_frame_equal(left, right, check_exact=True)


SIX = {"examples": 6}


@pytest.mark.parametrize("name", ["head", "top", "lora", "modular", "causal"])
def test_outputs_are_minus_the_losses_of_the_first_validation_examples(family, name):
    config = family(name, outputs=SIX)
    config = config | {"store": f"{config['store']}-a"}
    said = []
    setting = problems.build(config)
    loop.train(config, setting, range(3), quiet, said)
    seeds, depth, values = said[-1]
    assert (seeds, depth) == ([0, 1, 2], 32)
    assert values.shape == (3, 6)
    assert values.dtype == np.float32
    assert (values <= 0).all()
    group = plan.Group(plan.drawn(config, setting, range(3)), 3)
    group.draws.append(group.draws[-1])
    bank = Bank(setting.problem.parameters, 4, config["optimiser"])
    base = checkpoint.folder(config, setting.weights, checkpoint.protocol())
    bank.load(checkpoint.find(base, [0, 1, 2], 32), [0, 1, 2, 2])
    correct, loss = loop.measure(setting, bank, "val")
    np.testing.assert_array_equal(values, -loss[:3, :6].numpy())
    likely = np.exp(values) > 0.5  # of classes, more than half makes the answer
    if name != "causal":
        assert correct[:3, :6].numpy()[likely].all()


@pytest.mark.parametrize("name", ["head", "top", "modular"])
def test_shards_give_the_same_bits(family, name):
    config = family(name, bank=16, outputs=SIX)
    _, whole = train(config, range(40), "whole")
    assert len(whole) == 40 * 4 * 6
    assert whole["value"].notna().all()
    for first, end in ((5, 6), (7, 14), (32, 40)):
        same(train(config, range(first, end), f"part-{first}")[1], of(whole, range(first, end)))


@pytest.mark.parametrize("name", ["head", "top", "lora", "modular", "causal"])
def test_runs_are_the_same_with_outputs_and_without(family, name):
    config = family(name)
    plain, nothing = train(config, range(4), "plain")
    recorded, said = train(config | {"outputs": SIX}, range(4), "recorded")
    assert plain == recorded
    assert nothing.empty
    assert len(said) == 4 * 4 * 6


@pytest.mark.parametrize("place", ["advance", "answers"])
def test_a_run_killed_and_resumed_says_the_same(family, monkeypatch, place):
    config = family("head", method__dropout=0.1, outputs=SIX)
    records, whole = train(config, range(6), "whole")
    for count in (0, 2, 5):  # of six stretches in all: two banks, depths 1, 4, 16; the last at 32
        real, calls = getattr(loop, place), []

        def killed(*args, real=real, calls=calls, count=count):
            if len(calls) == count:
                raise KeyboardInterrupt
            calls.append(1)
            return real(*args)

        store = f"{place}-{count}"
        with monkeypatch.context() as patch:
            patch.setattr(loop, place, killed)
            with pytest.raises(KeyboardInterrupt):
                train(config, range(6), store)
        again, said = train(config, range(6), store)
        assert again == records
        same(said, whole)


def test_other_examples_train_nothing_again(family, monkeypatch):
    config = family("head")
    sizes = [None, {"examples": 6}, {"examples": 3}, {"examples": 50}, None]
    fresh = {i: train(config | {"outputs": o}, range(4), f"fresh-{i}") for i, o in enumerate(sizes)}
    train(config, range(4), "one")

    def refuse(config, setting, bank, group, start, end):
        raise AssertionError("trained again")

    monkeypatch.setattr(loop, "advance", refuse)
    for i, outputs in enumerate(sizes):
        records, said = train(config | {"outputs": outputs}, range(4), "one")
        assert records == fresh[i][0]
        same(said, fresh[i][1])


def test_failed_runs_say_nothing(family, factor):
    """One of two rates overshoots: its outputs are NaN from its failure on, the others' are whole."""
    law = {"learning_rate": factor(choice=[1e-2, 1e18])}
    config = family("head", population=law, outputs=SIX)
    said = []
    records, draws = loop.train(config, problems.build(config), range(12), quiet, said)
    frame = tables.check("outputs", outputs_frame("tiny", said)).set_index(["seed", "depth"])
    failed = {(r[0], r[1]) for r in records if r[5]}
    assert {s for s, _ in failed} == {d.seed for d in draws if d.lr > 1}
    assert failed
    for key, part in frame.groupby(level=[0, 1]):
        assert part["value"].isna().all() == (key in failed)
        assert part["value"].isna().any() == (key in failed)


def test_a_task_that_records_none_has_an_empty_table():
    frame = outputs_frame("tiny", [])
    assert tables.check("outputs", frame).empty
    one = outputs_frame("tiny", [([3], 1, torch.zeros(1, 2).numpy())])
    assert one.to_numpy().tolist() == [["tiny", 3, 1, 0, 0.0], ["tiny", 3, 1, 1, 0.0]]
