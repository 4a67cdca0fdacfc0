"""Runs that are killed, deepened or measured otherwise end in the same bits."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from trained import files_of, same, train, value

from prehoc.tasks.machine import Machine
from prehoc.training import checkpoint, loop, problems


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


@pytest.mark.parametrize("name", ["head", "top", "modular"])
def test_a_run_killed_at_any_depth_ends_in_the_same_bits(family, name, monkeypatch, advances):
    """Killed in the stretch to each depth, and again while measuring there."""
    over = {"method__dropout": 0.1} if name != "modular" else {}
    config = family(name, **over)
    whole = train(config, range(6), "whole")
    depths = [1, 4, 16, 32]
    for depth in depths:
        for place in ("advance", "answers"):
            patched = getattr(loop, place)

            def killed(*args, place=place, depth=depth, patched=patched):
                at = args[-1] if place == "advance" else killed.at
                if place == "answers":
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
        return checkpoint.folder(changed, setting.weights, checkpoint.protocol())

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
    machines = [
        Machine(torch.device(d), p) for d, p in (("cpu", "fp32"), ("cpu", "bf16"), ("cuda", "fp32"))
    ]
    folders = {checkpoint.folder(config, "w", checkpoint.protocol(m)) for m in machines}
    assert len(folders) == 3
    before = where(other)
    lines = Path(texts_file).read_text().splitlines()
    copy.write_text("\n".join([lines[0], *reversed(lines[1:])]) + "\n")
    assert where(other) != before  # the file changed under its name


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
    assert set(state) == {"values", "m", "v", "failed_at", "sums", "val", "target"}
    assert ((state["failed_at"] >= 0).tolist()) == [r[-1][-1] for r in whole.values()]


def test_a_foreign_checkpoint_is_done_again(family):
    config = family("head")
    whole = train(config, range(4), "a")
    for path in files_of(config, "a"):
        save_file({"x": torch.zeros(1)}, path)
    again = train(config, range(4), "a")
    assert all(same(again[s], whole[s]) for s in whole)
