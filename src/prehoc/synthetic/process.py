"""What every synthetic process offers: steps, observations, outcome, forks and exact risk."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from prehoc.errors import InputError

Array = NDArray[np.float64]
Index = NDArray[np.int64]


@dataclass(frozen=True)
class Simulation:
    """Runs of a process: `state` and `metric` at the depths asked for [n, D], `outcome` R [n].

    `factor` [n] is the static factor that a run drew, or None where the process has none.
    """

    state: Array
    metric: Array
    outcome: Array
    factor: Array | None = None


def check_depths(depths: Sequence[int] | Index, horizon: int) -> Index:
    """`depths` as a strictly increasing integer array [D]; InputError if one is outside 0..T."""
    array = np.asarray(depths)
    if array.ndim != 1 or array.size == 0:
        raise InputError("depths must be a non-empty list of steps")
    if not np.issubdtype(array.dtype, np.integer):
        raise InputError(f"depths must be whole steps, not {array.tolist()}")
    if array.min() < 0 or array.max() > horizon:
        raise InputError(f"depths must lie in 0..{horizon} (the horizon), not {array.tolist()}")
    if np.any(np.diff(array) <= 0):
        raise InputError(f"depths must increase, each given once, not {array.tolist()}")
    return array.astype(np.int64)


@dataclass(frozen=True)
class Process(abc.ABC):
    """A Markov state theta_k, k = 0..T, seen through a noisy metric; R is read at T = `horizon`.

    Every method is driven by standard normal numbers that the caller draws, so that the caller
    owns the streams; `simulate` and `forks` draw them from one generator for convenience.
    """

    horizon: int

    visible: ClassVar[bool] = False

    @abc.abstractmethod
    def initial(self, z: Array) -> Array:
        """State at step 0 [n] from standard normal numbers [n]."""

    @abc.abstractmethod
    def step(self, k: int, state: Array, z: Array) -> Array:
        """State after step k (k = 1..horizon) from the state before it [n] and normals [n]."""

    def jump(self, state: Array, start: int, stop: int, rng: np.random.Generator) -> Array:
        """State at `stop` given the state at `start`, any shape; the default makes every step."""
        for k in range(start + 1, stop + 1):
            state = self.step(k, state, rng.standard_normal(state.shape))
        return state

    def factors(self, z: Array) -> Array | None:
        """The static factor of each run [n] from normals [n]; None where a run draws none."""
        return None

    @abc.abstractmethod
    def observe(self, depth: int, state: Array, z: Array, factor: Array | None) -> Array:
        """The metric at `depth` [n] from the state [n], normals [n] and the runs' factor."""

    @abc.abstractmethod
    def outcome(self, state: Array, z: Array, factor: Array | None) -> Array:
        """R from the state at the horizon, fresh normals and the runs' factor (same shape)."""

    @abc.abstractmethod
    def exact_risk(self, depths: Sequence[int] | Index, information: str) -> Array:
        """Exact L(c) = E[Var(R | I_c)] at each depth [D], in squared units of R.

        `information` is `none`, `state`, `last` or `prefix` (metrics at the given depths up to c);
        processes with a visible factor know `static` and `static+prefix` too.
        Raises InputError for an information set that has no exact value here.
        """

    def information(self) -> tuple[str, ...]:
        """The information sets whose risk is known exactly at a depth."""
        extra = ("static+prefix",) if self.visible else ()
        return ("state", "last", "prefix", *extra)

    def simulate(self, n: int, depths: Sequence[int] | Index, rng: np.random.Generator) -> Simulation:
        """Draw n runs from one generator, jumping between depths: fast, exact in distribution."""
        steps = check_depths(depths, self.horizon)
        factor = self.factors(rng.standard_normal(n))
        state = self.initial(rng.standard_normal(n))
        states, metrics, at = [], [], 0
        for depth in steps:
            state = self.jump(state, at, int(depth), rng)
            at = int(depth)
            states.append(state)
            metrics.append(self.observe(at, state, rng.standard_normal(n), factor))
        state = self.jump(state, at, self.horizon, rng)
        outcome = self.outcome(state, rng.standard_normal(n), factor)
        return Simulation(np.stack(states, 1), np.stack(metrics, 1), outcome, factor)

    def forks(
        self,
        state: Array,
        depth: int,
        per_trunk: int,
        rng: np.random.Generator,
        factor: Array | None = None,
    ) -> Array:
        """R of `per_trunk` continuations of each trunk [trunks, M], from states at `depth`."""
        wide = np.repeat(np.asarray(state, float)[:, None], per_trunk, axis=1)
        drawn = None if factor is None else np.repeat(factor[:, None], per_trunk, axis=1)
        last = self.jump(wide, depth, self.horizon, rng)
        return self.outcome(last, rng.standard_normal(wide.shape), drawn)


def unknown_information(information: str, process: Process) -> InputError:
    """The error for an information set that `process` has no exact risk for."""
    known = ["none", *process.information()] + (["static"] if process.visible else [])
    return InputError(f"no exact risk for information {information!r}; known here: {known}")
