"""The command `sandbox`: which fences this machine allows for programs that a model wrote."""

from __future__ import annotations

from typing import Annotated

import typer

from prehoc.commands.app import app


@app.command()
def sandbox(
    kind: Annotated[str, typer.Option(help="auto, bubblewrap, namespaces or seccomp")] = "auto",
) -> None:
    """Say which level of the sandbox is in force here, what it holds and what it does not."""
    from prehoc.sandbox import available, level

    for name, reason in available().items():
        typer.echo(f"{name}: {reason or 'available'}")
    chosen = level(kind)
    typer.echo(f"in force for {kind}: {chosen.kind}")
    for title, lines in (("holds", chosen.holds), ("lacks", chosen.lacks)):
        for line in lines:
            typer.echo(f"  {title}: {line}")
