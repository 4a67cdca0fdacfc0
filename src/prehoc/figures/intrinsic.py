"""The figure intrinsic: what each task's Var R is made of, the intrinsic limit L_int split."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from prehoc.figures import layout, style

NAME = "intrinsic"
OUTSIDE = "no part of this L_int"
SETTLED = "R does not vary"
_LOOK = {
    "target_sampling": (style.PALETTE[4], "", "target sampling"),
    "other": (style.PALETTE[1], "", "label noise, drawn domain"),
    "decoding": (style.PALETTE[2], "", "sampled decoding"),
    "remainder": (style.PALETTE[0], "", "remainder of $L_{int}$"),
    "interaction": ("#FFFFFF", "////", "particular to the fixed target set"),
    "reducible": ("#E4E4E4", "", "reducible: known by $T$"),
}


def collect(intrinsic: pd.DataFrame, *, tasks: Sequence[str] | None = None) -> pd.DataFrame:
    """The drawn rows: kind names a bar's piece from `low` to `high` (shares of Var R), or `total`.

    Pieces that are estimated below 0 have no length, and y their value; `total` has L_int's own share as y
    with its interval.  A task whose limit is not known has the kind `absent`, and one whose R does not
    vary `settled`.
    """
    rows: list[dict[str, Any]] = []
    for task in style.order(tasks, intrinsic["task"]):
        part = intrinsic[intrinsic["task"] == task]
        total = part[part["part"] == "total"].iloc[0]
        base = {
            "panel": "", "task": task, "proxy": total["proxy"], "information": total["information"],
            "note": total["note"],
        }  # fmt: skip
        share = float(total["share_of_var_r"])
        if not np.isfinite(share):
            settled = str(total["note"]).startswith(SETTLED)
            rows.append(base | {"kind": "settled" if settled else "absent"})
            continue
        rows += _pieces(base, part, share)
        ends = {"low": np.nan, "high": np.nan}
        if total["value"] > 0:
            ends = {e: float(total[e]) * share / float(total["value"]) for e in ("low", "high")}
        rows.append(base | {"kind": "total", "y": share} | ends)
    return style.drawn(rows)


def _pieces(base: dict[str, Any], part: pd.DataFrame, share: float) -> list[dict[str, Any]]:
    outside = part["note"].str.contains(OUTSIDE, regex=False)
    twice = (part["how"] == "halves") & part["part"].isin(part.loc[part["how"] == "binomial", "part"])
    used = part[~twice & ~outside].groupby("part")["share_of_var_r"].sum()
    other = sum(float(used.get(name, 0.0)) for name in ("label_noise", "target_domain"))
    sizes = {"target_sampling": float(used.get("target_sampling", 0.0)), "other": other}
    sizes["decoding"] = float(used.get("decoding", 0.0))
    sizes["remainder"] = float(used.get("remainder", share - sum(sizes.values())))
    if outside.any():
        sizes["interaction"] = float(part.loc[outside, "share_of_var_r"].iloc[0])
    rows, at = [], 0.0
    for kind, size in sizes.items():
        rows.append(base | {"kind": kind, "y": size, "low": at, "high": at + max(size, 0.0)})
        at += max(size, 0.0)
    rows.append(base | {"kind": "reducible", "y": 1 - share, "low": at, "high": max(at, 1.0)})
    return rows


def _bars(axis: Axes, frame: pd.DataFrame, tasks: list[str]) -> None:
    for place, task in enumerate(tasks):
        part = frame[frame["task"] == task]
        for kind, y, low, end in zip(part["kind"], part["y"], part["low"], part["high"], strict=True):
            if kind in ("absent", "settled"):
                text = "limit not known" if kind == "absent" else "R does not vary over the runs"
                axis.text(0.01, place, text, va="center", fontsize=style.SMALL)
            elif kind == "total":
                if np.isfinite(low):
                    axis.plot([low, end], [place + 0.41] * 2, color=style.INK, linewidth=0.9)
                axis.plot([y], [place + 0.41], "|", color=style.INK, markersize=4)
            elif end > low:
                colour, hatch, _ = _LOOK[kind]
                axis.barh(place, end - low, 0.62, left=low, color=colour, hatch=hatch,
                          edgecolor=style.GREY if hatch else "none", linewidth=0.3, zorder=2)  # fmt: skip
        negative = part.loc[(part["kind"] == "remainder") & (part["y"] < 0), "y"]
        for value in negative:
            text = f"remainder {value:.2f}".replace("-", "\N{MINUS SIGN}")
            axis.text(0.99, place, text, ha="right", va="center", fontsize=style.SMALL, zorder=4)


def _render(frame: pd.DataFrame, column: str) -> Figure:
    with style.context(column) as wide:
        tasks = list(dict.fromkeys(frame["task"]))
        if not tasks:
            return layout.nothing(wide, "No task has a limit that was measured.")
        head, foot, row = 0.08, 0.86 if wide < 5 else 0.66, 0.17
        high = head + foot + row * len(tasks)
        made = style.figure(wide, high)
        names = [_name(frame, t) for t in tasks]
        left = min(0.046 * max(map(len, names)) + 0.1, 0.4 * wide)
        axis = made.add_axes((left / wide, foot / high, 1 - (left + 0.12) / wide, row * len(tasks) / high))
        _bars(axis, frame, tasks)
        axis.set_yticks(range(len(tasks)), names)
        for text in axis.get_yticklabels():
            text.set_parse_math(False)
        axis.set_ylim(len(tasks) - 0.45, -0.55)
        ends = frame.loc[frame["kind"].isin(["reducible", "total"]), "high"].dropna()
        axis.set_xlim(0, min(max([1.0, *ends]), 1.5))
        axis.grid(axis="y", visible=False)
        axis.tick_params(axis="y", length=0)
        axis.set_xlabel(r"share of $\mathrm{Var}\,R$")
        lengths = (frame["high"] - frame["low"]).groupby(frame["kind"]).max()
        shown = [kind for kind in _LOOK if lengths.get(kind, 0.0) > 0]
        handles: list[Patch | Line2D] = [
            Patch(facecolor=_LOOK[k][0], hatch=_LOOK[k][1], edgecolor=style.GREY if _LOOK[k][1] else "none",
                  linewidth=0.3, label=_LOOK[k][2])
            for k in shown
        ]  # fmt: skip
        handles.append(Line2D([], [], color=style.INK, marker="|", markersize=4, linewidth=0.9,
                              label="$L_{int}$ with its interval"))  # fmt: skip
        made.legend(handles=handles, loc="lower center", ncols=3 if wide > 5 else 2, fontsize=style.SMALL,
                    handlelength=1.2, columnspacing=1.0, borderaxespad=0.2)  # fmt: skip
        return made


def _name(frame: pd.DataFrame, task: str) -> str:
    proxy = frame.loc[frame["task"] == task, "proxy"].iloc[0]
    return f"{style.label(task, 24)} ({proxy})"


def draw(intrinsic: pd.DataFrame, *, tasks: Sequence[str] | None = None, column: str = "icml") -> Figure:
    """Draw the bars of the tasks in `intrinsic`, in the order of `tasks`.

    Raises InputError for an unknown `column`.
    """
    return _render(collect(intrinsic, tasks=tasks), column)


def save(
    directory: str | Path,
    intrinsic: pd.DataFrame,
    *,
    tasks: Sequence[str] | None = None,
    column: str = "icml",
    formats: Sequence[str] = ("pdf", "png"),
    name: str = NAME,
) -> list[Path]:
    """Write DIRECTORY/intrinsic in each format with its CSV; return the paths."""
    style.check_formats(formats)
    frame = collect(intrinsic, tasks=tasks)
    return style.save(_render(frame, column), frame, directory, name, formats, column)
