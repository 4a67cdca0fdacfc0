"""The table `advice`: for each task's driving curve, what would halve alpha's interval."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from prehoc import tables
from prehoc.risk.advice import Advice, Present, advise
from prehoc.risk.curves import noiseless_forks
from prehoc.risk.data import TaskData
from prehoc.risk.decide import driven_curves
from prehoc.risk.envelope import MIN_DEPTHS
from prehoc.risk.measured import Horizons, Runs, fit_curves, load
from prehoc.risk.onset import Onset
from prehoc.risk.outputs import Outputs


def advice_table(
    variance: pd.DataFrame,
    runs: Runs,
    forks: pd.DataFrame | None = None,
    draws: pd.DataFrame | None = None,
    *,
    horizons: Horizons = None,
    outputs: Outputs | None = None,
    information: str = "last",
    driver: str = "auto",
    shift: float = 0.0,
    confidence: float = 0.95,
    level: float = 0.01,
    new_depths: int = 2,
    grid: int = 40,
) -> pd.DataFrame:
    """The table `advice`: further seeds, further depths, or both, for each task's driving curve.

    Up to `new_depths` depths of a log grid of `grid` places are added.  Where nothing can be said
    (the risk is constant or does not fall, or no power law fits), one row says why, without numbers.
    """
    variance = tables.check("variance", variance, "variance")
    data = load(variance, runs, forks, draws, horizons, outputs)
    rows: list[dict[str, Any]] = []
    for measured, proxy, known, here in driven_curves(variance, data, information, driver):
        task = measured.task
        fits = fit_curves(
            here, {task: measured}, {task: measured.horizon},
            shift=shift, confidence=confidence, level=level,
        )  # fmt: skip
        present = _present(measured, proxy, int(here["n"].max()))
        base = {"task": task, "proxy": proxy, "information": known}
        for one in _options(fits[task, proxy, known], here, present, measured, new_depths, grid):
            rows.append(
                base
                | {
                    "option": one.option,
                    "depths": " ".join(map(str, one.depths)),
                    "further_runs": one.further_runs,
                    "steps": one.steps,
                    "alpha_width_now": one.width_now,
                    "alpha_width_then": one.width_then,
                    "recommended": one.recommended,
                    "note": one.note,
                }
            )
    if not rows:
        return tables.empty("advice")
    return tables.check("advice", pd.DataFrame(rows, columns=list(tables.SCHEMAS["advice"].columns)))


def _present(data: TaskData, proxy: str, n: int) -> Present:
    if proxy != "fork":
        return Present(n, ends=data.target)
    per = max(f.shape[1] for f in data.forks)
    return Present(n, per, max(data.runs - n, 0), not noiseless_forks(data))


def _options(
    found: Onset | str, here: pd.DataFrame, present: Present, data: TaskData, new: int, grid: int
) -> list[Advice]:
    nan = float("nan")
    seen = tuple(sorted(int(c) for c in here["depth"]))
    if isinstance(found, str):
        if (here["risk"] <= 0).all():
            return [Advice("seeds", seen, nan, nan, nan, nan, False, f"nothing to learn: {found}")]
        spread = np.round(
            np.geomspace(1, data.horizon if data.target else data.horizon / 2, MIN_DEPTHS + 2)
        )
        depths = tuple(sorted({*seen, *(int(c) for c in spread)}))
        note = f"{found}: measure these first, on the {present.runs} runs there are"
        return [Advice("depths", depths, 0.0, nan, nan, nan, True, note)]
    if not np.isfinite(found.depth):
        p = found.whole.lack_of_fit_p
        note = (
            f"no power law fits (lack of fit p = {p:.2g}), so there is no alpha to find: c* is read off "
            "the measured curve, and more depths where that falls say it more finely"
        )
        width = found.fit.alpha_high - found.fit.alpha_low
        return [Advice("seeds", seen, nan, nan, width, nan, False, note)]
    return advise(found.fit, present, new_depths=new, grid=grid)


def advice_words(table: pd.DataFrame, task: str) -> str:
    """One sentence on what to measure next; empty for a task without rows."""
    rows = table[table["task"] == task]
    if rows.empty:
        return ""
    chosen = rows[rows["recommended"]]
    if chosen.empty:
        return f"No number of seeds can be named for alpha: {rows['note'].iloc[0]}."
    one = chosen.iloc[0]
    what = "trunks" if one["proxy"] == "fork" else "runs"
    if not np.isfinite(one["alpha_width_then"]):
        return f"To find alpha, measure at depths {one['depths']}."
    goal = "find alpha" if "not identified" in one["note"] else "halve the interval of alpha"
    further = f"{one['further_runs']:.0f} further {what}" if one["further_runs"] else f"no further {what}"
    depths = "the same depths" if one["option"] == "seeds" else f"depths {one['depths']}"
    return f"To {goal}: {further} at {depths} ({one['steps']:,.0f} steps)."
