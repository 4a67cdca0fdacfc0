"""The look that all figures share: sizes, fonts, colours, task names, files with fixed bytes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import matplotlib.style
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from tueplots import bundles

from prehoc import tables
from prehoc.errors import InputError

FORMATS = ("pdf", "png", "svg")
COLUMNS: dict[str, tuple[Any, dict[str, Any]]] = {
    "icml": (bundles.icml2024, {"column": "full"}),  # 6.75 in
    "icml_half": (bundles.icml2024, {"column": "half"}),  # 3.25 in
    "neurips": (bundles.neurips2023, {}),  # 5.5 in
}
DPI = 300
SMALL = 6.0  # points: the least size of any text
BODY = 7.0

# Okabe and Ito, without the yellow, which is too pale for a line on white.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "v", "P")
INK = "#222222"
GREY = "#8A8A8A"
SHADE = "#F6E3D8"

REGIME_COLOURS = {
    "static_sufficient": "#009E73",
    "dynamic_critical": "#0072B2",
    "noise_dominant": "#D55E00",
    "undecided": "#8A8A8A",
}
REGIME_MARKERS = {
    "static_sufficient": "o",
    "dynamic_critical": "^",
    "noise_dominant": "s",
    "undecided": "D",
}
REGIME_LABELS = {
    "static_sufficient": "Static-Sufficient",
    "dynamic_critical": "Dynamic-Critical",
    "noise_dominant": "Noise-Dominant",
    "undecided": "undecided",
}
PROXY_COLOURS = {"run_to_run": "#D55E00", "fork": "#0072B2", "residual": "#009E73"}
PROXY_MARKERS = {"run_to_run": "o", "fork": "s", "residual": "D"}

# Every figure's CSV has these columns; a figure leaves empty what it has no use for.
_WORDS = ["panel", "task", "proxy", "information", "kind", "note"]
_NUMBERS = ["x", "y", "low", "high", "x_low", "x_high"]
DRAWN = [*_WORDS[:-1], *_NUMBERS, _WORDS[-1]]

_RC = {
    # STIX is Times-like and travels with matplotlib: the same bytes on a machine without Times.
    "font.family": ["STIXGeneral", "DejaVu Sans"],
    "mathtext.fontset": "stix",
    "text.usetex": False,
    "pdf.fonttype": 42,
    "ps.fonttype": 42,
    "svg.hashsalt": "prehoc",
    "axes.linewidth": 0.5,
    "axes.edgecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.4,
    "lines.linewidth": 1.0,
    "lines.markersize": 3.2,
    "xtick.major.width": 0.5,
    "ytick.major.width": 0.5,
    "xtick.minor.width": 0.3,
    "ytick.minor.width": 0.3,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.minor.size": 1.5,
    "ytick.minor.size": 1.5,
    "xtick.major.pad": 2.0,
    "ytick.major.pad": 2.0,
    "axes.labelpad": 2.0,
    "axes.titlepad": 3.0,
    "legend.frameon": False,
    "legend.fontsize": BODY,
    "legend.handlelength": 1.8,
    "legend.columnspacing": 1.4,
    "axes.labelsize": BODY,
    "axes.titlesize": BODY,
    "figure.constrained_layout.use": False,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
}


def _bundle(column: str) -> dict[str, Any]:
    if column not in COLUMNS:
        raise InputError(f"figures.column: {column!r} is unknown; choose one of {list(COLUMNS)}")
    make, options = COLUMNS[column]
    return dict(make(usetex=False, **options))


def width(column: str) -> float:
    """Width in inches of a figure set in `column`; raises InputError for an unknown name."""
    return float(_bundle(column)["figure.figsize"][0])


@contextlib.contextmanager
def context(column: str) -> Iterator[float]:
    """Set our look for a while, whatever matplotlibrc says; yields the width in inches."""
    bundle = _bundle(column)
    with matplotlib.style.context(["default", bundle, _RC]):
        yield float(bundle["figure.figsize"][0])


def figure(wide: float, high: float) -> Figure:
    """An empty figure of this size in inches, tied to no window."""
    made = Figure(figsize=(wide, high))
    FigureCanvasAgg(made)
    return made


def label(task: str, length: int = 40) -> str:
    """A task's name as people read it: spaces for underscores, its middle cut beyond `length`."""
    words = " ".join(str(task).replace("_", " ").split()) or str(task)
    if len(words) <= length:
        return words
    head = (length - 1 + 1) // 2
    return words[:head].rstrip() + "…" + words[len(words) - (length - 1 - head) :].lstrip()


def order(wanted: Sequence[str] | None, *columns: Iterable[str]) -> list[str]:
    """Tasks in order: those of `wanted` that occur, or all, in order of first appearance."""
    seen = list(dict.fromkeys(task for column in columns for task in column))
    return seen if wanted is None else [task for task in wanted if task in seen]


def drawn(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """The rows that a figure draws as one frame with the columns DRAWN."""
    frame = pd.DataFrame(rows, columns=DRAWN)
    frame[_NUMBERS] = frame[_NUMBERS].astype("float64")
    frame[_WORDS] = frame[_WORDS].astype("object").fillna("")
    return frame


def check_formats(formats: Sequence[str]) -> list[str]:
    """The formats without repeats; raises InputError for an unknown one, or for none."""
    wanted = list(dict.fromkeys([formats] if isinstance(formats, str) else formats))
    unknown = [name for name in wanted if name not in FORMATS]
    if unknown or not wanted:
        raise InputError(f"figures.format: {unknown or 'none'} given; choose from {list(FORMATS)}")
    return wanted


def save(
    made: Figure,
    frame: pd.DataFrame,
    directory: str | Path,
    name: str,
    formats: Sequence[str],
    column: str,
) -> list[Path]:
    """Write DIRECTORY/NAME in each format and NAME.csv with what is drawn; return the paths.

    The bytes depend on the tables alone: no dates, and fixed salts for the identifiers in an SVG.
    """
    metadata: dict[str, dict[str, Any]] = {
        "pdf": {"CreationDate": None},
        "png": {"Software": None},
        "svg": {"Date": None},
    }
    paths = [Path(directory) / f"{name}.{suffix}" for suffix in [*check_formats(formats), "csv"]]
    with context(column):
        for path in paths[:-1]:
            kind = path.suffix[1:]
            with tables.atomic(path) as temporary:
                made.savefig(temporary, format=kind, dpi=DPI, metadata=metadata[kind])
    with tables.atomic(paths[-1]) as temporary:
        frame.to_csv(temporary, index=False, float_format="%.10g", lineterminator="\n")
    return paths
