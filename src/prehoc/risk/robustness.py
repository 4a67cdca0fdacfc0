"""How far L_int, alpha and regimes move over a crossing of task, optimiser, schedule, method and model.

A cell of the crossing is a task of its own, with its own tables. Here they are put in one table, and its
variation is told by axis: main effects of a random-effects regression (the cells' own intervals as known
errors, what the axes leave as one variance between cells), and how often a regime is a cell's twin's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from prehoc.tables import AXES

Array = NDArray[np.float64]

# The table's reading, and the reading and proxy of a task's own tables that it is.
READINGS = {"run_to_run": ("run_to_run", "run_to_run"), "residual": ("bayes", "residual")}
# A share of Var R as it is; a ratio of two variances, which has no upper end, in natural logs.
IOTA = {"run_to_run": "ln_iota", "residual": "iota"}
NONE = float("nan")
_TAU_STEPS = 60  # bisections of the variance between cells


@dataclass(frozen=True)
class Tables:
    """A cell's own tables; and `outcome` [N], R of its runs, nan where one failed."""

    variance: pd.DataFrame
    envelope: pd.DataFrame
    c_star: pd.DataFrame
    regimes: pd.DataFrame
    outcome: Array


def cell_rows(
    cell: str, levels: Mapping[str, str], found: Tables, price: float, information: str = "last"
) -> list[dict[str, Any]]:
    """A cell's rows of the table `robustness`: one a reading, nan where it was not measured.

    `levels` names the cell's level on each axis; c* is the guarded one at that price
    of the tables which is nearest to `price`.
    """
    lost = float(np.mean(~np.isfinite(found.outcome))) if len(found.outcome) else NONE
    good = found.outcome[np.isfinite(found.outcome)]
    prices = found.c_star["price"].dropna().unique()
    shown = min(prices, key=lambda p: abs(np.log(p / price)), default=NONE)
    rows = []
    for reading, (theirs, proxy) in READINGS.items():
        sees = information if proxy == "residual" else "last"
        u, fits, where = (f[f["proxy"] == proxy] for f in (found.variance, found.envelope, found.regimes))
        where = where[where["reading"] == theirs]
        fits = fits[fits["model"] == "power"]
        stop = found.c_star[(found.c_star["proxy"] == proxy) & (found.c_star["rule"] == "guarded")]
        u, fits, stop = (f[f["information"] == sees] for f in (u, fits, stop[stop["price"] == shown]))
        row: dict[str, Any] = {"cell": cell, **{axis: levels[axis] for axis in AXES}, "reading": reading}
        row["runs"] = len(found.outcome)
        row["failed_share"] = lost
        row["mean_r"] = float(good.mean()) if len(good) else NONE
        row["var_r"] = float(u["var_r"].iloc[0]) if len(u) else NONE
        for name in ("iota", "iota_low", "iota_high", "q"):
            row[name] = float(where[name].iloc[0]) if len(where) else NONE
        for name in ("alpha", "alpha_low", "alpha_high", "L_int", "L_int_low", "L_int_high"):
            row[name] = float(fits[name].iloc[0]) if len(fits) else NONE
        row["identified"] = bool(len(fits) and fits["identified"].iloc[0])
        row["regime"] = str(where["regime"].iloc[0]) if len(where) else "undecided"
        chance = f"p_{row['regime']}"
        row["regime_p"] = float(where[chance].iloc[0]) if len(where) and chance in where else NONE
        row["price"] = float(shown)
        row["c_star"] = float(stop["c_star"].iloc[0]) if len(stop) else NONE
        rows.append(row)
    return rows


@dataclass(frozen=True)
class Fit:
    """Main effects [P] with their covariance [P, P], freedom, and the variance left between cells."""

    beta: Array
    covariance: Array
    freedom: int
    between: float


def design(levels: Sequence[Sequence[str]]) -> tuple[Array, list[tuple[int, list[str]]]]:
    """Columns [n, P] of sum-to-zero main effects of `levels` (one list [n] an axis), the constant first.

    And for each axis the number of its first column and its level names in order of appearance; an axis of
    one level has no column.
    """
    columns = [np.ones(len(levels[0]))]
    places = []
    for axis in levels:
        names = list(dict.fromkeys(axis))
        places.append((len(columns), names))
        last = np.array([a == names[-1] for a in axis], float)
        columns += [np.array([a == name for a in axis], float) - last for name in names[:-1]]
    return np.column_stack(columns), places


