"""The command that makes a task block from a user's own data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from prehoc.commands.app import app
from prehoc.errors import InputError

BASE = Path("config.yaml")


@app.command()
def new_task(
    name: Annotated[str, typer.Argument(help="the task's name: letters, digits, _ and -")],
    data: Annotated[
        str, typer.Option(help="CSV, TSV, JSONL or Parquet file, folder, packaged: or Hub name")
    ],
    model: Annotated[
        str | None,
        typer.Option(help="packaged: name, folder or Hub name; none: a packaged one that fits the kind"),
    ] = None,
    text: Annotated[list[str] | None, typer.Option(help="text column; twice for a pair task")] = None,
    label: Annotated[str | None, typer.Option(help="label column, or that of the texts to write")] = None,
    kind: Annotated[
        str | None, typer.Option(help="classification, regression or text_generation; none: guessed")
    ] = None,
    subset: Annotated[
        str | None, typer.Option(help="a packaged source, or the Hub's configuration")
    ] = None,
    revision: Annotated[str | None, typer.Option(help="the commit of Hub data")] = None,
    out: Annotated[Path | None, typer.Option(help="YAML to write or add to; none: NAME.yaml")] = None,
    force: Annotated[bool, typer.Option("--force", help="replace the task where the file has it")] = False,
) -> None:
    """Look at your data and write a task block for them, ready for --configfile."""
    from prehoc.config import load
    from prehoc.config.loading import NAME, RESERVED
    from prehoc.newtask.draft import Asked, draft
    from prehoc.newtask.guess import KINDS
    from prehoc.newtask.write import save, task_lines

    if not NAME.fullmatch(name) or name in RESERVED:
        raise InputError(
            f"{name!r}: no task name; letters, digits, '_' and '-', none of {sorted(RESERVED)}"
        )
    kind = {"text_classification": "classification"}.get(kind or "", kind)
    if kind not in (None, *KINDS):
        raise InputError(f"--kind {kind}: give {', '.join(KINDS)}; docs/tasks.md has kinds without data")
    path = out or Path(f"{name}.yaml")
    store = Path(load(BASE).store) if BASE.is_file() else Path(".prehoc")
    made = draft(Asked(data, model, tuple(text or ()), label, kind, subset, revision), store)
    lines = task_lines(name, made.block, made.comments)
    save(name, lines, made.block, path, BASE, force)
    typer.echo("\n".join(lines))
    for remark in made.remarks:
        typer.echo(f"- {remark}")
    typer.echo(f"{path}: written. Next:")
    typer.echo(f"  prehoc check {path}")
    typer.echo(f"  prehoc check-task {name} --configfile {path}")
    typer.echo(f"  snakemake results/{name}/verdict.json --configfile {path}")
