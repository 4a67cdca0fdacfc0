"""MLPerf Training result logs: `:::MLLOG {json}` lines, anywhere in a line, in files of any layout.

Format: mlcommons/logging, `mlperf_logging.mllog`; keys as in its constants and in the training rules.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prehoc.logs.files import relative, walk
from prehoc.logs.run import Notes, Options, Point, Run, scalar

_MARK = b":::MLLOG"
_DECODER = json.JSONDecoder()
# Depth of an evaluation, best first.  Some logs write samples under `epoch_num`: it is taken as it stands.
_DEPTHS = ("samples_count", "step_num", "epoch_num")
_STATUS = {
    "success": "finished",
    "aborted": "aborted",
    "abort": "aborted",
    "fail": "failed",
    "failed": "failed",
}
_NO_HP = re.compile(
    r"^(eval_accuracy|eval_error|train_loss|tracked_stats|cache_clear|throughput|current_lr|seed|status|"
    r"weights_initialization|data_file|submission_.*|.*_(start|stop|begin|end)|init_.*|run_.*)$"
)


def read(src: Path, options: Options, notes: Notes) -> list[Run]:
    """The runs of a result file, a folder of them, or a folder of submissions or rounds."""
    files = [f for f in walk(src, options.not_read) if src.is_file() or _is_log(f.name)]
    results = [f for f in files if re.fullmatch(r"result_.*\.txt", f.name)]
    runs = []
    for path in results or files:
        content = path.read_bytes()
        if _MARK in content:
            runs += _runs(path, content, src, notes)
        elif results or src.is_file():
            notes.aside("file", "no :::MLLOG line in it", relative(path, src))
    return runs


def _is_log(name: str) -> bool:
    return Path(name).suffix.lower() in (".txt", ".log", ".out", ".mllog", "")


def _runs(path: Path, content: bytes, src: Path, notes: Notes) -> list[Run]:
    parts: list[list[tuple[int, Mapping[str, Any]]]] = [[]]
    stopped = False
    for event in _events(path, content, notes):
        key = event[1].get("key")
        if stopped and key in ("init_start", "run_start", "submission_benchmark", "cache_clear"):
            parts.append([])
            stopped = False
        stopped = stopped or key == "run_stop"
        parts[-1].append(event)
    # What follows a run's end without a run of its own (another rank's closing lines) belongs to that run.
    for i in range(len(parts) - 1, 0, -1):
        if not any(e.get("key") in ("run_start", "eval_accuracy") for _, e in parts[i]):
            parts[i - 1] += parts.pop(i)
    name = relative(path, src)
    made = []
    for i, part in enumerate(parts):
        made.append(_run(part, path, name if len(parts) == 1 else f"{name}#{i + 1}", notes))
    return made


def _events(path: Path, content: bytes, notes: Notes) -> list[tuple[int, Mapping[str, Any]]]:
    made: list[tuple[int, Mapping[str, Any]]] = []
    for line, raw in enumerate(content.split(b"\n"), start=1):
        for piece in raw.split(_MARK)[1:]:
            try:
                event, _ = _DECODER.raw_decode(piece.decode().lstrip(": \t"))
                if not isinstance(event, dict):
                    raise ValueError("no object")
            except (ValueError, RecursionError):  # UnicodeDecodeError is a ValueError
                fault = "broken JSON after :::MLLOG"
                notes.bad(f"{path}, line {line}", fault, "mend or remove the line")
                continue
            made.append((line, event))
    return made


def _run(events: list[tuple[int, Mapping[str, Any]]], path: Path, source: str, notes: Notes) -> Run:
    told: dict[str, list[Any]] = {}
    run = Run(source, "")
    evals: list[tuple[int, str, Any, Mapping[str, Any]]] = []
    for line, event in events:
        key, value = str(event.get("key", "")), event.get("value")
        said = event.get("metadata")
        said = said if isinstance(said, dict) else {}
        if key in ("eval_accuracy", "eval_error") or (
            key == "train_loss" and any(d in said for d in _DEPTHS)
        ):
            evals.append((line, key, value, said))
        elif key == "run_stop":
            status = str(said.get("status", value) or "").lower()
            run.status = _STATUS.get(status, "unknown")
        else:
            told.setdefault(key, []).append(value)
    run.hp = {
        key: values[0]
        for key, values in told.items()
        if not _NO_HP.match(key)
        and isinstance(values[0], str | int | float)
        and all(v == values[0] for v in values)
    }
    first = {key: values[0] for key, values in told.items()}
    run.logged_seed = first.get("seed")
    benchmark = str(first.get("submission_benchmark") or _folder(path)[2] or "mlperf")
    run.task = task_name(benchmark, run.hp)
    submitter, system, _ = _folder(path)
    submitter = submitter or str(first.get("submission_org") or "")
    system = system or str(first.get("submission_platform") or "")
    run.group = "/".join(p for p in (submitter, system) if p)
    _log(run, evals, path, benchmark, notes)
    return run


def _log(
    run: Run, evals: list[tuple[int, str, Any, Mapping[str, Any]]], path: Path, benchmark: str, notes: Notes
) -> None:
    """The evaluations, each at the depth that most of the run's evaluations name."""
    named = [[d for d in _DEPTHS if d in said] for _, key, _, said in evals if key != "train_loss"]
    unit = max(_DEPTHS, key=lambda d: (sum(d in n for n in named), -_DEPTHS.index(d)))
    for line, key, value, said in evals:
        if unit not in said:
            if key != "train_loss":
                notes.bad(f"{path}, line {line}", f"{key} without a depth ({unit})", "mend the line")
            continue
        depth = said[unit]
        # UNet3D's first rounds count epochs (1,000 to 10,000), later ones samples (117,600 and more).
        samples = run.hp.get("train_samples")
        epochs = benchmark == "unet3d" and unit == "epoch_num" and isinstance(depth, int) and depth < 16_800
        if epochs and isinstance(samples, int):
            depth *= samples
            notes.say("unet3d: epochs of early rounds are told as samples: epochs x train_samples")
        run.series.setdefault(key, []).append(Point(depth, value, str(path), line))


def task_name(benchmark: str, hp: Mapping[str, Any]) -> str:
    """BENCHMARK.bs{batch}.lr{base rate, or the optimiser}.T{training steps} or .wu{warm-up epochs}."""
    parts = [benchmark]
    if "global_batch_size" in hp:
        parts.append(f"bs{_brief(hp['global_batch_size'])}")
    if "opt_base_learning_rate" in hp:
        parts.append(f"lr{_brief(hp['opt_base_learning_rate'])}")
    elif "opt_name" in hp:
        parts.append(str(hp["opt_name"]))
    if "opt_learning_rate_training_steps" in hp:
        parts.append(f"T{_brief(hp['opt_learning_rate_training_steps'])}")
    elif "opt_base_learning_rate" in hp and "opt_learning_rate_warmup_epochs" in hp:
        parts.append(f"wu{_brief(hp['opt_learning_rate_warmup_epochs'])}")
    return ".".join(parts)


def _brief(value: Any) -> str:
    value = scalar(value)
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def _folder(path: Path) -> tuple[str, str, str]:
    """(submitter, system, benchmark) of SUBMITTER/results/SYSTEM/BENCHMARK/result_N.txt; else empty."""
    parts = path.resolve().parts
    if len(parts) >= 6 and parts[-4] == "results":
        return parts[-5], parts[-3], parts[-2]
    return "", "", ""
