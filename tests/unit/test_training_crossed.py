"""Crossed streams: what a run shares with its block, and that plain runs' numbers stay as they were."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from prehoc.tasks.streams import CROSSED, STREAMS, generator, level, name_words
from prehoc.training import checkpoint, loop, plan, problems
from prehoc.training.bank import Bank

ALL = ["init", "order", "dropout", "target"]
FOUR = {"crossed": ALL, "method__dropout": 0.2, "outcome__target_sample": 40}


def quiet(line):
    """Progress is for people."""


def train(config, seeds):
    """Validation records, and R, by seed."""
    records, _ = loop.train(config, problems.build(config), seeds, quiet)
    val = {s: [tuple(r[1:]) for r in records if r[0] == s and r[2] == "val"] for s in seeds}
    end = {(r[0], r[3]): r[4] for r in records if r[2] == "target"}
    return val, end


def flipped(seed, name, crossed=ALL):
    return seed ^ 1 << crossed.index(name)


def first(*key, **options):
    return tuple(generator(*key, **options).integers(1 << 62, size=2))


# ------------------------------------------------------------------------------------------ keys
def test_plain_keys_are_as_they_were():
    """The words of a key, spelled out: root, task, seed, stream, and a fork's depth and number."""
    for stream, number in STREAMS.items():
        for fork, more in ((None, []), ((8, 1), [9, 1])):
            words = [7, *name_words("t"), 3, number, *more]
            old = np.random.Generator(np.random.Philox(np.random.SeedSequence(words)))
            assert first(7, "t", 3, stream, fork) == tuple(old.integers(1 << 62, size=2))


def test_every_name_moves_streams_that_are_there():
    assert {s for streams in CROSSED.values() for s in streams} <= set(STREAMS)
    assert max(STREAMS.values()) < 64  # where the levels' keys begin


def test_levels_of_a_block_and_of_the_next():
    crossed = ["order", "target"]
    assert [level(n, "order", crossed) for n in range(8)] == [0, 1, 0, 1, 2, 3, 2, 3]
    assert [level(n, "target_sample", crossed) for n in range(8)] == [0, 0, 1, 1, 2, 2, 3, 3]
    assert [level(n, "target_label_noise", crossed) for n in range(8)] == [0, 0, 1, 1, 2, 2, 3, 3]
    assert level(5, "init", crossed) is None


def test_levels_meet_no_plain_seed_and_no_other_level():
    crossed = list(CROSSED)[:5]
    plain = {first(1, "t", s, name) for s in range(40) for name in STREAMS}
    crossing = {(s, name): first(1, "t", s, name, crossed=crossed) for s in range(64) for name in STREAMS}
    moved = {
        (level(s, name, crossed), name): key
        for (s, name), key in crossing.items()
        if level(s, name, crossed) is not None
    }
    assert len(moved) == 4 * 5  # two blocks, two levels each, five streams
    assert len(set(moved.values())) == len(moved)
    assert not set(moved.values()) & plain
    for (s, name), key in crossing.items():
        if level(s, name, crossed) is None:
            assert key == first(1, "t", s, name)  # not crossed: the run's own


def test_a_fork_of_a_crossed_run_is_its_own():
    for stream in STREAMS:
        assert first(1, "t", 3, stream, (4, 0), crossed=ALL) == first(1, "t", 3, stream, (4, 0))


# -------------------------------------------------------------------------------------- training
@pytest.mark.parametrize("name", ["head", "top", "lora", "modular", "causal"])
def test_what_is_shared_is_shared_to_the_bit(family, name):
    dry = name in ("modular", "causal")  # no dropout there
    crossed = ["init", "order", "target"] if dry else ALL
    over = {"outcome__target_sample": 40, "crossed": crossed}
    config = family(name, bank=8, **over, **({} if dry else {"method__dropout": 0.2}))
    config |= {"depths": [1, 8], "horizon": 8}
    val, end = train(config, range(2 ** len(crossed)))
    for seed in val:
        assert val[seed] == val[flipped(seed, "target", crossed)]
        for metric in ("accuracy_pool", "loss_pool"):
            assert end[seed, metric] == end[flipped(seed, "target", crossed), metric]
        for other in crossed[:-1]:
            assert val[seed] != val[flipped(seed, other, crossed)]
    assert len({end[s, "loss"] for s in val}) == len(val)  # R of each run is another
    assert len({tuple(v) for v in val.values()}) == len(val) // 2


def test_runs_apart_in_init_alone_see_the_same_batches_masks_and_sample(family):
    config = family("head", **FOUR)
    setting = problems.build(config)
    seeds = [37, flipped(37, "init"), flipped(37, "order"), flipped(37, "dropout"), 37 + 16]
    draws = plan.drawn(config, setting, seeds)
    keys = plan.dropout_keys(config, plan.Group(draws, len(draws)))
    plans = [plan.batches(config, d, None, 0, 12) for d in draws]
    bank = Bank(setting.problem.parameters, len(seeds), config["optimiser"])
    for i, seed in enumerate(seeds):
        bank.initialise(i, config["seed"], config["task"], seed, config["crossed"])
    same = [torch.equal(bank.values[0], bank.values[i]) for i in range(5)]
    assert same == [True, False, True, True, False]
    assert [np.array_equal(plans[0], p) for p in plans] == [True, True, False, True, False]
    assert (keys == keys[0]).tolist() == [True, True, True, False, False]


def test_uncrossed_streams_are_the_runs_own(family):
    config = family("head", **(FOUR | {"crossed": ["init", "target"]}))
    draws = plan.drawn(config, problems.build(config), [0, 1, 2])
    plans = [plan.batches(config, d, None, 0, 12) for d in draws]
    assert not np.array_equal(plans[0], plans[1])
    assert len(set(plan.dropout_keys(config, plan.Group(draws, 3)).tolist())) == 3


def test_drawn_data_are_crossed_too(family, factor):
    population = {"train_subset": factor(n=20), "label_noise": factor(uniform=[0.1, 0.4])}
    crossed = ["subset", "label_noise", "population"]
    config = family("head", population=population, crossed=crossed)
    draws = plan.drawn(config, problems.build(config), range(8))
    for n, draw in enumerate(draws):
        assert np.array_equal(draw.pool, draws[n & 1].pool)
        assert draw.values == draws[n & 4].values
        assert np.array_equal(draw.labels, draws[n & 6].labels)
    assert not np.array_equal(draws[0].pool, draws[1].pool)
    assert draws[0].values != draws[4].values
    assert not np.array_equal(draws[0].labels, draws[2].labels)


def test_checkpoints_of_a_crossed_task_lie_apart(family):
    plain, crossed = family("head", method__dropout=0.2), family("head", **FOUR)
    folders = {
        checkpoint.folder(c, "weights", checkpoint.protocol())
        for c in (plain, crossed, crossed | {"crossed": ALL[::-1]})
    }
    assert len(folders) == 3
