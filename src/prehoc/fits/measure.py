"""The tables of measured tasks, by the workflow's own functions, and what own runs change in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from prehoc import tables
from prehoc.fits.task import Options, Ready
from prehoc.risk import pipeline
from prehoc.risk.data import TaskData
from prehoc.risk.regimes import Thresholds

NAMES = ("variance", "envelope", "c_star", "regimes", "advice")
_LATE = 0.05  # of the horizon: a first depth past it may hide a slow beginning
_PROXIES = ("residual", "run_to_run", "change")


def tables_of(
    data: dict[str, TaskData], ready: Sequence[Ready], metric: str, options: Options
) -> dict[str, pd.DataFrame]:
    """The tables NAMES of the tasks in `data`; `ready` says what each of them does not carry."""
    if not data:
        return {name: tables.empty(name) for name in NAMES}
    level = options.confidence
    information = list(dict.fromkeys([options.information, "last", "prefix"]))
    u = pipeline.variance_table(
        data, metric=metric, proxies=_PROXIES, information=information, confidence=level
    )
    u = _in_own_units(u, [one for one in ready if one.data is not None])
    horizons = {task: one.horizon for task, one in data.items()}
    common: dict[str, Any] = {"horizons": horizons, "confidence": level}
    driven = common | {"information": options.information, "driver": "residual"}
    fits = pipeline.envelope_table(u, data, **common)
    depths = pipeline.c_star_table(
        fits,
        u,
        data,
        prices=options.prices,
        gammas=options.gammas,
        cost_per_step=options.cost_per_step,
        **driven,
    )
    where = pipeline.regimes_table(
        data, None, None, u, fits, resamples=options.resamples, seed=options.seed,
        information=options.information, **common,
    )  # fmt: skip
    for one in ready:
        if one.data is not None:
            _refuse_late(one, where, u)
    unnamed = [one.task for one in ready if any("regime" in r["what"] for r in one.refused)]
    where = where.assign(regime=where["regime"].where(~where["task"].isin(unnamed), "undecided"))
    no_law = {one.task: r["why"] for one in ready for r in one.refused if r["what"] == "alpha"}
    advice = pipeline.advice_table(u, data, None, None, **driven)
    return {
        "variance": u,
        "envelope": _without_alpha(fits, no_law),
        "c_star": depths,
        "regimes": where,
        "advice": advice[~advice["task"].isin(list(no_law))].reset_index(drop=True),
    }


def _in_own_units(variance: pd.DataFrame, ready: Sequence[Ready]) -> pd.DataFrame:
    """Where R has another unit than the metric, `metric` says so; run_to_run refers to its own end."""
    made = variance.copy()
    for one in ready:
        if one.outcome is None or one.in_units_of_metric:
            continue
        here = made["task"] == one.task
        own = here & (made["proxy"] == "run_to_run")
        made.loc[here & ~own, "metric"] = "steps to target" if one.outcome.kind == "to_target" else "final"
        made = made[~(here & (made["proxy"] == "change"))]
        last = made[own.reindex(made.index)].sort_values("depth")
        if len(last):
            made.loc[last.index, "var_r"] = float(last["risk"].iloc[-1])
    return made.reset_index(drop=True)


def _refuse_late(one: Ready, regimes: pd.DataFrame, variance: pd.DataFrame) -> None:
    """Refuse to call a task Static-Sufficient whose first depth is late and has told something by then.

    What is known by a late first depth may have been known at once, or told slowly before it.
    """
    data = one.data
    if data is None or one.refused:
        return
    named = regimes[(regimes["task"] == one.task) & (regimes["reading"] == "bayes")]
    curve = variance[(variance["task"] == one.task) & (variance["proxy"] == "residual")]
    curve = curve[(curve["information"] == "last") & (curve["depth"] > 0)].sort_values("depth")
    if not (named["regime"] == "static_sufficient").any() or curve.empty or not data.var_r > 0:
        return
    first, told = int(curve["depth"].iloc[0]), 1 - float(curve["risk"].iloc[0]) / data.var_r
    if first > _LATE * data.horizon and told > Thresholds().q:
        early = max(round(Thresholds().shallow * data.horizon), 1)
        one.refuse(
            "regime",
            f"the first depth, {first:,}, lies at {first / data.horizon:.0%} of the horizon: what is "
            "known by then may have been known at once or told slowly",
            f"measure from depth {early:,} on",
        )


def _without_alpha(envelope: pd.DataFrame, why: Mapping[str, str]) -> pd.DataFrame:
    """No alpha is identified in tasks whose alpha is refused, `why` by task."""
    power = envelope["task"].isin(list(why)) & (envelope["model"] == "power")
    made = envelope.copy()
    made.loc[power, ["alpha", "K", "K_low", "K_high"]] = np.nan
    made.loc[power, "identified"] = False
    made.loc[power, "note"] += "; not identified: " + made.loc[power, "task"].map(dict(why))
    return made
