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
from prehoc.risk.words import MEANING, caveats, remarks, stopped, unequal, words

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
    spikes: dict[str, Any] | None = None,
    information: str = "last",
    driver: str = "auto",
) -> dict[str, Any]:
    """What the tables say of one task, as a JSON-safe dict (null where there is no number).

    Risks are in squared units of the metric, depths in steps, shares of Var R or of T without
    unit.  `information` is the residual's information set where no forks drive; `driver` as in
    decide.driving_curve; `identity` the check of risk/identity.py, `spikes` what risk/spikes.py found.
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
    settled = regime == "static_sufficient" and drives[0]["iota"] is None
    meaning = MEANING["settled" if settled else regime]
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
        "meaning": meaning,
        "in_words": " ".join(
            [
                words(task, regime, alpha, limit, stops, horizon, meaning),
                *([] if split is None else [intrinsic_words(split, task)]),
                *remarks(readings, proxy, regime, here),
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
        **({"spikes": spikes} if spikes else {}),
        "caveats": [
            *caveats(here, horizon, known),
            *stopped(envelope, task),
            *unequal(identity),
            *([spikes["in_words"]] if spikes and spikes["in_words"] else []),
        ],
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
    parts = [
        p for p in note.split("; ") if not p.startswith(("AIC weight", NOTE, "later depths", "fitted from"))
    ]
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


def lost_verdict(task: str, variance: pd.DataFrame) -> dict[str, Any]:
    """The verdict on a task whose runs failed: none, and how many failed."""
    row = variance[variance["task"] == task].iloc[0]
    lost = float(row["failure_rate"])
    return {
        "task": task,
        "regime": "undecided",
        "meaning": MEANING["undecided"],
        "in_words": f"{task} is undecided: {lost:.0%} of its runs failed (their loss was not finite) and "
        f"{int(row['n'])} are left, too few for a variance. Lower the learning rate.",
        "runs": int(row["n"]),
        "failure_rate": lost,
    }
