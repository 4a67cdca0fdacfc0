"""E4 and E5: shallow probing fails by its depth; static and trajectory signals complement each other."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from prehoc.claims.evidence import Evidence, Judge, named
from prehoc.claims.intervals import difference, mean, ratio, spread
from prehoc.tables.columns import REGIMES

DEEP, STATIC = "dynamic_critical", "static_sufficient"
_LEAST = 0.05  # of Var R: with less to be gained by any signal a share of it says nothing


def _of(e: Evidence, regimes: Sequence[str]) -> list[str]:
    return [t for t, r in e.regime_of().items() if r in regimes]


def mismatch(
    e: Evidence, rule: Mapping[str, Any], judge: Judge, confidence: float, price: float, least: int
) -> list[dict[str, Any]]:
    """The rows of E4, over Dynamic-Critical tasks: geometric mean of the risk when shallow over that at c*.

    `same_predictor`: of the predictor `rule["predictor"]`, from table mismatch.  `better_predictor`: of the
    best of all predictors at the shallow depth, over that one at c*.  `risk_itself`: of the driving curve
    L(c), interpolated in log c, at the share `rule["shallow"]` of T and at c*.
    """
    tasks, rows = _of(e, [DEEP]), []
    how: dict[str, Any] = {"least": least, "what": "dynamic-critical tasks"}
    why = e.absent("mismatch")
    here = pd.DataFrame() if why else _mismatch_rows(e, rule["predictor"], price, tasks)
    if not why and here.empty:
        known = sorted(set(e.extra["mismatch"]["predictor"]))
        why = f"no dynamic-critical task has a row of {rule['predictor']} at price {price:g}; of: {known}"
        why += "; too few runs, no c*, or no measured depth that is shallow"
    if why:
        rows.append(judge.missing("same_predictor", rule["ratio"], why))
    else:
        logs = np.log(here[["ratio", "low", "high"]].to_numpy(float))
        found = ratio(mean(logs[:, 0], spread(logs[:, 1], logs[:, 2], confidence), confidence))
        note = _small([str(t) for t in here.index], logs[:, 0], math.log(rule["ratio"]))
        rows.append(judge.row("same_predictor", rule["ratio"], found, len(here), note=note, **how))
    rows.append(_better(e, here, rule["ratio"], judge, confidence, why or e.absent("predictors"), how))
    values = {t: _risk_ratio(e, t, rule["shallow"], price) for t in tasks}
    known_tasks = [t for t, v in values.items() if all(np.isfinite(v))]
    if not known_tasks:
        rows.append(
            judge.missing("risk_itself", rule["ratio"], "no dynamic-critical task has a c* and a risk")
        )
        return rows
    logs = np.array([values[t] for t in known_tasks])
    found = ratio(mean(logs[:, 0], logs[:, 1], confidence))
    note = _small(known_tasks, logs[:, 0], math.log(rule["ratio"]))
    rows.append(judge.row("risk_itself", rule["ratio"], found, len(known_tasks), note=note, **how))
    return rows


def _small(tasks: Sequence[str], logs: np.ndarray, threshold: float) -> str:
    below = [t for t, x in zip(tasks, logs, strict=True) if x < threshold]
    return f"less in {named(below)}" if below else ""


def _mismatch_rows(e: Evidence, predictor: str, price: float, tasks: Sequence[str]) -> pd.DataFrame:
    """Rows of table mismatch by task that have a ratio; their interval may be unknown."""
    table = e.extra["mismatch"]
    here = table[(table["level"] == "task") & table["name"].isin(list(tasks))]
    here = here[(here["predictor"] == predictor) & np.isclose(here["price"], price)]
    return here[np.isfinite(here["ratio"]) & (here["ratio"] > 0)].set_index("name")


def _better(
    e: Evidence,
    here: pd.DataFrame,
    threshold: float,
    judge: Judge,
    confidence: float,
    why: str,
    how: dict[str, Any],
) -> dict[str, Any]:
    """The least risk of any predictor at the shallow depth over that of the same predictor at c*."""
    if why:
        return judge.missing("better_predictor", threshold, why)
    table, logs, tasks, best = e.extra["predictors"], [], [], []
    for task, row in here.iterrows():
        seen = table[(table["task"] == task) & (table["depth"] <= row["shallow"])]
        seen = seen[np.isfinite(seen["share"]) & (seen["share"] > 0)]
        if seen.empty or not row["share_own"] > 0:
            continue
        one = seen.loc[seen["share"].idxmin()]
        own = float(spread(np.log([one["ci_low"]]), np.log([one["ci_high"]]), confidence)[0])
        logs.append((math.log(one["share"] / row["share_own"]), own))
        tasks.append(str(task))
        best.append(f"{one['predictor']} ({one['information']})")
    if not logs:
        return judge.missing("better_predictor", threshold, "no risk of a predictor at the shallow depths")
    values = np.array(logs)
    found = ratio(mean(values[:, 0], values[:, 1], confidence))
    note = f"the best: {named(sorted(set(best)))}"
    return judge.row("better_predictor", threshold, found, len(tasks), note=note, **how)


def _risk_ratio(e: Evidence, task: str, shallow: float, price: float) -> tuple[float, float]:
    """(log of L(shallow)/L(c*), its standard error), depths as independent; nan where one is not known."""
    stops, risk = e.stops("bayes", price), e.risk(task)
    risk = risk[risk["risk"] > 0]
    if task not in stops.index or risk.empty:
        return math.nan, math.nan
    stop = stops.loc[task]
    at = np.log(np.maximum([shallow * stop["horizon"], stop["c_star"]], 1.0))
    logs = [np.interp(at, np.log(risk["depth"]), np.log(risk["risk"])),
            np.interp(at, np.log(risk["depth"]), (risk["se"] / risk["risk"]).fillna(0.0))]  # fmt: skip
    return float(logs[0][0] - logs[0][1]), float(np.hypot(*logs[1]))


def complement(
    e: Evidence, rule: Mapping[str, Any], judge: Judge, confidence: float, least: int
) -> list[dict[str, Any]]:
    """The rows of E5, from table complementarity (shares of Var R of the best predictor, by task).

    `static_serves`: what static signals take off Var R, as a share of what static and trajectory take off
    at best, in Static-Sufficient tasks.  `trajectory_pays`: what the trajectory up to the share
    `rule["early"]` of T takes off what static signals leave, in shares of Var R, in Dynamic-Critical
    tasks.  `pays_more_there`: by how much more than in all other tasks.
    """
    thresholds = {
        "static_serves": rule["serves"],
        "trajectory_pays": rule["gain"],
        "pays_more_there": rule["apart"],
    }
    why = e.absent("complementarity")
    if why:
        return [judge.missing(name, level, why) for name, level in thresholds.items()]
    table = e.extra["complementarity"]
    table = table[table["level"] == "task"]
    regimes = {t: r for t, r in e.regime_of().items() if r in REGIMES}
    blank, rows = _without_static(e), []
    z_share, served, without = [], [], []
    gains: dict[str, tuple[float, float]] = {}
    for task in e.tasks:
        here = table[table["name"] == task]
        static, own = _least(here, "static", confidence)
        both = _least(here, "static+trajectory", confidence)[0]
        if regimes.get(task) == STATIC and task in blank:
            without.append(task)
        elif regimes.get(task) == STATIC and 1 - both >= _LEAST:
            z_share.append(((1 - static) / (1 - both), own / (1 - both)))
            served.append(task)
        early = _early(here, rule["early"], confidence)
        if np.isfinite(early[0]) and task in regimes:
            gains[task] = early
    values = np.array(z_share).reshape(-1, 2)
    found = mean(values[:, 0], values[:, 1], confidence)
    how: dict[str, Any] = {"least": least}
    what = "static-sufficient tasks with something to be gained"
    note = _small(served, values[:, 0], rule["serves"])
    if without:
        nothing = f"no static information in {len(without)} static-sufficient tasks: {named(without)}"
        note = "; ".join(filter(None, [note, nothing]))
    elif e.tasks and blank >= set(e.tasks):
        note = "no static information in any task"
    rows.append(judge.row("static_serves", rule["serves"], found, len(served), note=note, what=what, **how))
    deep = [t for t in gains if regimes[t] == DEEP]
    other = [t for t in gains if regimes[t] != DEEP]
    a, b = (np.array([gains[t] for t in names]).reshape(-1, 2) for names in (deep, other))
    found = mean(a[:, 0], a[:, 1], confidence)
    note, bare = _small(deep, a[:, 0], rule["gain"]), len(blank & set(deep))
    if bare:
        alone = f"no static information in {bare} of {len(deep)}: there the gain is the trajectory's alone"
        note = "; ".join(filter(None, [note, alone]))
    what = "dynamic-critical tasks"
    rows.append(judge.row("trajectory_pays", rule["gain"], found, len(deep), note=note, what=what, **how))
    found = difference(a[:, 0], a[:, 1], b[:, 0], b[:, 1], confidence)
    note = f"{len(deep)} dynamic-critical, {len(other)} other tasks"
    what = "tasks in the smaller group"
    rows.append(
        judge.row(
            "pays_more_there", rule["apart"], found, min(len(deep), len(other)), note=note, what=what, **how
        )
    )
    rows[-1]["tasks"] = len(gains)
    return rows


def _without_static(e: Evidence) -> set[str]:
    """Tasks of table predictors of which nothing is known before a run starts.

    There `complementarity` says that static signals leave what none leave: such a task speaks neither for
    nor against them.
    """
    if "predictors" not in e.extra:
        return set()
    table = e.extra["predictors"]
    return set(table["task"]) - set(table.loc[table["information"] == "static", "task"])


def _least(here: pd.DataFrame, information: str, confidence: float) -> tuple[float, float]:
    """(the least share of Var R over depth under `information`, its standard error); nan without rows."""
    rows = here[(here["information"] == information) & np.isfinite(here["share"])]
    if rows.empty:
        return math.nan, math.nan
    one = rows.loc[rows["share"].idxmin()]
    return float(one["share"]), float(spread(one[["low"]], one[["high"]], confidence)[0])


def _early(here: pd.DataFrame, most: float, confidence: float) -> tuple[float, float]:
    """(gain over static signals alone, standard error) at the deepest depth up to `most` of T."""
    rows = here[(here["information"] == "static+trajectory") & np.isfinite(here["gain"])]
    rows = rows[(rows["depth_share"] > 0) & (rows["depth_share"] <= most)]
    if rows.empty:
        return math.nan, math.nan
    one = rows.loc[rows["depth_share"].idxmax()]
    return float(one["gain"]), float(spread(one[["gain_low"]], one[["gain_high"]], confidence)[0])
