"""Advice in plain words."""

from __future__ import annotations

from typing import Any

import numpy as np

from prehoc.fits.phrases import REGIMES


def lines(a: Any) -> list[str]:
    """The lines that an Advice prints as: what to do, what that leaves open, costs, chances and limits."""
    lines = []
    if a.nearest:
        lines.append(a.nearest["in_words"])
    head = f"{a.task} ({a.runs:,} runs, {a.metric}, {REGIMES.get(a.regime, a.regime)})"
    if a.cannot:
        return [*lines, f"{head}: nothing can be said: {a.cannot}.", *_noted(a)]
    many = f"all {a.candidates} candidates" if a.candidates > 1 else "a run"
    then = "then train the best to the end" if a.finish else "then decide"
    if a.depth == 0:
        lines.append(f"{head}: do not probe; decide at once.")
    elif a.finish and a.depth == a.horizon:
        lines.append(f"{head}: train {many} to the end, {a.horizon:,}.")
    else:
        lines.append(f"{head}: probe {many} to depth {a.depth:,} of {a.horizon:,}, {then}.")
    low, high = np.sqrt([a.risk_low, a.risk_high])
    sees = _SEES.get(a.information, a.information)
    if a.depth == 0:
        lines.append(f"  Left open: all of Var R, R's standard deviation over runs being {a.sd_left:.3g}.")
    elif not (a.finish and a.depth == a.horizon):
        lines.append(
            f"  Left open there: R with a standard deviation of {a.sd_left:.3g} ({low:.3g} to {high:.3g}), "
            f"{a.share:.0%} of Var R, to a predictor that sees {sees}."
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
