"""One task's held-out forecasts at every depth, their risk, and the task's own c* fitted on other runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm

from prehoc import tables
from prehoc.errors import InputError
from prehoc.predictors.features import Seen
from prehoc.predictors.nested import LEARNERS, Boosting, folds_of, forecasts
from prehoc.risk import stopping
from prehoc.risk.curves import measure, none_estimate
from prehoc.risk.data import TaskData
from prehoc.risk.decide import driving_curve
from prehoc.risk.depth_interval import drift_of
from prehoc.risk.envelope import fit_envelope
from prehoc.risk.measured import variance_table
from prehoc.tasks.streams import name_words

Array = NDArray[np.float64]
Index = NDArray[np.int64]

FOLDS, TREES, RESAMPLES = 201, 202, 203  # streams of this stage


@dataclass(frozen=True)
class Plan:
    """How predictors are cross-validated: learners, folds, measured depths (None: all), boosted trees."""

    names: tuple[str, ...] = LEARNERS
    folds: int = 5
    depths: tuple[int, ...] | None = None
    trees: int = 100
    rate: float = 0.05
    depth: int = 2


def stream(root: int, task: str, number: int) -> np.random.Generator:
    """The generator of one use of chance for one task."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([root, *name_words(task), number])))


def held_out(seen: Seen, plan: Plan, seed: int) -> pd.DataFrame:
    """The table `held_out`: every run's forecast by models that did not see it, each depth and predictor.

    Depth 0 holds `mean` under `none` and, where something is known of a run before it starts, the
    learners under `static`; deeper depths hold `trajectory` and, there, `static+trajectory`.  Empty where
    R is the same for all runs.  Raises InputError for an unknown predictor.
    """
    if not seen.var_r > (1e-12 * np.abs(seen.outcome).max()) ** 2:
        return tables.empty("held_out")
    fold = folds_of(len(seen.seed), plan.folds, stream(seed, seen.task, FOLDS))
    trees = Boosting(plan.trees, plan.rate, plan.depth, int(stream(seed, seen.task, TREES).integers(2**31)))
    wanted = [i for i, d in enumerate(seen.depth) if plan.depths is None or int(d) in plan.depths]
    asked: list[tuple[str, int | None]] = [("none", None)]
    known = seen.static.shape[1] > 0
    asked += [("static", None)] if known else []
    for here in wanted:
        asked += [("trajectory", here), ("static+trajectory", here)] if known else [("trajectory", here)]
    parts = []
    for information, at in asked:
        told = forecasts(seen, information, at, fold, plan.names, trees)
        for name, value in told.items():
            if (name == "mean") != (information == "none") and name in ("mean", "best"):
                continue  # one mean, and nothing to choose from without information
            parts.append(
                {
                    "seed": seen.seed,
                    "fold": fold,
                    "depth": 0 if at is None else int(seen.depth[at]),
                    "information": information,
                    "predictor": name,
                    "outcome": seen.outcome,
                    "forecast": value,
                }
            )
    frame = pd.concat([pd.DataFrame({"task": seen.task, **part}) for part in parts], ignore_index=True)
    return tables.check("held_out", frame)


def predictors_table(held: pd.DataFrame, metric: str, confidence: float) -> pd.DataFrame:
    """The table `predictors` of one task: mean squared error over held-out runs, with its error.

    The squared errors of runs are taken as independent: of K-fold cross-validation that is right to
    first order, for the mean risk of the K models learned (Bayle, Bayle, Janson and Mackey, NeurIPS
    2020); what another training set would change is not in it.  The interval is on a log scale.
    """
    if held.empty:
        return tables.empty("predictors")
    z = float(norm.ppf(0.5 + confidence / 2))
    rows: list[dict[str, Any]] = []
    for (task, depth, information, name), part in held.groupby(
        ["task", "depth", "information", "predictor"], sort=False
    ):
        outcome = part["outcome"].to_numpy(float)
        square = (outcome - part["forecast"].to_numpy(float)) ** 2
        risk, var_r, n = float(square.mean()), float(np.var(outcome, ddof=1)), len(square)
        se = float(np.std(square, ddof=1)) / np.sqrt(n)
        reach = np.exp(z * se / risk) if risk > 0 else 1.0
        rows.append(
            {
                "task": task,
                "depth": depth,
                "information": information,
                "predictor": name,
                "risk": risk,
                "se": se,
                "ci_low": risk / reach,
                "ci_high": risk * reach,
                "share": risk / var_r,
                "n": n,
                "var_r": var_r,
                "metric": metric,
            }
        )
    frame = pd.DataFrame(rows, columns=list(tables.SCHEMAS["predictors"].columns))
    return tables.check("predictors", frame)


