"""Forks: continuations of a trunk's state with fresh randomness, fused like runs."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch

from prehoc.tasks.population import fork_domain, target_outcome
from prehoc.training import checkpoint, loop
from prehoc.training.bank import Bank
from prehoc.training.loop import Report
from prehoc.training.plan import Group, depths, drawn, groups
from prehoc.training.problems import Setting


def fork(
    config: dict[str, Any], setting: Setting, depth: int, report: Report
) -> list[tuple[int, int, int, str, float]]:
    """Continue the first trunks from `depth` to the horizon, `per_trunk` times each.

    A continuation keeps its trunk's weights, optimiser, training data and visible factors, and has
    fresh order, dropout and outcome streams. Returns records (seed, depth, fork, metric, value).
    """
    plan = config["forks"]
    trunks = drawn(config, setting, range(plan["trunks"]))
    base = checkpoint.folder(config, setting.weights, checkpoint.protocol())
    until = [d for d in depths(config) if d < depth] + [depth]
    parts: list[dict[str, torch.Tensor]] = []
    for group in groups(config, trunks):
        bank = Bank(setting.problem.parameters, config["bank"], config["optimiser"])
        for _ in loop.reach(config, setting, bank, group, base, until, False):
            pass
        parts.append({k: v[: group.real].clone() for k, v in bank.state().items()})
    states = {k: torch.cat([p[k] for p in parts]) for k in parts[0]}
    per, width = plan["per_trunk"], config["bank"]
    alive = [i for i in range(len(trunks)) if int(states["failed_at"][i]) < 0]
    jobs = [(i, k) for i in alive for k in range(per)]
    records: list[tuple[int, int, int, str, float]] = []
    domains = setting.target_domains.numpy() if setting.target_domains is not None else None
    begun = time.monotonic()
    for first in range(0, len(jobs), width):
        part = jobs[first : first + width]
        full = part + [part[-1]] * (width - len(part))
        group = Group([trunks[i] for i, _ in full], len(part), [(depth, k) for _, k in full])
        bank = Bank(setting.problem.parameters, width, config["optimiser"])
        bank.load(states, [i for i, _ in full])
        loop.advance(config, setting, bank, group, depth, config["horizon"])
        correct, loss = loop.measure(setting, bank, "target")
        for j, (i, k) in enumerate(part):
            draw = trunks[i]
            outcome = target_outcome(
                config,
                draw.seed,
                correct[j].numpy(),
                loss[j].numpy(),
                domains,
                fork_domain(config, draw, (depth, k), setting.domains),
                setting.problem.classes,
                (depth, k),
            )["target"]
            bad = int(bank.failed_at[j]) >= 0 or not np.isfinite(outcome["loss_pool"])
            for metric in ("accuracy", "loss"):
                value = float("nan") if bad else outcome[metric]
                records.append((draw.seed, depth, k, metric, value))
        done, spent = first + len(part), time.monotonic() - begun
        report(
            f"{config['task']}: {done} of {len(jobs)} forks from depth {depth}, {spent:.0f} s, "
            f"about {spent / done * (len(jobs) - done):.0f} s to go"
        )
    return records
