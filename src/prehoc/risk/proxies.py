"""The proxies of the risk L(c) that independent runs give, each with its interval.

Chi-square intervals with nu = 2 U^2 / Var(U); Var(U) of a sample variance from N runs with
kurtosis kappa and f degrees of freedom is U^2 ((kappa - 3)/N + 2/f), with kappa pooled over depths.
Runs in which a number is missing are failures: counted, never averaged in.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

from prehoc.errors import InputError

Array = NDArray[np.float64]
Index = NDArray[np.int64]

MIN_RUNS = 5
MIN_FREEDOM = 3
_LEAST_EXCESS = -1.5
_SHARED_RUNS = 200
_NORMAL_IQR = 1.3489795003921634


@dataclass(frozen=True)
class Estimate:
    """U(c) at D depths: every field [D], but `residuals` and `covariance`.

    `risk`, `se`, `ci_*`, `robust` in squared units of the metric; `nu` effective degrees of
    freedom; `n` runs (or trunks) used; `failure_rate` the share of runs left out.  `covariance`
    [D, D] is that of U/E[U] across depths (relative), its diagonal 2/nu.  nan where a depth has
    too few runs.
    """

    risk: Array
    se: Array
    nu: Array
    ci_low: Array
    ci_high: Array
    n: NDArray[np.int64]
    robust: Array
    failure_rate: Array
    covariance: Array


def interval(risk: Array, nu: Array, confidence: float = 0.95) -> tuple[Array, Array]:
    """Chi-square interval of a variance U with nu degrees of freedom: nu U / chi2 quantiles."""
    if not 0 < confidence < 1:
        raise InputError(f"confidence must lie between 0 and 1, not {confidence}")
    tail = (1 - confidence) / 2
    return nu * risk / chi2.ppf(1 - tail, nu), nu * risk / chi2.ppf(tail, nu)


def robust_variance(values: Array) -> float:
    """(IQR / 1.349)^2: a variance that a few wild runs do not move."""
    low, high = np.quantile(values, [0.25, 0.75])
    return float(((high - low) / _NORMAL_IQR) ** 2)


def pooled_excess(residuals: Array) -> Array:
    """Excess kurtosis of each column of residuals [N, D], drawn towards that of all columns  [D].

    G2 with the small-N correction (Joanes and Gill, 1998).  One column's is poorly known from few
    runs, and differs between depths where R's own noise has other tails than what the run settles: a
    column counts with the weight N/(N + 200).  Bounded below at -1.5, as a two-point metric would
    give a variance without error; 0 where under four runs say anything.
    """
    found = np.full(residuals.shape[1], np.nan)
    count = np.isfinite(residuals).sum(0)
    for j, column in enumerate(residuals.T):
        ok = np.isfinite(column)
        e = column[ok] - column[ok].mean() if ok.any() else column[ok]
        size = np.abs(e).max(initial=0.0)
        n = len(e)
        if n < 4 or not size > 0:
            continue
        e = e / size
        plain = float(np.mean(e**4)) / float(np.mean(e**2)) ** 2 - 3
        found[j] = (n - 1) / ((n - 2) * (n - 3)) * ((n + 1) * plain + 6)
    known = np.isfinite(found)
    if not known.any():
        return np.zeros(len(found))
    shared = float(found[known].mean())
    own = count / (count + _SHARED_RUNS)
    made = np.where(known, own * np.where(known, found, 0.0) + (1 - own) * shared, shared)
    return np.asarray(np.maximum(made, _LEAST_EXCESS))


def from_residuals(
    residuals: Array,
    freedom: Array,
    confidence: float,
    failure_rate: Array,
    scale: float,
    settled: NDArray[np.int64] | int = 0,
) -> Estimate:
    """Estimate from residuals [N, D] (nan = run not used) with RSS/freedom as U.

    `freedom` [D] is N - 1 - p; depths with under 3 come out as nan.  `scale` is the size of the
    numbers that were subtracted: a risk below its rounding error is 0.  `settled` [D] further runs
    have their R already, and a risk of 0: U is the share S of open runs times theirs, and that
    share's own error, (1 - S)/n relative to U^2, is in its variance.
    """
    count = np.isfinite(residuals).sum(0)
    enough = (freedom >= MIN_FREEDOM) & (count >= MIN_RUNS)
    squares = np.nansum(residuals**2, axis=0)
    open_share = count / np.maximum(count + settled, 1)
    risk = np.where(enough, open_share * squares / np.maximum(freedom, 1), np.nan)
    risk = np.where(risk <= (1e-12 * scale) ** 2, 0.0, risk)
    excess = np.zeros(len(enough))
    excess[enough] = pooled_excess(residuals[:, enough])
    relative = (excess + 1 - open_share) / np.maximum(count, 1) + 2 / np.maximum(freedom, 1)
    nu = np.where(enough & (risk > 0), 2 / relative, np.nan)
    low, high = interval(risk, nu, confidence)
    robust = np.array(
        [
            share * robust_variance(r[np.isfinite(r)]) * c / f if e else np.nan
            for r, c, f, e, share in zip(residuals.T, count, freedom, enough, open_share, strict=True)
        ]
    )
    se = np.where(risk > 0, risk * np.sqrt(2 / nu), np.where(enough, 0.0, np.nan))
    covariance = residual_covariance(residuals, nu, freedom)
    return Estimate(risk, se, nu, low, high, count + settled, robust, failure_rate, covariance)


def residual_covariance(residuals: Array, nu: Array, freedom: Array) -> Array:
    """Covariance of relative U across depths: C_ij = r_ij^2 sqrt(2/nu_i 2/nu_j)  [D, D].

    With equal kurtosis that is r_ij^2 (kappa - 1)/(N - 2) (DESIGN 8), r_ij the correlation of the
    residuals at depths i and j over the runs that have both.  Where one regression has q features
    more than the other, r^2 falls short of 1 by at least what q features of no use take, q/N on
    average: a single draw of that shortfall may be far less, and would make U_i/U_j too sure.
    """
    ok = np.isfinite(residuals)
    e = np.where(ok, residuals, 0.0)
    cross = e.T @ e
    norm = np.sqrt(np.maximum((e**2).T @ ok, 0) * np.maximum(ok.T @ (e**2), 0))
    r = np.divide(cross, norm, out=np.zeros_like(cross), where=norm > 0)
    more = np.abs(np.subtract.outer(freedom, freedom)) / np.maximum(ok.sum(0).max(initial=1), 1)
    square = np.minimum(r**2, np.clip(1 - more, 0.0, 1.0))
    np.fill_diagonal(square, 1.0)
    return positive(square) * np.sqrt(np.outer(2 / nu, 2 / nu))


def positive(correlation: Array, least: float = 1e-6) -> Array:
    """The correlation matrix with eigenvalues of at least `least` and a unit diagonal."""
    values, vectors = np.linalg.eigh(correlation)
    if values[0] >= least:
        return correlation
    mended = (vectors * np.maximum(values, least)) @ vectors.T
    scale = np.sqrt(np.diag(mended))
    return mended / np.outer(scale, scale)


def _paired(metric: Array, outcome: Array | None) -> tuple[Array, Array]:
    values = np.asarray(metric, float)
    values = values[:, None] if values.ndim == 1 else values
    if values.ndim != 2 or values.shape[0] < MIN_RUNS:
        raise InputError(f"at least {MIN_RUNS} runs are needed, {values.shape[0]} given")
    r = values[:, -1] if outcome is None else np.asarray(outcome, float)
    if r.shape != (values.shape[0],):
        raise InputError(f"{r.shape} outcomes for {values.shape[0]} runs")
    if np.isinf(values).any() or np.isinf(r).any():
        raise InputError("a metric is infinite; mark the run as failed (nan) instead")
    return values, r


def _missing(keep: Array) -> Array:
    return 1 - keep.mean(axis=0)


def _size(values: Array) -> float:
    return float(np.nanmax(np.abs(values), initial=0.0))


def run_to_run(metric: Array, confidence: float = 0.95, group: Index | None = None) -> Estimate:
    """Var over seeds of the metric at each depth: the paper's proxy (its section on E1).

    `metric` [N, D] or [N]; `group` [N] as in `residual`.  It is no risk of a prediction of R: it
    may grow, stay or fall at another rate than L(c).  Raises InputError for fewer than 5 runs.
    """
    values, _ = _paired(metric, None)
    left, freedom = about_means(values, group)
    return from_residuals(left, freedom, confidence, _missing(np.isfinite(values)), _size(values))


def change(metric: Array, outcome: Array, confidence: float = 0.95, group: Index | None = None) -> Estimate:
    """Var(R - m_c), centred, at each depth; the metric's own noise is in it.

    `metric` [N, D], `outcome` [N], `group` [N] as in `residual`.  Raises InputError for fewer than 5 runs.
    """
    values, r = _paired(metric, outcome)
    apart = r[:, None] - values
    left, freedom = about_means(apart, group)
    return from_residuals(left, freedom, confidence, _missing(np.isfinite(apart)), _size(r))


def centred(values: Array, group: Index | None = None) -> tuple[Array, int]:
    """Values [N] or [N, P] less their mean, or their group's (`group` [N]), and how many means."""
    x = np.asarray(values, float)
    if group is None:
        return x - x.mean(axis=0), 1
    _, of, count = np.unique(group, return_inverse=True, return_counts=True)
    total = np.zeros((len(count), *x.shape[1:]))
    np.add.at(total, of, x)
    return x - (total.T / count).T[of], len(count)


