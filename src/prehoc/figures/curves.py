"""The figure curves: each task's validation metric over depth, and where its runs end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from prehoc.figures import layout, style
from prehoc.tables.scales import SCALED, rows_of

NAME = "curves"
UNITS = {
    "accuracy": "accuracy (share)",
    "exact_match": "exact match (share)",
    "pass_at_1": "pass@1 (share)",
    "f1": "F1",
    "matthews": "Matthews' correlation",
    "pearson": "Pearson's correlation",
    "spearman": "Spearman's correlation",
    "pearson_spearman": "Pearson-Spearman mean",
    "loss": "loss (nats)",
    "squared error": "loss (label squared)",
    "loss a token": "loss (nats a token)",
    "arcsine accuracy": "arcsine accuracy (rad)",
    "arcsine exact_match": "arcsine exact match (rad)",
    "arcsine pass_at_1": "arcsine pass@1 (rad)",
    "arcsine f1": "arcsine F1 (rad)",
    "arcsine matthews": "arcsine MCC (rad)",
    "fisher-z pearson": "Pearson, Fisher's z",
    "fisher-z spearman": "Spearman, Fisher's z",
    "fisher-z pearson_spearman": "Pearson-Spearman, Fisher's z",
}
_TRAJECTORY, _OUTCOME = style.PALETTE[0], style.PALETTE[1]


def _metric(runs: pd.DataFrame, wanted: str | None) -> str | None:
    """The wanted metric if measured, else the target's first, else the trajectory's first."""
    names = list(dict.fromkeys([*runs.loc[runs["split"] == "target", "metric"], *runs["metric"]]))
    if wanted in names or (wanted in SCALED and SCALED[wanted][0] in names):
        return wanted
    return names[0] if names else None


def _quantity(metric: str | None, runs: pd.DataFrame) -> str | None:
    """A metric's name by what it is of: a loss beside correlations is a squared error of numbers."""
    measured = set(runs["metric"])
    if metric != "loss":
        return metric
    if measured & {"pearson", "spearman", "pearson_spearman"}:
        return "squared error"
    return "loss a token" if measured & {"exact_match", "pass_at_1"} else metric


def _summary(values: pd.Series) -> dict[str, Any]:
    low, high = np.quantile(values, [0.1, 0.9])
    return {"y": values.mean(), "low": low, "high": high}


def collect(runs: Mapping[str, pd.DataFrame], *, metrics: Mapping[str, str] | None = None) -> pd.DataFrame:
    """The drawn rows of each task's runs table: mean, 10 and 90 % quantiles over seeds, by depth.

    Kind `line` is the validation trajectory, `point` the outcome R on the target set at the last
    depth; `panel` is the metric, or what a loss is of.  `metrics` names a task's metric where it measures
    several.
    Failed runs are left out of both; `note` counts the seeds, and those that failed.
    """
    rows: list[dict[str, Any]] = []
    for task, table in runs.items():
        metric = _metric(table, (metrics or {}).get(task))
        failed = set(table.loc[table["failure"], "seed"])
        note = f"{table['seed'].nunique()} seeds" + (f", {len(failed)} failed" if failed else "")
        of = table[~table["seed"].isin(failed) & table["value"].notna()]
        of = of.iloc[:0] if metric is None else rows_of(of, metric)
        base: dict[str, Any] = {"panel": _quantity(metric, table), "task": task, "note": note}
        ends = of[of["split"] == "target"]
        for depth, values in of[of["split"] == "val"].groupby("depth", sort=True)["value"]:
            rows.append(base | {"kind": "line", "x": depth} | _summary(values))
        if len(ends):
            last = ends[ends["depth"] == ends["depth"].max()]
            rows.append(base | {"kind": "point", "x": last["depth"].iloc[0]} | _summary(last["value"]))
        if of.empty:
            rows.append(base | {"kind": "absent"})
    return style.drawn(rows)


