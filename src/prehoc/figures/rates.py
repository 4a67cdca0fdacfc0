"""The figure rates: alpha-hat against the theory's alpha, and the schedules without a power law."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from prehoc.figures import layout, style

NAME = "rates"
LABELS = {
    "rho": "flat direction: $2\\rho - 1$",
    "curvature": "$\\rho = 1$, curvature $h$: $1 - 2h\\eta_0$",
}
COLOURS = {"rho": style.PALETTE[0], "curvature": style.PALETTE[1], "control": style.GREY}
MARKERS = {"rho": "o", "curvature": "s"}
WINNERS = {
    "power": "power law",
    "exponential": "exponential",
    "flat": "flat",
    "late": "late-revealing",
}
SIZES = (2.4, 4.2, 6.4)  # markers of the controls, by the number of runs
DODGE = 0.006  # in alpha: the families share values of the theory


def name_of(row: Mapping[Any, Any]) -> str:
    """A schedule in words: `constant`, `rho 0.75, h 0.5`."""
    words = "rho-decay" if row["schedule"] == "rho" else str(row["schedule"])
    words += "" if np.isnan(row["rho"]) else f" {row['rho']:g}"
    return words + (f", h = {row['h']:g}" if row["h"] > 0 else "")


def collect(table: pd.DataFrame) -> pd.DataFrame:
    """The drawn rows: panel `alpha`, one a family's schedule and kind; panel `fit`, one a control.

    Kinds: `one` (an experiment with its interval), `mean` (over replicates, +- 1.96 se) and `exact`
    (fitted to the exact risk) with x the theory's alpha; `rejected`, x the share of experiments of
    y runs in which lack of fit rejects a power law, `note` the law that wins by AIC and how often.
    """
    rows: list[dict[str, Any]] = []
    for row in table.to_dict("records"):
        base = {"task": name_of(row), "proxy": row["family"]}
        if row["family"] == "control":
            note = f"{WINNERS[row['winner']]} wins {100 * row['winner_share']:.0f}%"
            at = {"x": row["lack_of_fit_rate"], "y": row["n"], "note": note}
            rows.append(base | {"panel": "fit", "kind": "rejected"} | at)
            continue
        at = base | {"panel": "alpha", "x": row["theory"]}
        one = {"y": row["alpha"], "low": row["alpha_low"], "high": row["alpha_high"]}
        half = 1.96 * row["alpha_se"]
        mean = {"y": row["alpha_mean"], "low": row["alpha_mean"] - half, "high": row["alpha_mean"] + half}
        rows += [at | {"kind": "one"} | one, at | {"kind": "mean"} | mean]
        rows.append(at | {"kind": "exact", "y": row["alpha_exact"]})
    return style.drawn(rows)


def _alpha(axis: Axes, part: pd.DataFrame) -> None:
    one = part[part["kind"] == "one"]
    top = 1.02 * float(max(one["high"].max(), one["x"].max()))
    axis.plot([0, top], [0, top], color=style.GREY, linewidth=0.8, zorder=1)
    for i, family in enumerate(name for name in LABELS if (one["proxy"] == name).any()):
        rows = one[one["proxy"] == family]
        x, colour = rows["x"] + (2 * i - 1) * DODGE, COLOURS[family]
        axis.vlines(x, rows["low"], rows["high"], color=colour, linewidth=0.9, zorder=3)
        axis.plot(x, rows["y"], MARKERS[family], color=colour, zorder=4)
    axis.set_xlim(0, top)
    axis.set_ylim(0, top)
    axis.set_xlabel("theory's $\\alpha$")
    axis.set_ylabel("fitted $\\alpha$, one experiment")


def _bias(axis: Axes, part: pd.DataFrame) -> None:
    axis.axhline(0, color=style.GREY, linewidth=0.8, zorder=1)
    for i, family in enumerate(name for name in LABELS if (part["proxy"] == name).any()):
        rows = part[part["proxy"] == family]
        shift = (2 * i - 1) * DODGE
        mean, exact = (rows[rows["kind"] == kind].sort_values("x") for kind in ("mean", "exact"))
        colour = COLOURS[family]
        axis.plot(exact["x"] + shift, exact["y"] - exact["x"], "-", color=colour, linewidth=0.8, zorder=3)
        axis.vlines(mean["x"] + shift, mean["low"] - mean["x"], mean["high"] - mean["x"], color=colour,
                    linewidth=0.9, zorder=4)  # fmt: skip
        axis.plot(mean["x"] + shift, mean["y"] - mean["x"], MARKERS[family], color=colour, zorder=5,
                  markersize=4.0, markerfacecolor="white", markeredgewidth=0.7)  # fmt: skip
    axis.set_xlim(0, 1.06)
    axis.set_xlabel("theory's $\\alpha$")
    axis.set_ylabel("mean fitted $-$ theory's $\\alpha$")


def _controls(axis: Axes, part: pd.DataFrame) -> list[Line2D]:
    """A row a control, a dot a number of runs; returns the handles of its key."""
    tasks, counts = list(dict.fromkeys(part["task"])), sorted(part["y"].unique())
    for row, task in enumerate(reversed(tasks)):
        of = part[part["task"] == task].sort_values("y")
        axis.hlines(row, 0, 1, color="#E4E4E4", linewidth=0.6, zorder=1, clip_on=False)
        for x, count in zip(of["x"], of["y"], strict=True):
            size = SIZES[min(counts.index(count), len(SIZES) - 1)]
            axis.plot(x, row, "o", markersize=size, markerfacecolor="none", zorder=3, clip_on=False,
                      color=style.INK, markeredgewidth=0.7)  # fmt: skip
        text = f"{task}: {of['note'].iloc[-1]}"
        axis.text(0.0, row + 0.26, text, fontsize=style.SMALL, va="bottom", ha="left")
    axis.set_xlim(0, 1)
    axis.set_ylim(-0.5, len(tasks) - 0.1)
    axis.set_yticks([])
    axis.grid(False)
    axis.spines["left"].set_visible(False)
    axis.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{100 * x:g}%"))
    axis.set_xlabel("experiments in which the power law is rejected")
    return [
        Line2D([], [], linestyle="none", marker="o", markerfacecolor="none", markeredgewidth=0.7,
               color=style.INK, markersize=SIZES[min(i, len(SIZES) - 1)], label=f"{count:g} runs")
        for i, count in enumerate(counts)
    ]  # fmt: skip


def _render(frame: pd.DataFrame, column: str) -> Figure:
    with style.context(column) as wide:
        if frame.empty:
            return layout.nothing(wide, "No schedule was benchmarked.")
        abreast = wide > 5
        foot, head, left, right, gap = (0.62 if abreast else 1.15), 0.14, 0.42, 0.16, 0.5
        size = (wide - left - right - 2 * gap) / 3 if abreast else wide - left - right
        tall = head + size + foot if abreast else head + 3 * size + 2 * gap + foot
        made = style.figure(wide, tall)
        axes = []
        for i in range(3):
            x = left + (i * (size + gap) if abreast else 0)
            y = tall - head - size - (0 if abreast else i * (size + gap))
            start = 0.28 if abreast and i == 2 else 0.0  # this panel has no ticks at its left
            axes.append(made.add_axes(((x - start) / wide, y / tall, (size + start) / wide, size / tall)))
        known, controls = frame[frame["panel"] == "alpha"], frame[frame["panel"] == "fit"]
        handles = [
            Line2D([], [], color=COLOURS[family], marker=MARKERS[family], linewidth=0.9, label=text)
            for family, text in LABELS.items()
            if (known["proxy"] == family).any()
        ]
        if len(known):
            _alpha(axes[0], known)
            _bias(axes[1], known)
            handles.append(Line2D([], [], color=style.INK, linewidth=0.8, label="fitted to the exact risk"))
        if len(controls):
            handles += _controls(axes[2], controls)
        made.legend(handles=handles, loc="lower center", ncols=6 if abreast else 2,
                    fontsize=style.SMALL, borderaxespad=0.2, columnspacing=1.0)  # fmt: skip
        return made


def draw(table: pd.DataFrame, *, column: str = "icml") -> Figure:
    """Draw a `rates` table; raises InputError for an unknown `column`."""
    return _render(collect(table), column)


def save(
    directory: str | Path,
    table: pd.DataFrame,
    *,
    column: str = "icml",
    formats: Sequence[str] = ("pdf", "png"),
    name: str = NAME,
) -> list[Path]:
    """Write DIRECTORY/rates in each format with its CSV; return the paths."""
    style.check_formats(formats)
    frame = collect(table)
    return style.save(_render(frame, column), frame, directory, name, formats, column)
