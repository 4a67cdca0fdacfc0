"""Fig. 2: how uncertainty falls with depth, in log-log, under the paper's proxy and the theory's.

A row holds a group of at most four tasks: panel (a) the run-to-run variance, panel (b)
E[Var(R | I_c)], each as a share of Var R, and a key with each task's slope alpha.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from prehoc.figures import layout, readings, style
from prehoc.figures.fig2_key import footer, key

NAME = "fig2_decay"
PER_ROW = 4
GRID = 80
ROW = 1.42  # inches
TITLES = {
    "a": "(a) the paper's proxy: run-to-run variance",
    "b": "(b) the theory's risk: $E[\\mathrm{Var}(R\\,|\\,I_c)]$",
}
SHORT = {"a": "(a) run-to-run", "b": "(b) $E[\\mathrm{Var}(R|I_c)]$"}


def curve(
    depth: np.ndarray, L_int: float, K: float, alpha: float, horizon: float, shift: float
) -> np.ndarray:
    """The finite-horizon envelope mu(c) = L_int + K ((c+s)^-alpha - (T+s)^-alpha) at each depth."""
    law = (depth + shift) ** -alpha - (horizon + shift) ** -alpha
    return np.asarray(L_int + K * law)


def band(depth: np.ndarray, fit: pd.Series, shift: float) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest curve with alpha and L_int at the ends of their intervals.

    The intervals are marginal, and alpha and K move together: each curve's reducible part keeps
    its fitted level at the pivot, the mean log depth weighted by (d log mu / d log K)^2, where
    level and slope are uncorrelated.  NaN where an interval is unknown.
    """
    horizon = float(fit["horizon"])
    best = curve(depth, fit["L_int"], fit["K"], fit["alpha"], horizon, shift)
    with np.errstate(divide="ignore", invalid="ignore"):
        weight = np.nan_to_num(((best - fit["L_int"]) / best) ** 2)
    if not weight.sum() > 0:
        return best - fit["L_int"] + fit["L_int_low"], best - fit["L_int"] + fit["L_int_high"]
    pivot = np.exp(np.average(np.log(depth + shift), weights=weight, keepdims=True)) - shift
    level = curve(pivot, 0.0, fit["K"], fit["alpha"], horizon, shift)
    curves = [best]
    for L_int in (fit["L_int_low"], fit["L_int_high"]):
        for alpha in (fit["alpha_low"], fit["alpha_high"]):
            K = float((level / curve(pivot, 0.0, 1.0, alpha, horizon, shift))[0])
            curves.append(curve(depth, L_int, K, alpha, horizon, shift))
    return np.min(curves, axis=0), np.max(curves, axis=0)


def _points(measured: pd.DataFrame, onset: float, scale: float, base: dict) -> list[dict[str, Any]]:
    rows = []
    for row in measured.sort_values("depth").to_dict("records"):
        note = "zero" if row["risk"] <= 0 else ("before onset" if row["depth"] < onset else "")
        interval = {"low": row["ci_low"] / scale, "high": row["ci_high"] / scale}
        point = {"x": row["depth"], "y": row["risk"] / scale, "note": note}
        rows.append(base | {"kind": "point"} | point | interval)
    return rows


def _line(
    fit: pd.Series, first: float, scale: float, note: str, shift: float, base: dict
) -> list[dict[str, Any]]:
    horizon = float(fit["horizon"])
    start = max(first, fit["onset"] if np.isfinite(fit["onset"]) else first, 1.0)
    if not np.isfinite([fit["L_int"], fit["K"], fit["alpha"]]).all() or start >= horizon:
        return []
    depth = np.geomspace(start, horizon, GRID)
    middle = curve(depth, fit["L_int"], fit["K"], fit["alpha"], horizon, shift)
    low = high = np.full(GRID, np.nan)
    if note != "not identified":
        low, high = band(depth, fit, shift)
    columns = zip(depth, middle / scale, low / scale, high / scale, strict=True)
    return [
        base | {"kind": "line", "x": x, "y": y, "low": lo, "high": hi, "note": note}
        for x, y, lo, hi in columns
    ]


def _truth(truth: pd.DataFrame, task: str, information: str, scale: float, base: dict) -> list[dict]:
    exact = truth[(truth["task"] == task) & (truth["depth"] > 0)]
    known = set(exact["information"])
    chosen = information if information in known else ("state" if "state" in known else None)
    exact = exact[exact["information"] == chosen].sort_values("depth")
    base = base | {"kind": "truth", "information": chosen}
    return [base | {"x": d, "y": r / scale} for d, r in zip(exact["depth"], exact["risk"], strict=True)]


def _of(shift: float | Mapping[str, float], task: str) -> float:
    return float(shift.get(task, 0.5)) if isinstance(shift, Mapping) else shift


