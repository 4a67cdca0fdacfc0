"""The intrinsic limit split: target sampling, label noise, drawn domain, and what remains.

R is read on n target examples.  Let A and B be the same metric on two disjoint parts of them, a share
w and 1 - w of the n, so that R = w A + (1 - w) B.  Given a run's final state (and its domain) the two
are independent, with variances s^2/(w n) and s^2/((1 - w) n); hence, over runs,
    w (1 - w) Var(A - B) = s^2/n: the part of Var R that belongs to the examples; Var(A - B)/4 for halves,
    Cov(A, B): the part that both share (the state, the domain).
Where each run draws its target sample anew, the examples' own difficulty is in s^2.  Where the target set
is fixed over runs, it is in the mean of A - B, which is taken off (by domain, where one is drawn): what
is left is the run-by-example interaction, i.e. what of Var R another target set would not reproduce.  The
state at T knows it: it is no part of L(T) for `state`, and one for a predictor that sees the metric.
Where texts are sampled, their noise is independent over examples given the state, so it is in s^2/n too,
and the state does not know it: forks at T, which write anew, measure it, and the rest is the interaction.

Where R is no mean (F1, a correlation, an accuracy on another scale) R = w A + (1 - w) B holds to first
order in 1/n (its von Mises expansion), and so does the split.

Parts that only one half could show are independent of what both share, and A - B is uncorrelated with R
(independent, where both are normal): intervals of sums and differences are MOVER's (Zou and Donner,
Statistics in Medicine 27, 2008), which takes the parts as independent.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from prehoc.errors import InputError
from prehoc.risk.proxies import MIN_RUNS, from_residuals, interval

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Evaluation:
    """How R was read: what is known of its noise without looking at the runs.

    `drawn`: each run draws its target examples (or its noise) anew; else one set serves all runs.
    `accuracy`: R is a mean of rights and wrongs.  `size` examples a run is read on; `label_noise` the
    rate at which its labels flip to one of the other `classes` - 1.  `mean`: R is a mean over examples.
    `decoded`: R judges texts that each run samples, so the texts are noise of R's own.
    """

    drawn: bool = True
    accuracy: bool = False
    size: int | None = None
    label_noise: float = 0.0
    classes: int | None = None
    mean: bool = True
    decoded: bool = False


@dataclass(frozen=True)
class Part:
    """A part of Var R in squared units of the metric, with its interval, from `n` runs."""

    value: float
    low: float
    high: float
    n: int


def zero(n: int) -> Part:
    """A part that is nothing by construction."""
    return Part(0.0, 0.0, 0.0, n)


def minus(whole: Part, *parts: Part) -> Part:
    """Whole - sum(parts), with MOVER's interval; may be negative."""
    value = whole.value - sum(p.value for p in parts)
    low = value - np.sqrt((whole.value - whole.low) ** 2 + sum((p.high - p.value) ** 2 for p in parts))
    high = value + np.sqrt((whole.high - whole.value) ** 2 + sum((p.value - p.low) ** 2 for p in parts))
    return Part(float(value), float(low), float(high), min([whole.n, *(p.n for p in parts)]))


def _mean(values: Array, confidence: float) -> Part:
    """The mean of independent values with its normal interval."""
    mean, half = float(values.mean()), float(norm.ppf(0.5 + confidence / 2) * values.std(ddof=1))
    half /= np.sqrt(len(values))
    return Part(mean, mean - half, mean + half, len(values))


def half_weight(outcome: Array, first: Array, second: Array) -> float:
    """The share w of the examples in the first half, from R = w A + (1 - w) B; 1/2 where A = B."""
    gap = first - second
    size = float(gap @ gap)
    return float((outcome - second) @ gap) / size if size > 0 else 0.5


