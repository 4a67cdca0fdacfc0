"""The command that says where a run under way stands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from prehoc.commands.app import app
from prehoc.errors import InputError


@app.command()
def online(
    runs: Annotated[
        Path,
        typer.Argument(
            help="finished runs: CSV or Parquet with task, seed, depth, metric", show_default=False
        ),
    ],
    curve: Annotated[Path, typer.Option(help="runs under way: depth, metric [, task, seed]")],
    price: Annotated[float, typer.Option(help="w = gamma lambda T / Var R, without unit")] = 0.2,
    task: Annotated[str | None, typer.Option(help="whose finished runs to go by")] = None,
    metric: Annotated[str | None, typer.Option(help="which metric, where files name several")] = None,
    outcome: Annotated[str, typer.Option(help="R, as of prehoc fit")] = "auto",
    direction: Annotated[str, typer.Option(help="auto, higher, lower")] = "auto",
    horizon: Annotated[int | None, typer.Option(help="T in steps; default: the last depth")] = None,
    least_depths: Annotated[int, typer.Option(help="metrics seen before any stop", min=4)] = 4,
    confidence: Annotated[float, typer.Option(help="of the interval of R")] = 0.95,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Say of runs under way whether to stop or go on, what R to expect, or that it cannot be told.

    Goes by the finished runs in RUNS (docs/online.md), and prints a line for each run of --curve.
    """
    from prehoc.fits.online import online as ruled
    from prehoc.fits.online import read_curves

    rules = ruled(
        runs, price=price, metric=metric, outcome=outcome, direction=direction, horizon=horizon,
        least_depths=least_depths, confidence=confidence,
    )  # fmt: skip
    told = []
    for (named, run), one in read_curves(curve, metric=metric).items():
        by = task or (named if named in (*rules.tasks, *rules.refused) or len(rules.tasks) > 1 else None)
        try:
            told.append((run, rules.of(by).judge(one)))
        except InputError as error:
            raise InputError(f"{curve}: {error}") from None
    if as_json:
        print(json.dumps([{"run": run, **judged.as_dict()} for run, judged in told], indent=2))
        return
    for run, judged in told:
        print(
            f"{judged.task}, run {run}, depth {judged.depth:,} of {judged.horizon:,}: {judged.in_words()}"
        )
