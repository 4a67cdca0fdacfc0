"""Checkpoints of a bank at its depths: the runs' state and what was measured, written atomically.

They lie in the store, outside any job's declared outputs, so a killed job resumes at its last depth.
The key leaves out what a run's numbers up to that depth do not depend on: the number of runs, the
depths, the outcome and, for schedules that do not span it, the horizon. A file that is not whole
is set aside by whoever holds the runs' lock, and never taken for a checkpoint.
"""

from __future__ import annotations

import contextlib
import json
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from prehoc.config import TRAINING_KEYS, digest, source_digest
from prehoc.tables import atomic, write_json
from prehoc.tasks import hub
from prehoc.tasks.machine import CPU, Machine
from prehoc.training.bank import SUMS
from prehoc.training.places import ABOUT, BrokenError, banks, header, path_of
from prehoc.training.schedule import spans_horizon

MEASURED = ("val", "outputs", "signals", "start", "target")  # what stands beside a bank's state
State = dict[str, torch.Tensor]


def protocol(machine: Machine = CPU) -> dict[str, Any]:
    """The numerics that a checkpoint's bits depend on."""
    return {
        "device": machine.device.type,
        "precision": machine.precision,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


def identity(config: dict[str, Any], weights: str, protocol: dict[str, Any]) -> dict[str, Any]:
    """What a task's checkpoints depend on; `weights` pins the model, `protocol` the numerics."""
    keys = {k: config[k] for k in ("task", "seed", *TRAINING_KEYS)} | hub.pinned(config)
    for more in ("generation", "sandbox", "sandbox_source"):  # a checkpoint keeps what was measured, too
        if config.get(more):
            keys[more] = config[more]
    if spans_horizon(config["optimiser"]):
        keys["horizon"] = config["horizon"]
    return keys | {"weights": weights, "protocol": protocol, "source": source_digest("train")}


def folder(config: dict[str, Any], weights: str, protocol: dict[str, Any]) -> Path:
    """Where a task's checkpoints lie; arguments as of `identity`."""
    name = digest(identity(config, weights, protocol))
    return Path(config["store"]) / "checkpoints" / config["task"] / name


def opened(config: dict[str, Any], weights: str, protocol: dict[str, Any]) -> Path:
    """`folder`, with a file in it that says what it is of, for `prehoc status` alone."""
    base = folder(config, weights, protocol)
    if not (base / ABOUT).exists():
        write_json(identity(config, weights, protocol), base / ABOUT)
    return base


def checksums(state: Mapping[str, torch.Tensor]) -> dict[str, int]:
    """CRC-32 of each tensor's bytes, by name."""
    flat = {name: tensor.contiguous().reshape(-1).view(torch.uint8) for name, tensor in state.items()}
    return {name: zlib.crc32(data.numpy().data) for name, data in sorted(flat.items())}


def save(path: Path, state: Mapping[str, torch.Tensor], seeds: list[int], depth: int) -> None:
    """Write a bank's state [S, ...]; only the rows of its real runs are kept."""
    real = {name: tensor[: len(seeds)].contiguous().cpu() for name, tensor in state.items()}
    meta = {"seeds": seeds, "depth": depth, "crc32": checksums(real)}
    with atomic(path) as temporary:
        save_file(real, temporary, metadata={"meta": json.dumps(meta)})


def find(
    base: Path,
    seeds: list[int],
    depth: int,
    like: Mapping[str, torch.Tensor] | None = None,
    aside: Callable[[str], None] | None = None,
) -> State | None:
    """The state [len(seeds), ...] of a bank's real runs at a depth, or None.

    Taken from the bank's own file, or else from the smallest one that holds its seeds and more: forks
    ask for trunks only, a bank may have been halved, and a row does not depend on its neighbours.
    `like` is a bank's state, whose names and shapes are looked for. A file that is not whole is passed
    by. Where `aside` is given, as by its writer, the bank's own is renamed, and `aside` told in one line.
    """
    own = path_of(base, seeds, depth)
    wanted = (seeds[0], seeds[0] + len(seeds))
    others = []
    for first, count, folder_ in banks(base):
        if first <= wanted[0] and wanted[1] <= first + count and count > len(seeds):
            others.append((count, first, folder_ / own.name))
    for count, first, path in [(len(seeds), seeds[0], own), *sorted(others)]:
        try:
            state = load(path, count, like)
        except BrokenError as error:
            if aside is not None and path == own:
                aside(f"{path}: broken: {error}; set aside as {set_aside(path).name} and trained again")
            continue
        if state is not None:
            at = seeds[0] - first
            return {k: v[at : at + len(seeds)] for k, v in state.items()}
    return None


def load(
    path: Path, runs: int | None = None, like: Mapping[str, torch.Tensor] | None = None
) -> State | None:
    """The state at `path`, or None if there is no file.

    Raises BrokenError, saying in what, for one that is cut off, does not match its checksums, or does
    not hold `runs` rows of what `like` has. Files without checksums, as older versions wrote, are read.
    """
    if not path.exists():
        return None
    try:
        known = header(path).meta.get("crc32")
        with safe_open(path, framework="pt") as stream:
            state = {k: stream.get_tensor(k) for k in stream.keys()}  # noqa: SIM118
    except FileNotFoundError:
        return None
    except (PermissionError, BrokenError):
        raise
    except (SafetensorError, OSError) as error:
        raise BrokenError(" ".join(str(error).split())[:120]) from None
    if known is not None and known != checksums(state):
        raise BrokenError("its bytes do not match their checksums")
    if "values" in state and "sums" not in state:  # as older versions wrote
        state["sums"] = torch.full((len(state["values"]), SUMS), torch.nan, dtype=torch.float64)
    for name in {"values", "failed_at"} if like is None else like:
        if name not in state:
            raise BrokenError(f"it holds no {name!r}")
        shape, due = tuple(state[name].shape[1:]), like and tuple(like[name].shape[1:])
        if due is not None and shape != due:
            raise BrokenError(f"{name!r} has the shape {shape} a run, not {due}")
    rows = {len(v) if v.ndim else 0 for k, v in state.items()}
    if runs is not None and rows != {runs}:
        raise BrokenError(f"it holds {sorted(rows)} runs, not {runs}")
    return state


def set_aside(path: Path) -> Path:
    """Rename a broken file to one that nothing reads, never over another; its new path."""
    number = 1
    while True:
        new = path.with_name(f"{path.name}.broken" + (f"-{number}" if number > 1 else ""))
        if not new.exists():
            break
        number += 1
    with contextlib.suppress(FileNotFoundError):
        path.rename(new)
    return new
