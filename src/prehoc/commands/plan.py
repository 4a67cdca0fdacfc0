"""The command that says what a workflow will take, before anyone pays."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from prehoc.commands.app import app
from prehoc.commands.status import words
from prehoc.errors import InputError

if TYPE_CHECKING:
    from prehoc.config import Config
    from prehoc.plan.cost import Cost, TaskCost
    from prehoc.plan.pilot import Measured
    from prehoc.plan.prospects import Prospect

UNITS = {"gpu-hours": "GPU", "core-hours": "core"}
WIDTH = 140  # columns; a narrower terminal breaks lines, and no cell is cut
RULES = ("prepare", "train", "train_part", "fork")


@app.command()
def plan(
    configs: Annotated[
        list[Path] | None, typer.Argument(help="config files, as for --configfile; none: config.yaml alone")
    ] = None,
    over: Annotated[
        list[str] | None,
        typer.Option("--config", help="KEY=VALUE laid over the files, as seeds=32; repeat"),
    ] = None,
    pilot: Annotated[
        Path | None, typer.Option(help="folder of results of a pilot: times and sizes")
    ] = None,
    at_once: Annotated[int, typer.Option(min=1, help="jobs at one time, for the wall time")] = 1,
    budget: Annotated[float | None, typer.Option(help="hours to spend: says what N fits")] = None,
    unit: Annotated[str | None, typer.Option(help="of the budget: gpu-hours or core-hours")] = None,
    robustness: Annotated[
        bool, typer.Option("--robustness", help="of snakemake robustness: its cells in place of the tasks")
    ] = False,
    json: Annotated[Path | None, typer.Option(help="JSON file to write beside the tables")] = None,
    write_resources: Annotated[
        Path | None,
        typer.Option(help="YAML to write: the pilot's resources.step_ms, a further --configfile"),
    ] = None,
) -> None:
    """Show jobs, hours, storage and the price of the calibration, a task; and what N a budget buys.

    Reads the config and the pilot's files alone; nothing is run.
    """
    from rich.console import Console

    from prehoc.config import load_laid
    from prehoc.plan import pilot as pilots
    from prehoc.plan import prospects
    from prehoc.plan.cost import cost

    config = load_laid(configs or [], Path("config.yaml"), _pairs(over or []))
    if robustness:
        if not config.cells():
            raise InputError("--robustness: no cells; give the config's block robustness tasks that it has")
        config = config.model_copy(update={"only": list(config.cells())})
    if budget is not None and not (math.isfinite(budget) and budget > 0):
        raise InputError(f"--budget {budget:g}: give hours above 0")
    if (unit is not None and unit not in UNITS) or (unit is not None and budget is None):
        raise InputError(f"--unit {unit}: give gpu-hours or core-hours, and --budget with it")
    if write_resources is not None and pilot is None:
        raise InputError("--write-resources: what a step takes is the pilot's to say; name it with --pilot")
    names = config.enabled()
    known = pilots.read(pilot, config, names) if pilot else {}
    found = cost(config, known, at_once)
    seen: list[Prospect] = []
    if pilot:
        seen, more = prospects.read(pilot, config, names)
        found.notes += more
    console = Console(soft_wrap=True, highlight=False, markup=False)
    console.width = max(console.width, WIDTH)
    _show(console, found)
    _show_calibration(console, found, seen)
    said: dict[str, Any] = found.as_json() | {"calibration": [_told(one) for one in seen]}
    if budget is not None:
        said["budget"] = _show_budget(console, config, known, found, pilot, budget, unit)
    for note in found.notes:
        console.print(f"note: {note}", style="yellow")
    if json is not None:
        from prehoc.tables import write_json

        write_json(_finite(said), json)
    if write_resources is not None:
        _write_resources(write_resources, config, known)
        console.print(f"{write_resources}: give it to snakemake as the last --configfile")


def _pairs(given: list[str]) -> dict[str, Any]:
    """KEY=VALUE as plain data, values read as YAML."""
    import yaml

    made = {}
    for text in given:
        key, sign, value = text.partition("=")
        try:
            made[key] = yaml.safe_load(value)
        except yaml.YAMLError:
            sign = ""
        if not sign or not key:
            raise InputError(f"--config {text}: write KEY=VALUE, the value as in YAML, such as seeds=32")
    return made


def _show(console, found: Cost) -> None:  # type: ignore[no-untyped-def]
    from rich.table import Table

    jobs = Table("task", "runs", *RULES, "short", box=None, pad_edge=False)
    paid = Table("task", "run-steps", "hours", "", "longest", "times from", box=None, pad_edge=False)
    disk = Table("task", "checkpoints", "tables", "encodings", "sizes from", box=None, pad_edge=False)
    for table, right in ((jobs, range(1, 7)), (paid, (1, 2, 4)), (disk, (1, 2, 3))):
        for i in right:
            table.columns[i].justify = "right"
    for task in found.tasks:
        jobs.add_row(task.task, str(task.runs), *_jobs(task.jobs))
        if task.unit is None:
            continue
        paid.add_row(
            task.task,
            f"{task.train_steps + task.fork_steps:,}",
            number(task.hours),
            f"{task.unit}-hours",
            words(3600 * task.longest_hours),
            task.times_from,
        )
        sizes = (task.checkpoint_bytes, task.table_bytes, task.encoding_bytes)
        disk.add_row(task.task, *map(volume, sizes), task.bytes_from)
    jobs.add_row("all", "", *_jobs(found.jobs()))
    console.print(jobs, "")
    console.print(paid, "")
    console.print(disk, "")
    spent = " and ".join(f"{number(found.hours(u))} {u}-hours" for u in found.units) or "nothing to train"
    at_once = "one job" if found.at_once == 1 else f"{found.at_once} jobs"
    known, trained = found.measured
    rest = f"times measured in {known} of {trained} tasks" if known else "no time measured"
    console.print(
        f"in all ({rest}): {spent}, {words(3600 * found.wall_hours)} with {at_once} at once and no queue, "
        f"{volume(found.bytes)} on disk; short jobs are CPU jobs of seconds to minutes, not in the hours"
    )


def _jobs(jobs: dict[str, int]) -> list[str]:
    short = sum(count for rule, count in jobs.items() if rule not in RULES)
    return [str(jobs[rule]) if rule in jobs else "-" for rule in RULES] + [str(short)]


def _show_calibration(console, found: Cost, seen: list[Prospect]) -> None:  # type: ignore[no-untyped-def]
    from rich.table import Table

    if not seen:
        return
    costs = {task.task: task for task in found.tasks}
    table = Table(
        "task", "calibration", "a whole run", "its probe to c*", "break-even runs (in steps)", "alpha",
        "interval now", "then", box=None, pad_edge=False,
    )  # fmt: skip
    for column in table.columns[1:]:
        column.justify = "right"
    for one in seen:
        task = costs[one.task]
        fine = not math.isnan(one.alpha)
        table.add_row(
            one.task,
            _time(task, one.planned_steps, task.train_hours + task.fork_hours),
            _time(task, task.train_steps // task.runs, task.train_hours / task.runs),
            f"{one.c_star:g} steps, price {one.price:g}" if not math.isnan(one.c_star) else "-",
            "never" if math.isnan(one.break_even) else f"{math.ceil(one.break_even):,}",
            f"{one.alpha:.2f}" if fine else "not identified",
            f"{one.width:.2f} ({one.n} {_what(one)})" if fine else f"({one.n} {_what(one)})",
            f"{one.width_then:.2f} ({one.planned})" if fine else "-",
        )
    console.print()
    console.print("what the pilot says of the calibration (all of the plan's training is that):")
    console.print(table)
    console.print(
        "break-even: so many future runs, stopped at c* in place of T, save as many steps as the "
        "calibration takes, less what their risk costs at that price (decide.prices); "
        "an interval's width falls as 1/sqrt(N)",
        "",
    )


def _time(task: TaskCost, steps: int, hours: float) -> str:
    if task.unit is None:
        return f"{steps:,} steps"
    return words(3600 * hours) if 3600 * hours >= 10 else f"{3600 * hours:.2g} s"


def _what(one: Prospect) -> str:
    return "trunks" if one.proxy == "fork" else "runs"


def _show_budget(  # type: ignore[no-untyped-def]
    console, config: Config, known: dict[str, Measured], found: Cost, pilot: Path | None,
    budget: float, unit: str | None,
) -> dict[str, Any]:  # fmt: skip
    from prehoc.plan import prospects
    from prehoc.plan.budget import MOST, relative_error, runs_for, with_runs

    if not found.units:
        raise InputError("--budget: the tasks train nothing, so any budget holds any N; leave it out")
    of = UNITS[unit] if unit else found.units[0]
    fits = runs_for(config, budget, of, known)  # type: ignore[arg-type]
    what = f"{budget:g} {of}-hours"
    if fits is None:
        console.print(f"budget: {what} hold no calibration: five runs a task and their forks cost more")
        return {"hours": budget, "unit": of, "runs": None}
    runs, then = fits
    spent = then.hours(of)  # type: ignore[arg-type]
    most = ", the most that is searched," if runs == MOST else ""
    others = [f"{number(then.hours(u))} {u}-hours" for u in then.units if u != of]
    beside = f", and {' and '.join(others)} beside them" if others else ""
    console.print(
        f"budget: {what} hold N = {runs}{most} runs a task ({number(spent)} {of}-hours{beside}): Var R to "
        f"{relative_error(runs):.1%} of itself (one standard error, of a Gaussian R)"
    )
    seen = prospects.read(pilot, with_runs(config, runs), config.enabled())[0] if pilot else []
    for one in seen:
        if not math.isnan(one.width):
            console.print(
                f"  {one.task}: alpha {one.alpha:.2f}, interval {one.width:.2f} wide in the pilot, "
                f"{one.width_then:.2f} with {one.planned} {_what(one)}"
            )
    told = [_told(one) for one in seen]
    return {
        "hours": budget, "unit": of, "runs": runs, "spent": spent,
        "relative_error_of_var_r": relative_error(runs), "calibration": told,
    }  # fmt: skip


def _told(one: Prospect) -> dict[str, Any]:
    return vars(one) | {"width_then": one.width_then}


def _write_resources(path: Path, config: Config, known: dict[str, Measured]) -> None:
    import yaml

    from prehoc.tables import atomic

    tasks = {}
    for name, one in known.items():
        if one.step_ms is None:
            continue
        said: dict[str, Any] = {"step_ms": float(f"{one.step_ms:.3g}")}
        if config.tasks[name].generation is not None:
            said["token_ms"] = "auto"  # what runs write at depths is in the measured step
        if one.device is not None:
            said["measured_on"] = one.device
        tasks[name] = {"resources": said}
    if not tasks:
        raise InputError(
            "--write-resources: the pilot has no times of these tasks with these settings; nothing is "
            "written"
        )
    ran = sorted(
        {one.device_name or one.device or "?" for one in known.values() if one.step_ms is not None}
    )
    head = f"# Milliseconds of a run's step, by prehoc plan from a pilot on {', '.join(ran)}.\n"
    with atomic(path) as temporary:
        temporary.write_text(head + yaml.safe_dump({"tasks": tasks}, sort_keys=False))


def number(hours: float) -> str:
    """Hours for people: three figures."""
    return f"{hours:,.0f}" if hours >= 100 else f"{hours:.3g}"


def volume(size: float) -> str:
    """Bytes for people."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:,.3g} TB"


def _finite(value: Any) -> Any:
    """Plain data with None in the place of nan."""
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
