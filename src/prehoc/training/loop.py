"""The fused loop: banks of runs trained through all their depths, measured, and kept at each.

A run's numbers depend on (task, seed) alone: a bank always has the same width (dummy runs fill it
up), each row's arithmetic is its own, and every random number comes from the run's named streams.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from prehoc.tasks.machine import Sums
from prehoc.tasks.population import Draw
from prehoc.tasks.problem import DropoutKey
from prehoc.training import checkpoint, graphs, outputs, plan, signals
from prehoc.training.allocation import give_back
from prehoc.training.bank import Bank
from prehoc.training.engine import Engine, Report
from prehoc.training.lock import Hold
from prehoc.training.places import path_of
from prehoc.training.plan import Group
from prehoc.training.problems import Setting
from prehoc.training.records import Record, records_of, val_metrics
from prehoc.training.schedule import step_size
from prehoc.training.width import settled


def advance(
    config: dict[str, Any], setting: Setting, bank: Bank, group: Group, start: int, end: int
) -> None:
    """Train the bank from step `start` to step `end` in place."""
    if start < end:
        with Sums.in_order(bank.device):
            _advance(config, setting, bank, group, start, end)


def _advance(
    config: dict[str, Any], setting: Setting, bank: Bank, group: Group, start: int, end: int
) -> None:
    origins = group.begun()
    plans = [plan.batches(config, d, o, start, end) for d, o in zip(group.draws, origins, strict=True)]
    wide = plan.widest(config)
    rows = np.zeros((len(plans), end - start, wide), np.int64)
    weights = np.zeros((len(plans), 1, wide), np.float32)
    for i, own in enumerate(plans):
        rows[i, :, : own.shape[1]] = own
        weights[i, 0, : own.shape[1]] = 1.0 / own.shape[1]
    device = bank.device
    rows_t, weights_t = torch.from_numpy(rows).to(device), torch.from_numpy(weights)[:, 0].to(device)
    labels = None
    if setting.problem.labels is not None:
        labels = torch.stack([torch.as_tensor(d.labels) for d in group.draws]).to(device)
    rates = torch.tensor([d.lr for d in group.draws]).to(device)
    keys = plan.dropout_keys(config, group).to(device)
    recorded = graphs.recorded(bank, setting.problem)
    for step in range(start, end):
        now = rows_t[:, step - start]
        given = labels.gather(1, now) if labels is not None else None
        lr = rates * step_size(config["optimiser"], step, config["horizon"])
        if recorded is not None:
            recorded(graphs.inputs(now, given, weights_t, keys, lr, step, bank))
        else:
            losses = setting.problem.losses(bank.theta, now, given, DropoutKey(keys, step))
            bank.step((losses * weights_t).sum(1), lr, step)
        if step == 0:
            bank.note_first()


def measure(
    setting: Setting, bank: Bank, split: str, keys: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Score and loss [S, n] of every run on a split, on the CPU; `keys` [S] where texts are sampled."""
    made = answers(setting, bank, split, keys)
    return made[:, 0], made[:, 1]


def answers(setting: Setting, bank: Bank, split: str, keys: torch.Tensor | None = None) -> torch.Tensor:
    """Score, loss and, where metrics are made of it, prediction [S, 2 or 3, n] of a split, on the CPU.

    `keys` [S] of the runs' decoding streams, where texts are sampled.
    """
    more = () if keys is None else (keys,)
    with torch.inference_mode():
        own = getattr(setting.problem, "readings", None)
        if own is not None:
            made: torch.Tensor = own(bank.theta, split).cpu()
            return made
        return torch.stack([t.cpu() for t in setting.problem.evaluate(bank.theta, split, *more)], 1)


