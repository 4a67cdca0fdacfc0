"""A battery of predictors of R from what a run has shown: fit(prefix, outcome), then predict.

Learners read the prefix (and what is static) as features, scaled; `extrapolation` and `last_value`
look at one run alone and learn nothing from others.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import LinearRegression, RidgeCV
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from prehoc.errors import InputError

Array = NDArray[np.float64]

FOLDS = 3
NEIGHBOURS = (5, 10, 20, 40, 80)
RIDGE = tuple(10.0 ** np.arange(-3, 5))
KERNEL_RIDGE = (0.1, 1.0, 10.0)  # penalties
KERNEL_WIDTHS = (0.01, 0.1, 1.0)  # of exp(-w |x - x'|^2 / number of features), features scaled
EXPONENTS = (0.05, 4.0)  # of a run's own power law
REACH = 1.0  # an extrapolation goes beyond its prefix by at most this many ranges of the prefix


class Predictor(Protocol):
    """What predicts R [m] from the metrics at `depth` [m, D] and static features [m, S]."""

    def fit(self, prefix: Array, outcome: Array, static: Array | None = None) -> Predictor:
        """Learn from n runs: `prefix` [n, D], `outcome` [n], `static` [n, S] or None."""
        ...

    def predict(self, prefix: Array, static: Array | None = None) -> Array:
        """R [m], in its own unit."""
        ...


@dataclass
class Learner:
    """A scikit-learn regressor on scaled features; `make` builds it from (rows, features).

    Trains on the first `rows` runs alone where that is set: a Gaussian process costs rows cubed.
    """

    make: Callable[[int, int], Any]
    rows: int | None = None
    model: Any = field(default=None, init=False)

    def fit(self, prefix: Array, outcome: Array, static: Array | None = None) -> Learner:
        """Fit on n runs; raises InputError for fewer than 10, or shapes that do not agree."""
        x, y = features(prefix, static), np.asarray(outcome, float)
        if y.shape != (len(x),) or len(x) < 10:
            raise InputError(f"a predictor learns from 10 runs or more: {len(x)} rows, {y.shape} outcomes")
        x, y = x[: self.rows], y[: self.rows]
        target = TransformedTargetRegressor(self.make(*x.shape), transformer=StandardScaler())
        with warnings.catch_warnings():
            # a length scale that runs into its bound is a feature found useless: no fault
            warnings.simplefilter("ignore", ConvergenceWarning)
            self.model = make_pipeline(StandardScaler(), target).fit(x, y)
        return self

    def predict(self, prefix: Array, static: Array | None = None) -> Array:
        """R [m] of m runs."""
        return np.asarray(self.model.predict(features(prefix, static)), float).reshape(len(prefix))


@dataclass
class Extrapolation:
    """Each run's own power law a + k c^-alpha through its prefix, read at the horizon."""

    depth: Array
    horizon: float

    def fit(self, prefix: Array, outcome: Array, static: Array | None = None) -> Extrapolation:
        """Nothing to learn: other runs say nothing here."""
        return self

    def predict(self, prefix: Array, static: Array | None = None) -> Array:
        """R [m] by `extrapolate`."""
        return extrapolate(self.depth, prefix, self.horizon)


@dataclass
class LastValue:
    """The metric at c for R: what is done where nothing is done."""

    def fit(self, prefix: Array, outcome: Array, static: Array | None = None) -> LastValue:
        """Nothing to learn."""
        return self

    def predict(self, prefix: Array, static: Array | None = None) -> Array:
        """The last column of `prefix`  [m]."""
        return np.asarray(prefix, float)[:, -1].copy()


def features(prefix: Array, static: Array | None) -> Array:
    """Static features and metrics side by side  [n, S + D]."""
    metric = np.asarray(prefix, float)
    if metric.ndim != 2:
        raise InputError(f"a prefix is [runs, depths], not of shape {metric.shape}")
    if static is None:
        return metric
    return np.column_stack([np.asarray(static, float).reshape(len(metric), -1), metric])


