"""A task's runs, forks, outputs and signals as the bank that gap.py reads."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from prehoc.errors import TooFewRunsError
from prehoc.predictors.gap import Bank
from prehoc.risk.data import TaskData, split_tasks
from prehoc.risk.outputs import Outputs
from prehoc.tables.scales import rows_of

Array = NDArray[np.float64]
Index = NDArray[np.int64]


def bank_of(
    runs: pd.DataFrame,
    forks: pd.DataFrame,
    draws: pd.DataFrame,
    outputs: pd.DataFrame,
    signals: pd.DataFrame | None,
    *,
    task: str,
    metric: str,
    auxiliary: str | None,
    horizon: int,
) -> Bank | None:
    """The bank of `task`; None without outputs, or with under five runs that ended.

    `auxiliary` names another metric of the target set, and counts where every run has it.  Raises
    InputError for tables not as declared, as risk.data.split_tasks does.
    """
    probe = Outputs.of_table(outputs, 0)
    try:
        found = list(split_tasks(runs, forks, draws, metric=metric, horizons=horizon, outputs=probe))
    except TooFewRunsError:
        return None
    data = next((d for d in found if d.task == task), None)
    if data is None or data.outputs is None or data.seeds is None:
        return None
    other = None if auxiliary in (None, metric) else final(runs, str(auxiliary), data.seeds, horizon)
    if other is not None and (not np.isfinite(other).all() or not np.ptp(other) > 0):
        other = None
    return Bank(
        task=task,
        name=metric,
        horizon=horizon,
        depth=data.depth,
        metric=data.metric,
        outputs=data.outputs,
        outcome=data.outcome,
        auxiliary=other,
        auxiliary_name=str(auxiliary),
        signals={} if signals is None else signal_sets(signals, data),
        forks={int(d): values for d, values in zip(data.fork_depth, data.forks, strict=True)},
    )


def final(runs: pd.DataFrame, metric: str, seeds: Index, horizon: int) -> Array | None:
    """Another metric of the target set at the horizon, by seed [N]; nan where absent, None without any."""
    rows = rows_of(runs, metric)
    rows = rows[(rows["split"] == "target") & (rows["depth"] == horizon)]
    if rows.empty:
        return None
    return rows.set_index("seed")["value"].reindex(seeds).to_numpy(float)


def signal_sets(signals: pd.DataFrame, data: TaskData) -> Mapping[str, list[Array]]:
    """Features by name, each a list over the depths of `data` of [N, p]; {} where no signals are.

    `projections`: the run's coordinates at that depth; `landscape`: all other signals at the depths so far.
    """
    rows = signals[signals["task"] == data.task]
    if rows.empty or data.seeds is None:
        return {}
    wide = rows.pivot_table(index="seed", columns=["signal", "depth"], values="value", dropna=False)
    wide = wide.reindex(data.seeds)
    names = wide.columns.get_level_values("signal").to_numpy(str)
    at = wide.columns.get_level_values("depth").to_numpy(np.int64)
    values = wide.to_numpy(float)
    placed = np.char.startswith(names, "projection_")
    made: dict[str, list[Array]] = {"projections": [], "landscape": []}
    for depth in data.depth:
        made["projections"].append(_whole(values[:, placed & (at == depth)]))
        made["landscape"].append(_whole(values[:, ~placed & (at <= depth)]))
    return {name: parts for name, parts in made.items() if any(p.shape[1] for p in parts)}


def _whole(features: Array) -> Array:
    """Without the columns in which a run has no value."""
    return np.asarray(features[:, np.isfinite(features).all(axis=0)])