def collect(
    variance: pd.DataFrame,
    envelope: pd.DataFrame,
    truth: pd.DataFrame | None = None,
    *,
    tasks: Sequence[str] | None = None,
    shift: float | Mapping[str, float] = 0.5,
) -> pd.DataFrame:
    """The drawn rows: kinds point, line (the envelope), slope (alpha in y) and truth.

    Depths (x) in optimiser steps, risks (y, low, high) as shares of Var R.  `shift` is the
    half-step that the envelope adds to a depth.  A task without a positive Var R has one row of
    kind `absent`, which says so.
    """
    rows: list[dict[str, Any]] = []
    for task in style.order(tasks, variance["task"]):
        for panel, reading in readings.PANELS.items():
            chosen = readings.source(variance, task, reading, envelope)
            base: dict[str, Any] = {"panel": panel, "task": task}
            of = (
                variance[variance["task"] == task]
                if chosen is None
                else readings.rows(variance, task, chosen)
            )
            var_r = of["var_r"].dropna()  # a curve's own: run_to_run may be in another unit than R
            scale = float(var_r.iloc[0]) if len(var_r) else float("nan")
            if chosen is None or not scale > 0:
                note = "not measured" if chosen is None else "Var R is not positive"
                rows.append(base | {"kind": "absent", "note": note})
                continue
            base |= {"proxy": chosen.proxy, "information": chosen.information}
            measured = readings.rows(variance, task, chosen)
            measured = measured[(measured["depth"] > 0) & measured["risk"].notna()]
            fit = readings.power(envelope, task, chosen)
            onset = 0.0 if fit is None or not np.isfinite(fit["onset"]) else float(fit["onset"])
            rows += _points(measured, onset, scale, base)
            note = readings.verdict(envelope, task, chosen)
            if fit is None:
                rows.append(base | {"kind": "slope", "note": note})
            else:
                rows += _line(fit, float(measured["depth"].min()), scale, note, _of(shift, task), base)
                alpha = {"y": fit["alpha"], "low": fit["alpha_low"], "high": fit["alpha_high"]}
                rows.append(base | {"kind": "slope", "note": note} | alpha)
            if truth is not None and panel == "b":
                rows += _truth(truth, task, chosen.information, scale, base)
    return style.drawn(rows)


def grouped(frame: pd.DataFrame, groups: Mapping[str, Sequence[str]] | None) -> list[tuple[str, list[str]]]:
    """Rows of the figure: (group name, at most four tasks).

    Without `groups`, tasks with an exact truth come last under the name `synthetic`.
    """
    present = list(dict.fromkeys(frame["task"]))
    if groups is None:
        exact = set(frame.loc[frame["kind"] == "truth", "task"])
        real = [task for task in present if task not in exact]
        groups = {"": real, "synthetic": [task for task in present if task in exact]}
    named = {task for members in groups.values() for task in members}
    groups = dict(groups) | {"other": [task for task in present if task not in named]}
    rows: list[tuple[str, list[str]]] = []
    for name, members in groups.items():
        parts = layout.chunks([task for task in members if task in present], PER_ROW)
        count = len(parts)
        rows += [
            (f"{name} ({i}/{count})" if name and count > 1 else name, part)
            for i, part in enumerate(parts, start=1)
        ]
    return rows


def _limits(part: pd.DataFrame) -> tuple[float, float]:
    """Limits of y: all points and the tops of their intervals, at least a decade, at most six."""
    values = part.loc[part["kind"] == "point", ["y", "high"]].to_numpy().ravel()
    values = values[np.isfinite(values) & (values > 0)]
    if not len(values):
        return 0.2, 2.0
    high = max(1.25, values.max() * 1.25)
    return max(min(values.min() / 1.5, high / 10), high * 1e-6), high


def _panel(axis: Axes, part: pd.DataFrame, members: list[str], span: tuple[float, float]) -> None:
    axis.set_xscale("log")
    axis.set_yscale("log")
    low, high = _limits(part)
    axis.set_xlim(*span)
    axis.set_ylim(low, high)
    layout.log_axis(axis.xaxis, *span)
    layout.log_axis(axis.yaxis, low, high)
    axis.axhline(1.0, color=style.GREY, linewidth=0.6, zorder=1)
    for i, task in enumerate(members):
        colour, marker = style.PALETTE[i], style.MARKERS[i]
        of_task = part[part["task"] == task]
        line = of_task[of_task["kind"] == "line"]
        if len(line):
            axis.fill_between(line["x"], line["low"].clip(lower=low / 9), line["high"],
                              color=colour, alpha=0.15, linewidth=0, zorder=2)  # fmt: skip
            dashes = (0, (4, 1.6)) if line["note"].iloc[0] else "-"
            shown = line[line["y"] > 0]
            axis.plot(shown["x"], shown["y"], color=colour, linestyle=dashes, zorder=3)
        exact = of_task[(of_task["kind"] == "truth") & (of_task["y"] > 0)]
        axis.plot(exact["x"], exact["y"], color="black", linewidth=0.7, linestyle=(0, (2.5, 1.5)),
                  zorder=3.5)  # fmt: skip
        dots = of_task[of_task["kind"] == "point"]
        axis.vlines(dots["x"], dots["low"].clip(lower=low / 9), dots["high"], color=colour,
                    linewidth=0.7, zorder=3)  # fmt: skip
        for note, fill in (("", colour), ("before onset", "white")):
            at = dots[dots["note"] == note]
            axis.plot(at["x"], at["y"], marker, color=colour, markerfacecolor=fill,
                      markeredgewidth=0.7, zorder=4)  # fmt: skip
        zero = dots[dots["note"] == "zero"]
        axis.plot(zero["x"], np.full(len(zero), low), linestyle="none", color=colour,
                  marker="$\\downarrow$", markersize=6, markeredgewidth=0.2, clip_on=False,
                  zorder=6)  # fmt: skip


