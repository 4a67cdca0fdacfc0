"""`prehoc <command>`: one command a rule, files in and files out; no logic of its own.

Exit codes: 0 done, 1 bad input (one line says what and how to mend it), 2 wrong usage.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from prehoc.errors import InputError, TooFewRunsError

app = typer.Typer(
    help="How predictable is a fine-tune, and how deep must one probe before deciding?",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
log = logging.getLogger("prehoc")

StageFile = Annotated[Path, typer.Option("--config", help="the stage's resolved config (JSON)")]
Out = Annotated[Path, typer.Option(help="file to write")]


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        print(version("prehoc"))
        raise typer.Exit


@app.callback()
def _common(
    log_file: Annotated[
        Path | None, typer.Option("--log", help="file that gets the messages besides the terminal")
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", help="print the version", is_eager=True, callback=_version)
    ] = False,
) -> None:
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    if log_file is not None:
        log_file.parent.mkdir(parents=True, exist_ok=True)
        handlers.append(logging.FileHandler(log_file, mode="w"))
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=handlers, force=True)
    log.setLevel(logging.INFO)  # our own progress; libraries speak up from warnings on


@contextlib.contextmanager
def _named(task: str) -> Iterator[None]:
    """Put the task's name before the message of a fault in its block."""
    try:
        yield
    except InputError as error:
        raise InputError(f"task {task}: {error}") from error


def _stage(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text()))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not a stage config: {error}") from None


def _threads(count: int) -> None:
    """Fix torch's threads; keep transformers quiet without importing it where it isn't needed."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TQDM_DISABLE", "1")
    import torch

    torch.set_num_threads(count)


@app.command()
def prepare(
    config: StageFile,
    static: Annotated[Path, typer.Option(help="static.parquet to write")],
    sources: Annotated[Path, typer.Option(help="JSON to write: model and data revisions")],
    threads: Annotated[int, typer.Option(min=1)] = 1,
) -> None:
    """Read a task's model and data, encode what stays frozen into the store, write static features."""
    import pandas as pd

    from prehoc import tables

    _threads(threads)
    from prehoc.training.problems import build

    stage = _stage(config)
    with _named(stage["task"]):
        setting = build(stage)
    frame = pd.DataFrame(
        [(stage["task"], k, v) for k, v in setting.static.items()],
        columns=["task", "feature", "value"],
    )
    tables.write("static", frame, static)
    tables.write_json({"task": stage["task"], **setting.sources}, sources)
    log.info(f"{stage['task']}: data and frozen activations are ready")


@app.command()
def train(
    config: StageFile,
    first: Annotated[int, typer.Option(min=0, help="first seed")],
    end: Annotated[int, typer.Option(min=1, help="one past the last seed")],
    runs: Annotated[Path, typer.Option(help="runs table to write")],
    draws: Annotated[Path, typer.Option(help="draws table to write")],
    threads: Annotated[int, typer.Option(min=1)] = 1,
) -> None:
    """Train one shard of seeds through all depths; resumes from the store's checkpoints."""
    import pandas as pd

    from prehoc import tables

    _threads(threads)
    from prehoc.tasks.population import draws_frame
    from prehoc.training import loop, problems

    stage = _stage(config)
    with _named(stage["task"]):
        records, drawn = loop.train(stage, problems.build(stage), range(first, end), log.info)
    columns = ["seed", "depth", "split", "metric", "value", "failure"]
    frame = pd.DataFrame(records, columns=columns)
    frame.insert(0, "task", stage["task"])
    tables.write("draws", draws_frame(stage, drawn), draws)
    tables.write("runs", frame, runs)


@app.command()
def fork(
    config: StageFile,
    depth: Annotated[list[int], typer.Option(min=1, help="depth at which trunks branch; repeat for more")],
    out: Out,
    threads: Annotated[int, typer.Option(min=1)] = 1,
) -> None:
    """Continue trunks from given depths to the horizon with fresh randomness; write the forks table."""
    import pandas as pd

    from prehoc import tables

    _threads(threads)
    from prehoc.training import loop, problems

    stage = _stage(config)
    with _named(stage["task"]):
        setting = problems.build(stage)
    records = [row for d in depth for row in loop.fork(stage, setting, d, log.info)]
    frame = pd.DataFrame(records, columns=["seed", "depth", "fork", "metric", "value"])
    frame.insert(0, "task", stage["task"])
    tables.write("forks", frame.astype({"metric": str}), out)


