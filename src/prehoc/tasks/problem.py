"""What the training loop asks of a task: parameters of one run, losses of many, and outcomes."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F

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
    """What a dropout mask depends on: a key a run [S] and the step; never the run's neighbours.

    The step is a tensor without dimensions where a step is recorded once and replayed.
    """

    keys: torch.Tensor
    step: int | torch.Tensor


class Problem(Protocol):
    """A task with its data, seen by the loop as a function of stacked parameters.

    `evaluate` gives a score (0 or 1) and a loss an example. An attribute `score_name` says what the score
    is called in tables (`accuracy` without it; None where there is none). A problem with metrics that are
    no means has `readings(theta, split)`: score, loss and prediction [S, 3, n], and `truth(split)`.

    `probe(theta, examples)`, where there is one, gives losses [S, examples] of the first validation
    examples, for the curvature that signals note.

    `theta` maps a parameter's name to a tensor [S, *shape]; rows are row numbers within a split. A problem
    whose tensors change their shapes from step to step says so by an attribute `static_shapes = False`.
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


_STEP, _SITE, _ROW, _COLUMN = 0x9E3779B9, 0x85EBCA6B, 0xC2B2AE35, 0x27D4EB2F


def _signed(value: int) -> int:
    """`value` modulo 2^32 as a signed 32-bit integer."""
    value &= 0xFFFFFFFF
    return value - (1 << 32) if value >> 31 else value


_FIRST, _SECOND = _signed(0x21F0AAAD), _signed(0xD35A2D97)


def _fold(value: torch.Tensor, shift: int, spare: torch.Tensor | None = None) -> torch.Tensor:
    """`value` ^= its own logical right shift, in place; torch's shift of int32 keeps the sign."""
    shifted = torch.bitwise_right_shift(value, shift, out=spare)
    shifted &= (1 << (32 - shift)) - 1
    value ^= shifted
    return shifted


def _mix(value: torch.Tensor) -> torch.Tensor:
    """A 32-bit integer hash in place, elementwise on int32: C. Wellons' `lowbias32`."""
    _fold(value, 16)
    value *= _FIRST
    _fold(value, 15)
    value *= _SECOND
    _fold(value, 15)
    return value


@functools.cache
def _known_columns(count: int) -> np.ndarray:
    return _mix(torch.arange(1, count + 1, dtype=torch.int32) * _signed(_COLUMN)).numpy() | 1


def _columns(count: int, device: torch.device) -> torch.Tensor:
    """Odd constants [count], one a pair of columns; those of a narrower array begin a wider one's."""
    if device.type == "cpu":
        return torch.from_numpy(_known_columns(count))
    return _mix(torch.arange(1, count + 1, dtype=torch.int32, device=device) * _signed(_COLUMN)) | 1


def looked_up(index: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    """Rows [..., H] of a table [N, H] at an index [...].

    On a GPU `embedding` adds the gradients of one row in an order that other rows' places decide, and a
    run's bits would depend on its neighbours; `index_select` adds them as they stand (machine.Sums).
    """
    if table.device.type == "cpu":
        return F.embedding(index, table)
    return table.index_select(0, index.flatten()).view(*index.shape, table.shape[1])


def _moment(step: int | torch.Tensor, site: int) -> int | torch.Tensor:
    """A hash of step and site: a signed 32-bit integer, or a tensor of one where the step is a tensor."""
    if isinstance(step, torch.Tensor):
        return _mix((step.to(torch.int32) + 1) * _signed(_STEP) + _signed(_SITE * (site + 1)))
    value = (_STEP * (step + 1) + _SITE * (site + 1)) & 0xFFFFFFFF
    value = (value ^ value >> 16) * _FIRST & 0xFFFFFFFF
    value = (value ^ value >> 15) * _SECOND & 0xFFFFFFFF
    return _signed(value ^ value >> 15)


def _run_keys(key: DropoutKey, site: int) -> torch.Tensor:
    """A key a run [S] at a step and a site, int32."""
    return _mix(key.keys.to(torch.int32) ^ _moment(key.step, site))


def row_keys(key: DropoutKey, site: int, run_of_row: torch.Tensor, row: torch.Tensor) -> torch.Tensor:
    """Keys [N] int32 for `dropout_rows`: row numbers `row` [N] of the runs `run_of_row` [N] at a site."""
    return _run_keys(key, site)[run_of_row] + row.to(torch.int32) * _signed(_ROW)


def row_uniforms(key: DropoutKey, site: int, run_of_row: torch.Tensor, row: torch.Tensor) -> torch.Tensor:
    """Even numbers in (0, 1) [N], fp64: one a key of `row_keys`, whose arguments these are."""
    hashed = _mix(row_keys(key, site, run_of_row, row).clone())
    return ((hashed.to(torch.int64) & 0xFFFFFFFF).double() + 0.5) / 2**32


def _keep(rate: float, keys: torch.Tensor, width: int, dtype: torch.dtype) -> tuple[torch.Tensor, float]:
    """What is kept (1 or 0) [*keys.shape, width], and the factor that keeps the mean.

    The product of a row's key and a column's constant is hashed; each 32-bit hash decides on two
    columns. A rate is rounded to 2^-16, and the factor is that of the rounded rate.
    """
    limit = min(round(rate * 65536), 65535)
    pairs = (width + 1) // 2
    bits = (keys | 1)[..., None] * _columns(pairs, keys.device)
    spare = _fold(bits, 15)
    bits *= _SECOND
    _fold(bits, 16, spare)
    bits *= _FIRST
    _fold(bits, 15, spare)
    halves = bits.view(torch.int16)[..., :width]
    keep = torch.empty(halves.shape, dtype=dtype, device=keys.device)
    torch.ge(halves, limit - 32768, out=keep)
    return keep, 65536 / (65536 - limit)


def dropout_rows(states: torch.Tensor, rate: float, keys: torch.Tensor) -> torch.Tensor:
    """Inverted dropout on rows [..., C] with a key a row [...], as `row_keys` makes them."""
    if rate == 0.0:
        return states
    with torch.no_grad():
        keep, factor = _keep(rate, keys, states.shape[-1], states.dtype)
        if states.dtype == torch.float32:
            keep.mul_(factor)
            factor = 1.0
    if factor == 1.0:
        return states * keep
    return states * keep * factor  # a narrow dtype would round the factor itself


def dropout(
    states: torch.Tensor, rate: float, key: DropoutKey, site: int, rows: torch.Tensor | None = None
) -> torch.Tensor:
    """Inverted dropout on [S, ..., C]; the mask is a hash of (run's key, step, site, row, column).

    A run's rows are the product of the middle dimensions; `rows` gives their numbers ([R] or [S, R];
    0, 1, ... if None). It holds no state, so a run's masks are the same alone or among others, and
    after a resume; and a row's are the same wherever it lies, packed (`dropout_rows`) or not.
    """
    if rate == 0.0:
        return states
    runs, width = states.shape[0], states.shape[-1]
    flat = states.reshape(runs, -1, width)
    if rows is None:
        rows = torch.arange(flat.shape[1], device=states.device)
    keys = _run_keys(key, site)[:, None] + rows.to(torch.int32) * _signed(_ROW)
    return dropout_rows(flat, rate, keys).view_as(states)
