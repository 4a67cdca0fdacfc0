"""A fitted task as advice needs it: the risk over depth, read from a fit, its folder, or results."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm

from prehoc import tables
from prehoc.errors import InputError
from prehoc.fits.beside import Forks, Level, driving_regime, forks_of, sees, static_of
from prehoc.fits.fit import Fit
from prehoc.fits.task import make_ready
from prehoc.risk.decide import driving_curve
from prehoc.risk.rivals import isotonic
from prehoc.tables.scales import rows_of

Array = NDArray[np.float64]

FEATURES = ("parameters", "train", "classes", "label_entropy", "length")
_NAMES = {
    "parameters": ("base_parameters", "parameters"),
    "train": ("rows_train",),
    "classes": ("classes",),
    "label_entropy": ("label_entropy",),
    "length": ("length_mean", "mean_tokens"),
}
_LOWER = ("loss", "error", "perplexity")


@dataclass(frozen=True)
class Known:
    """The risk L(c) [D] of one task at measured `depth` [D], with its interval; squared units of R.

    It is what a person can have without forks, the residual, unless only forks were measured.  `level`
    [D] is `risk` made not to rise with depth, and never above `start`.  `features` are static ones.
    `odd_shape`: R is far from normal over runs (None: not known), so that chances are rough.
    `falls` is False where the fitted law has K = 0, `identified` False where alpha is not; None: no law.
    `static` is what static information leaves before any step (None: not known), which is L(0); `forks`
    what forks leave.  `regime` is that of `proxy`, `verdict` that of the verdict's ("": not known).
    """

    task: str
    depth: NDArray[np.int64]
    risk: Array
    low: Array
    high: Array
    horizon: int
    var_r: float
    mean_r: float
    metric: str
    regime: str
    runs: int
    proxy: str
    information: str
    direction: str = "higher"
    identified: bool | None = None
    falls: bool | None = None
    own: bool = True
    features: dict[str, float] = field(default_factory=dict)
    odd_shape: bool | None = None
    static: Level | None = None
    forks: Forks | None = None
    verdict: str = ""

    @property
    def level(self) -> Array:
        """The measured risks, monotone in depth [D]."""
        return self._monotone(self.risk, self.start.risk)

    @property
    def start(self) -> Level:
        """L(0) with its interval: what static information leaves, or Var R."""
        known = self.static
        return Level(self.var_r, self.var_r, self.var_r) if known is None else known

    def _monotone(self, value: Array, most: float) -> Array:
        steps = isotonic(np.asarray(value, float), np.ones(len(value)))
        return np.asarray(np.minimum(np.minimum(steps, most), self.var_r))

    def at(self, depth: float) -> tuple[float, float, float]:
        """(L(c), low, high) at a depth within the measured ones, linear in log c between them.

        0 is no probing: `start`.  Raises InputError outside the measured depths.
        """
        start = self.start
        if depth == 0:
            return start.risk, start.low, start.high
        if not self.depth[0] <= depth <= self.depth[-1]:
            raise InputError(
                f"task {self.task!r}: nothing was measured at depth {depth:g}, but from "
                f"{self.depth[0]:,} to {self.depth[-1]:,}"
            )
        x = np.log(self.depth.astype(float))
        each = ((self.risk, start.risk), (self.low, start.low), (self.high, start.high))
        made = [np.interp(np.log(depth), x, self._monotone(*one)) for one in each]
        return float(made[0]), float(min(made[1], made[0])), float(max(made[2], made[0]))


def known_task(source: str | Path | Fit, task: str | None = None) -> Known:
    """One task of a `Fit`, of a folder of `prehoc fit --out`, or of a workflow's results (or its folder).

    `task` may be left out where there is one alone.  Raises InputError where there is no such fit or
    task, where it was refused, and where no risk was measured at a depth of 1 or more.
    """
    found = known_tasks(source, task)
    if task is None and len(found) > 1:
        raise InputError(f"{_where(source)}: several tasks; name one of them: {', '.join(found)}")
    return next(iter(found.values()))


def known_tasks(source: str | Path | Fit, task: str | None = None) -> dict[str, Known]:
    """All fitted tasks of `source`, or `task` alone, by name: as known_task."""
    if isinstance(source, Fit):
        verdict = source.verdict().to_dict()
        fitted = _of_tables(source.variance, source.envelope, source.regimes, verdict, task)
        ready = make_ready(source.rows.frame, source.rows.metric, source.options)
        r = {one.task: one.data.outcome for one in ready if one.data is not None}
        return {name: replace(one, odd_shape=odd_shape(r[name])) for name, one in fitted.items()}
    folder = Path(source)
    if not folder.is_dir():
        raise InputError(
            f"{folder}: no such folder; give the --out of prehoc fit, or the workflow's results"
        )
    if task is not None and (folder / task / "variance.csv").exists():
        folder, task = folder / task, None
    if (folder / "variance.csv").exists():
        return _of_folder(folder, task)
    made: dict[str, Known] = {}
    for one in sorted(folder.iterdir()):
        if task in (None, one.name) and all((one / f).exists() for f in ("variance.csv", "verdict.json")):
            made |= _of_folder(one, None)
    if not made:
        what = "no fitted task" if task is None else f"no fitted task {task!r}"
        raise InputError(f"{folder}: {what} there; make one with prehoc fit or snakemake")
    return made


def _where(source: Any) -> str:
    return "the fit" if isinstance(source, Fit) else str(source)


def _of_folder(folder: Path, task: str | None) -> dict[str, Known]:
    variance, envelope, regimes = (
        tables.read(name, folder / f"{name}.csv") for name in ("variance", "envelope", "regimes")
    )
    path = folder / "verdict.json"
    try:
        verdict = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error}); make it anew") from None
    made = _of_tables(variance, envelope, regimes, verdict, task)
    if (folder / "runs.parquet").exists():
        runs = tables.read("runs", folder / "runs.parquet")
        static = folder / "static.parquet"
        features = features_of(tables.read("static", static)) if static.exists() else {}
        made = {name: _with_runs(one, runs, features) for name, one in made.items()}
    return made


def features_of(static: pd.DataFrame) -> dict[str, float]:
    """The features that tasks are compared by, of a table `static`; those that it has."""
    have = dict(zip(static["feature"], static["value"].astype(float), strict=True))
    found = {
        name: next((have[n] for n in names if n in have and np.isfinite(have[n])), np.nan)
        for name, names in _NAMES.items()
    }
    return {name: value for name, value in found.items() if np.isfinite(value)}


def _with_runs(one: Known, runs: pd.DataFrame, features: dict[str, float]) -> Known:
    rows = rows_of(runs[runs["task"] == one.task], one.metric)
    rows = rows[~rows["failure"]]
    target = rows[rows["split"] == "target"]
    if target.empty:
        target = rows[(rows["split"] == "val") & (rows["depth"] == one.horizon)]
    value = target["value"].to_numpy(float)
    value = value[np.isfinite(value)]
    if not len(value):
        return replace(one, features=features)
    return replace(one, mean_r=float(value.mean()), odd_shape=odd_shape(value), features=features)


def odd_shape(outcome: Array) -> bool:
    """Whether R [N] is far from normal: its distribution lies over .1 from the normal one somewhere.

    And over what normal numbers would show by chance in one of twenty: .886/sqrt(N) (Lilliefors, JASA 62,
    1967).  False where R is constant.
    """
    r = np.sort(np.asarray(outcome, float))
    n, sd = len(r), r.std(ddof=1) if len(r) > 1 else 0.0
    if not sd > 0:
        return False
    fitted = norm.cdf((r - r.mean()) / sd)
    steps = np.arange(n + 1) / n
    distance = max(float(np.max(steps[1:] - fitted)), float(np.max(fitted - steps[:-1])))
    return distance > max(0.1, 0.886 / np.sqrt(n))


def _of_tables(
    variance: pd.DataFrame,
    envelope: pd.DataFrame,
    regimes: pd.DataFrame,
    verdict: Mapping[str, Any],
    task: str | None,
) -> dict[str, Known]:
    said = {str(t["task"]): t for t in verdict.get("tasks", [verdict]) if "task" in t}
    names = [str(t) for t in variance["task"].unique()]
    if task is not None and task not in names:
        why = (said.get(task, {}).get("refused") or [{}])[0].get("why")
        if why:
            raise InputError(f"task {task!r} was refused: {why}")
        raise InputError(f"no fitted task {task!r}; there are {', '.join(names) or 'none'}")
    if not names:
        raise InputError("the fit has no task with a verdict; its verdict.json says why")
    chosen = names if task is None else [task]
    return {name: _known(name, variance, envelope, regimes, said.get(name, {})) for name in chosen}


def _known(
    task: str,
    variance: pd.DataFrame,
    envelope: pd.DataFrame,
    regimes: pd.DataFrame,
    said: Mapping[str, Any],
) -> Known:
    driver = said.get("driving_proxy") or {}
    wanted = driver["information"] if driver.get("proxy") == "residual" else "last"
    proxy, information, _ = driving_curve(variance, task, wanted, "residual")
    others = variance[variance["task"] == task]

    def of(frame: pd.DataFrame, seen: str = information) -> pd.DataFrame:
        here = frame[(frame["task"] == task) & (frame["proxy"] == proxy)]
        return here[here["information"] == seen]

    best = sees(others, information) if proxy == "residual" else information
    rows = of(variance, best)
    rows = rows[(rows["depth"] > 0) & np.isfinite(rows["risk"])].sort_values("depth")
    if rows.empty:
        raise InputError(f"task {task!r}: its risk was measured at no depth; fit it with more runs")
    law = of(envelope)
    law = law[law["model"] == "power"]
    places = of(regimes)
    places = places[places["reading"] == "bayes"]
    horizon = said.get("horizon") or (law["horizon"].iloc[0] if len(law) else rows["depth"].max())
    outcome = said.get("outcome") or {}
    metric = str(rows["metric"].iloc[0])
    lower = outcome.get("direction") == "lower" or (not outcome and metric.endswith(_LOWER))
    mean = outcome.get("mean")
    return Known(
        task=task,
        depth=rows["depth"].to_numpy(np.int64),
        risk=rows["risk"].to_numpy(float),
        low=rows["ci_low"].to_numpy(float),
        high=rows["ci_high"].to_numpy(float),
        horizon=int(horizon),
        var_r=float(rows["var_r"].iloc[0]),
        mean_r=float("nan") if mean is None else float(mean),
        metric=metric,
        regime=str(places["regime"].iloc[0]) if len(places) else "undecided",
        runs=int(rows["n"].max()),
        proxy=proxy,
        information=best,
        direction="lower" if lower else "higher",
        identified=bool(law["identified"].iloc[0]) if len(law) else None,
        falls=bool(law["K"].iloc[0] > 0) if len(law) and np.isfinite(law["K"].iloc[0]) else None,
        static=static_of(others),
        forks=forks_of(others) if proxy != "fork" else None,
        verdict=driving_regime(regimes[regimes["task"] == task], driver),
    )
