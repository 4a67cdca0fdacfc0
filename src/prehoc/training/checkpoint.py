"""Checkpoints of a bank at its depths: the runs' state and what was measured, written atomically.

They lie in the store, outside any job's declared outputs, so a killed job resumes at its last depth.
The key leaves out what a run's numbers up to that depth do not depend on: the number of runs, the
depths, the outcome and, for schedules that do not span it, the horizon.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from prehoc.config import TRAINING_KEYS, digest, source_digest
from prehoc.tables import atomic
from prehoc.tasks.machine import CPU, Machine
from prehoc.training.schedule import spans_horizon


def protocol(machine: Machine = CPU) -> dict[str, Any]:
    """The numerics that a checkpoint's bits depend on."""
    return {
        "device": machine.device.type,
        "precision": machine.precision,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


def folder(config: dict[str, Any], weights: str, protocol: dict[str, Any]) -> Path:
    """Where a task's checkpoints lie; `weights` pins the model, `protocol` the numerics."""
    identity = {k: config[k] for k in ("task", "seed", *TRAINING_KEYS)}
    if spans_horizon(config["optimiser"]):
        identity["horizon"] = config["horizon"]
    identity |= {"weights": weights, "protocol": protocol, "source": source_digest("train")}
    return Path(config["store"]) / "checkpoints" / config["task"] / digest(identity)


def path_of(base: Path, seeds: list[int], depth: int) -> Path:
    """The file of a bank at a depth; a bank is named by its first seed and its number of real runs."""
    return base / f"seeds_{seeds[0]:06d}+{len(seeds)}" / f"depth_{depth:08d}.safetensors"


def save(path: Path, state: dict[str, torch.Tensor], seeds: list[int], depth: int) -> None:
    """Write a bank's state [S, ...]; only the rows of its real runs are kept."""
    real = {name: tensor[: len(seeds)].contiguous().cpu() for name, tensor in state.items()}
    with atomic(path) as temporary:
        save_file(real, temporary, metadata={"meta": json.dumps({"seeds": seeds, "depth": depth})})


def banks(base: Path) -> Iterator[tuple[int, int, Path]]:
    """First seed, number of real runs and folder of each bank that was kept."""
    for folder_ in sorted(base.glob("seeds_*+*")):
        first, count = map(int, folder_.name.removeprefix("seeds_").split("+"))
        yield first, count, folder_


def find(base: Path, seeds: list[int], depth: int) -> dict[str, torch.Tensor] | None:
    """The state [len(seeds), ...] of a bank's real runs at a depth, or None.

    Taken from the bank's own file, or else from the smallest one that holds its seeds and more: forks
    ask for trunks only, a bank may have been halved, and a row does not depend on its neighbours.
    """
    own = path_of(base, seeds, depth)
    wanted = (seeds[0], seeds[0] + len(seeds))
    others = []
    for first, count, folder_ in banks(base):
        if first <= wanted[0] and wanted[1] <= first + count and count > len(seeds):
            others.append((count, first, folder_ / own.name))
    for _, first, path in [(0, seeds[0], own), *sorted(others)]:
        state = load(path)
        if state is not None:
            at = seeds[0] - first
            return {k: v[at : at + len(seeds)] for k, v in state.items()}
    return None


def load(path: Path) -> dict[str, torch.Tensor] | None:
    """The state at `path`, or None if there is none that can be read whole."""
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as stream:
            state = {k: stream.get_tensor(k) for k in stream.keys()}  # noqa: SIM118
        if {"values", "failed_at"} <= state.keys():
            return state
        path.unlink(missing_ok=True)  # a foreign hand's
        return None
    except (SafetensorError, OSError):
        path.unlink(missing_ok=True)
        return None