def extrapolate(depth: Sequence[float] | Array, prefix: Array, horizon: float) -> Array:
    """Least squares of a + k c^-alpha on each run's prefix [m, D], read at `horizon`  [m].

    What learning-curve extrapolation does in practice (a power law as in Hestness et al., 2017).
    alpha is searched in EXPONENTS on a grid that is then refined; depth 0 is left out, as c^-alpha
    has no value there.  Under three points: the last value.  The forecast leaves the range of the
    run's own prefix by at most REACH times that range.  A run with a missing value gives nan.
    """
    at, y = np.asarray(depth, float), np.asarray(prefix, float)
    if y.ndim != 2 or y.shape[1] != len(at):
        raise InputError(f"{len(at)} depths for a prefix of shape {y.shape}")
    y, at = y[:, at > 0], at[at > 0]
    if len(at) < 3:
        return np.asarray(prefix, float)[:, -1].copy()
    mean = y.mean(axis=1, keepdims=True)
    centred = y - mean
    log_share = np.log(at / horizon)  # the basis is (c/T)^-alpha: 1 at the horizon

    def explained(exponent: Array) -> tuple[Array, Array]:
        """Sum of squares explained, and the forecast, for exponents [m or 1, G]: each [m, G]."""
        x = np.exp(-exponent[:, :, None] * log_share)
        middle = x.mean(axis=2)
        x = x - middle[:, :, None]
        one = len(x) == 1
        cross = centred @ x[0].T if one else np.einsum("md,mgd->mg", centred, x)
        slope = cross / (x**2).sum(axis=2)
        return slope * cross, mean + slope * (1 - middle)

    grid = np.linspace(np.log(EXPONENTS[0]), np.log(EXPONENTS[1]), 33)
    best = np.argmax(explained(np.exp(grid)[None])[0], axis=1)
    low, high = grid[np.maximum(best - 1, 0)], grid[np.minimum(best + 1, len(grid) - 1)]
    row, share = np.arange(len(y)), np.linspace(0, 1, 9)
    for _ in range(5):
        points = low[:, None] + (high - low)[:, None] * share
        value, forecast = explained(np.exp(points))
        best = np.argmax(value, axis=1)
        low, high = points[row, np.maximum(best - 1, 0)], points[row, np.minimum(best + 1, 8)]
    least, most = y.min(axis=1), y.max(axis=1)
    reach = REACH * (most - least)
    return np.clip(forecast[row, best], least - reach, most + reach)


def _ols(rows: int, width: int) -> Any:
    return LinearRegression()


def _ridge(rows: int, width: int) -> Any:
    return RidgeCV(RIDGE)


def _knn(rows: int, width: int) -> Any:
    least = rows * (FOLDS - 1) // FOLDS
    counts = [k for k in NEIGHBOURS if k <= least] or [1]
    return _search(KNeighborsRegressor(), {"n_neighbors": counts})


def _kernel_ridge(rows: int, width: int) -> Any:
    widths = [w / width for w in KERNEL_WIDTHS]
    return _search(KernelRidge(kernel="rbf"), {"alpha": list(KERNEL_RIDGE), "gamma": widths})


def _search(model: Any, grid: dict[str, list[Any]]) -> Any:
    return GridSearchCV(model, grid, cv=FOLDS, scoring="neg_mean_squared_error")


def boosting(
    seed: int, trees: int = 100, rate: float = 0.05, depth: int = 2, *, columns: str | None = None
) -> Callable[[int, int], Any]:
    """A maker of boosted trees, each grown on half of the runs and on all columns or "sqrt" of them."""

    def make(rows: int, width: int) -> Any:
        return GradientBoostingRegressor(
            n_estimators=trees,
            learning_rate=rate,
            max_depth=depth,
            subsample=0.5,
            max_features=columns,
            random_state=seed,
        )

    return make


def _gaussian_process(rows: int, width: int) -> Any:
    kernel = ConstantKernel(1.0, (1e-3, 1e6)) * RBF(3.0, (0.1, 1e4)) + WhiteKernel(0.5, (1e-6, 1e2))
    return GaussianProcessRegressor(kernel)


def build(
    name: str, depth: Sequence[float] | Array, horizon: float, *, gp_rows: int, seed: int = 0
) -> Predictor:
    """The predictor `name` (one of NAMES) of R at `horizon` from metrics at `depth` [D], in steps.

    `gp_rows`: runs that the Gaussian process trains on; `seed`: of boosting's subsamples.
    Raises InputError for an unknown name.
    """
    made: dict[str, Callable[[], Predictor]] = {
        "ols": lambda: Learner(_ols),
        "ridge": lambda: Learner(_ridge),
        "knn": lambda: Learner(_knn),
        "kernel_ridge": lambda: Learner(_kernel_ridge),
        "boosting": lambda: Learner(boosting(seed)),
        "gaussian_process": lambda: Learner(_gaussian_process, rows=gp_rows),
        "extrapolation": lambda: Extrapolation(np.asarray(depth, float), float(horizon)),
        "last_value": LastValue,
    }
    if name not in made:
        raise InputError(f"predictor {name!r} is unknown; one of {list(made)}")
    return made[name]()


NAMES = (
    "ols",
    "ridge",
    "knn",
    "kernel_ridge",
    "boosting",
    "gaussian_process",
    "extrapolation",
    "last_value",
)
