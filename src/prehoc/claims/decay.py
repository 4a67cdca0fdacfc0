"""E1: the decay of uncertainty is linear in log-log, and its slope is the task's own alpha."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from prehoc.claims.evidence import READINGS, Evidence, Judge, cell, named
from prehoc.claims.intervals import share

RIVALS = ["exponential", "flat", "late"]


def judged(e: Evidence, rule: Mapping[str, Any], judge: Judge, confidence: float) -> list[dict[str, Any]]:
    """The rows of E1: by both readings whether a power law holds, from where, with a known slope.

    `rule`: level (of the lack-of-fit test), share (of tasks).  A task whose curve could not be fitted
    counts in none; the note says how many those are.
    """
    rows = []
    for reading in READINGS:
        fits = e.envelopes(reading)
        lost = len(e.tasks) - len(fits)
        few = f"{lost} without a fit" if lost else ""
        tests = {
            "power_law": {t: holds(f, rule["level"]) for t, f in fits.items()},
            "slope": {t: cell(f, "power", "identified") > 0 for t, f in fits.items()},
            "no_transient": {t: _from_the_start(e, t, reading, f) for t, f in fits.items()},
        }
        for name, met in tests.items():
            not_met = [t for t, yes in met.items() if not yes]
            against = f"not in {named(not_met)}" if not_met else ""
            found = share(sum(met.values()), len(met), confidence)
            note = "; ".join(filter(None, [against, few]))
            rows.append(judge.row(f"{name}:{reading}", rule["share"], found, len(met), note=note))
    rows.append(_same_slope(e, rule["share"], judge, confidence))
    return rows


def holds(fit: pd.DataFrame, level: float) -> bool:
    """Whether the power law is not refused over all depths and no rival has a lower AIC.

    The lack of fit cannot be tested (nan) where a curve has no more depths than parameters: not refused.
    """
    least = min((cell(fit, m, "delta_aic") for m in RIVALS if m in fit.index), default=0.0)
    refused = cell(fit, "power", "lack_of_fit_p") < level
    return not refused and cell(fit, "power", "delta_aic") <= least


def _from_the_start(e: Evidence, task: str, reading: str, fit: pd.DataFrame) -> bool:
    """Whether the regular regime begins at the first measured depth; False where there is none."""
    return cell(fit, "power", "onset") <= e.risk(task, reading)["depth"].min()


def _same_slope(e: Evidence, threshold: float, judge: Judge, confidence: float) -> dict[str, Any]:
    """Whether the paper's proxy falls with the slope of the risk: alpha's intervals meet."""
    both = {reading: e.envelopes(reading) for reading in READINGS}
    met = {}
    for task in e.tasks:
        one = [both[r][task] for r in READINGS if task in both[r]]
        if len(one) == 2 and all(cell(f, "power", "identified") > 0 for f in one):
            low = max(cell(f, "power", "alpha_low") for f in one)
            met[task] = low <= min(cell(f, "power", "alpha_high") for f in one)
    apart = [t for t, yes in met.items() if not yes]
    note = f"of {len(e.tasks)} tasks {len(met)} have both slopes identified"
    note += f"; apart in {named(apart)}" if apart else ""
    found = share(int(np.sum(list(met.values()))), len(met), confidence)
    return judge.row("same_slope", threshold, found, len(met), note=note)