def own_depths(
    seen: Seen,
    held: pd.DataFrame,
    trunk_seeds: Index,
    *,
    prices: Sequence[float],
    information: str,
    driver: str,
    shift: float,
    confidence: float,
) -> pd.DataFrame:
    """The table `own_depth`: for each fold and price the recommended c*, fitted without that fold's runs.

    `trunk_seeds` are those of the rows of `seen.measured.forks`.  `depth` is the measured depth of `held`
    nearest to c* in log c, 0 where no probing is best.  nan and 0 where the other runs give no curve.
    """
    if held.empty:
        return tables.empty("own_depth")
    fold_of = held.drop_duplicates("seed").set_index("seed")["fold"]
    depth = np.array(sorted(set(held["depth"]) - {0}), float)
    rows: list[dict[str, Any]] = []
    for fold in sorted(set(fold_of)):
        judged = fold_of.index[fold_of == fold].to_numpy(np.int64)
        data = without(seen, judged, trunk_seeds)
        for price, c in best_depths(data, prices, information, driver, shift, confidence):
            near = 0
            if np.isfinite(c) and c >= 1 and len(depth):
                near = int(depth[np.argmin(np.abs(np.log(depth) - np.log(c)))])
            rows.append(
                {"task": seen.task, "fold": int(fold), "price": float(price), "c_star": c, "depth": near}
            )
    frame = pd.DataFrame(rows, columns=list(tables.SCHEMAS["own_depth"].columns))
    return tables.check("own_depth", frame)


def without(seen: Seen, seeds: Index, trunk_seeds: Index) -> TaskData:
    """The task's measurements without the runs `seeds`, or forks of them."""
    data = seen.measured
    keep = np.zeros(len(data.outcome), bool)
    keep[: len(seen.seed)] = ~np.isin(seen.seed, seeds)  # runs beyond those judged are left out, too
    trunks = ~np.isin(trunk_seeds, seeds)
    return replace(
        data,
        metric=data.metric[keep],
        outcome=data.outcome[keep],
        static=data.static[keep],
        forks=tuple(f[trunks] for f in data.forks),
        outputs=None,
        settled=None if data.settled is None else data.settled[keep],
        group=None if data.group is None else data.group[keep],
        seeds=None if data.seeds is None else data.seeds[keep],
    )


def best_depths(
    data: TaskData,
    prices: Sequence[float],
    information: str,
    driver: str,
    shift: float,
    confidence: float,
) -> list[tuple[float, float]]:
    """(price, c*) by the guarded rule on the driving curve, which c_star.csv recommends; nan: none."""
    nothing = [(float(w), float("nan")) for w in prices]
    if len(data.outcome) < 5 or not data.var_r > 0:
        return nothing
    seen = "last" if information == "outputs" else information  # no outputs are read here
    variance = variance_table(
        {data.task: data},
        metric="",
        proxies=["residual", "fork"],
        information=[seen],
        confidence=confidence,
    )
    try:
        proxy, known, _ = driving_curve(variance, data.task, seen, driver)
    except InputError:
        return nothing
    curve = measure(data, proxy, known, confidence)
    if curve is None:
        return nothing
    found = curve.estimate
    good = (found.risk > 0) & (found.nu > 0)
    if good.sum() < 2 or curve.depth[good][0] >= data.horizon:
        return nothing
    block = found.covariance[np.ix_(good, good)]
    fit = fit_envelope(
        curve.depth[good].astype(float),
        found.risk[good],
        found.nu[good],
        data.horizon,
        block if np.all(np.isfinite(block)) else None,
        shift=shift,
        confidence=confidence,
    )
    none = none_estimate(data, confidence)
    var_r, se = float(none.risk[0]), float(none.se[0])
    made = []
    for price in prices:
        rate = stopping.price_to_rate(float(price), var_r, data.horizon)
        drift = drift_of(proxy, fit.risk, fit.nu, var_r, se)
        made.append((float(price), stopping.guarded(fit, rate, var_r, se, drift).c_star))
    return made
