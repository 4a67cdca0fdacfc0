"""The fused loop: banks of runs trained through all their depths, measured, and kept at each.

A run's numbers depend on (task, seed) alone: a bank always has the same width (dummy runs fill it
up), each row's arithmetic is its own, and every random number comes from the run's named streams.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from prehoc.tasks.population import Draw, draw_run, fork_domain, target_outcome
from prehoc.tasks.problem import DropoutKey
from prehoc.tasks.streams import generator
from prehoc.training import checkpoint, outputs
from prehoc.training.bank import Bank
from prehoc.training.problems import Setting
from prehoc.training.schedule import step_size

Record = tuple[int, int, str, str, float, bool]
Report = Callable[[str], None]
Origin = tuple[int, int]  # (depth, k): continuation k from `depth`


def protocol() -> dict[str, Any]:
    """The numerics that a checkpoint's bits depend on."""
    return {
        "dtype": "float32",
        "device": "cpu",
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


@dataclass
class Group:
    """One bank's runs: real ones first, then dummies; `origins` is None for trunks."""

    draws: list[Draw]
    real: int
    origins: list[Origin] | None = None

    @property
    def seeds(self) -> list[int]:
        """Seeds of the real runs."""
        return [d.seed for d in self.draws[: self.real]]

    def begun(self) -> list[Origin | None]:
        """Each run's origin: None for a trunk."""
        return list(self.origins) if self.origins else [None] * len(self.draws)


def batches(config: dict[str, Any], draw: Draw, origin: Origin | None, start: int, end: int) -> np.ndarray:
    """Training rows [end - start, batch] of steps start..end-1: epochs of reshuffled data.

    A fork's order begins anew at its depth, from a stream of its own.
    """
    crossed = config["crossed"]
    rng = generator(config["seed"], config["task"], draw.seed, "order", origin, crossed)
    begin = origin[0] if origin else 0
    size = draw.batch_size
    need, rows = (end - begin) * size, [np.empty(0, np.int64)]
    while sum(map(len, rows)) < need:
        rows.append(rng.permutation(draw.pool))
    return np.concatenate(rows)[(start - begin) * size : need].reshape(end - start, size)


def _keys(config: dict[str, Any], group: Group) -> torch.Tensor:
    origins = group.begun()
    root, task, crossed = config["seed"], config["task"], config["crossed"]
    keys = [
        int(generator(root, task, d.seed, "dropout", o, crossed).integers(1 << 31))
        for d, o in zip(group.draws, origins, strict=True)
    ]
    return torch.tensor(keys)


def _widest(config: dict[str, Any]) -> int:
    """The largest batch that a run of the task may draw: the width of all its banks' batches.

    Taken from the config and not from the bank's own runs, whose company would else show in the
    rounding of their sums.
    """
    factor = config["population"].get("batch_size")
    return int(max(factor["choice"])) if factor else int(config["optimiser"]["batch_size"])


def advance(
    config: dict[str, Any], setting: Setting, bank: Bank, group: Group, start: int, end: int
) -> None:
    """Train the bank from step `start` to step `end` in place."""
    if start == end:
        return
    origins = group.begun()
    plans = [batches(config, d, o, start, end) for d, o in zip(group.draws, origins, strict=True)]
    widest = _widest(config)
    rows = np.zeros((len(plans), end - start, widest), np.int64)
    weights = np.zeros((len(plans), 1, widest), np.float32)
    for i, plan in enumerate(plans):
        rows[i, :, : plan.shape[1]] = plan
        weights[i, 0, : plan.shape[1]] = 1.0 / plan.shape[1]
    rows_t, weights_t = torch.from_numpy(rows), torch.from_numpy(weights)[:, 0]
    labels = None
    if setting.problem.labels is not None:
        labels = torch.stack([torch.as_tensor(d.labels) for d in group.draws])
    rates = torch.tensor([d.lr for d in group.draws])
    keys = _keys(config, group)
    for step in range(start, end):
        now = rows_t[:, step - start]
        given = labels.gather(1, now) if labels is not None else None
        losses = setting.problem.losses(bank.theta, now, given, DropoutKey(keys, step))
        lr = rates * step_size(config["optimiser"], step, config["horizon"])
        bank.step((losses * weights_t).sum(1), lr, step)


def measure(setting: Setting, bank: Bank, split: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Correctness and loss [S, n] of every run on a split."""
    with torch.inference_mode():
        correct, loss = setting.problem.evaluate(bank.theta, split)
    return correct, loss


def _prepare(config: dict[str, Any], setting: Setting, seeds: Sequence[int]) -> list[Draw]:
    labels = setting.problem.labels
    known = labels.numpy() if labels is not None else None
    return [
        draw_run(
            config,
            s,
            known,
            setting.problem.rows("train"),
            setting.problem.classes,
            setting.domains,
        )
        for s in seeds
    ]


def _groups(config: dict[str, Any], draws: list[Draw]) -> Iterator[Group]:
    """Banks of the task's width, cut at multiples of it; short ones are filled up with a repeat."""
    width = config["bank"]
    blocks: dict[int, list[Draw]] = {}
    for draw in draws:
        blocks.setdefault(draw.seed // width, []).append(draw)
    for block in blocks.values():
        yield Group(block + [block[-1]] * (width - len(block)), len(block))


def _depths(config: dict[str, Any]) -> list[int]:
    return sorted({*config["depths"], config["horizon"]})


def train(
    config: dict[str, Any],
    setting: Setting,
    seeds: Sequence[int],
    report: Report,
    said: list[outputs.Part] | None = None,
) -> tuple[list[Record], list[Draw]]:
    """Train runs `seeds` through all depths.

    Returns records (seed, depth, split, metric, value, failure) and the runs' draws; what the runs
    say of the probe examples, where the task records it, is put into `said`. Depths whose checkpoint
    is in the store are not trained again.
    """
    draws = _prepare(config, setting, seeds)
    base = checkpoint.folder(config, setting.weights, protocol())
    records: list[Record] = []
    done, begun = 0, time.monotonic()
    for group in _groups(config, draws):
        bank = Bank(setting.problem.parameters, config["bank"], config["optimiser"])
        for depth, measured in _reach(config, setting, bank, group, base, _depths(config), True):
            made = _records(config, setting, bank, group, depth, measured)
            records += made
            if said is not None and outputs.examples_of(config):
                failed = {r[0] for r in made if r[5]}
                said.append(outputs.part(config, group.seeds, depth, measured["outputs"], failed))
        done += group.real
        spent = time.monotonic() - begun
        report(
            f"{config['task']}: {done} of {len(seeds)} runs to depth {config['horizon']}, "
            f"{spent:.0f} s, about {spent / done * (len(seeds) - done):.0f} s to go"
        )
    return records, draws


def _reach(
    config: dict[str, Any],
    setting: Setting,
    bank: Bank,
    group: Group,
    base: Path,
    depths: list[int],
    measuring: bool,
) -> Iterator[tuple[int, dict[str, torch.Tensor]]]:
    """Bring the bank to each depth in turn, from checkpoints where they exist.

    Yields the depth and, where `measuring`, the correctness and loss of each run on the validation
    split (means [S, 2]), the losses of the first of its examples ([S, E], where the task records
    outputs) and, at the horizon, both of each target example ([S, 2, n]).
    """
    for i, draw in enumerate(group.draws):
        bank.initialise(i, config["seed"], config["task"], draw.seed, config["crossed"])
    at = 0
    filled = [min(i, group.real - 1) for i in range(len(group.draws))]
    for depth in depths:
        state = checkpoint.find(base, group.seeds, depth)
        if state is None:
            advance(config, setting, bank, group, at, depth)
        else:
            bank.load(state, filled)
        kept = {k: v for k, v in (state or {}).items() if k in ("val", "outputs", "target")}
        wanted = [("val", True), ("target", depth == config["horizon"])] if measuring else []
        missing = [
            split
            for split, needed in wanted
            if needed and (split not in kept or (split == "val" and outputs.lacking(config, kept)))
        ]
        for split in missing:
            both = torch.stack(measure(setting, bank, split), 1)[: group.real]
            kept[split] = both.mean(2) if split == "val" else both
            if split == "val" and outputs.examples_of(config):
                kept["outputs"] = both[:, 1, : outputs.examples_of(config)]
        if state is None or missing:
            path = checkpoint.path_of(base, group.seeds, depth)
            checkpoint.save(path, {**bank.state(), **kept}, group.seeds, depth)
        at = depth
        yield depth, kept


def _records(
    config: dict[str, Any],
    setting: Setting,
    bank: Bank,
    group: Group,
    depth: int,
    measured: dict[str, torch.Tensor],
) -> list[Record]:
    failed = (bank.failed_at >= 0).numpy()
    domains = setting.target_domains.numpy() if setting.target_domains is not None else None
    records: list[Record] = []
    for i, draw in enumerate(group.draws[: group.real]):
        correct, loss = measured["val"][i].tolist()
        values = {("val", "accuracy"): correct, ("val", "loss"): loss}
        if depth == config["horizon"]:
            right, losses = measured["target"][i].numpy()
            domain, classes = draw.target_domain, setting.problem.classes
            outcome = target_outcome(config, draw.seed, right, losses, domains, domain, classes)
            values |= {(split, name): v for split, made in outcome.items() for name, v in made.items()}
        bad = bool(failed[i]) or not all(np.isfinite(v) for v in values.values())
        for (split, metric), value in values.items():
            records.append((draw.seed, depth, split, metric, float("nan") if bad else value, bad))
    return records


def fork(
    config: dict[str, Any], setting: Setting, depth: int, report: Report
) -> list[tuple[int, int, int, str, float]]:
    """Continue the first trunks from `depth` to the horizon, `per_trunk` times each.

    A continuation keeps its trunk's weights, optimiser, training data and visible factors, and has
    fresh order, dropout and outcome streams. Returns records (seed, depth, fork, metric, value).
    """
    plan = config["forks"]
    trunks = _prepare(config, setting, range(plan["trunks"]))
    base = checkpoint.folder(config, setting.weights, protocol())
    until = [d for d in _depths(config) if d < depth] + [depth]
    parts: list[dict[str, torch.Tensor]] = []
    for group in _groups(config, trunks):
        bank = Bank(setting.problem.parameters, config["bank"], config["optimiser"])
        for _ in _reach(config, setting, bank, group, base, until, False):
            pass
        parts.append({k: v[: group.real].clone() for k, v in bank.state().items()})
    states = {k: torch.cat([p[k] for p in parts]) for k in parts[0]}
    per, width = plan["per_trunk"], config["bank"]
    alive = [i for i in range(len(trunks)) if int(states["failed_at"][i]) < 0]
    jobs = [(i, k) for i in alive for k in range(per)]
    records: list[tuple[int, int, int, str, float]] = []
    domains = setting.target_domains.numpy() if setting.target_domains is not None else None
    begun = time.monotonic()
    for first in range(0, len(jobs), width):
        part = jobs[first : first + width]
        full = part + [part[-1]] * (width - len(part))
        group = Group([trunks[i] for i, _ in full], len(part), [(depth, k) for _, k in full])
        bank = Bank(setting.problem.parameters, width, config["optimiser"])
        bank.load(states, [i for i, _ in full])
        advance(config, setting, bank, group, depth, config["horizon"])
        correct, loss = measure(setting, bank, "target")
        for j, (i, k) in enumerate(part):
            draw = trunks[i]
            outcome = target_outcome(
                config,
                draw.seed,
                correct[j].numpy(),
                loss[j].numpy(),
                domains,
                fork_domain(config, draw, (depth, k), setting.domains),
                setting.problem.classes,
                (depth, k),
            )["target"]
            bad = int(bank.failed_at[j]) >= 0 or not np.isfinite(outcome["loss_pool"])
            for metric in ("accuracy", "loss"):
                value = float("nan") if bad else outcome[metric]
                records.append((draw.seed, depth, k, metric, value))
        done, spent = first + len(part), time.monotonic() - begun
        report(
            f"{config['task']}: {done} of {len(jobs)} forks from depth {depth}, {spent:.0f} s, "
            f"about {spent / done * (len(jobs) - done):.0f} s to go"
        )
    return records
