"""Signals: a run's own numbers, the same whatever interrupts or surrounds it, and at no other table's cost."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from prehoc import tables
from prehoc.tasks.problem import DropoutKey
from prehoc.training import checkpoint, forks, loop, parts, plan, problems, signals
from prehoc.training.bank import Bank
from prehoc.training.places import path_of
from prehoc.training.schedule import step_size

KINDS = ["head", "top", "lora", "modular", "causal"]
FEW = {"projections": 3, "curvature_examples": 10}
MORE = {"projections": 5, "curvature_examples": 7}
PLAIN = ["train_loss", "grad_norm", "distance", "weight_norm"]


def quiet(line):
    """Progress is for people."""


def train(config, seeds, store="a"):
    """The runs' records by seed, and the table of their signals by its key."""
    config = config | {"store": f"{config['store']}-{store}"}
    noted = []
    records, _ = loop.train(config, problems.build(config), seeds, quiet, None, None, noted)
    frame = tables.check("signals", signals.signals_frame("tiny", noted))
    by_seed = {s: [repr(r) for r in records if r[0] == s] for s in seeds}
    return by_seed, tables.in_order("signals", frame)


def of(frame, seeds):
    return frame[frame["seed"].isin(seeds)].reset_index(drop=True)


def same(left, right):
    pd.testing.assert_frame_equal(left, right, check_exact=True)


def wide(frame):
    return frame.pivot_table(
        index=["seed", "depth"], columns="signal", values="value", dropna=False, observed=True
    )


def followed(config, setting, seeds):
    """The runs stepped by hand: weights [S, P] and sums of losses and norms [S, 2] at depths 0, 1, ..., T."""
    group = plan.Group(plan.drawn(config, setting, seeds), len(seeds))
    bank = Bank(setting.problem.parameters, len(seeds), config["optimiser"])
    for i, seed in enumerate(seeds):
        bank.initialise(i, config["seed"], config["task"], seed)
    weights, noted = [bank.values.double().numpy().copy()], []
    end = config["horizon"]
    rows = torch.from_numpy(np.stack([plan.batches(config, d, None, 0, end) for d in group.draws]))
    keys = plan.dropout_keys(config, group)
    labels = setting.problem.labels
    for step in range(end):
        now = rows[:, step]
        given = None if labels is None else torch.as_tensor(labels)[now]
        losses = setting.problem.losses(bank.theta, now, given, DropoutKey(keys, step)).mean(1)
        norms = [
            sum(float(g.double().square().sum()) for g in grads if g is not None) ** 0.5
            for s in range(len(seeds))
            for grads in [
                torch.autograd.grad(
                    losses[s], list(bank.theta.values()), retain_graph=True, allow_unused=True
                )
            ]
        ]
        noted.append(np.column_stack([losses.detach().double().numpy(), norms]))
        lr = torch.tensor([d.lr for d in group.draws]) * step_size(config["optimiser"], step, end)
        bank.step(losses, lr, step)
        weights.append(bank.values.double().numpy().copy())
    return bank, np.array(weights), np.array(noted)


@pytest.mark.parametrize("name", KINDS)
def test_signals_are_what_they_are_called(family, name):
    config = family(name, signals=FEW, bank=4)
    config["horizon"] = 16
    _, frame = train(config, range(4))
    told = wide(frame)
    config = config | {"store": f"{config['store']}-a"}
    setting = problems.build(config)
    bank, weights, noted = followed(config, setting, range(4))
    before = 0
    for depth in (1, 4, 16):
        at = told.xs(depth, level="depth")
        mean = noted[before:depth].mean(0)
        np.testing.assert_allclose(at["train_loss"], mean[:, 0], rtol=1e-4)
        np.testing.assert_allclose(at["grad_norm"], mean[:, 1], rtol=1e-4)
        way = np.linalg.norm(weights[depth] - weights[0], axis=1)
        np.testing.assert_allclose(at["distance"], way, rtol=1e-4)
        np.testing.assert_allclose(at["weight_norm"], np.linalg.norm(weights[depth], axis=1), rtol=1e-5)
        if name == "causal":
            assert "curvature" not in told
        else:
            d = weights[depth] - weights[before]
            d *= (0.1 * way / np.linalg.norm(d, axis=1))[:, None]
            sides = []
            for sign in (1, 0, -1):
                bank.values.copy_(torch.from_numpy(weights[depth] + sign * d))
                sides.append(loop.measure(setting, bank, "val")[1][:, :10].double().mean(1).numpy())
            bend = (sides[0] - 2 * sides[1] + sides[2]) / (d**2).sum(1)
            scale = 3e-7 / (d**2).sum(1).min()  # what rounding of a loss of about 1 makes of it
            np.testing.assert_allclose(at["curvature"], bend, rtol=0.02, atol=10 * scale)
        before = depth
    start = told.xs(0, level="depth")
    np.testing.assert_allclose(start["train_loss"], noted[0, :, 0], rtol=1e-5)
    np.testing.assert_allclose(start["grad_norm"], noted[0, :, 1], rtol=1e-4)
    bank.values.copy_(torch.from_numpy(weights[0]))
    correct, loss = loop.measure(setting, bank, "val")
    np.testing.assert_allclose(start["val_loss"], loss.mean(1), rtol=1e-5)
    np.testing.assert_allclose(start["val_accuracy"], correct.mean(1), rtol=1e-6)


