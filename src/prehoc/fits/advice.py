"""Advice as `prehoc.advise` gives it: its numbers, as words and as JSON."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from prehoc.fits.advice_words import lines
from prehoc.fits.budget import Budget


@dataclass(frozen=True)
class Advice:
    """Probe to `depth` steps, then decide; None where nothing can be said, and `cannot` says why.

    `risk` [squared units of R] and `sd_left` its root are what stays open there, `share` of Var R.
    Chances are averages over runs: `wrong_pick` of the better of two, `wrong_call` against `threshold`
    (None without one); `short_of_best` is what the pick of `candidates` lacks to their best, in units of
    R.  Each has _low and _high.  `saved_share` is of training all candidates to the horizon.
    `regime` is the task's to who sees `information`; the verdict may go by forks: `regime_of_verdict`.
    """

    task: str
    budget: Budget
    candidates: int
    price: float
    depth: int | None
    horizon: int
    finish: bool
    spent_steps: float
    saved_steps: float
    saved_share: float
    risk: float
    risk_low: float
    risk_high: float
    share: float
    wrong_pick: float
    wrong_pick_low: float
    wrong_pick_high: float
    threshold: float | None
    wrong_call: float | None
    wrong_call_low: float | None
    wrong_call_high: float | None
    short_of_best: float | None
    regime: str
    regime_of_verdict: str
    metric: str
    proxy: str
    information: str
    runs: int
    cannot: str
    notes: tuple[str, ...]
    nearest: dict[str, Any] | None = None

    @property
    def sd_left(self) -> float:
        """Standard deviation of R that is left at `depth`, in units of R."""
        return float(np.sqrt(self.risk))

    def as_dict(self) -> dict[str, Any]:
        """For JSON: unknown numbers are null."""
        told = asdict(self) | {"sd_left": self.sd_left, "in_words": str(self)}
        return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in told.items()}

    def __str__(self) -> str:
        return "\n".join(lines(self))
