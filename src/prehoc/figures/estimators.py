"""The figure estimators: how near the estimators come to exact truth, instance by instance."""

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

NAME = "estimators"
REGIMES = ("dynamic_critical", "static_sufficient", "noise_dominant", "none")
BAND = (0.92, 0.98)  # of coverage, shaded
FLOOR = 1e-5  # regrets below are drawn here
PANELS = {
    "ratio": "RMSE / bound\nof $\\hat\\alpha$",
    "alpha": "coverage\nof $\\alpha$",
    "L_int": "coverage\nof $L(T)$",
    "U": "coverage\nof $L(c)$",
    "log_c_star": "coverage\nof $c^*$",
    "lack_of_fit": "power law\nrefused",
    "regret": "regret of $c^*$\n(of Var $R$)",
}
_COLOURS = ("#9DC3E0", "#3D87BF", "#0B3C5D")


def collect(estimators: pd.DataFrame, regret: pd.DataFrame) -> pd.DataFrame:
    """The drawn rows: panel, task (the instance), x the number, y the row, note N."""
    rows: list[dict[str, Any]] = []
    for row in estimators.to_dict("records"):
        base = {"task": row["instance"], "proxy": row["proxy"], "information": row["information"]}
        base |= {"kind": "point", "note": str(row["runs"])}
        rows.append(base | {"panel": row["quantity"], "x": row["coverage"]})
        if row["quantity"] == "alpha":
            kind = "point" if row["identified"] >= 0.99 else "not identified"
            rows.append(base | {"panel": "ratio", "kind": kind, "x": row["ratio"]})
    for row in regret.to_dict("records"):
        base = {"task": row["instance"], "kind": "point", "note": str(row["runs"])}
        rows.append(base | {"panel": "lack_of_fit", "x": row["lack_of_fit"]})
        rows.append(base | {"panel": "regret", "x": row["regret_guarded"]})
        rows.append(base | {"panel": "regret", "kind": "bound", "x": row["regret_bound"]})
    frame = style.drawn(rows)
    places = {name: float(i) for i, name in enumerate(_order(regret))}
    frame["y"] = frame["task"].map(places)
    return frame[frame["x"].notna()].reset_index(drop=True)


def _order(regret: pd.DataFrame) -> list[str]:
    rank = regret["regime"].map({name: i for i, name in enumerate(REGIMES)})
    ordered = regret.assign(rank=rank).sort_values(["rank", "instance"], kind="stable")
    return list(dict.fromkeys(ordered["instance"]))


def _scale(axis: Axes, panel: str, part: pd.DataFrame) -> None:
    if panel == "ratio":
        top = max(2.0, float(part["x"].to_numpy().max(initial=1.0)) * 1.1) if len(part) else 2.0
        axis.set_xscale("log")
        axis.set_xlim(0.8, top)
        axis.axvline(1.0, color=style.INK, linewidth=0.6, zorder=1)
        axis.xaxis.set_major_locator(FixedLocator([v for v in (1, 1.5, 2, 4, 8) if v <= top]))
        axis.xaxis.set_minor_locator(NullLocator())
        axis.xaxis.set_major_formatter(FuncFormatter(layout.number))
    elif panel == "regret":
        axis.set_xscale("log")
        axis.set_xlim(FLOOR / 1.4, 0.5)
        axis.xaxis.set_major_locator(FixedLocator([1e-5, 1e-3, 1e-1]))
        axis.xaxis.set_minor_locator(NullLocator())
        labels = {1e-5: "$10^{-5}$", 1e-3: "$10^{-3}$", 1e-1: "$10^{-1}$"}
        axis.xaxis.set_major_formatter(FuncFormatter(lambda x, _: labels.get(x, "")))
    elif panel == "lack_of_fit":
        axis.set_xlim(-0.08, 1.08)
        axis.xaxis.set_major_locator(FixedLocator([0, 0.5, 1]))
        axis.xaxis.set_major_formatter(FuncFormatter(layout.number))
    else:
        least = min(0.86, float(part["x"].to_numpy().min(initial=1.0)) - 0.01) if len(part) else 0.86
        axis.set_xlim(least, 1.012)
        axis.axvspan(*BAND, color="#E7EEF4", zorder=0, linewidth=0)
        axis.axvline(0.95, color=style.INK, linewidth=0.6, zorder=1)
        axis.xaxis.set_major_locator(FixedLocator([0.9, 0.95, 1.0]))
        axis.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}".lstrip("0")))


def _panel(axis: Axes, panel: str, part: pd.DataFrame, colours: dict[str, str]) -> None:
    for runs, colour in colours.items():
        of = part[part["note"] == runs]
        x = of["x"].clip(lower=FLOOR) if panel == "regret" else of["x"]
        for kind, marker, fill in (("point", "o", colour), ("not identified", "o", "white")):
            at = of["kind"] == kind
            axis.plot(x[at], of["y"][at], marker, color=colour, markerfacecolor=fill,
                      markersize=2.9, markeredgewidth=0.7, zorder=4, clip_on=False)  # fmt: skip
        at = of["kind"] == "bound"
        axis.plot(x[at], of["y"][at], "|", color=colour, markersize=5, markeredgewidth=1.0, zorder=3)
    _scale(axis, panel, part)


