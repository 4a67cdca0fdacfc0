"""Commands that reduce runs to tables: collect, gather, risk and decide."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from prehoc.commands.app import Out, StageFile, app, read_stage
from prehoc.errors import InputError, TooFewRunsError

if TYPE_CHECKING:
    from prehoc.risk.outputs import Outputs


ProbeFile = Annotated[Path | None, typer.Option(help="outputs table; without it `outputs` is not measured")]


@app.command()
def collect(
    runs: Annotated[Path, typer.Option(help="runs table to write")],
    draws: Annotated[Path, typer.Option(help="draws table to write")],
    forks: Annotated[Path, typer.Option(help="forks table to write")],
    runs_part: Annotated[list[Path], typer.Option(help="a shard's runs table; repeat for more")],
    draws_part: Annotated[list[Path], typer.Option(help="a shard's draws table; repeat for more")],
    forks_part: Annotated[list[Path] | None, typer.Option(help="a forks table; repeat for more")] = None,
    outputs: Annotated[Path | None, typer.Option(help="outputs table to write")] = None,
    outputs_part: Annotated[list[Path] | None, typer.Option(help="a shard's outputs; repeat")] = None,
    signals: Annotated[Path | None, typer.Option(help="signals table to write")] = None,
    signals_part: Annotated[list[Path] | None, typer.Option(help="a shard's signals; repeat")] = None,
    engine: Annotated[Path | None, typer.Option(help="JSON to write: what computed the runs")] = None,
    train_engine: Annotated[list[Path] | None, typer.Option(help="a shard's JSON; repeat")] = None,
    fork_engine: Annotated[list[Path] | None, typer.Option(help="a fork job's JSON; repeat")] = None,
    train_stage: Annotated[str | None, typer.Option(help="digest of the stage config of shards")] = None,
    fork_stage: Annotated[str | None, typer.Option(help="digest of the stage config of forks")] = None,
) -> None:
    """Join a task's shards and forks into its tables of runs, draws, forks, outputs and signals, by key."""
    made = {
        "train": engines(train_engine, train_stage, "trained"),
        "fork": engines(fork_engine, fork_stage, "forked"),
    }
    join("runs", runs, runs_part, ordered=True)
    join("draws", draws, draws_part, ordered=True)
    join("forks", forks, forks_part, ordered=True)
    if outputs is not None:
        join("outputs", outputs, outputs_part, ordered=True)
    if signals is not None:
        join("signals", signals, signals_part, ordered=True)
    if engine is not None:
        from prehoc.provenance import counted
        from prehoc.tables import write_json

        write_json({"task": engine.parent.name} | {k: counted(v) for k, v in made.items()}, engine)


def engines(paths: list[Path] | None, wanted: str | None, done: str) -> list[dict[str, Any]]:
    """What computed the jobs' runs; `wanted` is the digest of the stage config that they should be of.

    Raises InputError for a file of another one: of runs that a job of an earlier workflow ended, after its
    config had been changed. Files of older versions, which name none, are taken.
    """
    made = []
    for path in paths or []:
        record = dict(read_stage(path))
        found = record.pop("stage", None)
        if wanted is not None and found is not None and found != wanted:
            raise InputError(
                f"{path}: its runs were {done} under another config ({found}, not this workflow's "
                f"{wanted}): a job of an earlier workflow wrote it; once that has no job left, delete this "
                "file and start again"
            )
        made.append(record)
    return made


@app.command()
def gather(
    table: Annotated[str, typer.Option(help="which table the parts are")],
    out: Out,
    parts: Annotated[list[Path] | None, typer.Argument(help="files of that table")] = None,
) -> None:
    """Join parts of one table into one file, in the order given."""
    join(table, out, parts, ordered=False)


def join(table: str, out: Path, parts: list[Path] | None, *, ordered: bool) -> None:
    """Write the parts of `table` as one, in the order given or (`ordered`) in that of its key."""
    import pandas as pd

    from prehoc import tables

    if table not in tables.SCHEMAS:
        raise InputError(f"--table {table}: unknown; tables are {sorted(tables.SCHEMAS)}")
    full = [frame for frame in (tables.read(table, part) for part in parts or []) if len(frame)]
    joined = pd.concat(full, ignore_index=True) if full else tables.empty(table)
    tables.write(table, tables.in_order(table, joined) if ordered else joined, out)


@app.command()
def risk(
    config: StageFile,
    runs: Annotated[Path, typer.Option(help="runs table")],
    forks: Annotated[Path, typer.Option(help="forks table")],
    draws: Annotated[Path, typer.Option(help="draws table")],
    variance: Annotated[Path, typer.Option(help="variance table to write")],
    envelope: Annotated[Path, typer.Option(help="envelope table to write")],
    outputs: ProbeFile = None,
) -> None:
    """Estimate U(c) by every proxy, and fit the decay law, for one task."""
    from prehoc import tables
    from prehoc.config import metric_of
    from prehoc.risk import pipeline

    stage = read_stage(config)
    frames = [tables.read(n, p) for n, p in (("runs", runs), ("forks", forks), ("draws", draws))]
    settings, horizons = stage["risk"], {stage["task"]: stage["horizon"]}
    proxies, sets, level = settings["proxies"], settings["information"], settings["confidence"]
    said: dict[str, Any] = {"horizons": horizons, "outputs": probe_of(stage, outputs)}
    try:
        u = pipeline.variance_table(
            *frames,
            metric=metric_of(stage),
            proxies=proxies,
            information=sets,
            confidence=level,
            **said,
        )
    except TooFewRunsError:
        if not frames[0]["failure"].any():
            raise
        tables.write("variance", pipeline.lost_table(stage["task"], frames[0], metric_of(stage)), variance)
        tables.write("envelope", tables.empty("envelope"), envelope)
        return
    fits = pipeline.envelope_table(u, *frames, shift=shift_of(stage), confidence=level, **said)
    tables.write("variance", u, variance)
    tables.write("envelope", fits, envelope)


