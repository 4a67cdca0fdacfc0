"""What each stage depends on: its part of the config, and its source."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prehoc.config.metrics import STABILISED
from prehoc.config.settings import Config

TRAINING_KEYS = (
    "kind",
    "model",
    "data",
    "arithmetic",
    "method",
    "optimiser",
    "precision",
    "bank",
    "population",
    "crossed",
)


def stage_config(config: Config, task: str, stage: str) -> dict[str, Any]:
    """What stage `stage` of task `task` depends on, as plain data; its digest keys the stage's files.

    The number of runs is part of no training stage: more seeds make new shards and leave the old.
    """
    block = config.tasks[task].model_dump(mode="json")
    identity: dict[str, Any] = {"task": task, "seed": config.seed, "store": config.store}
    keep: tuple[str, ...]
    if stage == "prepare":
        drawn = {k: v for k, v in block["population"].items() if k == "target_domain"}
        identity["population"] = drawn  # which domains' texts are read
        keep = ("kind", "model", "data", "arithmetic", "method", "precision")
    elif stage == "train":
        identity["outputs"] = _outputs(block, "examples")
        identity["signals"] = _signals(block)
        keep = (*TRAINING_KEYS, "depths", "horizon", "outcome")
    elif stage == "fork":
        keep = (*TRAINING_KEYS, "depths", "horizon", "outcome", "forks")
    elif stage == "simulate":
        keep = ("kind", "synthetic", "runs", "depths", "horizon", "forks")
    elif stage == "risk":
        payload = {k: block[k] for k in ("horizon", "outcome", "kind", "half_shift")}
        payload["outputs"] = _outputs(block, "components")
        return {"task": task, **payload, "risk": config.risk.model_dump(mode="json")}
    elif stage == "decompose":
        payload = {k: block[k] for k in ("horizon", "outcome", "kind", "crossed")}
        return {
            "task": task,
            "seed": config.seed,
            **payload,
            "rest": set(block["crossed"]) != config.tasks[task].drawn(),
            "confidence": config.risk.confidence,
            "resamples": config.sources.resamples,
        }
    elif stage == "gap":
        payload = {k: block[k] for k in ("horizon", "outcome", "kind")}
        payload |= {"confidence": config.risk.confidence, "gap": config.gap.model_dump(mode="json")}
        return {"task": task, "seed": config.seed, **payload}
    elif stage == "decide":
        payload = {k: block[k] for k in ("horizon", "outcome", "kind", "half_shift", "population")}
        payload["outputs"] = _outputs(block, "components")
        if block["generation"] is not None:  # in no other kind's payload
            payload["decoding"] = block["generation"]["decoding"]["kind"]
        payload["risk"] = config.risk.model_dump(mode="json")
        payload["decide"] = config.decide.model_dump(mode="json")
        return {"task": task, "seed": config.seed, **payload}
    else:
        raise ValueError(f"no stage {stage!r}")
    if block["generation"] is not None and stage in ("prepare", "train", "fork"):
        keep = (*keep, "generation")  # in no other kind's identity: what is there stays valid
        if block["generation"]["judge"] == "tests":
            identity["sandbox"] = config.sandbox.model_dump(mode="json")
            identity["sandbox_source"] = source_digest("sandbox")
    made = {**identity, **{k: block[k] for k in keep}}
    if "outcome" in made:  # runs are kept as measured: the scale acts where risk is estimated
        made["outcome"] = {k: v for k, v in made["outcome"].items() if k != "scale"}
    return made


def _outputs(block: Mapping[str, Any], key: str) -> dict[str, Any] | None:
    """The one key of a task's block `outputs` that a stage depends on; None where none are recorded.

    Where there are fewer validation examples than are asked for, it is all of them.
    """
    kept = block["outputs"]
    number = (block["data"] or {}).get("labels") == "number"  # a squared error is no log-probability
    if kept is None or block["crossed"] or number:
        return None
    source = block["arithmetic"] or block["data"]
    return {key: min(kept[key], source["val"])}


def _signals(block: Mapping[str, Any]) -> dict[str, int] | None:
    """A task's block `signals` as training takes it; None where none are noted, as of a crossed task."""
    kept = block["signals"]
    if kept is None or block["crossed"]:
        return None
    source = block["arithmetic"] or block["data"]
    return {**kept, "curvature_examples": min(kept["curvature_examples"], source["val"])}


def benchmark_config(config: Config, benchmark: str) -> dict[str, Any]:
    """What the benchmark `benchmark` (a block of config.benchmark) depends on, as plain data."""
    whole = config.benchmark.model_dump(mode="json")
    base: dict[str, Any] = {"seed": config.seed, "confidence": config.risk.confidence}
    if benchmark == "estimators":
        rule = config.decide.regimes.model_dump(mode="json")
        base["regimes"] = {k: v for k, v in rule.items() if k != "bootstrap"}
    return {**base, **whole[benchmark]}


def known_config(config: Config) -> dict[str, Any]:
    """What the synthetic case of variance by source depends on, as plain data."""
    whole = config.sources.model_dump(mode="json")
    return {"seed": config.seed, "confidence": config.risk.confidence, **whole}


def robustness_config(config: Config) -> dict[str, Any]:
    """What the crossing's tables depend on beside the cells' own, as plain data; {} without a crossing."""
    crossing = config.robustness
    if crossing is None:
        return {}
    return {
        "seed": config.seed,
        "cells": config.cells(),
        "price": crossing.price,
        "resamples": crossing.resamples,
        "information": config.risk.verdict_information,
        "confidence": config.risk.confidence,
        "metrics": {name: config.tasks[name].outcome.metric for name in config.cells()},
        "horizon": crossing.horizon,
        "release": crossing.release,
        "store": config.store,
    }


