"""The table `c_star`: where to stop, for every measured curve, rule and price."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from prehoc import tables
from prehoc.errors import InputError
from prehoc.risk import stopping
from prehoc.risk.data import TaskData
from prehoc.risk.depth_interval import Drift, drift_of
from prehoc.risk.envelope import MIN_DEPTHS, EnvelopeFit
from prehoc.risk.measured import KEY, Horizons, Key, Runs, as_table, fit_curves, load, var_r_of
from prehoc.risk.onset import Onset
from prehoc.risk.outputs import Outputs


def driving_curve(
    variance: pd.DataFrame, task: str, information: str = "last", driver: str = "auto"
) -> tuple[str, str, str]:
    """(proxy, information, why) of the curve that drives c* and the verdict of a task.

    Forks where they were measured at four depths or more, else the residual under `information`
    (or, where that was not measured, what was); never run_to_run, which is no risk of a
    prediction of R.  `driver` "residual" passes forks over: they keep a run's hidden draws, so
    where a population has some, they know what nobody can.
    Raises InputError where neither was measured.
    """
    rows = variance[(variance["task"] == task) & (variance["depth"] > 0)]
    forked = int((rows["proxy"] == "fork").sum())
    if forked >= MIN_DEPTHS and driver != "residual":
        return "fork", "state", f"forks were measured at {forked} depths"
    why = f"forks were measured at {forked} depths, under {MIN_DEPTHS}"
    if driver == "residual":
        why = "forks keep what a run drew and hides, which no predictor knows"
    seen = set(rows.loc[rows["proxy"] == "residual", "information"])
    for name in (information, "last", "prefix", "static+prefix"):
        if name in seen:
            return "residual", name, why
    if forked:
        return "fork", "state", "no residual was measured"
    raise InputError(f"task {task!r}: neither residual nor fork was measured at a depth")


def driven_curves(
    variance: pd.DataFrame, data: Mapping[str, TaskData], information: str, driver: str
) -> Iterator[tuple[TaskData, str, str, pd.DataFrame]]:
    """(data, proxy, information, rows of `variance`) of each task's driving curve, by name.

    Tasks without one are left out.
    """
    for task, measured in sorted(data.items()):
        try:
            proxy, known, _ = driving_curve(variance, task, information, driver)
        except InputError:
            continue
        here = variance[(variance["task"] == task) & (variance["proxy"] == proxy)]
        yield measured, proxy, known, here[here["information"] == known]


def c_star_table(
    envelope: pd.DataFrame,
    variance: pd.DataFrame,
    runs: Runs | None = None,
    forks: pd.DataFrame | None = None,
    draws: pd.DataFrame | None = None,
    *,
    prices: Sequence[float] = (),
    gammas: Sequence[float] = (),
    cost_per_step: float | Mapping[str, float] = 1.0,
    horizons: Horizons = None,
    outputs: Outputs | None = None,
    information: str = "last",
    driver: str = "auto",
    shift: float = 0.0,
    confidence: float = 0.95,
    level: float = 0.01,
) -> pd.DataFrame:
    """The table `c_star`: where to stop, by four rules, at each price w or absolute gamma.

    `cost_per_step` is lambda (one for all tasks or by task).  A price is gamma lambda T / Var R.
    Fits are made again from `variance` and, for the covariance between depths, from the runs and
    forks (independent depths without them); horizons are taken from `envelope` if not given.
    `recommended` marks the guarded rule of the driving curve, one row a task and price.
    Raises InputError for prices, gammas or costs that are not positive, or none of them.
    """
    variance = tables.check("variance", variance, "variance")
    envelope = tables.check("envelope", envelope, "envelope")
    if not len(prices) and not len(gammas):
        raise InputError("no price and no gamma is given; give at least one")
    for value in (*prices, *gammas):
        if not (value > 0 and np.isfinite(value)):
            raise InputError(f"a price or gamma must be a positive number, not {value}")
    if horizons is None:
        horizons = {str(t): int(h) for t, h in zip(envelope["task"], envelope["horizon"], strict=True)}
    data = load(variance, runs, forks, draws, horizons, outputs)
    fits = fit_curves(variance, data, horizons, shift=shift, confidence=confidence, level=level)
    rows: list[dict[str, Any]] = []
    for key, found in fits.items():
        here = variance[variance["task"] == key[0]]
        var_r = var_r_of(variance, key)
        if isinstance(found, str) or not var_r > 0:
            continue
        drives = _drives(here, key, information, driver)
        cost = _cost(cost_per_step, key[0])
        none = here[here["information"] == "none"]
        se = float(none["se"].iloc[0]) if len(none) else 0.0
        steps = data[key[0]].calibration_steps if key[0] in data else float("nan")
        horizon = found.whole.horizon
        rates = {stopping.price_to_rate(float(w), var_r, horizon): True for w in prices}
        rates = {float(g) * cost: False for g in gammas} | rates
        for rate, priced in rates.items():
            for decision in _decisions(key[1], found, rate, var_r, se, level, priced):
                rows.append(
                    dict(zip(KEY, key, strict=True))
                    | {
                        "rule": decision.rule,
                        "gamma": rate / cost,
                        "lambda": cost,
                        "price": float(f"{rate * horizon / var_r:.12g}"),
                        "c_star": decision.c_star,
                        "low": decision.low,
                        "high": decision.high,
                        "corner": decision.corner,
                        "total_risk": decision.total_risk,
                        "break_even_runs": stopping.break_even_runs(
                            steps, decision, float(found.whole.mu(horizon)), rate, horizon
                        ),
                        "recommended": drives and decision.rule == "guarded",
                    }
                )
    return as_table("c_star", rows, ["task", "proxy", "information", "price"])


def _drives(here: pd.DataFrame, key: Key, information: str, driver: str) -> bool:
    try:
        return driving_curve(here, key[0], information, driver)[:2] == key[1:]
    except InputError:
        return False


def _cost(cost_per_step: float | Mapping[str, float], task: str) -> float:
    cost = cost_per_step if isinstance(cost_per_step, int | float) else cost_per_step.get(task, 0.0)
    if not (cost > 0 and np.isfinite(cost)):
        raise InputError(f"task {task!r}: the cost of a step must be a positive number, not {cost}")
    return float(cost)


def _decisions(
    proxy: str, found: Onset, rate: float, var_r: float, se: float, level: float, priced: bool
) -> list[stopping.Decision]:
    """The rules that have an answer; a closed form needs an alpha that is identified.

    `priced`: the rate comes from a price, and has Var R's error in it.
    """

    def drift(fit: EnvelopeFit) -> Drift | None:
        return drift_of(proxy, fit.risk, fit.nu, var_r, se) if priced else None

    fit, whole = found.fit, found.whole
    made = []
    if fit.identified and np.isfinite(found.depth):
        made.append(stopping.closed_form(fit, rate, drift(fit)))
    made.append(stopping.argmin(fit, rate, var_r, se, drift(fit)))
    made.append(stopping.grid_argmin(whole, rate, var_r, se))
    made.append(stopping.guarded(whole, rate, var_r, se, drift(whole), level=level))
    return made
