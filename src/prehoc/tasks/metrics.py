"""Metrics of predictions that are no mean over examples: F1, Matthews', Pearson's and Spearman's.

They are computed for many runs at once, as a bank is measured at every depth: scikit-learn's and scipy's
own functions take a millisecond a run, and the tests hold these to them.

Conventions where a metric is not defined: a constant prediction (or truth) correlates with nothing, so
Matthews', Pearson's and Spearman's are 0; F1 without a positive on either side is 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from prehoc.config.metrics import NUMBER_METRICS

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Truth:
    """What predictions of a split are held against: labels [n] (class numbers, or numbers).

    `metrics` are measured besides the score and the loss; `classes` is the number of classes, 0 for
    numbers; `positive` the class that F1 is of.
    """

    labels: NDArray[np.generic]
    metrics: tuple[str, ...]
    classes: int
    positive: int = 1

    def measure(
        self, predicted: NDArray[np.generic], labels: NDArray[np.generic] | None = None
    ) -> dict[str, Array]:
        """Each metric [...] of predictions [..., n], against `labels` [..., n] in place of the split's."""
        truth = self.labels if labels is None else labels
        made: dict[str, Array] = {}
        for name in self.metrics:
            if name == "pearson_spearman" and {"pearson", "spearman"} <= set(made):
                made[name] = (made["pearson"] + made["spearman"]) / 2  # ranks take long to find
            elif name in NUMBER_METRICS:
                made[name] = _CORRELATIONS[name](np.asarray(predicted, float), np.asarray(truth, float))
            elif name == "f1":
                made[name] = f1(predicted, truth, self.positive)
            else:
                made[name] = matthews(predicted, truth, self.classes)
        return made


def _ratio(above: Array, below: Array) -> Array:
    """Above / below, and 0 where `below` is 0."""
    return np.divide(above, below, out=np.zeros(np.shape(above)), where=below > 0)


def f1(predicted: NDArray[np.generic], truth: NDArray[np.generic], positive: int = 1) -> Array:
    """2 TP/(2 TP + FP + FN) of classes [..., n]; 0 without a positive on either side."""
    ours, theirs = predicted == positive, truth == positive
    hits = (ours & theirs).sum(-1)
    return _ratio(2.0 * hits, np.asarray(ours.sum(-1) + theirs.sum(-1), float))


def matthews(predicted: NDArray[np.generic], truth: NDArray[np.generic], classes: int) -> Array:
    """Matthews' correlation of classes 0..C-1 [..., n] (Gorodkin, Comput. Biol. Chem. 28, 2004, eq. 8).

    (c s - sum_k p_k t_k)/sqrt((s^2 - sum p_k^2)(s^2 - sum t_k^2)) with s examples, c right, and p_k
    predicted and t_k true ones of class k; 0 where either side has one class alone.
    """
    size = float(predicted.shape[-1])
    right = (predicted == truth).sum(-1).astype(float)
    both = ours = theirs = np.zeros(right.shape)
    for k in range(classes):
        p, t = (predicted == k).sum(-1).astype(float), (truth == k).sum(-1).astype(float)
        both, ours, theirs = both + p * t, ours + p * p, theirs + t * t
    return _ratio(right * size - both, np.sqrt((size**2 - ours) * (size**2 - theirs)))


def pearson(predicted: Array, truth: Array) -> Array:
    """Pearson's correlation of numbers [..., n]; 0 where either side is constant."""
    a = predicted - predicted.mean(-1, keepdims=True)
    b = truth - truth.mean(-1, keepdims=True)
    flat = (np.ptp(predicted, -1) == 0) | (np.ptp(truth, -1) == 0)  # their mean may be off by rounding
    size = np.where(flat, 0.0, np.sqrt((a * a).sum(-1) * (b * b).sum(-1)))
    return np.clip(_ratio((a * b).sum(-1), size), -1.0, 1.0)


def spearman(predicted: Array, truth: Array) -> Array:
    """Spearman's correlation of numbers [..., n]: Pearson's of their ranks, ties at their mean rank."""
    return pearson(rankdata(predicted, axis=-1), rankdata(truth, axis=-1))


def pearson_spearman(predicted: Array, truth: Array) -> Array:
    """The mean of both correlations: GLUE's number for STS-B (Wang et al. 2019)."""
    return (pearson(predicted, truth) + spearman(predicted, truth)) / 2


_CORRELATIONS: dict[str, Callable[[Array, Array], Array]] = {
    "pearson": pearson,
    "spearman": spearman,
    "pearson_spearman": pearson_spearman,
}
