"""Commands of variance by source: decompose, and the synthetic case with known components."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from prehoc.commands.app import Out, StageFile, app, named_task, read_stage

KNOWN = "known_components"


@app.command()
def decompose(
    config: StageFile,
    runs: Annotated[Path, typer.Option(help="runs table of a crossed task")],
    out: Out,
) -> None:
    """Split Var R of a crossed task by source: initial weights, data order, dropout, target sample."""
    from prehoc import tables
    from prehoc.config import metric_of
    from prehoc.risk.sources import decompose as split
    from prehoc.risk.sources_frame import outcomes_of, sources_table
    from prehoc.tasks.streams import name_words

    stage = read_stage(config)
    with named_task(stage["task"]):
        outcomes = outcomes_of(tables.read("runs", runs), metric_of(stage), stage["horizon"])
        found = split(
            outcomes,
            stage["crossed"],
            rest=stage["rest"],
            confidence=stage["confidence"],
            resamples=stage["resamples"],
            seed=[stage["seed"], *name_words(stage["task"])],
        )
    tables.write("sources", sources_table(stage["task"], found, rest=stage["rest"]), out)


@app.command()
def known_sources(config: StageFile, out: Out) -> None:
    """Split the variance of a synthetic crossed case, whose components are known, by the same means."""
    import numpy as np

    from prehoc import tables
    from prehoc.risk import sources
    from prehoc.risk.sources_frame import sources_table
    from prehoc.synthetic import crossed
    from prehoc.tasks.streams import name_words

    stage = read_stage(config)
    components = stage["known"]
    names, rest = crossed.names_of(components), crossed.REST in components
    key = [stage["seed"], *name_words(KNOWN)]
    outcomes = crossed.outcomes(components, stage["blocks"], np.random.default_rng(key))
    found = sources.decompose(
        outcomes,
        names,
        rest=rest,
        confidence=stage["confidence"],
        resamples=stage["resamples"],
        seed=[*key, 1],
    )
    truth, effects = sources.known_sources(components, names, rest)
    tables.write("sources", sources_table(KNOWN, found, rest=rest, truth=truth, effects=effects), out)
