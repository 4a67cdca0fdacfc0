"""Why runs end where they do: at a target, out of patience, aborted, or with their last value repeated."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prehoc.fits.curves import Curves
from prehoc.fits.rows import SetAside

Array = NDArray[np.float64]
Index = NDArray[np.int64]
Flags = NDArray[np.bool_]

_SURE = 0.95  # of the stopped runs that one target must explain
_LEAST = 5  # stopped runs, to name a rule


@dataclass(frozen=True)
class Stops:
    """How a task's runs end.

    `kind`: none, target, patience or aborted; `carried`: the last value was repeated to the end (the
    repeats are taken out of the curves).  `target` lies in `span`; `early` [N] runs that end before
    the last depth and did not fail; `met` [N] those whose last value meets the target.
    """

    kind: str
    in_words: str
    early: Flags
    met: Flags
    carried: bool = False
    target: float | None = None
    span: tuple[float, float] | None = None
    patience: int | None = None
    first: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """For the verdict; `kind` is carried_forward where values were repeated."""
        return {
            "kind": "carried_forward" if self.carried else self.kind,
            "ends": self.kind,
            "in_words": self.in_words,
            "runs": int(self.early.sum()),
            "target": self.target,
            "first_stop": self.first,
        }


def find_stops(curves: Curves, direction: str) -> tuple[Curves, Stops, list[SetAside]]:
    """The curves without repeated last values, how their runs end, and what was set aside."""
    cut, repeats = _without_repeats(curves, direction)
    aside = []
    if repeats:
        why = "a run's last value repeated to the end (last value carried forward): not measured there"
        aside.append(SetAside("values", repeats, why))
    found = _why(cut, direction)
    if repeats:
        words = f"After a run ends its last value is repeated in the log ({repeats} values, taken out). "
        found = replace(found, carried=True, in_words=words + found.in_words)
    return cut, found, aside


def _why(curves: Curves, direction: str) -> Stops:
    last = curves.last
    whole = ~curves.failed & (last >= 0)
    end = int(last[whole].max(initial=-1))
    early = whole & (last < end)
    none = np.zeros(len(last), bool)
    if not early.any():
        return Stops("none", "Every run that did not fail was measured to the last depth.", early, none)
    first = int(curves.depth[last[early].min()])
    n, count = int(whole.sum()), int(early.sum())
    told = f"{count} of {n} runs end before depth {curves.depth[end]:,}, the first at {first:,}"
    found = _target(curves, direction, whole, early)
    if found is not None:
        value, span = found
        sign = 1.0 if direction == "higher" else -1.0
        met = whole & (_reach(curves, direction)[0] >= sign * value)
        side = "at or above" if direction == "higher" else "at or below"
        words = f"{told}: they stop at the first value {side} a target of about {value:g}."
        return Stops("target", words, early, met, target=value, span=span, first=first)
    wait = _patience(curves, direction, early)
    if wait is not None:
        words = f"{told}: they stop {wait} evaluation{'s' * (wait > 1)} after their best (early stopping)."
        return Stops("patience", words, early, none, patience=wait, first=first)
    words = f"{told}, at no common target: they were aborted, or are still running."
    return Stops("aborted", words, early, none, first=first)


def _reach(curves: Curves, direction: str) -> tuple[Array, Array]:
    """Each run's last value and the best one before it, larger being better  [N], nan where unknown."""
    signed = curves.value if direction == "higher" else -curves.value
    last = np.full(len(signed), np.nan)
    before = np.full(len(signed), -np.inf, dtype=float)
    for i, (row, end) in enumerate(zip(signed, curves.last, strict=True)):
        if end >= 0:
            last[i] = row[end]
            earlier = row[:end][np.isfinite(row[:end])]
            before[i] = earlier.max() if earlier.size else -np.inf
    return last, before


def _target(
    curves: Curves, direction: str, whole: Flags, early: Flags
) -> tuple[float, tuple[float, float]] | None:
    """The target that the stopped runs' last values meet and no earlier value does, and where it lies.

    Each stopped run says before < target <= last; the target is where most of these overlap, and
    must explain nearly all.  Runs that go on to the end may have met it there or not, but not before.
    """
    last, before = _reach(curves, direction)
    if early.sum() < _LEAST:
        return None
    low, high = before[early], last[early]
    tries = np.unique(high)
    held = ((low[:, None] < tries) & (tries <= high[:, None])).sum(axis=0)
    best = int(held.max(initial=0))
    if best < max(_SURE * early.sum(), _LEAST):
        return None
    value = tries[int(np.flatnonzero(held == best)[-1])]
    inside = (low < value) & (value <= high)
    floor = float(low[inside].max())
    if np.mean(before[whole & ~early] < value) < _SURE:
        return None  # the others went past it and on: no target stopped these
    sign = 1.0 if direction == "higher" else -1.0
    span = (sign * floor, sign * float(value)) if np.isfinite(floor) else (sign * float(value),) * 2
    return _roundest(*span), (span[0], span[1])


def _roundest(past: float, met: float) -> float:
    """The number with the fewest digits that `met` reaches and `past` does not; `met` if there is none."""
    for digits in range(1, 9):
        tick = round(met, digits)
        for step in (0, 1, -1):
            number = float(round(tick + step * 10.0**-digits, digits))
            if min(past, met) <= number <= max(past, met) and number != past:
                return number
    return met


def _patience(curves: Curves, direction: str, early: Flags) -> int | None:
    """After how many evaluations without a better one the stopped runs end; None if no one number."""
    if early.sum() < _LEAST:
        return None
    signed = curves.value if direction == "higher" else -curves.value
    waits = []
    for row in signed[early]:
        seen = row[np.isfinite(row)]
        waits.append(len(seen) - 1 - int(np.argmax(seen)))
    counts = np.bincount(waits)
    wait = int(np.argmax(counts))
    return wait if wait > 0 and counts[wait] >= 0.9 * len(waits) else None


def _without_repeats(curves: Curves, direction: str) -> tuple[Curves, int]:
    """Take out the tails in which a run's last value is merely repeated, if that is what they are.

    A tail is the stretch of equal values at a run's end.  Tails are repeats of a finished run, and no
    plateau, if their starts differ, and a target explains them: each is the first value to meet it.  A
    metric in many digits does not repeat by chance either: there, tails of 3 and more in a twentieth
    of the runs will do, if their values differ (a plateau at a bound is one value).
    """
    last = curves.last
    start = np.array(last)
    for i, row in enumerate(curves.value):
        while start[i] > 0 and row[start[i] - 1] == row[last[i]]:
            start[i] -= 1
    tail = (last - start > 0) & ~curves.failed
    if tail.sum() < _LEAST or len(np.unique(start[tail])) < 2:
        return curves, 0
    values = curves.value[tail, start[tail]]
    if len(np.unique(values)) < max(3, 0.1 * len(values)):
        return curves, 0
    cut = curves.value.copy()
    for k in np.flatnonzero(tail):
        cut[k, start[k] + 1 :] = np.nan
    trimmed = replace(curves, value=cut)
    long = tail & (last - start >= 2)
    fine = np.mean([len(repr(float(v)).rstrip("0")) >= 8 for v in values]) > 0.5
    by_digits = fine and long.sum() >= max(_LEAST, 0.05 * len(last))
    whole = ~curves.failed & (last >= 0)
    by_target = _target(trimmed, direction, whole, tail) is not None
    if not (by_digits or by_target):
        return curves, 0
    return trimmed, int((last - start)[tail].sum())
