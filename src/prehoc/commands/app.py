"""What every command shares: the app, its options, and reading a stage's config."""

from __future__ import annotations

import contextlib
import json
import logging
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from prehoc.errors import InputError

app = typer.Typer(
    help="How predictable is a fine-tune, and how deep must one probe before deciding?",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
log = logging.getLogger("prehoc")

StageFile = Annotated[Path, typer.Option("--config", help="the stage's resolved config (JSON)")]
Out = Annotated[Path, typer.Option(help="file to write")]


@contextlib.contextmanager
def named_task(task: str) -> Iterator[None]:
    """Put the task's name before the message of a fault in its block."""
    try:
        yield
    except InputError as error:
        raise InputError(f"task {task}: {error}") from error


@contextlib.contextmanager
def ends_on_sigterm() -> Iterator[None]:
    """Within the block SIGTERM (scancel, a time limit) ends the job in order, with exit code 143."""

    def end(number: int, frame: object) -> None:
        log.error(
            "prehoc: stopped by SIGTERM; finished depths are kept: run again, and it goes on from there"
        )
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class Stage(dict[str, Any]):
    """A stage's config; a key that it lacks is bad input that names the file."""

    def __init__(self, path: Path, keys: dict[str, Any]) -> None:
        super().__init__(keys)
        self.path = path

    def __missing__(self, key: str) -> Any:
        raise InputError(
            f"{self.path}: no key {key!r}; give the config that the workflow wrote for this stage"
        )


def read_stage(path: Path) -> dict[str, Any]:
    """A stage's resolved config; InputError naming the file if it is none."""
    try:
        return Stage(path, dict(json.loads(path.read_text())))
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{path}: not a stage config: {error}") from None
