"""The figure sources: which share of Var R comes from where, as bars with intervals, a panel a task."""

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
from matplotlib.ticker import FuncFormatter, MultipleLocator

from prehoc.figures import layout, style

NAME = "sources"
TOTAL, REST = "total", "rest"
WORDS = {"higher": "three or more", REST: "rest"}
COLOURS = {"single": "#0072B2", "joint": "#56B4E9", "rest": "#8A8A8A"}
LABELS = {"single": "a source alone", "joint": "an interaction", "rest": "the rest"}
EFFECT = "#D55E00"
ROW = 0.145  # inches a bar


def _kind(source: str, order: int) -> str:
    return "rest" if source == REST else "single" if order == 1 else "joint"


def _words(source: str) -> str:
    return WORDS.get(source, " × ".join(part.replace("_", " ") for part in source.split(":")))


def collect(sources: pd.DataFrame, *, tasks: Sequence[str] | None = None) -> pd.DataFrame:
    """The drawn rows: share of Var R in x with its interval, the source in `note`, as in the table.

    `kind` is single, joint or rest for a component, total_effect, or the truth of either.
    """
    rows: list[dict[str, Any]] = []
    for task in style.order(tasks, sources["task"]):
        of = sources[sources["task"] == task]
        whole = of.loc[of["source"] == TOTAL, "truth"]
        for row in of[of["source"] != TOTAL].to_dict("records"):
            base = {"panel": str(row["blocks"]), "task": task, "note": row["source"]}
            kind = _kind(row["source"], row["order"])
            for name, shown in (("share", kind), ("total_effect", "total_effect")):
                if np.isfinite(row[name]):
                    span = {"x_low": row[f"{name}_low"], "x_high": row[f"{name}_high"]}
                    rows.append(base | {"kind": shown, "x": row[name]} | span)
            if len(whole) and float(whole.iloc[0]) > 0:
                rows.append(base | {"kind": "truth", "x": row["truth"] / float(whole.iloc[0])})
                if np.isfinite(row["truth_total_effect"]):
                    rows.append(base | {"kind": "truth_total", "x": row["truth_total_effect"]})
    return style.drawn(rows)


def _panel(axis: Axes, part: pd.DataFrame, top: float) -> None:
    names = list(dict.fromkeys(part["note"]))
    axis.set_xlim(0, top)
    axis.set_ylim(len(names) - 0.4, -0.6)
    axis.set_yticks(range(len(names)), [_words(n) for n in names])
    axis.tick_params(axis="y", length=0)
    axis.grid(False, axis="y")
    axis.xaxis.set_major_locator(MultipleLocator(0.2))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{100 * x:.0f}%"))
    place = {name: i for i, name in enumerate(names)}
    paired = set(part.loc[part["kind"] == "total_effect", "note"])  # bars with a diamond below
    for row in part.to_dict("records"):
        y, kind = place[row["note"]], row["kind"]
        bar, below = y - 0.13 * (row["note"] in paired), y + 0.27
        x, low, high = (min(max(row[k], 0.0), top) for k in ("x", "x_low", "x_high"))
        if kind in ("truth", "truth_total"):
            at = below if kind == "truth_total" else bar
            axis.plot([x, x], [at - 0.22, at + 0.22], color=style.INK, linewidth=1.0, zorder=6,
                      clip_on=False, solid_capstyle="butt")  # fmt: skip
            continue
        effect = kind == "total_effect"
        at = below if effect else bar
        if not effect:
            axis.barh(at, x, height=0.42, color=COLOURS[kind], zorder=2, linewidth=0)
        if np.isfinite(row["x_low"]) and np.isfinite(row["x_high"]):
            axis.plot([low, high], [at, at], color=EFFECT if effect else style.INK,
                      linewidth=0.7, zorder=4)  # fmt: skip
        if effect:
            axis.plot([x], [at], "D", color=EFFECT, markersize=2.8, zorder=5, clip_on=False)


def _legend(made: Figure, frame: pd.DataFrame, columns: int) -> None:
    kinds = set(frame["kind"])
    handles: list[Any] = [
        Patch(color=COLOURS[kind], label=text) for kind, text in LABELS.items() if kind in kinds
    ]
    handles.append(
        Line2D([], [], color=EFFECT, marker="D", markersize=2.8, linewidth=0.7,
               label="total effect: with all its interactions")
    )  # fmt: skip
    if "truth" in kinds:
        handles.append(
            Line2D([], [], color=style.INK, marker="|", markersize=6, linestyle="none", label="truth")
        )
    made.legend(handles=handles, loc="lower center", ncols=min(columns, len(handles)),
                fontsize=style.SMALL, borderaxespad=0.2, handlelength=1.4)  # fmt: skip


def _render(frame: pd.DataFrame, column: str) -> Figure:
    with style.context(column) as wide:
        tasks = list(dict.fromkeys(frame["task"]))
        if not tasks:
            return layout.nothing(wide, "No crossed task has a share to show.")
        parts = {task: frame[frame["task"] == task] for task in tasks}
        columns = 1 if wide < 5 or len(tasks) == 1 else 2
        left, right, head, gap = 0.85, 0.12, 0.22, 0.5
        foot = 0.78 if wide < 5 else 0.56
        grid = [tasks[i : i + columns] for i in range(0, len(tasks), columns)]
        highs = [ROW * max(parts[t]["note"].nunique() for t in row) for row in grid]
        tall = sum(highs) + head + gap * (len(grid) - 1) + foot
        panel = min(wide / columns - left - right, 3.6)
        margin = (wide - columns * (left + panel + right)) / 2
        most = np.nanmax(frame[["x", "x_high"]].to_numpy())
        top = float(np.clip(np.ceil(most * 10) / 10, 0.2, 1.0))
        made, down = style.figure(wide, tall), head
        for row, high in zip(grid, highs, strict=True):
            for i, task in enumerate(row):
                x = margin + i * (left + panel + right) + left
                mine = ROW * parts[task]["note"].nunique()
                at = (x / wide, 1 - (down + mine) / tall, panel / wide, mine / tall)
                axis = made.add_axes(at)
                _panel(axis, parts[task], top)
                blocks = parts[task]["panel"].iloc[0]
                axis.set_title(f"{style.label(task, 32)} ({blocks} blocks)", parse_math=False)
                axis.set_xlabel("share of $\\mathrm{Var}\\,R$")
            down += high + gap
        _legend(made, frame, 2 if wide < 5 else 5)
        return made


def draw(sources: pd.DataFrame, *, tasks: Sequence[str] | None = None, column: str = "icml") -> Figure:
    """Draw shares of Var R by source; `tasks` picks and orders.

    Shares are clipped to [0, 1] in the picture alone. Raises InputError for an unknown `column`.
    """
    return _render(collect(sources, tasks=tasks), column)


def save(
    directory: str | Path,
    sources: pd.DataFrame,
    *,
    tasks: Sequence[str] | None = None,
    column: str = "icml",
    formats: Sequence[str] = ("pdf", "png"),
    name: str = NAME,
) -> list[Path]:
    """Write DIRECTORY/sources in each format with its CSV; return the paths."""
    style.check_formats(formats)
    frame = collect(sources, tasks=tasks)
    return style.save(_render(frame, column), frame, directory, name, formats, column)
