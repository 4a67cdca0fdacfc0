"""Commands that make runs: prepare, train, fork and simulate."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from prehoc.commands.app import Out, StageFile, app, ends_on_sigterm, log, named_task, read_stage
from prehoc.errors import InputError

if TYPE_CHECKING:
    from prehoc.training.problems import Setting


Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N")]
EngineFile = Annotated[Path | None, typer.Option(help="JSON to write: what computed the runs")]
Fetched = Annotated[
    list[Path] | None, typer.Option(help="JSON of prehoc fetch: a model or data of the Hub; repeat")
]
LockTimes = Annotated[
    str | None,
    typer.Option(help="seconds HEARTBEAT,STALE,LONGEST: see `lock` in docs/config.md", metavar="H,S,L"),
]


def _threads(count: int) -> None:
    """Fix torch's threads and its memory; keep transformers quiet, not imported where it isn't needed."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TQDM_DISABLE", "1")
    import torch

    from prehoc.training.allocation import keep_freed_blocks

    torch.set_num_threads(count)
    keep_freed_blocks()


def _setting(
    stage: dict[str, Any], device: str, fetched: list[Path] | None, thoroughly: bool = False
) -> Setting:
    """The stage's problem on a device; what was fetched is read from the store, without a network.

    `thoroughly`: the copies are checked by digest, not by size alone.
    """
    from prehoc.tasks.machine import machine
    from prehoc.training.problems import build

    with named_task(stage["task"]):
        _writable(Path(stage["store"]))
        use_fetched(stage, fetched, thoroughly)
        return build(stage, machine(device, stage["precision"]))


def use_fetched(stage: dict[str, Any], fetched: list[Path] | None, thoroughly: bool = False) -> None:
    """Read from the store what these records of `prehoc fetch` say is there."""
    from prehoc.tasks import hub

    hub.use(fetched or [], Path(stage["store"]), thoroughly)
    hub.go_offline(stage)


def _writable(store: Path) -> None:
    try:
        store.mkdir(parents=True, exist_ok=True)
        ok = os.access(store, os.W_OK | os.X_OK)
    except OSError:
        ok = False
    if not ok:
        raise InputError(f"store: {store}: cannot be written; name a folder of your own")


@app.command()
def prepare(
    config: StageFile,
    static: Annotated[Path, typer.Option(help="static.parquet to write")],
    sources: Annotated[Path, typer.Option(help="JSON to write: model and data revisions")],
    device: Device = "auto",
    threads: Annotated[int, typer.Option(min=1)] = 1,
    fetched: Fetched = None,
) -> None:
    """Read a task's model and data, encode what stays frozen into the store, write static features."""
    import pandas as pd

    from prehoc import tables
    from prehoc.tasks import hub

    _threads(threads)
    stage = read_stage(config)
    setting = _setting(stage, device, fetched, thoroughly=True)
    frame = pd.DataFrame(
        [(stage["task"], k, v) for k, v in setting.static.items()],
        columns=["task", "feature", "value"],
    )
    tables.write("static", frame, static)
    taken = hub.commits(stage)
    tables.write_json(
        {"task": stage["task"], **setting.sources, **({"commits": taken} if taken else {})}, sources
    )
    if stage["kind"] == "text_classification" and stage["data"]["labels"] == "number":
        log.info(f"{stage['task']}: no outputs are recorded, as labels are numbers")
    log.info(f"{stage['task']}: data and frozen activations are ready")


@app.command()
def train(
    config: StageFile,
    first: Annotated[int, typer.Option(min=0, help="first seed")],
    end: Annotated[int, typer.Option(min=1, help="one past the last seed")],
    runs: Annotated[Path, typer.Option(help="runs table to write")],
    draws: Annotated[Path, typer.Option(help="draws table to write")],
    outputs: Annotated[Path, typer.Option(help="outputs table to write; empty where none are recorded")],
    signals: Annotated[Path | None, typer.Option(help="signals table to write")] = None,
    engine: EngineFile = None,
    device: Device = "auto",
    threads: Annotated[int, typer.Option(min=1)] = 1,
    lock: LockTimes = None,
    fetched: Fetched = None,
) -> None:
    """Train one shard of seeds through all depths; resumes from the store's checkpoints."""
    import pandas as pd

    from prehoc import tables
    from prehoc.config import digest

    _threads(threads)
    from prehoc.tasks.population import draws_frame
    from prehoc.training.engine import Engine
    from prehoc.training.lock import Times
    from prehoc.training.loop import train as train_runs
    from prehoc.training.outputs import Part, outputs_frame
    from prehoc.training.signals import Part as Noted
    from prehoc.training.signals import signals_frame

    stage, times = read_stage(config), Times.parse(lock) if lock else None
    said: list[Part] = []
    noted: list[Noted] = []
    setting = _setting(stage, device, fetched)
    with named_task(stage["task"]), ends_on_sigterm():
        used = Engine(stage, setting, end - first, log.info, times)
        records, drawn = train_runs(stage, setting, range(first, end), log.info, said, used, noted)
    log.info(f"{stage['task']}: {used.cost()}")
    columns = ["seed", "depth", "split", "metric", "value", "failure"]
    frame = pd.DataFrame(records, columns=columns)
    frame.insert(0, "task", stage["task"])
    tables.write("draws", draws_frame(stage, drawn), draws)
    tables.write("outputs", outputs_frame(stage["task"], said), outputs)
    if signals is not None:
        tables.write("signals", signals_frame(stage["task"], noted), signals)
    tables.write("runs", frame, runs)
    if engine is not None:
        tables.write_json({**used.record(), "stage": digest(dict(stage))}, engine)


