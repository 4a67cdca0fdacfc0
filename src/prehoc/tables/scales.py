"""Variance-stabilising scales: a metric's values on the scale that its name in a table says.

Runs and forks hold raw values. A name such as `arcsine accuracy` stands for a raw metric and a function
of it, g, chosen such that the sampling variance of g(m) does not depend on m to first order:
share of n      arcsin sqrt(p), variance 1/(4 n)                     (Bartlett, Suppl. JRSS 3, 1936)
F1              arcsin sqrt(J) with J = F1/(2 - F1) = TP/(TP + FP + FN), a share of the cases that either
                side calls positive
MCC             arcsin(r): for balanced classes and even errors r = 2 p - 1, so Var r = (1 - r^2)/n
correlation     arctanh(r), variance 1/(n - 3) for two normals       (Fisher, Metron 1, 1921)
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Array = NDArray[np.float64]

NEAR_ONE = 1 - 1e-6  # a correlation of 1 has no z; what lies nearer to it counts as this, z = 7.25


def arcsine_share(value: Array) -> Array:
    """Arcsin sqrt(p), in radians, of shares p in [0, 1]."""
    return np.arcsin(np.sqrt(np.clip(value, 0.0, 1.0)))


def arcsine_f1(value: Array) -> Array:
    """Arcsin sqrt(F1/(2 - F1)), in radians, of F1 in [0, 1]."""
    bounded = np.clip(value, 0.0, 1.0)
    return np.arcsin(np.sqrt(bounded / (2.0 - bounded)))


def arcsine_correlation(value: Array) -> Array:
    """Arcsin r, in radians, of r in [-1, 1]."""
    return np.arcsin(np.clip(value, -1.0, 1.0))


def fisher_z(value: Array) -> Array:
    """Arctanh r of r in [-1, 1]; |r| above 1 - 1e-6 counts as that."""
    return np.arctanh(np.clip(value, -NEAR_ONE, NEAR_ONE))


SCALED: dict[str, tuple[str, Callable[[Array], Array]]] = {
    "arcsine accuracy": ("accuracy", arcsine_share),
    "arcsine exact_match": ("exact_match", arcsine_share),
    "arcsine pass_at_1": ("pass_at_1", arcsine_share),
    "arcsine f1": ("f1", arcsine_f1),
    "arcsine matthews": ("matthews", arcsine_correlation),
    "fisher-z pearson": ("pearson", fisher_z),
    "fisher-z spearman": ("spearman", fisher_z),
    "fisher-z pearson_spearman": ("pearson_spearman", fisher_z),
}


def rows_of(frame: pd.DataFrame, metric: str) -> pd.DataFrame:
    """The rows of a runs or forks table that hold `metric`, on its scale.

    A scaled name that the table holds itself is taken as it stands there.
    """
    own = frame[frame["metric"] == metric]
    if metric not in SCALED or len(own):
        return own
    raw, scale = SCALED[metric]
    rows = frame[frame["metric"] == raw]
    return rows.assign(metric=metric, value=scale(rows["value"].to_numpy(float)))
