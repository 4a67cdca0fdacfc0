"""E3: the optimal depth depends on the regime: shallow if Static-Sufficient, deep if Dynamic-Critical."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from prehoc.claims.evidence import READINGS, Evidence, Judge
from prehoc.claims.intervals import difference, ratio, spread

# Measured depths are a factor of two apart as a rule: sd of the log of a depth known to that.
GRID_SD = math.log(2) / math.sqrt(12)


def judged(
    e: Evidence, rule: Mapping[str, Any], judge: Judge, confidence: float, price: float, per_regime: int
) -> list[dict[str, Any]]:
    """The rows of E3, by both readings at `price`: the ratio of c*/T, and in how many pairs it is ordered.

    `rule`: ratio, pairs.  The ratio is of geometric means over tasks, c* of 0 counted as one step, with
    Welch's interval: it speaks of further tasks.  The pairs speak of those at hand, by c*'s own intervals.
    """
    rows = []
    for reading in READINGS:
        stops, regimes = e.stops(reading, price), e.regime_of(reading)
        kinds = np.array([regimes.get(str(t), "undecided") for t in stops.index], dtype=object)
        deep, flat = stops[kinds == "dynamic_critical"], stops[kinds == "static_sufficient"]
        note = f"{len(deep)} dynamic-critical, {len(flat)} static-sufficient"
        if stops.empty:
            note = f"no c* at price {price:g}; is it one of decide.prices?"
        found = ratio(difference(*_logs(deep, confidence), *_logs(flat, confidence), confidence))
        fewest = min(len(deep), len(flat))
        rows.append(
            judge.row(
                f"depth_ratio:{reading}", rule["ratio"], found, len(deep) + len(flat), note=note, least=0
            )
        )
        if fewest < per_regime:
            rows[-1]["verdict"] = "undecided"
            rows[-1]["note"] = f"at least {per_regime} of each are needed: {note}"
        rows.append(_pairs(reading, deep, flat, rule["pairs"], judge))
    return rows


def _logs(stops: pd.DataFrame, confidence: float) -> tuple[np.ndarray, np.ndarray]:
    """log(c*/T) of each task and its standard error."""
    low, high, at = (np.log(np.maximum(stops[c].to_numpy(float), 1.0)) for c in ("low", "high", "c_star"))
    own = np.hypot(spread(low, high, confidence), GRID_SD)
    return at - np.log(stops["horizon"].to_numpy(float)), own


def _pairs(
    reading: str, deep: pd.DataFrame, flat: pd.DataFrame, threshold: float, judge: Judge
) -> dict[str, Any]:
    a = {c: (deep[c] / deep["horizon"]).to_numpy(float)[:, None] for c in ("c_star", "low", "high")}
    b = {c: (flat[c] / flat["horizon"]).to_numpy(float)[None, :] for c in ("c_star", "low", "high")}
    count = len(deep) * len(flat)
    null = (math.nan, math.nan, math.nan)
    found = null
    if count:
        found = (
            float(np.mean(a["c_star"] > b["c_star"])),
            float(np.mean(a["low"] > b["high"])),
            float(1 - np.mean(a["high"] < b["low"])),
        )
    tasks = len(deep) + len(flat) if count else 0
    return judge.row(
        f"deeper_in_pairs:{reading}",
        threshold,
        found,
        tasks,
        note=f"{count} pairs",
        what="tasks of both regimes",
    )
