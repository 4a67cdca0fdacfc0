"""The figure frontier: risk and regret against compute, each policy a mark, a column a regime.

Policies whose stop depends on the price of a step are lines over the prices.
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
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from prehoc.figures import layout, style

NAME = "frontier"
MEASURES = {
    "risk": "risk, share of Var $R$",
    "regret_go": "regret of go / no-go,\nsd of $R$",
    "regret_best": "regret of best of $k$,\nsd of $R$",
}
LINES: dict[str, tuple[str, str, Any]] = {  # policies that depend on the price: label, colour, dashes
    "oracle": ("best fixed depth in hindsight", style.GREY, (0, (1, 1.2))),
    "c_star": ("$c^*$", style.PALETTE[0], (0, (4, 1.6))),
    "c_star_guarded": ("$c^*$, guarded", style.PALETTE[0], "-"),
    "online": ("online", style.PALETTE[1], "-"),
}
MARKS = {  # the others: label, marker, colour, filled
    "no_probing": ("no probing", "o", style.INK, False),
    "shallow": ("shallow", "o", style.GREY, True),
    "deep": ("deep", "s", style.GREY, True),
    "full": ("full", "o", style.INK, True),
    "median_stop": ("median stopping", "^", style.PALETTE[2], True),
    "sha": ("successive halving", "D", style.PALETTE[3], True),
    "asha": ("ASHA", "D", style.PALETTE[3], False),
    "extrapolation_stop": ("curve extrapolation", "v", style.PALETTE[4], True),
}
ENTRIES = len(LINES) + len(MARKS)  # of the legend
LINEAR = 0.02  # share of T below which the axis is linear, so that zero has a place


def collect(table: pd.DataFrame, *, tasks: Sequence[str] | None = None) -> pd.DataFrame:
    """The drawn rows of a `policies` table: steps in shares of T in x, a measure in y with its interval.

    `panel` is the measure, `proxy` the policy, `information` the regime, `note` the price.  Kind `task` is
    a task's own; `regime` the average over the regime's tasks at prices that all of them have, whose
    interval takes the tasks as they are and their errors as independent.
    """
    rows: list[dict[str, Any]] = []
    for task in style.order(tasks, table["task"]):
        for row in table[table["task"] == task].to_dict("records"):
            unit = row["var_r"]
            for measure in MEASURES:
                scale = unit if measure == "risk" else unit**0.5
                ends = {k: row[f"{measure}_{k}"] / scale for k in ("low", "high")}
                base = {
                    "panel": measure,
                    "task": task,
                    "proxy": row["policy"],
                    "information": row["regime"],
                }
                at = {"x": row["steps_share"], "y": row[measure] / scale, **ends}
                rows.append(base | at | {"kind": "task", "note": f"{row['price']:.6g}"})
    alone = style.drawn(rows)
    pooled = []
    for group, part in alone.groupby(["information", "panel"], sort=False):
        number = part["task"].nunique()
        of: dict[str, Any] = {"task": "", "kind": "regime", "information": group[0], "panel": group[1]}
        for key, same in part.groupby(["proxy", "note"], sort=False):
            if len(same) < number:
                continue
            y, half = same["y"].mean(), np.sqrt((((same["high"] - same["low"]) / 2) ** 2).sum()) / number
            at = {"x": same["x"].mean(), "y": y, "low": max(y - half, 0.0), "high": y + half}
            pooled.append(of | {"proxy": key[0], "note": key[1]} | at)
    return pd.concat([alone, style.drawn(pooled)], ignore_index=True) if pooled else alone


def panel(axis: Axes, part: pd.DataFrame, ticks: Sequence[float]) -> None:
    """Draw the policies of `part` (rows of `collect`, of one measure): steps in shares of T against it."""
    axis.set_xscale("symlog", linthresh=LINEAR, linscale=0.4)
    axis.set_xlim(-0.003, 1.25)
    axis.xaxis.set_major_locator(FixedLocator(ticks))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{100 * x:g}%"))
    for policy, (_, colour, dashes) in LINES.items():
        rows = part[part["proxy"] == policy]
        rows = rows.assign(price=rows["note"].astype(float)).sort_values("price")
        axis.plot(rows["x"], rows["y"], color=colour, linestyle=dashes, linewidth=1.0, zorder=3,
                  marker="." if policy != "oracle" else None, markersize=3.0, clip_on=False)  # fmt: skip
    for policy, (_, marker, colour, filled) in MARKS.items():
        rows = part[part["proxy"] == policy].head(1)
        axis.vlines(rows["x"], rows["low"], rows["high"], color=colour, linewidth=0.7, zorder=4)
        axis.plot(rows["x"], rows["y"], marker, color=colour, markerfacecolor=colour if filled else "white",
                  markersize=4.2, markeredgewidth=0.8, zorder=5, clip_on=False)  # fmt: skip


def legend(made: Figure, columns: int) -> None:
    """Put a key of all policies below the panels, in so many columns."""
    handles = [
        Line2D([], [], linestyle="none", marker=marker, color=colour, markersize=4.2, markeredgewidth=0.8,
               markerfacecolor=colour if filled else "white", label=text)
        for text, marker, colour, filled in MARKS.values()
    ]  # fmt: skip
    for text, colour, dashes in LINES.values():
        handles.append(Line2D([], [], color=colour, linestyle=dashes, label=text))
    made.legend(handles=handles, loc="lower center", ncols=columns, fontsize=style.SMALL,
                borderaxespad=0.2, handlelength=2.2)  # fmt: skip


def _render(frame: pd.DataFrame, column: str) -> Figure:
    with style.context(column) as wide:
        pooled = frame[frame["kind"] == "regime"]
        regimes = [r for r in style.REGIME_LABELS if (pooled["information"] == r).any()]
        if not regimes:
            return layout.nothing(wide, "No task has policies that were judged.")
        narrow = wide < 5
        columns = 6 if wide > 6 else 4 if wide > 5 else 2
        foot = 0.42 + 0.13 * int(np.ceil(ENTRIES / columns))
        high, head, gap, left, inner = 1.15, 0.34 if narrow else 0.22, 0.16, 0.6, 0.36
        tall = head + 3 * high + 2 * gap + foot
        made = style.figure(wide, tall)
        each = min((wide - left - 0.1 - inner * (len(regimes) - 1)) / len(regimes), 3.2)
        for j, regime in enumerate(regimes):
            own = frame[(frame["kind"] == "task") & (frame["information"] == regime)]
            number = own["task"].nunique()
            for i, measure in enumerate(MEASURES):
                x, y = left + j * (each + inner), tall - head - high - i * (high + gap)
                axis = made.add_axes((x / wide, y / tall, each / wide, high / tall))
                part = pooled[(pooled["information"] == regime) & (pooled["panel"] == measure)]
                panel(axis, part, (0, 0.1, 1) if narrow else (0, 0.03, 0.1, 0.3, 1))
                axis.set_ylim(bottom=0)
                if i == 0:
                    many = f"{number} task{'s' if number > 1 else ''}"
                    end = "\n" if narrow else " "
                    axis.set_title(f"{style.REGIME_LABELS[regime]}{end}({many})", fontsize=style.BODY)
                if j == 0:
                    axis.set_ylabel(MEASURES[measure], va="bottom")
                    axis.yaxis.set_label_coords(-0.32 / each, 0.5)
                axis.tick_params(labelbottom=i == len(MEASURES) - 1)
                if i == len(MEASURES) - 1:
                    axis.set_xlabel("steps, share of $T$" if narrow else "steps a run, share of $T$")
        legend(made, columns)
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
    """Write DIRECTORY/frontier in each format with its CSV; return the paths."""
    style.check_formats(formats)
    frame = collect(table, tasks=tasks)
    return style.save(_render(frame, column), frame, directory, name, formats, column)
