"""Fig. 3: the phase diagram, intrinsic share across and information rate alpha up, by reading.

The regime is a rule on iota and q (DESIGN 10), not on alpha: only iota >= 0.5 is shaded, the rest
of the plane has no fixed border between its two regimes.
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
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MultipleLocator
from matplotlib.transforms import Bbox

from prehoc.figures import layout, readings, style

NAME = "fig3_phase"
NOISE_FROM = 0.5  # iota from which a task is Noise-Dominant
BOUNDS = (0.02, 4.0)  # the range of alpha that the envelope searches
SPAN = (0.0135, 6.0)  # of the axis, somewhat wider
TITLES = {
    "a": "(a) the paper's proxy: run-to-run variance",
    "b": "(b) the theory's risk: $E[\\mathrm{Var}(R\\,|\\,I_c)]$",
}
ACROSS = {
    "a": "$L_{\\mathrm{int}}$ / $U$(first depth)  (share)",
    "b": "$L_{\\mathrm{int}}$ / Var $R$  (share)",
}


def _identified(fit: pd.Series) -> bool:
    return bool(fit["identified"]) and bool(np.isfinite(fit["alpha"]))


def collect(
    regimes: pd.DataFrame,
    envelope: pd.DataFrame,
    variance: pd.DataFrame,
    *,
    tasks: Sequence[str] | None = None,
) -> pd.DataFrame:
    """The drawn rows, one a task and panel: iota in x, alpha in y, each with its interval.

    Kinds: `point`; `interval`, where alpha is not identified (y is empty); `absent`, where the
    task has no such reading.  `note` is the regime.
    """
    rows: list[dict[str, Any]] = []
    for task in style.order(tasks, regimes["task"]):
        for panel, reading in readings.PANELS.items():
            base: dict[str, Any] = {"panel": panel, "task": task}
            of = regimes[(regimes["task"] == task) & (regimes["reading"] == reading)]
            chosen = readings.source(variance, task, reading, regimes)
            if chosen is not None and (of["proxy"] == chosen.proxy).any():
                of = of[of["proxy"] == chosen.proxy]
            if of.empty or not np.isfinite(of["iota"].iloc[0]):
                rows.append(base | {"kind": "absent", "note": "not measured"})
                continue
            row = of.iloc[0]
            source = readings.Source(row["proxy"], row["information"])
            base |= source._asdict() | {"x": row["iota"], "note": row["regime"]}
            base |= {"x_low": row["iota_low"], "x_high": row["iota_high"]}
            fit = readings.power(envelope, task, source)
            if fit is None:
                rows.append(base | {"kind": "interval"})
                continue
            base |= {"low": fit["alpha_low"], "high": fit["alpha_high"]}
            known = _identified(fit)
            alpha = fit["alpha"] if known else np.nan
            rows.append(base | {"kind": "point" if known else "interval", "y": alpha})
    return style.drawn(rows)


def _finite(value: float, otherwise: float) -> float:
    return float(value) if np.isfinite(value) else otherwise


def _anchor(row: pd.Series) -> float:
    """Where the marker stands: at alpha, else at the end of its interval that is not a bound."""
    if row["kind"] == "point":
        return float(row["y"])
    low, high = _finite(row["low"], 0.0), _finite(row["high"], np.inf)
    open_low, open_high = low <= BOUNDS[0] * 1.01, high >= BOUNDS[1] * 0.99
    if open_low and open_high:
        return float(np.sqrt(BOUNDS[0] * BOUNDS[1]))
    if open_low or open_high:
        return float(np.clip(high if open_low else low, *BOUNDS))
    return float(np.sqrt(low * high))


def _span(shown: pd.DataFrame) -> tuple[float, float]:
    """Limits of alpha: all that is known of it with some air, two decades at the least."""
    known = shown[["y", "low", "high"]].to_numpy().ravel()
    known = known[(known > BOUNDS[0] * 1.01) & (known < BOUNDS[1] * 0.99)]
    low, high = (known.min(), known.max()) if len(known) else BOUNDS
    return max(min(low / 2, 0.05), SPAN[0]), min(max(high * 1.6, 4.5), SPAN[1])


def _sign(axis: Axes, row: pd.Series) -> tuple[float, float, list[tuple[float, ...]]]:
    """Draw one task; return its place and its bars, in data units."""
    colour, marker = style.REGIME_COLOURS[row["note"]], style.REGIME_MARKERS[row["note"]]
    x, y = float(row["x"]), _anchor(row)
    x_low, x_high = _finite(row["x_low"], x), _finite(row["x_high"], x)
    low, high = _finite(row["low"], BOUNDS[0]), _finite(row["high"], BOUNDS[1])
    point = row["kind"] == "point"
    if point and not (np.isfinite(row["low"]) and np.isfinite(row["high"])):
        low = high = y
    ends = [low, high]
    if not point:
        # An end at a bound is open: its bar runs to the border and bears an arrow head.
        for i, (at_bound, head) in enumerate(
            [(low <= BOUNDS[0] * 1.01, "v"), (high >= BOUNDS[1] * 0.99, "^")]
        ):
            if at_bound:
                ends[i] = axis.get_ylim()[i] * (1.13, 1 / 1.13)[i]
                axis.plot([x], [ends[i]], head, color=colour, markersize=3, markeredgewidth=0,
                          alpha=0.8, clip_on=False, zorder=3)  # fmt: skip
    axis.plot([x, x], ends, color=colour, linewidth=0.8, alpha=0.8, zorder=3,
              linestyle="-" if point else (0, (2, 1.5)))  # fmt: skip
    axis.plot([x_low, x_high], [y, y], color=colour, linewidth=0.8, alpha=0.8, zorder=3)
    axis.plot([x], [y], marker, color=colour, markersize=5.2 if point else 4.4, zorder=4,
              markeredgewidth=0.6, markeredgecolor="white" if point else colour,
              markerfacecolor=colour if point else "white")  # fmt: skip
    return x, y, [(x, ends[0], x, ends[1]), (x_low, y, x_high, y)]


def _panel(axis: Axes, part: pd.DataFrame, numbers: dict[str, int], span: tuple[float, float]) -> None:
    """Draw one reading, each task by its number, with the numbers clear of each other."""
    shown = part[part["kind"] != "absent"]
    right = max(1.05, float(np.nanmax([*shown["x"], *shown["x_high"], 0.0])) * 1.03)
    axis.set_xlim(-0.05, min(right, 2.0))
    beyond = [str(numbers[t]) for t in shown.loc[shown["x"] > 2.0, "task"]]
    if beyond:  # variance that grows from next to nothing: thousands of times its first value
        axis.text(0.98, 0.02, f"off to the right: {', '.join(beyond)}", transform=axis.transAxes,
                  ha="right", va="bottom", fontsize=6)  # fmt: skip
        shown = shown[shown["x"] <= 2.0]
    axis.set_yscale("log")
    axis.set_ylim(*span)
    layout.log_axis(axis.yaxis, *span)
    axis.xaxis.set_major_locator(MultipleLocator(0.25))
    axis.xaxis.set_major_formatter(layout.number)
    axis.axvspan(NOISE_FROM, axis.get_xlim()[1], color=style.SHADE, zorder=0, linewidth=0)
    if shown.empty:
        axis.text(0.5, 0.5, "no task measured", transform=axis.transAxes, ha="center")
        return
    signs = [_sign(axis, row) for _, row in shown.iterrows()]
    points = 72 / axis.figure.dpi

    def place(xy: Sequence[tuple[float, ...]]) -> np.ndarray:
        return np.asarray(axis.transData.transform(np.array(xy)) * points)

    anchors = place([(x, y) for x, y, _ in signs])
    bars = [bar for _, _, both in signs for bar in both]
    boxes = [
        Bbox([one - 0.5, other + 0.5])
        for one, other in zip(place([b[:2] for b in bars]), place([b[2:] for b in bars]), strict=True)
    ]
    names = [str(numbers[task]) for task in shown["task"]]
    sizes = np.array([(3.6 * len(name) + 1.4, 6.4) for name in names])
    window = axis.get_window_extent()
    frame = Bbox(window.get_points() * points)
    centres = layout.free_places(anchors, sizes, frame, boxes, marker=3.0)
    for name, anchor, centre in zip(names, anchors, centres, strict=True):
        axis.annotate(
            name, place([(signs[0][0], signs[0][1])])[0], xycoords="figure points",
            xytext=tuple(centre), textcoords="figure points", ha="center", va="center",
            fontsize=style.BODY, color=style.INK, zorder=6, gid="number",
            path_effects=[withStroke(linewidth=1.2, foreground="white")],
        )  # fmt: skip
        far = float(np.hypot(*(centre - anchor)))
        if far > 9:
            tip = centre + (anchor - centre) * 4.5 / far
            ends = axis.transData.inverted().transform(np.array([anchor, tip]) / points)
            axis.plot(*ends.T, color=style.GREY, linewidth=0.5, zorder=3.5)


def _key(axis: Axes, frame: pd.DataFrame, numbers: dict[str, int], columns: int) -> None:
    """Numbers, names, and each task's regime in either panel."""
    inch = axis.get_window_extent().width / axis.figure.dpi
    deep = -(-len(numbers) // columns)
    for c in range(min(columns, len(numbers))):
        for letter, at in (("(a)", 0.08), ("(b)", 0.28)):
            layout.key_text(axis, c / columns + at / inch, 4, letter, ha="center")
    for i, (task, number) in enumerate(numbers.items()):
        column, line = divmod(i, deep)
        x, down = column / columns, 14 + line * 9.0
        for panel, at in (("a", 0.08), ("b", 0.28)):
            row = frame[(frame["task"] == task) & (frame["panel"] == panel)].iloc[0]
            if row["kind"] == "absent":
                layout.key_text(axis, x + at / inch, down, "–", ha="center")
                continue
            colour = style.REGIME_COLOURS[row["note"]]
            layout.key_marker(
                axis, x + at / inch, down, marker=style.REGIME_MARKERS[row["note"]], color=colour,
                markersize=4.2, markerfacecolor=colour if row["kind"] == "point" else "white",
            )  # fmt: skip
        layout.key_text(axis, x + 0.53 / inch, down, str(number), fontsize=style.BODY, ha="right")
        layout.key_text(axis, x + 0.58 / inch, down, style.label(task, 26), parse_math=False)


def _legend(made: Figure, frame: pd.DataFrame, columns: int) -> None:
    handles: list[Line2D | Patch] = [
        Line2D([], [], linestyle="none", marker=style.REGIME_MARKERS[name], markersize=4.6,
               markeredgewidth=0, color=style.REGIME_COLOURS[name], label=style.REGIME_LABELS[name])
        for name in style.REGIME_LABELS
        if (frame["note"] == name).any()
    ]  # fmt: skip
    if (frame["kind"] == "interval").any():
        handles.append(
            Line2D([], [], color=style.INK, linestyle=(0, (2, 1.5)), linewidth=0.8, marker="o",
                   markerfacecolor="white", markersize=4.2, label="α not identified: interval only")
        )  # fmt: skip
    handles.append(Patch(color=style.SHADE, linewidth=0, label="$\\iota \\geq$ 0.5: Noise-Dominant"))
    made.legend(handles=handles, loc="lower center", ncols=min(columns, len(handles)),
                fontsize=style.SMALL, borderaxespad=0.2, handlelength=1.6)  # fmt: skip


def _render(frame: pd.DataFrame, column: str) -> Figure:
    numbers = {task: i for i, task in enumerate(dict.fromkeys(frame["task"]), start=1)}
    with style.context(column) as wide:
        if not numbers:
            return layout.nothing(wide, "No task has a regime.")
        beside = wide > 5
        key_wide = 1.75 if beside else wide - 0.2
        deep = 14 + 9 * (len(numbers) if beside else -(-len(numbers) // 2))
        key_high = deep / 72
        side = (wide - 0.42 - 0.3 - 0.04 - key_wide - 0.1) / 2 if beside else (wide - 0.42 - 0.24) / 2
        tall = max(2.1, key_high) if beside else 2.0
        foot = (0.6 if wide > 6 else 0.72) if beside else 0.42 + key_high + 0.62
        high = 0.22 + tall + foot
        made = style.figure(wide, high)
        gap = 0.3 if beside else 0.2
        for j, panel in enumerate(readings.PANELS):
            axis = made.add_axes(((0.42 + j * (side + gap)) / wide, foot / high, side / wide, tall / high))
            title = TITLES[panel] if beside else f"({panel}) {'run-to-run' if panel == 'a' else 'theory'}"
            axis.set_title(title, fontsize=style.BODY)
            axis.set_xlabel(ACROSS[panel])
            if panel == "a":
                axis.set_ylabel("information rate $\\alpha$  (exponent)")
            else:
                axis.tick_params(labelleft=False)
            _panel(axis, frame[frame["panel"] == panel], numbers, _span(frame))
        left, bottom = (wide - key_wide, foot + tall - key_high) if beside else (0.1, 0.58)
        place = (left / wide, bottom / high, key_wide / wide, key_high / high)
        _key(layout.blank(made.add_axes(place)), frame, numbers, 1 if beside else 2)
        _legend(made, frame, 9 if wide > 6 else (4 if beside else 2))
        return made


def draw(
    regimes: pd.DataFrame,
    envelope: pd.DataFrame,
    variance: pd.DataFrame,
    *,
    tasks: Sequence[str] | None = None,
    column: str = "icml",
) -> Figure:
    """Draw Fig. 3 from the regimes and envelope tables; variance says which proxy panel (b) shows.

    `tasks` picks and orders; raises InputError for an unknown `column`.
    """
    return _render(collect(regimes, envelope, variance, tasks=tasks), column)


def save(
    directory: str | Path,
    regimes: pd.DataFrame,
    envelope: pd.DataFrame,
    variance: pd.DataFrame,
    *,
    tasks: Sequence[str] | None = None,
    column: str = "icml",
    formats: Sequence[str] = ("pdf", "png"),
    name: str = NAME,
) -> list[Path]:
    """Write DIRECTORY/fig3_phase in each format with its CSV; return the paths."""
    style.check_formats(formats)
    frame = collect(regimes, envelope, variance, tasks=tasks)
    return style.save(_render(frame, column), frame, directory, name, formats, column)
