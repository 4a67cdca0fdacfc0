"""Commands that hold the theory against exact truth: the lower bound and the rates."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from prehoc.commands.app import Out, StageFile, app, log, read_stage
from prehoc.errors import InputError


@app.command()
def benchmark_bound(
    config: StageFile,
    instance: Annotated[str, typer.Option(help="name of an exact synthetic instance")],
    out: Out,
) -> None:
    """Train every predictor on one instance; write its risk over depth beside the exact L(c)."""
    from prehoc import tables
    from prehoc.benchmark import bound

    stage = read_stage(config)
    predictors = bound.makers(stage["predictors"], gp_rows=stage["gp_rows"], seed=stage["seed"])
    sizes = {key: stage[key] for key in ("train", "test", "replicates", "seed")}
    tables.write("lower_bound", bound.bound_table(instance, predictors, **sizes), out)


@app.command()
def benchmark_verdict(
    table: Annotated[Path, typer.Option(help="lower_bound table")],
    out: Out,
) -> None:
    """Say whether any predictor lies below the exact risk, over all rows at once."""
    from prehoc import tables
    from prehoc.benchmark import bound

    made = bound.verdict(tables.read("lower_bound", table))
    tables.write("lower_bound_verdict", made, out)
    row = made.iloc[0]
    log.info(
        f"lower bound: {row['verdict']} over {row['rows']} rows; least z {row['min_z']:.2f} "
        f"({row['worst']}), critical {row['critical_z']:.2f}; z < -2 in {row['below_minus_2']} rows, "
        f"chance gives up to {row['expected_below_minus_2']:.0f}"
    )


@app.command()
def benchmark_rates(config: StageFile, out: Out) -> None:
    """Fit alpha over step-size schedules, and hold it against the theory's."""
    from prehoc import tables
    from prehoc.benchmark import rates

    stage = read_stage(config)
    tables.write("rates", rates.rates_table(**stage), out)


@app.command()
def benchmark_figure(
    name: Annotated[str, typer.Argument(help="lower_bound or rates")],
    config: StageFile,
    table: Annotated[Path, typer.Option(help="the table of that name")],
    out: Annotated[Path, typer.Option(help="folder for the picture and its CSV")],
) -> None:
    """Draw a benchmark's figure from its table."""
    from prehoc import tables
    from prehoc.figures import lower_bound, rates

    figures: dict[str, Any] = {"lower_bound": lower_bound.save, "rates": rates.save}
    if name not in figures:
        raise InputError(f"figure {name}: unknown; choose {' or '.join(figures)}")
    stage = read_stage(config)
    look = {"column": stage["column"], "formats": stage["format"]}
    figures[name](out, tables.read(name, table), **look)