def _matrix(axis: Axes, confusion: pd.DataFrame) -> None:
    """True regime by named regime, shares of all trials of a true regime."""
    truths = [r for r in style.REGIME_LABELS if (confusion["truth"] == r).any()]
    names = [r for r in style.REGIME_LABELS if r != "undecided" or (confusion["named"] == r).any()]
    count = confusion.groupby("truth")["instance"].nunique()
    share = np.zeros((len(truths), len(names)))
    for i, truth in enumerate(truths):
        for j, name in enumerate(names):
            at = (confusion["truth"] == truth) & (confusion["named"] == name)
            share[i, j] = confusion.loc[at, "share"].sum() / count[truth]
    axis.imshow(share, cmap="Blues", vmin=0, vmax=1.4, aspect="auto")
    for i, j in np.ndindex(share.shape):
        axis.text(j, i, f"{share[i, j]:.3f}", ha="center", va="center", fontsize=style.SMALL,
                  color="white" if share[i, j] > 0.7 else style.INK)  # fmt: skip
    axis.set_xticks(range(len(names)), [style.REGIME_LABELS[n] for n in names], fontsize=style.SMALL)
    axis.set_yticks(range(len(truths)), [style.REGIME_LABELS[t] for t in truths], fontsize=style.SMALL)
    axis.tick_params(length=0)
    axis.grid(visible=False)
    axis.set_xlabel("named", fontsize=style.SMALL)
    axis.set_ylabel("true", fontsize=style.SMALL)
    runs = int(confusion["runs"].iloc[0])
    axis.set_title(f"regimes named from {runs} runs", fontsize=style.BODY)


def _render(frame: pd.DataFrame, regret: pd.DataFrame, confusion: pd.DataFrame, column: str) -> Figure:
    runs = [str(n) for n in sorted(regret["runs"].unique())]
    spread = [_COLOURS[int(i)] for i in np.linspace(0, len(_COLOURS) - 1, len(runs)).round()]
    colours = dict(zip(runs, spread, strict=True))
    names = _order(regret)
    with style.context(column) as wide:
        left, right, head, gap = 1.12, 0.1, 0.36, 0.09
        high, low = 0.118 * len(names) + 0.1, 1.32
        tall = head + high + low
        made = style.figure(wide, tall)
        width = (wide - left - right - gap * (len(PANELS) - 1)) / len(PANELS)
        for i, (panel, title) in enumerate(PANELS.items()):
            x = left + i * (width + gap)
            axis = made.add_axes((x / wide, low / tall, width / wide, high / tall))
            _panel(axis, panel, frame[frame["panel"] == panel], colours)
            axis.set_ylim(len(names) - 0.4, -0.6)
            axis.set_yticks(range(len(names)), names if i == 0 else [""] * len(names))
            axis.tick_params(axis="both", labelsize=style.SMALL)
            axis.set_title(title, fontsize=style.BODY)
        if len(confusion):
            box = (left / wide, 0.42 / tall, 3.0 / wide, 0.5 / tall)
            _matrix(made.add_axes(box), confusion)
        handles = [
            Line2D([], [], linestyle="none", marker="o", color=colour, label=f"$N = {n}$", markersize=3.5)
            for n, colour in colours.items()
        ]
        handles += [
            Line2D([], [], linestyle="none", marker="o", color=style.GREY, markerfacecolor="white",
                   markersize=3.5, label="$\\alpha$ identified in under 99 % of trials"),
            Line2D([], [], linestyle="none", marker="|", color=style.GREY, markersize=6,
                   label="regret that the Cramér-Rao bound entails"),
        ]  # fmt: skip
        made.legend(handles=handles, loc="lower left", bbox_to_anchor=((left + 3.25) / wide, 0.3 / tall),
                    fontsize=style.SMALL, handlelength=1.2)  # fmt: skip
        return made


def draw(
    estimators: pd.DataFrame, regret: pd.DataFrame, confusion: pd.DataFrame, *, column: str = "icml"
) -> Figure:
    """Draw the benchmark from its tables; raises InputError for an unknown `column`."""
    return _render(collect(estimators, regret), regret, confusion, column)


def save(
    directory: str | Path,
    estimators: pd.DataFrame,
    regret: pd.DataFrame,
    confusion: pd.DataFrame,
    *,
    column: str = "icml",
    formats: Sequence[str] = ("pdf", "png"),
) -> list[Path]:
    """Write DIRECTORY/estimators.{formats,csv}; return the paths."""
    style.check_formats(formats)
    frame = collect(estimators, regret)
    made = _render(frame, regret, confusion, column)
    return style.save(made, frame, directory, NAME, formats, column)