def random_effects(x: Array, y: Array, error: Array) -> Fit:
    """Regress y [n] on x [n, P], y's own variances `error` [n] known, and one variance between rows left.

    That variance solves sum w r^2 = n - P (Paule and Mandel, 1982; DerSimonian and Kacker, 2007, for
    regression), at 0 or above; the covariance is scaled as by Knapp and Hartung, 2003, never below 1.
    Raises ValueError for fewer rows than P + 1.
    """
    n, p = x.shape
    if n <= p:
        raise ValueError(f"{n} rows do not bear {p} effects")

    def solve(between: float) -> tuple[Array, Array, float]:
        w = 1 / (error + between)
        inner = np.linalg.pinv(x.T @ (w[:, None] * x))
        beta = inner @ (x.T @ (w * y))
        return np.asarray(beta), np.asarray(inner), float(np.sum(w * (y - x @ beta) ** 2))

    low, high = 0.0, max(float(np.var(y)) * n, 1e-300)
    smallest = float(np.min(error))
    if smallest <= 0:
        low = 1e-12 * high
    if solve(low)[2] > n - p:
        while solve(high)[2] > n - p:
            high *= 4
        for _ in range(_TAU_STEPS):
            middle = (low + high) / 2
            low, high = (middle, high) if solve(middle)[2] > n - p else (low, middle)
    between = low
    beta, inner, left = solve(between)
    return Fit(beta, inner * max(left / (n - p), 1.0), n - p, between)


def _effects(fit: Fit, places: list[tuple[int, list[str]]]) -> list[tuple[Array, Array]]:
    """Each axis's effects [L] and their standard errors [L]; the last level's is minus the others' sum."""
    made = []
    for first, names in places:
        few = len(names) - 1
        turn = np.vstack([np.eye(few), -np.ones((1, few))]) if few else np.zeros((1, 0))
        part = slice(first, first + few)
        cov = turn @ fit.covariance[part, part] @ turn.T
        made.append((turn @ fit.beta[part], np.sqrt(np.maximum(np.diag(cov), 0.0))))
    return made


def _spreads(fit: Fit, places: list[tuple[int, list[str]]]) -> Array:
    """Each axis's variance between levels (its effects' mean square less their errors'), then `between`."""
    made = [float(np.mean(e**2) - np.mean(s**2)) for e, s in _effects(fit, places)]
    return np.maximum(np.array([*made, fit.between]), 0.0)


def _scale(part: pd.DataFrame, quantity: str, confidence: float) -> tuple[Array, Array]:
    """Values y [n] and their variances [n] of iota, ln_iota or ln_alpha, from the intervals' widths."""
    z = stats.norm.ppf(0.5 + confidence / 2)
    name = quantity.removeprefix("ln_")
    y, low, high = (part[name + end].to_numpy(float) for end in ("", "_low", "_high"))
    if quantity.startswith("ln_"):
        keep = (np.minimum(y, low) > 0) & (part["identified"].to_numpy(bool) | (name != "alpha"))
        y, low, high = (np.log(np.where(keep, v, np.nan)) for v in (y, low, high))
    return y, ((high - low) / (2 * z)) ** 2


def axes_table(cells: pd.DataFrame, *, resamples: int, seed: int, confidence: float = 0.95) -> pd.DataFrame:
    """The table `robustness_axes` from the table `robustness`.

    Of iota (run to run: ln iota) and ln alpha: main effects of each level (off the mean of its axis's
    levels) with intervals, and each axis's share of the variation between cells, with `left` (what the
    axes do not explain: their interactions) and intervals from a parametric bootstrap of `resamples`.
    Of regimes: the share of pairs of cells, apart in this axis alone, one at its base level, that have
    one regime (Clopper and Pearson).
    """
    rows: list[dict[str, Any]] = []
    levels = {axis: list(dict.fromkeys(cells[axis])) for axis in AXES}
    rng = np.random.default_rng(seed)
    for reading in READINGS:
        part = cells[cells["reading"] == reading]
        for quantity in (IOTA[reading], "ln_alpha"):
            rows += _variation(part, reading, quantity, levels, resamples, rng, confidence)
        rows += _agreement(part, reading, levels, confidence)
    columns = ["reading", "quantity", "kind", "axis", "level", "value", "low", "high", "cells", "note"]
    return pd.DataFrame(rows, columns=columns)


