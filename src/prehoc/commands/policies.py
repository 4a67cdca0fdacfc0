"""The commands behind the table `policies` and the figures `frontier`, `frontier_tasks`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from prehoc.commands.app import Out, StageFile, app, log, read_stage
from prehoc.errors import TooFewRunsError

if TYPE_CHECKING:
    import pandas as pd


@app.command()
def policies(
    config: StageFile,
    runs: Annotated[Path, typer.Option(help="runs table")],
    draws: Annotated[Path, typer.Option(help="draws table")],
    out: Out,
    against: Annotated[Path | None, typer.Option(help="policies_against table to write")] = None,
    regimes: Annotated[Path | None, typer.Option(help="regimes table: the task's regime is noted")] = None,
) -> None:
    """What probing by each policy costs and gains, on runs held out of its calibration, for one task."""
    from prehoc import tables
    from prehoc.config import metric_of
    from prehoc.predictors.forecasts import trial_of
    from prehoc.predictors.judged import judge

    stage = read_stage(config)
    frames = tables.read("runs", runs), tables.read("draws", draws)
    least = stage["policies"]["min_runs"]
    try:
        trial = trial_of(*frames, metric=metric_of(stage), horizon=stage["horizon"])
    except TooFewRunsError as error:
        log.info(f"{error}; no policies are judged")
        _write(tables.empty("policies"), tables.empty("policies_against"), out, against)
        return
    prices = {float(w) for w in (*stage["prices"], *stage["policies"]["sweep"])}
    if trial.var_r > 0:
        prices |= {g * stage["cost_per_step"] * trial.horizon / trial.var_r for g in stage["gamma"]}
    made, pairs = judge(
        trial,
        prices=sorted(prices),
        settings=stage["policies"],
        seed=stage["seed"],
        regime=_regime(regimes, trial.task, stage["driver"]),
        shift=0.5 if stage["half_shift"] else 0.0,
        confidence=stage["confidence"],
        online_options=stage["online"],
    )
    if made.empty:
        log.info(
            f"{trial.task}: {len(trial.outcome)} runs with a final value, of variance {trial.var_r:.3g}; "
            f"policies take {least} (policies.min_runs) and an R that varies: the table is empty"
        )
    _write(made, pairs, out, against)


def _write(made: pd.DataFrame, pairs: pd.DataFrame, out: Path, against: Path | None) -> None:
    from prehoc import tables

    tables.write("policies", made, out)
    if against is not None:
        tables.write("policies_against", pairs, against)


def _regime(path: Path | None, task: str, driver: str) -> str:
    """The task's regime by the curve that drives its verdict; undecided without a table, or a row in it."""
    from prehoc import tables
    from prehoc.predictors.pooled import regime_of

    if path is None:
        return "undecided"
    return regime_of(tables.read("regimes", path), {task: driver}).get(task, "undecided")


PoliciesTable = Annotated[Path, typer.Option(help="policies table")]
Folder = Annotated[Path, typer.Option(help="folder for the picture and its CSV")]


def _look(config: Path) -> dict[str, Any]:
    """How figures look, and the tasks in the order of their groups, by the figures' config."""
    stage = read_stage(config)
    tasks = [task for group in stage["groups"].values() for task in group]
    return {"column": stage["column"], "formats": stage["format"], "tasks": tasks}


@app.command("figure-frontier")
def figure_frontier(config: StageFile, table: PoliciesTable, out: Folder) -> None:
    """Draw risk and regret against compute, by policy and regime: the picture, and a CSV of all tasks."""
    from prehoc import tables
    from prehoc.figures import frontier

    frontier.save(out, tables.read("policies", table), **_look(config))


@app.command("figure-frontier-tasks")
def figure_frontier_tasks(config: StageFile, table: PoliciesTable, out: Folder) -> None:
    """Draw risk against compute by policy, a panel a task: the picture and its CSV."""
    from prehoc import tables
    from prehoc.figures import frontier_tasks

    frontier_tasks.save(out, tables.read("policies", table), **_look(config))
