"""What a run draws besides its seed: training subset, label noise, learning rate, batch size, domain.

Each draw comes from a stream of its own, so one factor can be held while another varies.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from prehoc.tasks.metrics import Truth
from prehoc.tasks.streams import generator


@dataclass(frozen=True)
class Draw:
    """One run's circumstances; `pool` the training rows it may see [n], `labels` of all rows."""

    seed: int
    lr: float
    batch_size: int
    pool: np.ndarray
    labels: np.ndarray | None
    target_domain: int | None
    values: dict[str, float]


def _draw(factor: dict[str, Any], rng: np.random.Generator) -> Any:
    if factor["uniform"] is not None:
        return float(rng.uniform(*factor["uniform"]))
    if factor["log_uniform"] is not None:
        low, high = factor["log_uniform"]
        return float(math.exp(rng.uniform(math.log(low), math.log(high))))
    return factor["choice"][int(rng.integers(len(factor["choice"])))]


def flip_labels(labels: np.ndarray, rate: float, classes: int, rng: np.random.Generator) -> np.ndarray:
    """Each label replaced, with probability `rate`, by another class drawn evenly: symmetric noise."""
    hit = rng.random(len(labels)) < rate
    other = (labels + rng.integers(1, max(classes, 2), len(labels))) % classes
    return np.where(hit, other, labels)


def draw_run(
    config: dict[str, Any],
    seed: int,
    labels: np.ndarray | None,
    rows: int,
    classes: int,
    domains: list[str],
) -> Draw:
    """The draw of run `seed` of a task, from its `train` stage config."""
    root, task, population = config["seed"], config["task"], config["population"]
    crossed = config["crossed"]
    optimiser = config["optimiser"]
    values: dict[str, float] = {}
    drawn: dict[str, Any] = {}
    for name, factor in sorted(population.items()):
        if name == "train_subset":
            continue
        rng = generator(root, f"{task}/{name}", seed, "population", crossed=crossed)
        drawn[name] = _draw(factor, rng)
        values[name] = (
            float(domains.index(str(drawn[name]))) if name == "target_domain" else float(drawn[name])
        )
    pool = np.arange(rows)
    if "train_subset" in population:
        count = population["train_subset"]["n"]
        pool = np.sort(generator(root, task, seed, "subset", crossed=crossed).permutation(rows)[:count])
    rate = drawn.get("label_noise", (config.get("data") or {}).get("label_noise", 0.0))
    if labels is not None and rate:
        rng = generator(root, task, seed, "label_noise", crossed=crossed)
        labels = flip_labels(labels, rate, classes, rng)
    return Draw(
        seed,
        float(drawn.get("learning_rate", optimiser["lr"])),
        int(drawn.get("batch_size", optimiser["batch_size"])),
        pool,
        labels,
        domains.index(str(drawn["target_domain"])) if "target_domain" in drawn else None,
        values,
    )


def fork_domain(
    config: dict[str, Any], draw: Draw, fork: tuple[int, int], domains: list[str]
) -> int | None:
    """The target domain of a fork: the trunk's where it is visible, a fresh draw where it is hidden."""
    factor = config["population"].get("target_domain")
    if factor is None or factor["visible"]:
        return draw.target_domain
    rng = generator(config["seed"], config["task"], draw.seed, "target_domain", fork)
    return domains.index(str(_draw(factor, rng)))


def draws_frame(config: dict[str, Any], draws: list[Draw]) -> pd.DataFrame:
    """The `draws` table of some runs."""
    population = config["population"]
    rows = [
        (config["task"], d.seed, name, bool(population[name]["visible"]), value)
        for d in draws
        for name, value in d.values.items()
    ]
    frame = pd.DataFrame(rows, columns=["task", "seed", "factor", "visible", "value"])
    return frame.astype({"task": str, "seed": "int64", "factor": str, "visible": bool, "value": float})


