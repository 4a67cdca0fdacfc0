r"""Variance by source: random-effects components of R over a replicated, crossed 2^k design.

Each block draws two fresh levels of each of k sources and has a run for each of the 2^k ways to combine
them. With levels drawn at random, R = mu + sum over non-empty S of f_S(levels of the sources in S)
+ rest, where the f_S are uncorrelated with mean zero and variance sigma^2_S (the ANOVA, or
Hoeffding-Sobol', decomposition: Searle, Casella and McCulloch, Variance Components, 1992; Owen, Sobol'
indices and Shapley value, 2014). Their sum is Var R of ordinary, independent runs.

**Equations.** Let c_T = 2^-k sum over runs of (-1)^(number of sources in T at their second level) R, a
block's contrast. f_S has 2^|S| independent values in a block; it cancels in c_T unless S contains T, and
else adds sigma^2_S / 2^|S|. So E c_T^2 = V_T = sum over S containing T of sigma^2_S / 2^|S|: a triangular
system, of which Moebius inversion gives

    sigma^2_S = 2^|S| sum over T containing S of (-1)^(|T| - |S|) V_T,

with V_T estimated without bias by the mean of c_T^2 over blocks: E c_T = 0 for each non-empty T. The sum
of all components is 2 sum over odd |T| of V_T: half the mean squared difference of the pairs of runs
that share nothing. `rest` (streams that are not crossed) varies run by run, as f of all k does: the two
cannot be told apart, and are given as one.

**Negative estimates** are kept: a component near zero is estimated below it half of the time, and
clipping would bias it and break the sum.

**Intervals** are studentised-bootstrap ones over blocks. A component is a mean over blocks of a statistic
that is skewed, as squares are. On synthetic cases with a heavy-tailed interaction, at 64 blocks and a
nominal .95, studentised intervals held the truth in .91-.96 of 600 replicates; percentile and BCa ones
in .88-.93, normal-theory chi-square ones in .73-.97. A share is a ratio of two such means, studentised
by its delta-method error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import numpy as np

from prehoc.errors import InputError

MIN_BLOCKS = 10  # fewer blocks make no interval
REST, HIGHER, TOTAL = "rest", "higher", "total"


class Estimate(NamedTuple):
    """A number with its interval; nan where there is none."""

    value: float
    low: float
    high: float


NONE = Estimate(np.nan, np.nan, np.nan)


class Source(NamedTuple):
    """One row of the decomposition: a component in units of R^2, and shares of Var R.

    `order` is how many sources it joins: 3 for `higher` (three or more), 0 for `rest` and `total`.
    `total_effect`, of single sources: the share of all components that the source takes part in.
    """

    name: str
    order: int
    component: Estimate
    share: Estimate
    total_effect: Estimate = NONE


@dataclass(frozen=True)
class Decomposition:
    """Sources, then the total; `pooled` is the variance of all runs, which `total` should be near."""

    sources: list[Source]
    blocks: int
    dropped: int
    pooled: float


def to_blocks(outcomes: np.ndarray, k: int) -> np.ndarray:
    """R of runs 0, 1, ... [runs] as [blocks, 2, ..., 2]: bit j of n % 2^k is the index of axis 1 + j.

    Raises InputError if the runs make no whole blocks.
    """
    values = np.asarray(outcomes, float)
    if not values.size or values.size % 2**k:
        raise InputError(f"{values.size} runs make no whole blocks of {2**k}; train the missing ones")
    cube = values.reshape(-1, *[2] * k)
    return cube.transpose(0, *range(k, 0, -1))


def squared_contrasts(cube: np.ndarray) -> np.ndarray:
    """c_T^2 of each block [blocks, 2, ..., 2]: index 1 on axis 1 + j where T holds source j."""
    for axis in range(1, cube.ndim):
        first, second = np.take(cube, 0, axis), np.take(cube, 1, axis)
        cube = np.stack([(first + second) / 2, (first - second) / 2], axis)
    return np.square(cube)


def block_components(cube: np.ndarray) -> np.ndarray:
    """Each block's unbiased estimates of sigma^2_S, indexed as c_T^2 is.

    The entry of the empty S holds the square of the grand mean; it is no component.
    """
    values = squared_contrasts(cube)
    for axis in range(1, cube.ndim):
        without, within = np.take(values, 0, axis), np.take(values, 1, axis)
        values = np.stack([without - within, 2 * within], axis)
    return values


def _plan(names: Sequence[str], rest: bool) -> dict[str, list[tuple[str, ...]]]:
    """The rows and the sets S that each sums: singles, pairs, the higher ones pooled, and the rest."""
    subsets = [s for r in range(1, len(names) + 1) for s in combinations(names, r)]
    whole = subsets.pop() if rest else None
    plan = {":".join(s): [s] for s in subsets if len(s) <= 2}
    higher = [s for s in subsets if len(s) > 2]
    if higher:
        plan[":".join(higher[0]) if len(higher) == 1 else HIGHER] = higher
    if whole is not None:
        plan[REST] = [whole]
    return plan


def _interval(
    value: np.ndarray, error: np.ndarray, again: np.ndarray, errors: np.ndarray, level: float
) -> list[Estimate]:
    """Studentised-bootstrap intervals of values [m] from resampled values and errors [resamples, m]."""
    with np.errstate(divide="ignore", invalid="ignore"):
        t = (again - value) / errors
    t = np.where(np.isfinite(t), t, np.nan)
    found = []
    for j, (v, e) in enumerate(zip(value, error, strict=True)):
        sound = t[:, j][~np.isnan(t[:, j])]
        if e > 0 and sound.size:
            low, high = np.quantile(sound, [(1 + level) / 2, (1 - level) / 2])
            found.append(Estimate(float(v), float(v - low * e), float(v - high * e)))
        else:
            found.append(Estimate(float(v), float(v), float(v)))
    return found


def _estimates(
    parts: np.ndarray, total: np.ndarray, level: float, resamples: int, rng: np.random.Generator
) -> tuple[list[Estimate], list[Estimate]]:
    """Means over blocks of parts [blocks, m], and their ratios to the mean of total [blocks]."""
    blocks, mean = len(parts), parts.mean(0)
    whole = float(total.mean())
    share = mean / whole if whole > 0 else np.full_like(mean, np.nan)
    if blocks < MIN_BLOCKS:
        bare = [[Estimate(float(v), np.nan, np.nan) for v in part] for part in (mean, share)]
        return bare[0], bare[1]
    error = parts.std(0, ddof=1) / np.sqrt(blocks)
    weights = rng.multinomial(blocks, np.full(blocks, 1 / blocks), resamples) / blocks
    again, squares = weights @ parts, weights @ np.square(parts)
    errors = np.sqrt(np.maximum(squares - again**2, 0) / (blocks - 1))
    components = _interval(mean, error, again, errors, level)
    if not whole > 0:
        return components, [NONE] * len(mean)
    slip = (parts - share * total[:, None]) / whole
    error = np.sqrt(np.square(slip).sum(0) / (blocks - 1) / blocks)
    with np.errstate(divide="ignore", invalid="ignore"):  # a resample without variance drops out
        wholes = (weights @ total)[:, None]
        ratio = again / wholes
        spread = squares - 2 * ratio * (weights @ (parts * total[:, None]))
        spread += ratio**2 * (weights @ np.square(total))[:, None]
        errors = np.sqrt(np.maximum(spread, 0) / (blocks - 1)) / wholes
    return components, _interval(share, error, ratio, errors, level)


def decompose(
    outcomes: np.ndarray,
    names: Sequence[str],
    *,
    rest: bool,
    confidence: float = 0.95,
    resamples: int = 4000,
    seed: int | Sequence[int] = 0,
) -> Decomposition:
    """Components of Var R by source, from R of runs 0, 1, ... [runs]; nan is a failed run.

    `names` are the k >= 2 crossed sources in the order of the run number's bits; `rest` says that
    something else varies from run to run, which then stands with the interaction of all k. Pairs are given
    singly, interactions of three or more as one. A block with a failed run drops out. The bootstrap is
    seeded by `seed`. Raises InputError for runs that make no whole blocks, or fewer than two names.
    """
    if len(names) < 2:
        raise InputError("variance by source takes two crossed sources or more: one has nothing to cross")
    cube = to_blocks(outcomes, len(names))
    sound = np.isfinite(cube).all(axis=tuple(range(1, cube.ndim)))
    kept, plan = cube[sound], _plan(names, rest)
    blocks, dropped = len(kept), int((~sound).sum())
    orders = {row: {REST: 0, HIGHER: 3}.get(row, len(sets[0])) for row, sets in plan.items()}
    if blocks < 2:
        rows = [Source(row, orders.get(row, 0), NONE, NONE) for row in (*plan, TOTAL)]
        return Decomposition(rows, blocks, dropped, float("nan"))
    found = block_components(kept)

    def summed(sets: Sequence[tuple[str, ...]]) -> np.ndarray:
        places = [[int(name in s) for name in names] for s in sets]
        flat = [int(np.ravel_multi_index(place, (2,) * len(names))) for place in places]
        return np.asarray(found.reshape(blocks, -1)[:, flat].sum(axis=1))

    every = [s for sets in plan.values() for s in sets]
    columns = [summed(sets) for sets in plan.values()]
    among = [s for row, sets in plan.items() if row != REST for s in sets]
    columns += [summed([s for s in among if name in s]) for name in names]  # total effects
    total = summed(every)
    parts = np.column_stack([*columns, total])
    components, shares = _estimates(parts, total, confidence, resamples, np.random.default_rng(seed))
    effects = dict(zip(names, shares[len(plan) : -1], strict=True))
    rows = [
        Source(row, orders[row], components[i], shares[i], effects.get(row, NONE))
        for i, row in enumerate(plan)
    ]
    whole = shares[-1].value
    rows.append(Source(TOTAL, 0, components[-1], Estimate(whole, whole, whole)))
    within = kept.reshape(blocks, -1)
    pooled = within.var(axis=1).mean() + within.mean(axis=1).var(ddof=1)
    return Decomposition(rows, blocks, dropped, float(pooled))


def known_sources(
    components: dict[str, float], names: Sequence[str], rest: bool
) -> tuple[dict[str, float], dict[str, float]]:
    """The truth of each row of `decompose`, and each source's total effect as a share of Var R.

    `components` gives sigma^2 by `a`, `a:b`, ... and `rest`; names in a key may stand in any order.
    """
    given = {frozenset(key.split(":")): value for key, value in components.items()}
    plan = _plan(names, rest)
    rows = {row: sum(given.get(frozenset(s), 0.0) for s in sets) for row, sets in plan.items()}
    if rest:
        rows[REST] += components.get(REST, 0.0)
    whole = sum(components.values())
    whole_set = frozenset(names) if rest else None
    effects = {
        name: sum(v for s, v in given.items() if name in s and s != whole_set) / whole for name in names
    }
    return {**rows, TOTAL: whole}, effects