def _render(
    frame: pd.DataFrame, column: str, groups: Mapping[str, Sequence[str]] | None, unit: str
) -> Figure:
    with style.context(column) as wide:
        rows = grouped(frame, groups)
        if not rows or not (frame["kind"] == "point").any():
            return layout.nothing(wide, "No task has a measured risk and a positive Var R.")
        beside = wide > 5
        made, cells = _page(wide, rows, beside)
        for i, (name, members) in enumerate(rows):
            at = frame[frame["task"].isin(members)]
            depths = at.loc[at["kind"].isin(["point", "line"]), "x"]
            span = (depths.min() / 1.25, depths.max() * 1.25) if len(depths) else (0.8, 12.5)
            for j, panel in enumerate(readings.PANELS):
                axis = made.add_axes(cells[i][j])
                _panel(axis, at[at["panel"] == panel], members, span)
                if i == 0:
                    axis.set_title(TITLES[panel] if beside else SHORT[panel], fontsize=style.BODY)
                if i == len(rows) - 1 or not beside:
                    axis.set_xlabel(f"depth $c$ ({unit})")
                axis.set_ylabel(f"{'$U(c)$' if panel == 'a' else '$L(c)$'} / Var $R$  (share)")
            key(layout.blank(made.add_axes(cells[i][2])), frame, name, members)
        footer(made, frame, 2 if not beside else (9 if wide > 6 else 4))
        return made


def _page(
    wide: float, rows: list[tuple[str, list[str]]], beside: bool
) -> tuple[Figure, list[list[layout.Cell]]]:
    """An empty page, and for each row the places of its two panels and its key, beside or below."""
    head, foot, gap = 0.22, 0.62 if wide > 6 else 0.72, 0.3
    keys = [0.2 + 0.36 * len(members) for _, members in rows]
    below = [gap if beside else 0.42 + key + gap for key in keys]
    high = head + sum(ROW + space for space in below) - gap + foot
    made = style.figure(wide, high)
    key_wide = 1.95 if beside else wide - 0.3
    panel = (wide - 0.45 - 0.5 - 0.06 - (key_wide + 0.12) * beside) / 2
    cells, bottom = [], high - head - ROW
    for key_high, space in zip(keys, below, strict=True):
        places = [(0.45 + j * (panel + 0.5), bottom, panel, ROW) for j in (0, 1)]
        at_key = (wide - key_wide - 0.04, bottom) if beside else (0.2, bottom - 0.42 - key_high)
        places.append((*at_key, key_wide, ROW if beside else key_high))
        cells.append([(x / wide, y / high, w / wide, h / high) for x, y, w, h in places])
        bottom -= ROW + space
    return made, cells


def draw(
    variance: pd.DataFrame,
    envelope: pd.DataFrame,
    truth: pd.DataFrame | None = None,
    *,
    tasks: Sequence[str] | None = None,
    groups: Mapping[str, Sequence[str]] | None = None,
    shift: float | Mapping[str, float] = 0.5,
    column: str = "icml",
    unit: str = "optimiser steps",
) -> Figure:
    """Draw Fig. 2 from the variance and envelope tables, and the truth table where there is one.

    `tasks` picks and orders; `groups` (name to tasks) makes the rows; `column` sets the width;
    `unit` is what depths are counted in.  Raises InputError for an unknown `column`.
    """
    frame = collect(variance, envelope, truth, tasks=tasks, shift=shift)
    return _render(frame, column, groups, unit)


def save(
    directory: str | Path,
    variance: pd.DataFrame,
    envelope: pd.DataFrame,
    truth: pd.DataFrame | None = None,
    *,
    tasks: Sequence[str] | None = None,
    groups: Mapping[str, Sequence[str]] | None = None,
    shift: float | Mapping[str, float] = 0.5,
    column: str = "icml",
    formats: Sequence[str] = ("pdf", "png"),
    name: str = NAME,
    unit: str = "optimiser steps",
) -> list[Path]:
    """Write DIRECTORY/fig2_decay in each format with its CSV; return the paths."""
    style.check_formats(formats)
    frame = collect(variance, envelope, truth, tasks=tasks, shift=shift)
    return style.save(_render(frame, column, groups, unit), frame, directory, name, formats, column)