def _variation(
    part: pd.DataFrame,
    reading: str,
    quantity: str,
    levels: Mapping[str, list[str]],
    resamples: int,
    rng: np.random.Generator,
    confidence: float,
) -> list[dict[str, Any]]:
    y, error = _scale(part, quantity, confidence)
    ok = np.isfinite(y) & np.isfinite(error) & (error >= 0)
    part, y, error = part[ok], y[ok], error[ok]
    varied = [axis for axis in AXES if len(set(part[axis])) > 1]
    base = {"reading": reading, "quantity": quantity, "cells": len(part)}
    x, places = design([list(part[a]) for a in varied]) if varied else (np.ones((len(part), 1)), [])
    if not varied or len(part) <= x.shape[1] or np.linalg.matrix_rank(x) < x.shape[1]:
        note = f"{len(part)} cells have {quantity} with an interval: too few to tell the axes apart"
        blank = {"value": NONE, "low": NONE, "high": NONE, "note": note}
        return [base | blank | {"kind": "share", "axis": axis, "level": "all"} for axis in AXES]
    fit = random_effects(x, y, error)
    t = float(stats.t.ppf(0.5 + confidence / 2, fit.freedom))
    rows: list[dict[str, Any]] = []
    for axis, (_, names), (effect, se) in zip(varied, places, _effects(fit, places), strict=True):
        for name, e, s in sorted(
            zip(names, effect, se, strict=True), key=lambda one: levels[axis].index(one[0])
        ):
            told = "off 0" if abs(e) > t * s else "cannot be told from 0"
            span = {"value": float(e), "low": float(e - t * s), "high": float(e + t * s)}
            rows.append(base | span | {"kind": "effect", "axis": axis, "level": name, "note": told})
    shares, low, high = _shares(fit, x, places, error, resamples, rng, confidence)
    own = float(np.mean(error) / max(np.mean(error) + _spreads(fit, places).sum(), 1e-300))
    said = f"{100 * own:.0f} % of the scatter over cells is their own error"
    if np.isnan(shares).any():
        said = "the cells scatter no more than their own errors do"
    for axis, value, a, b in zip([*varied, "left"], shares, low, high, strict=True):
        span = {"value": float(value), "low": float(a), "high": float(b)}
        wide = "; too wide to tell" if not b - a < 0.5 else ""
        rows.append(base | span | {"kind": "share", "axis": axis, "level": "all", "note": said + wide})
    return rows


def _shares(
    fit: Fit,
    x: Array,
    places: list[tuple[int, list[str]]],
    error: Array,
    resamples: int,
    rng: np.random.Generator,
    confidence: float,
) -> tuple[Array, Array, Array]:
    """Shares of the variation of each axis and of what is left, with percentile intervals."""

    def shares(of: Fit) -> Array:
        spread = _spreads(of, places)
        total = spread.sum()
        return spread / total if total > 0 else np.full(len(spread), np.nan)

    drawn = []
    for _ in range(resamples):
        again = x @ fit.beta + rng.normal(0.0, np.sqrt(error + fit.between))
        drawn.append(shares(random_effects(x, again, error)))
    some = np.array(drawn)
    some = some[np.isfinite(some).all(axis=1)]
    if not len(some):
        blank = np.full(len(places) + 1, np.nan)
        return shares(fit), blank, blank
    low, high = np.quantile(some, [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)
    return shares(fit), low, high


def _agreement(
    part: pd.DataFrame, reading: str, levels: Mapping[str, list[str]], confidence: float
) -> list[dict[str, Any]]:
    """Rows of kind `agreement`: by axis and level, and for axis `all` each cell against its base cell."""
    regime = {tuple(row[a] for a in AXES): row["regime"] for row in part.to_dict("records")}
    first = {axis: names[0] for axis, names in levels.items()}
    rows = []

    def told(axis: str, level: str, pairs: list[tuple[str, str]]) -> None:
        clear = [(a, b) for a, b in pairs if "undecided" not in (a, b)]
        same = sum(a == b for a, b in clear)
        row: dict[str, Any] = {"reading": reading, "quantity": "regime", "kind": "agreement"}
        row |= {"axis": axis, "level": level, "value": NONE, "low": NONE, "high": NONE}
        if clear:
            span = stats.binomtest(same, len(clear)).proportion_ci(confidence)
            row |= {"value": same / len(clear), "low": float(span.low), "high": float(span.high)}
        left = len(pairs) - len(clear)
        row |= {
            "cells": len(clear),
            "note": f"{left} pairs with an undecided regime left out" if left else "",
        }
        rows.append(row)

    for i, axis in enumerate(AXES):
        for level in levels[axis][1:]:
            twins = [(k, (*k[:i], first[axis], *k[i + 1 :])) for k in regime if k[i] == level]
            told(axis, level, [(regime[a], regime[b]) for a, b in twins if b in regime])
    bases = {k: (k[0], *(first[a] for a in AXES[1:])) for k in regime}
    told("all", "all", [(regime[k], regime[b]) for k, b in bases.items() if k != b and b in regime])
    return rows
