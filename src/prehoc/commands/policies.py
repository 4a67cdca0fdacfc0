"""The commands behind the table `policies` and the figure `frontier`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from prehoc.commands.app import Out, StageFile, app, log, read_stage
from prehoc.errors import TooFewRunsError


@app.command()
def policies(
    config: StageFile,
    runs: Annotated[Path, typer.Option(help="runs table")],
    draws: Annotated[Path, typer.Option(help="draws table")],
    out: Out,
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
        tables.write("policies", tables.empty("policies"), out)
        return
    prices = {float(w) for w in (*stage["prices"], *stage["policies"]["sweep"])}
    if trial.var_r > 0:
        prices |= {g * stage["cost_per_step"] * trial.horizon / trial.var_r for g in stage["gamma"]}
    made = judge(
        trial,
        prices=sorted(prices),
        settings=stage["policies"],
        seed=stage["seed"],
        regime=_regime(regimes),
        shift=0.5 if stage["half_shift"] else 0.0,
        confidence=stage["confidence"],
    )
    if made.empty:
        log.info(
            f"{trial.task}: {len(trial.outcome)} runs with a final value, of variance {trial.var_r:.3g}: policies "
            f"are judged from {least} runs (policies.min_runs) whose R varies; the table is empty"
        )
    tables.write("policies", made, out)


def _regime(path: Path | None) -> str:
    """The regime to one who sees the curve: reading bayes by the residual, else by forks."""
    from prehoc import tables

    if path is None:
        return "undecided"
    rows = tables.read("regimes", path)
    rows = rows[rows["reading"] == "bayes"]
    for proxy in ("residual", "fork"):
        found = rows.loc[rows["proxy"] == proxy, "regime"]
        if len(found):
            return str(found.iloc[0])
    return "undecided"


@app.command("figure-frontier")
def figure_frontier(
    config: StageFile,
    table: Annotated[Path, typer.Option(help="policies table")],
    out: Annotated[Path, typer.Option(help="folder for the picture and its CSV")],
) -> None:
    """Draw risk and regret against compute, by policy and regime: the picture, and a CSV of all tasks."""
    from prehoc import tables
    from prehoc.figures import frontier

    stage = read_stage(config)
    look: dict[str, Any] = {"column": stage["column"], "formats": stage["format"]}
    tasks = [t for group in stage["groups"].values() for t in group]
    frontier.save(out, tables.read("policies", table), tasks=tasks, **look)
