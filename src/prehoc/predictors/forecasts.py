"""What a policy sees and says: a task's runs over depth, and forecasts of R from each prefix.

One family of forecasters serves all policies, so that they differ in where they stop: ridge on what is
static and on the metrics up to the stop, its penalty and its error by leave-one-out (closed form).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from prehoc.predictors.battery import extrapolate
from prehoc.risk.data import split_tasks
from prehoc.tables.scales import rows_of

Array = NDArray[np.float64]
Index = NDArray[np.int64]

LOWER_IS_BETTER = ("loss",)
PENALTIES = tuple(10.0 ** np.arange(-5, 4))  # a run, on scaled features


@dataclass(frozen=True)
class Trial:
    """One task's runs as a policy meets them: those that did not fail, but `failed`.

    `depth` [D] > 0 steps; `metric` [N, D], R's own metric on split val; `beside` [N, D, E] others, as
    loss; `static` [N, S] features of visible draws; `outcome` R [N]; `failed` [F] steps at which each
    failed run was seen to have failed; `higher`: whether more of R is better.
    """

    task: str
    horizon: int
    depth: Index
    metric: Array
    beside: Array
    static: Array
    outcome: Array
    failed: Array
    higher: bool

    @property
    def score(self) -> Array:
        """The metric, turned so that more is better  [N, D]."""
        return self.metric if self.higher else -self.metric

    @property
    def gain(self) -> Array:
        """R, turned so that more is better  [N]."""
        return self.outcome if self.higher else -self.outcome

    @property
    def var_r(self) -> float:
        """Var R over the runs, squared units."""
        return float(np.var(self.outcome, ddof=1)) if len(self.outcome) > 1 else 0.0

    def steps(self) -> Array:
        """Steps paid at each stop: 0 at no probing, then `depth`  [D + 1]."""
        return np.concatenate([[0.0], self.depth.astype(float)])

    def features(self, stop: int) -> Array:
        """What is known at stop 0 (nothing but the static) to D: [N, S + stop (1 + E)]."""
        seen = [self.metric[:, :stop], *np.moveaxis(self.beside[:, :stop], 2, 0)]
        return np.column_stack([self.static, *seen])

    def extrapolated(self) -> Array:
        """Each run's own power law through its first depths, read at the horizon  [N, D]."""
        made = [
            extrapolate(self.steps()[1 : j + 2], self.metric[:, : j + 1], self.horizon)
            for j in range(len(self.depth))
        ]
        return np.stack(made, axis=1)


def trial_of(runs: pd.DataFrame, draws: pd.DataFrame, *, metric: str, horizon: int) -> Trial:
    """A task's tables `runs` and `draws` as a Trial; R is `metric` at `horizon`.

    Runs that lack a value at some depth are left out.  Raises InputError as split_tasks does.
    """
    task = str(runs["task"].iloc[0])
    data = next(iter(split_tasks(runs, None, draws, metric=metric, horizons={task: horizon})))
    lost = runs.loc[runs["failure"], ["seed", "depth"]].groupby("seed")["depth"].min()
    seeds = _alive(rows_of(runs, metric), horizon)
    beside = []
    if metric != "loss":
        loss = _wide(rows_of(runs, "loss"), seeds, data.depth)
        beside = [loss] if loss is not None else []
    whole = np.isfinite(data.metric).all(axis=1)
    return Trial(
        task=task,
        horizon=data.horizon,
        depth=data.depth,
        metric=data.metric[whole],
        beside=np.stack([data.metric, *beside], axis=2)[whole][:, :, 1:],
        static=np.nan_to_num(data.static[whole]),
        outcome=data.outcome[whole],
        failed=np.maximum(lost.to_numpy(float), 1.0),
        higher=metric not in LOWER_IS_BETTER,
    )  # fmt: skip


def _alive(chosen: pd.DataFrame, horizon: int) -> Index:
    """Seeds that did not fail and whose R was read, in the order of risk.data."""
    final = chosen[(chosen["split"] == "target") & (chosen["depth"] == horizon)]
    if not (chosen["split"] == "target").any():
        final = chosen[(chosen["split"] == "val") & (chosen["depth"] == horizon)]
    failed = set(chosen.loc[chosen["failure"], "seed"])
    read = final.loc[np.isfinite(final["value"].to_numpy(float)), "seed"]
    return np.array(sorted(set(read) - failed), np.int64)


def _wide(rows: pd.DataFrame, seeds: Index, depth: Index) -> Array | None:
    """A metric on split val at all depths [N, D]; None unless every value is there and finite."""
    val = rows[rows["split"] == "val"]
    if val.empty:
        return None
    wide = val.pivot_table(index="seed", columns="depth", values="value", dropna=False)
    found = wide.reindex(index=seeds, columns=depth).to_numpy(float)
    return found if np.isfinite(found).all() else None


@dataclass(frozen=True)
class Ridge:
    """A fitted ridge: forecast = `mean` + (x - `centre`) `weight`; `loo` [n] its leave-one-out errors."""

    mean: float
    centre: Array
    weight: Array
    loo: Array

    def predict(self, x: Array) -> Array:
        """R [m] from features [m, p]."""
        return np.asarray(self.mean + (x - self.centre) @ self.weight)


def fit_ridge(x: Array, y: Array) -> Ridge:
    """Ridge of R [n] on scaled features [n, p], by the penalty of least leave-one-out error.

    The errors are exact for a given penalty, y_i - yhat_i over 1 - h_ii (Golub, Heath and Wahba, 1979).
    Without features it is the mean, whose error of a new run has the variance Var R (1 + 1/n).
    """
    n, mean = len(y), float(y.mean())
    centre = x.mean(axis=0)
    scale = x.std(axis=0)
    moves = scale > 1e-12 * np.maximum(np.abs(centre), 1e-300)
    if not moves.any():
        return Ridge(mean, centre, np.zeros(x.shape[1]), (y - mean) / (1 - 1 / n))
    z = (x[:, moves] - centre[moves]) / scale[moves]
    u, s, vt = np.linalg.svd(z, full_matrices=False)
    found = s > 1e-9 * s[0]
    u, s, vt = u[:, found], s[found], vt[found]
    along = u.T @ (y - mean)
    penalty = n * np.array(PENALTIES)
    shrink = s**2 / (s**2 + penalty[:, None])
    fitted = (shrink * along) @ u.T
    leverage = 1 / n + shrink @ (u**2).T
    loo = (y - mean - fitted) / np.maximum(1 - leverage, 1e-6)
    best = int(np.argmin((loo**2).sum(axis=1)))
    weight = np.zeros(x.shape[1])
    weight[moves] = vt.T @ (shrink[best] * along / s) / scale[moves]
    return Ridge(mean, centre, weight, loo[best])


def forecasts(features: list[Array], outcome: Array, known: Index, judged: Index) -> tuple[Array, Array]:
    """Forecasts of the judged runs at each stop [m, D + 1], and the calibration runs' errors [n, D + 1].

    `features` holds Trial.features of each stop; `known` and `judged` are rows.
    """
    fits = [fit_ridge(x[known], outcome[known]) for x in features]
    said = np.stack([fit.predict(x[judged]) for fit, x in zip(fits, features, strict=True)], axis=1)
    return said, np.stack([fit.loo for fit in fits], axis=1)