def target_outcome(
    config: dict[str, Any],
    seed: int,
    correct: np.ndarray,
    loss: np.ndarray,
    domains: np.ndarray | None,
    domain: int | None,
    classes: int,
    fork: tuple[int, int] | None = None,
    *,
    score: str | None = "accuracy",
    predicted: np.ndarray | None = None,
    truth: Truth | None = None,
) -> dict[str, dict[str, float]]:
    """R of one run from its target answers [n]: the drawn domain, label noise and target sample.

    By split: `target` is R; `target_a` and `target_b`, for a run that is no fork and has two examples
    or more, are R on every other example (or draw) of the same: disjoint halves, whose means weighted
    by their sizes make R.  Every other one, so that a target set in some order is split evenly.

    The sample is drawn with replacement, so its variance is the binomial one. A target label that
    flips to one of the C - 1 others makes right wrong, and wrong right with chance 1 / (C - 1),
    which is exact for even flips; metrics of the predictions [n] (`truth` says which) are read on the
    flipped labels themselves, with the same flips. `score` names the score, None where there is none.
    Names with `_pool` are over the whole target split.
    """
    root, task, outcome = config["seed"], config["task"], config["outcome"]
    crossed = config["crossed"]
    pool = np.arange(len(correct))
    if domain is not None and domains is not None:
        pool = pool[domains == domain]
    scores = [] if score is None else [score]
    whole = {f"{name}_pool": float(correct[pool].mean()) for name in scores}
    whole["loss_pool"] = float(loss[pool].mean())
    if truth is not None and predicted is not None:
        of_all = truth.measure(predicted[pool], truth.labels[pool])
        whole |= {f"{name}_pool": float(value) for name, value in of_all.items()}
    if outcome["target_sample"] is not None:
        rng = generator(root, task, seed, "target_sample", fork, crossed)
        pool = pool[rng.integers(len(pool), size=outcome["target_sample"])]
    right = correct[pool].astype(float)
    labels = None if truth is None else truth.labels[pool]
    if outcome["target_label_noise"]:
        rng = generator(root, task, seed, "target_label_noise", fork, crossed)
        hit = rng.random(len(pool)) < outcome["target_label_noise"]
        lucky = rng.random(len(pool)) < 1.0 / max(classes - 1, 1)
        if labels is not None and predicted is not None:
            labels = flipped_as(labels, predicted[pool], hit, lucky, classes, rng)
        right = np.where(hit, (1.0 - right) * lucky, right)

    def read(rows: slice) -> dict[str, float]:
        made = dict.fromkeys(scores, float(right[rows].mean()))
        made["loss"] = float(loss[pool][rows].mean())
        if truth is not None and predicted is not None and labels is not None:
            of_rows = truth.measure(predicted[pool][rows], labels[rows])
            made |= {name: float(value) for name, value in of_rows.items()}
        return made

    made = {"target": read(slice(None)) | whole}
    if fork is None and len(pool) > 1:
        made |= {"target_a": read(slice(0, None, 2)), "target_b": read(slice(1, None, 2))}
    return made


def flipped_as(
    labels: np.ndarray,
    predicted: np.ndarray,
    hit: np.ndarray,
    lucky: np.ndarray,
    classes: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Labels [n] of which those `hit` are another class, drawn evenly, given whether it is the predicted.

    A wrong prediction that is `lucky` (chance 1/(C - 1)) becomes right: its label is what was predicted.
    Else the new label is one of the classes that are neither the old one nor the predicted. So each of
    the C - 1 others has the same chance, and accuracy on these labels is what `hit` and `lucky` make it.
    """
    guess = predicted.astype(np.int64)
    right = guess == labels
    taken = np.where(right, 1, 2)  # classes that the new label is not: the old one, and a wrong guess
    step = np.floor(rng.random(len(labels)) * np.maximum(classes - taken, 1)).astype(np.int64)
    other = (labels + 1 + step) % classes
    # Counting on from the old label, a wrong guess that lies on the way is passed over.
    ahead = (guess - labels) % classes
    other = np.where(~right & (1 + step >= ahead), (other + 1) % classes, other)
    return np.where(hit, np.where(~right & lucky, guess, other), labels)
