"""Point fits of the envelope to a whole batch of curves at once, by both stages."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from prehoc.risk.gls import Whitened, collapsed, shrunk
from prehoc.risk.profile import (
    alpha_grid,
    as_batch,
    check_horizon,
    maximise,
    power_basis,
    power_scale,
)

Array = NDArray[np.float64]


def fit_many(
    depth: Array,
    risk: Array,
    nu: Array,
    horizon: float,
    covariance: Array | None = None,
    *,
    shift: float = 0.0,
) -> tuple[Array, Array, Array]:
    """Point fits of the power-law envelope to B curves: (b, K, alpha), each [B].

    `depth` [D] in steps, `risk` [B, D] or [D], `nu` [B, D] or [D], `covariance` [D, D] or [B, D, D] of
    U/E[U] across depths; without it depths are independent, and the first stage (Gamma likelihood) is
    all.  The same numbers as fit_envelope's.  Raises InputError for depths of 0 or beyond the
    horizon, and for risks that are not positive.
    """
    at = np.asarray(depth, float)
    u, v = as_batch(at, risk, nu)
    check_horizon(at, horizon)
    basis = power_basis(at, horizon, shift)
    points = maximise(basis, alpha_grid(), u, v)
    alpha, b, k = points.shape, points.b, points.k
    if covariance is not None and np.any(covariance * (1 - np.eye(len(at)))):
        size = (u.shape[1], len(at), len(at))
        pilot = (b + k * basis(alpha)).T
        working = np.broadcast_to(shrunk(np.broadcast_to(covariance, size), v.T), size)
        again = Whitened.of(u.T, pilot, working).minimise(basis, alpha_grid())[:3]
        kept = collapsed((again[1] + again[2] * basis(again[0])).T, pilot)
        alpha, b, k = (np.where(kept, old, new) for old, new in zip((alpha, b, k), again, strict=True))
    return b, k / power_scale(at, horizon, shift, alpha), alpha
