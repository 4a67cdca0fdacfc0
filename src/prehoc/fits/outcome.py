"""What R is: the last depth, a named one, a final value, or the steps to a target.

R must not be picked by a stopping rule.  Where runs end early, R is read at a depth that nine runs
in ten reach, or is the number of steps to the target that they all pursue.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prehoc.errors import InputError
from prehoc.fits.curves import FEW, Curves
from prehoc.fits.refused import RefusedError
from prehoc.fits.rows import SetAside
from prehoc.fits.stops import Stops

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

WAYS = "auto, last, depth:N, final, to-target or to-target:VALUE"


@dataclass(frozen=True)
class Outcome:
    """R of a task's runs: `value` [N], nan for a run that has none or failed.

    `settled` [N, D]: runs that have met their target by then.  `failed` [N]: runs that count as
    failures; those without R that did not fail are left out (`aside` says how many).
    """

    kind: str
    in_words: str
    direction: str
    horizon: int
    value: Array
    failed: Flags
    curves: Curves
    aside: list[SetAside]
    depth: int | None = None
    target: float | None = None
    settled: Flags | None = None
    first_stop: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """For the verdict."""
        return {
            "kind": self.kind,
            "depth": self.depth,
            "target": self.target,
            "direction": self.direction,
            "in_words": self.in_words,
        }


def parse(asked: str) -> tuple[str, float | None]:
    """(`auto`, `last`, `depth`, `final` or `to_target`; the depth or the target), from an option's text."""
    name, _, number = asked.strip().lower().partition(":")
    name = name.replace("-", "_")
    if name in ("auto", "last", "final") and not number:
        return name, None
    if name == "to_target" and not number:
        return name, None
    try:
        value = float(number)
    except ValueError:
        value = float("nan")
    if name == "depth" and value >= 1 and value % 1 == 0:
        return name, value
    if name == "to_target" and np.isfinite(value):
        return name, value
    raise InputError(f"outcome {asked!r} is none of {WAYS}")


def choose(curves: Curves, stops: Stops, direction: str, asked: str, horizon: int | None) -> Outcome:
    """R as asked, or (`auto`) the first of these that the runs carry.

    A `final` column; rows of split target; the last depth, where all but a tenth of the runs reach
    it; steps to the target that stopped them, where nine in ten met it; the deepest depth that nine in
    ten reach.  Raises RefusedError where R would be what a stopping rule left.
    """
    kind, number = parse(asked)
    if kind == "auto":
        kind = _automatic(curves, stops)
    if kind == "final":
        return _final(curves, stops, direction, horizon)
    if kind == "to_target":
        return _to_target(curves, stops, direction, number, horizon)
    if not len(curves.depth):
        raise RefusedError(
            curves.task, "no validation metric at a depth of 1 or more", "give rows of split val"
        )
    if kind == "depth":
        return _at_depth(curves, stops, direction, int(number or 0), "as asked")
    if kind == "reached":
        return _reached(curves, stops, direction)
    return _at_depth(curves, stops, direction, horizon or int(curves.depth[-1]), "the last depth")


def _automatic(curves: Curves, stops: Stops) -> str:
    if np.isfinite(curves.final).any() or np.isfinite(curves.target).any():
        return "final"
    whole = ~curves.failed & (curves.last >= 0)
    few = stops.early.sum() <= FEW * max(whole.sum(), 1)
    if stops.kind == "target" and stops.met.sum() >= (1 - FEW) * whole.sum():
        return "to_target"
    return "last" if few else "reached"


def _lost(curves: Curves, missing: Flags, what: str, remedy: str) -> list[SetAside]:
    """Count runs without R that did not fail; more than a tenth are a selection, and refused."""
    count, n = int(missing.sum()), int((~curves.failed).sum())
    if not count:
        return []
    if count > FEW * n:
        raise RefusedError(
            curves.task, f"{count} of {n} runs have no {what}, so R of the others is a selection", remedy
        )
    return [SetAside("runs", count, f"no {what}")]


def _final(curves: Curves, stops: Stops, direction: str, horizon: int | None) -> Outcome:
    by_column = bool(np.isfinite(curves.final).any())
    if not by_column and not np.isfinite(curves.target).any():
        raise RefusedError(
            curves.task, "no run has a final value", "give a column final, or choose another --outcome"
        )
    value = curves.final if by_column else curves.target
    value = np.where(curves.failed, np.nan, value)
    what = "final value" if by_column else f"value on the target set at depth {curves.target_depth}"
    aside = _lost(
        curves, ~curves.failed & ~np.isfinite(value), what,
        "give every run its final value (a run that failed: an empty metric), or choose another --outcome",
    )  # fmt: skip
    deepest = int(curves.depth.max(initial=1))
    end = horizon or max(curves.target_depth or 0, deepest)
    cut, more = _up_to(curves, end)
    words = (
        "R is the column final."
        if by_column
        else f"R is read on the target set at depth {curves.target_depth}."
    )
    first = stops.first
    if first is not None:
        words += (
            f" Runs end early (from depth {first} on): past their end they count with their last metric."
        )
        cut = _carried(cut)
    return Outcome(
        "final", words, direction, end, value, curves.failed, cut, aside + more, first_stop=first
    )


