"""The figure frontier_tasks: risk against compute, a panel a task, marked as in the figure frontier."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from prehoc.figures import frontier, layout, style

NAME = "frontier_tasks"
_MEASURE = "risk"


def collect(table: pd.DataFrame, *, tasks: Sequence[str] | None = None) -> pd.DataFrame:
    """The drawn rows of a `policies` table: each task's risk over Var R in y, steps over T in x.

    They are the rows of kind `task` that the figure frontier averages: `proxy` is the policy,
    `information` the regime, `note` the price.
    """
    frame = frontier.collect(table, tasks=tasks)
    own = frame[(frame["kind"] == "task") & (frame["panel"] == _MEASURE)]
    return own.reset_index(drop=True)


def _render(frame: pd.DataFrame, column: str) -> Figure:
    with style.context(column) as wide:
        tasks = list(dict.fromkeys(frame["task"]))
        if not tasks:
            return layout.nothing(wide, "No task has policies that were judged.")
        narrow = wide < 5
        columns = 6 if wide > 6 else 4 if wide > 5 else 2
        foot = 0.42 + 0.13 * int(np.ceil(frontier.ENTRIES / columns))
        made, axes = layout.panels(wide, tasks, high=1.05, foot=foot, inner=0.26, gap=0.44)
        for task, axis in axes.items():
            part = frame[frame["task"] == task]
            frontier.panel(axis, part, (0, 0.1, 1) if narrow or len(tasks) > 2 else (0, 0.03, 0.1, 0.3, 1))
            top = float(np.nanmax(part[["y", "high"]].to_numpy(float)))
            axis.set_ylim(0, 1.08 * top if top > 0 else 1.0)
            regime = style.REGIME_LABELS[str(part["information"].iloc[0])]
            name = style.label(task, 30)
            axis.set_title(f"{name}\n{regime}", fontsize=style.BODY, parse_math=False, linespacing=1.05)
        for axis in layout.lowest(axes):
            axis.tick_params(labelbottom=True)
            axis.set_xlabel("steps, share of $T$")
        for axis in layout.leftmost(axes):
            axis.set_ylabel("risk / Var $R$")
        frontier.legend(made, columns)
        return made


def draw(table: pd.DataFrame, *, tasks: Sequence[str] | None = None, column: str = "icml") -> Figure:
    """Draw a `policies` table; `tasks` picks and orders.  Raises InputError for an unknown `column`."""
    return _render(collect(table, tasks=tasks), column)


def save(
    directory: str | Path,
    table: pd.DataFrame,
    *,
    tasks: Sequence[str] | None = None,
    column: str = "icml",
    formats: Sequence[str] = ("pdf", "png"),
    name: str = NAME,
) -> list[Path]:
    """Write DIRECTORY/frontier_tasks in each format with its CSV; return the paths."""
    style.check_formats(formats)
    frame = collect(table, tasks=tasks)
    return style.save(_render(frame, column), frame, directory, name, formats, column)
