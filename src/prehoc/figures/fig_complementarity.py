"""What static information, the trajectory and both leave of Var R over depth: one panel a regime.

Thin lines are tasks, bold ones their mean with its interval.  Static information costs no depth, so it
stands as a level.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from prehoc.figures import layout, style

NAME = "complementarity"
SHOWN = ("static", "trajectory", "static+trajectory")
COLOURS = {"static": "#009E73", "trajectory": "#D55E00", "static+trajectory": "#0072B2"}
DASHES: dict[str, Any] = {"static": (0, (5, 1.5)), "trajectory": "-", "static+trajectory": (0, (1.2, 1.2))}
LABELS = {"static": "static", "trajectory": "trajectory", "static+trajectory": "static and trajectory"}
MOST = 1.25  # of Var R: what lies above stands at the border


def collect(table: pd.DataFrame) -> pd.DataFrame:
    """The drawn rows of a `complementarity` table: share of the horizon in x, of Var R in y.

    Kinds: `task`, `pooled`; `panel` is the regime, `task` the task or nothing, `note` the number of tasks.
    """
    rows: list[dict[str, Any]] = []
    for regime in style.REGIME_LABELS:
        part = table[(table["regime"] == regime) & table["information"].isin(SHOWN)]
        for row in part.to_dict("records"):
            pooled = row["level"] == "regime"
            rows.append(
                {
                    "panel": regime,
                    "task": "" if pooled else row["name"],
                    "information": row["information"],
                    "kind": "pooled" if pooled else "task",
                    "x": row["depth_share"],
                    "y": row["share"],
                    "low": row["low"],
                    "high": row["high"],
                    "note": f"{row['tasks']} task" + "s" * (row["tasks"] > 1),
                }
            )
    return style.drawn(rows)


def _line(part: pd.DataFrame, span: tuple[float, float]) -> pd.DataFrame:
    """Points of one line in order; static information is a level over the whole width."""
    part = part.sort_values("x")
    if (part["information"] == "static").all() and len(part):
        first = part.iloc[[0]]
        return pd.concat([first.assign(x=span[0]), first.assign(x=span[1])], ignore_index=True)
    return part


def _names(part: pd.DataFrame) -> list[str]:
    return list(dict.fromkeys(part.loc[part["kind"] == "task", "task"]))


def _said(part: pd.DataFrame, wide: float) -> list[str]:
    """The tasks' names in lines that fit a panel of `wide` inches."""
    names = [style.label(name, 30).replace(" ", "\u00a0") for name in _names(part)]
    return textwrap.wrap(", ".join(names), int(wide * 20))


def _panel(axis: Axes, part: pd.DataFrame, span: tuple[float, float], regime: str, wide: float) -> None:
    axis.set_xscale("log")
    axis.set_xlim(*span)
    layout.log_axis(axis.xaxis, *span)
    axis.set_ylim(0, MOST)
    for information in SHOWN:
        mine = part[part["information"] == information]
        look: dict[str, Any] = {"color": COLOURS[information], "linestyle": DASHES[information]}
        for _, one in mine[mine["kind"] == "task"].groupby("task", sort=False):
            line = _line(one, span)
            axis.plot(line["x"], line["y"].clip(upper=MOST), linewidth=0.6, alpha=0.5, zorder=2, **look)
        pooled = mine[mine["kind"] == "pooled"]
        if len(pooled):
            line = _line(pooled, span)
            axis.fill_between(line["x"], line["low"].clip(upper=MOST), line["high"].clip(upper=MOST),
                              color=COLOURS[information], alpha=0.15, linewidth=0, zorder=1)  # fmt: skip
            axis.plot(line["x"], line["y"].clip(upper=MOST), linewidth=1.9, zorder=3, **look)
    axis.set_title(f"{style.REGIME_LABELS[regime]} ({len(_names(part))})", fontsize=style.BODY)
    axis.annotate(
        "\n".join(_said(part, wide)), (0.5, 0), xycoords="axes fraction", xytext=(0, -27),
        textcoords="offset points", ha="center", va="top", fontsize=style.SMALL, color=style.INK,
    )  # fmt: skip


def _render(frame: pd.DataFrame, column: str) -> Figure:
    regimes = list(dict.fromkeys(frame["panel"]))
    with style.context(column) as wide:
        if not regimes:
            return layout.nothing(wide, "No task has forecasts of R that could be compared.")
        walked = frame.loc[(frame["x"] > 0) & (frame["kind"] == "task"), "x"]
        span = (float(walked.min()) if len(walked) else 0.01, 1.0)
        span = (span[0] / 1.15, 1.15)
        columns = len(regimes) if wide > 5 else 1
        rows = int(np.ceil(len(regimes) / columns))
        left, right, gap, head, each, key = 0.42, 0.08, 0.15, 0.2, 1.55, 0.24 if wide > 5 else 0.36
        side = (wide - left - right - gap * (columns - 1)) / columns
        if columns == 1:
            side = min(side, 3.2)
        lines = max(len(_said(frame[frame["panel"] == regime], side)) for regime in regimes)
        below = 0.46 + 0.1 * lines
        tall = rows * (head + each + below) + key
        made = style.figure(wide, tall)
        for i, regime in enumerate(regimes):
            row, place = divmod(i, columns)
            top = tall - row * (head + each + below) - head
            x = left + place * (side + gap)
            axis = made.add_axes((x / wide, (top - each) / tall, side / wide, each / tall))
            _panel(axis, frame[frame["panel"] == regime], span, regime, side)
            axis.set_xlabel("depth $c/T$")
            axis.tick_params(labelleft=place == 0)
            if place == 0:
                axis.set_ylabel("held-out risk / Var $R$")
        handles = [
            Line2D([], [], color=COLOURS[k], linestyle=DASHES[k], linewidth=1.9, label=LABELS[k])
            for k in SHOWN
        ]
        handles.append(Line2D([], [], color=style.GREY, linewidth=0.6, label="one task"))
        made.legend(handles=handles, loc="lower center", ncols=4 if wide > 5 else 2, borderaxespad=0.2,
                    handlelength=2.6)  # fmt: skip
        return made


def draw(table: pd.DataFrame, *, column: str = "icml") -> Figure:
    """Draw a `complementarity` table; raises InputError for an unknown `column`."""
    return _render(collect(table), column)


def save(
    directory: str | Path,
    table: pd.DataFrame,
    *,
    column: str = "icml",
    formats: Sequence[str] = ("pdf", "png"),
    name: str = NAME,
) -> list[Path]:
    """Write DIRECTORY/complementarity in each format with its CSV; return the paths."""
    style.check_formats(formats)
    frame = collect(table)
    return style.save(_render(frame, column), frame, directory, name, formats, column)