def about_means(values: Array, group: Index | None) -> tuple[Array, Array]:
    """Each column [N, D] less its mean or group means, over what is finite; degrees of freedom [D]."""
    left = np.full(values.shape, np.nan)
    freedom = np.zeros(values.shape[1])
    for j, column in enumerate(values.T):
        ok = np.isfinite(column)
        if ok.any():
            left[ok, j], means = centred(column[ok], None if group is None else group[ok])
            freedom[j] = ok.sum() - means
    return left, freedom


def residual(
    metric: Array,
    outcome: Array,
    information: str = "last",
    static: Array | None = None,
    confidence: float = 0.95,
    group: Index | None = None,
    settled: NDArray[np.bool_] | None = None,
) -> Estimate:
    """RSS/(N - 1 - p) of R regressed by OLS on what is seen at each depth: an upper bound on L(c).

    `metric` [N, D], `outcome` [N], `static` [N, S].  `information`: `last` (metric at c), `prefix`
    (all metrics up to c), `static` (the static features; D = 1), `static+prefix`, or `none`
    (Var R; D = 1).  Columns that add nothing to those before them are not counted in p.
    `group` [N]: a mean of its own for each group, one degree of freedom each.  `settled` [N, D]: runs
    whose R is known by then (steps to a target that they have met): they have no metric there and a
    risk of 0, so that U = S RSS/(n - 1 - p) over the n open runs, their share S.
    Raises InputError for fewer than 5 runs or an unknown information set.
    """
    values, r = _paired(metric, outcome)
    residuals, freedom, keep = regress(values, r, information, static, group)
    known = np.zeros(keep.shape, bool)
    if settled is not None and settled.shape == keep.shape:
        known = settled
    left = np.where(known, np.nan, residuals)
    lost = 1 - np.logical_or(keep, known).mean(axis=0)
    return from_residuals(left, freedom, confidence, lost, _size(r), known.sum(0))


