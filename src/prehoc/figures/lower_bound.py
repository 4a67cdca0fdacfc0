"""The figure lower_bound: what predictors reach, over depth, against the exact L(c) beneath them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator

from prehoc.figures import layout, style

NAME = "lower_bound"
REGIMES = ("dynamic_critical", "static_sufficient", "noise_dominant", "control")
REGIME_LABELS = {**style.REGIME_LABELS, "control": "no power law"}
REGIME_COLOURS = {**style.REGIME_COLOURS, "control": style.INK}
LABELS = {
    "ols": "OLS",
    "ridge": "ridge",
    "knn": "k-NN",
    "kernel_ridge": "kernel ridge",
    "boosting": "boosting",
    "gaussian_process": "Gaussian process",
    "extrapolation": "power-law extrapolation",
    "last_value": "last value",
}
COLOURS = dict(zip(LABELS, (*style.PALETTE, "#7F7F7F", "#000000"), strict=True))
MARKERS = dict(zip(LABELS, (*style.MARKERS, "x", "+"), strict=True))
ROOM = 1.6  # a panel ends at this many times its highest exact risk: what is worse leaves it
NARROW = 8.0  # below this ratio of its ends an axis has more ticks than the decades' 1, 2, 5


def collect(table: pd.DataFrame) -> pd.DataFrame:
    """The drawn rows: kind `exact`, `bound` or `predictor`, y = risk / Var R with +- 1 se.

    `panel` is the regime, `task` the instance, `proxy` the predictor.
    """
    rows: list[dict[str, Any]] = []
    known = [r for r in REGIMES if (table["regime"] == r).any()]
    for regime in known:
        for instance, part in table[table["regime"] == regime].groupby("instance", sort=False):
            base = {"panel": regime, "task": instance, "information": part["information"].iloc[0]}
            for kind in ("exact", "bound"):
                once = part.drop_duplicates("depth")
                once = once[once[kind].notna()]
                for depth, y, total in zip(once["depth"], once[kind], once["var_r"], strict=True):
                    rows.append(base | {"kind": kind, "x": depth, "y": y / total})
            for row in part.to_dict("records"):
                y, se = row["risk"] / row["var_r"], row["se"] / row["var_r"]
                at = {"x": row["depth"], "y": y, "low": y - se, "high": y + se}
                rows.append(base | {"proxy": row["predictor"], "kind": "predictor"} | at)
    return style.drawn(rows)


def _panel(axis: Axes, part: pd.DataFrame) -> None:
    exact, bound = part[part["kind"] == "exact"], part[part["kind"] == "bound"]
    first, last = float(exact["x"].min()), float(exact["x"].max())
    top = ROOM * float(exact["y"].max())
    low = float(min(exact["y"].min(), bound["y"].min() if len(bound) else np.inf)) / 1.15
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xlim(first / 1.4, last * 1.4)
    axis.set_ylim(low, top)
    layout.log_axis(axis.xaxis, first / 1.4, last * 1.4)
    layout.log_axis(axis.yaxis, low, top)
    if top / low < NARROW:
        axis.yaxis.set_major_locator(LogLocator(base=10, subs=(1.0, 1.5, 2.0, 3.0, 5.0, 7.0)))
    axis.plot(exact["x"], exact["y"], color=style.INK, linewidth=3.2, alpha=0.3, zorder=2,
              solid_capstyle="round")  # fmt: skip
    axis.plot(bound["x"], bound["y"], color=style.INK, linewidth=0.9, linestyle=(0, (3, 1.5)), zorder=3)
    names = [name for name in LABELS if (part["proxy"] == name).any()]
    for i, name in enumerate(names):
        rows = part[part["proxy"] == name]
        x = rows["x"] * 2 ** (0.5 * ((i + 0.5) / len(names) - 0.5))  # side by side, not on each other
        axis.vlines(x, rows["low"], rows["high"], color=COLOURS[name], linewidth=0.6, zorder=4)
        axis.plot(x, rows["y"], marker=MARKERS[name], color=COLOURS[name], linewidth=0.35,
                  markersize=1.7, markeredgewidth=0.4, zorder=5)  # fmt: skip


def _legend(made: Figure, frame: pd.DataFrame) -> None:
    handles = [
        Line2D([], [], color=style.INK, linewidth=3.2, alpha=0.3, label="exact $L(c)$"),
        Line2D([], [], color=style.INK, linewidth=0.9, linestyle=(0, (3, 1.5)),
               label="$L(T) + K(c^{-\\alpha} - T^{-\\alpha})$, state"),
    ]  # fmt: skip
    handles += [
        Line2D([], [], color=COLOURS[name], marker=MARKERS[name], linewidth=0.35, markersize=3,
               markeredgewidth=0.6, label=text)
        for name, text in LABELS.items()
        if (frame["proxy"] == name).any()
    ]  # fmt: skip
    handles += [
        Line2D([], [], linestyle="none", label=f"title: {REGIME_LABELS[r]}")
        for r in REGIMES
        if (frame["panel"] == r).any()
    ]
    made.legend(handles=handles, loc="lower center", fontsize=style.SMALL, borderaxespad=0.2,
                ncols=5 if made.get_figwidth() > 5 else 2, handlelength=1.8)  # fmt: skip
    shown = [r for r in REGIMES if (frame["panel"] == r).any()]
    for text, regime in zip(made.legends[0].get_texts()[-len(shown) :], shown, strict=True):
        text.set_color(REGIME_COLOURS[regime])


def _render(frame: pd.DataFrame, column: str) -> Figure:
    with style.context(column) as wide:
        tasks = list(dict.fromkeys(frame["task"]))
        if not tasks:
            return layout.nothing(wide, "No instance was benchmarked.")
        foot = 0.95 if wide > 5 else 1.45
        made, axes = layout.panels(wide, tasks, 0.74, foot=foot, inner=0.32, gap=0.3)
        left = min(axis.get_position().x0 for axis in axes.values())
        for task, axis in axes.items():
            part = frame[frame["task"] == task]
            _panel(axis, part)
            axis.title.set_color(REGIME_COLOURS[str(part["panel"].iloc[0])])
            if np.isclose(axis.get_position().x0, left):
                axis.set_ylabel("risk / Var $R$")
        for axis in layout.lowest(axes):
            axis.set_xlabel("depth $c$ (steps)")
        _legend(made, frame)
        return made


def draw(table: pd.DataFrame, *, column: str = "icml") -> Figure:
    """Draw a `lower_bound` table: a panel an instance; raises InputError for an unknown `column`."""
    return _render(collect(table), column)


def save(
    directory: str | Path,
    table: pd.DataFrame,
    *,
    column: str = "icml",
    formats: Sequence[str] = ("pdf", "png"),
    name: str = NAME,
) -> list[Path]:
    """Write DIRECTORY/lower_bound in each format with its CSV; return the paths."""
    style.check_formats(formats)
    frame = collect(table)
    return style.save(_render(frame, column), frame, directory, name, formats, column)
