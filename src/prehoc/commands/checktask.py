"""The command that trains a little of a task and says what is wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from prehoc.commands.app import app
from prehoc.commands.training import _threads
from prehoc.errors import InputError

SHOWN = 600  # characters of a prompt or text that are printed


@app.command()
def check_task(
    name: Annotated[str, typer.Argument(help="a task of the config")],
    configfile: Annotated[
        list[Path] | None,
        typer.Option(help="config file, as for snakemake; repeat; none: config.yaml alone"),
    ] = None,
    threads: Annotated[int, typer.Option(min=1)] = 1,
) -> None:
    """Look at a task's data, train two seeds for ten steps, and say what is wrong; exit code 1 on a fault.

    Leaves no results; what it encodes and converts in the store is what training would.
    """
    from prehoc.config import load_laid
    from prehoc.config.robustness import nearest
    from prehoc.preflight import preflight

    config = load_laid(configfile or [], Path("config.yaml"), {})
    if name not in config.tasks:
        plain = [task for task in config.tasks if task not in config.cells()]
        near = nearest(name, plain)
        words = f"did you mean {near}? Tasks are" if near else "tasks are"
        raise InputError(f"{name}: no such task; {words} {', '.join(plain)}")
    alone = config.model_copy(
        update={"only": [name], "tasks": {name: config.tasks[name].model_copy(update={"enabled": True})}}
    )
    _threads(threads)
    from rich.console import Console

    from prehoc.checking.check import check
    from prehoc.checking.findings import Finding, fault
    from prehoc.config.hub import all_wanted
    from prehoc.tasks import hub

    console = Console(highlight=False, markup=False, soft_wrap=True)
    said: list[Finding] = []

    def say(finding: Finding) -> None:
        said.append(finding)
        style = {"OK": "green", "warning": "yellow", "fault": "bold red"}[finding.level]
        console.print(f"{finding.level:<8}", style=style, end="")
        console.print(f"{finding.topic:<12}{finding.text}")

    samples = None
    try:
        preflight(alone)
        records = [Path("results/fetched") / f"{key}.json" for key in all_wanted(alone)]
        hub.use([path for path in records if path.is_file()], Path(alone.store))
        hub.go_offline(alone.tasks[name].model_dump(mode="json"))
        samples = check(alone, name, say)
    except InputError as error:
        say(fault("input", str(error)))
    for i, prompt in enumerate(samples.prompts if samples else []):
        assert samples is not None
        console.print(f"\nprompt {i + 1}, with its completion behind >>>")
        console.print(_short(f"{prompt}>>>{samples.completions[i]}"))
        verdict = "right" if samples.verdicts[i] else "wrong"
        console.print(f"seed 0 wrote, after ten steps ({verdict}):\n{_short(samples.texts[i])}")
    faults, warnings = (sum(f.level == level for f in said) for level in ("fault", "warning"))
    counted = f"{faults} fault{'s' * (faults != 1)}, {warnings} warning{'s' * (warnings != 1)}"
    console.print(f"{name}: {counted}; docs/own-task.md says more of each")
    if faults:
        raise typer.Exit(1)


def _short(text: str) -> str:
    return text if len(text) <= SHOWN else text[:SHOWN] + " ..."
