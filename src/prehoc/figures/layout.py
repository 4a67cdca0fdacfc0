"""Where things go on a page: grids of small panels, readable log ticks, text keys, free labels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.text import Annotation
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from matplotlib.transforms import Bbox

from prehoc.figures import style

Cell = tuple[float, float, float, float]  # left, bottom, width, height, as shares of the page
PANEL_WIDTH = 1.6  # inches: the least width of a small panel


def number(value: float, _position: object = None) -> str:
    """A tick's text: plain digits, as powers would be set smaller than the least text size."""
    if value >= 10000 and value == int(value):
        return f"{int(value) // 1000:d}k" if value % 1000 == 0 else f"{int(value):d}"
    return f"{value:g}"


def log_axis(axis: Axis, low: float, high: float) -> None:
    """Label a log axis from `low` to `high` at the decades, or at 1, 2, 5 where these are few."""
    decades = math.log10(high / low)
    whole = math.floor(math.log10(high)) - math.ceil(math.log10(low)) + 1
    subs = (1.0, 2.0, 5.0) if whole < 2 or decades < 1.3 else (1.0,)
    axis.set_major_locator(LogLocator(base=10, subs=subs, numticks=6 if len(subs) == 1 else 12))
    axis.set_major_formatter(FuncFormatter(number))
    axis.set_minor_locator(LogLocator(base=10, subs=tuple(range(2, 10)), numticks=50))
    axis.set_minor_formatter(NullFormatter())


def chunks(items: Sequence[str], most: int) -> list[list[str]]:
    """Split into as few runs of at most `most` as will do, of even length."""
    count = math.ceil(len(items) / most)
    return [list(part) for part in np.array_split(np.array(items, dtype=object), count)] if count else []


def panels(
    wide: float,
    tasks: Sequence[str],
    high: float,
    foot: float,
    inner: float = 0.12,
    gap: float = 0.3,
) -> tuple[Figure, dict[str, Axes]]:
    """One small panel a task, each `high` inches; the figure grows downward.

    In inches: `foot` stays free below for labels and a legend, `inner` left of each inner panel,
    `gap` between rows.  Panels with none below them carry the labels of x.
    """
    left, right, head = 0.45, 0.08, gap - 0.1
    columns = max(1, min(len(tasks), int(wide // PANEL_WIDTH)))
    high *= 1.5 if columns <= 2 and wide > 5 else 1
    rows = max(1, math.ceil(len(tasks) / columns))
    panel = min((wide - left - right - inner * (columns - 1)) / columns, 3.2)
    left += (wide - left - right - panel * columns - inner * (columns - 1)) / 2
    tall = head + rows * high + (rows - 1) * gap + foot
    made = style.figure(wide, tall)
    axes: dict[str, Axes] = {}
    for i, task in enumerate(tasks):
        row, column = divmod(i, columns)
        x = left + column * (panel + inner)
        y = tall - head - high - row * (high + gap)
        axis = made.add_axes((x / wide, y / tall, panel / wide, high / tall))
        axis.set_title(style.label(task, 30), fontsize=style.BODY, parse_math=False)
        axis.tick_params(labelbottom=i + columns >= len(tasks))
        axes[task] = axis
    return made, axes


def lowest(axes: dict[str, Axes]) -> list[Axes]:
    """The panels of a grid with none below them: the last of each column."""
    return list({round(axis.get_position().x0, 6): axis for axis in axes.values()}.values())


def leftmost(axes: dict[str, Axes]) -> list[Axes]:
    """The panels of a grid with none to their left: the first of each row."""
    return [a for a in axes.values() if a.get_position().x0 < _left(axes) + 1e-6]


def _left(axes: dict[str, Axes]) -> float:
    return min(float(axis.get_position().x0) for axis in axes.values())


def nothing(wide: float, text: str) -> Figure:
    """A figure that says that there is nothing to draw, and why."""
    made = style.figure(wide, 1.0)
    made.text(0.5, 0.5, text, ha="center", va="center", fontsize=style.BODY, color=style.INK)
    return made


def key_text(axis: Axes, x: float, down: float, text: str, **given: Any) -> Annotation:
    """Write in a key: `x` as a share of the key's width, `down` points below its top."""
    options: dict[str, Any] = {"fontsize": style.SMALL, "va": "center", "ha": "left"}
    options |= {"gid": "key"} | given
    return axis.annotate(
        text, (x, 1.0), xycoords="axes fraction", xytext=(0, -down), textcoords="offset points",
        annotation_clip=False, **options,
    )  # fmt: skip


def key_marker(axis: Axes, x: float, down: float, line: bool = False, **given: Any) -> None:
    """Put a marker, on a short line if `line`, in a key; placed as by `key_text`."""
    box, inch = axis.get_window_extent(), axis.figure.dpi
    y = 1 - down / (box.height / inch * 72)
    if line:
        half = 0.09 / (box.width / inch)
        span = (x - half, x, x + half)
        axis.plot(span, (y, y, y), transform=axis.transAxes, clip_on=False, markevery=[1], **given)
    else:
        axis.plot([x], [y], transform=axis.transAxes, clip_on=False, linestyle="none", **given)


def blank(axis: Axes) -> Axes:
    """Make `axis` an empty space of 0 to 1 both ways, for a key."""
    axis.set_axis_off()
    axis.set_xlim(0, 1)
    axis.set_ylim(0, 1)
    return axis


def _overlap(one: Bbox, other: Bbox) -> float:
    across = min(one.x1, other.x1) - max(one.x0, other.x0)
    up = min(one.y1, other.y1) - max(one.y0, other.y0)
    return max(across, 0.0) * max(up, 0.0)


def free_places(
    anchors: np.ndarray, sizes: np.ndarray, frame: Bbox, bars: Sequence[Bbox], marker: float
) -> np.ndarray:
    """Centres for labels that neither cover each other nor a marker, near their anchors.

    All in points: `anchors` and `sizes` are [n, 2], `marker` is a marker's half width, `bars` are
    intervals that a label had better not cross.  Greedy, the most crowded anchor first.
    """
    marks = [Bbox.from_bounds(x - marker, y - marker, 2 * marker, 2 * marker) for x, y in anchors]
    placed: list[Bbox] = []
    centres = anchors.astype(float).copy()
    gaps = np.hypot(*(anchors[:, None, :] - anchors[None, :, :]).transpose(2, 0, 1))
    for i in np.argsort((gaps > 20).sum(axis=1), kind="stable"):
        best = math.inf
        wide, high = sizes[i]
        for radius in (7.0, 10.0, 14.0, 19.0, 25.0, 32.0, 40.0, 50.0):
            for turn in range(16):
                angle = math.pi * (turn / 8 + 0.25)
                x = anchors[i, 0] + radius * math.cos(angle)
                y = anchors[i, 1] + radius * math.sin(angle)
                box = Bbox.from_bounds(x - wide / 2, y - high / 2, wide, high)
                outside = wide * high - _overlap(box, frame)
                cost = 100 * outside + 50 * sum(_overlap(box, other) for other in placed)
                cost += 20 * sum(_overlap(box, other) for other in marks)
                cost += 3 * sum(_overlap(box, other) for other in bars) + radius
                others = np.delete(np.hypot(*(anchors - (x, y)).T), i)
                cost += 40 * (len(others) > 0 and others.min() < radius + 2)  # whose is it?
                if cost < best:
                    best, centres[i] = cost, (x, y)
        x, y = centres[i]
        placed.append(Bbox.from_bounds(x - wide / 2 - 0.5, y - high / 2 - 0.5, wide + 1, high + 1))
    return centres
