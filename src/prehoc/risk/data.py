"""The runs of one task as matrices: from the tables runs, forks, draws and outputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from numbers import Integral

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from prehoc import tables
from prehoc.errors import InputError, TooFewRunsError
from prehoc.risk import proxies
from prehoc.risk.outputs import Outputs
from prehoc.risk.proxies import MIN_RUNS
from prehoc.risk.stopped import NOTE, first_stop, refuse_censored, refuse_infinite, refuse_unread
from prehoc.tables.scales import rows_of

Array = NDArray[np.float64]
Index = NDArray[np.int64]


@dataclass(frozen=True)
class TaskData:
    """One task's measurements of one metric.

    `depth` [D] > 0 steps; `metric` [N, D] on split val; `outcome` R [N]; `static` [N, S] features
    made of the visible factors; `forks` holds, a fork depth, R of the forks [trunks, M] with the
    trunks' rows in the same order at each depth.  Failed runs are left out of `metric`, `outcome`
    and `static`; `failure_rate` counts them.  `target` is False where R is the last val metric.
    `note` says which depths were left out because runs had stopped by then.  `outputs` [N, D, E] are
    the runs' log-odds on the probe examples, if any, of which `components` enter a regression.
    `settled` [N, D]: runs whose R is known by then, as steps to a target that they have met.
    `first_stop`: past this depth some runs had stopped, and variances of the metric end there.
    `group` [N]: where given, variances are those within groups.  `seeds` [N] of the rows.
    """

    task: str
    horizon: int
    depth: Index
    metric: Array
    outcome: Array
    static: Array
    fork_depth: Index
    forks: tuple[Array, ...]
    failure_rate: float
    target: bool
    runs: int
    fork_steps: float
    note: str = ""
    outputs: Array | None = None
    components: int = 0
    settled: NDArray[np.bool_] | None = None
    first_stop: int | None = None
    group: Index | None = None
    seeds: Index | None = None

    @property
    def var_r(self) -> float:
        """Var R over the runs that did not fail, squared units; 0 if R is constant."""
        return float(
            proxies.residual(self.outcome[:, None], self.outcome, "none", group=self.group).risk[0]
        )

    @property
    def calibration_steps(self) -> float:
        """Steps that all runs and forks took."""
        return float(self.runs * self.horizon + self.fork_steps)


def split_tasks(
    runs: pd.DataFrame,
    forks: pd.DataFrame | None,
    draws: pd.DataFrame | None,
    *,
    metric: str,
    horizons: int | Mapping[str, int] | None = None,
    outputs: Outputs | None = None,
) -> Iterator[TaskData]:
    """Check the three tables and yield each task of `runs`, in the order of their names.

    `horizons` gives T for one task or by task; without it T is the depth at which the target split
    was measured.  A scaled metric (tables/scales.py) is made of the raw rows.  Raises InputError for
    tables not as declared, duplicate rows, a metric that no row has, fewer than 5 runs that did not
    fail, a horizon that cannot be found, an infinite value, or runs that stopped before it (see
    stopped.refuse_censored).
    """
    runs = tables.check("runs", runs, "runs")
    forks = tables.check("forks", tables.empty("forks") if forks is None else forks, "forks")
    draws = tables.check("draws", tables.empty("draws") if draws is None else draws, "draws")
    if runs.empty:
        raise InputError("the runs table has no rows")
    chosen = rows_of(runs, metric)
    if chosen.empty:
        raise InputError(f"no run has metric {metric!r}; the table has {sorted(runs['metric'].unique())}")
    for task, part in chosen.groupby("task", sort=True):
        name = str(task)
        given = horizons.get(name) if isinstance(horizons, Mapping) else horizons
        branch = rows_of(forks[forks["task"] == name], metric)
        refuse_infinite(name, "runs", part)
        refuse_infinite(name, "forks", branch)
        yield _task(name, part, branch, draws[draws["task"] == name], given, outputs)


def _task(
    name: str,
    runs: pd.DataFrame,
    forks: pd.DataFrame,
    draws: pd.DataFrame,
    given: int | None,
    outputs: Outputs | None,
) -> TaskData:
    refuse_censored(name, runs, given)
    target = runs[runs["split"] == "target"]
    val = runs[(runs["split"] == "val")]
    horizon = _horizon(name, target, val, given)
    has_target = not target.empty
    seeds = np.sort(runs["seed"].unique())
    wide = val.pivot_table(index="seed", columns="depth", values="value", dropna=False)
    wide = wide.reindex(seeds)
    at = wide.columns.to_numpy(np.int64)
    wide = wide.loc[:, (at > 0) & (at <= horizon)]
    if wide.shape[1] == 0:
        raise InputError(f"task {name!r}: no validation metric at a depth of 1 or more")
    source = target[target["depth"] == horizon] if has_target else val[val["depth"] == horizon]
    outcome = source.set_index("seed")["value"].reindex(seeds).to_numpy(float)
    failed = set(runs.loc[runs["failure"], "seed"])
    alive = np.array([s not in failed for s in seeds]) & np.isfinite(outcome)
    refuse_unread(name, seeds, outcome, failed, runs, horizon)
    if alive.sum() < MIN_RUNS:
        raise TooFewRunsError(
            f"task {name!r}: {int(alive.sum())} of {len(seeds)} runs have a final value of this "
            f"metric at the horizon {horizon}; at least {MIN_RUNS} are needed"
        )
    stop, early = first_stop(wide, alive)
    note = ""
    if stop is not None:
        wide = wide.loc[:, wide.columns.to_numpy(np.int64) <= stop]
        note = (
            f"{NOTE}: {early} of {int(alive.sum())}, the first at depth {stop}; later depths are left "
            "out, as they hold for the runs that had not stopped"
        )
    static = visible_features(draws, seeds)
    strange = sorted(set(forks["seed"]) - set(seeds))
    if strange:
        raise InputError(
            f"task {name!r}: forks of seeds {strange[:5]}, which are in no run; give the trunks' rows"
        )
    fork_depth, outcomes, steps = _fork_arrays(forks, horizon)
    depth = wide.columns.to_numpy(np.int64)
    return TaskData(
        task=name,
        horizon=horizon,
        depth=depth,
        metric=wide.to_numpy(float)[alive],
        outcome=outcome[alive],
        static=static[alive],
        fork_depth=fork_depth,
        forks=outcomes,
        failure_rate=float(1 - alive.mean()),
        target=has_target,
        runs=len(seeds),
        fork_steps=steps,
        note=note,
        outputs=None if outputs is None else outputs.aligned(name, seeds[alive], depth),
        components=0 if outputs is None else outputs.components,
        seeds=seeds[alive],
    )


def whole_horizon(task: str, given: object) -> int:
    """A horizon as a whole number of steps; InputError for anything else."""
    if isinstance(given, bool) or not isinstance(given, Integral):
        raise InputError(f"task {task!r}: the horizon must be a whole number of steps, not {given!r}")
    return int(given)


def _horizon(name: str, target: pd.DataFrame, val: pd.DataFrame, given: int | None) -> int:
    if given is None:
        if target.empty:
            raise InputError(
                f"task {name!r}: no horizon is given and no row has split 'target' to read it from"
            )
        found = target["depth"].unique()
        if len(found) > 1:
            raise InputError(
                f"task {name!r}: the target split was measured at depths {sorted(found)}; give the horizon"
            )
        given = int(found[0])
    given = whole_horizon(name, given)
    if given < 1:
        raise InputError(f"task {name!r}: the horizon must be 1 step or more, not {given}")
    beyond = val["depth"].max() if not val.empty else 0
    if beyond > given:
        raise InputError(f"task {name!r}: depth {beyond} lies beyond the horizon {given}")
    if target.empty and given not in set(val["depth"]):
        raise InputError(f"task {name!r}: nothing was measured at the horizon {given}")
    return int(given)


def visible_features(draws: pd.DataFrame, seeds: Index) -> Array:
    """Regression features [N, S] from the visible factors that vary.

    A factor with up to five values becomes indicators; one that is positive, spans a factor of ten or
    more and lies more evenly in logs (as one drawn log-uniformly) is taken in logs; every continuous one
    comes with its square.
    """
    columns: list[Array] = []
    visible = draws[draws["visible"]]
    for _, part in visible.groupby("factor", sort=True):
        x = part.set_index("seed")["value"].reindex(seeds).to_numpy(float)
        values = np.unique(x[np.isfinite(x)])
        if len(values) < 2:
            continue
        if len(values) <= 5:
            columns += [np.where(np.isfinite(x), x == v, np.nan) for v in values[1:]]
            continue
        if values[0] > 0 and values[-1] / values[0] >= 10 and abs(_skew(np.log(x))) < abs(_skew(x)):
            x = np.log(x)
        x = (x - np.nanmean(x)) / np.nanstd(x)
        columns += [x, x**2]
    return np.stack(columns, 1) if columns else np.empty((len(seeds), 0))


def _skew(x: Array) -> float:
    """Skewness of the values that are there."""
    z = x - np.nanmean(x)
    return float(np.nanmean(z**3) / np.nanmean(z**2) ** 1.5)


def _fork_arrays(forks: pd.DataFrame, horizon: int) -> tuple[Index, tuple[Array, ...], float]:
    if forks.empty:
        return np.empty(0, np.int64), (), 0.0
    if forks["depth"].max() > horizon:
        raise InputError(f"forks at depth {forks['depth'].max()} lie beyond the horizon {horizon}")
    steps = float((horizon - forks["depth"]).sum())
    trunks = np.sort(forks["seed"].unique())
    depths, arrays = [], []
    for depth, part in forks.groupby("depth", sort=True):
        if int(str(depth)) < 1:
            continue
        wide = part.pivot_table(index="seed", columns="fork", values="value", dropna=False)
        depths.append(int(str(depth)))
        arrays.append(wide.reindex(trunks).to_numpy(float))
    return np.array(depths, np.int64), tuple(arrays), steps
