"""The three regimes of a task, and their probabilities under resampling (DESIGN 10)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prehoc.errors import InputError

Array = NDArray[np.float64]

REGIMES = ("static_sufficient", "dynamic_critical", "noise_dominant")
UNDECIDED = "undecided"


@dataclass(frozen=True)
class Thresholds:
    """The rule's constants.

    `iota`: from this share of Var R left at T a task is Noise-Dominant.  `q`: from this share of
    Var R that probing beyond c_s removes it is Dynamic-Critical.  `static_share`: under this share
    of the explainable risk left by static information alone it is Static-Sufficient.  `shallow`:
    c_s as a share of T.  `tolerance`: in the metric's unit; at Var R <= tolerance^2 nothing needs
    to be predicted.  `decided`: the least probability with which a regime is named.
    """

    iota: float = 0.5
    q: float = 0.1
    static_share: float = 0.5
    shallow: float = 0.007
    tolerance: float = 0.0
    decided: float = 0.5

    def __post_init__(self) -> None:
        for name in ("iota", "q", "static_share", "shallow", "decided"):
            if not 0 < getattr(self, name) <= 1:
                raise InputError(f"threshold {name} must lie in (0, 1], not {getattr(self, name)}")
        if self.tolerance < 0:
            raise InputError(f"threshold tolerance must be >= 0, not {self.tolerance}")


@dataclass(frozen=True)
class Sample:
    """What the rule looks at, for one sample or a batch of B resamples (floats or arrays [B]).

    `var_r` the variance that shares refer to, `start` = L(c_s), `last` = L(T), `static` = the
    risk left by static information alone (nan without any), `best` = the least risk at T with
    static information in it (nan: `last`).
    """

    var_r: Array
    start: Array
    last: Array
    static: Array
    best: Array


def statistics(sample: Sample) -> tuple[Array, Array, Array, Array]:
    """(iota, q, static_share, static_left) of each sample.

    iota = L(T)/Var R; q = (L(c_s) - L(T))/Var R; static_left = U_static/Var R; static_share =
    (U_static - best)/(Var R - best), the part of the explainable risk that static information
    leaves open, clipped to [0, 1], nan where nothing is explainable.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        iota = sample.last / sample.var_r
        q = (sample.start - sample.last) / sample.var_r
        left = sample.static / sample.var_r
        best = np.where(np.isfinite(sample.best), np.minimum(sample.best, sample.last), sample.last)
        room = sample.var_r - best
        share = np.where(room > 0, np.clip((sample.static - best) / room, 0, 1), np.nan)
    return iota, q, share, left


def classify(sample: Sample, thresholds: Thresholds) -> NDArray[np.int64]:
    """Index into REGIMES for each sample; -1 where the numbers needed are missing.

    In this order: nothing varies, or static information leaves both less than `iota` of Var R and
    less than `static_share` of what can be explained: Static-Sufficient, whatever the curve adds.
    Else iota >= threshold: Noise-Dominant.  Else q >= threshold: Dynamic-Critical.
    """
    iota, q, share, left = statistics(sample)
    calm = sample.var_r <= thresholds.tolerance**2
    static = (left < thresholds.iota) & (share < thresholds.static_share)
    plain = np.where(iota >= thresholds.iota, 2, np.where(q >= thresholds.q, 1, 0))
    known = np.isfinite(iota) & (np.isfinite(q) | (iota >= thresholds.iota))
    return np.where(calm | static, 0, np.where(known, plain, -1)).astype(np.int64)


def probabilities(index: NDArray[np.int64]) -> Array:
    """Share of each regime among the resamples [3] that could be classified; nan if none could."""
    known = index[index >= 0]
    if known.size == 0:
        return np.full(3, np.nan)
    return np.bincount(known, minlength=3) / known.size


def name_regime(point: int, share: Array, thresholds: Thresholds) -> str:
    """The point estimate's regime if its probability is at least `decided`, else `undecided`."""
    if point < 0 or not share[point] >= thresholds.decided:
        return UNDECIDED
    return REGIMES[point]


def interpolate(depth: Array, risk: Array, c: float) -> float:
    """U at c, linear in log c between measured depths of 1 or more, constant beyond them."""
    return float(np.interp(np.log(max(c, 1.0)), np.log(depth), risk))
