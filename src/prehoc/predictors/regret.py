"""What a policy's forecasts are worth in two decisions, and intervals of means over runs and cohorts.

Go / no-go: a run of gain R is taken on if its forecast reaches a threshold; going pays R less the
threshold, not going pays 0.  Best of k: of k runs the one with the best forecast is taken.  Regret is
what knowing R would have paid more, in units of R; never below 0.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

Array = NDArray[np.float64]
Index = NDArray[np.int64]
Flags = NDArray[np.bool_]


def regret_go(gain: Array, forecast: Array, threshold: float) -> Array:
    """Regret of going where `forecast` reaches `threshold`, any shape; more is better."""
    above = gain - threshold
    return np.maximum(above, 0.0) - np.where(forecast >= threshold, above, 0.0)


def regret_best(gain: Array, forecast: Array, kept: Flags | None = None) -> Array:
    """Regret of the run with the best forecast in each cohort: [G, k] to [G].

    `kept` [G, k]: where a policy itself drops runs, those that it has not dropped; of a cohort in
    which it dropped all, every run is looked at.
    """
    said = forecast
    if kept is not None:
        some = kept.any(axis=1, keepdims=True)
        said = np.where(kept | ~some, forecast, -np.inf)
    chosen = np.argmax(said, axis=1)
    return gain.max(axis=1) - np.take_along_axis(gain, chosen[:, None], axis=1)[:, 0]


def cohorts(rows: Index, size: int, rounds: int, rng: np.random.Generator) -> Index:
    """Random cohorts [G, size] of `rows`: `rounds` shuffles, each cut into cohorts without overlap."""
    count = len(rows) // size
    cut = [rng.permutation(rows)[: count * size].reshape(count, size) for _ in range(rounds)]
    return np.concatenate(cut) if cut else np.empty((0, size), np.int64)


@dataclass
class Tally:
    """Sums over splits of what a policy did with each of N runs, and with cohorts of them."""

    runs: int
    error: Array = field(init=False)
    steps: Array = field(init=False)
    go: Array = field(init=False)
    told: Array = field(init=False)
    count: Array = field(init=False)
    best: Array = field(init=False)
    cohorts: Array = field(init=False)
    total: tuple[float, float, int] = (0.0, 0.0, 0)
    size: int = 1
    stops: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Start from nothing."""
        for name in ("error", "steps", "go", "told", "count", "best", "cohorts"):
            setattr(self, name, np.zeros(self.runs))

    def add(self, rows: Index, error: Array, steps: Array, go: Array, told: Array | float = np.nan) -> None:
        """Judged runs `rows` [m], which may repeat: squared errors, steps paid, regrets of go / no-go."""
        for name, value in (("error", error), ("steps", steps), ("go", go)):
            here = np.bincount(rows, np.broadcast_to(value, rows.shape), self.runs)
            setattr(self, name, getattr(self, name) + here)
        self.told = self.told + np.bincount(rows, np.broadcast_to(told, rows.shape), self.runs)
        self.count = self.count + np.bincount(rows, minlength=self.runs)

    def add_cohorts(self, groups: Index, regret: Array) -> None:
        """Regrets [G] of the cohorts `groups` [G, k] of rows."""
        if not len(groups):
            return
        self.size = groups.shape[1]
        flat, each = groups.ravel(), np.repeat(regret, groups.shape[1])
        self.best = self.best + np.bincount(flat, each, self.runs)
        self.cohorts = self.cohorts + np.bincount(flat, minlength=self.runs)
        one, two, number = self.total
        self.total = one + float(regret.sum()), two + float((regret**2).sum()), number + len(regret)

    def stopped(self, stop: int) -> None:
        """Note that a whole half was stopped at `stop`."""
        self.stops[stop] = self.stops.get(stop, 0) + 1

    def means(self) -> dict[str, Array]:
        """Each run's averages over splits [N]; nan for a run that was never judged."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return {name: getattr(self, name) / self.count for name in ("error", "steps", "go", "told")}

    def best_of(self, confidence: float) -> tuple[float, float, float]:
        """Mean regret of best of k, and its interval by the jackknife over runs.

        Leaving a run out leaves its cohorts out.  Var = (N - 1)/N sum (theta_(-i) - theta)^2 (Efron and
        Stein, 1981), less what comes of having drawn C cohorts only, (k - 1) s^2 / C, and not below
        s^2 / C, s^2 being the variance over cohorts.
        """
        one, two, number = self.total
        if number < 2:
            nan = float("nan")
            return nan, nan, nan
        mean = one / number
        left = number - self.cohorts
        theta = np.where(left > 0, (one - self.best) / np.maximum(left, 1), mean)
        n = len(theta)
        jackknife = (n - 1) / n * float(((theta - mean) ** 2).sum())
        drawn = max(two / number - mean**2, 0.0) / number
        width = float(norm.ppf(0.5 + confidence / 2)) * np.sqrt(
            max(jackknife - (self.size - 1) * drawn, drawn)
        )
        return mean, max(mean - width, 0.0), mean + width


def resampled(values: Array, resamples: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Means over runs of the columns of values [N, Q], and those of a bootstrap [resamples, Q].

    A run that lacks a value counts with the mean of the others.
    """
    n = len(values)
    known = np.isfinite(values)
    filled = np.where(known, values, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = filled.sum(axis=0) / known.sum(axis=0)
    weight = rng.multinomial(n, np.full(n, 1 / n), size=resamples) / n
    return mean, weight @ np.where(known, values, mean)


def between(drawn: Array, confidence: float) -> tuple[Array, Array]:
    """The percentile interval of each column of `drawn` [resamples, Q]."""
    tail = (1 - confidence) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail], axis=0)
    return low, high


def break_even(calibration: float, own: float, other: float, rate: float) -> float:
    """How many future runs repay `calibration` steps: those over the saving a run, (other - own)/rate.

    `own` and `other` are total risks in squared units; nan where the policy saves nothing.
    """
    saving = (other - own) / rate
    return calibration / saving if saving > 0 and np.isfinite(saving) else float("nan")
