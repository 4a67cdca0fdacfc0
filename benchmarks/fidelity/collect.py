"""Validation curves of many seeds of one task, by transformers' Trainer and by prehoc."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np

from prehoc.training.problems import Setting
from trainers import engine, models, people

Curves = dict[str, np.ndarray]  # by metric: [seeds, depths]
METRICS = ("loss", "accuracy")


def trainer_curves(stage: dict[str, Any], seeds: int) -> Curves:
    """Curves of `seeds` seeds, each trained alone by the Trainer with peft.

    Raises ValueError where the training set is no whole number of batches: epochs would end otherwise
    than in prehoc, whose batches run on into the next epoch.
    """
    task, depths = models.task_of(stage), list(stage["depths"])
    size, batch = len(task.rows["train"]), stage["optimiser"]["batch_size"]
    if size % batch:
        raise ValueError(f"{stage['task']}: {size} training rows are no whole number of batches of {batch}")
    made: Curves = {m: np.full((seeds, len(depths)), np.nan) for m in METRICS}
    gc.freeze()  # the Trainer collects garbage at every start: let it look at its own alone
    for seed in range(seeds):

        def look(step: int, model: Any, seed: int = seed) -> None:
            if step in depths:
                accuracy, loss = people.judged(task, model, "val")
                made["loss"][seed, depths.index(step)] = loss
                made["accuracy"][seed, depths.index(step)] = accuracy

        people.hugging_face(task, stage, seed, depths[-1], look)
    gc.unfreeze()
    return made


def prehoc_curves(stage: dict[str, Any], seeds: int, setting: Setting | None = None) -> Curves:
    """Curves of `seeds` seeds trained together by prehoc; `setting` is the stage's problem, if at hand."""
    runner = engine.Engine(stage, setting or engine.setting_of(stage), seeds)
    made: Curves = {m: np.full((seeds, len(stage["depths"])), np.nan) for m in METRICS}
    for i, depth in enumerate(stage["depths"]):
        runner.advance(depth - runner.at)
        accuracy, loss = runner.measure("val")
        made["loss"][:, i], made["accuracy"][:, i] = loss.numpy(), accuracy.numpy()
    return made
