"""The library of fitted tasks, and the nearest of them to a task that has not been fitted."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from prehoc import tables
from prehoc.errors import InputError
from prehoc.fits.beside import Level
from prehoc.fits.known import FEATURES, Known, features_of, known_tasks
from prehoc.fits.phrases import REGIMES

SHIPPED = Path(__file__).with_name("library.csv")
FAR = 1.0  # a distance: features off by a factor of e each
_TIE = 1e-9
_LOGGED = ("parameters", "train", "classes", "length", "horizon")


@dataclass(frozen=True)
class Nearest:
    """The fitted task nearest to the one asked for, its `distance`, and the features `compared`.

    `ties`: others that are as near, with their regimes.
    """

    known: Known
    distance: float
    compared: dict[str, tuple[float, float]]
    lacking: tuple[str, ...]
    ties: dict[str, str]

    def in_words(self) -> str:
        """That it is another task's fit, how far off it is, and by what."""
        each = ", ".join(f"{k} {a:g} against {b:g}" for k, (a, b) in self.compared.items())
        lacking = f"; not compared: {', '.join(self.lacking)}" if self.lacking else ""
        others = ", ".join(f"{name} ({REGIMES.get(r, r)})" for name, r in self.ties.items())
        ties = f" As near are {others}." if others else ""
        far = "; that is far off: a guess, no more" if self.distance > FAR else ""
        return (
            f"Your task is not fitted. What follows is of the nearest fitted one, {self.known.task}, at "
            f"distance {self.distance:.2f} (0: the same; 1: features off by a factor of 2.7 each){far}. "
            f"Compared, yours against its: {each}{lacking}. Depths are its own, of {self.known.horizon:,} "
            f"steps.{ties} A fit of yours may come out otherwise: features alone settle no regime."
        )

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "task": self.known.task,
            "distance": self.distance,
            "compared": {k: {"yours": a, "its": b} for k, (a, b) in self.compared.items()},
            "not_compared": list(self.lacking),
            "as_near": dict(self.ties),
            "in_words": self.in_words(),
        }


def collect(sources: Iterable[str | Path]) -> tuple[pd.DataFrame, list[str]]:
    """The table `library` of the fitted tasks in `sources` (folders), and the tasks that have no features.

    Raises InputError as known_tasks, for two tasks of one name, and where no task has features.
    """
    rows: list[dict[str, Any]] = []
    without, seen = [], set()
    for source in sources:
        for name, one in known_tasks(source).items():
            if not one.features:
                without.append(name)
                continue
            if name in seen:
                raise InputError(f"{source}: a task {name!r} is in the library already; rename one")
            seen.add(name)
            rows += _rows(one)
    if not rows:
        raise InputError("no task with static features, which tell how near another is; give results")
    return tables.in_order("library", tables.check("library", pd.DataFrame(rows))), without


def _rows(one: Known) -> list[dict[str, Any]]:
    shared = {
        "task": one.task, "proxy": one.proxy, "information": one.information, "horizon": one.horizon,
        "var_r": one.var_r, "mean_r": one.mean_r, "metric": one.metric, "regime": one.regime,
        "n": one.runs, "own": one.own,
    }  # fmt: skip
    shared |= {name: one.features.get(name, math.nan) for name in FEATURES}
    each = list(zip(one.depth, one.risk, one.low, one.high, strict=True))
    order = list(tables.SCHEMAS["library"].columns)
    if one.static is not None:  # depth 0: what is known without probing
        each.insert(0, (0, one.static.risk, one.static.low, one.static.high))
    made = [shared | {"depth": d, "risk": r, "ci_low": a, "ci_high": b} for d, r, a, b in each]
    return [{column: row[column] for column in order} for row in made]


