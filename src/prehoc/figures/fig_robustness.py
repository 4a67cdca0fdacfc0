"""The crossing's cells in the phase diagram: a column a task, a row a reading, both intervals.

Below each panel a strip holds the cells whose alpha is not identified, at their iota alone.
"""

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
from matplotlib.ticker import MultipleLocator

from prehoc.figures import layout, style

NAME = "robustness"
NOISE_FROM = 0.5  # iota from which a cell is Noise-Dominant
READINGS = {"residual": "residual on the metric", "run_to_run": "run to run"}
SHORT = {
    "static_sufficient": "static",
    "dynamic_critical": "dynamic",
    "noise_dominant": "noise",
    "undecided": "undecided",
}
FAR = 1.6  # iota beyond which a cell stands at the border
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<")
FILLS = ("full", "none", "left", "bottom")


def collect(table: pd.DataFrame) -> pd.DataFrame:
    """The drawn rows of a `robustness` table: iota in x, alpha in y, each with its interval.

    Kinds: `point`; `unknown`, where alpha is not identified (y is empty); `absent`, without iota. `task`
    is the cell's task, `panel` its reading, `proxy` its optimiser, `information` its method and model,
    joined by a space; `note` its schedule and regime, likewise.
    """
    rows: list[dict[str, Any]] = []
    for row in table.to_dict("records"):
        base = {"task": row["task"], "panel": row["reading"], "proxy": row["optimiser"]}
        base |= {"information": f"{row['method']} {row['model']}"}
        base |= {"note": f"{row['schedule']} {row['regime']}"}
        if not np.isfinite(row["iota"]):
            rows.append(base | {"kind": "absent"})
            continue
        base |= {"x": row["iota"], "x_low": row["iota_low"], "x_high": row["iota_high"]}
        known = bool(row["identified"]) and np.isfinite(row["alpha"])
        if known:
            base |= {"y": row["alpha"], "low": row["alpha_low"], "high": row["alpha_high"]}
        rows.append(base | {"kind": "point" if known else "unknown"})
    return style.drawn(rows)


def _looks(frame: pd.DataFrame) -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
    """Colours by optimiser, markers by method and model, fills by schedule; in order of appearance."""
    schedules = [note.split()[0] for note in frame["note"]]
    return (
        {n: style.PALETTE[i % len(style.PALETTE)] for i, n in enumerate(dict.fromkeys(frame["proxy"]))},
        {n: MARKERS[i % len(MARKERS)] for i, n in enumerate(dict.fromkeys(frame["information"]))},
        {n: FILLS[i % len(FILLS)] for i, n in enumerate(dict.fromkeys(schedules))},
    )


def _marked(axis: Axes, row: pd.Series, y: float, looks: Any) -> None:
    """Draw one cell at height y, its iota's interval with it."""
    colours, markers, fills = looks
    colour, fill = colours[row["proxy"]], fills[row["note"].split()[0]]
    x, low, high = (float(np.clip(row[k], -0.04, FAR)) for k in ("x", "x_low", "x_high"))
    if np.isfinite(low) and np.isfinite(high):
        axis.plot([low, high], [y, y], color=colour, linewidth=0.6, alpha=0.45, zorder=2)
    axis.plot([x], [y], markers[row["information"]], color=colour, fillstyle=fill, markersize=4.0, zorder=4,
              markeredgewidth=0.7, markerfacecoloralt="white", clip_on=False,
              markerfacecolor="white" if fill == "none" else colour)  # fmt: skip


def _panel(axis: Axes, strip: Axes, part: pd.DataFrame, span: tuple[float, float], looks: Any) -> None:
    for one in (axis, strip):
        one.set_xlim(-0.05, FAR + 0.03)
        one.axvspan(NOISE_FROM, FAR + 0.03, color=style.SHADE, zorder=0, linewidth=0)
        one.xaxis.set_major_locator(MultipleLocator(0.5))
        one.xaxis.set_major_formatter(layout.number)
    axis.set_yscale("log")
    axis.set_ylim(*span)
    layout.log_axis(axis.yaxis, *span)
    axis.tick_params(labelbottom=False)
    strip.set_yticks([])
    known, unknown = part[part["kind"] == "point"], part[part["kind"] == "unknown"]
    for _, row in known.iterrows():
        ends = [float(np.clip(v, *span)) for v in (row["low"], row["high"])]
        axis.plot([np.clip(row["x"], -0.04, FAR)] * 2, ends, color=looks[0][row["proxy"]], linewidth=0.6,
                  alpha=0.45, zorder=2)  # fmt: skip
        _marked(axis, row, float(row["y"]), looks)
    if known.empty:
        axis.text(0.5, 0.5, "no α identified", transform=axis.transAxes, ha="center", va="center",
                  fontsize=style.SMALL, color=style.GREY)  # fmt: skip
    strip.set_ylim(-1, max(len(unknown), 1))
    ordered = unknown.sort_values(["proxy", "information", "note"])
    for height, (_, row) in enumerate(ordered.iterrows()):
        _marked(strip, row, height, looks)
    if unknown.empty:
        strip.text(0.5, 0.5, "none", transform=strip.transAxes, ha="center", va="center",
                   fontsize=style.SMALL, color=style.GREY)  # fmt: skip


