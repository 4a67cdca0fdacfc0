"""Runs with known truth, in the columns that `prehoc fit` reads."""

from __future__ import annotations

import numpy as np
import pandas as pd

DEPTHS = (1, 2, 4, 8, 16, 32, 64, 128)
HORIZON = 256


def law(c, b, K, alpha):
    """The envelope b + K (c^-alpha - T^-alpha)."""
    return b + K * (np.asarray(c, float) ** -alpha - HORIZON**-alpha)


def runs(n=200, b=0.1, K=0.9, alpha=0.4, seed=0, task="t", scale=1.0, level=10.0) -> pd.DataFrame:
    """Runs whose final value R is a sum of increments, and whose metric at c is E[R | the first c].

    So L(c) = b + K (c^-alpha - T^-alpha) exactly, times `scale` squared, at every depth; R is the column
    `final`, and its variance is L(1) or 1, whichever is more.
    """
    rng = np.random.default_rng(seed)
    left = np.array([max(law(1, b, K, alpha), 1.0), *law(DEPTHS, b, K, alpha), b])
    steps = np.sqrt(np.maximum(-np.diff(np.append(left, 0.0)), 0.0))
    e = rng.normal(size=(n, len(steps))) * steps * scale
    metric, final = level + np.cumsum(e, axis=1)[:, : len(DEPTHS)], level + e.sum(axis=1)
    return pd.DataFrame(
        {
            "task": task,
            "seed": np.repeat(np.arange(n), len(DEPTHS)),
            "depth": np.tile(DEPTHS, n),
            "metric": metric.ravel(),
            "final": np.repeat(final, len(DEPTHS)),
        }
    )


def falling(n=100, target=None, seed=0, noise=0.02, evaluations=20) -> pd.DataFrame:
    """Loss curves 1 - rate log(step) + noise, each with a rate of its own; cut at the first loss <= target."""
    rng = np.random.default_rng(seed)
    rows = []
    for s, rate in enumerate(rng.normal(0.15, 0.02, n)):
        for step in range(50, 50 * evaluations + 1, 50):
            loss = 1 - rate * np.log(step / 10) + noise * rng.normal()
            rows.append(("t", s, step, loss))
            if target is not None and loss <= target:
                break
    return pd.DataFrame(rows, columns=["task", "seed", "depth", "metric"])
