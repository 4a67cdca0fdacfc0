"""From a stage config to the problem that the loop trains."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import torch

from prehoc.errors import InputError
from prehoc.tasks.encode import encode
from prehoc.tasks.machine import CPU, Machine
from prehoc.tasks.problem import Problem


@dataclass(frozen=True)
class Setting:
    """A problem with what the population and the outcome need to know of its data.

    `weights` pins all that lies outside the config: the model's weights and, where they are read
    from a file that may change under its name, the data.
    """

    problem: Problem
    domains: list[str]
    target_domains: torch.Tensor | None
    weights: str
    static: dict[str, float]
    sources: dict[str, Any]
    machine: Machine = CPU


def target_domains(config: dict[str, Any]) -> list[str] | None:
    """The domains that runs may draw their target from, or None."""
    factor = config["population"].get("target_domain")
    return [str(v) for v in factor["choice"]] if factor else None


def build(config: dict[str, Any], machine: Machine = CPU) -> Setting:
    """The problem of a task, from its `train` stage config; frozen parts come from the store.

    Raises InputError for data or models at fault.
    """
    made = _build(config, machine)
    trained = sum(math.prod(p.shape) for p in made.problem.parameters)
    return replace(made, static=made.static | {"trained_parameters": float(trained)})


def _build(config: dict[str, Any], machine: Machine) -> Setting:
    if config["kind"] == "modular_arithmetic":
        from prehoc.tasks.modular import ModularProblem

        modular = ModularProblem(config, machine)
        static = {f"rows_{s}": float(modular.rows(s)) for s in ("train", "val", "target")}
        static["classes"] = float(modular.classes)
        static["label_entropy"] = _entropy(modular.answers["train"].cpu().bincount())
        return Setting(modular, [], None, "scratch", static, {"data": "generated"}, machine)
    if config["kind"] == "causal_arithmetic":
        from prehoc.tasks.causal import CausalProblem

        causal = CausalProblem(config, machine)
        static = {f"rows_{s}": float(causal.rows(s)) for s in ("train", "val", "target")}
        static["classes"] = float(causal.classes)
        static |= _lengths(causal.lengths("train"))
        made = {"model": config["model"], "weights": causal.weights, "data": "generated"}
        return Setting(causal, [], None, causal.weights, static, made, machine)
    if config["kind"] == "text_generation":
        return _generation(config, machine)
    from prehoc.tasks.heads import Classifier

    encoding = encode(config, target_domains(config), machine)
    cut = encoding.meta["cut"]
    problem: Classifier
    if cut == "features":
        from prehoc.tasks.heads import HeadProblem

        problem = HeadProblem(encoding, config["method"], machine)
    elif config["method"]["kind"] == "full":
        from prehoc.tasks.full import FullClassification

        problem = FullClassification(encoding, config, machine)
    elif cut == "states":
        from prehoc.tasks.encoder_lora import EncoderLora

        problem = EncoderLora(encoding, config, machine)
    else:
        from prehoc.tasks.lora import LoraClassification

        problem = LoraClassification(encoding, config, machine)
    wanted = (config.get("outcome") or {}).get("metric")
    if wanted == "f1" and problem.classes != 2:
        raise InputError(
            f"outcome.metric: f1 is of two classes, and {config['data']['name']} has {problem.classes}; "
            "set accuracy or matthews"
        )
    first, end = encoding.rows("target")
    static = {f"rows_{s}": float(problem.rows(s)) for s in ("train", "val", "target")}
    if problem.number:
        static["label_sd"] = float(encoding.meta["label_sd"])
    else:
        static["classes"] = float(problem.classes)
        static["label_entropy"] = _entropy(torch.tensor(encoding.meta["train_counts"]))
    known = {
        "logme": encoding.meta["logme"].get(config["method"]["pooling"]),
        "leep": encoding.meta["leep"],
    }
    static |= {name: float(value) for name, value in known.items() if value is not None}
    static |= {
        "length_mean": float(encoding.meta["length_mean"]),
        "length_sd": float(encoding.meta["length_sd"]),
        "mean_tokens": float(encoding.meta["mean_tokens"]),
        "base_parameters": float(encoding.meta["parameters"]),
    }
    return Setting(
        problem,
        encoding.meta["domains"],
        encoding.tensors["domain"][first:end],
        f"{encoding.meta['weights']}/{encoding.meta['data_digest']}",
        static,
        {
            "model": config["model"],
            "weights": encoding.meta["weights"],
            "data": {k: config["data"][k] for k in ("name", "revision", "subset")},
            "data_digest": encoding.meta["data_digest"],
        },
        machine,
    )


def _entropy(counts: torch.Tensor) -> float:
    """The entropy in nats of the shares that counts make."""
    share = counts.double() / counts.sum()
    return float(torch.special.entr(share).sum())


def _lengths(tokens: torch.Tensor) -> dict[str, float]:
    """Mean and standard deviation of the training texts' lengths in tokens."""
    return {
        "length_mean": float(tokens.double().mean()),
        "length_sd": float(tokens.double().std(correction=0)),
    }


def _generation(config: dict[str, Any], machine: Machine) -> Setting:
    from prehoc.tasks.text_generation import TextGeneration

    problem = TextGeneration(config, machine)
    data = problem.data_digest
    made = {
        "model": config["model"],
        "weights": problem.weights,
        "data": {k: config["data"][k] for k in ("name", "revision", "subset")},
        "data_digest": data,
    }
    static = problem.static() | _lengths(problem.lengths("train"))
    return Setting(problem, [], None, f"{problem.weights}/{data}", static, made, machine)
