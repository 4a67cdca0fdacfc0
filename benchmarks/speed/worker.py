"""What the benchmark's own processes do; each imports only what its side needs."""

from __future__ import annotations

import resource
import sys
from pathlib import Path
from typing import Any


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
