"""Intervals of the numbers that claims are judged by, and the verdict that an interval carries."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta, norm, t

Array = NDArray[np.float64]
Three = tuple[float, float, float]  # value, low, high


def share(hits: int, n: int, confidence: float) -> Three:
    """`hits` of `n` as a share, with the exact binomial interval (Clopper and Pearson, 1934)."""
    if n == 0:
        return math.nan, math.nan, math.nan
    tail = (1 - confidence) / 2
    low = 0.0 if hits == 0 else float(beta.ppf(tail, hits, n - hits + 1))
    high = 1.0 if hits == n else float(beta.ppf(1 - tail, hits + 1, n - hits))
    return hits / n, low, high


def spread(low: Array, high: Array, confidence: float) -> Array:
    """Standard errors [k] behind symmetric intervals [k]; 0 where an interval is not known."""
    z = float(norm.ppf(0.5 + confidence / 2))
    half = (np.asarray(high, float) - np.asarray(low, float)) / (2 * z)
    return np.where(np.isfinite(half), half, 0.0)


def error_of_mean(values: Array, own: Array) -> tuple[float, float]:
    """(standard error of the mean of `values` [k], degrees of freedom).

    The larger of what the values show among themselves and what their `own` errors [k] alone give:
    few values know their spread poorly, and one that came out small by chance would say too much.
    """
    k = len(values)
    among = float(np.var(values, ddof=1)) / k if k > 1 else 0.0
    within = float(np.sum(own**2)) / k**2
    return math.sqrt(max(among, within)), float(max(k - 1, 1))


def mean(values: Array, own: Array, confidence: float) -> Three:
    """Mean over tasks [k] with a t interval of k - 1 degrees of freedom; nan for k < 2."""
    if len(values) < 2:
        return (float(values[0]) if len(values) else math.nan), math.nan, math.nan
    se, freedom = error_of_mean(values, own)
    half = float(t.ppf(0.5 + confidence / 2, freedom)) * se
    middle = float(np.mean(values))
    return middle, middle - half, middle + half


def difference(a: Array, own_a: Array, b: Array, own_b: Array, confidence: float) -> Three:
    """Mean of `a` [k] minus that of `b` [m] with Welch's interval; nan where either has under two."""
    if len(a) < 2 or len(b) < 2:
        return math.nan, math.nan, math.nan
    (se_a, free_a), (se_b, free_b) = error_of_mean(a, own_a), error_of_mean(b, own_b)
    total = se_a**2 + se_b**2
    middle = float(np.mean(a) - np.mean(b))
    if total == 0:
        return middle, middle, middle
    freedom = total**2 / (se_a**4 / free_a + se_b**4 / free_b)
    half = float(t.ppf(0.5 + confidence / 2, freedom)) * math.sqrt(total)
    return middle, middle - half, middle + half


def ratio(log: Three) -> Three:
    """A difference of logs as a ratio."""
    value, low, high = (float(np.exp(x)) for x in log)
    return value, low, high


def pair_share(
    hit: NDArray[np.bool_], asked: NDArray[np.bool_], confidence: float, resamples: int, seed: int
) -> Three:
    """Share of the pairs `asked` [k, k] that are `hit` [k, k], with a bootstrap interval over tasks.

    Few tasks know their own spread poorly, and where all or none are hit they know none: the interval
    reaches at least to the exact one of k // 2 pairs that are all, or none, hit; as many share no task
    (the variance of a share of pairs is at most that of k/2 independent ones: Hoeffding, 1948).
    """
    k = len(asked)
    upper = np.triu(np.ones((k, k), bool), 1) & asked
    n, hits = int(upper.sum()), int((upper & hit).sum())
    if n == 0:
        return math.nan, math.nan, math.nan
    most, least = share(k // 2, k // 2, confidence), share(0, k // 2, confidence)
    if hits in (0, n):
        return most if hits else least
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, k, (resamples, k))
    counts = np.zeros((resamples, k))
    np.add.at(counts, (np.arange(resamples)[:, None], drawn), 1)
    pairs = np.einsum("ri,ij,rj->r", counts, upper.astype(float), counts)
    met = np.einsum("ri,ij,rj->r", counts, (upper & hit).astype(float), counts)
    some = pairs > 0
    tail = (1 - confidence) / 2
    low, high = np.quantile(met[some] / pairs[some], [tail, 1 - tail])
    return hits / n, min(float(low), most[1]), max(float(high), least[2])


def verdict(low: float, high: float, threshold: float, at_most: bool = False) -> str:
    """`supported` with the whole interval on the good side, `contradicted` on the bad, else `undecided`."""
    if not (math.isfinite(threshold) and not math.isnan(low) and not math.isnan(high)):
        return "undecided"
    if at_most:
        return "supported" if high <= threshold else "contradicted" if low > threshold else "undecided"
    return "supported" if low >= threshold else "contradicted" if high < threshold else "undecided"
