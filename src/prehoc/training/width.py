"""How many runs one bank holds: S as the config says, by recipe on a CPU, by free memory on a GPU."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from prehoc.tasks.machine import Machine
from prehoc.tasks.problem import DropoutKey, Problem
from prehoc.training.bank import Bank

MIN_WIDTH = 2  # a bank of one would take other kernels, and give other bits
# On a CPU: where a step's time a run stops falling (docs/development.md).
CPU_WIDTHS = {"head": 512, "lora": 16, "full": 16}
MARGIN = 2.0  # on what is counted: what the backward pass and evaluation take for a moment
SHARE = 0.8  # of the free memory
WIDEST = 1 << 16


def recipe(config: Mapping[str, Any], machine: Machine) -> int | None:
    """The width that needs no measuring: the config's number, or a CPU's by kind of method; else None."""
    if config["bank"] != "auto":
        return int(config["bank"])
    if config["kind"] == "text_classification" and config["method"]["kind"] == "full":
        return MIN_WIDTH if machine.device.type == "cpu" else None  # whole models: memory, not time, counts
    return CPU_WIDTHS[config["method"]["kind"]] if machine.device.type == "cpu" else None


def settled(config: dict[str, Any], machine: Machine) -> dict[str, Any]:
    """The stage config with its bank's width, where that needs no measuring: checkpoints have it as key."""
    return config | {"bank": recipe(config, machine) or config["bank"]}


def choose(
    config: Mapping[str, Any], problem: Problem, machine: Machine, runs: int, report: Callable[[str], None]
) -> int:
    """The width of a job's banks, told in one line; `runs` is the job's number of runs."""
    known = recipe(config, machine)
    if known is not None:
        if config["bank"] == "auto":
            report(f"{config['task']}: banks of {known} runs, the width for a CPU")
        return known
    each = footprint(config, problem, machine.device)
    free = free_memory(machine.device)
    width = widest(each, free, runs)
    report(
        f"{config['task']}: banks of {width} runs; a run takes {each / 2**20:.3g} MiB "
        f"and {free / 2**30:.3g} GiB are free"
    )
    return width


def widest(each: float, free: float, runs: int) -> int:
    """The largest power of two of runs of `each` bytes that fit; no more than hold `runs` runs."""
    width = MIN_WIDTH
    while width < min(runs, WIDEST) and 2 * width * each <= SHARE * free:
        width *= 2
    return width


def footprint(config: Mapping[str, Any], problem: Problem, device: torch.device) -> float:
    """Bytes that one more run takes while it trains: weights, gradient, optimiser, saved activations.

    What two banks of unlike width have in common (frozen weights, caches) cancels in the difference.
    """
    few, many = 2, 4
    return MARGIN * (_held(config, problem, device, many) - _held(config, problem, device, few)) / 2


def _held(config: Mapping[str, Any], problem: Problem, device: torch.device, runs: int) -> int:
    """Bytes that a bank of `runs` runs holds as a step's backward pass is about to begin."""
    bank = Bank(problem.parameters, runs, dict(config["optimiser"]), device)
    saved: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        saved[storage.data_ptr()] = storage.nbytes()
        return tensor  # which keeps it, so that no other takes its place

    batch = int(config["optimiser"]["batch_size"])
    rows = torch.arange(batch, device=device).remainder(problem.rows("train")).expand(runs, -1)
    labels = None if problem.labels is None else problem.labels[rows]
    keys = torch.arange(runs, device=device)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda kept: kept):
        losses = problem.losses(bank.theta, rows.contiguous(), labels, DropoutKey(keys, 0))
    del losses
    own = [*bank.state().values(), bank.gradient]
    for tensor in own:
        storage = tensor.untyped_storage()
        saved[storage.data_ptr()] = storage.nbytes()
    return sum(saved.values())


def free_memory(device: torch.device) -> int:
    """Bytes free: of the GPU, or of the machine and of the control group that the job runs in."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    found = [_available(), _left("memory.max", "memory.current")]
    found.append(_left("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"))
    known = [n for n in found if n is not None]
    return min(known) if known else 2**32


def _available(path: Path = Path("/proc/meminfo")) -> int | None:
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return None
    return next((int(x.split()[1]) * 1024 for x in lines if x.startswith("MemAvailable:")), None)


def _left(limit: str, used: str, base: Path = Path("/sys/fs/cgroup")) -> int | None:
    """What a control group has left; None where it sets no limit ("max")."""
    try:
        return max(int((base / limit).read_text()) - int((base / used).read_text()), 0)
    except (OSError, ValueError):
        return None
