"""Two seeds trained for a few steps, as the engine trains them, without a checkpoint or a table."""

from __future__ import annotations

import resource
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from prehoc.tasks.problem import DropoutKey
from prehoc.training import plan
from prehoc.training.bank import Bank
from prehoc.training.loop import advance
from prehoc.training.plan import Group
from prehoc.training.problems import Setting
from prehoc.training.width import MIN_WIDTH, recipe, settled

STEPS = 10
SEEDS = (0, 1)
WATCHED = 64  # training examples on which the loss is looked at before and after


@dataclass(frozen=True)
class Trial:
    """What was seen of two seeds: losses [2] on the same training rows before and after, and so on."""

    before: np.ndarray
    after: np.ndarray
    failed_at: list[int]
    apart: float  # largest difference of a parameter between the two seeds after the steps
    answers: np.ndarray | None  # [2, 2 or 3, n] on val after the steps; None where texts are written
    width: int
    step_ms: float  # of a run
    example_ms: float  # of a run and an example, to be measured
    memory_mb: float
    gpu_mb: float | None
    bank: Bank


def run(config: dict[str, Any], setting: Setting, written: bool) -> Trial:
    """Train seeds 0 and 1 for STEPS steps on a bank as wide as the task's."""
    config = settled(config, setting.machine)
    width = recipe(config, setting.machine) or MIN_WIDTH
    draws = plan.drawn(config, setting, list(SEEDS))
    group = Group.filled(draws, width)
    bank = Bank(setting.problem.parameters, width, config["optimiser"], setting.machine.device)
    for i, draw in enumerate(group.draws):
        bank.initialise(i, config["seed"], config["task"], draw.seed, config["crossed"])
    before = watched(config, setting, bank, group)
    advance(config, setting, bank, group, 0, 1)  # what is made once is made here
    begun = time.perf_counter()
    advance(config, setting, bank, group, 1, STEPS)
    _wait(setting)
    step_ms = 1000 * (time.perf_counter() - begun) / ((STEPS - 1) * width)
    after = watched(config, setting, bank, group)
    answers, example_ms = None, 0.0
    if not written:
        from prehoc.training.loop import answers as measured

        begun = time.perf_counter()
        answers = measured(setting, bank, "val")[: len(SEEDS)].numpy()
        example_ms = 1000 * (time.perf_counter() - begun) / (width * setting.problem.rows("val"))
    gpu = setting.machine.device.type == "cuda"
    return Trial(
        before,
        after,
        bank.failed_at[: len(SEEDS)].tolist(),
        float((bank.values[0] - bank.values[1]).abs().max()),
        answers,
        width,
        step_ms,
        example_ms,
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        torch.cuda.max_memory_allocated(setting.machine.device) / 2**20 if gpu else None,
        bank,
    )


def _wait(setting: Setting) -> None:
    if setting.machine.device.type == "cuda":
        torch.cuda.synchronize(setting.machine.device)


def watched(config: dict[str, Any], setting: Setting, bank: Bank, group: Group) -> np.ndarray:
    """Mean training loss [2] on the first WATCHED rows that seed 0 trains on, without training."""
    size = plan.widest(config)
    rows = plan.batches(config, group.draws[0], None, 0, STEPS).reshape(-1)
    seen = list(dict.fromkeys(rows.tolist()))[:WATCHED]
    device, keys = bank.device, plan.dropout_keys(config, group).to(bank.device)
    total, count = torch.zeros(bank.runs, device=device), 0
    with torch.no_grad():
        for start in range(0, len(seen), size):
            part = torch.tensor(seen[start : start + size], device=device).expand(bank.runs, -1)
            given = None
            if setting.problem.labels is not None:
                labels = torch.stack([torch.as_tensor(d.labels) for d in group.draws]).to(device)
                given = labels.gather(1, part)
            losses = setting.problem.losses(bank.theta, part, given, DropoutKey(keys, 0))
            total += losses.sum(1)
            count += part.shape[1]
    made: np.ndarray = (total / count)[: len(SEEDS)].cpu().double().numpy()
    return made