def read_library(path: str | Path | None = None) -> dict[str, Known]:
    """The fitted tasks of a library by name; without a path, of the one that comes with prehoc."""
    frame = tables.read("library", SHIPPED if path is None else path)
    if path is None:
        frame = frame.assign(own=False)
    return {str(name): _known(str(name), part) for name, part in frame.groupby("task", sort=True)}


def _known(task: str, rows: pd.DataFrame) -> Known:
    rows = rows.sort_values("depth")
    start, rows = rows[rows["depth"] == 0], rows[rows["depth"] > 0]
    if rows.empty:
        raise InputError(f"library: task {task!r} has no depth above 0; make it anew with prehoc library")
    one = rows.iloc[0]
    static = None
    if len(start):
        static = Level(*(float(start[c].iloc[0]) for c in ("risk", "ci_low", "ci_high")))
    return Known(
        task=task,
        depth=rows["depth"].to_numpy(np.int64),
        risk=rows["risk"].to_numpy(float),
        low=rows["ci_low"].to_numpy(float),
        high=rows["ci_high"].to_numpy(float),
        horizon=int(one["horizon"]),
        var_r=float(one["var_r"]),
        mean_r=float(one["mean_r"]),
        metric=str(one["metric"]),
        regime=str(one["regime"]),
        runs=int(one["n"]),
        proxy=str(one["proxy"]),
        information=str(one["information"]),
        own=bool(one["own"]),
        features={f: float(one[f]) for f in FEATURES if np.isfinite(one[f])},
        static=static,
    )


def nearest(library: Mapping[str, Known], like: Mapping[str, float], metric: str) -> Nearest:
    """The fitted task of `metric` nearest to features `like`, of FEATURES and horizon.

    The distance is the root mean square, over the features that both have, of differences in natural
    logarithms (label entropy: in nats).  Among tasks that share fewer features than others are
    compared none is taken: those that share most come first.
    Raises InputError for unknown features, values that are not positive, and where none can be compared.
    """
    allowed = (*FEATURES, "horizon")
    for name, value in like.items():
        if name not in allowed:
            raise InputError(f"feature {name!r} is unknown; give some of {', '.join(allowed)}")
        if not (math.isfinite(value) and (value > 0 or (name == "label_entropy" and value == 0))):
            raise InputError(f"feature {name}: {value:g} is no such number; give one above 0")
    same = {name: one for name, one in library.items() if one.metric == metric}
    if not same:
        there = ", ".join(sorted({one.metric for one in library.values()})) or "none"
        raise InputError(f"the library has no task of metric {metric!r}, but of {there}; give --metric")
    found: list[tuple[int, float, str]] = []
    for name, one in same.items():
        pairs = _pairs(one, like)
        if pairs:
            square = [_scale(k, a) - _scale(k, b) for k, (a, b) in pairs.items()]
            found.append((-len(pairs), float(np.sqrt(np.mean(np.square(square)))), name))
    if not found:
        raise InputError(f"no task of the library has the feature(s) {', '.join(like) or 'none given'}")
    shared, distance, name = min(found)
    ties = {
        n: same[n].regime for s, d, n in sorted(found) if s == shared and d <= distance + _TIE and n != name
    }
    compared = _pairs(same[name], like)
    lacking = tuple(f for f in allowed if f not in compared)
    return Nearest(same[name], distance, compared, lacking, ties)


def _pairs(one: Known, like: Mapping[str, float]) -> dict[str, tuple[float, float]]:
    have = one.features | {"horizon": float(one.horizon)}
    return {k: (float(v), have[k]) for k, v in like.items() if k in have}


def _scale(name: str, value: float) -> float:
    return math.log(value) if name in _LOGGED else value


def prepared_features(folder: Path, task: str | None) -> dict[str, float] | None:
    """Features of a task that is prepared and not fitted; None where it is fitted, or not prepared."""
    here = folder / task if task else folder
    if (here / "variance.csv").exists() or not (here / "static.parquet").exists():
        return None
    return features_of(tables.read("static", here / "static.parquet"))
