"""From raw runs to the runs table and its index: the metric, task names, seeds, failures, repeats."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from prehoc.errors import InputError
from prehoc.logs.run import Notes, Options, Point, Run, count, few, number, scalar, whole

_BOOKS = re.compile(  # what tools log of themselves, never a metric to predict
    r"^_|(^|[/_.])(epoch|step|global_step|timestamp|runtime|total_flos|lr|learning_rate|grad_norm|memory)$"
    r"|^lr-|per_second|_runtime$|^system[/.]|num_input_tokens_seen|flos$"
)
_EVALUATED = re.compile(r"(^|[/_.-])(val|valid|validation|eval|evaluation|dev)([/_.-]|\d|$)", re.I)
_OWN = re.compile(  # settings that name a run, not its recipe
    r"(^|[./])((data_|random_|rng_)?seed|seed_everything|[^./]*_dir|run_?(id|name)|local_rank|job_?id)$"
    r"|^(tags[.])?(name|id|host(name)?|time(stamp)?|date|pid|output|trial|version)$",
    re.I,
)


@dataclass
class Imported:
    """The two tables that import writes, the metric taken, what to tell the person, what was set aside."""

    runs: pd.DataFrame
    index: pd.DataFrame
    metric: str
    lines: list[str]
    aside: list[dict[str, Any]] = field(default_factory=list)


def assemble(runs: list[Run], options: Options, notes: Notes, default: str | None = None) -> Imported:
    """The runs table (task, seed, depth, metric[, final][, split][, group]) and the index, one row a run.

    `default` is the tool's usual metric.  Raises InputError if no or no single metric is asked for, if a
    wanted key is not there, or at the first bad value where bad lines are not set aside.
    """
    metric = options.metric if default == "metric" else choose(runs, options.metric, default, notes)
    column = "metric" if default == "metric" else metric
    _check_named(runs, options.final, "--final", [n for run in runs for n in run.series])
    tasks = [_task(run, options) for run in runs]
    groups = _groups(runs, options, notes)
    counts: Counter[str] = Counter()
    rows: list[tuple[Any, ...]] = []
    index: list[dict[str, Any]] = []
    repeated = 0
    for run, task, group in zip(runs, tasks, groups, strict=True):
        seed = counts[task]
        counts[task] += 1
        points, again = _points(run.series.get(column or "", []), column or "", notes)
        final = _final(run, options.final, notes)
        rows += [(task, seed, d, v, final, "val", group) for d, v in points]
        for split, held in run.splits.items():
            more, twice = _points(held, column or "", notes)
            rows += [(task, seed, d, v, final, split, group) for d, v in more]
            again += twice
        repeated += again
        entry = {
            "task": task,
            "seed": seed,
            "source": run.source,
            "status": run.status,
            "rows": len(points),
        }
        ends = (points[0][0], *points[-1]) if points else (None, None, None)
        entry |= dict(zip(("first_depth", "last_depth", "last_metric"), ends, strict=True))
        entry |= {"repeated": again, "logged_seed": run.logged_seed, "group": group}
        index.append(entry | {f"hp.{key}": value for key, value in run.hp.items()})
    if repeated:
        again_said = count(repeated, "value")
        notes.say(f"{again_said} logged again at a depth of a run: the last one stands (index: repeated)")
        notes.count("value", "logged again at a depth of a run: the last one stands", repeated)
    _differences(runs, tasks, notes)
    _twins(rows, notes)
    _alone(counts, options, notes)
    if options.final is not None and (n := sum(options.final not in run.series for run in runs)):
        notes.say(f"{n} of {len(runs)} runs have no {options.final}: their final is empty")
    return Imported(
        _frame(rows, options), _index(index), metric or options.columns.get("metric", "metric"), notes.said
    )


def choose(runs: list[Run], asked: str | None, default: str | None, notes: Notes) -> str:
    """The metric to take: the one asked for, the tool's usual one, or the one plain evaluation.

    Raises InputError listing what there is where none, or more than one, is found.
    """
    counts: Counter[str] = Counter()
    longest: Counter[str] = Counter()
    for run in runs:
        for name, points in run.series.items():
            if points and _numeric(points):
                counts[name] += 1
                longest[name] = max(longest[name], len(points))
    names = sorted(n for n in counts if not _BOOKS.search(n))
    if asked is not None:
        if not any(asked in run.series for run in runs):
            raise InputError(f"--metric {asked}: no run has it; there are {few(names) or 'no metrics'}")
        return asked
    if default in counts:
        return str(default)
    often = [n for n in names if longest[n] > 1] or names
    found = [n for n in often if _EVALUATED.search(n)] or often
    if len(found) == 1:
        notes.say(f"metric: {found[0]} (--metric takes another)")
        return found[0]
    if not names:
        raise InputError("no run has a metric; check that the runs were evaluated, and SRC")
    raise InputError(
        f"several metrics: {few(found if len(found) > 1 else names)}; choose one by --metric NAME"
    )


def _numeric(points: list[Point]) -> bool:
    for point in points[:3]:
        try:
            number(point.value)
        except ValueError:
            continue
        return True
    return False


def _points(points: list[Point], metric: str, notes: Notes) -> tuple[list[tuple[int, float]], int]:
    """(depth, value) by depth, the last logged of each depth, and how many were logged again."""
    made: dict[int, float] = {}
    again = 0
    for point in points:
        where = (
            f"{point.file}{' ' if point.file.endswith(('event', 'log_history')) else ', line '}{point.line}"
        )
        try:
            depth = whole(point.depth)
        except (ValueError, OverflowError):
            fault = f"depth '{point.depth}' is no whole number >= 0"
            notes.bad(where, fault, "mend it", "value")
            continue
        try:
            value = number(point.value)
        except (ValueError, OverflowError):
            fault = f"{metric} '{str(point.value)[:40]}' is no number"
            notes.bad(where, fault, "mend it, or write nan for a failed run", "value")
            continue
        again += depth in made
        made[depth] = value
    return sorted(made.items()), again


def _final(run: Run, name: str | None, notes: Notes) -> float | None:
    if name is None or name not in run.series:
        return run.final
    point = run.series[name][-1]
    try:
        return number(point.value)
    except ValueError:
        notes.bad(
            f"{point.file}, line {point.line}", f"{name} '{point.value}' is no number", "mend it", "value"
        )
        return None


def _check_named(runs: list[Run], name: str | None, option: str, there: list[str]) -> None:
    if name is not None and name not in there:
        listed = sorted({n for n in there if not _BOOKS.search(n)})
        raise InputError(f"{option} {name}: no run has it; there are {few(listed) or 'none'}")


def _key(runs: list[Run], key: str, option: str) -> str:
    name = key.removeprefix("hp.")
    for candidate in (name, key):
        if any(candidate in run.hp for run in runs):
            return candidate
    there = sorted({k for run in runs for k in run.hp})
    raise InputError(f"{option} {key}: no run has this hyperparameter; there are {few(there) or 'none'}")


def _task(run: Run, options: Options) -> str:
    name = options.task or run.task
    for key in options.task_by:
        key = key.removeprefix("hp.")
        name += f".{key}={_brief(run.hp.get(key))}"
    return name


def _brief(value: Any) -> str:
    value = scalar(value)
    return "none" if value is None else f"{value:.12g}" if isinstance(value, float) else str(value)


def _groups(runs: list[Run], options: Options, notes: Notes) -> list[str]:
    for key in options.task_by:
        _key(runs, key, "--task-by")
    if options.group_by is None:
        return [run.group for run in runs]
    key = _key(runs, options.group_by, "--group-by")
    without = sum(key not in run.hp for run in runs)
    if without:
        notes.say(f"{without} of {len(runs)} runs have no {key}: their group is empty")
    return [_brief(run.hp[key]) if key in run.hp else "" for run in runs]


def _differences(runs: list[Run], tasks: list[str], notes: Notes) -> None:
    """Warn where runs of one task were not trained alike."""
    warned = 0
    for task in dict.fromkeys(tasks):
        mine = [run for run, of in zip(runs, tasks, strict=True) if of == task]
        if len(mine) < 2:
            continue
        differ = []
        for key in dict.fromkeys(k for run in mine for k in run.hp):
            if _OWN.search(key):
                continue
            values = {_brief(run.hp.get(key)) for run in mine}
            if len(values) > 1:
                differ.append((key, len(values)))
        if not differ:
            continue
        warned += 1
        if warned <= 5:
            told = few([f"{key} ({n} values)" for key, n in differ], 6)
            keys = ",".join(key for key, _ in differ[:3])
            notes.say(
                f"warning: {task}: its {len(mine)} runs differ in {told}; --task-by {keys} tells them apart"
            )
    if warned > 5:
        notes.say(f"warning: {warned - 5} more tasks hold runs of different hyperparameters; see the index")


def _twins(rows: list[tuple[Any, ...]], notes: Notes) -> None:
    """Warn of runs with the very same curve: the same run was probably copied."""
    curves: dict[tuple[str, int], list[tuple[int, float]]] = {}
    for task, seed, depth, value, _, split, _ in rows:
        if split == "val" and value == value:
            curves.setdefault((task, seed), []).append((depth, value))
    seen: dict[tuple[Any, ...], tuple[str, int]] = {}
    twins = []
    for run, points in curves.items():
        first = seen.setdefault((run[0], *points), run)
        if first != run and len(points) > 1:
            twins.append(f"{run[0]} seed {run[1]} = {first[1]}")
    if twins:
        copies = f"{count(len(twins), 'run')} with the curve of another, to the digit (copies?)"
        notes.say(f"warning: {copies}: {few(twins, 4)}")


def _alone(counts: Counter[str], options: Options, notes: Notes) -> None:
    if len(counts) > 1 and max(counts.values()) == 1 and options.task is None:
        notes.say(
            "warning: every task has one run; if they are runs of one fine-tune, name it by --task NAME"
        )


def _frame(rows: list[tuple[Any, ...]], options: Options) -> pd.DataFrame:
    names = ["task", "seed", "depth", "metric", "final", "split", "group"]
    frame = pd.DataFrame(rows, columns=names)
    frame = frame.astype({"task": "str", "seed": "int64", "depth": "int64", "metric": "float64"})
    frame["final"] = frame["final"].astype("float64")
    told = {
        "final": options.final is not None or bool(frame["final"].notna().any()),
        "split": bool((frame["split"] != "val").any()),
        "group": bool((frame["group"] != "").any()),
    }
    return frame.drop(columns=[name for name, wanted in told.items() if not wanted])


def _index(entries: list[dict[str, Any]]) -> pd.DataFrame:
    """One row a run, hyperparameters last and in the order of their names; numbers stay as logged."""
    head = [c for c in entries[0] if not c.startswith("hp.")]
    keys = sorted({c for entry in entries for c in entry if c.startswith("hp.")})
    frame = pd.DataFrame({c: pd.Series([e.get(c) for e in entries], dtype=object) for c in [*head, *keys]})
    return frame.replace({np.nan: None})
