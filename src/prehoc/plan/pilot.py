"""What a pilot's files tell of a task: time of a step, size of a checkpoint, device, c* and alpha.

A pilot is the same workflow with fewer runs.  Files of another config are told by the settings that are
written beside them, and by time: a benchmark file belongs to the latest stage config that was begun before.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from prehoc.config import TRAINING_KEYS, Config, stage_config
from prehoc.errors import InputError
from prehoc.pace import Pace
from prehoc.progress import checkpoint_folders
from prehoc.training import places

_SHARD = re.compile(r"_(\d{6})-(\d{6})\.tsv$")


# What checkpoints may say of all training, as shares of what jobs took: little where starts are most of it.
CREDIBLE = (0.02, 1.25)


@dataclass
class Measured:
    """What is known of a task; None where nothing of it was measured.  Times of one job.

    `step_ms` is a run's step, its measuring at depths in it; `step_from` says from what, over how many
    `runs`.  `start_seconds` come before a job's first step.  Bytes are a run's: of checkpoints, a depth.
    """

    runs: int = 0
    step_ms: float | None = None
    step_from: str = ""
    start_seconds: float | None = None
    forks: int = 0
    fork_step_ms: float | None = None
    device: str | None = None
    device_name: str = ""
    checkpoint_bytes: float | None = None
    table_bytes: float | None = None
    notes: list[str] = field(default_factory=list)


def read(results: Path, config: Config, names: list[str]) -> dict[str, Measured]:
    """What the pilot under `results` measured of each task in `names`.

    Raises InputError where no workflow was ever run there.
    """
    if not (results / "config").is_dir():
        raise InputError(
            f"{results}: no results of a pilot (no folder config in it); run one, such as "
            "`snakemake tables --config seeds=32`, and name its folder of results"
        )
    return {name: _task(results, config, name) for name in names}


def _task(results: Path, config: Config, name: str) -> Measured:
    task, found = config.tasks[name], Measured()
    if task.kind == "synthetic":
        return found
    device = _device(results, name)
    found.device, found.device_name = device
    if found.device is not None and not _same_device(config.device, found.device):
        found.notes.append(
            f"{name}: the pilot ran on {found.device}, and the config says device: {config.device}; its "
            "times are not used"
        )
        found.device, times = None, False
    else:
        times = True
    depths = sorted({*task.depths, task.horizon})
    pace, sizes, there = Pace(depths), [], 0
    store = Path(config.store)
    where = store if store.is_absolute() else results.parent / store
    for base in checkpoint_folders(results, config, name, where):
        for first, count, folder in places.banks(base):
            seen: dict[int, float] = {}
            for depth in depths:
                path = places.path_of(base, [first] * count, depth)
                try:
                    places.header(path)
                    stat = path.stat()
                except FileNotFoundError:
                    continue
                except (OSError, ValueError) as error:
                    found.notes.append(f"{path}: not whole ({error}): not counted")
                    continue
                seen[depth] = stat.st_mtime
                sizes.append(stat.st_size / count)
            if folder.is_dir() and seen:
                pace.bank(seen, count)
                there += count
    if sizes:
        found.checkpoint_bytes = float(np.mean(sizes))
    if times:
        _times(results, config, name, pace, there, found)
    _tables(results, config, name, found)
    if found.step_ms is None:
        found.notes.append(f"{name}: the pilot has no times of this task with these settings: estimated")
    return found


def _times(results: Path, config: Config, name: str, pace: Pace, there: int, found: Measured) -> None:
    """Fill in the times: of checkpoints if there are any, else of benchmark files, starts in them."""
    task = config.tasks[name]
    shards = _shards(results, config, name)
    each = pace.seconds()
    if each is not None and not _credible(float(each.sum()), shards, task.horizon):
        found.notes.append(
            f"{name}: the times of the pilot's checkpoints are not those of its training, by its benchmark "
            "files (paused, or copied without `cp -a`): these are used"
        )
        each = None
    if each is not None:
        whole = float(each.sum())
        found.runs, found.step_from = there, "checkpoints"
        found.step_ms = 1000 * whole / task.horizon
        starts = [(s - runs * whole) / jobs for s, runs, horizon, jobs in shards if horizon == task.horizon]
        if starts and np.median(starts) > 0:
            found.start_seconds = float(np.median(starts))
    elif shards:
        found.runs, found.step_from = (
            sum(runs for _, runs, _, _ in shards),
            "benchmark files, starts in them",
        )
        steps = sum(runs * horizon for _, runs, horizon, _ in shards)
        found.step_ms = 1000 * sum(seconds for seconds, _, _, _ in shards) / steps
        found.start_seconds = 0.0
    forked = _forks(results, config, name)
    if forked:
        start = (found.start_seconds or 0.0) * len(forked)
        steps = sum(count for _, count, _ in forked)
        spent = sum(seconds for seconds, _, _ in forked) - start
        if spent > 0 and steps:
            found.fork_step_ms = 1000 * spent / steps
            found.forks = max(forks for _, _, forks in forked)


def _credible(whole: float, shards: list[tuple[float, int, int, int]], horizon: int) -> bool:
    """Whether `whole` seconds a run, of checkpoints' times, can be what the shards' jobs took, in all.

    Jobs take their runs' time and a start: checkpoints that say much more were paused or touched, and such
    as say next to nothing were copied.  True where there are no jobs to hold them against.
    """
    spent = sum(seconds for seconds, _, h, _ in shards if h == horizon)
    said = whole * sum(runs for _, runs, h, _ in shards if h == horizon)
    return not spent or CREDIBLE[0] * spent <= said <= CREDIBLE[1] * spent


def begun(results: Path, name: str, stage: str, path: Path) -> Mapping[str, Any] | None:
    """The stage config under which `path` was made: the latest begun before it; None if unknown."""
    best: tuple[int, Path] | None = None
    for file in (results / "config" / name).glob(f"{stage}-*.json"):
        when = file.stat().st_mtime_ns
        if when <= path.stat().st_mtime_ns and (best is None or when > best[0]):
            best = (when, file)
    if best is None:
        return None
    try:
        known = json.loads(best[1].read_text())
    except (OSError, ValueError):
        return None
    return known if isinstance(known, dict) else None


def _like(known: Mapping[str, Any] | None, config: Config, name: str) -> bool:
    """Whether a stage config trains as `config` does, at whatever depths."""
    ours = stage_config(config, name, "train")
    return known is not None and all(known.get(key) == ours[key] for key in TRAINING_KEYS)


def _seconds(path: Path) -> float | None:
    """The seconds of a benchmark file: the mean over its rows; None for one that is no such file."""
    try:
        with path.open(newline="") as stream:
            made = [float(row["s"]) for row in csv.DictReader(stream, delimiter="\t")]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return float(np.mean(made)) if made and min(made) > 0 else None


def _shards(results: Path, config: Config, name: str) -> list[tuple[float, int, int, int]]:
    """Seconds, runs, horizon and number of jobs of each shard that was trained, its parts in them."""
    made = []
    for path in sorted((results / "benchmarks" / "train").glob(f"{name}_*.tsv")):
        shard = _SHARD.fullmatch(path.name.removeprefix(name))
        if shard is None:
            continue
        parts = sorted((results / "benchmarks" / "train_part").glob(f"{path.stem}_*.tsv"))
        known, spent = begun(results, name, "train", path), [_seconds(p) for p in [*parts, path]]
        if known is None or not _like(known, config, name):
            continue
        seconds = [s for s in spent if s is not None]
        if len(seconds) == len(spent):
            runs = int(shard[2]) - int(shard[1])
            made.append((sum(seconds), runs, int(known["horizon"]), len(seconds)))
    return made


def _forks(results: Path, config: Config, name: str) -> list[tuple[float, int, int]]:
    """Seconds, steps of all its forks, and number of forks, of each fork job that was measured."""
    made = []
    for path in sorted((results / "benchmarks" / "fork").glob(f"{name}_*.tsv")):
        depths = path.stem.removeprefix(f"{name}_")
        if not re.fullmatch(r"\d+(-\d+)*", depths):
            continue
        known, seconds = begun(results, name, "fork", path), _seconds(path)
        if known is None or seconds is None or not _like(known, config, name) or not known.get("forks"):
            continue
        count = int(known["forks"]["trunks"]) * int(known["forks"]["per_trunk"])
        steps = count * sum(int(known["horizon"]) - int(d) for d in depths.split("-"))
        made.append((seconds, steps, count))
    return made


def _tables(results: Path, config: Config, name: str, found: Measured) -> None:
    """The size of a run's tables, from the shards'."""
    size, runs = 0, 0
    for path in (results / name / "shards").glob("runs_*.parquet"):
        first, end = (int(n) for n in path.stem.removeprefix("runs_").split("-"))
        if not _like(begun(results, name, "train", path), config, name):
            continue
        others = [
            path.with_name(path.name.replace("runs_", f"{kind}_", 1))
            for kind in ("draws", "outputs", "signals")
        ]
        size += sum(file.stat().st_size for file in [path, *others] if file.exists())
        runs += end - first
    if runs:
        found.table_bytes = size / runs


def _device(results: Path, name: str) -> tuple[str | None, str]:
    for path in [results / name / "engine.json", *(results / name / "shards").glob("engine_*.json")]:
        try:
            said = json.loads(path.read_text())
            said = said.get("train", said)
            said = said[0] if isinstance(said, list) else said
            return str(said["device"]), str(said.get("device_name", ""))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError):
            continue
    return None, ""


def _same_device(asked: str, ran: str) -> bool:
    return asked == "auto" or asked.split(":")[0] == ran
