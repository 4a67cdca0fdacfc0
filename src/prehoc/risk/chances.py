"""How often a decision made at depth c is wrong, where R and its forecast are jointly normal.

f = E[R | I_c] has variance Var R - L(c), and R given f is N(f, L(c)): correlation of the two
rho = sqrt(1 - L(c)/Var R).  All are averages over runs of one task.
"""

from __future__ import annotations

import numpy as np
from scipy.integrate import quad
from scipy.stats import multivariate_normal, norm

from prehoc.errors import InputError


def correlation(risk: float, var_r: float) -> float:
    """Correlation of R with its forecast at risk L(c), in squared units of R as Var R; 0..1.

    Raises InputError for a risk below 0 or a Var R that is not above 0.
    """
    if not (risk >= 0 and var_r > 0 and np.isfinite(var_r)):
        raise InputError(f"a risk of {risk} with Var R = {var_r}: no chance can be told of them")
    return float(np.sqrt(max(1 - risk / var_r, 0.0)))


def wrong_call(risk: float, var_r: float, mean: float, threshold: float) -> float:
    """Probability that the call `f >= threshold` differs from the truth `R >= threshold`.

    With a = (t - mean)/sd R and b = (t - mean)/sd f, and Phi_2 the bivariate normal of correlation rho:
    P = Phi(a) + Phi(b) - 2 Phi_2(a, b; rho).  With nothing known (rho = 0) all runs are called as their
    mean is, and P = Phi(-|a|).
    """
    rho = correlation(risk, var_r)
    a = (threshold - mean) / np.sqrt(var_r)
    if rho <= 1e-9:
        return float(norm.cdf(-abs(a)))
    if rho >= 1 - 1e-12:
        return 0.0
    b = a / rho
    both = float(multivariate_normal.cdf([a, b], cov=[[1.0, rho], [rho, 1.0]]))
    return float(np.clip(norm.cdf(a) + norm.cdf(b) - 2 * both, 0.0, 0.5))


def wrong_pick(risk: float, var_r: float) -> float:
    """Probability that of two runs the one with the better forecast ends worse: arccos(rho)/pi.

    The differences of forecasts and of outcomes are normal about 0 with correlation rho, and differ in
    sign with that probability (Sheppard 1899).
    """
    return float(np.arccos(correlation(risk, var_r)) / np.pi)


def expected_best(k: int) -> float:
    """The mean of the largest of k standard normal numbers, e_k."""
    if k < 1:
        raise InputError(f"{k} candidates; give 1 or more")
    if k == 1:
        return 0.0
    value, _ = quad(lambda x: x * k * np.exp(norm.logpdf(x) + (k - 1) * norm.logcdf(x)), -12, 12, limit=200)
    return float(value)


def short_of_best(risk: float, var_r: float, k: int) -> float:
    """By how much, on average and in units of R, the k-fold pick by forecast falls short of the best run.

    The best of k runs lies e_k sd R above the mean, the one with the best forecast e_k rho sd R.
    """
    return expected_best(k) * float(np.sqrt(var_r)) * (1 - correlation(risk, var_r))
