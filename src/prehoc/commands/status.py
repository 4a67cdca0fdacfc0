"""The command that shows how far a workflow is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from prehoc.commands.app import app
from prehoc.progress import Progress, TaskProgress, collect


@app.command()
def status(
    results: Annotated[Path, typer.Option(help="the workflow's folder of results")] = Path("results"),
    config: Annotated[
        Path | None,
        typer.Option(help="a resolved config, results/config/all-*.json; the newest if not given"),
    ] = None,
    robustness: Annotated[
        bool, typer.Option("--robustness", help="of snakemake robustness: its cells in place of the tasks")
    ] = False,
    json: Annotated[Path | None, typer.Option(help="JSON file to write beside the tables")] = None,
) -> None:
    """Show runs done, failed, running and to go, a task and depth, and an estimate of the rest.

    Reads files only, while jobs run or not: resolved config, tables, checkpoints and locks.
    """
    from rich.console import Console

    console = Console(soft_wrap=True, highlight=False, markup=False)
    found = collect(results, config, cells=robustness)
    if found is None:
        console.print(f"{results}: nothing was begun here; snakemake figures begins")
    else:
        _show(console, found)
    if json is not None:
        from prehoc.tables import write_json

        write_json(found.as_json() if found else {"config": None, "tasks": []}, json)


def _show(console, found: Progress) -> None:  # type: ignore[no-untyped-def]
    from rich.table import Table

    more = f", the newest of {found.configs}" if found.configs > 1 else ""
    console.print(f"config: {found.config}{more}")
    runs = Table("task", "depth", "done", "failed", "running", "to go", box=None, pad_edge=False)
    files = Table("task", "shards", "forks", "verdict", "left", box=None, pad_edge=False)
    for column in runs.columns[1:]:
        column.justify = "right"
    for task in found.tasks:
        for i, at in enumerate(task.depths):
            numbers = (at.depth, at.done, at.failed, at.running, at.to_go)
            runs.add_row("" if i else task.task, *map(str, numbers))
        files.add_row(*_files(task))
    console.print(runs, "")
    console.print(files, "")
    for job in found.jobs:
        life = "" if job["alive"] else f"; it seems gone (no sign of life for {job['silent_s']:.0f} s)"
        console.print(
            f"{job['task']}: runs {job['first']} to {job['end'] - 1}: {job['job']} on {job['host']} "
            f"since {job['since']}{life}"
        )
    for note in found.notes:
        console.print(note, style="yellow")
    jobs = "one job" if found.at_once == 1 else f"{found.at_once} jobs"
    more = f", and what is not known yet of {', '.join(found.unknown)}" if found.unknown else ""
    if found.unknown and not found.seconds_left:
        console.print(f"training left: not known yet of {', '.join(found.unknown)}; {found.how}")
    else:
        console.print(f"training left: {words(found.seconds_left)} with {jobs} at once{more}; {found.how}")


def _files(task: TaskProgress) -> tuple[str, str, str, str, str]:
    verdict = {True: "yes", False: "no", None: "-"}[task.verdict]
    forks = f"{task.forks_done}/{task.forks}" if task.forks else "-"
    left = "not known yet" if task.seconds_left is None else words(task.seconds_left)
    return task.task, f"{task.shards_done}/{task.shards}", forks, verdict, left


def words(seconds: float) -> str:
    """A time for people, to two figures or so."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"