def shift_of(stage: dict[str, Any]) -> float:
    """The envelope's shift of a stage: 0.5 steps where it asks for the half-shift."""
    return 0.5 if stage["half_shift"] else 0.0


def probe_of(stage: dict[str, Any], path: Path | None) -> Outputs | None:
    """A stage's recorded outputs; None where the task records none."""
    from prehoc import tables
    from prehoc.risk.outputs import Outputs

    if path is None or not stage["outputs"]:
        return None
    return Outputs.of_table(tables.read("outputs", path), stage["outputs"]["components"])


@app.command()
def decide(
    config: StageFile,
    runs: Annotated[Path, typer.Option(help="runs table")],
    forks: Annotated[Path, typer.Option(help="forks table")],
    draws: Annotated[Path, typer.Option(help="draws table")],
    variance: Annotated[Path, typer.Option(help="variance table")],
    envelope: Annotated[Path, typer.Option(help="envelope table")],
    static: Annotated[Path, typer.Option(help="static table")],
    c_star: Annotated[Path, typer.Option(help="c_star table to write")],
    regimes: Annotated[Path, typer.Option(help="regimes table to write")],
    intrinsic: Annotated[Path, typer.Option(help="intrinsic table to write")],
    advice: Annotated[Path, typer.Option(help="advice table to write")],
    verdict: Annotated[Path, typer.Option(help="verdict.json to write")],
    outputs: ProbeFile = None,
) -> None:
    """Optimal depth, regime, what L_int is made of, what to measure next, and the verdict, for one task."""
    from prehoc import tables
    from prehoc.config import driver_of, evaluation_of, metric_of
    from prehoc.risk import pipeline
    from prehoc.risk.regimes import Thresholds
    from prehoc.risk.spikes import spikes_of

    stage = read_stage(config)
    frames = [tables.read(n, p) for n, p in (("runs", runs), ("forks", forks), ("draws", draws))]
    u, fits = tables.read("variance", variance), tables.read("envelope", envelope)
    if u.empty:
        raise InputError(f"{variance}: no rows; run `prehoc risk` again")
    if u["risk"].isna().all():
        for name, path in (("c_star", c_star), ("regimes", regimes),
                           ("intrinsic", intrinsic), ("advice", advice)):  # fmt: skip
            tables.write(name, tables.empty(name), path)
        tables.write_json(pipeline.lost_verdict(stage["task"], u), verdict)
        return
    horizons = {stage["task"]: stage["horizon"]}
    settings, rule = stage["decide"], dict(stage["decide"]["regimes"])
    common: dict[str, Any] = {
        "horizons": horizons,
        "outputs": probe_of(stage, outputs),
        "information": stage["risk"]["verdict_information"],
        "shift": shift_of(stage),
        "confidence": stage["risk"]["confidence"],
    }
    depths = pipeline.c_star_table(
        fits,
        u,
        *frames,
        prices=settings["prices"],
        gammas=settings["gamma"],
        cost_per_step=settings["cost_per_step"],
        driver=driver_of(stage),
        **common,
    )
    resamples = rule.pop("bootstrap")
    thresholds = Thresholds(**rule)
    where = pipeline.regimes_table(
        frames[0],
        frames[1],
        frames[2],
        u,
        fits,
        thresholds=thresholds,
        resamples=resamples,
        seed=stage["seed"],
        **common,
    )
    features = tables.read("static", static)
    known = dict(zip(features["feature"], features["value"], strict=True))
    driven: dict[str, Any] = {**common, "driver": driver_of(stage)}
    planned = {**driven, **settings["advice"]}
    del driven["shift"]
    how = pipeline.Evaluation(**evaluation_of(stage, known))
    limit = pipeline.intrinsic_table(u, fits, *frames, evaluation=how, **driven)
    further = pipeline.advice_table(u, frames[0], frames[1], frames[2], **planned)
    adds_up = pipeline.identity_of(
        stage["task"], frames[0], frames[1], metric=metric_of(stage), horizons=horizons
    )
    text = pipeline.verdict(
        stage["task"],
        variance=u,
        envelope=fits,
        c_star=depths,
        regimes=where,
        intrinsic=limit,
        advice=further,
        identity=adds_up,
        spikes=spikes_of(frames[0], metric_of(stage)),
        information=common["information"],
        driver=driver_of(stage),
    )
    tables.write("c_star", depths, c_star)
    tables.write("regimes", where, regimes)
    tables.write("intrinsic", limit, intrinsic)
    tables.write("advice", further, advice)
    tables.write_json(text, verdict)


@app.command()
def summary(
    variance: Annotated[Path, typer.Option(help="variance table of all tasks")],
    out: Annotated[Path, typer.Option(help="Markdown file to write")],
    verdicts: Annotated[list[Path], typer.Argument(help="the tasks' verdict.json")],
) -> None:
    """Put all verdicts on one page of Markdown."""
    from prehoc import tables
    from prehoc.risk import pipeline

    page = pipeline.summary([read_stage(v) for v in verdicts], tables.read("variance", variance))
    with tables.atomic(out) as temporary:
        temporary.write_text(page)
