"""The information set `outputs`: what a run says of a few fixed examples, between the metric and the state.

At each depth the log-odds that a run gives the right answers are reduced to their leading principal
components, without a look at R, and R is regressed on the metric and these: RSS/(N - 1 - p).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from prehoc import tables
from prehoc.risk.proxies import MIN_RUNS, Estimate, from_residuals, least_squares

Array = NDArray[np.float64]
Index = NDArray[np.int64]

RUNS_A_COMPONENT = 5
_SURE = -float(np.finfo(np.float32).epsneg)  # log-probabilities nearer to 0 round to it in single precision
_LEAST = 1e-12  # of the largest variance: components below it are rounding


def log_odds(value: Array) -> Array:
    """Log p/(1 - p) of log-probabilities log p, in nats; p within single precision of 1 counts as that.

    For a linear head on two classes that is linear in its weights, and it saturates at neither end.
    """
    certain = np.minimum(np.asarray(value, float), _SURE)
    return np.asarray(certain - np.log(-np.expm1(certain)))


@dataclass(frozen=True)
class Outputs:
    """Recorded outputs of tasks by name: seeds [N], depths [D], and log-odds [N, D, E].

    `components`: how many principal components enter a regression at most.  nan where a run or a
    depth has none.
    """

    by_task: dict[str, tuple[Index, Index, Array]]
    components: int

    @staticmethod
    def of_table(frame: pd.DataFrame, components: int) -> Outputs:
        """From the table `outputs`; tasks without rows have none.  Raises InputError for a bad table."""
        frame = tables.check("outputs", frame, "outputs")
        made: dict[str, tuple[Index, Index, Array]] = {}
        for task, part in frame.groupby("task", sort=True):
            places, shape = [], []
            for column in ("seed", "depth", "example"):
                place, known = pd.factorize(part[column].to_numpy(np.int64), sort=True)
                places.append(place)
                shape.append(known)
            values = np.full([len(known) for known in shape], np.nan)
            values[tuple(places)] = log_odds(part["value"].to_numpy(float))
            made[str(task)] = (shape[0], shape[1], values)
        return Outputs(made, components)

    def aligned(self, task: str, seeds: Index, depth: Index) -> Array | None:
        """Log-odds [N, D, E] of runs `seeds` [N] at `depth` [D], nan where absent; None without any."""
        if task not in self.by_task:
            return None
        own, at, values = self.by_task[task]
        rows, columns = np.searchsorted(own, seeds), np.searchsorted(at, depth)
        rows, columns = np.minimum(rows, len(own) - 1), np.minimum(columns, len(at) - 1)
        found = values[np.ix_(rows, columns)].copy()
        found[own[rows] != seeds] = np.nan
        found[:, at[columns] != depth] = np.nan
        return found


def allowed(runs: int, components: int) -> int:
    """How many components N runs bear: five runs each beyond the first five, `components` at most."""
    return min(components, max(runs - MIN_RUNS, 0) // RUNS_A_COMPONENT)


def principal(values: Array, count: int) -> Array:
    """The scores [N, q] of the `count` leading principal components of centred `values` [N, E].

    Pearson, 1901.  q < `count` where fewer directions vary.
    """
    x = values - values.mean(axis=0)
    size, directions = np.linalg.eigh(x.T @ x)
    kept = np.flatnonzero(size > _LEAST * max(float(size[-1]), 0.0))[::-1][:count]
    return np.asarray(x @ directions[:, kept])


def regress_outputs(
    metric: Array, outputs: Array, outcome: Array, components: int
) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Residuals [N, D], degrees of freedom [D] and runs used [N, D] of R on metric and components.

    `metric` [N, D], `outputs` [N, D, E], `outcome` [N].
    """
    residuals = np.full(metric.shape, np.nan)
    freedom = np.zeros(metric.shape[1])
    keep = np.isfinite(metric) & np.isfinite(outputs).all(axis=2) & np.isfinite(outcome)[:, None]
    for j in range(metric.shape[1]):
        ok = keep[:, j]
        if ok.sum() < MIN_RUNS:
            continue
        scores = principal(outputs[ok, j], allowed(int(ok.sum()), components))
        features = np.column_stack([metric[ok, j], scores])
        residuals[ok, j], used = least_squares(features, outcome[ok])
        freedom[j] = ok.sum() - used
    return residuals, freedom, keep


def residual_outputs(
    metric: Array, outputs: Array, outcome: Array, components: int, confidence: float = 0.95
) -> Estimate:
    """U(c) under `outputs`: RSS/(N - 1 - p) of R on the metric and the outputs' leading components.

    Shapes as in `regress_outputs`.  The components are chosen without R, so U is unbiased for what
    these features leave of R, as for any regressors; that is an upper bound on the Bayes risk under
    `outputs`, as both the components left out and what is not linear in them are lost.
    """
    residuals, freedom, keep = regress_outputs(metric, outputs, outcome, components)
    size = float(np.nanmax(np.abs(outcome), initial=0.0))
    return from_residuals(residuals, freedom, confidence, 1 - keep.mean(axis=0), size)


def outputs_risks(metric: Array, outputs: Array, outcome: Array, components: int) -> Array:
    """The risks [D] of residual_outputs without their intervals, for one resample."""
    residuals, freedom, _ = regress_outputs(metric, outputs, outcome, components)
    return np.asarray(np.nansum(residuals**2, axis=0) / np.where(freedom > 0, freedom, np.nan))
