"""Linear predictors of R from many features, each shrunk by as much as its own training runs say.

Ridge and principal-component regression choose theirs by generalised cross-validation (Golub, Heath and
Wahba, 1979), partial least squares (Wold, 1975) by folds inside the runs given.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prehoc.errors import InputError

Array = NDArray[np.float64]
Learner = Callable[
    [Array, Array, Array], Array
]  # features [n, p], outcome [n], new features [m, p] -> R [m]

PENALTIES = tuple(10.0 ** np.arange(-6, 3, 0.25))  # of ridge, in units of the mean squared singular value
PLS_MOST = 25  # components at most
PLS_FOLDS = 4
_LEAST = 1e-6  # of the largest singular value: directions below it are rounding


@dataclass(frozen=True)
class Spectrum:
    """Centred features X = U diag(size) V' by their singular values, leading ones first.

    `mean` [p], `left` U [n, q], `size` [q], `right` V [p, q].
    """

    mean: Array
    left: Array
    size: Array
    right: Array

    @staticmethod
    def of(features: Array) -> Spectrum:
        """Of `features` [n, p]; directions that do not vary are left out.  InputError for under 3 runs."""
        x = np.asarray(features, float)
        if x.ndim != 2 or len(x) < 3:
            raise InputError(f"features are [runs, features] of 3 runs or more, not of shape {x.shape}")
        mean = x.mean(axis=0)
        wide = x.shape[1] > len(x)
        x = x - mean
        square, directions = np.linalg.eigh(x @ x.T if wide else x.T @ x)  # far cheaper than a full SVD
        kept = np.flatnonzero(square > _LEAST**2 * max(float(square[-1]), 1e-300))[::-1]
        size, directions = np.sqrt(square[kept]), directions[:, kept]
        if wide:
            return Spectrum(mean, directions, size, x.T @ directions / size)
        return Spectrum(mean, x @ directions / size, size, directions)

    def scores(self, features: Array) -> Array:
        """The coordinates of new `features` [m, p] in the directions of U  [m, q]."""
        return np.asarray((np.asarray(features, float) - self.mean) @ self.right / self.size)


def ols(features: Array, outcome: Array, new: Array) -> Array:
    """Least squares with an intercept."""
    found = Spectrum.of(features)
    return np.asarray(outcome.mean() + found.scores(new) @ (found.left.T @ outcome))


def ridge(features: Array, outcome: Array, new: Array) -> Array:
    """Ridge regression; the penalty has the least generalised cross-validation score."""
    found = Spectrum.of(features)
    if not len(found.size):
        return np.full(len(new), outcome.mean())
    part, count = found.left.T @ outcome, len(outcome)
    rest = ((outcome - outcome.mean()) ** 2).sum() - (part**2).sum()
    square = found.size**2
    shrink = square / (square + np.array(PENALTIES)[:, None] * square.mean())  # [penalties, q]
    lost = rest + (((1 - shrink) * part) ** 2).sum(axis=1)
    free = 1 - (1 + shrink.sum(axis=1)) / count
    best = int(np.argmin(np.where(free > 0, lost / np.maximum(free, 1e-9) ** 2, np.inf)))
    return np.asarray(outcome.mean() + found.scores(new) @ (shrink[best] * part))


def principal_components(features: Array, outcome: Array, new: Array) -> Array:
    """Least squares on the leading principal components, as many as generalised cross-validation says."""
    found = Spectrum.of(features)
    part, count = found.left.T @ outcome, len(outcome)
    most = min(len(part), count - 3)
    lost = ((outcome - outcome.mean()) ** 2).sum() - np.r_[0.0, np.cumsum(part[:most] ** 2)]
    free = 1 - (1 + np.arange(most + 1)) / count
    best = int(np.argmin(lost / free**2))
    return np.asarray(outcome.mean() + found.scores(new)[:, :best] @ part[:best])


def partial_least_squares(features: Array, outcome: Array, new: Array) -> Array:
    """Partial least squares with the number of components that does best over folds of the runs given."""
    x, y = np.asarray(features, float), np.asarray(outcome, float)
    fold = np.arange(len(y)) % PLS_FOLDS
    error = np.zeros(PLS_MOST + 1)
    for k in range(PLS_FOLDS):
        out = fold == k
        error += ((_pls_path(x[~out], y[~out], x[out]) - y[out]) ** 2).sum(axis=1)
    return np.asarray(_pls_path(x, y, new)[int(np.argmin(error))])


def _pls_path(features: Array, outcome: Array, new: Array) -> Array:
    """Predictions [PLS_MOST + 1, m] with 0, 1, ... components.

    One response's partial least squares is conjugate gradients on the normal equations, a step a
    component (Wold et al., 1984).
    """
    mean = features.mean(axis=0)
    x = features - mean
    target = x.T @ (outcome - outcome.mean())
    weight = np.zeros_like(target)
    residual, direction = target.copy(), target.copy()
    paths = [weight]
    floor = 1e-20 * float(target @ target)
    for _ in range(PLS_MOST):
        norm = float(residual @ residual)
        if norm > floor:
            image = x @ direction
            step = norm / float(image @ image)
            weight = weight + step * direction
            residual = residual - step * (x.T @ image)
            direction = residual + float(residual @ residual) / norm * direction
        paths.append(weight)
    return np.asarray(outcome.mean() + np.stack(paths) @ (new - mean).T)


LEARNERS: dict[str, Learner] = {
    "ols": ols,
    "ridge": ridge,
    "pcr": principal_components,
    "pls": partial_least_squares,
}