def regress(
    metric: Array,
    outcome: Array,
    information: str,
    static: Array | None = None,
    group: Index | None = None,
) -> tuple[Array, Array, Array]:
    """Residuals [N, D], degrees of freedom [D] and runs used [N, D] of the regressions above."""
    n, width = metric.shape
    base = np.empty((n, 0)) if static is None else np.asarray(static, float).reshape(n, -1)
    if information not in ("none", "last", "prefix", "static", "static+prefix"):
        raise InputError(f"no regression on information {information!r}")
    if "static" not in information:
        base = base[:, :0]
    if information in ("none", "static"):
        width = 1
    residuals = np.full((n, width), np.nan)
    freedom = np.zeros(width)
    keep = np.zeros((n, width), bool)
    for j in range(width):
        first = {"last": j, "prefix": 0, "static+prefix": 0}.get(information, j + 1)
        features = np.column_stack([base, metric[:, first : j + 1]])
        ok = np.isfinite(outcome) & np.isfinite(features).all(axis=1)
        keep[:, j] = ok
        if ok.sum() < MIN_RUNS:
            continue
        residuals[ok, j], used = least_squares(
            features[ok], outcome[ok], None if group is None else group[ok]
        )
        freedom[j] = ok.sum() - used
    return residuals, freedom, keep


def least_squares(features: Array, outcome: Array, group: Index | None = None) -> tuple[Array, int]:
    """Residuals [N] of OLS with an intercept (one a group), and how many parameters it took.

    Features are centred and scaled; a direction with a relative singular value under 1e-8 is
    dropped.
    """
    about, means = centred(outcome, group)
    x, _ = centred(features, group)
    size = np.abs(features).max(axis=0, initial=0.0)
    spread = np.sqrt((x**2).mean(axis=0))
    x = x[:, spread > 1e-12 * np.maximum(size, 1e-300)]
    if x.shape[1] == 0:
        return about, means
    x = x / np.sqrt((x**2).mean(axis=0))
    vectors, values, _ = np.linalg.svd(x, full_matrices=False)
    vectors = vectors[:, values > 1e-8 * values[0]]
    left = about - vectors @ (vectors.T @ about)
    return left, means + vectors.shape[1]
