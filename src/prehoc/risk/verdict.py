"""One task's verdict in plain words and numbers, safe to write as JSON."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from prehoc.errors import InputError
from prehoc.risk.decide import driving_curve
from prehoc.risk.limits import intrinsic_words
from prehoc.risk.planning import advice_words
from prehoc.risk.stopped import NOTE

_MEANING = {
    "static_sufficient": "what can be known is known before the run or within its first steps; "
    "probing gains next to nothing",
    "dynamic_critical": "the run itself decides and tells slowly; probe deep",
    "noise_dominant": "most of the outcome's variance stays open however deep one probes",
    "undecided": "the measurements do not single out one regime; measure more runs",
}
_SEEN = {
    "last": "the metric alone",
    "prefix": "the metric's whole course",
    "outputs": "the metric and the outputs on the probe examples",
    "static+prefix": "static information and the metric's course",
}
_PROBABILITIES = ("p_static_sufficient", "p_dynamic_critical", "p_noise_dominant")


def clean(value: Any) -> Any:
    """A number or string that JSON knows: numpy scalars unpacked, nan and infinities as None."""
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _share(value: Any, whole: float) -> float | None:
    number = clean(value)
    return None if number is None or not whole > 0 else float(number) / whole


def verdict(
    task: str,
    variance: pd.DataFrame,
    envelope: pd.DataFrame,
    c_star: pd.DataFrame,
    regimes: pd.DataFrame,
    *,
    intrinsic: pd.DataFrame | None = None,
    advice: pd.DataFrame | None = None,
    identity: dict[str, Any] | None = None,
    information: str = "last",
    driver: str = "auto",
) -> dict[str, Any]:
    """What the tables say of one task, as a JSON-safe dict (null where there is no number).

    Risks are in squared units of the metric, depths in steps, shares of Var R or of T without
    unit.  `information` is the residual's information set where no forks drive; `driver` as in
    decide.driving_curve; `identity` the check of risk/identity.py.
    Raises InputError for a task that `variance` lacks.
    """
    here = variance[variance["task"] == task]
    if here.empty:
        raise InputError(f"task {task!r} has no row in the variance table")
    proxy, known, why = driving_curve(variance, task, information, driver)
    fit = _envelope(envelope, task, proxy, known)
    var_r = float(here["var_r"].iloc[0])
    readings = _readings(regimes, task)
    drives = [r for r in readings if r["reading"] == "bayes" and r["proxy"] == proxy]
    regime = drives[0]["regime"] if drives else "undecided"
    horizon = clean(fit.get("horizon"))
    stops = _stops(c_star, task, proxy, known, horizon)
    alpha = _alpha(fit)
    split = None if intrinsic is None else intrinsic[intrinsic["task"] == task]
    plans = None if advice is None else advice[advice["task"] == task]
    limit = {
        "value": clean(fit.get("L_int")),
        "low": clean(fit.get("L_int_low")),
        "high": clean(fit.get("L_int_high")),
        "share_of_var_r": _share(fit.get("L_int"), var_r),
        "by_construction": False,
        "fitted": clean(fit.get("L_int")),
    }
    if proxy == "fork" and drives and drives[0]["iota"] == 0.0:
        limit |= dict.fromkeys(("value", "low", "high", "share_of_var_r"), 0.0)
        limit["by_construction"] = True
    return {
        "task": task,
        "regime": regime,
        "meaning": _MEANING[regime],
        "in_words": " ".join(
            [
                _words(task, regime, alpha, limit, stops, horizon),
                *([] if split is None else [intrinsic_words(split, task)]),
                *_remarks(readings, proxy, regime, here),
                *([] if plans is None else [advice_words(plans, task)]),
            ]
        )
        .replace("  ", " ")
        .strip(),
        "driving_proxy": {"proxy": proxy, "information": known, "because": why},
        "readings": readings,
        "alpha": alpha,
        "L_int": limit,
        "intrinsic": _records(split),
        "advice": _records(plans),
        "var_r": clean(var_r),
        "horizon": horizon,
        "lack_of_fit_p": clean(fit.get("lack_of_fit_p")),
        "onset": clean(fit.get("onset")),
        "c_star": stops,
        "runs": int(here.loc[here["proxy"] != "fork", "n"].max()) if len(here) else None,
        "failure_rate": clean(here.loc[here["proxy"] != "fork", "failure_rate"].max()),
        "gap_fork_residual": _gap(here),
        "identity": identity,
        "caveats": _caveats(here, horizon, known) + _stopped(envelope, task) + _unequal(identity),
    }


def _records(rows: pd.DataFrame | None) -> list[dict[str, Any]]:
    """A task's rows of a table without what names the task and its curve."""
    if rows is None:
        return []
    kept = rows.drop(columns=["task", "proxy", "information"])
    return [{str(k): clean(v) for k, v in row.items()} for row in kept.to_dict("records")]


def _envelope(envelope: pd.DataFrame, task: str, proxy: str, information: str) -> dict[str, Any]:
    rows = envelope[
        (envelope["task"] == task)
        & (envelope["proxy"] == proxy)
        & (envelope["information"] == information)
        & (envelope["model"] == "power")
    ]
    return {str(k): v for k, v in rows.iloc[0].items()} if len(rows) else {}


def _alpha(fit: dict[str, Any]) -> dict[str, Any]:
    found = bool(fit.get("identified", False))
    return {
        "identified": found,
        "value": clean(fit["alpha"]) if found else None,
        "low": clean(fit.get("alpha_low")),
        "high": clean(fit.get("alpha_high")),
        "because": None if found else _reason(str(fit.get("note", "no envelope was fitted"))),
    }


