"""The crossing's cells in the phase diagram: a column a task, a row a reading, both intervals.

Below each panel a strip holds the cells whose alpha is not identified, at their iota alone.  A reading
without any identified alpha is strips alone.  What lies beyond a border ends in an arrow there.
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
FAR = (1.1, 1.6, 2.0, 2.5, 4.0)  # where a reading's axis of iota may end
WITHIN, WHOLE = 0.95, 0.6  # shares of a reading's cells, and of their intervals, that its axis holds
NEAR = -0.04  # the other border: intervals may begin below 0
MAIN, ROW, LOW = 1.5, 0.036, 0.3  # inches: a panel, a cell of a strip, the least strip
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


def _arrows(axis: Axes, ends: Sequence[float], span: tuple[float, float], at: float, signs: str,
            colour: str) -> None:  # fmt: skip
    """An arrow at each border that the interval `ends` goes beyond; `signs` are low's and high's."""
    for end, border, sign in zip(ends, span, signs, strict=True):
        beyond = end > border if border == span[1] else end < border
        if beyond:
            place = (at, border) if signs == "v^" else (border, at)
            axis.plot(*[[v] for v in place], sign, color=colour, markersize=2.6, markeredgewidth=0,
                      zorder=3, clip_on=False, gid="arrow")  # fmt: skip


def _marked(axis: Axes, row: pd.Series, y: float, far: float, looks: Any) -> None:
    """Draw one cell at height y, its iota's interval with it."""
    colours, markers, fills = looks
    colour, fill = colours[row["proxy"]], fills[row["note"].split()[0]]
    x, low, high = (float(np.clip(row[k], NEAR, far)) for k in ("x", "x_low", "x_high"))
    if np.isfinite(low) and np.isfinite(high):
        axis.plot([low, high], [y, y], color=colour, linewidth=0.6, alpha=0.45, zorder=2)
        _arrows(axis, (row["x_low"], row["x_high"]), (NEAR, far), y, "<>", colour)
    axis.plot([x], [y], markers[row["information"]], color=colour, fillstyle=fill, markersize=4.0, zorder=4,
              markeredgewidth=0.7, markerfacecoloralt="white", clip_on=False,
              markerfacecolor="white" if fill == "none" else colour)  # fmt: skip


def _panel(axis: Axes, part: pd.DataFrame, span: tuple[float, float], far: float, looks: Any) -> None:
    """The cells of a task and reading whose alpha is identified, by iota and alpha."""
    _wide(axis, far)
    axis.set_yscale("log")
    axis.set_ylim(*span)
    layout.log_axis(axis.yaxis, *span)
    axis.tick_params(labelbottom=False)
    known = part[part["kind"] == "point"]
    for _, row in known.iterrows():
        ends = [float(np.clip(v, *span)) for v in (row["low"], row["high"])]
        x, colour = float(np.clip(row["x"], NEAR, far)), looks[0][row["proxy"]]
        axis.plot([x, x], ends, color=colour, linewidth=0.6, alpha=0.45, zorder=2)
        _arrows(axis, (row["low"], row["high"]), span, x, "v^", colour)
        _marked(axis, row, float(np.clip(row["y"], *span)), far, looks)
    if known.empty:
        axis.text(0.5, 0.5, "no α identified", transform=axis.transAxes, ha="center", va="center",
                  fontsize=style.SMALL, color=style.GREY)  # fmt: skip


def _strip(strip: Axes, part: pd.DataFrame, rows: int, far: float, looks: Any) -> None:
    """The cells of a task and reading whose alpha is not identified, one under another by their looks."""
    _wide(strip, far)
    strip.set_yticks([])
    unknown = part[part["kind"] == "unknown"]
    strip.set_ylim(max(rows, 1), -1)
    ordered = unknown.sort_values(["proxy", "information", "note"])
    for height, (_, row) in enumerate(ordered.iterrows()):
        _marked(strip, row, height, far, looks)
    if unknown.empty:
        strip.text(0.5, 0.5, "none", transform=strip.transAxes, ha="center", va="center",
                   fontsize=style.SMALL, color=style.GREY)  # fmt: skip