@app.command()
def train_part(
    config: StageFile,
    first: Annotated[int, typer.Option(min=0, help="first seed")],
    end: Annotated[int, typer.Option(min=1, help="one past the last seed")],
    until: Annotated[int, typer.Option(min=1, help="depth to train to: one of the task's")],
    out: Out,
    device: Device = "auto",
    threads: Annotated[int, typer.Option(min=1)] = 1,
    lock: LockTimes = None,
    fetched: Fetched = None,
) -> None:
    """Train one shard of seeds to one of its depths, as checkpoints; `train` goes on from there."""
    from prehoc import tables

    _threads(threads)
    from prehoc.training.engine import Engine
    from prehoc.training.lock import Times
    from prehoc.training.parts import train_until

    stage, times = read_stage(config), Times.parse(lock) if lock else None
    setting = _setting(stage, device, fetched)
    with named_task(stage["task"]), ends_on_sigterm():
        used = Engine(stage, setting, end - first, log.info, times)
        said = train_until(stage, setting, range(first, end), until, log.info, used)
    log.info(f"{stage['task']}: {used.cost()}")
    tables.write_json(said, out)


@app.command()
def fork(
    config: StageFile,
    depth: Annotated[list[int], typer.Option(min=1, help="depth at which trunks branch; repeat for more")],
    out: Out,
    engine: EngineFile = None,
    device: Device = "auto",
    threads: Annotated[int, typer.Option(min=1)] = 1,
    lock: LockTimes = None,
    fetched: Fetched = None,
) -> None:
    """Continue trunks from given depths to the horizon with fresh randomness; write the forks table."""
    import pandas as pd

    from prehoc import tables
    from prehoc.config import digest

    _threads(threads)
    from prehoc.training.engine import Engine
    from prehoc.training.kept_forks import kept_or_forked
    from prehoc.training.lock import Times

    stage, times = read_stage(config), Times.parse(lock) if lock else None
    setting = _setting(stage, device, fetched)
    with named_task(stage["task"]), ends_on_sigterm():
        count = stage["forks"]["trunks"] * stage["forks"]["per_trunk"]
        used = Engine(stage, setting, count, log.info, times)
        records = [row for d in depth for row in kept_or_forked(stage, setting, d, log.info, used)]
    log.info(f"{stage['task']}: {used.cost()}")
    frame = pd.DataFrame(records, columns=["seed", "depth", "fork", "metric", "value"])
    frame.insert(0, "task", stage["task"])
    tables.write("forks", frame.astype({"metric": str}), out)
    if engine is not None:
        tables.write_json({**used.record(), "stage": digest(dict(stage))}, engine)


@app.command()
def simulate(
    config: StageFile,
    runs: Annotated[Path, typer.Option(help="runs table to write")],
    forks: Annotated[Path, typer.Option(help="forks table to write")],
    draws: Annotated[Path, typer.Option(help="draws table to write")],
    truth: Annotated[Path, typer.Option(help="exact risk table to write")],
    static: Annotated[Path, typer.Option(help="static table to write")],
    outputs: Annotated[Path | None, typer.Option(help="outputs table to write: an empty one")] = None,
) -> None:
    """Simulate a synthetic task whose L(c) is known exactly; write its runs and its truth."""
    import pandas as pd

    from prehoc import tables
    from prehoc.synthetic.frames import simulate_task
    from prehoc.tasks.streams import name_words

    stage = read_stage(config)
    forked = dict(stage["forks"]) if stage["forks"] else None
    if forked:  # at the horizon, too: only R's own noise is drawn anew there
        forked["depths"] = sorted({*forked["depths"], stage["horizon"]})
    spec = {**stage["synthetic"], "forks": forked}
    made = simulate_task(
        stage["task"],
        spec,
        stage["runs"],
        stage["depths"],
        stage["horizon"],
        [stage["seed"], *name_words(stage["task"])],
    )
    for name, frame, path in zip(
        ("runs", "forks", "draws", "truth"), made, (runs, forks, draws, truth), strict=True
    ):
        tables.write(name, frame, path)
    known = pd.DataFrame({"task": [stage["task"]], "feature": ["exact"], "value": [1.0]})
    tables.write("static", known, static)
    if outputs is not None:
        tables.write("outputs", tables.empty("outputs"), outputs)