def _reason(note: str) -> str:
    parts = [p for p in note.split("; ") if not p.startswith(("AIC weight", NOTE, "later depths"))]
    return "; ".join(p.removeprefix("not identified: ") for p in parts)


def _readings(regimes: pd.DataFrame, task: str) -> list[dict[str, Any]]:
    columns = ("reading", "proxy", "information", "regime", *_PROBABILITIES, "iota", "iota_low",
               "iota_high", "q", "static_share")  # fmt: skip
    rows = regimes[regimes["task"] == task]
    return [{c: clean(row[c]) for c in columns} for _, row in rows.iterrows()]


def _stops(
    c_star: pd.DataFrame, task: str, proxy: str, information: str, horizon: Any
) -> list[dict[str, Any]]:
    rows = c_star[
        (c_star["task"] == task)
        & (c_star["proxy"] == proxy)
        & (c_star["information"] == information)
        & (c_star["rule"] == "guarded")
    ].sort_values("price")
    whole = float(horizon) if horizon else float("nan")
    return [
        {
            "price": clean(row["price"]),
            "gamma": clean(row["gamma"]),
            "lambda": clean(row["lambda"]),
            "c_star": clean(row["c_star"]),
            "low": clean(row["low"]),
            "high": clean(row["high"]),
            "share_of_horizon": _share(row["c_star"], whole),
            "corner": str(row["corner"]),
            "break_even_runs": clean(row["break_even_runs"]),
        }
        for _, row in rows.iterrows()
    ]


def _unequal(identity: dict[str, Any] | None) -> list[str]:
    if identity is None or identity["holds"]:
        return []
    z = identity["largest_z"]
    return [
        f"what the forks explain and leave does not add up to Var R (|z| = {z:.1f}): forks and runs "
        "differ in law; look at what a fork draws anew"
    ]


def _gap(here: pd.DataFrame) -> list[dict[str, Any]]:
    """What the named features miss: residual (last) minus fork, at depths with both.

    Beside it the three risks themselves; `outputs`, in the middle, is null where it was not measured.
    """
    forks = here[here["information"] == "state"].set_index("depth")
    said = here[here["information"] == "outputs"].set_index("depth")["risk"]
    named = here[(here["proxy"] == "residual") & (here["information"] == "last")]
    rows = []
    for _, row in named.iterrows():
        if row["depth"] in forks.index:
            other = forks.loc[row["depth"]]
            se = math.hypot(float(row["se"]), float(other["se"]))
            gap = float(row["risk"]) - float(other["risk"])
            risks = {
                "last": clean(row["risk"]),
                "outputs": clean(said.get(row["depth"])),
                "fork": clean(other["risk"]),
            }
            rows.append({"depth": int(row["depth"]), "gap": clean(gap), "se": clean(se), **risks})
    return rows


def _caveats(here: pd.DataFrame, horizon: Any, information: str) -> list[str]:
    notes = [
        "alpha, K and L_int describe the task, not any single run of it",
        "run_to_run is the paper's proxy; it is no risk of a prediction of R",
    ]
    if information != "state":
        notes.append(
            f"the residual is what a linear predictor with {information} information leaves open: "
            "an upper bound on L(c)"
        )
    shown = {("residual", "last" if information == "state" else information), ("fork", "state")}
    pairs = [p in shown for p in zip(here["proxy"], here["information"], strict=True)]
    curves = here[pairs]
    at_end = curves[(curves["depth"] == horizon) & (curves["risk"] > 0)]
    if at_end["proxy"].nunique() < curves["proxy"].nunique():
        notes.append(
            "a risk was not measured, or is zero, at the horizon: where R includes no noise of its own "
            "(target sample, label noise, domain), L_int is zero by construction for state, and the "
            "fitted one is an extrapolation: the level that the law comes to just before T"
        )
    lost = float(here["failure_rate"].max())
    if lost > 0:
        notes.append(f"{lost:.1%} of runs or forks failed; all numbers hold for those that did not")
    return notes


def _stopped(envelope: pd.DataFrame, task: str) -> list[str]:
    """Which depths were left out because runs had stopped by then, from the envelope's notes."""
    notes = envelope.loc[envelope["task"] == task, "note"]
    found = [n[n.index(NOTE) :] for n in notes if NOTE in n]
    return found[:1]


def lost_verdict(task: str, variance: pd.DataFrame) -> dict[str, Any]:
    """The verdict on a task whose runs failed: none, and how many failed."""
    row = variance[variance["task"] == task].iloc[0]
    lost = float(row["failure_rate"])
    return {
        "task": task,
        "regime": "undecided",
        "meaning": _MEANING["undecided"],
        "in_words": f"{task} is undecided: {lost:.0%} of its runs failed (their loss was not finite) and "
        f"{int(row['n'])} are left, too few for a variance. Lower the learning rate.",
        "runs": int(row["n"]),
        "failure_rate": lost,
    }


def _remarks(readings: list[dict[str, Any]], proxy: str, regime: str, here: pd.DataFrame) -> list[str]:
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


def _words(
    task: str, regime: str, alpha: dict[str, Any], limit: dict[str, Any],
    stops: list[dict[str, Any]], horizon: Any,
) -> str:  # fmt: skip
    parts = [f"{task} is {regime.replace('_', '-')}: {_MEANING[regime]}."]
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
            parts.append(
                f"At price {one['price']:.3g} stop at step {one['c_star']:.4g}{span} of {horizon}."
            )
    return " ".join(parts)
