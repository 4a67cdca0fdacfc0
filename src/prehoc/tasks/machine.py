"""Where runs are computed: the device, and the precision of the frozen base.

Trained parameters, their gradients and the optimiser's state are fp32 everywhere; `precision` is that
of the frozen weights and of the activations that pass through them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.utils.deterministic

from prehoc.errors import InputError

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class Machine:
    """A device with the precision of the frozen base."""

    device: torch.device
    precision: str

    @property
    def dtype(self) -> torch.dtype:
        """The frozen base's dtype."""
        return PRECISIONS[self.precision]


CPU = Machine(torch.device("cpu"), "fp32")


def bf16_units(device: torch.device) -> list[str]:
    """The device's own units for bf16 arithmetic, e.g. ["avx512_bf16"]; empty if it has none."""
    if device.type == "cuda":
        return ["cuda"] if torch.cuda.is_bf16_supported(including_emulation=False) else []
    if device.type != "cpu":
        return [device.type]
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return []
    names = ("flags", "Features")  # x86-64 and arm64
    flags = next((line.split(":", 1)[1].split() for line in lines if line.startswith(names)), [])
    return [unit for unit in ("amx_bf16", "avx512_bf16", "bf16") if unit in flags]


def machine(device: str, precision: str) -> Machine:
    """The machine that `device` (auto, cpu, cuda, cuda:1, ...) and `precision` (fp32, bf16) name.

    Raises InputError if the device is not there, or has no bf16 arithmetic of its own.
    """
    found = device
    if device == "auto":
        found = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        place = torch.device(found)
    except RuntimeError as error:
        raise InputError(f"device: {device!r} is unknown; use auto, cpu, cuda or cuda:N") from error
    if place.type == "cuda" and not torch.cuda.is_available():
        raise InputError(f"device: {device}: no CUDA GPU is seen here; use auto or cpu")
    if place.type == "cuda" and (place.index or 0) >= torch.cuda.device_count():
        raise InputError(f"device: {device}: there are {torch.cuda.device_count()} GPUs here")
    if precision == "bf16" and not bf16_units(place):
        raise InputError(
            f"precision: this {place.type} has no bf16 arithmetic of its own; set precision: fp32"
        )
    if place.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read with the first product
    return Machine(place, precision)


def at_once(most: int, machine: Machine) -> int:
    """How much of a kind is evaluated at a time, from what a CPU does: a GPU wants eight times as much."""
    return most if machine.device.type == "cpu" else 8 * most


class Sums:
    """How a GPU adds: in one order each time, so that a run's numbers are the same when it is run again.

    Sums into chosen places (gradients of look-ups and of attention, pooling) are otherwise added as threads
    come. `loose` says that torch knows no such way for an operation of this process' model.
    """

    loose = False

    @classmethod
    @contextmanager
    def in_order(cls, device: torch.device) -> Iterator[None]:
        """Inside, torch takes ways that add in one order; an operation that has none raises RuntimeError.

        On a CPU, and once `loose` is set, nothing is asked of torch.
        """
        if device.type != "cuda" or cls.loose:
            yield
            return
        before = torch.are_deterministic_algorithms_enabled()
        lenient = torch.is_deterministic_algorithms_warn_only_enabled()
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        torch.use_deterministic_algorithms(True)
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(before, warn_only=lenient)

    @staticmethod
    def has_none(error: BaseException) -> bool:
        """Whether an error says that an operation has no way of adding in one order."""
        said = "does not have a deterministic implementation"
        return isinstance(error, RuntimeError) and said in str(error)


def stays(kept: torch.Tensor, place: Machine) -> torch.Tensor:
    """A tensor of the store where it is read from: on a GPU if it takes at most half of what is free there.

    Else it stays where it is, memory-mapped, and what is read of it is moved.
    """
    if place.device.type != "cuda":
        return kept.to(place.device)
    free, _ = torch.cuda.mem_get_info(place.device)
    return kept.to(place.device) if kept.nbytes <= free // 2 else kept
