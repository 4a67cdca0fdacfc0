"""The figure gap: what features leave of Var R over depth, between the metric and the forks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import ScaledTranslation

from prehoc.figures import layout, style

NAME = "gap"
_TOP = 1.5  # share of Var R above which the axis does not reach
# Drawn features and predictors: a row of the first that is there.  Colour, marker, label.
_LOOK = {
    "metric": ([("metric", "ols")], style.PALETTE[2], "D", "metric"),
    "outputs": ([("outputs", "ridge")], style.PALETTE[4], "v", "outputs, linear"),
    "best": ([("best", "kernel")], style.PALETTE[1], "o", "best features"),
    "fork": ([("fork", "forks")], style.PALETTE[0], "s", "state (forks)"),
}


def collect(gap: pd.DataFrame, *, tasks: Sequence[str] | None = None) -> pd.DataFrame:
    """The drawn rows: kind is metric, outputs, best or fork, x a depth, y a share of Var R with interval.

    Rows of kind `halfway` are the middle between metric and forks, where half of the gap is closed.
    """
    rows: list[dict[str, Any]] = []
    for task in style.order(tasks, gap["task"]):
        part = gap[gap["task"] == task]
        for kind, (wanted, _, _, _) in _LOOK.items():
            for features, predictor in wanted:
                named = part["predictor"].str.split("+").str[0] == predictor
                found = part[(part["features"] == features) & named]
                found = found.sort_values("depth")
                scale = (found["share"] / found["risk"].where(found["risk"] > 0)).to_numpy(float)
                numbers = {
                    "x": found["depth"].to_numpy(float),
                    "y": found["share"].to_numpy(float),
                    "low": found["ci_low"].to_numpy(float) * scale,
                    "high": found["ci_high"].to_numpy(float) * scale,
                }
                notes = found["predictor"].tolist()
                base = {"panel": "", "task": task, "information": features, "kind": kind}
                for k, note in enumerate(notes):
                    rows.append(base | {n: values[k] for n, values in numbers.items()} | {"note": note})
        rows += _halfway(rows, task)
    return style.drawn(rows)


def _halfway(rows: list[dict[str, Any]], task: str) -> list[dict[str, Any]]:
    at = {(r["kind"], r["x"]): r["y"] for r in rows if r["task"] == task}
    both = sorted(x for kind, x in at if kind == "fork" and ("metric", x) in at)
    return [
        {"panel": "", "task": task, "kind": "halfway", "x": x, "y": (at["metric", x] + at["fork", x]) / 2}
        for x in both
    ]


def _panel(axis: Axes, part: pd.DataFrame, top: float) -> None:
    """A task's curves; a triangle on the edge says that an interval, or a point, goes on above `top`."""
    half = part[part["kind"] == "halfway"]
    axis.plot(half["x"], half["y"], color=style.GREY, linestyle=(0, (2, 1.5)), linewidth=0.7, zorder=1.5)
    for place, (kind, (_, colour, marker, _)) in enumerate(_LOOK.items()):
        rows = part[part["kind"] == kind]
        if rows.empty:
            continue
        bars = np.stack([rows["y"] - rows["low"], rows["high"] - rows["y"]]).clip(0)
        axis.errorbar(rows["x"], rows["y"], yerr=np.nan_to_num(bars), color=colour, marker=marker,
                      elinewidth=0.7, markeredgecolor="white", markeredgewidth=0.3, zorder=2.5)  # fmt: skip
        over = rows[rows[["y", "high"]].max(axis=1) > top]
        aside = (place - (len(_LOOK) - 1) / 2) * 2.6 / 72  # inches: those of other kinds stand beside it
        shift = ScaledTranslation(aside, 0.02, axis.figure.dpi_scale_trans)
        axis.plot(over["x"], np.full(len(over), top), "^", color=colour, markersize=2.6, markeredgewidth=0,
                  transform=axis.transData + shift, clip_on=False, zorder=4, gid="over")  # fmt: skip


def _render(frame: pd.DataFrame, column: str) -> Figure:
    with style.context(column) as wide:
        tasks = list(dict.fromkeys(frame["task"]))
        if not tasks:
            return layout.nothing(wide, "No task has forks and outputs to compare.")
        foot = 0.55 if wide > 5 else 0.7
        made, axes = layout.panels(wide, tasks, high=1.15, foot=foot)
        tops = frame[["y", "high"]].max(axis=1)
        top = max(1.1, min(float(np.nanmax(tops)) * 1.05, _TOP))
        low = max(float(frame["x"].min()), 1.0)
        high = max(float(frame["x"].max()), 2 * low)
        for place, (task, axis) in enumerate(axes.items()):
            axis.set_xscale("log")
            axis.set_xlim(low / 1.4, high * 1.4)
            _panel(axis, frame[frame["task"] == task], top)
            axis.set_ylim(0, top)
            layout.log_axis(axis.xaxis, low, high)
            first = abs(axis.get_position().x0 - next(iter(axes.values())).get_position().x0) < 1e-6
            axis.tick_params(labelleft=first)
            if first:
                axis.set_ylabel(r"share of $\mathrm{Var}\,R$ left")
            axis.set_gid(f"panel {place}")
        for axis in layout.lowest(axes):
            axis.tick_params(labelbottom=True)
            axis.set_xlabel("depth (steps)")
        drawn = set(frame["kind"])
        handles = [
            Line2D(
                [],
                [],
                color=colour,
                marker=marker,
                markeredgecolor="white",
                markeredgewidth=0.3,
                label=text,
            )
            for kind, (_, colour, marker, text) in _LOOK.items()
            if kind in drawn
        ]
        if "halfway" in drawn:
            handles.append(Line2D([], [], color=style.GREY, linestyle=(0, (2, 1.5)), linewidth=0.7,
                                  label="half of the gap"))  # fmt: skip
        if float(np.nanmax(tops)) > top:
            handles.append(Line2D([], [], linestyle="none", marker="^", color=style.INK, markersize=2.6,
                                  markeredgewidth=0, label="goes on above"))  # fmt: skip
        made.legend(handles=handles, loc="lower center", ncols=6 if wide > 5 else 3, fontsize=style.SMALL,
                    borderaxespad=0.2)  # fmt: skip
        return made


def draw(gap: pd.DataFrame, *, tasks: Sequence[str] | None = None, column: str = "icml") -> Figure:
    """Draw a panel a task of the table `gap`, in the order of `tasks`.

    Raises InputError for an unknown `column`.
    """
    return _render(collect(gap, tasks=tasks), column)


def save(
    directory: str | Path,
    gap: pd.DataFrame,
    *,
    tasks: Sequence[str] | None = None,
    column: str = "icml",
    formats: Sequence[str] = ("pdf", "png"),
    name: str = NAME,
) -> list[Path]:
    """Write DIRECTORY/gap in each format with its CSV; return the paths."""
    style.check_formats(formats)
    frame = collect(gap, tasks=tasks)
    return style.save(_render(frame, column), frame, directory, name, formats, column)
