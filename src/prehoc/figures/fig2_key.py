"""The key of Fig. 2: each task's sign, name and slopes beside its row, and a legend at the foot."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from prehoc.figures import layout, readings, style

_LINE = 7.6  # points from one line of text to the next
_SHORT = {"exponential": "exp."}


def slope(row: pd.Series) -> str:
    """A slope in words: `α = 0.50 [0.45, 0.55]`, the interval alone if it is not identified."""
    if row["kind"] == "absent":
        return row["note"]
    interval = f"[{row['low']:.2f}, {row['high']:.2f}]"
    if pd.isna(row["low"]) or pd.isna(row["high"]):
        interval = ""
    proxy = readings.NAMES[row["proxy"]]
    if row["note"] == "no fit":
        return f"{proxy}: no fit"
    if row["note"] == "not identified" or pd.isna(row["y"]):
        return f"{proxy}: α in {interval}, not identified" if interval else f"{proxy}: α not identified"
    words = f"{proxy}: α = {row['y']:.2f} {interval}".rstrip()
    if row["note"].startswith("rival"):
        rival = row["note"].removeprefix("rival: ")
        words += f" †{_SHORT.get(rival, rival)}"
    return words


def key(axis: Axes, frame: pd.DataFrame, name: str, members: list[str]) -> None:
    """Fill the key of one row of the figure."""
    slopes = frame[frame["kind"].isin(["slope", "absent"])]
    top = 2.0
    if name:
        layout.key_text(axis, 0.0, top, name, fontsize=style.BODY, fontweight="bold", parse_math=False)
        top += 9.5
    inch = axis.get_window_extent().width / axis.figure.dpi
    for i, task in enumerate(members):
        down = top + i * (3 * _LINE + 2.0)
        layout.key_marker(
            axis, 0.1 / inch, down, line=True, color=style.PALETTE[i], marker=style.MARKERS[i]
        )
        indent = 0.26 / inch
        layout.key_text(axis, indent, down, style.label(task, 34), fontsize=style.BODY, parse_math=False)
        for j, panel in enumerate(readings.PANELS, start=1):
            row = slopes[(slopes["task"] == task) & (slopes["panel"] == panel)].iloc[0]
            layout.key_text(axis, indent, down + j * _LINE, f"({panel}) {slope(row)}")


def footer(made: Figure, frame: pd.DataFrame, columns: int) -> None:
    """A legend of what the signs mean, below all rows; only of signs that occur."""
    lines = frame[frame["kind"] == "line"]
    points = frame[frame["kind"] == "point"]
    ink: dict[str, Any] = {"color": style.INK, "markeredgewidth": 0.7}
    handles: list[tuple[bool, Line2D | Patch]] = [
        (
            bool((lines["note"] == "").any()),
            Line2D([], [], color=style.INK, label="fitted envelope"),
        ),
        (
            bool(lines["low"].notna().any()),
            Patch(color=style.INK, alpha=0.15, linewidth=0, label="its band"),
        ),
        (
            bool((lines["note"] != "").any()),
            Line2D([], [], color=style.INK, linestyle=(0, (4, 1.6)),
                   label="α not identified, or a rival law (†) fits better"),
        ),
        (
            bool((frame["kind"] == "truth").any()),
            Line2D([], [], color="black", linewidth=0.6, linestyle=(0, (2.5, 1.5)),
                   label="exact $L(c)$"),
        ),
        (
            bool((points["note"] == "before onset").any()),
            Line2D([], [], linestyle="none", marker="o", markerfacecolor="white", **ink,
                   label="before the onset"),
        ),
        (
            bool((points["note"] == "zero").any()),
            Line2D([], [], linestyle="none", marker="$\\downarrow$", markersize=6, color=style.INK,
                   markeredgewidth=0.2, label="zero"),
        ),
        (True, Line2D([], [], color=style.GREY, linewidth=0.6, label="Var $R$")),
    ]  # fmt: skip
    shown = [handle for occurs, handle in handles if occurs]
    made.legend(
        handles=shown,
        loc="lower center",
        ncols=min(columns, len(shown)),
        fontsize=style.SMALL,
        handlelength=1.8,
        columnspacing=1.2,
        borderaxespad=0.2,
    )
