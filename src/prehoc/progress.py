"""How far a workflow is: runs done, failed, being trained and to go, at each depth, and what is left.

Reads files alone (the resolved config, tables, checkpoints, locks), imports neither torch nor
Snakemake, and may be asked at any moment: files that are not whole count as not there, and a note says so.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from pydantic import ValidationError

from prehoc.belonging import is_newer, ours, written
from prehoc.config import Config, fork_parts, segments, shards, source_digest, stage_config
from prehoc.config.stages import TRAINING_KEYS
from prehoc.errors import InputError
from prehoc.pace import Pace
from prehoc.tasks import hub
from prehoc.training import lock, places

TO_GO, RUNNING, DONE, FAILED = range(4)
HOW = (
    "from the times between checkpoints (the median over banks, a run and stretch of steps; what no bank "
    "has reached at the pace of the deepest that one has), else from the benchmark files of finished "
    "shards; without forks, tables and figures"
)


@dataclass
class Depth:
    """Numbers of a task's runs at a depth; together they are all of its runs."""

    depth: int
    done: int
    failed: int
    running: int
    to_go: int


@dataclass
class TaskProgress:
    """A task: its runs at each depth, its jobs' files, and seconds of work left (None: not known yet)."""

    task: str
    runs: int
    depths: list[Depth]
    shards_done: int
    shards: int
    forks_done: int
    forks: int
    verdict: bool | None
    seconds_left: float | None


@dataclass
class Progress:
    """All tasks of one config, the jobs that hold locks, and what is left of training.

    `seconds_left` is the known tasks' work over `at_once`, the number of jobs that hold a lock now, one at
    least; `unknown` are the tasks with nothing to estimate from yet.
    """

    config: str
    configs: int
    tasks: list[TaskProgress]
    jobs: list[dict[str, Any]]
    at_once: int
    seconds_left: float
    unknown: list[str]
    how: str
    notes: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def collect(results: Path, chosen: Path | None = None, *, cells: bool = False) -> Progress | None:
    """What is there of a workflow under `results`, by the resolved config `chosen`, or the newest there.

    `cells`: of the crossing of `snakemake robustness`, in place of the tasks.

    None where nothing was begun. Raises InputError for a `chosen` that is no resolved config.
    """
    notes: list[str] = []
    found = [chosen] if chosen else _newest_first(results / "config")
    for path in found:
        try:
            config, names = _resolved(path)
        except InputError as error:
            if chosen:
                raise
            notes.append(str(error))
            continue
        names = list(config.cells()) if cells else names
        watched = {name: _locks(config, name) for name in names}
        tasks = [_task(results, config, name, watched[name], notes) for name in names]
        jobs = [job for name in names for job in watched[name]]
        at_once = max(len({(j["host"], j["pid"]) for j in jobs if j["alive"]}), 1)
        left = sum(t.seconds_left or 0.0 for t in tasks) / at_once
        unknown = [t.task for t in tasks if t.seconds_left is None]
        return Progress(str(path), len(found), tasks, jobs, at_once, left, unknown, HOW, notes)
    if notes:
        raise InputError(notes[0])
    return None


def _newest_first(folder: Path) -> list[Path]:
    files = [(path.stat().st_mtime_ns, path) for path in folder.glob("all-*.json")]
    return [path for _, path in sorted(files, reverse=True)]


def _resolved(path: Path) -> tuple[Config, list[str]]:
    try:
        whole = json.loads(path.read_text())
        return Config.model_validate(whole["config"]), list(whole["tasks"])
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; name a file of results/config/all-*.json") from None
    except (ValueError, KeyError, TypeError) as error:
        what = "another version's" if isinstance(error, ValidationError) else "no"
        raise InputError(
            f"{path}: {what} resolved config; run the workflow once (-n is enough) to have it written anew"
        ) from None


