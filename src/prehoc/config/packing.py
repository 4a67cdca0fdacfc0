"""How a task's runs, depths and forks are cut into jobs.  Packaging alone: no number depends on it.

With a number for `shard` a job trains that many seeds through all depths, and forks are one job a depth.
With `shard: auto` the cut follows a target, `packing.job_minutes` of training by `resources`:
seeds a shard in whole banks; where one bank alone takes longer, a chain of jobs from depth to depth; and
as many fork depths a job as fit.  The cut depends on the config alone, never on files that are there.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Annotated

from pydantic import Field

from prehoc.config.blocks import LONG, Block
from prehoc.config.resources import fork_ms, train_ms
from prehoc.config.task import Task

# Widths that `bank: auto` takes on a CPU, by kind of method (prehoc.training.width, held by a test); on a
# GPU they are powers of two too, so that whole multiples of these fill most banks there as well.
WIDTHS = {"head": 512, "lora": 16, "full": 16}
LEAST = 2  # runs a shard: a bank holds no fewer


class Packing(Block):
    """How long a job shall last, where `shard: auto` leaves that open."""

    job_minutes: Annotated[float, Field(gt=0, le=LONG)] = Field(
        description="of training, that a job of a task with `shard: auto` shall last"
    )
    start_seconds: Annotated[float, Field(gt=0, le=LONG)] = Field(
        description="that a job takes before its first step; counted by prehoc plan alone"
    )


def bank_width(task: Task) -> int:
    """Runs a bank: the task's number, or for `auto` what a CPU takes."""
    if task.bank != "auto":
        return int(task.bank)
    return WIDTHS[task.method.kind] if task.method else LEAST


def shard_size(task: Task, packing: Packing | None = None) -> int:
    """Seeds a shard: the task's number, or whole banks that train for `packing.job_minutes` at most.

    Never under one bank nor over all runs; of the sizes that give as few shards, the most even one.
    Raises ValueError for `auto` without `packing`.
    """
    if task.shard != "auto":
        return int(task.shard)
    if packing is None:
        raise ValueError("shard: auto is cut by the config's block `packing`; pass it")
    bank = max(bank_width(task), LEAST)
    each = bank * train_ms(task)
    if bank >= task.runs or each <= 0:
        return task.runs
    most = max(math.floor(_target(packing) / each * (1 + 1e-12)), 1)
    banks = math.ceil(task.runs / bank)
    jobs = math.ceil(banks / most)
    return min(math.ceil(banks / jobs) * bank, task.runs)


def shards(task: Task, packing: Packing | None = None) -> list[tuple[int, int]]:
    """First seed and end of each shard: blocks of `shard_size` seeds."""
    size = shard_size(task, packing)
    return [(a, min(a + size, task.runs)) for a in range(0, task.runs, size)]


def segments(task: Task, packing: Packing | None = None) -> list[int]:
    """Depths before the horizon at which a shard's training passes to its next job; none for most tasks.

    Only with `shard: auto`, and where a shard is one bank that trains for longer than the target: each job
    then goes as many depths as fit, one at least.
    """
    if task.shard != "auto" or packing is None:
        return []
    size = shard_size(task, packing)
    most = _target(packing) * (1 + 1e-12)
    cuts: list[int] = []
    if size * train_ms(task) <= most or size > max(bank_width(task), LEAST):
        return cuts
    depths = sorted({*task.depths, task.horizon})
    start = 0
    for before, depth in pairwise(depths):
        if size * train_ms(task, start, depth) > most:
            cuts.append(before)
            start = before
    return cuts


def fork_depths(task: Task) -> list[int]:
    """Depths at which forks branch; the horizon is always among them, as it costs no training."""
    return sorted({*task.forks.depths, task.horizon}) if task.forks else []


def fork_parts(task: Task, packing: Packing | None = None) -> list[list[int]]:
    """The depths that each fork job handles: all of a head's, which is cheap, else one a job.

    With `shard: auto` neighbouring depths share a job while they train for `packing.job_minutes` at most.
    The horizon, where nothing is trained, goes with the last depth before it.
    """
    depths = fork_depths(task)
    if not depths or task.forks is None:
        return []
    cheap = task.method is not None and task.method.kind == "head"
    if cheap:
        return [depths]
    if task.shard != "auto" or packing is None:
        return [[d] for d in depths[:-2]] + [depths[-2:]]
    parts: list[list[int]] = [[]]
    spent = 0.0
    for depth in depths:
        more = fork_ms(task, [depth])
        if parts[-1] and depth < task.horizon and spent + more > _target(packing) * (1 + 1e-12):
            parts.append([])
            spent = 0.0
        parts[-1].append(depth)
        spent += more
    return parts


def _target(packing: Packing) -> float:
    return packing.job_minutes * 60_000.0  # in milliseconds, as step_ms
