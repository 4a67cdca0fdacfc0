"""The command that says where a run under way stands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from prehoc.commands.app import app, log
from prehoc.errors import InputError

_OTHER = "; give finished runs of that task, or say with --task whose to go by"


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
    task: Annotated[
        str | None, typer.Option(help="whose finished runs to go by; default: the curve's own")
    ] = None,
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
        try:
            judged = rules.of(task or named or None).judge(one)
        except InputError as error:
            hint = "" if task or not named or named in (*rules.tasks, *rules.refused) else _OTHER
            raise InputError(f"{curve}: {error}{hint}") from None
        told.append((named or judged.task, run, judged))
    for named, by in {(n, j.task) for n, _, j in told if n != j.task}:
        log.warning(
            f"{curve}: runs of {named!r} are judged by the finished runs of {by!r}, as --task says: "
            "what holds for one task need not hold for another"
        )
    if as_json:
        each = [{"run": run, **j.as_dict(), "task": named, "judged_by": j.task} for named, run, j in told]
        print(json.dumps(each, indent=2))
        return
    for named, run, judged in told:
        by = "" if named == judged.task else f" (by the finished runs of {judged.task})"
        print(f"{named}, run {run}{by}, depth {judged.depth:,} of {judged.horizon:,}: {judged.in_words()}")