def _task(
    results: Path, config: Config, name: str, jobs: list[dict[str, Any]], notes: list[str]
) -> TaskProgress:
    task = config.tasks[name]
    depths = sorted({*task.depths, task.horizon})
    state = np.zeros((task.runs, len(depths)), np.int8)
    pace = Pace(depths)
    crossed = bool(task.crossed)
    if task.kind == "synthetic":
        begun = written(results, config, name, "simulate")
        cut = [(0, task.runs)] if is_newer(results / name / "runs.parquet", begun) else []
        tables, total = [results / name / "runs.parquet" for _ in cut], 1
    else:
        begun = written(results, config, name, "train")
        for base in checkpoint_folders(results, config, name):
            for first, count, folder in places.banks(base):
                _read_bank(folder, first, count, depths, state, pace, notes)
        cut = shards(task, config.packing)
        all_tables = [
            results / name / "shards" / f"runs_{first:06d}-{end:06d}.parquet" for first, end in cut
        ]
        tables, total = (
            ours(all_tables, "runs_", begun, f"{name}: %s tables under shards/ are", notes),
            len(all_tables),
        )
        for first, end in cut if not segments(task, config.packing) else []:
            pace.shard(results / "benchmarks" / "train" / f"{name}_{first:06d}-{end:06d}.tsv", end - first)
    read = sum(_read_table(path, depths, state, notes) for path in tables)
    for job in jobs:
        rows = state[job["first"] : job["end"]]
        rows[(rows == TO_GO) & job["alive"]] = RUNNING
    parts = fork_parts(task, config.packing)
    made = [results / name / "forks" / f"depths_{'-'.join(map(str, part))}.parquet" for part in parts]
    forked = 0
    if parts and task.kind != "synthetic":
        fork = written(results, config, name, "fork")
        forked = len(ours(made, "depths_", fork, f"{name}: %s tables under forks/ are", notes))
    counts = [[int((state[:, i] == kind).sum()) for kind in range(4)] for i in range(len(depths))]
    open_ = (state == TO_GO) | (state == RUNNING)
    return TaskProgress(
        name,
        task.runs,
        [Depth(d, c[DONE], c[FAILED], c[RUNNING], c[TO_GO]) for d, c in zip(depths, counts, strict=True)],
        read,
        total,
        forked,
        len(made) if task.kind != "synthetic" else 0,
        None
        if crossed
        else is_newer(results / name / "verdict.json", written(results, config, name, "decide")),
        0.0 if not open_.any() or task.kind == "synthetic" else pace.left(open_),
    )


def checkpoint_folders(
    results: Path, config: Config, name: str, store: Path | None = None
) -> Iterator[Path]:
    """The checkpoint folders of a task that are of this config and of this version's training code.

    In the config's store, or in `store` instead; `results` says which commits were fetched.
    """
    task = config.tasks[name]
    stage = stage_config(config, name, "train")
    asked = {"task": name, "seed": config.seed, "source": source_digest("train")}
    asked |= {key: stage[key] for key in TRAINING_KEYS} | hub.pin(stage, hub.fetched_commits(results))
    if task.bank == "auto":  # settled where the task is trained
        del asked["bank"]
    for about in ((store or Path(config.store)) / "checkpoints" / name).glob(f"*/{places.ABOUT}"):
        try:
            known = json.loads(about.read_text())
        except (OSError, ValueError):
            continue
        if known.get("horizon", task.horizon) == task.horizon and known | asked == known:
            yield about.parent


def _read_bank(
    folder: Path,
    first: int,
    count: int,
    depths: list[int],
    state: np.ndarray,
    pace: Pace,
    notes: list[str],
) -> None:
    """Mark a bank's measured runs in `state` [runs, depths], and note its times."""
    times: dict[int, float] = {}
    rows = state[first : first + count]
    for i, depth in enumerate(depths):
        path = places.path_of(folder.parent, [first] * count, depth)
        try:
            head = places.header(path)
            times[depth] = path.stat().st_mtime
            if "val" not in head.arrays or (i == len(depths) - 1 and "target" not in head.arrays):
                continue  # trained for forks alone, or not measured yet
            bad = (head.array("failed_at") >= 0) | ~np.isfinite(head.array("val")).all(1)
        except FileNotFoundError:
            continue
        except (OSError, KeyError, ValueError) as error:
            notes.append(f"{path}: not whole ({error}): the next job sets it aside and trains it again")
            continue
        rows[:, i] = np.where(bad, FAILED, DONE)[: len(rows)]
    pace.bank(times, count)


def _read_table(path: Path, depths: list[int], state: np.ndarray, notes: list[str]) -> bool:
    """Mark the runs of a table in `state`; whether it could be read."""
    try:
        table = pq.read_table(path, columns=["seed", "depth", "failure"])
    except (OSError, ValueError, KeyError) as error:
        notes.append(f"{path}: cannot be read ({' '.join(str(error).split())[:80]}): not counted")
        return False
    seed, depth, failure = (table[name].to_numpy() for name in ("seed", "depth", "failure"))
    for i, one in enumerate(depths):
        there = (depth == one) & (seed < len(state))
        state[seed[there], i] = DONE
        state[seed[there & failure.astype(bool)], i] = FAILED
    return True


def _locks(config: Config, name: str) -> list[dict[str, Any]]:
    """Who holds runs of a task, one entry a job and block of runs, and whether it seems alive.

    A job of this machine is alive if its process is; another's, if its lock is younger by this machine's
    clock than `stale` and a heartbeat: a display may err where a lock must not.
    """
    found: dict[str, dict[str, Any]] = {}
    longest = config.lock.stale + config.lock.heartbeat
    for path in sorted((Path(config.store) / "checkpoints" / name).glob("*/locks/*.lock")):
        try:
            seen = lock.look(path)
        except OSError:
            continue
        holder = lock.holder_of(seen) if seen else {}
        if seen is None or not holder:
            continue
        silent = time.time() - seen[1] / 1e9
        kept = ("task", "job", "host", "pid", "since", "first", "end")
        about = {key: holder[key] for key in kept} | {"silent_s": round(max(silent, 0.0), 1)}
        about["alive"] = not lock.gone(holder) and silent < longest
        found[holder["token"]] = about
    return list(found.values())
