"""Where the locally regular regime begins: the first depth from which the power law fits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prehoc.risk.envelope import MIN_DEPTHS, EnvelopeFit, fit_envelope

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Onset:
    """`depth` is the onset in steps, nan where no stretch of the curve is a power law.

    `fit` is the envelope from the onset on (from the first depth where there is none), `whole`
    the one over all depths.
    """

    depth: float
    fit: EnvelopeFit
    whole: EnvelopeFit


def find_onset(
    depth: Array,
    risk: Array,
    nu: Array,
    horizon: float,
    covariance: Array | None = None,
    *,
    shift: float = 0.0,
    confidence: float = 0.95,
    level: float = 0.01,
) -> Onset:
    """The first depth from which lack of fit has p >= `level`, and the envelope from there.

    A stretch must keep at least half of the depths and one more than the model's parameters
    need (so that the test has power): dropping ever more of a curve would end in a power law
    for anything.  Arguments as in fit_envelope, same errors.
    """

    def fit_from(first: int) -> EnvelopeFit:
        part = None if covariance is None else np.asarray(covariance)[first:, first:]
        return fit_envelope(
            np.asarray(depth)[first:],
            np.asarray(risk)[first:],
            np.asarray(nu)[first:],
            horizon,
            part,
            shift=shift,
            confidence=confidence,
        )

    whole = fit_from(0)
    if _passes(whole, level):
        return Onset(float(depth[0]), whole, whole)
    count = len(np.asarray(depth))
    least = max(MIN_DEPTHS + 1, (count + 1) // 2)
    for first in range(1, count - least + 1):
        later = fit_from(first)
        if _passes(later, level):
            return Onset(float(depth[first]), later, whole)
    return Onset(float("nan"), whole, whole)


def _passes(fit: EnvelopeFit, level: float) -> bool:
    return not fit.lack_of_fit_p < level
