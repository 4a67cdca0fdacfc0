"""The kinds of logs that can be imported, and which kind a file or folder looks like."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from prehoc.errors import InputError
from prehoc.logs import generic, lightning, mlflow, mlperf, tensorboard, trainer, wandb
from prehoc.logs.assemble import Imported, assemble
from prehoc.logs.files import walk
from prehoc.logs.run import Notes, Options, Run, few


class Kind(NamedTuple):
    """A tool: its reader, its usual metric, and what it looks for."""

    read: Callable[[Path, Options, Notes], list[Run]]
    metric: str | None
    wants: str


KINDS: dict[str, Kind] = {
    "mlperf": Kind(mlperf.read, "eval_accuracy", "files with :::MLLOG lines"),
    "trainer": Kind(trainer.read, "eval_loss", "trainer_state.json"),
    "tensorboard": Kind(tensorboard.read, None, "event files (events.out.tfevents.*)"),
    "wandb": Kind(wandb.read, None, "an exported CSV, or histories (.jsonl, .csv)"),
    "mlflow": Kind(mlflow.read, None, "a file store (mlruns/EXPERIMENT/RUN/meta.yaml)"),
    "lightning": Kind(lightning.read, None, "metrics.csv"),
    "csv": Kind(generic.read, "metric", "a .csv file"),
}
_SEARCHED = 20_000  # files looked at to say what a folder looks like


def import_runs(kind: str, src: Path, options: Options) -> Imported:
    """Read the logs of a tool under `src` and make the runs table and its index.

    Raises InputError, one line, for anything that a user can mend.
    """
    if kind not in KINDS:
        raise InputError(f"{kind}: no kind of log; take one of {few(list(KINDS))}")
    if not src.exists():
        raise InputError(f"{src}: no such file or folder; check the path")
    for given, option, kinds in (
        (options.columns or options.constants, "--map", ("csv",)),
        (options.empty != "auto", "--empty", ("csv",)),
        (options.depth, "--depth", ("csv", "wandb", "lightning")),
    ):
        if given and kind not in kinds:
            raise InputError(f"{option} is for {few(kinds)}, not for {kind}; leave it out")
    if kind == "csv" and options.final is not None:  # there it is a column as any other
        options = replace(options, columns={"final": options.final, **options.columns}, final=None)
    notes = Notes(options.skip_bad)
    try:
        runs = KINDS[kind].read(src, options, notes)
    except InputError as error:
        other = looks_like(src, options.not_read)
        if other in (None, kind) or src.is_dir():
            raise
        raise InputError(f"{error}; it looks like {other}: prehoc import {other} {src}") from None
    if not runs:
        raise InputError(_nothing(kind, src, options, notes))
    made = assemble(runs, options, notes, KINDS[kind].metric)
    return replace(made, lines=[*made.lines, *notes.lines()], aside=notes.counts())


def _nothing(kind: str, src: Path, options: Options, notes: Notes) -> str:
    if src.is_dir() and next(walk(src, options.not_read), None) is None:
        return f"{src}: an empty folder; give the one that holds {KINDS[kind].wants}"
    other = looks_like(src, options.not_read)
    hint = "give the file or folder that does"
    if other not in (None, kind):
        hint = f"it looks like {other}: prehoc import {other} {src}"
    aside = f" ({'; '.join(notes.lines())})" if notes.lines() else ""
    return f"{src}: holds no {kind} run, that is {KINDS[kind].wants}{aside}; {hint}"


def looks_like(src: Path, not_read: tuple[str, ...] = ()) -> str | None:
    """The kind of log that `src` seems to hold; None if it is none of ours."""
    if src.is_dir() and ((src / "mlruns").is_dir() or list(islice(src.glob("*/*/metrics"), 1))):
        return "mlflow"
    found: set[str] = set()
    for path in islice(walk(src, not_read), _SEARCHED):
        name = path.name
        if name == "trainer_state.json":
            found.add("trainer")
        elif ".tfevents." in name:
            found.add("tensorboard")
        elif name == "metrics.csv":
            found.add("lightning")
        elif re.search(r"\.(jsonl|ndjson|wandb)$", name):
            found.add("wandb")
        elif re.search(r"\.(txt|log|out|mllog)$", name) and "mlperf" not in found:
            with path.open("rb") as stream:
                if b":::MLLOG" in stream.read(1 << 20):
                    found.add("mlperf")
        elif name.endswith((".csv", ".tsv")) and not found & {"wandb", "csv"}:
            with path.open("rb") as stream:
                head = stream.readline(1 << 16).decode("utf-8", "replace")
            cells = [c.strip().strip('"') for c in re.split(r"[,;\t]", head)]
            wandb_like = "_step" in cells or any(" - " in c for c in cells[1:])
            found.add("wandb" if wandb_like else "csv")
        elif name.endswith(".json") and path == src:
            with path.open("rb") as stream:
                if b'"log_history"' in stream.read(1 << 22):
                    found.add("trainer")
    order = ("trainer", "lightning", "tensorboard", "mlperf", "wandb", "csv")
    return next((kind for kind in order if kind in found), None)
