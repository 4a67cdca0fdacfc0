"""E7: the theory holds on instances whose risk is known exactly, and on real tasks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from prehoc.benchmark.bound import holm
from prehoc.claims.decay import holds
from prehoc.claims.evidence import Evidence, Judge, cell, named
from prehoc.claims.intervals import mean, share

_NONE = 0.0  # violations that are tolerated


def judged(
    e: Evidence, rule: Mapping[str, Any], judge: Judge, confidence: float, price: float, level: float
) -> list[dict[str, Any]]:
    """The rows of E7: those of exact instances where `e.trials` is there, else those of real tasks.

    `rule`: coverage, caught, regret, no_faster, margin, factor, near; `level` is the lack-of-fit test's.
    """
    if e.trials is not None:
        return _exact(e, e.trials, rule, judge, confidence, level)
    return [
        _no_faster(e, rule, judge, confidence),
        _closed_form(e, rule, judge, confidence, price),
        _bound_by_forks(e, judge),
    ]


def _exact(
    e: Evidence,
    trials: pd.DataFrame,
    rule: Mapping[str, Any],
    judge: Judge,
    confidence: float,
    level: float,
) -> list[dict[str, Any]]:
    """What sets of runs of exact instances said of alpha, of the controls, of c* and of the bound."""
    law = trials[np.isfinite(trials["alpha"])]
    inside = (law["alpha_low"] <= law["alpha"]) & (law["alpha"] <= law["alpha_high"])
    known = law["instance"].nunique()
    rarely = law["instance"][~inside].value_counts()
    note = (
        f"{len(law)} sets; most often missed: {named(list(map(str, rarely.index)), 3)}"
        if len(rarely)
        else ""
    )
    covered = share(int(inside.sum()), len(law), confidence)
    rows = [judge.row("alpha_covered", rule["coverage"], covered, known, note=note, what="instances")]
    none = trials[~trials["power_law"]]
    caught = (none["lack_of_fit_p"] < level) | ~none["power_wins"] | ~none["identified"]
    count, found = none["instance"].nunique(), share(int(caught.sum()), len(none), confidence)
    note = f"{len(none)} sets of {count} instances without a power law"
    rows.append(
        judge.row("controls_caught", rule["caught"], found, count, note=note, least=1, what="controls")
    )
    told = law[law["identified"] & np.isfinite(law["regret"])]
    each = told.groupby("instance")["regret"].mean()
    found = mean(each.to_numpy(float), np.zeros(len(each)), confidence)
    note = f"worst in {each.idxmax()}, {each.max():.3f} of Var R" if len(each) else ""
    how: dict[str, Any] = {"at_most": True, "what": "instances"}
    rows.append(judge.row("closed_form_regret", rule["regret"], found, len(each), note=note, **how))
    if e.bound is None or e.bound.empty:
        rows.append(judge.missing("bound_holds", _NONE, "no predictor was held against the exact risk"))
        return rows
    worst = e.bound.iloc[int(np.argmin(e.bound["z"]))]
    note = f"least z {worst['z']:.2f} of {len(e.bound)} ({worst['instance']}, {worst['predictor']})"
    rows.append(
        _violations("bound_holds", e.bound["z"].to_numpy(float), e.bound["instance"].nunique(), note, judge)
    )
    return rows


def _violations(name: str, z: np.ndarray, tasks: int, note: str, judge: Judge) -> dict[str, Any]:
    """How many of the risks lie below their bound, by Holm's test at 1 %; tolerated: none."""
    count = float(holm(z)[0])
    return judge.row(name, _NONE, (count, count, count), tasks, note=note, at_most=True, least=1)


def _no_faster(e: Evidence, rule: Mapping[str, Any], judge: Judge, confidence: float) -> dict[str, Any]:
    """Whether the risk falls no faster than a power law (Prop. 5.1): the exponential wins by no margin."""
    fits = e.envelopes("bayes")
    lead = {t: cell(f, "power", "delta_aic") - cell(f, "exponential", "delta_aic") for t, f in fits.items()}
    faster = [t for t, x in lead.items() if x > rule["margin"]]
    found = share(len(fits) - len(faster), len(fits), confidence)
    straight = sum(holds(f, 0.01) for f in fits.values())
    note = f"linear in log-log, and the best of the laws, in {straight} of {len(fits)}"
    note += f"; exponential: {named(faster)}" if faster else ""
    return judge.row("no_faster", rule["no_faster"], found, len(fits), note=note)


def _closed_form(
    e: Evidence, rule: Mapping[str, Any], judge: Judge, confidence: float, price: float
) -> dict[str, Any]:
    """Whether Thm 6.1's c* is near the measured depth of least total risk."""
    closed, grid = (e.stops("bayes", price, r)["c_star"] for r in ("closed_form", "grid"))
    both = pd.DataFrame({"closed": closed, "grid": grid}).dropna().clip(lower=1.0)
    gap = np.abs(np.log(both["closed"] / both["grid"]))
    far = both.index[gap > np.log(rule["factor"]) + 1e-9].astype(str).tolist()
    found = share(len(both) - len(far), len(both), confidence)
    note = f"c* in closed form where alpha is identified: {len(both)} of {len(e.tasks)}"
    note += f"; further off: {named(far)}" if far else ""
    return judge.row("closed_form_near", rule["near"], found, len(both), note=note)


def _bound_by_forks(e: Evidence, judge: Judge) -> dict[str, Any]:
    """Whether any predictor's risk lies below what forks of the same task leave open at that depth."""
    if "predictors" not in e.extra:
        return judge.missing("bound_by_forks", _NONE, e.absent("predictors"))
    forks = e.variance[(e.variance["proxy"] == "fork") & (e.variance["depth"] > 0)]
    both = e.extra["predictors"].merge(
        forks[["task", "depth", "metric", "risk", "se"]],
        on=["task", "depth", "metric"],
        suffixes=("", "_fork"),
    )
    both = both[np.isfinite(both["risk"]) & np.isfinite(both["risk_fork"]) & (both["se"] > 0)]
    if both.empty:
        return judge.missing("bound_by_forks", _NONE, "no task has both forks and predictors at one depth")
    z = ((both["risk"] - both["risk_fork"]) / np.hypot(both["se"], both["se_fork"])).to_numpy(float)
    worst = both.iloc[int(np.argmin(z))]
    note = (
        f"least z {z.min():.2f} of {len(z)} ({worst['task']}, {worst['predictor']}, depth {worst['depth']})"
    )
    return _violations("bound_by_forks", z, both["task"].nunique(), note, judge)
