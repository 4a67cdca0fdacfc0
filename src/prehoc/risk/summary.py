"""All verdicts on one page: a Markdown table of tasks, and one of the risk by depth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

_DEPTHS = 5  # columns of the second table
_CURVES = (("run_to_run", "last"), ("residual", "last"), ("residual", "outputs"), ("fork", "state"))


def _number(value: Any, digits: int = 2) -> str:
    if value is None or (isinstance(value, float) and not np.isfinite(value)):
        return "-"
    return f"{float(value):.{digits}g}"


def _reading(verdict: Mapping[str, Any], reading: str, proxy: str | None = None) -> str:
    for row in verdict["readings"]:
        if row["reading"] == reading and proxy in (None, row["proxy"]):
            p = row.get(f"p_{row['regime']}")
            return row["regime"].replace("_", "-") + (f", {p:.2f}" if p is not None else "")
    return "-"


def _row(verdict: Mapping[str, Any], price: float) -> list[str]:
    driving, alpha, limit = verdict["driving_proxy"], verdict["alpha"], verdict["L_int"]
    share = "0 by construction" if limit["by_construction"] else _number(limit["share_of_var_r"])
    span = f" [{_number(alpha['low'])}, {_number(alpha['high'])}]"
    known = _number(alpha["value"]) + span if alpha["identified"] else "not identified"
    stops = sorted(verdict["c_star"], key=lambda s: abs(np.log(s["price"] / price)))
    stop = "-"
    if stops and stops[0]["c_star"] is not None:
        one = stops[0]
        stop = f"{_number(one['c_star'], 4)} [{_number(one['low'], 3)}, {_number(one['high'], 3)}]"
    return [
        verdict["task"],
        str(verdict["runs"]),
        _number(np.sqrt(verdict["var_r"])),
        f"{driving['proxy']} ({driving['information']})",
        share,
        known,
        _reading(verdict, "bayes", driving["proxy"]),
        _reading(verdict, "run_to_run"),
        stop,
        _number(verdict["horizon"], 6),
    ]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [" | ".join(head), "|".join("---" for _ in head), *(" | ".join(row) for row in rows)]
    return "\n".join(f"| {line} |" if i != 1 else f"|{line}|" for i, line in enumerate(lines))


def _spread(depths: Sequence[int]) -> list[int]:
    """At most five of the depths, from the first to the last."""
    spots = np.linspace(0, len(depths) - 1, min(_DEPTHS, len(depths))).round().astype(int)
    return [depths[i] for i in dict.fromkeys(spots.tolist())]


def _curves(variance: pd.DataFrame, tasks: Sequence[str]) -> list[list[str]]:
    rows = []
    for task in tasks:
        for proxy, information in _CURVES:
            at = variance[(variance["task"] == task) & (variance["proxy"] == proxy)]
            at = at[(at["information"] == information) & (at["depth"] > 0)].set_index("depth")
            if at.empty:
                continue
            shares = at["risk"] / at["var_r"]
            told = ", ".join(f"{d}: {_number(shares[d])}" for d in _spread(list(shares.index)))
            rows.append([task, f"{proxy} ({information})", told])
    return rows


def summary(verdicts: Sequence[Mapping[str, Any]], variance: pd.DataFrame, price: float = 0.2) -> str:
    """A Markdown page of the verdicts (verdict.verdict) and of U/Var R from the table `variance`.

    c* is that at the price nearest to `price`, in steps with its interval.  A task whose runs failed
    stands in a line of its own.
    """
    whole = [v for v in verdicts if "driving_proxy" in v]
    head = ["task", "runs", "sd of R", "reading (b) by", "L_int / Var R", "alpha", "regime (b), p",
            "regime (a), p", f"c* at price {price:g}", "T"]  # fmt: skip
    parts = ["# Summary", _table(head, [_row(v, price) for v in whole])]
    parts += [f"**{v['task']}**: {v['in_words']}" for v in verdicts if v not in whole]
    parts.append("## Risk in shares of Var R, at depths")
    tasks = [v["task"] for v in whole]
    parts.append(_table(["task", "proxy (information)", "U / Var R"], _curves(variance, tasks)))
    parts.append("## In words")
    parts.append("\n".join(f"- {v['in_words']}" for v in whole))
    return "\n\n".join(parts) + "\n"
