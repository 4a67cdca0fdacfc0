"""Two samples of training curves: a test of equal means and of equal variances.

At each depth and metric Welch's t tests the means and Brown and Forsythe's test (1974; Levene's about
the median) the variances; Holm's correction covers all of them. As depths and metrics of one seed are
correlated, a permutation test of whole seeds reads them together: the largest |t| over depths and
metrics, of the values and of their distances from the median.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import stats

CLOSE = 1e-6  # metrics nearer than this are one number: means of fp32, summed in another order


def holm(p: np.ndarray) -> np.ndarray:
    """Holm's (1979) adjusted p-values of p [n]."""
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * (len(p) - np.arange(len(p))))
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted


def _spread(values: np.ndarray) -> np.ndarray:
    """Distances [n, k] from the columns' medians: their means are what Brown and Forsythe compare."""
    return np.abs(values - np.median(values, 0))


def _welch(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Welch's t [k] of columns [n, k] and [m, k]; 0 where the means are equal but for rounding."""
    gap = ours.mean(0) - theirs.mean(0)
    error = np.sqrt(ours.var(0, ddof=1) / len(ours) + theirs.var(0, ddof=1) / len(theirs))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(np.abs(gap) < CLOSE, 0.0, gap / error)


def _still(*samples: np.ndarray) -> bool:
    """Whether no sample varies."""
    return all(np.ptp(values) < CLOSE for values in samples)


def _p_means(ours: np.ndarray, theirs: np.ndarray) -> float:
    if _still(ours, theirs):
        return float(abs(ours.mean() - theirs.mean()) < CLOSE)
    return float(stats.ttest_ind(ours, theirs, equal_var=False).pvalue)


def _p_variances(ours: np.ndarray, theirs: np.ndarray) -> float:
    if _still(ours, theirs):
        return 1.0
    return float(stats.levene(ours, theirs, center="median").pvalue)


def rows(
    ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray], depths: list[int]
) -> list[dict[str, Any]]:
    """One row a depth and metric, from curves [seeds, depths] by metric: means, sds and raw p-values."""
    made = []
    for metric, curves in ours.items():
        for i, depth in enumerate(depths):
            a, b = curves[:, i].astype(float), theirs[metric][:, i].astype(float)
            made.append(
                {
                    "metric": metric,
                    "depth": depth,
                    "mean": float(a.mean()),
                    "mean_trainer": float(b.mean()),
                    "sd": float(a.std(ddof=1)),
                    "sd_trainer": float(b.std(ddof=1)),
                    "p_mean": _p_means(a, b),
                    "p_variance": _p_variances(a, b),
                }
            )
    return made


def adjust(made: list[dict[str, Any]]) -> None:
    """Put Holm's p-values over all rows, means and variances together, into them."""
    names = ("p_mean", "p_variance")
    adjusted = holm(np.array([row[name] for row in made for name in names]))
    for row, pair in zip(made, adjusted.reshape(-1, 2), strict=True):
        row |= {f"{name}_holm": float(p) for name, p in zip(names, pair, strict=True)}


def least(made: list[dict[str, Any]]) -> float:
    """The least of the rows' adjusted p-values."""
    return min(min(row["p_mean_holm"], row["p_variance_holm"]) for row in made)


def omnibus(
    ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray], permutations: int, seed: int
) -> tuple[float, float]:
    """Permutation p-values of all means together and of all variances together, seeds being exchanged."""
    a = np.concatenate([ours[m] for m in ours], 1).astype(float)
    b = np.concatenate([theirs[m] for m in ours], 1).astype(float)
    rng = np.random.default_rng(seed)
    found = []
    for left, right in ((a, b), (_spread(a), _spread(b))):
        both, n = np.concatenate([left, right]), len(left)
        seen = np.abs(_welch(left, right)).max()
        beyond = 0
        for _ in range(permutations):
            mixed = both[rng.permutation(len(both))]
            beyond += np.abs(_welch(mixed[:n], mixed[n:])).max() >= seen
        found.append(float((1 + beyond) / (1 + permutations)))
    return found[0], found[1]
