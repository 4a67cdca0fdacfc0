"""The fork proxy: E[Var(R | state_c)] from trunks that were branched at depth c."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from prehoc.errors import InputError
from prehoc.risk.proxies import MIN_RUNS, Estimate, interval, positive, robust_variance

Array = NDArray[np.float64]

_PRIOR_TRUNKS = 10.0


def fork(outcomes: list[Array], confidence: float = 0.95) -> Estimate:
    """Mean within-trunk variance of R over forks, at each depth: unbiased for E[Var(R | state_c)].

    `outcomes` holds one array [trunks, M] a depth (nan = failed or absent; trunks with fewer than
    two forks drop out).  Var(U) comes from the scatter of the trunks' own variances, pooled over
    depths and drawn towards the normal value 2/(M - 1) with a weight of ten trunks; trunks count
    in proportion to M - 1.  The same trunk may stand in the same row at several depths.
    """
    if not outcomes:
        raise InputError("no forks were given")
    freedoms, variances, robust, missing = [], [], [], []
    for values in outcomes:
        v = np.asarray(values, float)
        if v.ndim != 2:
            raise InputError("forks of a depth must be an array [trunks, forks]")
        ok = np.isfinite(v)
        size = ok.sum(1)
        f = np.where(size >= 2, size - 1.0, 0.0)
        mean = np.where(ok, v, 0).sum(1) / np.maximum(size, 1)
        e = np.where(ok, v - mean[:, None], 0.0)
        freedoms.append(f)
        variances.append(np.where(f > 0, (e**2).sum(1) / np.maximum(f, 1), 0.0))
        inflate = np.sqrt(size / np.maximum(f, 1))[:, None]
        used = (e * inflate)[ok & (f > 0)[:, None]]
        robust.append(robust_variance(used) if used.size else np.nan)
        missing.append(1 - ok.mean() if ok.size else 0.0)
    trunks = np.array([(f > 0).sum() for f in freedoms])
    if trunks.max() < MIN_RUNS:
        raise InputError(f"at least {MIN_RUNS} trunks with two forks are needed")
    total = np.array([f.sum() for f in freedoms])
    enough = trunks >= MIN_RUNS
    risk = np.array(
        [(f * s).sum() / t if t else np.nan for f, s, t in zip(freedoms, variances, total, strict=True)]
    )
    risk = np.where(enough, risk, np.nan)
    nu = np.where(risk > 0, total / (1 + _extra_scatter(freedoms, variances, risk)), np.nan)
    low, high = interval(risk, nu, confidence)
    se = np.where(risk > 0, risk * np.sqrt(2 / nu), 0.0)
    covariance = _trunk_covariance(freedoms, variances, risk, nu)
    return Estimate(risk, se, nu, low, high, trunks, np.array(robust), np.array(missing), covariance)


def _extra_scatter(freedoms: list[Array], variances: list[Array], risk: Array) -> float:
    """How far trunk variances scatter beyond chi-square, as a share of it, pooled over depths.

    For normal forks with one variance E[f (s^2/U - 1)^2] = 2, f = M - 1; the excess is the mean of
    f (s^2/U - 1)^2 / 2 - 1, shrunk towards 0 by ten trunks' weight and bounded below at -1/2.
    """
    total, weight = 0.0, 0.0
    for f, s, u in zip(freedoms, variances, risk, strict=True):
        if not u > 0:
            continue
        used = f > 0
        count = used.sum()
        spread = (f[used] * (s[used] / u - 1) ** 2).sum() * count / (count - 1)
        total += spread / 2 - count
        weight += count
    return max(total / (weight + _PRIOR_TRUNKS), -0.5) if weight else 0.0


def _trunk_covariance(freedoms: list[Array], variances: list[Array], risk: Array, nu: Array) -> Array:
    """Relative covariance of fork risks across depths  [D, D].

    Forks of different depths are independent given their trunk; what is left is trunks whose
    variance is larger throughout.  Correlations within 1.5/sqrt(trunks) of 0 are set to 0.
    """
    size = len(risk)
    r = np.eye(size)
    for i in range(size):
        for j in range(i):
            if len(variances[i]) != len(variances[j]):
                continue
            both = (freedoms[i] > 0) & (freedoms[j] > 0)
            if both.sum() < MIN_RUNS:
                continue
            a, b = variances[i][both], variances[j][both]
            if a.std() > 0 and b.std() > 0:
                value = float(np.corrcoef(a, b)[0, 1])
                near = max(abs(value) - 1.5 / np.sqrt(both.sum()), 0.0)
                r[i, j] = r[j, i] = np.sign(value) * near
    return positive(r) * np.sqrt(np.outer(2 / nu, 2 / nu))
