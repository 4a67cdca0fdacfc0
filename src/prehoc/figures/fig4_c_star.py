"""The figure c_star: how deep it pays to probe, c*/T, against the price of probing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from prehoc.figures import layout, readings, style

NAME = "c_star"
RULES = ("guarded", "argmin", "closed_form", "grid")  # which to show where none is recommended
LINEAR = 0.01  # share of T below which the axis is linear, so that zero has a place
LABELS = {"run_to_run": "(a) run-to-run", "fork": "(b) fork", "residual": "(b) residual"}


def _rule(rows: pd.DataFrame) -> pd.DataFrame:
    """One row a price: the recommended rule's, else the first of RULES that is there."""
    rank = rows["rule"].map({name: i for i, name in enumerate(RULES)}).where(~rows["recommended"], -1)
    ordered = rows.assign(rank=rank).sort_values(["price", "rank"], kind="stable")
    return ordered.drop_duplicates("price")


def collect(
    c_star: pd.DataFrame,
    envelope: pd.DataFrame,
    variance: pd.DataFrame,
    *,
    tasks: Sequence[str] | None = None,
) -> pd.DataFrame:
    """The drawn rows: price in x, c*/T with its interval in y, low, high; `note` is the corner."""
    rows: list[dict[str, Any]] = []
    for task in style.order(tasks, c_star["task"]):
        horizon = readings.horizon(envelope, variance, task)
        for panel, reading in readings.PANELS.items():
            chosen = readings.source(variance, task, reading, c_star)
            if chosen is None or not horizon > 0:
                continue
            of = readings.rows(c_star, task, chosen)
            of = _rule(of[(of["price"] > 0) & of["c_star"].notna()])
            base = {"panel": panel, "task": task, "kind": "point"} | chosen._asdict()
            for row in of.to_dict("records"):
                share = {name: row[name] / horizon for name in ("low", "high")}
                at = {"x": row["price"], "y": row["c_star"] / horizon, "note": row["corner"]}
                rows.append(base | at | share)
    return style.drawn(rows)


def _panel(axis: Axes, part: pd.DataFrame, span: tuple[float, float]) -> None:
    axis.set_xscale("log")
    axis.set_xlim(*span)
    layout.log_axis(axis.xaxis, *span)
    axis.set_yscale("symlog", linthresh=LINEAR, linscale=0.5)
    axis.set_ylim(-0.0025, 1.5)
    axis.yaxis.set_major_locator(FixedLocator([0, 0.01, 0.1, 1]))
    axis.yaxis.set_minor_locator(NullLocator())
    axis.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{100 * y:g}%"))
    for proxy in dict.fromkeys(part["proxy"]):
        rows = part[part["proxy"] == proxy]
        colour, marker = style.PROXY_COLOURS[proxy], style.PROXY_MARKERS[proxy]
        theory = proxy != "run_to_run"
        sided = rows[rows["low"].notna() & rows["high"].notna()]
        axis.vlines(sided["x"], sided["low"], sided["high"], color=colour, linewidth=2.6,
                    alpha=0.25, zorder=2)  # fmt: skip
        axis.step(rows["x"], rows["y"], where="mid", color=colour, zorder=3, linewidth=0.9,
                  linestyle="-" if theory else (0, (4, 1.6)), clip_on=False)  # fmt: skip
        for inside, fill in ((True, colour), (False, "white")):
            at = rows[(rows["note"] == "interior") == inside]
            axis.plot(at["x"], at["y"], marker, color=colour, markerfacecolor=fill, clip_on=False,
                      markersize=3.2 if theory else 4.8, markeredgewidth=0.7,
                      zorder=4 + theory)  # fmt: skip


def _legend(made: Figure, frame: pd.DataFrame, columns: int) -> None:
    handles = [
        Line2D([], [], color=style.PROXY_COLOURS[proxy], marker=style.PROXY_MARKERS[proxy],
               linestyle=(0, (4, 1.6)) if proxy == "run_to_run" else "-", label=text)
        for proxy, text in LABELS.items()
        if (frame["proxy"] == proxy).any()
    ]  # fmt: skip
    if (frame["note"] != "interior").any():
        handles.append(
            Line2D([], [], linestyle="none", marker="o", color=style.INK, markerfacecolor="white",
                   markeredgewidth=0.7, label="open: a corner (no probing, or all the way to $T$)")
        )  # fmt: skip
    made.legend(handles=handles, loc="lower center", ncols=min(columns, len(handles)),
                fontsize=style.SMALL, borderaxespad=0.2, handlelength=2.2)  # fmt: skip


def _render(frame: pd.DataFrame, column: str) -> Figure:
    with style.context(column) as wide:
        tasks = list(dict.fromkeys(frame["task"]))
        if not tasks:
            return layout.nothing(wide, "No task has a c*.")
        narrow = wide < 5
        made, axes = layout.panels(wide, tasks, 0.95, foot=0.75 if narrow else 0.56)
        span = (float(frame["x"].min()) / 1.4, float(frame["x"].max()) * 1.4)
        left = min(axis.get_position().x0 for axis in axes.values())
        for task, axis in axes.items():
            _panel(axis, frame[frame["task"] == task], span)
            first = np.isclose(axis.get_position().x0, left)
            axis.tick_params(labelleft=bool(first))
            if first:
                axis.set_ylabel("$c^*/T$  (share of $T$)")
        for axis in layout.lowest(axes):
            axis.set_xlabel("price $w = \\gamma\\lambda T/\\mathrm{Var}\\,R$")
        _legend(made, frame, 2 if narrow else 9)
        return made


def draw(
    c_star: pd.DataFrame,
    envelope: pd.DataFrame,
    variance: pd.DataFrame,
    *,
    tasks: Sequence[str] | None = None,
    column: str = "icml",
) -> Figure:
    """Draw c*/T against price; `envelope` has the horizons, `variance` says which proxy (b) shows.

    `tasks` picks and orders; raises InputError for an unknown `column`.
    """
    return _render(collect(c_star, envelope, variance, tasks=tasks), column)


def save(
    directory: str | Path,
    c_star: pd.DataFrame,
    envelope: pd.DataFrame,
    variance: pd.DataFrame,
    *,
    tasks: Sequence[str] | None = None,
    column: str = "icml",
    formats: Sequence[str] = ("pdf", "png"),
    name: str = NAME,
) -> list[Path]:
    """Write DIRECTORY/c_star in each format with its CSV; return the paths."""
    style.check_formats(formats)
    frame = collect(c_star, envelope, variance, tasks=tasks)
    return style.save(_render(frame, column), frame, directory, name, formats, column)
