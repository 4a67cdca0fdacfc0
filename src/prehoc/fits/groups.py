"""Whether the runs under one task come from one system: a test of the variance between groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Texts = NDArray[np.str_]

WAYS = ("refuse", "split", "within", "pool")
LEVEL = 0.01
LEAST_SHARE = 0.1  # of Var R, from which a difference between groups matters
_PERMUTATIONS = 1999


@dataclass(frozen=True)
class GroupTest:
    """`count` groups; `share` of R's variance that lies between them; `p` of the test, nan if untested."""

    count: int
    share: float
    p: float
    in_words: str

    @property
    def mixed(self) -> bool:
        """Whether the groups differ enough to be no one task."""
        return bool(self.p < LEVEL and self.share >= LEAST_SHARE)

    def as_dict(self) -> dict[str, Any]:
        """For the verdict."""
        known = bool(np.isfinite(self.p))
        return {
            "tested": known,
            "groups": self.count,
            "share": float(self.share) if known else None,
            "p": float(self.p) if known else None,
            "in_words": self.in_words,
        }


def components(outcome: Array, group: NDArray[np.int64]) -> tuple[Array, Array]:
    """(between, within) variance of outcomes [..., N] in groups [N] of a one-way random-effects layout.

    The moment (ANOVA) estimates: within = MSW, between = (MSB - MSW)/n0 with n0 = (N - sum n_g^2/N)/(G - 1)
    (Searle, Casella and McCulloch, Variance Components, 1992, 3.6), not below 0.
    """
    count = np.bincount(group).astype(float)
    n, g = float(count.sum()), len(count)
    member = np.eye(g)[group]
    r = outcome - outcome.mean(axis=-1, keepdims=True)
    sums = r @ member
    between_ss = (sums**2 / count).sum(axis=-1)
    within_ss = np.maximum((r**2).sum(axis=-1) - between_ss, 0)
    within = within_ss / (n - g)
    n0 = (n - (count**2).sum() / n) / (g - 1)
    return np.maximum(between_ss / (g - 1) - within, 0) / n0, within


def compare(outcome: Array, names: Texts, seed: int = 0) -> GroupTest:
    """Test whether R [N] differs between groups [N] (texts; "" for none), by permutation of runs.

    The statistic is the share of variance between groups; 1,999 permutations from `seed`.  Untested with
    fewer than two groups, or none with two runs.
    """
    known = np.isfinite(outcome)
    r, (labels, group) = outcome[known], np.unique(names[known], return_inverse=True)
    nan = float("nan")
    if len(labels) < 2:
        said = "All runs are of one group." if len(labels) and labels[0] else (
            "No groups are told (column group), so that runs of several systems could not be told apart."
        )  # fmt: skip
        return GroupTest(len(labels), nan, nan, said)
    if len(r) - len(labels) < 2 or not np.ptp(r) > 0:
        return GroupTest(
            len(labels), nan, nan, f"{len(labels)} groups, with too few runs each to compare them."
        )
    between, within = components(r, group)
    total = float(between + within)
    share = float(between) / total if total > 0 else 0.0
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, len(r), len(labels)])))
    drawn = np.stack([rng.permutation(r) for _ in range(_PERMUTATIONS)])
    other = components(drawn, group)
    shares = other[0] / np.maximum(other[0] + other[1], 1e-300)
    p = float((1 + (shares >= share * (1 - 1e-12)).sum()) / (1 + _PERMUTATIONS)) if share > 0 else 1.0
    said = f"{share:.0%} of the variance of R lies between the {len(labels)} groups (p = {p:.2g})."
    return GroupTest(len(labels), share, p, said)