def figures_config(config: Config) -> dict[str, Any]:
    """What the figures depend on besides the tables: style, and how tasks are grouped and read."""
    groups: dict[str, list[str]] = {}
    for name in config.analysed():
        groups.setdefault(config.tasks[name].group, []).append(name)
    shifts = {name: 0.5 if config.tasks[name].half_shift else 0.0 for name in config.analysed()}
    metrics = {name: metric_of(config.tasks[name].model_dump()) for name in config.analysed()}
    drivers = {name: driver_of(config.tasks[name].model_dump()) for name in config.analysed()}
    style = config.figures.model_dump(mode="json")
    style["information"] = config.risk.verdict_information
    return {**style, "groups": groups, "shifts": shifts, "metrics": metrics, "drivers": drivers}


def driver_of(stage: Mapping[str, Any]) -> str:
    """Which proxy drives c* and the verdict: "residual" where forks would know a hidden draw.

    Forks keep their trunk's training data and rates; a hidden target domain they draw anew.
    """
    hidden = [k for k, f in stage["population"].items() if not f["visible"] and k != "target_domain"]
    return "residual" if hidden else "auto"


def metric_of(stage: Mapping[str, Any]) -> str:
    """The name of the metric that R is, on its scale (tables/scales.py); a synthetic task's is `value`."""
    if stage["kind"] == "synthetic":
        return "value"
    metric, scale = str(stage["outcome"]["metric"]), stage["outcome"].get("scale", "raw")
    return STABILISED[metric] if scale == "stabilised" else metric


def evaluation_of(stage: Mapping[str, Any], static: Mapping[str, float]) -> dict[str, Any]:
    """How a task's R is read, as arguments of risk.intrinsic.Evaluation; `static` are its features.

    A synthetic task draws its target noise anew; a fixed target set of several domains is read on one.
    """
    if stage["kind"] == "synthetic":
        return {"drawn": True}
    outcome, size = stage["outcome"], stage["outcome"]["target_sample"]
    metric = outcome["metric"]  # a loss is of the true texts, whatever is written
    if size is None and "rows_target" in static:
        domains = (stage["population"].get("target_domain") or {}).get("choice") or [None]
        size = int(static["rows_target"]) // len(domains)
    return {
        "drawn": outcome["target_sample"] is not None,
        "accuracy": metric_of(stage) in ("accuracy", "exact_match", "pass_at_1"),
        "mean": metric_of(stage) in ("accuracy", "exact_match", "pass_at_1", "loss"),
        "size": size,
        "label_noise": outcome["target_label_noise"],
        "decoded": stage.get("decoding") == "sample" and metric in ("exact_match", "pass_at_1"),
        "classes": int(static["classes"]) if "classes" in static else None,
    }


SOURCES: dict[str, tuple[str, ...]] = {
    "fetch": ("fetching/choose.py",),  # another way of loading the same files makes no copy stale
    "prepare": ("tasks",),
    "train": ("tasks", "training"),
    "fork": ("tasks", "training"),
    "export": ("adapter_files.py", "tasks", "training"),
    "sandbox": ("sandbox",),
    "simulate": ("synthetic", "tasks/streams.py"),
    "collect": ("tables",),
    "risk": ("risk", "tables"),
    "decide": ("risk", "tables"),
    "gap": (
        *(f"predictors/{name}.py" for name in ("agreement", "gap", "gap_data", "gap_tables", "shrinkage")),
        "risk",
        "tables",
    ),
    "decompose": (
        "risk/sources.py",
        "risk/sources_frame.py",
        "synthetic/crossed.py",
        "tables",
    ),
    "robustness": ("risk/robustness.py", "tables"),
    "predictors": (
        *(f"predictors/{name}.py" for name in ("battery", "features", "nested", "held_out", "pooled")),
        *(f"predictors/{name}.py" for name in ("complementarity", "mismatch", "transfer")),
        "risk",
        "tables",
        "tasks/streams.py",
    ),
    "policies": (
        *(
            f"predictors/{name}.py"
            for name in ("accounts", "battery", "forecasts", "judged", "online", "path_law")
        ),
        *(f"predictors/{name}.py" for name in ("policies", "pooled", "racing", "regret", "spread")),
        "risk",
        "tables",
        "tasks/streams.py",
    ),
    "figures": ("figures", "tables"),
    "claims": (
        "claims",
        "benchmark",
        "fits",
        "predictors",
        "risk",
        "synthetic",
        "tables",
        "tasks/streams.py",
    ),
    "benchmark": ("benchmark", "predictors", "risk", "synthetic", "tables", "tasks/streams.py"),
}


def source_digest(stage: str) -> str:
    """A digest of the source that a stage runs: an edit there re-runs that stage and what follows."""
    base = Path(__file__).parent.parent
    sha = hashlib.sha256()
    for part in SOURCES[stage]:
        path = base / part
        for file in [path] if path.is_file() else sorted(path.rglob("*.py")):
            sha.update(str(file.relative_to(base)).encode() + b"\0" + file.read_bytes() + b"\0")
    return sha.hexdigest()[:12]


def digest(payload: Any) -> str:
    """Twelve hex digits of the SHA-256 of `payload` as canonical JSON."""
    text = json.dumps(payload, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
