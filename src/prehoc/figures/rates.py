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
DODGE = 0.006  # in alpha: the families share values of the theory


def name_of(row: Mapping[Any, Any]) -> str:
    """A schedule in words: `constant`, `rho 0.75, h 0.5`."""
    words = "rho-decay" if row["schedule"] == "rho" else str(row["schedule"])
    words += "" if np.isnan(row["rho"]) else f" {row['rho']:g}"
    return words + (f", h = {row['h']:g}" if row["h"] > 0 else "")


def collect(table: pd.DataFrame) -> pd.DataFrame:
    """The drawn rows: panel `alpha`, one a family's schedule and kind; panel `fit`, one a control.

    Kinds: `one` (an experiment with its interval), `mean` (over replicates, +- 1.96 se) and `exact`
    (fitted to the exact risk) with x the theory's alpha; `rejected`, x the share of experiments in
    which lack of fit rejects a power law, `note` the law that wins and how often.
    """
    rows: list[dict[str, Any]] = []
    for row in table.to_dict("records"):
        base = {"task": name_of(row), "proxy": row["family"]}
        if row["family"] == "control":
            note = f"{WINNERS[row['winner']]} wins {100 * row['winner_share']:.0f}%"
            rows.append(
                base | {"panel": "fit", "kind": "rejected", "x": row["lack_of_fit_rate"], "note": note}
            )
            continue
        at = base | {"panel": "alpha", "x": row["theory"]}
        one = {"y": row["alpha"], "low": row["alpha_low"], "high": row["alpha_high"]}
        half = 1.96 * row["alpha_se"]
        mean = {"y": row["alpha_mean"], "low": row["alpha_mean"] - half, "high": row["alpha_mean"] + half}
        rows += [at | {"kind": "one"} | one, at | {"kind": "mean"} | mean]
        rows.append(at | {"kind": "exact", "y": row["alpha_exact"]})
    return style.drawn(rows)


def _alpha(axis: Axes, part: pd.DataFrame) -> None:
    top = 1.02 * float(max(part["high"].max(), part["y"].max(), 0.1))
    axis.plot([0, top], [0, top], color=style.GREY, linewidth=0.8, zorder=1)
    for i, family in enumerate(name for name in LABELS if (part["proxy"] == name).any()):
        rows = part[part["proxy"] == family]
        colour, shift = COLOURS[family], (2 * i - 1) * DODGE
        one, mean, exact = (rows[rows["kind"] == kind] for kind in ("one", "mean", "exact"))
        axis.vlines(one["x"] + shift, one["low"], one["high"], color=colour, linewidth=0.9, zorder=3)
        axis.plot(one["x"] + shift, one["y"], MARKERS[family], color=colour, zorder=4)
        axis.plot(mean["x"] + shift, mean["y"], MARKERS[family], color=colour, zorder=5, markersize=4.6,
                  markerfacecolor="none", markeredgewidth=0.6)  # fmt: skip
        axis.plot(exact["x"] + shift, exact["y"], "_", color=style.INK, zorder=6, markersize=6,
                  markeredgewidth=0.8)  # fmt: skip
    axis.set_xlim(0, top)
    axis.set_ylim(0, top)
    axis.set_xlabel("theory's $\\alpha$")
    axis.set_ylabel("fitted $\\alpha$")


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
    axis.set_ylabel("fitted $-$ theory's $\\alpha$")


def _controls(axis: Axes, part: pd.DataFrame) -> None:
    places = np.arange(len(part))[::-1]
    axis.barh(places, part["x"], height=0.42, color=COLOURS["control"], zorder=2)
    axis.set_xlim(0, 1)
    axis.set_ylim(-0.6, len(part) - 0.3)
    axis.set_yticks([])
    axis.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{100 * x:g}%"))
    for y, task, note in zip(places, part["task"], part["note"], strict=True):
        axis.text(0.0, y + 0.26, f"{task}: {note}", fontsize=style.SMALL, va="bottom", ha="left")
    axis.set_xlabel("power law rejected ($p < .01$)")


def _render(frame: pd.DataFrame, column: str) -> Figure:
    with style.context(column) as wide:
        if frame.empty:
            return layout.nothing(wide, "No schedule was benchmarked.")
        count, foot, head = (3, 0.62, 0.14) if wide > 5 else (1, 0.85, 0.14)
        size, gap = (wide - 0.5 - 0.1 - (count - 1) * 0.5) / count, 0.5
        rows = 3 // count
        tall = head + rows * size + (rows - 1) * gap + foot
        made = style.figure(wide, tall)
        axes = []
        for i in range(3):
            row, place = divmod(i, count)
            x, y = 0.5 + place * (size + gap), tall - head - size - row * (size + gap)
            axes.append(made.add_axes((x / wide, y / tall, size / wide, size / tall)))
        known, controls = frame[frame["panel"] == "alpha"], frame[frame["panel"] == "fit"]
        _alpha(axes[0], known)
        _bias(axes[1], known)
        _controls(axes[2], controls)
        handles = [
            Line2D([], [], color=COLOURS[family], marker=MARKERS[family], linewidth=0.9, label=text)
            for family, text in LABELS.items()
            if (known["proxy"] == family).any()
        ]
        handles += [
            Line2D([], [], linestyle="none", marker="o", markerfacecolor="none", markersize=4.6,
                   markeredgewidth=0.6, color=style.INK, label="open: mean over replicates"),
            Line2D([], [], linestyle="none", marker="_", markersize=6, color=style.INK,
                   label="tick, line: fitted to the exact risk"),
        ]  # fmt: skip
        made.legend(handles=handles, loc="lower center", ncols=4 if wide > 5 else 1,
                    fontsize=style.SMALL, borderaxespad=0.2)  # fmt: skip
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
