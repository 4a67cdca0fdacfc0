"""Commands that hold the estimators against exact truth: benchmark-trials, benchmark-estimators."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from prehoc.commands.app import StageFile, app, read_stage


@app.command("benchmark-trials")
def benchmark_trials(
    config: StageFile,
    instance: Annotated[str, typer.Option(help="an exact synthetic instance")],
    trials: Annotated[Path, typer.Option(help="trials table to write")],
    confusion: Annotated[Path, typer.Option(help="confusion table to write")],
) -> None:
    """Simulate an exact instance many times and keep what every estimator says each time."""
    import pandas as pd

    from prehoc import tables
    from prehoc.benchmark import trials as maker
    from prehoc.errors import InputError
    from prehoc.risk.regimes import Thresholds
    from prehoc.synthetic.instances import INSTANCES

    if instance not in INSTANCES:
        raise InputError(f"--instance {instance}: unknown; instances are {sorted(INSTANCES)}")
    stage = read_stage(config)
    setting = maker.Setting(
        instance, stage["seed"], stage["price"], stage["confidence"], stage["bootstrap"]
    )
    truth, count = maker.truth_of(setting), stage["replicates"]
    made = pd.concat([maker.trials(setting, n, count, truth) for n in stage["runs"]], ignore_index=True)
    thresholds = Thresholds(**stage["regimes"])
    named = maker.confusion_table(setting, stage["regime_runs"], count, thresholds)
    tables.write("trials", made, trials)
    tables.write("confusion", named, confusion)


@app.command("benchmark-estimators")
def benchmark_estimators(
    config: StageFile,
    confusion: Annotated[Path, typer.Option(help="confusion table, all instances")],
    out: Annotated[Path, typer.Option(help="folder for the tables estimators, regret and targets")],
    trials: Annotated[list[Path], typer.Argument(help="trials tables, one an instance")],
) -> None:
    """Reduce trials to bias, RMSE, coverage, Cramer-Rao ratio, regret, and the targets reached."""
    import pandas as pd

    from prehoc import tables
    from prehoc.benchmark import estimators as maker
    from prehoc.errors import InputError
    from prehoc.synthetic.instances import INSTANCES

    stage = read_stage(config)
    joined = pd.concat([tables.read("trials", path) for path in trials], ignore_index=True)
    names = list(dict.fromkeys(joined["instance"]))
    named = tables.read("confusion", confusion)
    strange = [name for name in names if name not in INSTANCES]
    if joined.empty or strange:
        what = f"unknown instance {strange[0]!r}" if strange else "no rows"
        raise InputError(f"{trials[0]}: {what}; run `prehoc benchmark-trials` again")
    if joined.duplicated(list(tables.SCHEMAS["trials"].unique or [])).any():
        raise InputError(f"{trials[0]}: the same trials are given twice; name each table once")
    truths = maker.truths_of(names, stage["seed"], stage["price"], stage["confidence"])
    estimates = maker.estimators_table(joined, truths)
    regret = maker.regret_table(joined, truths)
    reached = maker.targets_table(estimates, regret, named)
    tables.write("estimators", estimates, out / "estimators.csv")
    tables.write("regret", regret, out / "regret.csv")
    tables.write("targets", reached, out / "targets.csv")


@app.command("figure-estimators")
def figure_estimators(
    config: StageFile,
    estimators: Annotated[Path, typer.Option(help="estimators table")],
    regret: Annotated[Path, typer.Option(help="regret table")],
    confusion: Annotated[Path, typer.Option(help="confusion table")],
    out: Annotated[Path, typer.Option(help="folder for the picture and its CSV")],
) -> None:
    """Draw the benchmark of the estimators: the picture in each format, and a CSV of what it shows."""
    from prehoc import tables
    from prehoc.figures import estimators as maker

    stage = read_stage(config)
    frames = [
        tables.read(name, path)
        for name, path in (("estimators", estimators), ("regret", regret), ("confusion", confusion))
    ]
    maker.save(out, *frames, column=stage["column"], formats=stage["format"])
