"""A Gaussian process on how two runs agree on examples that nobody has seen.

R on a target set is a mean of indicators, one an example: is the log-odds z of the right answer positive?
Two runs whose log-odds are jointly normal over examples agree in sign on a share 1 - angle/pi of them, so
over draws of the target set R has the covariance (2/pi) arcsin(cos angle) between runs, up to scale
(Sheppard, 1899; the kernel of Williams, 1998).  The angle is read off the probe examples.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

Array = NDArray[np.float64]
Single = NDArray[np.float32]  # kernels: their noise is far above rounding, and they take half the time
Index = NDArray[np.int64]

POWERS = (0.5, 1.0)  # of the singular values: few examples spread a spectrum that is flatter in truth
NOISE = 0.03  # added to a run's mean squared log-odds, as a share of it: what still moves until T
LINEAR = (0.3, 1.0)  # the linear part's share of the kernel
WEIGHTS = (0.1, 0.5)  # of each further block of features, as shares of the kernel
PENALTIES = tuple(10.0 ** np.arange(-2.5, 3.1, 1 / 3))  # noise of R, in units of the kernel's mean variance
STRONG = 3.0  # nats of evidence over noise alone, under which nothing is predicted (Kass and Raftery, 1995)
START = 6  # the penalty at which the search begins
_LEAST = 1e-5  # of the largest singular value, in single precision


@dataclass(frozen=True)
class Examples:
    """Log-odds of runs in the coordinates that a training set spans: `plain` [N, q], `size` [q].

    `train` are the rows of the training runs; `mean` [q] is their mean.
    """

    plain: Single
    size: Single
    train: Index

    @staticmethod
    def of(log_odds: Array, train: Index) -> Examples:
        """From `log_odds` [N, E]; directions in which the training runs do not differ are left out."""
        x = np.asarray(log_odds, float)
        centred = x[train] - x[train].mean(axis=0)
        square, directions = np.linalg.eigh(centred.T @ centred)
        kept = np.flatnonzero(square > _LEAST**2 * max(float(square[-1]), 1e-300))[::-1]
        plain = (x @ directions[:, kept]).astype(np.float32)
        return Examples(plain, np.sqrt(square[kept]).astype(np.float32), train)

    def at(self, power: float) -> Single:
        """Coordinates [N, q] whose singular values are those of the log-odds to the power `power`."""
        return self.plain * (self.size / self.size[0]) ** (power - 1) if len(self.size) else self.plain


def agreement(x: Single, rows: Index, columns: Index) -> Single:
    """(2/pi) arcsin of the cosine between runs `rows` and `columns` of x [N, q], NOISE in the norms."""
    square = (x**2).sum(axis=1)
    norm = np.sqrt(square + NOISE * square[columns].mean())
    cosine = (x[rows] @ x[columns].T) / np.maximum(np.outer(norm[rows], norm[columns]), 1e-300)
    return np.asarray(np.float32(2 / np.pi) * np.arcsin(np.clip(cosine, -1.0, 1.0)))


def linear(x: Single, rows: Index, columns: Index) -> Single:
    """Inner products of runs, centred at the mean of `columns`."""
    mean = x[columns].mean(axis=0)
    return np.asarray((x[rows] - mean) @ (x[columns] - mean).T)


def centred(kernel: Single, train: Single) -> Single:
    """A kernel [m, n] with the mean of the training runs' functions taken out; `train` is theirs [n, n]."""
    return np.asarray(kernel - train.mean(axis=0) - kernel.mean(axis=1)[:, None] + train.mean())


@dataclass(frozen=True)
class Choice:
    """A kernel: the power of the examples' part, its linear share, a weight for each further block."""

    power: float
    linear: float
    weights: tuple[float, ...]

    def kernel(
        self,
        examples: Examples,
        blocks: Sequence[Array],
        rows: Index,
        columns: Index,
    ) -> Single:
        """The kernel [rows, columns], its mean variance over `columns` 1; `blocks` are features [N, p]."""
        made = np.zeros((len(rows), len(columns)), np.float32)
        parts: list[tuple[float, Single, Single]] = []
        rest = 1 - sum(self.weights)
        if len(examples.size):
            x = examples.at(self.power)
            if self.linear < 1:
                own = agreement(x, columns, columns)
                across = own if rows is columns else agreement(x, rows, columns)
                parts.append((rest * (1 - self.linear), centred(across, own), centred(own, own)))
            if self.linear > 0:
                parts.append((rest * self.linear, *_both(x, rows, columns)))
        for weight, block in zip(self.weights, blocks, strict=True):
            if weight > 0:
                parts.append((weight, *_both(block.astype(np.float32), rows, columns)))
        for share, across, own in parts:
            size = float(np.trace(own)) / len(own)
            if size > 0:
                made += np.float32(share / size) * across
        return made