def _panel(axis: Axes, part: pd.DataFrame) -> None:
    line, point = part[part["kind"] == "line"], part[part["kind"] == "point"]
    depths = pd.concat([line["x"], point["x"]])
    if depths.empty:
        axis.text(0.5, 0.5, "no run succeeded", transform=axis.transAxes, ha="center", va="center",
                  fontsize=style.SMALL)  # fmt: skip
        axis.set_xticks([])
        axis.set_yticks([])
        return
    first, last = float(depths[depths > 0].min()), float(depths.max())
    if not last > 0:
        first = last = 1.0
    if (depths == 0).any():
        axis.set_xscale("symlog", linthresh=first, linscale=0.4)
        axis.set_xlim(-0.12 * first, last * 1.4)
    else:
        axis.set_xscale("log")
        axis.set_xlim(first / 1.3, last * 1.4)
    _depth_ticks(axis, first, last, zero=bool((depths == 0).any()))
    axis.fill_between(line["x"], line["low"], line["high"], color=_TRAJECTORY, alpha=0.2,
                      linewidth=0, zorder=2)  # fmt: skip
    axis.plot(line["x"], line["y"], "o-", color=_TRAJECTORY, markersize=2.2, zorder=3)
    axis.vlines(point["x"], point["low"], point["high"], color=_OUTCOME, linewidth=1.1, zorder=4)
    axis.plot(point["x"], point["y"], "D", color=_OUTCOME, markersize=3.6, zorder=5,
              markeredgecolor="white", markeredgewidth=0.4)  # fmt: skip
    axis.yaxis.set_major_locator(MaxNLocator(nbins=4, min_n_ticks=3))


def _depth_ticks(axis: Axes, first: float, last: float, zero: bool) -> None:
    decades = np.arange(np.ceil(np.log10(first)), np.floor(np.log10(last)) + 1)
    ticks = list(10.0 ** decades[:: 1 + len(decades) // 5]) or [first]
    axis.set_xticks(([0.0] if zero else []) + ticks)
    axis.xaxis.set_major_formatter(layout.number)
    axis.xaxis.set_minor_formatter("")


def _render(frame: pd.DataFrame, column: str) -> Figure:
    with style.context(column) as wide:
        tasks = list(dict.fromkeys(frame["task"]))
        if not tasks:
            return layout.nothing(wide, "There are no runs.")
        made, axes = layout.panels(wide, tasks, 0.95, foot=0.56 if wide > 5 else 0.68, inner=0.44, gap=0.42)
        for task, axis in axes.items():
            part = frame[frame["task"] == task]
            _panel(axis, part)
            metric = part["panel"].iloc[0] or "metric"
            axis.set_ylabel(UNITS.get(metric, metric.replace("_", " ")), parse_math=False)
            title = f"{style.label(task, 26)}\n{part['note'].iloc[0]}"
            axis.set_title(title, fontsize=style.SMALL, parse_math=False, linespacing=1.1)
            axis.tick_params(labelbottom=True)
        for axis in layout.lowest(axes):
            axis.set_xlabel("depth $c$ (optimiser steps)")
        handles: list[Line2D | Patch] = [
            Line2D([], [], color=_TRAJECTORY, marker="o", markersize=2.2, label="validation: mean"),
            Patch(color=_TRAJECTORY, alpha=0.2, linewidth=0, label="10–90% of seeds"),
        ]
        if (frame["kind"] == "point").any():
            handles.append(
                Line2D([], [], color=_OUTCOME, marker="D", markersize=3.6,
                       label="outcome $R$ at $T$: mean, 10–90% of seeds")
            )  # fmt: skip
        made.legend(
            handles=handles,
            loc="lower center",
            ncols=2 if wide < 5 else 3,
            fontsize=style.SMALL,
            borderaxespad=0.2,
            columnspacing=1.0,
            handlelength=1.4,
        )
        return made


def draw(
    runs: Mapping[str, pd.DataFrame],
    *,
    metrics: Mapping[str, str] | None = None,
    column: str = "icml",
) -> Figure:
    """Draw the curves of each task's runs table, in the mapping's order.

    Raises InputError for an unknown `column`.
    """
    return _render(collect(runs, metrics=metrics), column)


def save(
    directory: str | Path,
    runs: Mapping[str, pd.DataFrame],
    *,
    metrics: Mapping[str, str] | None = None,
    column: str = "icml",
    formats: Sequence[str] = ("pdf", "png"),
    name: str = NAME,
) -> list[Path]:
    """Write DIRECTORY/curves in each format with its CSV; return the paths."""
    style.check_formats(formats)
    frame = collect(runs, metrics=metrics)
    return style.save(_render(frame, column), frame, directory, name, formats, column)
