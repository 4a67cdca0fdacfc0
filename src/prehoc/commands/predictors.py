"""The commands that hold predictors of R against each other: by run, by information, by task, by depth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from prehoc.commands.app import Out, StageFile, app, log, read_stage
from prehoc.errors import InputError, TooFewRunsError

if TYPE_CHECKING:
    import pandas as pd

Regimes = Annotated[Path, typer.Option(help="regimes table of all tasks")]
HeldOut = Annotated[list[Path], typer.Option("--held-out", help="a task's held_out table; repeat for more")]


@app.command()
def predictors(
    config: StageFile,
    runs: Annotated[Path, typer.Option(help="runs table")],
    draws: Annotated[Path, typer.Option(help="draws table")],
    forks: Annotated[Path, typer.Option(help="forks table, for c*")],
    table: Annotated[Path, typer.Option(help="predictors table to write")],
    held_out: Annotated[Path, typer.Option(help="held_out table to write")],
    own_depth: Annotated[Path, typer.Option(help="own_depth table to write")],
    signals: Annotated[Path | None, typer.Option(help="signals table, if there is one")] = None,
) -> None:
    """Forecast R of one task's runs from what each shows, by models that have not seen the run."""
    import numpy as np

    from prehoc import tables
    from prehoc.config import driver_of, metric_of
    from prehoc.predictors import held_out as judging
    from prehoc.predictors.features import see
    from prehoc.tables.scales import rows_of

    stage = read_stage(config)
    frames = [tables.read(n, p) for n, p in (("runs", runs), ("draws", draws), ("forks", forks))]
    noted = None if signals is None else tables.read("signals", signals)
    metric, trees = metric_of(stage), stage["boosting"]
    plan = judging.Plan(
        names=tuple(stage["names"]),
        folds=stage["folds"],
        depths=None if stage["depths"] is None else tuple(stage["depths"]),
        trees=trees["trees"],
        rate=trees["rate"],
        depth=trees["depth"],
    )
    try:
        seen = see(
            frames[0], frames[1], noted, metric=metric, horizon=stage["horizon"], forks=frames[2],
            most_runs=stage["most_runs"],
        )  # fmt: skip
    except TooFewRunsError as error:
        log.info(f"{error}: no predictor is judged")
        for name, path in (("predictors", table), ("held_out", held_out), ("own_depth", own_depth)):
            tables.write(name, tables.empty(name), path)
        return
    told = judging.held_out(seen, plan, stage["seed"])
    if told.empty:
        log.info(f"{stage['task']}: R is the same for all runs; there is nothing to predict")
    own = judging.own_depths(
        seen,
        told,
        np.sort(rows_of(frames[2], metric)["seed"].unique()),
        prices=stage["prices"],
        information=stage["information"],
        driver=driver_of(stage),
        shift=0.5 if stage["half_shift"] else 0.0,
        confidence=stage["confidence"],
    )
    tables.write("predictors", judging.predictors_table(told, metric, stage["confidence"]), table)
    tables.write("held_out", told, held_out)
    tables.write("own_depth", own, own_depth)


def _read_all(table: str, paths: list[Path]) -> pd.DataFrame:
    """The parts of a table as one."""
    from prehoc import tables

    return tables.joined(table, (tables.read(table, path) for path in paths))


@app.command()
def complementarity(config: StageFile, held_out: HeldOut, regimes: Regimes, out: Out) -> None:
    """What static and trajectory information leave of Var R over depth, by task and by regime."""
    from prehoc import tables
    from prehoc.predictors.complementarity import complementarity_table
    from prehoc.predictors.pooled import regime_of

    stage = read_stage(config)
    made = complementarity_table(
        _read_all("held_out", held_out),
        regime_of(tables.read("regimes", regimes), stage["drivers"]),
        stage["horizons"],
        stage["pooled_shares"],
        resamples=stage["resamples"],
        seed=stage["seed"],
        confidence=stage["confidence"],
    )
    tables.write("complementarity", made, out)


@app.command()
def mismatch(
    config: StageFile,
    held_out: HeldOut,
    own_depth: Annotated[list[Path], typer.Option(help="a task's own_depth table; repeat for more")],
    regimes: Regimes,
    out: Out,
) -> None:
    """The risk of each predictor at a fixed shallow depth over that at the task's own c*."""
    from prehoc import tables
    from prehoc.predictors.mismatch import mismatch_table
    from prehoc.predictors.pooled import regime_of

    stage = read_stage(config)
    made = mismatch_table(
        _read_all("held_out", held_out),
        _read_all("own_depth", own_depth),
        regime_of(tables.read("regimes", regimes), stage["drivers"]),
        stage["horizons"],
        shallow_steps=stage["shallow_steps"],
        shallow_share=stage["shallow_share"],
        resamples=stage["resamples"],
        seed=stage["seed"],
        confidence=stage["confidence"],
    )
    tables.write("mismatch", made, out)


@app.command()
def transfer(
    config: StageFile,
    task: Annotated[
        list[Path], typer.Option(help="folder of a task's runs, draws and static tables; repeat")
    ],
    regimes: Regimes,
    out: Out,
) -> None:
    """Forecast R of each task's runs by models learned on the runs of all other tasks."""
    from prehoc import tables
    from prehoc.predictors.features import see, task_features
    from prehoc.predictors.pooled import regime_of
    from prehoc.predictors.transfer import transfer_table

    stage = read_stage(config)
    seen: dict[str, Any] = {}
    features: dict[str, dict[str, float]] = {}
    for folder in task:
        name = folder.name
        if name not in stage["metrics"]:
            raise InputError(f"--task {folder}: no task of this config has the name {name}")
        runs, draws = (tables.read(n, folder / f"{n}.parquet") for n in ("runs", "draws"))
        signals = folder / "signals.parquet"
        noted = tables.read("signals", signals) if signals.is_file() else None
        try:
            seen[name] = see(
                runs, draws, noted, metric=stage["metrics"][name], horizon=stage["horizons"][name],
                most_runs=stage["transfer_runs"],
            )  # fmt: skip
        except TooFewRunsError as error:
            log.info(f"{error}: left out")
            continue
        features[name] = task_features(tables.read("static", folder / "static.parquet"))
    trees = stage["boosting"]
    made, said = transfer_table(
        seen,
        features,
        regime_of(tables.read("regimes", regimes), stage["drivers"]),
        stage["transfer_depth_shares"],
        names=stage["names"],
        trees=(trees["trees"], trees["rate"], trees["depth"]),
        resamples=stage["resamples"],
        seed=stage["seed"],
        confidence=stage["confidence"],
    )
    for line in said:
        log.info(line)
    tables.write("transfer", made, out)


@app.command("figure-complementarity")
def figure_complementarity(
    config: StageFile,
    table: Annotated[Path, typer.Option(help="complementarity table")],
    out: Annotated[Path, typer.Option(help="folder for the picture and its CSV")],
) -> None:
    """Draw what each information set leaves of Var R over depth, a panel a regime; and a CSV of it."""
    from prehoc import tables
    from prehoc.figures import fig_complementarity

    stage = read_stage(config)
    shown = tables.read("complementarity", table)
    fig_complementarity.save(out, shown, column=stage["column"], formats=stage["format"])
