"""A part of a shard's depths: trained, measured, and kept as checkpoints for the next job."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from prehoc.errors import InputError
from prehoc.tasks.population import Draw
from prehoc.training import checkpoint, plan
from prehoc.training.bank import Bank
from prehoc.training.engine import Engine, Report
from prehoc.training.lock import Hold
from prehoc.training.loop import reach
from prehoc.training.plan import Group
from prehoc.training.problems import Setting
from prehoc.training.width import settled


def train_until(
    config: dict[str, Any],
    setting: Setting,
    seeds: Sequence[int],
    until: int,
    report: Report,
    engine: Engine | None = None,
) -> dict[str, Any]:
    """Bring runs `seeds` to depth `until`, one of the task's; depths that the store has cost nothing.

    Returns what the job's file says: the runs, the depth, and the digest that names their checkpoints.
    Raises InputError where `until` is none of the task's depths.
    """
    depths = plan.depths(config)
    if until not in depths:
        raise InputError(f"--until {until}: the task's depths are {', '.join(map(str, depths))}; name one")
    draws = plan.drawn(config, setting, seeds)
    engine = engine or Engine(config, setting, len(draws), report)
    config = settled(config, setting.machine)
    base = checkpoint.opened(config, setting.weights, checkpoint.protocol(setting.machine))
    begun = time.monotonic()

    def work(part: list[Draw], width: int) -> bool:
        group = Group.filled(part, width)
        bank = Bank(setting.problem.parameters, width, config["optimiser"], setting.machine.device)
        reached = [depth for depth in depths if depth <= until]
        with Hold(base, group.seeds, engine.times, engine.report, config["task"]) as hold:
            for _ in reach(config, setting, bank, group, hold, reached, True):
                pass
        return True

    done = 0
    for part, _ in engine.share(draws, plan.cut_runs, work):
        done += len(part)
        spent = time.monotonic() - begun
        report(f"{config['task']}: {done} of {len(seeds)} runs to depth {until}, {spent:.0f} s")
    return {
        "task": config["task"],
        "first": seeds[0],
        "end": seeds[-1] + 1,
        "until": until,
        "checkpoints": base.name,
    }