def _counts(part: pd.DataFrame) -> str:
    regimes = [note.split()[-1] for note in part["note"]]
    said = [f"{regimes.count(name)} {word}" for name, word in SHORT.items() if name in regimes]
    beyond = int((part["x"] > FAR).sum())
    return ", ".join(said) + (f"  ({beyond} beyond ι = {FAR:g})" if beyond else "")


def _span(frame: pd.DataFrame) -> tuple[float, float]:
    """Limits of alpha: the identified points and their intervals, no further than [.02, 6]."""
    seen = frame.loc[frame["kind"] == "point", ["y", "low", "high"]].to_numpy(float).ravel()
    seen = seen[np.isfinite(seen) & (seen > 0)]
    if not len(seen):
        return 0.1, 4.0
    return max(min(float(seen.min()) / 1.2, 0.5), 0.02), min(max(float(seen.max()) * 1.2, 2.0), 6.0)


def _key(made: Figure, looks: Any) -> None:
    colours, markers, fills = looks
    handles: list[Line2D | Patch] = [
        Line2D([], [], linestyle="none", marker="o", markersize=4.4, color=colour, label=name)
        for name, colour in colours.items()
    ]
    handles += [
        Line2D([], [], linestyle="none", marker=marker, markersize=4.2, color=style.INK,
               label=style.label(name, 26))
        for name, marker in markers.items()
    ]  # fmt: skip
    handles += [
        Line2D([], [], linestyle="none", marker="o", markersize=4.2, color=style.GREY, fillstyle=fill,
               markerfacecoloralt="white", markerfacecolor="white" if fill == "none" else style.GREY,
               label=f"{name} schedule")
        for name, fill in fills.items()
    ]  # fmt: skip
    handles.append(Patch(color=style.SHADE, linewidth=0, label="$\\iota \\geq$ 0.5: Noise-Dominant"))
    wide = made.get_figwidth()
    made.legend(handles=handles, loc="lower center", ncols=5 if wide > 5 else 3, fontsize=style.SMALL,
                borderaxespad=0.2, columnspacing=1.2, handletextpad=0.3)  # fmt: skip


def _render(frame: pd.DataFrame, column: str) -> Figure:
    tasks = list(dict.fromkeys(frame["task"]))
    with style.context(column) as wide:
        if frame.empty or (frame["kind"] == "absent").all():
            return layout.nothing(wide, "No cell of the crossing was measured.")
        looks = _looks(frame)
        left, right, gap, head, foot = 0.5, 0.12, 0.3, 0.34, 0.72 if wide > 5 else 1.15
        main, low, between, row_gap = 1.5, 0.75, 0.06, 0.42
        side = (wide - left - right - gap * (len(tasks) - 1)) / len(tasks)
        each = main + between + low
        tall = head + len(READINGS) * each + (len(READINGS) - 1) * row_gap + foot
        made = style.figure(wide, tall)
        span = _span(frame)
        for i, (reading, words) in enumerate(READINGS.items()):
            for j, task in enumerate(tasks):
                x = left + j * (side + gap)
                top = tall - head - i * (each + row_gap)
                axis = made.add_axes((x / wide, (top - main) / tall, side / wide, main / tall))
                strip = made.add_axes((x / wide, (top - each) / tall, side / wide, low / tall))
                part = frame[(frame["task"] == task) & (frame["panel"] == reading)]
                _panel(axis, strip, part, span, looks)
                axis.set_title(f"{style.label(task, 30)}, {words}\n{_counts(part)}", fontsize=style.BODY,
                               parse_math=False, linespacing=1.1)  # fmt: skip
                if j == 0:
                    axis.set_ylabel("information rate $\\alpha$")
                    strip.set_ylabel("α not\nidentified", fontsize=style.SMALL)
                else:
                    axis.tick_params(labelleft=False)
                if i == len(READINGS) - 1:
                    strip.set_xlabel(
                        "$\\iota$ = $L(T)$ / Var $R$  (share; for run to run / $U$(first depth))"
                    )
        _key(made, looks)
        return made


def draw(table: pd.DataFrame, *, column: str = "icml") -> Figure:
    """Draw a `robustness` table; raises InputError for an unknown `column`."""
    return _render(collect(table), column)


def save(
    directory: str | Path,
    table: pd.DataFrame,
    *,
    column: str = "icml",
    formats: Sequence[str] = ("pdf", "png"),
    name: str = NAME,
) -> list[Path]:
    """Write DIRECTORY/robustness in each format with its CSV; return the paths."""
    style.check_formats(formats)
    frame = collect(table)
    return style.save(_render(frame, column), frame, directory, name, formats, column)
