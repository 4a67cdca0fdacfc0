"""Advice in plain words."""

from __future__ import annotations

from typing import Any

import numpy as np

from prehoc.fits.known import Known
from prehoc.fits.phrases import REGIMES


def lines(a: Any) -> list[str]:
    """The lines that an Advice prints as: what to do, what that leaves open, costs, chances and limits."""
    lines = []
    if a.nearest:
        lines.append(a.nearest["in_words"])
    regime = REGIMES.get(a.regime, a.regime)
    if a.regime not in (a.regime_of_verdict, "undecided"):
        regime += " to who sees the curve"
    head = f"{a.task} ({a.runs:,} runs, {a.metric}, {regime})"
    if a.cannot:
        return [*lines, f"{head}: nothing can be said: {a.cannot}.", *_noted(a)]
    many = f"all {a.candidates} candidates" if a.candidates > 1 else "a run"
    then = "then train the best to the end" if a.finish else "then decide"
    static = a.information == "static"
    if a.depth == 0 and static and many != "a run":
        train = f"and train one to the end, {a.horizon:,}" if a.finish else "and train none yet"
        lines.append(
            f"{head}: do not probe; pick the best of {a.candidates} by the static forecast, {train}."
        )
    elif a.depth == 0 and static:
        lines.append(f"{head}: do not probe; go by what is known at the start.")
    elif a.depth == 0:
        lines.append(f"{head}: do not probe; decide at once.")
    elif a.finish and a.depth == a.horizon:
        lines.append(f"{head}: train {many} to the end, {a.horizon:,}.")
    else:
        lines.append(f"{head}: probe {many} to depth {a.depth:,} of {a.horizon:,}, {then}.")
    low, high = np.sqrt([a.risk_low, a.risk_high])
    sees = _SEES.get(a.information, a.information)
    if a.depth == 0 and not static:
        lines.append(f"  Left open: all of Var R, R's standard deviation over runs being {a.sd_left:.3g}.")
    elif not (a.finish and a.depth == a.horizon):
        lines.append(
            f"  Left open{' there' if a.depth else ''}: R with a standard deviation of {a.sd_left:.3g} "
            f"({low:.3g} to {high:.3g}), {a.share:.0%} of Var R, to a predictor that sees {sees}."
        )
    lines.append(
        f"  Cost: {a.budget.words(a.spent_steps)}; saved: {a.budget.words(a.saved_steps)}, "
        f"{a.saved_share:.0%} of training {many} to the end."
    )
    lines.append(f"  Chance to pick the worse of two runs: {_chance(a, 'wrong_pick')}.")
    if a.wrong_call is not None:
        lines.append(
            f"  Chance of a wrong go / no-go at {a.threshold:g}: {_chance(a, 'wrong_call')}, on average."
        )
    if a.short_of_best is not None:
        lines.append(
            f"  The pick falls short of the best of {a.candidates} by {a.short_of_best:.3g} on average."
        )
    return [*lines, *_noted(a)]


_SEES = {
    "static": "static information alone",
    "last": "the metric there",
    "prefix": "all metrics up to there",
    "outputs": "metric and outputs there",
    "static+prefix": "static information and all metrics up to there",
    "state": "the run's whole state",
}


def _chance(a: Any, name: str) -> str:
    """A chance with its interval; alone where that is not known, or is no wider than the shown digits."""
    ends = getattr(a, f"{name}_low"), getattr(a, f"{name}_high")
    value, low, high = (f"{x:.0%}" for x in (getattr(a, name), *ends))
    return value if not np.isfinite(ends).all() or low == high == value else f"{value} ({low} to {high})"


def _noted(a: Any) -> list[str]:
    return [f"  Note: {note}." for note in a.notes]


# of a task that is Noise-Dominant to who sees the curve: whether its verdict says otherwise
NOISE = {
    False: "the task is Noise-Dominant: most of Var R stays open however deep one probes",
    True: "to who sees the curve most of Var R stays open however deep one probes",
}


def beside(known: Known, depth: int) -> list[str]:
    """What the verdict, static information and forks say beside advice to probe to `depth`."""
    notes = []
    if known.verdict not in ("", known.regime):
        other = REGIMES.get(known.verdict, known.verdict)
        notes.append(f"the verdict says {other}, by forks: that is of all that a run's state knows")
    if known.static is not None and depth:
        share = known.static.risk / known.var_r
        notes.append(f"static information alone, before any step, leaves {share:.0%} of Var R")
    if known.forks is None or not known.var_r > 0:
        return notes
    inside = known.depth[0] <= depth <= known.depth[-1] and known.forks.at(depth) is not None
    at = depth if inside else known.forks.middle
    state = known.forks.at(at)
    if state is None or not known.depth[0] <= at <= known.depth[-1]:
        return notes
    risk, low, _ = known.at(at)
    if state.high < low:
        notes.append(
            f"by forks a run's whole state, with what it drew, leaves {state.risk / known.var_r:.0%} of "
            f"Var R at depth {at:,}, where what is seen leaves {risk / known.var_r:.0%}"
        )
    return notes
