"""The command for a person's own runs: from a file to tables, figures and a verdict."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from prehoc.commands.app import app, log
from prehoc.errors import InputError


@app.command()
def fit(
    runs: Annotated[
        Path, typer.Argument(help="CSV or Parquet: task, seed, depth (or step), metric", show_default=False)
    ],
    out: Annotated[Path, typer.Option(help="folder to write to")],
    outcome: Annotated[
        str, typer.Option(help="R: auto, last, depth:N, final, to-target or to-target:VALUE")
    ] = "auto",
    direction: Annotated[
        str, typer.Option(help="which way the metric is better: auto, higher, lower")
    ] = "auto",
    metric: Annotated[
        str | None,
        typer.Option(help="which metric, where the file names several (columns metric and value)"),
    ] = None,
    horizon: Annotated[int | None, typer.Option(help="T in steps; default: the last depth")] = None,
    price: Annotated[
        list[float] | None,
        typer.Option(help="w = gamma lambda T / Var R, without unit; repeat for more (default .05, .2, 1)"),
    ] = None,
    gamma: Annotated[
        list[float] | None,
        typer.Option(help="in place of a price: squared units of R a unit of cost; repeat"),
    ] = None,
    lambda_: Annotated[float, typer.Option("--lambda", help="cost of a step, with --gamma")] = 1.0,
    information: Annotated[
        str,
        typer.Option(help="what a predictor sees at depth c: last (metric at c) or prefix (all up to c)"),
    ] = "last",
    groups: Annotated[
        str, typer.Option(help="where runs of several groups differ: refuse, split, within, pool")
    ] = "refuse",
    spikes: Annotated[
        str, typer.Option(help="single wild values in a curve: set-aside or keep")
    ] = "set-aside",
    bad_rows: Annotated[
        str, typer.Option(help="rows that cannot be read: stop or skip (counted)")
    ] = "stop",
    seed: Annotated[int, typer.Option(help="of the bootstrap")] = 0,
    resamples: Annotated[int, typer.Option(help="of the bootstrap", min=50)] = 400,
    confidence: Annotated[float, typer.Option(help="of all intervals")] = 0.95,
    formats: Annotated[list[str] | None, typer.Option("--format", help="of figures: pdf, png, svg")] = None,
) -> None:
    """Say how predictable your own runs are: reads RUNS, writes tables, figures and a verdict to --out.

    Columns: task, seed, depth (or step), metric; optional final, split (val, target), group. Writes
    variance.csv, envelope.csv, c_star.csv, regimes.csv, advice.csv, fig2_decay and fig3_phase (pdf, png,
    csv), verdict.json and verdict.html, and prints the verdict. Exit code 1 where no task carries one.
    """
    from prehoc.fits.fit import fit as fitted

    if lambda_ != 1.0 and not gamma:
        raise InputError(
            "--lambda goes with --gamma: a price counts a whole run already; give one, or leave it out"
        )
    made = fitted(
        runs,
        outcome=outcome,
        direction=direction,
        metric=metric,
        horizon=horizon,
        prices=price,
        gammas=gamma or (),
        cost_per_step=lambda_,
        information=information,
        groups=groups,
        spikes=spikes,
        bad_rows=bad_rows,
        seed=seed,
        resamples=resamples,
        confidence=confidence,
    )
    made.save(out, formats=tuple(formats or ("pdf", "png")))
    made.verdict().print()
    log.info(f"tables, figures, verdict.json and verdict.html are in {out}")
    if not made.tasks:
        raise InputError(
            f"{runs}: no task carries a verdict; why, and what would, is in {out / 'verdict.json'}"
        )
