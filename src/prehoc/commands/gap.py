"""The command behind the table gap: what features tell of R without forking, and its figure."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from prehoc.commands.app import Out, StageFile, app, read_stage


@app.command()
def gap(
    config: StageFile,
    runs: Annotated[Path, typer.Option(help="runs table")],
    forks: Annotated[Path, typer.Option(help="forks table")],
    draws: Annotated[Path, typer.Option(help="draws table")],
    outputs: Annotated[Path, typer.Option(help="outputs table")],
    out: Out,
    needed: Annotated[Path, typer.Option(help="gap_needed table to write")],
    signals: Annotated[
        Path | None, typer.Option(help="signals table; without it: no such features")
    ] = None,
) -> None:
    """How much of the gap between metric and forks features close, on runs held out, for one task."""
    from prehoc import tables
    from prehoc.config import metric_of
    from prehoc.predictors.gap import Settings
    from prehoc.predictors.gap_data import bank_of
    from prehoc.predictors.gap_tables import gap_table, needed_table

    stage = read_stage(config)
    block = stage["gap"]
    bank = bank_of(
        tables.read("runs", runs),
        tables.read("forks", forks),
        tables.read("draws", draws),
        tables.read("outputs", outputs),
        tables.read("signals", signals) if signals is not None else None,
        task=stage["task"],
        metric=metric_of(stage),
        auxiliary=block["auxiliary"],
        horizon=stage["horizon"],
    )
    how = Settings(block["folds"], block["rows"], block["resamples"], stage["confidence"], stage["seed"])
    made = tables.empty("gap") if bank is None else gap_table(bank, how)
    wanted = block["needed"]
    few = (
        tables.empty("gap_needed")
        if bank is None
        else needed_table(
            bank, how, runs=wanted["runs"], examples=wanted["examples"], share=wanted["depth_share"]
        )
    )
    tables.write("gap", made, out)
    tables.write("gap_needed", few, needed)


@app.command("figure-gap")
def figure_gap(
    config: StageFile,
    table: Annotated[Path, typer.Option(help="gap table")],
    out: Annotated[Path, typer.Option(help="folder for the picture and its CSV")],
) -> None:
    """Draw risk over depth for the metric, outputs, best features and forks: the picture, and a CSV."""
    from prehoc import tables
    from prehoc.figures import fig_gap

    stage = read_stage(config)
    tasks = [t for group in stage["groups"].values() for t in group]
    rows = tables.read("gap", table)
    fig_gap.save(out, rows, tasks=tasks, column=stage["column"], formats=stage["format"])
