"""A synthetic task as tables: runs, forks, draws and the exact risk.

Each number comes from a counter-based stream of its own run, so a row (task, seed) does not
depend on how many runs, depths or forks there are beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from prehoc import tables
from prehoc.errors import InputError
from prehoc.synthetic.instances import build
from prehoc.synthetic.process import Array, Index, Process, check_depths

METRIC = "value"
PATH, METRIC_NOISE, TARGET_NOISE, FORK, TARGET_HALVES = 0, 1, 2, 3, 4
_CHUNK = 4_000_000


def _stream(entropy: Sequence[int], seed: int, *index: int) -> np.random.Generator:
    sequence = np.random.SeedSequence([*entropy, seed, *index])
    return np.random.Generator(np.random.Philox(sequence))


def _normals(entropy: Sequence[int], seeds: Sequence[int], stream: int, width: int) -> Array:
    rows = [_stream(entropy, seed, stream).standard_normal(width) for seed in seeds]
    return np.stack(rows)


def _runs(
    process: Process, entropy: Sequence[int], seeds: Sequence[int], depths: Index
) -> tuple[Array, Array, Array, Array | None]:
    """States and metrics at depths [n, D], R and its halves [n, 3] and the factor [n] of some seeds.

    The halves' noises are e + d and e - d, with e that of R and d independent of it, of the same
    variance: independent of one another, and their mean is R, as R is linear in its noise.
    """
    steps = process.horizon
    path = _normals(entropy, seeds, PATH, steps + 2)
    blur = _normals(entropy, seeds, METRIC_NOISE, steps + 1)
    target = _normals(entropy, seeds, TARGET_NOISE, 1)[:, 0]
    apart = _normals(entropy, seeds, TARGET_HALVES, 1)[:, 0]
    factor = process.factors(path[:, 0])
    state = process.initial(path[:, 1])
    wanted = {int(d): i for i, d in enumerate(depths)}
    states = np.empty((len(seeds), len(wanted)))
    metrics = np.empty_like(states)
    for k in range(steps + 1):
        if k > 0:
            state = process.step(k, state, path[:, k + 1])
        if k in wanted:
            states[:, wanted[k]] = state
            metrics[:, wanted[k]] = process.observe(k, state, blur[:, k], factor)
    noises = (target, target + apart, target - apart)
    outcome = np.column_stack([process.outcome(state, z, factor) for z in noises])
    return states, metrics, outcome, factor


def _forks(
    process: Process,
    entropy: Sequence[int],
    seed: int,
    depth: int,
    state: float,
    factor: float | None,
    per_trunk: int,
) -> Array:
    """R of the forks of one trunk [M]; fork k's numbers do not depend on M."""
    steps = process.horizon - depth
    normals = _stream(entropy, seed, FORK, depth).standard_normal((per_trunk, steps + 1))
    value = np.full(per_trunk, state)
    for k in range(steps):
        value = process.step(depth + k + 1, value, normals[:, k])
    drawn = None if factor is None else np.full(per_trunk, factor)
    return process.outcome(value, normals[:, -1], drawn)


def _count(block: Mapping[str, Any], key: str, least: int) -> int:
    value = block[key]
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InputError(f"forks.{key} must be a whole number of {least} or more, not {value!r}")
    return value


def _fork_block(spec: Mapping[str, Any], horizon: int) -> tuple[list[int], int, int]:
    block = spec.get("forks") or {}
    if not block:
        return [], 0, 0
    allowed = ["depths", "trunks", "per_trunk"]
    for key in block:
        if key not in allowed:
            raise InputError(f"forks has no key {key!r}; allowed: {allowed}")
    missing = [key for key in allowed if key not in block]
    if missing:
        raise InputError(f"forks lacks the key(s) {missing}; it needs {allowed}")
    depths = check_depths(sorted(set(block["depths"])), horizon)
    return [int(d) for d in depths], _count(block, "trunks", 1), _count(block, "per_trunk", 2)


