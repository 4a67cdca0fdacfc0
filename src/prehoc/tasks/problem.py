"""What the training loop asks of a task: parameters of one run, losses of many, and outcomes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

Theta = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Parameter:
    """One trained tensor of one run: its shape, its initial law, and whether weight decay acts on it."""

    name: str
    shape: tuple[int, ...]
    init: Callable[[np.random.Generator], np.ndarray]
    decay: bool = True


@dataclass(frozen=True)
class DropoutKey:
    """What a dropout mask depends on: a key a run [S] and the step; never the run's neighbours."""

    keys: torch.Tensor
    step: int


class Problem(Protocol):
    """A task with its data, seen by the loop as a function of stacked parameters.

    `theta` maps a parameter's name to a tensor [S, *shape]; rows are row numbers within a split.
    """

    parameters: list[Parameter]
    labels: torch.Tensor | None
    """Training labels [n], or None where labels are no class (then no label noise is drawn)."""
    classes: int

    def rows(self, split: str) -> int:
        """Number of examples in a split."""

    def losses(
        self, theta: Theta, rows: torch.Tensor, labels: torch.Tensor | None, key: DropoutKey
    ) -> torch.Tensor:
        """Training losses [S, B] in nats at training rows [S, B], under labels [S, B] if given."""

    def evaluate(self, theta: Theta, split: str) -> tuple[torch.Tensor, torch.Tensor]:
        """Correctness (0 or 1) and loss in nats of each example of a split: [S, n] each."""


def zeros(shape: tuple[int, ...]) -> Callable[[np.random.Generator], np.ndarray]:
    """Initial law: zeros."""
    return lambda rng: np.zeros(shape, np.float32)


def normal(shape: tuple[int, ...], sd: float) -> Callable[[np.random.Generator], np.ndarray]:
    """Initial law: independent normals of standard deviation `sd`."""
    return lambda rng: (sd * rng.standard_normal(shape)).astype(np.float32)


def uniform(shape: tuple[int, ...], bound: float) -> Callable[[np.random.Generator], np.ndarray]:
    """Initial law: uniform on [-bound, bound]; 1/sqrt(fan-in) is peft's for LoRA's A."""
    return lambda rng: rng.uniform(-bound, bound, shape).astype(np.float32)


_MASK = 0x7FFFFFFF


def _mix(value: torch.Tensor) -> torch.Tensor:
    """A 31-bit integer hash (multiply and xor-shift), elementwise on int64 without overflow."""
    value = value & _MASK
    value = ((value ^ (value >> 16)) * 0x45D9F3B) & _MASK
    value = ((value ^ (value >> 15)) * 0x2C1B3C6D) & _MASK
    return value ^ (value >> 16)


def dropout(states: torch.Tensor, rate: float, key: DropoutKey, site: int) -> torch.Tensor:
    """Inverted dropout on [S, ...]; the mask is a hash of (run's key, step, site, element).

    It holds no state, so a run's masks are the same alone or among others, and after a resume.
    """
    if rate == 0.0:
        return states
    count = states[0].numel()
    element = torch.arange(count, device=states.device)
    run = _mix(_mix(key.keys[:, None] + 0x9E3779B * (key.step + 1)) + 0x85EBCA6 * (site + 1))
    bits = _mix(_mix(run ^ element[None]) + 0x27D4EB2 * element[None])
    keep = (bits >= int(rate * (_MASK + 1))).view(states.shape)
    return states * keep.to(states.dtype) / (1.0 - rate)


def row_keys(key: DropoutKey, site: int, run_of_row: torch.Tensor, row: torch.Tensor) -> torch.Tensor:
    """TEMP stand-in until the fast one is merged."""
    run = _mix(_mix(key.keys + 0x9E3779B * (key.step + 1)) + 0x85EBCA6 * (site + 1))
    return _mix(run[run_of_row] ^ row)


def dropout_rows(states: torch.Tensor, rate: float, keys: torch.Tensor) -> torch.Tensor:
    """TEMP stand-in."""
    element = torch.arange(states.shape[1], device=states.device)
    bits = _mix(_mix(keys[:, None] ^ element[None]) + 0x27D4EB2 * element[None])
    keep = bits >= int(rate * (_MASK + 1))
    return states * keep.to(states.dtype) / (1.0 - rate)
