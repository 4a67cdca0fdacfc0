"""The commands behind `snakemake robustness`: tables, figure, and letting checkpoints go."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from prehoc.commands.app import Out, StageFile, app, log, read_stage
from prehoc.errors import InputError

if TYPE_CHECKING:
    from prehoc.risk.robustness import Tables


@app.command()
def robustness(
    config: StageFile,
    table: Annotated[Path, typer.Option(help="robustness table to write: a row a cell and reading")],
    axes: Annotated[Path, typer.Option(help="robustness_axes table to write: what moves by which axis")],
    cell: Annotated[list[Path], typer.Option(help="folder of a cell's tables; repeat for more")],
) -> None:
    """Put the cells of the crossing in one table, and tell their variation by axis."""
    import pandas as pd

    from prehoc import tables
    from prehoc.risk.robustness import axes_table, cell_rows

    stage = read_stage(config)
    rows: list[dict[str, Any]] = []
    for folder in cell:
        if folder.name not in stage["cells"]:
            raise InputError(f"--cell {folder}: no cell of this config has the name {folder.name}")
        found = _tables(folder, stage["metrics"][folder.name], stage["horizon"])
        levels, seen = stage["cells"][folder.name], stage["information"]
        rows += cell_rows(folder.name, levels, found, stage["price"], seen)
    cells = pd.DataFrame(rows, columns=list(tables.SCHEMAS["robustness"].columns))
    told = axes_table(
        cells, resamples=stage["resamples"], seed=stage["seed"], confidence=stage["confidence"]
    )
    tables.write("robustness", cells, table)
    tables.write("robustness_axes", told, axes)


def _tables(folder: Path, metric: str, horizon: int) -> Tables:
    """A cell's tables, and R of its runs."""
    from prehoc import tables
    from prehoc.risk.robustness import Tables

    names = ("variance", "envelope", "c_star", "regimes")
    found = {name: tables.read(name, folder / f"{name}.csv") for name in names}
    runs = tables.read("runs", folder / "runs.parquet")
    last = runs[(runs["split"] == "target") & (runs["metric"] == metric) & (runs["depth"] == horizon)]
    if last.empty:
        raise InputError(f"{folder / 'runs.parquet'}: no {metric} on split target at depth {horizon}")
    outcome = last["value"].where(~last["failure"]).to_numpy(float)
    return Tables(**found, outcome=outcome)


@app.command("figure-robustness")
def figure_robustness(
    config: StageFile,
    table: Annotated[Path, typer.Option(help="robustness table")],
    out: Annotated[Path, typer.Option(help="folder for the picture and its CSV")],
) -> None:
    """Draw the crossing's cells in the plane of iota and alpha: the picture, and a CSV of what it shows."""
    from prehoc import tables
    from prehoc.figures import fig_robustness

    stage = read_stage(config)
    cells = tables.read("robustness", table)
    fig_robustness.save(out, cells, column=stage["column"], formats=stage["format"])


@app.command()
def release(
    config: StageFile,
    task: Annotated[str, typer.Option(help="a cell of the crossing, whose runs are collected")],
    out: Out,
) -> None:
    """Delete the checkpoints of a cell of the crossing; its tables stay."""
    from prehoc.tables import write_json

    stage = read_stage(config)
    if task not in stage["cells"]:
        raise InputError(f"--task {task}: no cell of the crossing; the checkpoints of other tasks are kept")
    folder = Path(stage["store"]) / "checkpoints" / task
    size = sum(file.stat().st_size for file in folder.rglob("*.safetensors")) if folder.is_dir() else 0
    shutil.rmtree(folder, ignore_errors=True)
    log.info(f"{task}: {size / 1e6:.0f} MB of checkpoints deleted")
    write_json({"task": task, "bytes": size}, out)
