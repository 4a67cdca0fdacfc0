"""The command that makes a runs table from another tool's training logs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from prehoc.commands.app import Out, app, log
from prehoc.errors import InputError


@app.command("import")
def import_logs(
    kind: Annotated[
        str,
        typer.Argument(
            help="mlperf, trainer, tensorboard, wandb, mlflow, lightning or csv", show_default=False
        ),
    ],
    src: Annotated[Path, typer.Argument(help="file or folder to read", show_default=False)],
    out: Out,
    metric: Annotated[str | None, typer.Option(help="the metric to take")] = None,
    task: Annotated[str | None, typer.Option(help="put all runs under one task of this name")] = None,
    task_by: Annotated[
        str | None, typer.Option(help="hyperparameters that tell tasks apart: KEY[,KEY]")
    ] = None,
    final: Annotated[
        str | None, typer.Option(help="a metric whose last value is the final performance")
    ] = None,
    group_by: Annotated[str | None, typer.Option(help="a hyperparameter that names the group")] = None,
    depth: Annotated[str | None, typer.Option(help="csv, wandb, lightning: what holds the depth")] = None,
    columns: Annotated[
        list[str] | None, typer.Option("--map", help="csv: FIELD=COLUMN or FIELD==CONSTANT; repeat it")
    ] = None,
    empty: Annotated[str, typer.Option(help="csv: an empty metric: failed, skip, or auto")] = "auto",
    bad_lines: Annotated[str, typer.Option(help="stop, or skip: set them aside and count them")] = "stop",
) -> None:
    """Make a runs table (and an index of the runs) from another tool's logs: docs/importing.md."""
    from prehoc.logs.generic import parse_map
    from prehoc.logs.kinds import import_runs
    from prehoc.logs.run import Options
    from prehoc.logs.write import index_path, record_path, summary, write

    for value, option, words in (
        (empty, "--empty", ("auto", "failed", "skip")),
        (bad_lines, "--bad-lines", ("stop", "skip")),
    ):
        if value not in words:
            raise InputError(f"{option} {value}: take one of {', '.join(words)}")
    mapped, constants = parse_map(columns or [])
    beside = index_path(out)
    options = Options(
        metric=metric,
        task=task,
        task_by=tuple(k.strip() for k in (task_by or "").split(",") if k.strip()),
        final=final,
        group_by=group_by,
        depth=depth,
        columns=mapped,
        constants=constants,
        empty=empty,
        skip_bad=bad_lines == "skip",
        not_read=tuple(str(p.resolve()) for p in (out, beside, record_path(out))),
    )
    if str(src.resolve()) in options.not_read:
        raise InputError(f"{out}: is what is read; give --out another name")
    made = import_runs(kind, src, options)
    write(made, out, kind)
    for line in made.lines:
        log.info(line)
    for line in summary(made, out):
        print(line)
