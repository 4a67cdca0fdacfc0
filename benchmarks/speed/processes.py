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
from trainers.cases import kind_of, precisions, varied

PROGRAM = Path(__file__).parents[1] / "training.py"
LIMIT = 8 * 2**30  # bytes
MEMORY = {"lora": 64, "head": 1500, "full": 1500}  # runs in one bank

# Wanted ratios end to end: 64 seeds at 8 depths (issue 4).
TARGETS = {"lora_top2": {"fp32": 15.0, "bf16": 30.0}, "lora_all": {"fp32": 4.0, "bf16": 12.0}}


def _run(command: list[str]) -> tuple[float, str]:
    """Seconds and standard output of a process on one thread; its error ends the benchmark."""
    begun = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ))
    took = time.perf_counter() - begun
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[:4])} ...: {done.stderr.strip()[-600:]}")
    return took, done.stdout


def _worker(role: str, stage: dict[str, Any], folder: Path, *given: str) -> tuple[float, dict[str, Any]]:
    path = folder / "worker.json"
    path.write_text(json.dumps(stage))
    took, said = _run([sys.executable, str(PROGRAM), "--worker", role, "--stage", str(path), *given])
    return took, json.loads(said.strip().splitlines()[-1])


def end_to_end(name: str, stage: dict[str, Any], seeds: int) -> list[dict[str, Any]]:
    """N seeds at D depths, start-up included: one Trainer process a seed and depth, against prehoc.

    One Trainer process a depth is measured and taken times `seeds`; `prehoc prepare` and `prehoc train`
    are run in full, from an empty store. Both read the validation split at each depth, and the target
    at the horizon.
    """
    depths = sorted({*stage["depths"], stage["horizon"]})
    made: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        say(f"{name}: one Trainer process at each of {len(depths)} depths")
        took = [_worker("hf", stage, folder, "--depth", str(d))[0] for d in depths]
    whole = seeds * sum(took)
    facts = {"path": name, "seeds": seeds, "depths": depths}
    made.append(
        {**facts, "tool": "HF Trainer", "precision": "fp32", "seconds": whole, "extrapolated": True}
        | {"processes_s": took, "ratio": 1.0}
    )
    for precision in precisions() if kind_of(stage) != "head" else ["fp32"]:
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
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        path = folder / "stage.json"
        path.write_text(json.dumps({**stage, "store": str(folder / "store")}))
        base = [sys.executable, "-m", "prehoc.cli"]
        outputs = {"static": folder / "static.parquet", "sources": folder / "sources.json"}
        prepare, _ = _run(
            [*base, "prepare", "--config", str(path)]
            + [x for k, v in outputs.items() for x in (f"--{k}", str(v))]
        )
        outputs = {k: folder / f"{k}.parquet" for k in ("runs", "draws", "outputs")}
        train, _ = _run(
            [*base, "train", "--config", str(path), "--first", "0", "--end", str(seeds)]
            + [x for k, v in outputs.items() for x in (f"--{k}", str(v))]
        )
    return prepare, train


def memory(name: str, stage: dict[str, Any], runs: int | None = None) -> list[dict[str, Any]]:
    """Peak resident memory of a process that trains one bank for two steps and evaluates it."""
    made = []
    runs = runs or MEMORY[kind_of(stage)]
    for precision in precisions() if kind_of(stage) != "head" else ["fp32"]:
        with tempfile.TemporaryDirectory() as place:
            exact = varied(stage, precision=precision)
            took, said = _worker("memory", exact, Path(place), "--seeds", str(runs))
        say(f"{name}: {runs} runs, {precision}: {said['peak_bytes'] / 2**30:.2f} GiB")
        made.append(
            {"path": name, "precision": precision, "seeds": runs, "seconds": took, **said}
            | {"limit_bytes": LIMIT, "reached": said["peak_bytes"] < LIMIT}
        )
    return made


def worker(role: str, stage: dict[str, Any], depth: int, seeds: int) -> dict[str, Any]:
    """What a process of the benchmark does: train one seed by the Trainer, or fill a bank."""
    if role == "hf":
        from trainers import models, people

        task = models.task_of(stage)
        read: dict[str, Any] = {}

        def look(step: int, model: Any) -> None:
            if step == depth:
                splits = ["val", "target"] if depth == stage["horizon"] else ["val"]
                read.update({s: people.judged(task, model, s) for s in splits})

        people.hugging_face(task, stage, 0, depth, look)
        return read
    from trainers import engine

    runner = engine.Engine(stage, engine.setting_of(stage), seeds)
    runner.advance(2)
    runner.measure("val")
    return {"peak_bytes": _peak()}


def _peak() -> int:
    """Peak resident memory of this process in bytes.

    Linux's getrusage counts what the process was before its exec, the benchmark itself; VmHWM doesn't.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next(x for x in status.read_text().splitlines() if x.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024)
