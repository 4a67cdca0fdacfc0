"""What the tables of decisions depend on: forecasts, policies, claims."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prehoc.config.settings import Config
from prehoc.config.stages import driver_of, metric_of


def predictors_config(config: Config, task: str) -> dict[str, Any]:
    """What a task's held-out forecasts depend on beside its runs, as plain data."""
    block = config.tasks[task].model_dump(mode="json")
    keys = ("horizon", "outcome", "kind", "half_shift", "population")
    return {
        "task": task,
        "seed": config.seed,
        **{k: block[k] for k in keys},
        "information": config.risk.verdict_information,
        "confidence": config.risk.confidence,
        "prices": config.decide.prices,
        **config.predictors.model_dump(
            mode="json", include={"names", "folds", "most_runs", "depths", "boosting"}
        ),
    }


def complementarity_config(config: Config) -> dict[str, Any]:
    """What the tables complementarity and mismatch depend on beside the forecasts, as plain data."""
    include = {"pooled_shares", "shallow_steps", "shallow_share", "resamples"}
    return {
        "seed": config.seed,
        "confidence": config.risk.confidence,
        "horizons": {name: config.tasks[name].horizon for name in config.analysed()},
        "drivers": {name: driver_of(config.tasks[name].model_dump()) for name in config.analysed()},
        **config.predictors.model_dump(mode="json", include=include),
    }


def transfer_config(config: Config) -> dict[str, Any]:
    """What leaving one task out depends on beside the tasks' own tables, as plain data."""
    tasks = config.analysed()
    include = {"names", "boosting", "transfer_depth_shares", "transfer_runs", "resamples"}
    return {
        "seed": config.seed,
        "confidence": config.risk.confidence,
        "horizons": {name: config.tasks[name].horizon for name in tasks},
        "metrics": {name: metric_of(config.tasks[name].model_dump()) for name in tasks},
        "drivers": {name: driver_of(config.tasks[name].model_dump()) for name in tasks},
        **config.predictors.model_dump(mode="json", include=include),
    }


def policies_config(config: Config, task: str) -> dict[str, Any]:
    """What policies of probing of task `task` depend on, as plain data."""
    block = config.tasks[task].model_dump(mode="json")
    return {
        "task": task,
        "seed": config.seed,
        **{k: block[k] for k in ("horizon", "outcome", "kind", "half_shift")},
        "driver": driver_of(block),
        "confidence": config.risk.confidence,
        **{k: getattr(config.decide, k) for k in ("prices", "gamma", "cost_per_step")},
        "policies": config.policies.model_dump(mode="json"),
        "online": config.online.model_dump(mode="json"),
    }


def claims_config(config: Config) -> dict[str, Any]:
    """What the verdicts on the claims depend on beside the tables, as plain data."""
    tasks = {
        name: {
            "scope": "synthetic" if config.tasks[name].kind == "synthetic" else "packaged",
            "instance": _instance(config.tasks[name].synthetic),
            "driver": driver_of(config.tasks[name].model_dump()),
        }
        for name in config.analysed()
    }
    return {
        "seed": config.seed,
        "confidence": config.risk.confidence,
        "information": config.risk.verdict_information,
        "regimes": config.decide.regimes.model_dump(mode="json"),
        "instances": config.benchmark.instances,
        "tasks": tasks,
        "shallow": {"steps": config.predictors.shallow_steps, "share": config.predictors.shallow_share},
        "policies": config.policies.model_dump(mode="json"),
        "claims": config.claims.model_dump(mode="json"),
    }


def _instance(spec: Mapping[str, Any] | None) -> str | None:
    """The process of a synthetic task that changes none of its parameters: its truth is an instance's."""
    return str(spec["process"]) if spec and set(spec) == {"process"} else None
