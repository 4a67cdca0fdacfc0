"""What is measured on whole processes: end to end with start-up, and peak memory."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from speed.paths import say
from trainers import place
from trainers.cases import kind_of, precisions, varied
from trainers.clock import chosen

PROGRAM = Path(__file__).parents[1] / "training.py"
LIMIT = 8 * 2**30  # bytes
MEMORY = {"lora": 64, "head": 1500, "full": 1500}  # runs in one bank

# Wanted ratios end to end: 64 seeds at 8 depths (issue 4).
TARGETS = {"lora_top2": {"fp32": 15.0, "bf16": 30.0}, "lora_all": {"fp32": 4.0, "bf16": 12.0}}


def _run(command: list[str]) -> tuple[float, str]:
    """Seconds and standard output of a process on one thread; its error ends the benchmark."""
    begun, used = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ))
    took, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[:4])} ...: {done.stderr.strip()[-600:]}")
    if chosen() == "cpu":
        took = after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime
    return took, done.stdout


def _worker(role: str, stage: dict[str, Any], folder: Path, *given: str) -> tuple[float, dict[str, Any]]:
    path = folder / "worker.json"
    path.write_text(json.dumps(stage))
    there = ["--device", place.device().type]
    took, said = _run(
        [sys.executable, str(PROGRAM), "--worker", role, "--stage", str(path), *there, *given]
    )
    return took, json.loads(said.strip().splitlines()[-1])


def end_to_end(name: str, stage: dict[str, Any], seeds: int) -> list[dict[str, Any]]:
    """N seeds at D depths, start-up included: one Trainer process a seed and depth, against prehoc.

    One Trainer process a depth is measured and taken times `seeds`; `prehoc prepare` and `prehoc train`
    are run in full, from an empty store. Both read the validation split at each depth, and the target
    at the horizon.
    """
    depths = sorted({*stage["depths"], stage["horizon"]})
    made: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        say(f"{name}: one Trainer process at each of {len(depths)} depths")
        took = [_worker("hf", stage, folder, "--depth", str(d))[0] for d in depths]
    whole = seeds * sum(took)
    facts = {"path": name, "seeds": seeds, "depths": depths}
    made.append(
        {**facts, "tool": "HF Trainer", "precision": "fp32", "seconds": whole, "extrapolated": True}
        | {"processes_s": took, "ratio": 1.0}
    )
    for precision in precisions(stage):
        say(f"{name}: prehoc, {precision}, {seeds} seeds to depth {depths[-1]}")
        prepare, train = _prehoc(varied(stage, precision=precision), seeds)
        target = TARGETS.get(name, {}).get(precision)
        ratio = whole / (prepare + train)
        made.append(
            {**facts, "tool": "prehoc", "precision": precision, "seconds": prepare + train}
            | {"extrapolated": False, "processes_s": [prepare, train], "ratio": ratio}
            | {"target": target, "reached": target is not None and ratio >= target}
        )
    return made


def _prehoc(stage: dict[str, Any], seeds: int) -> tuple[float, float]:
    """Seconds of `prehoc prepare` and of `prehoc train` for all seeds, from an empty store."""
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        path = folder / "stage.json"
        path.write_text(json.dumps({**stage, "store": str(folder / "store")}))
        base, there = [sys.executable, "-m", "prehoc.cli"], ["--device", place.device().type]
        outputs = {"static": folder / "static.parquet", "sources": folder / "sources.json"}
        prepare, _ = _run(
            [*base, "prepare", "--config", str(path), *there]
            + [x for k, v in outputs.items() for x in (f"--{k}", str(v))]
        )
        outputs = {k: folder / f"{k}.parquet" for k in ("runs", "draws", "outputs")}
        train, _ = _run(
            [*base, "train", "--config", str(path), *there, "--first", "0", "--end", str(seeds)]
            + [x for k, v in outputs.items() for x in (f"--{k}", str(v))]
        )
    return prepare, train


def memory(name: str, stage: dict[str, Any], runs: int | None = None) -> list[dict[str, Any]]:
    """Peak resident memory of a process that trains one bank for two steps and evaluates it."""
    made = []
    runs = runs or MEMORY[kind_of(stage)]
    if stage["data"]:  # evaluation goes through chunks of examples: a few fill one
        stage = varied(stage, data__val=min(64, stage["data"]["val"]))
    for precision in precisions(stage):
        with tempfile.TemporaryDirectory() as folder:
            exact = varied(stage, precision=precision)
            took, said = _worker("memory", exact, Path(folder), "--seeds", str(runs))
        say(f"{name}: {runs} runs, {precision}: {said['peak_bytes'] / 2**30:.2f} GiB")
        made.append(
            {"path": name, "precision": precision, "seeds": runs, "seconds": took, **said}
            | {"limit_bytes": LIMIT, "reached": said["peak_bytes"] < LIMIT}
        )
    return made
