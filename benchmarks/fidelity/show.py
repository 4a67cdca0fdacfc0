"""The comparison of curves as tables and as a figure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from prehoc.figures import layout, style
from speed.report import LABELS, table

UNITS = {"loss": "loss (nats)", "accuracy": "accuracy"}


def written(record: dict[str, Any]) -> str:
    """Markdown: means, standard deviations and p-values; the control; the verdict in a line."""
    body = [
        [
            *(LABELS.get(r["path"], r["path"]), r["precision"], r["metric"], str(r["depth"])),
            f"{r['mean']:.4f} / {r['mean_trainer']:.4f}",
            f"{r['sd']:.4f} / {r['sd_trainer']:.4f}",
            *(f"{r[name]:.2g}" for name in ("p_mean", "p_variance", "p_all_means", "p_all_variances")),
        ]
        for r in record["rows"]
    ]
    head = ["path", "precision", "metric", "depth", "mean, prehoc / Trainer", "sd, prehoc / Trainer"]
    parts = [table([*head, "p mean", "p variance", "p all means", "p all variances"], body)]
    body = [
        [
            LABELS.get(c["path"], c["path"]),
            *(f"{c[name]:.2g}" for name in ("p_holm", "p_all_means", "p_all_variances")),
            "yes" if c["caught"] else "no",
        ]
        for c in record["controls"]
    ]
    factor = record["controls"][0]["factor"]
    head = [f"control: learning rate x {factor:g}", "least p, Holm", "p all means", "p all variances"]
    parts.append(table([*head, "caught"], body))
    settings, count = record["settings"], 2 * len(record["rows"])
    words = "no difference" if record["equal"] else "a difference"
    parts.append(
        f"{settings['seeds']} seeds a side: {words} at {settings['alpha']:g} by Holm's test over {count} "
        f"p-values, the least {record['least_p']:.2g}."
    )
    return "\n\n".join(parts) + "\n"


def _panel(axis: Axes, curves: dict[str, Any], metric: str, keep: list[dict[str, Any]], path: str) -> None:
    depths = np.array(curves["depths"], float)
    names = [name for name in curves if name != "depths"]
    for i, name in enumerate(names):
        values = np.array(curves[name][metric])
        mean, sd = values.mean(0), values.std(0, ddof=1)
        at = depths * 1.06 ** (i - (len(names) - 1) / 2)
        colour, marker = style.PALETTE[i], style.MARKERS[i]
        axis.fill_between(at, mean - sd, mean + sd, color=colour, alpha=0.12, linewidth=0)
        axis.errorbar(at, mean, sd, color=colour, marker=marker, label=name, elinewidth=0.7)
        cells = zip(depths, mean, mean - sd, mean + sd, strict=True)
        keep += [
            {"panel": metric, "task": path, "kind": name, "x": x, "y": y, "low": low, "high": high}
            for x, y, low, high in cells
        ]
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(FixedLocator(depths))
    axis.xaxis.set_major_formatter(FuncFormatter(layout.number))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.set_ylabel(UNITS[metric])
    axis.set_title(LABELS.get(path, style.label(path, 30)), fontsize=style.BODY)


def draw(record: dict[str, Any], directory: Path, name: str) -> list[Path]:
    """Mean and one sd over seeds of both sides at each depth: a column a path, loss above accuracy."""
    paths = list(record["curves"])
    keep: list[dict[str, Any]] = []
    with style.context("icml") as wide:
        high, left, right, gap = 3.1, 0.42, 0.06, 0.5
        made = style.figure(wide, high)
        panel = min((wide - left - right - gap * (len(paths) - 1)) / len(paths), 2.4)
        for column, path in enumerate(paths):
            for row, metric in enumerate(UNITS):
                x, y = left + column * (panel + gap), 0.62 + (1 - row) * 1.22
                axis = made.add_axes((x / wide, y / high, panel / wide, 1.0 / high))
                _panel(axis, record["curves"][path], metric, keep, path)
                if row:
                    axis.set_title("")
                    axis.set_xlabel("depth (steps)")
                else:
                    axis.tick_params(labelbottom=False)
        handles: dict[str, Any] = {}
        for axis in made.axes:
            for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
                handles.setdefault(label, handle)
        made.legend(handles.values(), handles.keys(), loc="lower center", ncols=len(handles))
    return style.save(made, style.drawn(keep), directory, name, ["pdf", "png"], "icml")
