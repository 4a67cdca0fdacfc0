"""What a verdict on a person's own runs says beyond the tables: law, saving, and what to run next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from prehoc.risk.data import TaskData
from prehoc.risk.phase import last_open
from prehoc.risk.rivals import akaike
from prehoc.risk.stopping import GUARD_LEVEL
from prehoc.risk.verdict import clean

LAWS = {
    "power": "a power law",
    "exponential": "an exponential",
    "flat": "a flat line",
    "late": "a late reveal (a falling step, no smooth law)",
}


def law(envelope: pd.DataFrame, task: str, proxy: str, information: str) -> dict[str, Any]:
    """Which decay law wins by AIC among power, exponential, flat and late; whether it fits."""
    rows = envelope[(envelope["task"] == task) & (envelope["proxy"] == proxy)]
    rows = rows[(rows["information"] == information) & (rows["model"] != "loglog")]
    rows = rows[rows["delta_aic"].notna()]
    if rows.empty:
        why = "No decay law was fitted: it takes 4 depths with a risk above zero before the horizon."
        return {"winner": None, "weight": None, "fits": None, "weights": {}, "in_words": why}
    weights = dict(zip(rows["model"], akaike(rows["delta_aic"].to_numpy(float)).tolist(), strict=True))
    winner = max(weights, key=lambda name: weights[name])
    p = float(rows.loc[rows["model"] == winner, "lack_of_fit_p"].iloc[0])
    fits = bool(not p < GUARD_LEVEL)
    words = f"Of the decay laws {LAWS[winner]} wins (AIC weight {weights[winner]:.2f})"
    if winner == "flat":
        words = f"No decay is seen: a flat line fits best (AIC weight {weights[winner]:.2f})"
    if not fits:
        words += f", though it does not fit either (lack of fit p = {p:.1g})"
    return {
        "winner": winner,
        "weight": weights[winner],
        "fits": fits,
        "weights": weights,
        "in_words": words + ".",
    }


def savings(
    stops: list[dict[str, Any]],
    c_star: pd.DataFrame,
    data: TaskData,
    at_end: float | None,
) -> list[dict[str, Any]]:
    """What stopping at c* saves against full training, at each price of the verdict's `c_star`.

    Steps a run, their share of T, the risk that is left there and at T as shares of Var R; and where R
    is the number of steps to a target, the share of runs that have not met it at c*.
    """
    horizon, var_r = data.horizon, data.var_r
    rows = c_star[(c_star["task"] == data.task) & c_star["recommended"]]
    made = []
    for stop in stops:
        if stop["c_star"] is None:
            continue
        row = rows.iloc[(rows["price"] - stop["price"]).abs().argmin()]
        c = float(stop["c_star"])
        saved, whole = _saved(data, c)
        left = clean((float(row["total_risk"]) - float(row["gamma"] * row["lambda"]) * c) / var_r)
        left = None if left is None else max(left, 0.0)
        words = f"At price {stop['price']:.3g}, stop at {c:,.0f} of {horizon:,} steps ({c / horizon:.0%})"
        words = f"At price {stop['price']:.3g}, do not probe" if c <= 0 else words
        words = f"At price {stop['price']:.3g}, train to the end" if c >= horizon else words
        words += f": saves {saved:,.0f} steps a run ({saved / whole:.0%})"
        if left is not None:
            words += f" and leaves {left:.0%} of Var R open"
            words += f", where full training leaves {at_end:.0%}" if at_end is not None else ""
        made.append(
            {
                key: stop[key]
                for key in ("price", "gamma", "lambda", "c_star", "low", "high", "share_of_horizon")
            }
            | {
                "steps_saved": saved,
                "share_saved": saved / whole,
                "risk_at_c_star": left,
                "risk_at_horizon": at_end,
                "runs_open": open_share(data, c),
                "in_words": words + ".",
            }
        )
    return made


def further(advice: list[dict[str, Any]], runs: int, few: int) -> dict[str, Any]:
    """How many seeds, and at which depths, to run next; from the rows of the table `advice`."""
    chosen = [row for row in advice if row["recommended"]]
    if not chosen:
        why = advice[0]["note"] if advice else "nothing was fitted"
        more = max(few - runs, 0) or None
        words = f"No number of seeds is named for alpha: {why}."
        return {"seeds": more, "depths": [], "in_words": words}
    one = chosen[0]
    depths = [int(d) for d in str(one["depths"]).split()]
    seeds = int(np.ceil(one["further_runs"] or 0))
    goal = (
        "to find alpha"
        if one["alpha_width_then"] is None or "not identified" in one["note"]
        else "to halve alpha's interval"
    )
    seeds_told = f"{seeds:,} further seeds" if seeds else "no further seeds"
    words = f"Next, {goal}: {seeds_told}, measured at depths {', '.join(f'{d:,}' for d in depths)}"
    steps = one["steps"]
    words += f" ({steps:,.0f} steps)." if steps else "."
    return {"seeds": seeds, "depths": depths, "in_words": words}


def _saved(data: TaskData, c: float) -> tuple[float, float]:
    """Steps that stopping at c saves a run on average, and what a whole run takes.

    Where R is the number of steps to a target, a run takes R steps, and one that is done saves none.
    """
    if data.settled is None:
        return data.horizon - c, float(data.horizon)
    return float(np.maximum(data.outcome - c, 0).mean()), float(data.outcome.mean())


def open_share(data: TaskData, depth: float) -> float | None:
    """The share of runs that have not met their target at `depth`; None where R is no number of steps."""
    if data.settled is None:
        return None
    return float((data.outcome > depth).mean())


def open_at_end(place: Mapping[str, Any] | None) -> float | None:
    """L(T) as a share of Var R, from the driving curve's row of regimes."""
    return None if place is None else clean(place["iota"])


def while_open(place: Mapping[str, Any] | None, data: TaskData) -> dict[str, Any]:
    """What the curves tell as long as nine runs in ten are open: to which depth, and risk / Var R there."""
    last = last_open(data)
    share = None if place is None or last is None else clean(place["iota"])
    if last is None or share is None:
        return {
            "open_until": None,
            "risk_until_then": None,
            "in_words": "No depth comes before most runs are done.",
        }
    depth = int(data.depth[last])
    words = f"As long as nine runs in ten are going (to depth {depth:,}), {share:.0%} of Var R is open."
    return {"open_until": depth, "risk_until_then": share, "in_words": words}
