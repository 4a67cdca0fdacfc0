"""How a run's expected squared error depends on what it has shown: a gamma regression by MAP."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

WIDTHS = (0.0, 0.1, 0.25, 0.6, 1.5)  # prior sd of a slope, a standard deviation of its feature
_ROUNDS, _STEP, _DONE = 40, 1.0, 1e-7


@dataclass(frozen=True)
class Spread:
    """Slopes of log squared error: at depth k `slope[k]` [F, J - k], of features less `mean` over `sd`.

    `level[k]` [J - k] makes the factors of the finished runs average 1; `width` [F] is the prior sd.
    """

    mean: Array
    sd: Array
    slope: tuple[Array, ...]
    level: tuple[Array, ...]
    width: tuple[float, ...]

    def factor(self, k: int, features: tuple[Array, ...], farthest: float) -> Array:
        """What multiplies the mean risk at depths k.. [M, J - k], of runs with `features` [M] at k."""
        x = np.stack([(f - self.mean[i, k]) / self.sd[i, k] for i, f in enumerate(features)], axis=1)
        return np.asarray(np.exp(np.clip(x, -farthest, farthest) @ self.slope[k]) / self.level[k])


def fit_spread(features: tuple[Array, ...], square: Array) -> Spread:
    """Fit to N finished runs: `features` F x [N, J] at each depth, `square` [N, J] held-out squared errors.

    Squared errors about V are V chi2(1): log likelihood -1/2 sum(eta + e^2 exp(-eta)), eta = log V.  The
    slopes' prior N(0, width^2) has the widths of the highest Laplace evidence, summed over depths.
    """
    x = np.stack(features)
    mean, sd = x.mean(axis=1), x.std(axis=1)
    z = np.moveaxis((x - mean[:, None]) / np.where(sd > 1e-12, sd, np.inf)[:, None], 0, -1)  # [N, J, F]
    depths, count = square.shape[1], len(features)
    tiny = 1e-12 * max(float(square.mean()), 1e-300)
    y = np.maximum(square, tiny)

    def evidence(width: tuple[float, ...]) -> float:
        return sum(_fit(z[:, k], y[:, k : k + 1], width)[1] for k in range(depths))

    width = max(itertools.product(WIDTHS, repeat=count), key=evidence)
    slope = tuple(_fit(z[:, k], y[:, k:], width)[0] for k in range(depths))
    level = tuple(np.exp(np.clip(z[:, k], -3, 3) @ b).mean(axis=0) for k, b in enumerate(slope))
    return Spread(mean, np.where(sd > 1e-12, sd, np.inf), slope, level, width)


def _fit(z: Array, y: Array, width: tuple[float, ...]) -> tuple[Array, float]:
    """Slopes [F, C] of y [N, C] on z [N, F], and the Laplace evidence summed over C."""
    used = np.flatnonzero(np.asarray(width) > 0)
    n, columns = y.shape
    x = np.column_stack([np.ones(n), z[:, used]])
    precision = np.diag([0.0, *(1 / np.asarray(width)[used] ** 2)])
    beta = np.zeros((x.shape[1], columns))
    beta[0] = np.log(y.mean(axis=0))
    eye = np.eye(len(beta)) * 1e-9 * n
    for _ in range(_ROUNDS):
        ratio = y * np.exp(-np.clip(x @ beta, -700, 700))
        gradient = 0.5 * x.T @ (1 - ratio) + precision @ beta
        curve = np.einsum("np,nc,nq->cpq", x, 0.25 * (1 + ratio), x) + precision + eye
        step = np.linalg.solve(curve, gradient.T[..., None])[..., 0].T
        step = np.clip(step, -_STEP, _STEP)
        beta -= step
        if np.abs(step).max() < _DONE:
            break
    eta = x @ beta
    ratio = y * np.exp(-np.clip(eta, -700, 700))
    hessian = 0.5 * np.einsum("np,nc,nq->cpq", x, ratio, x) + precision + eye
    fit = -0.5 * (eta + ratio).sum() - 0.5 * np.einsum("pc,pq,qc->", beta, precision, beta)
    fit += columns * -np.log(np.asarray(width)[used]).sum() - 0.5 * np.linalg.slogdet(hessian)[1].sum()
    slope = np.zeros((z.shape[1], columns))
    slope[used] = beta[1:]
    return slope, float(fit)
