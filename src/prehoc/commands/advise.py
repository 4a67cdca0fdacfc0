"""The commands that say how deep to probe with a budget, and that collect what they know."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from prehoc.commands.app import Out, app, log
from prehoc.errors import InputError


@app.command()
def advise(
    budget: Annotated[float, typer.Option(help="what may be spent, in --unit")],
    fitted: Annotated[
        Path | None,
        typer.Argument(
            help="folder of `prehoc fit --out`, or results; without: the library", show_default=False
        ),
    ] = None,
    task: Annotated[str | None, typer.Option(help="which task, where there are several")] = None,
    unit: Annotated[str, typer.Option(help="of the budget: steps, hours or money")] = "steps",
    step_seconds: Annotated[float | None, typer.Option(help="of one step, for hours and money")] = None,
    price_per_hour: Annotated[float | None, typer.Option(help="for a budget in money")] = None,
    candidates: Annotated[int, typer.Option(help="runs to choose the best of")] = 1,
    threshold: Annotated[float | None, typer.Option(help="of R, for a go / no-go decision")] = None,
    price: Annotated[float, typer.Option(help="w = gamma lambda T / Var R, without unit")] = 0.2,
    feature: Annotated[
        list[str] | None,
        typer.Option(
            help="of a task that is not fitted: NAME=VALUE with parameters, train, classes, label_entropy, "
            "length, horizon; repeat"
        ),
    ] = None,
    metric: Annotated[str, typer.Option(help="R's, where the nearest task is looked for")] = "accuracy",
    library: Annotated[
        Path | None, typer.Option(help="of fitted tasks (prehoc library); default: prehoc's own")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Say how deep to probe with a budget, what that leaves open, and the chance to be wrong.

    Goes by a fitted task; without one by the nearest in a library, and says so (docs/advise.md).
    """
    from prehoc.fits.advise import advise as advised

    made = advised(
        fitted, budget, task=task, unit=unit, step_seconds=step_seconds, price_per_hour=price_per_hour,
        candidates=candidates, threshold=threshold, price=price, like=_features(feature or []),
        metric=metric, library=library,
    )  # fmt: skip
    print(json.dumps(made.as_dict(), indent=2, allow_nan=False) if as_json else made)


@app.command()
def library(
    sources: Annotated[
        list[Path], typer.Argument(help="results, or folders of fitted tasks", show_default=False)
    ],
    out: Out,
) -> None:
    """Collect fitted tasks for `prehoc advise`: their risk over depth, and static features."""
    from prehoc import tables
    from prehoc.fits.library import collect

    made, without = collect(sources)
    tables.write("library", made, out)
    log.info(f"{out}: {made['task'].nunique()} fitted tasks")
    if without:
        log.info(f"without static features, and left out: {', '.join(without)}")


def _features(given: list[str]) -> dict[str, float]:
    made = {}
    for one in given:
        name, _, value = one.partition("=")
        try:
            made[name.strip()] = float(value)
        except ValueError:
            raise InputError(f"--feature {one}: give NAME=VALUE with a number, as train=4000") from None
    return made
