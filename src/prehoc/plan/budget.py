"""What N a budget buys, and what that N means for the numbers that are wanted."""

from __future__ import annotations

import math
from collections.abc import Mapping

from prehoc.config import Config, resolve
from prehoc.config.task import MIN_RUNS
from prehoc.errors import InputError
from prehoc.plan.cost import Cost, Unit, cost
from prehoc.plan.pilot import Measured

MOST = 1_000_000  # runs a task, beyond which no budget is searched


def with_runs(config: Config, runs: int) -> Config:
    """`config` with N = `runs` in every task, as `--config seeds=N` has it; trunks are cut down to N."""
    return resolve(config.model_dump(mode="json") | {"seeds": runs})


def runs_for(
    config: Config, budget: float, unit: Unit, pilot: Mapping[str, Measured] | None = None
) -> tuple[int, Cost] | None:
    """The largest N, the same for all tasks, whose hours of `unit` stay within `budget`, with its cost.

    Forks stay as configured, with no more trunks than runs; crossed tasks take whole blocks.  None where
    the fewest runs cost more, MOST where even those fit.  Raises InputError where no task is counted in
    `unit`.
    """

    def at(runs: int) -> Cost:
        return cost(with_runs(config, runs), pilot)

    least = at(MIN_RUNS)
    if unit not in least.units:
        there = " and ".join(f"{u.lower()}-hours" for u in least.units) or "nothing"
        raise InputError(f"--unit {unit.lower()}-hours: the tasks' jobs take {there}; give that unit")
    if least.hours(unit) > budget:
        return None
    low, high = MIN_RUNS, 2 * MIN_RUNS
    while at(high).hours(unit) <= budget:
        if high == MOST:
            return MOST, at(MOST)
        low, high = high, min(2 * high, MOST)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if at(middle).hours(unit) <= budget else (low, middle)
    return low, at(low)


def relative_error(runs: int) -> float:
    """The standard error of Var R as a share of it, of N runs with a Gaussian R: sqrt(2/(N - 1))."""
    return math.sqrt(2 / (runs - 1))