def _carried(curves: Curves) -> Curves:
    """Each run's last metric in the depths past its end: what is known of it by then."""
    value = curves.value.copy()
    for row, end, failed in zip(value, curves.last, curves.failed, strict=True):
        if end >= 0 and not failed:
            row[end + 1 :] = row[end]
    return replace(curves, value=value)


def _up_to(curves: Curves, end: int) -> tuple[Curves, list[SetAside]]:
    beyond = curves.depth > end
    if not beyond.any():
        return curves, []
    count = int(np.isfinite(curves.value[:, beyond]).sum())
    return curves.depths(~beyond), [SetAside("values", count, f"measured beyond the horizon {end}")]


def _at_depth(curves: Curves, stops: Stops, direction: str, depth: int, why: str) -> Outcome:
    if depth not in curves.depth:
        near = sorted(curves.depth, key=lambda d: abs(int(d) - depth))[:3]
        raise RefusedError(
            curves.task,
            f"nothing was measured at depth {depth}",
            f"choose a measured one, as {', '.join(map(str, near))}",
        )
    cut, aside = _up_to(curves, depth)
    value = cut.value[:, -1]
    missing = ~curves.failed & ~np.isfinite(value)
    best = _deepest(curves)
    remedy = (
        f"choose --outcome depth:{best}, which nine runs in ten reach"
        if best
        else "give a final value of every run"
    )
    if stops.kind == "target":
        remedy += ", or --outcome to-target"
    aside += _lost(curves, missing, f"value at depth {depth}", f"{remedy}. {stops.in_words}")
    words = f"R is the metric at depth {depth} ({why})."
    if missing.any():
        words += f" {missing.sum()} runs that do not reach it are left out."
    kind = "last" if why == "the last depth" else "depth"
    return Outcome(kind, words, direction, depth, value, curves.failed, cut, aside, depth=depth)


def _deepest(curves: Curves) -> int | None:
    """The deepest depth, past the first, with a value of nine in ten of the runs that did not fail."""
    there = np.isfinite(curves.value[~curves.failed])
    full = np.flatnonzero(there.mean(axis=0) >= 1 - FEW) if len(there) else np.zeros(0, int)
    return int(curves.depth[full[-1]]) if len(full) and full[-1] > 0 else None


def _reached(curves: Curves, stops: Stops, direction: str) -> Outcome:
    depth = _deepest(curves)
    if depth is None:
        raise RefusedError(
            curves.task,
            f"R would be what stopping left. {stops.in_words} Nine in ten reach no depth past the first",
            "give every run's final performance in a column final, or log runs to a common depth",
        )
    share = float(np.isfinite(curves.value[~curves.failed][:, curves.depth == depth]).mean())
    return _at_depth(
        curves, stops, direction, depth, f"the deepest that {share:.0%} of runs reach, as runs end early"
    )


def _to_target(
    curves: Curves, stops: Stops, direction: str, target: float | None, horizon: int | None
) -> Outcome:
    found = stops.target if target is None else target
    if found is None:
        raise RefusedError(
            curves.task,
            f"no target was given, and none shows. {stops.in_words}",
            "give one: --outcome to-target:VALUE",
        )
    sign = 1.0 if direction == "higher" else -1.0
    seen = np.isfinite(curves.value)
    hit = seen & (sign * np.where(seen, curves.value, 0.0) >= sign * found)
    met = hit.any(axis=1)
    value = np.where(met, curves.depth[hit.argmax(axis=1)].astype(float), np.nan)
    whole = ~curves.failed & seen.any(axis=1)
    open_ = whole & ~met
    if open_.sum() > FEW * whole.sum():
        best = _deepest(curves)
        raise RefusedError(
            curves.task,
            f"{int(open_.sum())} of {int(whole.sum())} runs did not meet the target {found:g}, so "
            "their steps to it are not known",
            f"choose --outcome depth:{best}" if best else "choose an easier target",
        )
    end = horizon or int(np.nanmax(value, initial=1))
    late = met & (value > end)
    if late.sum() > FEW * whole.sum():
        raise RefusedError(
            curves.task,
            f"{int(late.sum())} runs meet the target after the horizon {end}",
            "choose a larger --horizon",
        )
    settled = curves.depth[None, :] >= np.where(met, value, np.inf)[:, None]
    kept = replace(curves, value=np.where(settled, np.nan, curves.value))
    cut, aside = _up_to(kept, end)
    settled = settled[:, : len(cut.depth)]
    failed = curves.failed | open_ | late
    if open_.any():
        aside.append(SetAside("runs", int(open_.sum()), "did not meet the target: counted as failures"))
    before = cut.depth[~settled[~failed].any(axis=0)]
    side = "at or above" if sign > 0 else "at or below"
    words = f"R is the number of steps to the first value {side} {found:g}"
    words += " (found in the data)." if target is None else "."
    return Outcome(
        "to_target", words, direction, end, np.where(failed, np.nan, value), failed, cut, aside,
        target=float(found), settled=settled, first_stop=int(before[-1]) if len(before) else 0,
    )  # fmt: skip
