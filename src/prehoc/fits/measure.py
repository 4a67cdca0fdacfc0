"""The tables of measured tasks, by the workflow's own functions, and what own runs change in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from prehoc import tables
from prehoc.fits.task import Options, Ready
from prehoc.risk import pipeline
from prehoc.risk.data import TaskData

NAMES = ("variance", "envelope", "c_star", "regimes", "advice")
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
    where = _not_under_few(where, [one for one in ready if any(r["what"] == "regime" for r in one.refused)])
    no_law = [one.task for one in ready if any(r["what"] == "alpha" for r in one.refused)]
    advice = pipeline.advice_table(u, data, None, None, **driven)
    return {
        "variance": u,
        "envelope": _without_alpha(fits, no_law),
        "c_star": depths,
        "regimes": where,
        "advice": advice[~advice["task"].isin(no_law)].reset_index(drop=True),
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


def _not_under_few(regimes: pd.DataFrame, few: Sequence[Ready]) -> pd.DataFrame:
    named = regimes["task"].isin([one.task for one in few])
    return regimes.assign(regime=regimes["regime"].where(~named, "undecided"))


def _without_alpha(envelope: pd.DataFrame, tasks: Sequence[str]) -> pd.DataFrame:
    """No alpha is identified where the curves spike."""
    power = envelope["task"].isin(tasks) & (envelope["model"] == "power")
    made = envelope.copy()
    made.loc[power, ["alpha", "K", "K_low", "K_high"]] = np.nan
    made.loc[power, "identified"] = False
    made.loc[power, "note"] = made.loc[power, "note"] + "; not identified: too many runs have spikes"
    return made