@app.command()
def simulate(
    config: StageFile,
    runs: Annotated[Path, typer.Option(help="runs table to write")],
    forks: Annotated[Path, typer.Option(help="forks table to write")],
    draws: Annotated[Path, typer.Option(help="draws table to write")],
    truth: Annotated[Path, typer.Option(help="exact risk table to write")],
    static: Annotated[Path, typer.Option(help="static table to write")],
) -> None:
    """Simulate a synthetic task whose L(c) is known exactly; write its runs and its truth."""
    import pandas as pd

    from prehoc import tables
    from prehoc.synthetic.frames import simulate_task
    from prehoc.tasks.streams import name_words

    stage = _stage(config)
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


@app.command()
def gather(
    table: Annotated[str, typer.Option(help="which table the parts are")],
    out: Out,
    parts: Annotated[list[Path] | None, typer.Argument(help="files of that table")] = None,
) -> None:
    """Join parts of one table into one file, in the order given."""
    _join(table, out, parts, ordered=False)


def _join(table: str, out: Path, parts: list[Path] | None, *, ordered: bool) -> None:
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
) -> None:
    """Estimate U(c) by every proxy, and fit the decay law, for one task."""
    from prehoc import tables
    from prehoc.config import metric_of
    from prehoc.risk import pipeline

    stage = _stage(config)
    frames = [tables.read(n, p) for n, p in (("runs", runs), ("forks", forks), ("draws", draws))]
    settings, horizons = stage["risk"], {stage["task"]: stage["horizon"]}
    proxies, sets, level = settings["proxies"], settings["information"], settings["confidence"]
    try:
        u = pipeline.variance_table(
            *frames,
            metric=metric_of(stage),
            proxies=proxies,
            information=sets,
            confidence=level,
            horizons=horizons,
        )
    except TooFewRunsError:
        if not frames[0]["failure"].any():
            raise
        tables.write("variance", pipeline.lost_table(stage["task"], frames[0], metric_of(stage)), variance)
        tables.write("envelope", tables.empty("envelope"), envelope)
        return
    fits = pipeline.envelope_table(u, *frames, horizons=horizons, shift=_shift(stage), confidence=level)
    tables.write("variance", u, variance)
    tables.write("envelope", fits, envelope)


def _shift(stage: dict[str, Any]) -> float:
    return 0.5 if stage["half_shift"] else 0.0