def halves(
    outcome: Array, first: Array, second: Array, domain: Array | None = None, confidence: float = 0.95
) -> tuple[Part, Part]:
    """What of Var R the halves do not share, and what they do: w (1 - w) Var(A - B) and Cov(A, B).

    `outcome`, `first`, `second` [N] are R, A and B of the same runs; `domain` [N], where given, names the
    groups whose means are taken off A - B.  Intervals: chi-square with the kurtosis of A - B, and
    normal.  Raises InputError for fewer than 5 runs.
    """
    r, a, b = (np.asarray(x, float) for x in (outcome, first, second))
    if not len(r) == len(a) == len(b) or len(r) < MIN_RUNS:
        raise InputError(f"halves need {MIN_RUNS} runs or more, each with R and both halves")
    gap = a - b
    groups = np.zeros(len(r)) if domain is None else np.asarray(domain)
    names, place = np.unique(groups, return_inverse=True)
    left = gap - (np.bincount(place, gap) / np.bincount(place))[place]
    none, size = np.zeros(1), float(np.abs(gap).max(initial=0.0))
    found = from_residuals(left[:, None], np.array([len(r) - len(names)]), confidence, none, size)
    w = half_weight(r, a, b)
    scale = w * (1 - w)
    own = zero(len(r))
    if found.risk[0] > 0:
        value, low, high = (float(scale * x[0]) for x in (found.risk, found.ci_low, found.ci_high))
        own = Part(value, low, high, len(r))
    product = (a - a.mean()) * (b - b.mean())
    shared = _mean(product * len(r) / (len(r) - 1), confidence)
    return own, shared


def binomial(outcome: Array, how: Evaluation, confidence: float = 0.95) -> tuple[Part, Part]:
    """The known parts of an accuracy's variance: (target sampling, label noise), squared units.

    An example that the model gets right counts as right with chance p1 = 1 - rho, another with chance
    p0 = rho/(C - 1): a flip to one of C - 1 classes.  With the model's accuracy a, p = p0 + a (p1 - p0) is
    R's mean.  By the law of total variance over the noise, given the examples, n times the variance is
        label noise      a p1 (1 - p1) + (1 - a) p0 (1 - p0)
        target sampling  a (1 - a) (p1 - p0)^2 = p (1 - p) - label noise     (zero for a fixed set)
    `outcome` [N] is R of the runs; p (1 - p) is taken from R (1 - R) n/(n - 1), whose mean it is, and a
    from R, in which label noise is linear.  For a fixed set, p is one run's share of its n examples and
    only the label noise is known.  Raises InputError where size or classes are missing.
    """
    r, n = np.asarray(outcome, float), how.size
    if n is None or n < 2:
        raise InputError("the number of target examples must be known, and 2 or more")
    right, lucky = 1.0 - how.label_noise, 0.0
    if how.label_noise > 0:
        if how.classes is None or how.classes < 2:
            raise InputError("label noise needs the number of classes")
        lucky = how.label_noise / (how.classes - 1)
    spread = right - lucky
    known = np.full(len(r), 0.5) if spread == 0 else (r - lucky) / spread
    noise = known * right * (1 - right) + (1 - known) * lucky * (1 - lucky)
    label = _mean(noise / n, confidence) if how.label_noise > 0 else zero(len(r))
    whole = r * (1 - r) * n / (n - 1)
    sampling = _mean((whole - noise) / n, confidence) if how.drawn else zero(len(r))
    return sampling, label


def between(outcome: Array, group: Array, confidence: float = 0.95) -> Part:
    """The between-group part of Var R, one-way analysis of variance: (SSB - (G - 1) MSW)/(N - 1).

    `outcome` [N], `group` [N] (a domain that each run drew from a list).  Its mean is the variance, over
    the draw, of a group's expected R: with MSW it makes Var R up exactly (epsilon squared; Kelley, PNAS 21,
    1935).  The interval is chi-square with nu = 2 value^2/Var, Var from the influence function
    (m - mu)^2 - value + 2 (m - mu)(R - m); normal where the value is within a standard error of 0 or below.
    """
    r = np.asarray(outcome, float)
    _, place = np.unique(np.asarray(group), return_inverse=True)
    count, n = np.bincount(place), len(r)
    if len(count) < 2:
        return zero(n)
    if n <= len(count):
        raise InputError("the domain's part needs more runs than domains")
    mean = (np.bincount(place, r) / count)[place]
    inside = float(((r - mean) ** 2).sum()) / (n - len(count))
    apart = (mean - r.mean()) ** 2
    value = float((apart.sum() - (len(count) - 1) * inside) / (n - 1))
    influence = apart - apart.mean() + 2 * (mean - r.mean()) * (r - mean)
    variance = float((influence**2).mean() / n)
    if value <= 0 or value**2 <= variance:
        half = float(norm.ppf(0.5 + confidence / 2) * np.sqrt(max(variance, 0.0)))
        return Part(value, value - half, value + half, n)
    low, high = interval(np.array([value]), np.array([2 * value**2 / variance]), confidence)
    return Part(value, float(low[0]), float(high[0]), n)
