"""The command that shows a verdict.json."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from prehoc.commands.app import app, log


@app.command()
def verdict(
    path: Annotated[Path, typer.Argument(help="verdict.json, of `prehoc fit` or of a task, or its folder")],
    task: Annotated[str | None, typer.Option(help="show this task alone")] = None,
    html: Annotated[
        Path | None, typer.Option(help="write one page of HTML here, and print nothing")
    ] = None,
) -> None:
    """Print what a person reads first: each task's regime, how deep to probe, and what to run next.

    Reads a verdict.json.  With --html it writes the page instead, with fig2_decay and fig3_phase (svg or
    png) from the same folder in it.
    """
    from prehoc.fits.verdicts import Verdict, figures_beside, write_html

    made = Verdict.read(path)
    if task is not None:
        made = made.of(task)
    if html is None:
        made.print()
        return
    write_html(made.to_html(*figures_beside(path)), html)
    log.info(f"{html}: written")