@app.command()
def decide(
    config: StageFile,
    runs: Annotated[Path, typer.Option(help="runs table")],
    forks: Annotated[Path, typer.Option(help="forks table")],
    draws: Annotated[Path, typer.Option(help="draws table")],
    variance: Annotated[Path, typer.Option(help="variance table")],
    envelope: Annotated[Path, typer.Option(help="envelope table")],
    c_star: Annotated[Path, typer.Option(help="c_star table to write")],
    regimes: Annotated[Path, typer.Option(help="regimes table to write")],
    verdict: Annotated[Path, typer.Option(help="verdict.json to write")],
) -> None:
    """Optimal depth over prices, regime by each reading, and the verdict, for one task."""
    from prehoc import tables
    from prehoc.config import driver_of
    from prehoc.risk import pipeline
    from prehoc.risk.regimes import Thresholds

    stage = _stage(config)
    frames = [tables.read(n, p) for n, p in (("runs", runs), ("forks", forks), ("draws", draws))]
    u, fits = tables.read("variance", variance), tables.read("envelope", envelope)
    if u["risk"].isna().all():
        tables.write("c_star", tables.empty("c_star"), c_star)
        tables.write("regimes", tables.empty("regimes"), regimes)
        tables.write_json(pipeline.lost_verdict(stage["task"], u), verdict)
        return
    horizons = {stage["task"]: stage["horizon"]}
    settings, rule = stage["decide"], dict(stage["decide"]["regimes"])
    common: dict[str, Any] = {
        "horizons": horizons,
        "information": stage["risk"]["verdict_information"],
        "shift": _shift(stage),
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
    text = pipeline.verdict(
        stage["task"],
        variance=u,
        envelope=fits,
        c_star=depths,
        regimes=where,
        information=common["information"],
        driver=driver_of(stage),
    )
    tables.write("c_star", depths, c_star)
    tables.write("regimes", where, regimes)
    tables.write_json(text, verdict)


@app.command()
def figure(
    name: Annotated[str, typer.Argument(help="fig2_decay, fig3_phase, c_star or curves")],
    config: StageFile,
    out: Annotated[Path, typer.Option(help="folder for the picture and its CSV")],
    variance: Annotated[Path | None, typer.Option(help="variance table")] = None,
    envelope: Annotated[Path | None, typer.Option(help="envelope table")] = None,
    c_star: Annotated[Path | None, typer.Option(help="c_star table")] = None,
    regimes: Annotated[Path | None, typer.Option(help="regimes table")] = None,
    part: Annotated[
        list[Path] | None, typer.Option(help="runs (curves) or truth (fig2_decay) table of a task")
    ] = None,
) -> None:
    """Draw one figure from tables: the picture in each format, and a CSV of what it shows."""
    import pandas as pd

    from prehoc import tables
    from prehoc.figures import curves, fig2_decay, fig3_phase, fig4_c_star

    stage = _stage(config)
    tasks = [t for group in stage["groups"].values() for t in group]
    look: dict[str, Any] = {"column": stage["column"], "formats": stage["format"]}

    def read(table: str, path: Path | None) -> pd.DataFrame:
        if path is None:
            raise InputError(f"figure {name} needs --{table.replace('_', '-')}")
        return tables.read(table, path)

    if name == "curves":
        frames = [tables.read("runs", p) for p in part or []]
        runs = {str(f["task"].iloc[0]): f for f in frames if len(f)}
        ordered = {t: runs[t] for t in tasks if t in runs}
        curves.save(out, ordered, metrics=stage["metrics"], **look)
        return
    u, fits = read("variance", variance), read("envelope", envelope)
    by_residual = [t for t, driver in stage["drivers"].items() if driver == "residual"]
    u = u[~(u["task"].isin(by_residual) & (u["proxy"] == "fork"))]  # panel (b) shows what drives
    if name == "fig2_decay":
        truths = [tables.read("truth", p) for p in part or []]
        truth = pd.concat(truths, ignore_index=True) if truths else None
        shift, groups = stage["shifts"], stage["groups"]
        fig2_decay.save(out, u, fits, truth, tasks=tasks, groups=groups, shift=shift, **look)
    elif name == "fig3_phase":
        fig3_phase.save(out, read("regimes", regimes), fits, u, tasks=tasks, **look)
    elif name == "c_star":
        fig4_c_star.save(out, read("c_star", c_star), fits, u, tasks=tasks, **look)
    else:
        raise InputError(f"figure {name}: unknown; choose fig2_decay, fig3_phase, c_star or curves")


@app.command()
def provenance(
    config: StageFile,
    out: Out,
    sources: Annotated[list[Path] | None, typer.Argument(help="tasks' sources.json")] = None,
) -> None:
    """Write what made the results: versions, lock, config, models and data, machine, seeds."""
    from prehoc import provenance as maker
    from prehoc.tables import write_json

    write_json(maker.collect(_stage(config), [_stage(p) for p in sources or []]), out)


@app.command()
def collect(
    runs: Annotated[Path, typer.Option(help="runs table to write")],
    draws: Annotated[Path, typer.Option(help="draws table to write")],
    forks: Annotated[Path, typer.Option(help="forks table to write")],
    runs_part: Annotated[list[Path], typer.Option(help="a shard's runs table; repeat for more")],
    draws_part: Annotated[list[Path], typer.Option(help="a shard's draws table; repeat for more")],
    forks_part: Annotated[list[Path] | None, typer.Option(help="a forks table; repeat for more")] = None,
) -> None:
    """Join a task's shards and forks into its runs, draws and forks tables, rows in their key's order."""
    _join("runs", runs, runs_part, ordered=True)
    _join("draws", draws, draws_part, ordered=True)
    _join("forks", forks, forks_part, ordered=True)


@app.command()
def schema(out: Out) -> None:
    """Write the JSON schema of config.yaml."""
    from prehoc.config import json_schema
    from prehoc.tables import write_json

    write_json(json_schema(), out)


@app.command()
def check(config: Annotated[Path, typer.Argument(help="a config.yaml")]) -> None:
    """Validate a config file: keys, values, and that models and data files are there.

    A file without `defaults` is laid over ./config.yaml, as snakemake --configfile does.
    """
    from prehoc.config import load
    from prehoc.preflight import preflight

    loaded = load(config, Path("config.yaml"))
    preflight(loaded)
    log.info(f"{config}: {len(loaded.enabled())} tasks: {', '.join(loaded.enabled())}")


def main() -> None:
    """Run the command line; bad input ends with one line and exit code 1."""
    try:
        app()
    except InputError as error:
        _fail(str(error))
    except OSError as error:
        _fail(f"{error.filename or 'file'}: {error.strerror or error}; check the path, space and rights")
    except Exception:
        log.exception("prehoc: unexpected error; please report it with this trace")
        sys.exit(70)


def _fail(message: str) -> None:
    line = " ".join(message.split())
    if log.hasHandlers():
        log.error(f"prehoc: {line}")
    else:
        print(f"prehoc: {line}", file=sys.stderr)
    sys.exit(1)


if __name__ == "__main__":
    main()