def _both(x: Single, rows: Index, columns: Index) -> tuple[Single, Single]:
    own = linear(x, columns, columns)
    return (own if rows is columns else linear(x, rows, columns)), own


def _factor(kernel: Single, penalty: float) -> tuple[Single, bool]:
    noisy = kernel.copy()
    noisy.flat[:: len(noisy) + 1] += np.float32(penalty)
    return cho_factor(noisy, lower=True, overwrite_a=True, check_finite=False)


def evidence(kernel: Single, outcome: Array, start: int = START) -> tuple[float, int]:
    """Log marginal likelihood of centred `outcome` [n] over that of noise alone, and the penalty's place.

    Rasmussen and Williams (2006), eq. 2.30, the scale profiled out; the penalty climbs on PENALTIES from
    `start`.
    """
    y = outcome - outcome.mean()
    y = y / max(float(np.abs(y).max(initial=0.0)), 1e-300)
    known: dict[int, float] = {}
    noise = -0.5 * len(y) * np.log(max(float(y @ y) / len(y), 1e-300))

    def score(place: int) -> float:
        if place not in known:
            factor = _factor(kernel, PENALTIES[place])
            scale = max(float(y @ cho_solve(factor, y.astype(np.float32), check_finite=False)), 1e-300)
            size = float(np.log(np.diag(factor[0]), dtype=float).sum())
            known[place] = -0.5 * len(y) * np.log(scale / len(y)) - size - noise
        return known[place]

    at = start
    while True:
        near = [k for k in (at - 1, at, at + 1) if 0 <= k < len(PENALTIES)]
        best = max(near, key=score)
        if best == at:
            return score(at), at
        at = best


def choose(
    examples: Examples, blocks: Sequence[Array], outcome: Array, rows: Index, start: Choice | None = None
) -> Choice:
    """The kernel with the most evidence on `rows` of the training runs; `outcome` [len(rows)].

    First the examples' part alone (or as in `start`), then block after block the weight that adds most.
    """
    none = (0.0,) * len(blocks)
    pairs = itertools.product(POWERS, LINEAR) if start is None else [(start.power, start.linear)]
    candidates = [Choice(power, share, none) for power, share in pairs]
    score, place, best = -np.inf, START, candidates[0]
    for made in candidates if blocks or start is None else []:
        value, at = evidence(made.kernel(examples, blocks, rows, rows), outcome, place)
        if value > score:
            score, place, best = value, at, made
    for k in range(len(blocks)):
        for weight in WEIGHTS:
            given = tuple(weight if j == k else w * (1 - weight) for j, w in enumerate(best.weights))
            made = Choice(best.power, best.linear, given)
            value, at = evidence(made.kernel(examples, blocks, rows, rows), outcome, place)
            if value > score:
                score, place, best = value, at, made
    return best


def predict(
    choice: Choice,
    examples: Examples,
    blocks: Sequence[Array],
    outcomes: Array,
    train: Index,
    test: Index,
    rows: int,
) -> tuple[Array, Array]:
    """Posterior means of the runs `test` [m, L], and of some of `train` with each left out [rows, L].

    `outcomes` [n, L] of the runs `train`, with a penalty each, that with the most evidence on the first
    `rows` of them; these are the runs that are left out, one at a time (Rasmussen and Williams, eq. 5.12).
    """
    own = choice.kernel(examples, blocks, train, train)
    across = choice.kernel(examples, blocks, test, train)
    small = own[:rows, :rows]
    made = np.empty((len(test), outcomes.shape[1]))
    left = np.empty((len(small), outcomes.shape[1]))
    for k, y in enumerate(outcomes.T):
        gain, place = evidence(small, y[:rows])
        if gain < STRONG:
            made[:, k] = left[:, k] = y.mean()
            continue
        made[:, k] = y.mean() + _solved(y - y.mean(), across, _factor(own, PENALTIES[place]))
        left[:, k] = y[:rows].mean() + _left_out(
            y[:rows] - y[:rows].mean(), _factor(small, PENALTIES[place])
        )
    return made, left


def _left_out(y: Array, factor: tuple[Single, bool]) -> Array:
    """Each run's posterior mean by the other runs; `y` [n] is centred."""
    unit = max(float(np.abs(y).max(initial=0.0)), 1e-300)
    weight = cho_solve(factor, (y / unit).astype(np.float32), check_finite=False)
    inverse = cho_solve(factor, np.eye(len(y), dtype=np.float32), check_finite=False)
    return np.asarray(y - unit * (weight / np.diag(inverse)).astype(float))


def _solved(y: Array, across: Single, factor: tuple[Single, bool]) -> Array:
    """The posterior mean of centred `y`, in units in which single precision does not overflow."""
    unit = max(float(np.abs(y).max(initial=0.0)), 1e-300)
    weight = cho_solve(factor, (y / unit).astype(np.float32), check_finite=False)
    return np.asarray(unit * (across @ weight).astype(float))
