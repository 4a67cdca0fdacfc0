"""The sentences of a verdict: what it means, what it says, remarks and caveats."""

from __future__ import annotations

from typing import Any

import pandas as pd

from prehoc.risk.stopped import NOTE

MEANING = {
    "static_sufficient": "what can be known is known before the run or within its first steps; "
    "probing gains next to nothing",
    "dynamic_critical": "the run itself decides and tells slowly; probe deep",
    "noise_dominant": "most of the outcome's variance stays open however deep one probes",
    "settled": "R does not vary over the runs (beyond the tolerance), so there is nothing to predict",
    "undecided": "the measurements do not single out one regime; measure more runs",
}
UNMEASURED = (
    "a risk was not measured, or is zero, at the horizon: where R includes no noise of its own "
    "(target sample, label noise, domain, sampled texts), L_int is zero by construction for state, and the "
    "fitted one is an extrapolation: the level that the law comes to just before T"
)
_SEEN = {
    "last": "the metric alone",
    "prefix": "the metric's whole course",
    "outputs": "the metric and the outputs on the probe examples",
    "static+prefix": "static information and the metric's course",
}


def unequal(identity: dict[str, Any] | None) -> list[str]:
    """That forks and runs differ in law, where the check of risk/identity.py says so."""
    if identity is None or identity["holds"]:
        return []
    z = identity["largest_z"]
    return [
        f"what the forks explain and leave does not add up to Var R (|z| = {z:.1f}): forks and runs "
        "differ in law; look at what a fork draws anew"
    ]


def caveats(here: pd.DataFrame, horizon: Any, information: str) -> list[str]:
    """What to mind in reading the numbers of a task, from its rows of the variance table."""
    notes = [
        "alpha, K and L_int describe the task, not any single run of it",
        "run_to_run is the paper's proxy; it is no risk of a prediction of R",
    ]
    if information != "state":
        notes.append(
            "the residual is what a linear predictor leaves open that sees "
            f"{_SEEN.get(information, information)}: an upper bound on L(c)"
        )
    shown = {("residual", "last" if information == "state" else information), ("fork", "state")}
    pairs = [p in shown for p in zip(here["proxy"], here["information"], strict=True)]
    curves = here[pairs]
    at_end = curves[(curves["depth"] == horizon) & (curves["risk"] > 0)]
    if at_end["proxy"].nunique() < curves["proxy"].nunique():
        notes.append(UNMEASURED)
    lost = float(here["failure_rate"].max())
    if lost > 0:
        notes.append(f"{lost:.1%} of runs or forks failed; all numbers hold for those that did not")
    return notes


def stopped(envelope: pd.DataFrame, task: str) -> list[str]:
    """Which depths were left out because runs had stopped by then, from the envelope's notes."""
    notes = envelope.loc[envelope["task"] == task, "note"]
    found = [n[n.index(NOTE) :] for n in notes if NOTE in n]
    return found[:1]


def remarks(readings: list[dict[str, Any]], proxy: str, regime: str, here: pd.DataFrame) -> list[str]:
    """What a reader must not miss: another regime by the metric alone, and runs that failed."""
    notes = []
    other = [r for r in readings if r["proxy"] == "residual"]
    if proxy == "fork" and other and other[0]["regime"] != regime:
        name, seen = other[0]["regime"].replace("_", "-"), other[0]["information"]
        notes.append(
            f"This is what the whole state knows; to a linear predictor that sees {_SEEN[seen]} the "
            f"task is {name}, and probing is worth what such a predictor gets of it."
        )
    lost = float(here["failure_rate"].max())
    if lost > 0:
        notes.append(f"{lost:.0%} of runs failed and enter no variance.")
    return notes


def _known(stop: dict[str, Any]) -> bool:
    return stop["low"] is not None and stop["high"] is not None


def words(
    task: str, regime: str, alpha: dict[str, Any], limit: dict[str, Any],
    stops: list[dict[str, Any]], horizon: Any, meaning: str,
) -> str:  # fmt: skip
    """The verdict in sentences: regime, alpha, L_int, and c* at the middle price."""
    parts = [f"{task} is {regime.replace('_', '-')}: {meaning}."]
    if alpha["identified"]:
        parts.append(f"alpha = {alpha['value']:.3g} ({alpha['low']:.3g} to {alpha['high']:.3g}).")
    else:
        parts.append(f"alpha is not identified ({alpha['because']}).")
    if limit["by_construction"]:
        parts.append("L_int = 0 by construction: R is a function of the final state.")
    elif limit["share_of_var_r"] is not None:
        parts.append(f"L_int = {limit['value']:.3g}, {limit['share_of_var_r']:.0%} of Var R.")
    if stops:
        one = stops[len(stops) // 2]
        if one["c_star"] is not None:
            span = f" (interval {one['low']:.0f} to {one['high']:.0f})" if _known(one) else ""
            stop = f"stop at step {one['c_star']:.4g}" if one["c_star"] > 0 else "do not probe: stop at 0"
            parts.append(f"At price {one['price']:.3g} {stop}{span} of {horizon}.")
    return " ".join(parts)
