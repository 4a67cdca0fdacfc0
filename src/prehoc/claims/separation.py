"""E2: tasks fall in three regimes on the plane of intrinsic share and alpha."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prehoc.claims.evidence import READINGS, Evidence, Judge, named
from prehoc.claims.intervals import pair_share, share
from prehoc.tables.columns import REGIMES


def judged(
    e: Evidence, rule: Mapping[str, Any], judge: Judge, confidence: float, resamples: int, seed: int
) -> list[dict[str, Any]]:
    """The rows of E2: regimes told, all there, tasks apart on the plane, readings that agree and are right.

    `rule`: probability, told, regimes, separated, agree, right.
    """
    rows = []
    for reading in READINGS:
        rows.append(_told(e, reading, rule, judge, confidence))
        rows.append(_all_there(e, reading, rule, judge))
        rows.append(_separated(e, reading, rule["separated"], judge, confidence, resamples, seed))
        if e.truth:
            rows.append(_right(e, reading, rule["right"], judge, confidence))
    rows.append(_agree(e, rule["agree"], judge, confidence))
    return rows


def _told(
    e: Evidence, reading: str, rule: Mapping[str, Any], judge: Judge, confidence: float
) -> dict[str, Any]:
    places = e.places(reading)
    told = (places["p"] >= rule["probability"]) & (places["regime"] != "undecided")
    count = Counter(places.loc[told, "regime"])
    note = ", ".join(f"{count[name]} {name.replace('_', '-')}" for name in REGIMES)
    found = share(int(told.sum()), len(places), confidence)
    return judge.row(f"told:{reading}", rule["told"], found, len(places), note=note)


def _all_there(e: Evidence, reading: str, rule: Mapping[str, Any], judge: Judge) -> dict[str, Any]:
    """How many regimes have a task.

    Low: those in which one is told; high: those of which some task could be, its probability being
    above what telling another leaves.
    """
    places, p = e.places(reading), rule["probability"]
    chances = {name: places[f"p_{name}"] for name in REGIMES}
    low = sum(bool((x >= p).any()) for x in chances.values())
    high = sum(bool((x > 1 - p).any()) for x in chances.values())
    value = sum(bool((places["regime"] == name).any()) for name in REGIMES)
    none = [name.replace("_", "-") for name in REGIMES if not (places["regime"] == name).any()]
    found = (float(value), float(min(low, value)), float(max(high, value)))
    note = f"none is {', '.join(none)}" if none and len(places) else ""
    return judge.row(f"all_there:{reading}", rule["regimes"], found, len(places), note=note)


def _separated(
    e: Evidence, reading: str, threshold: float, judge: Judge, confidence: float, resamples: int, seed: int
) -> dict[str, Any]:
    """Share of pairs of tasks of two regimes whose boxes, iota's interval by alpha's, do not overlap."""
    places, fits = e.places(reading), e.envelopes(reading)
    places = places[(places["regime"] != "undecided") & np.isfinite(places["iota_low"])]
    tasks = [t for t in places.index if t in fits]
    alpha = np.array([fits[t].loc["power", ["alpha_low", "alpha_high"]].to_numpy(float) for t in tasks])
    iota = places.loc[tasks, ["iota_low", "iota_high"]].to_numpy(float)
    regime = places.loc[tasks, "regime"].to_numpy(str)
    if not tasks:
        return judge.missing(f"separated:{reading}", threshold, "no task has a place on the plane")
    differ = regime[:, None] != regime[None, :]
    apart = _disjoint(iota) | _disjoint(alpha)
    found = pair_share(apart, differ, confidence, resamples, seed)
    by_iota = pair_share(_disjoint(iota), differ, confidence, resamples, seed)[0]
    by_alpha = pair_share(_disjoint(alpha), differ, confidence, resamples, seed)[0]
    pairs = int(differ.sum()) // 2
    note = f"{pairs} pairs of two regimes"
    note += f"; apart by iota {by_iota:.2f}, by alpha {by_alpha:.2f}" if pairs else ""
    return judge.row(f"separated:{reading}", threshold, found, len(tasks), note=note)


def _disjoint(box: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which pairs of intervals [k, 2] have no point in common  [k, k]."""
    low, high = box[:, 0], box[:, 1]
    return np.asarray((low[:, None] > high[None, :]) | (low[None, :] > high[:, None]))


def _agree(e: Evidence, threshold: float, judge: Judge, confidence: float) -> dict[str, Any]:
    one, other = (e.regime_of(reading) for reading in READINGS)
    tasks = [t for t in e.tasks if "undecided" not in (one.get(t, "undecided"), other.get(t, "undecided"))]
    apart = [t for t in tasks if one[t] != other[t]]
    found = share(len(tasks) - len(apart), len(tasks), confidence)
    note = f"apart in {named(apart)}" if apart else ""
    return judge.row("readings_agree", threshold, found, len(tasks), note=note)


def _right(e: Evidence, reading: str, threshold: float, judge: Judge, confidence: float) -> dict[str, Any]:
    regimes = e.regime_of(reading)
    tasks = [t for t in e.tasks if t in e.truth and t in regimes]
    wrong = [t for t in tasks if regimes[t] != e.truth[t]]
    found = share(len(tasks) - len(wrong), len(tasks), confidence)
    note = f"not in {named(wrong)}" if wrong else ""
    return judge.row(f"right:{reading}", threshold, found, len(tasks), note=note)