def train(
    config: dict[str, Any],
    setting: Setting,
    seeds: Sequence[int],
    report: Report,
    said: list[outputs.Part] | None = None,
    engine: Engine | None = None,
    noted: list[signals.Part] | None = None,
) -> tuple[list[Record], list[Draw]]:
    """Train runs `seeds` through all depths.

    Returns records (seed, depth, split, metric, value, failure) and the runs' draws; what the runs
    say of the probe examples, where the task records it, is put into `said`, and their signals into
    `noted`. Depths whose checkpoint is in the store are not trained again.
    """
    draws = plan.drawn(config, setting, seeds)
    engine = engine or Engine(config, setting, len(draws), report)
    config = settled(config, setting.machine)
    base = checkpoint.opened(config, setting.weights, checkpoint.protocol(setting.machine))
    records: list[Record] = []
    done, begun = 0, time.monotonic()

    def work(part: list[Draw], width: int) -> tuple[list[Record], list[outputs.Part], list[signals.Part]]:
        group = Group.filled(part, width)
        bank = Bank(setting.problem.parameters, width, config["optimiser"], setting.machine.device)
        made: list[Record] = []
        told: list[outputs.Part] = []
        seen: list[signals.Part] = []
        with Hold(base, group.seeds, engine.times, engine.report, config["task"]) as hold:
            for depth, measured in reach(config, setting, bank, group, hold, plan.depths(config), True):
                now = records_of(config, setting, bank, group, depth, measured)
                made += now
                failed = {r[0] for r in now if r[5]}
                seen += signals.parts(config, setting.problem, group.seeds, depth, measured, failed)
                if outputs.examples_of(config):
                    told.append(outputs.part(config, group.seeds, depth, measured["outputs"], failed))
        return made, told, seen

    for part, (made, told, seen) in engine.share(draws, plan.cut_runs, work):
        records += made
        if said is not None:
            said += told
        if noted is not None:
            noted += seen
        done += len(part)
        spent = time.monotonic() - begun
        report(
            f"{config['task']}: {done} of {len(seeds)} runs to depth {config['horizon']}, "
            f"{spent:.0f} s, about {spent / done * (len(seeds) - done):.0f} s to go"
        )
    return records, draws


def reach(
    config: dict[str, Any],
    setting: Setting,
    bank: Bank,
    group: Group,
    hold: Hold,
    depths: list[int],
    measuring: bool,
) -> Iterator[tuple[int, dict[str, torch.Tensor]]]:
    """Bring the bank to each depth in turn, from checkpoints where they exist.

    `hold`'s locks are taken before anything is trained or measured, and not at all where nothing is.
    Yields the depth and, where `measuring`, each run's metrics on the validation split ([S, K] in the
    order of records.metrics_of), the losses of the first of its examples ([S, E], where the task records
    outputs), what signals.parts takes (where it notes them) and, at the horizon, its answers to each
    target example ([S, 2 or 3, n]).
    """
    for i, draw in enumerate(group.draws):
        bank.initialise(i, config["seed"], config["task"], draw.seed, config["crossed"])
    at, noting = 0, measuring and signals.asked(config) is not None
    trace = signals.Trace(config, setting.problem, bank, group.real) if noting else None
    filled = [min(i, group.real - 1) for i in range(len(group.draws))]
    for depth in depths:
        state, kept, missing = _kept(config, bank, group, hold, at, depth, measuring)
        if (state is None or missing) and hold.take():  # what another writer finished meanwhile is there
            state, kept, missing = _kept(config, bank, group, hold, at, depth, measuring)
        keys = plan.decoding_keys(config, group) if missing else None
        if noting and missing and at == 0 and "start" not in kept:
            told = answers(setting, bank, "val", keys)[: group.real]
            kept["start"] = val_metrics(setting.problem, told)
        if state is None:
            advance(config, setting, bank, group, at, depth)
        else:
            bank.load(state, filled)
        for split in missing:
            told = answers(setting, bank, split, keys)[: group.real]
            kept[split] = val_metrics(setting.problem, told) if split == "val" else told
            if split == "val" and outputs.examples_of(config):
                kept["outputs"] = told[:, 1, : outputs.examples_of(config)]
            if split == "val" and trace is not None:
                kept["signals"] = trace.look(told[:, 1])
        if state is None or missing:
            path = path_of(hold.base, group.seeds, depth)
            checkpoint.save(path, {**bank.state(), **kept}, group.seeds, depth)
        if trace is not None:
            kept |= trace.passed(depth)
        at = depth
        give_back()
        yield depth, kept


def _kept(
    config: dict[str, Any], bank: Bank, group: Group, hold: Hold, before: int, depth: int, measuring: bool
) -> tuple[checkpoint.State | None, checkpoint.State, list[str]]:
    """What the store has of a bank at a depth: its state, what was measured, and which splits were not."""
    aside = hold.report if hold.held else None
    state = checkpoint.find(hold.base, group.seeds, depth, bank.state(), aside)
    if state is not None and measuring and signals.asked(config) and signals.unsummed(state):
        state = None  # trained again from the depth before
    kept = {k: v for k, v in (state or {}).items() if k in checkpoint.MEASURED}
    wanted = [("val", True), ("target", depth == config["horizon"])] if measuring else []
    short = outputs.lacking(config, kept) or signals.lacking(config, kept, before) if measuring else False
    missing = [
        split for split, needed in wanted if needed and (split not in kept or (split == "val" and short))
    ]
    return state, kept, missing
