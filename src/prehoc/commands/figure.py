"""The command that draws a figure from tables."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from prehoc.commands.app import StageFile, app, read_stage
from prehoc.errors import InputError


@app.command()
def figure(
    name: Annotated[str, typer.Argument(help="fig2_decay, fig3_phase, c_star, curves, intrinsic, sources")],
    config: StageFile,
    out: Annotated[Path, typer.Option(help="folder for the picture and its CSV")],
    variance: Annotated[Path | None, typer.Option(help="variance table")] = None,
    envelope: Annotated[Path | None, typer.Option(help="envelope table")] = None,
    c_star: Annotated[Path | None, typer.Option(help="c_star table")] = None,
    regimes: Annotated[Path | None, typer.Option(help="regimes table")] = None,
    sources: Annotated[Path | None, typer.Option(help="sources table")] = None,
    intrinsic: Annotated[Path | None, typer.Option(help="intrinsic table")] = None,
    part: Annotated[
        list[Path] | None, typer.Option(help="runs (curves) or truth (fig2_decay) table of a task")
    ] = None,
) -> None:
    """Draw one figure from tables: the picture in each format, and a CSV of what it shows."""
    import pandas as pd

    from prehoc import tables
    from prehoc.figures import curves, fig2_decay, fig3_phase, fig4_c_star, fig_sources, readings

    stage = read_stage(config)
    tasks = [t for group in stage["groups"].values() for t in group]
    look: dict[str, Any] = {"column": stage["column"], "formats": stage["format"]}

    def read(table: str, path: Path | None) -> pd.DataFrame:
        if path is None:
            raise InputError(f"figure {name} needs --{table.replace('_', '-')}")
        return tables.read(table, path)

    if name == "curves":
        frames = [tables.read("runs", p) for p in part or []]
        runs = {str(f["task"].iloc[0]): f for f in frames if len(f)}
        ordered = {t: runs[t] for t in tasks if t in runs}
        curves.save(out, ordered, metrics=stage["metrics"], **look)
        return
    if name == "sources":
        fig_sources.save(out, read("sources", sources), **look)
        return
    if name == "intrinsic":
        from prehoc.figures import intrinsic as bars

        bars.save(out, read("intrinsic", intrinsic), tasks=tasks, **look)
        return
    u, fits = read("variance", variance), read("envelope", envelope)
    by_residual = [t for t, driver in stage["drivers"].items() if driver == "residual"]
    u = readings.driving(u, by_residual, stage["information"])  # panel (b) shows what drives
    if name == "fig2_decay":
        truths = [tables.read("truth", p) for p in part or []]
        truth = pd.concat(truths, ignore_index=True) if truths else None
        shift, groups = stage["shifts"], stage["groups"]
        fig2_decay.save(out, u, fits, truth, tasks=tasks, groups=groups, shift=shift, **look)
    elif name == "fig3_phase":
        fig3_phase.save(out, read("regimes", regimes), fits, u, tasks=tasks, **look)
    elif name == "c_star":
        fig4_c_star.save(out, read("c_star", c_star), fits, u, tasks=tasks, **look)
    else:
        raise InputError(
            f"figure {name}: unknown; choose fig2_decay, fig3_phase, c_star, curves, intrinsic or sources"
        )
