"""Commands about the project itself: provenance, schema and check."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from prehoc.commands.app import Out, StageFile, app, log, read_stage


@app.command()
def provenance(
    config: StageFile,
    out: Out,
    sources: Annotated[list[Path] | None, typer.Argument(help="tasks' sources.json")] = None,
    engine: Annotated[list[Path] | None, typer.Option(help="a task's engine.json; repeat")] = None,
) -> None:
    """Write what made the results: versions, lock, config, models and data, machine, seeds."""
    from prehoc import provenance as maker
    from prehoc.tables import write_json

    known = [[read_stage(path) for path in paths or []] for paths in (sources, engine)]
    write_json(maker.collect(read_stage(config), *known), out)


@app.command()
def schema(out: Out) -> None:
    """Write the JSON schema of config.yaml."""
    from prehoc.config import json_schema
    from prehoc.tables import write_json

    write_json(json_schema(), out)


@app.command()
def check(
    config: Annotated[
        list[Path], typer.Argument(help="config files, as for --configfile, each over the last")
    ],
) -> None:
    """Validate config files: keys, values, and that models and data files are there.

    What is not whole in itself is laid over ./config.yaml, as snakemake --configfile does.
    """
    from prehoc.config import load
    from prehoc.config.hub import all_wanted
    from prehoc.preflight import preflight

    loaded = load(config, Path("config.yaml"))
    preflight(loaded)
    files = " + ".join(map(str, config))
    if loaded.robustness is not None and not loaded.cells():
        names = ", ".join(loaded.robustness.tasks)
        log.warning(
            f"{files}: robustness.tasks: no task {names} in tasks, so snakemake robustness has nothing to "
            "cross; name tasks that are there, or set robustness: null"
        )
    for name in loaded.enabled():
        task = loaded.tasks[name]
        if task.outputs is not None and task.data is not None and task.data.labels == "number":
            log.info(f"{files}: tasks.{name}.outputs: not recorded, as labels are numbers")
    for item in all_wanted(loaded).values():
        if item.revision is None:
            log.warning(f"{files}: {item}: no revision; `prehoc fetch` says which commit to write")
    log.info(f"{files}: {len(loaded.enabled())} tasks: {', '.join(loaded.enabled())}")