def simulate_task(
    task: str,
    spec: Mapping[str, Any],
    n: int,
    depths: Sequence[int],
    horizon: int,
    seed_sequence_entropy: Sequence[int],
    *,
    seeds: Sequence[int] | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """The tables (runs, forks, draws, truth) of one synthetic task.

    `spec` holds `process` (a process or an instance), its parameters, and optionally
    `forks` = {depths, trunks, per_trunk}.  Runs are seeds 0..n-1, or `seeds` where given (a shard).
    Metric `value` is measured on split `val` at every depth and at the horizon; R is `value` on
    split `target` at the horizon, and its halves on `target_a` and `target_b`.  Trunks are the
    seeds below `trunks`.  A fork at the horizon redraws the target noise
    alone.  Raises InputError for an unknown key or process, or for a depth outside 0..horizon.
    """
    if "process" not in spec:
        raise InputError("a synthetic task needs the key 'process'")
    if horizon < 1:
        raise InputError(f"horizon must be at least 1 step, not {horizon}")
    chosen = list(range(n)) if seeds is None else [int(s) for s in seeds]
    if not chosen:
        raise InputError(f"task {task!r}: no runs asked for (n = {n})")
    parameters = {k: v for k, v in spec.items() if k not in ("process", "forks")}
    process = build(str(spec["process"]), parameters, horizon)
    steps = check_depths(sorted({*(int(d) for d in depths), horizon}), horizon)
    fork_depths, trunks, per_trunk = _fork_block(spec, horizon)
    every = np.asarray(sorted({*steps.tolist(), *fork_depths}))
    column = {int(d): i for i, d in enumerate(every)}
    kept = [column[int(d)] for d in steps]
    entropy = [int(e) for e in seed_sequence_entropy]

    runs, forks, draws = [], [], []
    size = max(1, _CHUNK // (horizon + 2))
    for start in range(0, len(chosen), size):
        part = chosen[start : start + size]
        states, metrics, outcome, factor = _runs(process, entropy, part, every)
        runs.append(_runs_frame(task, part, steps, metrics[:, kept], outcome, horizon))
        if factor is not None:
            draws.append(_draws_frame(task, part, factor, process.visible))
        for i, seed in enumerate(part):
            for depth in fork_depths if seed < trunks else []:
                drawn = None if factor is None else float(factor[i])
                state = float(states[i, column[depth]])
                value = _forks(process, entropy, seed, depth, state, drawn, per_trunk)
                forks.append((seed, depth, value))
    truth = _truth_frame(task, process, steps, fork_depths)
    return (
        tables.check("runs", pd.concat(runs, ignore_index=True)),
        tables.check("forks", _forks_frame(task, forks, per_trunk)),
        tables.check("draws", pd.concat(draws) if draws else tables.empty("draws")),
        tables.check("truth", truth),
    )


def _runs_frame(
    task: str, seeds: list[int], steps: Index, metrics: Array, outcome: Array, horizon: int
) -> pd.DataFrame:
    width = len(steps) + 3
    values = np.column_stack([metrics, outcome])
    count = len(seeds) * width
    return pd.DataFrame(
        {
            "task": np.repeat(task, count),
            "seed": np.repeat(np.asarray(seeds, np.int64), width),
            "depth": np.tile(np.append(steps, [horizon] * 3), len(seeds)),
            "split": np.tile(np.array(["val"] * len(steps) + list(tables.SPLITS[1:])), len(seeds)),
            "metric": np.repeat(METRIC, count),
            "value": values.ravel(),
            "failure": np.zeros(count, bool),
        }
    )


def _draws_frame(task: str, seeds: list[int], factor: Array, visible: bool) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "task": np.repeat(task, len(seeds)),
            "seed": np.asarray(seeds, np.int64),
            "factor": np.repeat("factor", len(seeds)),
            "visible": np.repeat(visible, len(seeds)),
            "value": factor,
        }
    )


def _forks_frame(task: str, rows: list[tuple[int, int, Array]], per_trunk: int) -> pd.DataFrame:
    if not rows:
        return tables.empty("forks")
    return pd.DataFrame(
        {
            "task": np.repeat(task, len(rows) * per_trunk),
            "seed": np.repeat([row[0] for row in rows], per_trunk),
            "depth": np.repeat([row[1] for row in rows], per_trunk),
            "fork": np.tile(np.arange(per_trunk), len(rows)),
            "metric": np.repeat(METRIC, len(rows) * per_trunk),
            "value": np.concatenate([row[2] for row in rows]),
        }
    )


def _truth_frame(task: str, process: Process, steps: Index, fork_depths: list[int]) -> pd.DataFrame:
    parts: list[tuple[str, Index, Array]] = []
    zero = np.zeros(1, np.int64)
    parts.append(("none", zero, process.exact_risk([0], "none")))
    if process.visible:
        parts.append(("static", zero, process.exact_risk([0], "static")))
    for information in process.information():
        at = np.asarray(sorted({*steps.tolist(), *fork_depths})) if information == "state" else steps
        parts.append((information, at, process.exact_risk(at, information)))
    return pd.concat(
        [
            pd.DataFrame({"task": task, "depth": at, "information": information, "risk": risk})
            for information, at, risk in parts
        ],
        ignore_index=True,
    )