def test_directions_are_orthonormal_and_their_coordinates_those_of_the_weights(family, monkeypatch):
    config = family("head")
    layout = Bank(problems.build(config).problem.parameters, 2, config["optimiser"]).layout
    each = np.zeros((layout.size, layout.size), np.float32)
    np.fill_diagonal(each, 1.0)
    u = signals.measures(layout, each, np.zeros_like(each), 6, (1, "tiny"))[:, 2:]
    np.testing.assert_allclose(u.T @ u, np.eye(6), atol=1e-12)
    assert (u[: layout.filled] != 0).sum(1).tolist() == [1] * layout.filled
    assert not u[layout.filled :].any()
    share = (u > 0).sum(0) / (u != 0).sum(0)
    assert (abs(share - 0.5) < 5 * 0.5 / np.sqrt((u != 0).sum(0))).all()  # signs are even
    monkeypatch.setattr(signals, "_BLOCK", 20)
    values = np.random.default_rng(0).standard_normal((3, layout.size)).astype(np.float32)
    blockwise = signals.measures(layout, values, each[:3], 6, (1, "tiny"))
    again = signals.measures(layout, values[1:2], each[1:2], 6, (1, "tiny"))
    np.testing.assert_array_equal(blockwise[1:2], again)
    filled = values[:, : layout.filled].astype(float)
    np.testing.assert_allclose(blockwise[:, 1], np.linalg.norm(filled, axis=1))
    other = signals.measures(layout, values, each[:3], 6, (1, "another task"))
    np.testing.assert_array_equal(blockwise[:, :2], other[:, :2])
    assert (blockwise[:, 2:] != other[:, 2:]).all()


def test_coordinates_are_of_the_runs_weights(family):
    config = family("head", signals=FEW)
    _, frame = train(config, range(4))
    config = config | {"store": f"{config['store']}-a"}
    setting = problems.build(config)
    base = checkpoint.folder(config, setting.weights, checkpoint.protocol())
    bank = Bank(setting.problem.parameters, 4, config["optimiser"])
    for depth in (1, 4, 16, 32):
        values = checkpoint.find(base, [0, 1, 2, 3], depth)["values"].numpy()
        due = signals.measures(bank.layout, values, np.zeros_like(values), 3, (1, "tiny"))[:, 2:]
        told = wide(frame).xs(depth, level="depth")[[f"projection_{i}" for i in range(3)]]
        np.testing.assert_array_equal(told.to_numpy(), due.astype(np.float32))


@pytest.mark.parametrize("name", ["head", "top", "modular"])
def test_shards_give_the_same_bits(family, name):
    config = family(name, bank=16, signals=FEW)
    _, whole = train(config, range(40), "whole")
    assert whole["value"].notna().all()
    assert len(whole) == 40 * (4 * 8 + len(whole[whole["depth"] == 0]["signal"].unique()))
    for first, end in ((5, 6), (7, 14), (32, 40)):
        same(train(config, range(first, end), f"part-{first}")[1], of(whole, range(first, end)))


@pytest.mark.parametrize("name", ["head", "top"])
def test_other_widths_of_banks_agree_to_rounding(family, name):
    config = family(name, signals=FEW)
    narrow, broad = (wide(train(config | {"bank": b}, range(8), f"{b}")[1]) for b in (2, 8))
    for column in narrow:
        near = 1e-4 if column != "curvature" else 0.05
        scale = narrow[column].abs().groupby("depth").transform("max")
        assert ((narrow[column] - broad[column]).abs().dropna() <= near * scale.dropna()).all(), column


@pytest.mark.parametrize("name", KINDS)
def test_runs_are_the_same_with_signals_without_and_with_others(family, name):
    config = family(name, outputs={"examples": 6})
    plain, nothing = train(config, range(4), "plain")
    noted, few = train(config | {"signals": FEW}, range(4), "few")
    others, more = train(config | {"signals": MORE}, range(4), "more")
    assert plain == noted == others
    assert nothing.empty
    kept = sorted({*PLAIN, "val_accuracy", "val_loss"})
    pd.testing.assert_frame_equal(wide(few)[kept], wide(more)[kept], check_exact=True)
    assert sorted(n for n in set(more["signal"]) if "projection" in n) == [
        f"projection_{i}" for i in range(5)
    ]


@pytest.mark.parametrize("place", ["advance", "answers"])
def test_a_run_killed_and_resumed_notes_the_same(family, monkeypatch, place):
    config = family("head", method__dropout=0.1, signals=FEW)
    records, whole = train(config, range(6), "whole")
    for count in (0, 1, 2, 5):  # of the stretches, or of the evaluations, of two banks
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
        again, noted = train(config, range(6), store)
        assert again == records
        same(noted, whole)


def refuse(config, setting, bank, group, start, end):
    raise AssertionError("trained again")


