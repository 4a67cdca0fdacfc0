"""The command that writes a run's adapter as a peft folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from prehoc.commands.app import StageFile, app, log, named_task, read_stage
from prehoc.commands.training import Fetched, _threads, use_fetched


@app.command()
def export(
    config: StageFile,
    seed: Annotated[int, typer.Option(min=0, help="the run")],
    out: Annotated[Path, typer.Option(help="folder to write; must not hold anything")],
    depth: Annotated[int | None, typer.Option(min=1, help="the horizon if not given")] = None,
    threads: Annotated[int, typer.Option(min=1, help="as in training: it keys checkpoints")] = 1,
    device: Annotated[str, typer.Option(help="as in training: auto, cpu, cuda or cuda:N")] = "cpu",
    fetched: Fetched = None,
) -> None:
    """Write one trained run of a LoRA task as a peft adapter folder, from its checkpoint in the store."""
    _threads(threads)
    from prehoc.adapter_files import export as write
    from prehoc.tasks.machine import machine

    stage = read_stage(config)
    with named_task(stage["task"]):
        use_fetched(stage, fetched)
        said = write(stage, machine(device, stage["precision"]), seed, depth, out)
    log.info(said)