def _wide(axis: Axes, far: float) -> None:
    edge = 0.02 * far
    axis.set_xlim(-0.05, far + edge)
    axis.axvspan(NOISE_FROM, far + edge, color=style.SHADE, zorder=0, linewidth=0)
    axis.xaxis.set_major_locator(MultipleLocator(0.25 if far < 1.5 else 0.5 if far < 3 else 1.0))
    axis.xaxis.set_major_formatter(layout.number)


def _far(part: pd.DataFrame) -> float:
    """Where a reading's axis of iota ends: the first place that holds enough of its cells, or the last."""
    seen = part.loc[part["x"].notna(), ["x", "x_high"]].fillna(0.0)
    if seen.empty:
        return FAR[1]
    holds = [far for far in FAR if (seen <= far).mean().ge([WITHIN, WHOLE]).all()]
    return holds[0] if holds else FAR[-1]


def _counts(part: pd.DataFrame, far: float) -> str:
    regimes = [note.split()[-1] for note in part["note"]]
    said = [f"{regimes.count(name)} {word}" for name, word in SHORT.items() if name in regimes]
    beyond = int((part["x"] > far).sum())
    return ", ".join(said) + (f"  ({beyond} beyond ι = {far:g})" if beyond else "")


def _span(frame: pd.DataFrame) -> tuple[float, float]:
    """Limits of a reading's alpha: all points, nine tenths of their intervals' ends, within [.02, 6]."""
    points = frame.loc[frame["kind"] == "point", ["y", "low", "high"]].to_numpy(float)
    points = points[np.isfinite(points).all(1) & (points > 0).all(1)]
    if not len(points):
        return 0.1, 4.0
    low = min(points[:, 0].min(), float(np.quantile(points[:, 1], 0.1))) / 1.15
    high = max(points[:, 0].max(), float(np.quantile(points[:, 2], 0.9))) * 1.15
    middle = np.sqrt(low * high)  # a factor of 4 at the least, so that little does not look like much
    return max(min(low, middle / 2), 0.02), min(max(high, middle * 2), 6.0)


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
        between, row_gap = 0.06, 0.62
        side = (wide - left - right - gap * (len(tasks) - 1)) / len(tasks)
        shown = {r: frame[frame["panel"] == r] for r in READINGS}
        mains = {r: MAIN if (part["kind"] == "point").any() else 0.0 for r, part in shown.items()}
        most = {r: int(_unknown(part).max()) if len(_unknown(part)) else 0 for r, part in shown.items()}
        lows = {r: max(LOW, ROW * (most[r] + 1)) for r in READINGS}
        heights = [mains[r] + (between if mains[r] else 0.0) + lows[r] for r in READINGS]
        tall = head + sum(heights) + (len(READINGS) - 1) * row_gap + foot
        made = style.figure(wide, tall)
        top = tall - head
        for (reading, words), each in zip(READINGS.items(), heights, strict=True):
            main, span, far = mains[reading], _span(shown[reading]), _far(shown[reading])
            for j, task in enumerate(tasks):
                x = left + j * (side + gap)
                part = shown[reading][shown[reading]["task"] == task]
                strip = made.add_axes((x / wide, (top - each) / tall, side / wide, lows[reading] / tall))
                _strip(strip, part, most[reading], far, looks)
                upper = strip
                if main:
                    upper = made.add_axes((x / wide, (top - main) / tall, side / wide, main / tall))
                    _panel(upper, part, span, far, looks)
                    upper.tick_params(labelleft=j == 0)
                upper.set_title(f"{style.label(task, 30)}, {words}\n{_counts(part, far)}",
                                fontsize=style.BODY, parse_math=False, linespacing=1.1)  # fmt: skip
                if j == 0:
                    strip.set_ylabel("α not\nidentified", fontsize=style.SMALL)
                    if main:
                        upper.set_ylabel("information rate $\\alpha$")
                end = "Var $R$" if reading == "residual" else "$U$(first depth)"
                strip.set_xlabel(f"$\\iota$ = $L(T)$ / {end}  (share)", labelpad=1.5)
            top -= each + row_gap
        _key(made, looks)
        return made


def _unknown(part: pd.DataFrame) -> pd.Series:
    """How many cells of each task have no identified alpha."""
    return part[part["kind"] == "unknown"].groupby("task").size()


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