def test_a_job_that_finds_all_evaluates_nothing(family, monkeypatch):
    config = family("head", signals=FEW)
    _, whole = train(config, range(6), "whole")
    for place in ("advance", "answers"):
        monkeypatch.setattr(loop, place, lambda *args: refuse(*args[:1], *[None] * 5))
    same(train(config, range(6), "whole")[1], whole)


def test_other_signals_train_nothing_again(family, monkeypatch):
    config = family("head")
    kinds = [None, FEW, MORE, None, FEW]
    fresh = {i: train(config | {"signals": o}, range(4), f"fresh-{i}") for i, o in enumerate(kinds)}
    train(config, range(4), "one")
    monkeypatch.setattr(loop, "advance", refuse)
    for i, asked in enumerate(kinds):
        records, noted = train(config | {"signals": asked}, range(4), "one")
        assert records == fresh[i][0]
        same(noted, fresh[i][1])


def test_means_and_bends_are_those_of_the_tasks_own_depths(family):
    """A checkpoint that another grid of depths left is read, and its stretch begins where the new one's does."""
    config = family("head", signals=FEW)
    for store, grids in {"up": ([16], [1, 4, 16]), "down": ([1, 4, 16], [4], [16])}.items():
        for depths in grids:
            last = train(config | {"depths": depths}, range(4), store)[1]
            same(
                last, train(config | {"depths": depths}, range(4), f"{store}-{len(depths)}-{depths[0]}")[1]
            )


def test_parts_and_trunks_leave_what_training_goes_on_from(family):
    config = family("head", signals=FEW)
    _, whole = train(config, range(4), "whole")
    for store in ("parts", "trunks"):
        own = config | {"store": f"{config['store']}-{store}"}
        if store == "parts":
            parts.train_until(own, problems.build(own), range(4), 4, quiet)
        else:
            own |= {"forks": {"depths": [4], "trunks": 4, "per_trunk": 2}}
            forks.fork(own, problems.build(own), 4, quiet)
        same(train(config, range(4), store)[1], whole)


def test_failed_runs_note_nothing_from_their_failure_on(family, factor):
    law = {"learning_rate": factor(choice=[1e-2, 1e18])}
    config = family("head", population=law, signals=FEW)
    noted = []
    setting = problems.build(config)
    records, draws = loop.train(config, setting, range(12), quiet, None, None, noted)
    frame = signals.signals_frame("tiny", noted).set_index(["seed", "depth"])
    failed = {(r[0], r[1]) for r in records if r[5]}
    assert {s for s, _ in failed} == {d.seed for d in draws if d.lr > 1}
    for key, part in frame.groupby(level=[0, 1]):
        assert part["value"].isna().all() == (key in failed)
        assert part["value"].isna().any() == (key in failed)


def test_a_run_that_fails_at_its_first_step_has_no_first_gradient(family):
    config = family("head")
    problem = problems.build(config).problem
    bank = Bank(problem.parameters, 2, config["optimiser"])
    bank.step(bank.theta["head.weight"].sum((1, 2)) * torch.tensor([1.0, torch.nan]), torch.ones(2), 0)
    bank.note_first()
    assert bank.sums[0].isfinite().all()
    assert bank.sums[0, 1] == pytest.approx(problem.parameters[0].shape[1] ** 0.5 * 2**0.5)
    assert bank.sums[1].tolist()[:2] == [0.0, 0.0]
    assert bank.sums[1, 2:].isnan().all()


def test_checkpoints_of_older_versions_are_read_and_trained_again_where_signals_are_asked(
    family, monkeypatch
):
    config = family("head")
    records, _ = train(config, range(4), "old")
    fresh = train(config | {"signals": FEW}, range(4), "fresh")
    setting = problems.build(config)
    old = config | {"store": f"{config['store']}-old"}
    base = checkpoint.folder(old, setting.weights, checkpoint.protocol())
    for depth in (1, 4, 16, 32):
        state = checkpoint.load(path_of(base, [0, 1, 2, 3], depth))
        state.pop("sums")
        checkpoint.save(path_of(base, [0, 1, 2, 3], depth), state, [0, 1, 2, 3], depth)
    with monkeypatch.context() as patch:
        patch.setattr(loop, "advance", refuse)
        assert train(config, range(4), "old")[0] == records
    path_of(base, [0, 1, 2, 3], 32).unlink()
    assert train(config, range(4), "old")[0] == records  # goes on from 16
    again = train(config | {"signals": FEW}, range(4), "old")
    assert again[0] == fresh[0]
    same(again[1], fresh[1])


def test_a_run_that_does_not_move_has_no_curvature(family):
    config = family("head", optimiser__lr=0.0, optimiser__weight_decay=0.0, signals=FEW)
    _, frame = train(config, range(2))
    told = wide(frame).drop(0, level="depth")
    assert (told["distance"] == 0).all()
    assert told["curvature"].isna().all()
    assert told[PLAIN].notna().all(axis=None)


def test_a_task_that_notes_none_has_an_empty_table():
    assert tables.check("signals", signals.signals_frame("tiny", [])).empty
