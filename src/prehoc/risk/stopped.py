"""Runs whose R is no number to average: infinite values, and runs that stopped before the horizon.

A run that stops when it reaches its target has that target as R: Var R is then the stopping rule's, not
the fine-tune's.  Where R was read at one horizon for every run, though trajectories end early (steps to
target, or a final value at a common depth), R is whole; but the metric past the first stop belongs to the
runs that had not stopped by then, so those depths are left out.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from prehoc.errors import InputError

NOTE = "runs stopped early"
_REMEDY = (
    "give every run's outcome at one common horizon as target rows, or an outcome that stopping does not "
    "pick (such as steps to target) as a metric of its own on split target; mark runs that broke down as "
    "failure"
)


def _listed(depths: list[int]) -> str:
    shown = ", ".join(map(str, depths[:5]))
    return f"{shown} and {len(depths) - 5} more" if len(depths) > 5 else shown


def refuse_infinite(task: str, table: str, rows: pd.DataFrame) -> None:
    """Raise InputError where a value of a task's rows is infinite: a run that broke down has none."""
    bad = rows[np.isinf(rows["value"].to_numpy(float))]
    if len(bad):
        one = bad.iloc[0]
        raise InputError(
            f"task {task!r}: {len(bad)} of the values in {table} are infinite, the first of seed "
            f"{one['seed']} at depth {one['depth']}; mark the run as failed (a null value) instead"
        )


def refuse_censored(task: str, runs: pd.DataFrame, horizon: int | None) -> None:
    """Raise InputError where runs of a task stopped early and their R, if any, is read where they stopped.

    `runs` are the rows of one task and metric; `horizon` T, or None where it is not known yet.  A run
    counts as stopped if it did not fail, and its R was read at other depths than T; or if it has no
    target row and its validation metric ends before that of others (without target rows in the
    table: before T).
    A null R is a failure, and no stop.
    """
    whole = runs[runs["split"] == "target"]
    failed = {*runs.loc[runs["failure"], "seed"], *whole.loc[whole["value"].isna(), "seed"]}
    rows = runs[~runs["seed"].isin(failed)]
    target = rows[rows["split"] == "target"]
    last = rows[rows["split"] == "val"].groupby("seed")["depth"].max()
    if whole.empty:
        if last.empty or (horizon is not None and horizon > last.max()):
            return  # nothing was measured at T: said elsewhere
        end = int(last.max()) if horizon is None else horizon
        short = last[last < end]
    else:
        if horizon is None:
            sets = [set(depths) for _, depths in target.groupby("seed")["depth"]]
            if not sets or (len(set.union(*sets)) > 1 and set.intersection(*sets)):
                return  # which of the depths that all runs share is T: asked elsewhere
            horizon = int(target["depth"].max())
        end, at_end = horizon, set(target.loc[target["depth"] == horizon, "seed"])
        if not at_end:
            return
        read = target.groupby("seed")["depth"].max()
        unread = last[~last.index.isin(set(read.index))]
        short = pd.concat([read[~read.index.isin(at_end)], unread[unread < last.max()]])
    if short.empty:
        return
    depths = sorted(int(d) for d in short.unique())
    raise InputError(
        f"task {task!r}: {len(short)} of {rows['seed'].nunique()} runs stop before the horizon {end} (at "
        f"{_listed(depths)}) and have no outcome there; a run that stops when it reaches its target has "
        f"that target as R, and Var R is then the stopping rule's, not the fine-tune's: {_REMEDY}"
    )


def refuse_unread(
    task: str, seeds: np.ndarray, outcome: np.ndarray, failed: set[int], runs: pd.DataFrame, horizon: int
) -> None:
    """Raise InputError where runs that did not fail have no outcome, though their metric goes on.

    `outcome` [N] of `seeds` [N] (null: none), `failed` the seeds with a failure.  Taken for failures they
    would leave R of the others, which is what a stopping rule picks.  A run whose validation metric
    breaks off too (null from some depth on) did fail.
    """
    val = runs[runs["split"] == "val"].sort_values("depth").drop_duplicates("seed", keep="last")
    going = set(val.loc[val["value"].notna(), "seed"])
    open_ = [int(s) for s, r in zip(seeds, outcome, strict=True) if not np.isfinite(r) and s not in failed]
    missing = [s for s in open_ if s in going]
    if missing:
        raise InputError(
            f"task {task!r}: {len(missing)} of {len(seeds)} runs have no outcome at the horizon {horizon}, "
            f"the first seed {missing[0]}, and are not marked as failed; if that is how they ended, set "
            "failure on their rows; if they stopped, R of the others is what the stopping rule left: "
            f"{_REMEDY}"
        )


def first_stop(wide: pd.DataFrame, alive: np.ndarray) -> tuple[int | None, int]:
    """The first depth after which a run that did not fail has no metric, though others do; how many.

    `wide` [N, D] metrics by depth (null: not measured), `alive` [N].  A depth that a run lacks between
    others is plain missing data; a run without any metric is no stop.  None where no run stopped.
    """
    seen = wide.notna().to_numpy()[alive]
    seen = seen[seen.any(axis=1)]
    if not seen.size:
        return None, 0
    last = seen.shape[1] - 1 - seen[:, ::-1].argmax(axis=1)
    early = last < last.max()
    if not early.any():
        return None, 0
    return int(wide.columns[last.min()]), int(early.sum())
