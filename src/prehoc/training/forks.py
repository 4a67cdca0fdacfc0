"""Forks: continuations of a trunk's state with fresh randomness, fused like runs."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch

from prehoc.tasks.population import Draw, fork_domain, target_outcome
from prehoc.training import checkpoint, loop
from prehoc.training.bank import Bank
from prehoc.training.engine import Engine, Report
from prehoc.training.lock import Hold
from prehoc.training.plan import Group, cut_evenly, cut_runs, decoding_keys, depths, drawn
from prehoc.training.problems import Setting
from prehoc.training.records import metrics_of, score_of, truth_of
from prehoc.training.width import settled


def fork(
    config: dict[str, Any], setting: Setting, depth: int, report: Report, engine: Engine | None = None
) -> list[tuple[int, int, int, str, float]]:
    """Continue the first trunks from `depth` to the horizon, `per_trunk` times each.

    A continuation keeps its trunk's weights, optimiser, training data and visible factors, and has
    fresh order, dropout and outcome streams. Returns records (seed, depth, fork, metric, value).
    """
    forks = config["forks"]
    trunks = drawn(config, setting, range(forks["trunks"]))
    engine = engine or Engine(config, setting, forks["trunks"] * forks["per_trunk"], report)
    states = _trunk_states(config, setting, trunks, depth, engine)
    alive = [i for i in range(len(trunks)) if int(states["failed_at"][i]) < 0]
    jobs = [(i, k) for i in alive for k in range(forks["per_trunk"])]
    domains = setting.target_domains.cpu().numpy() if setting.target_domains is not None else None
    device, truth = setting.machine.device, truth_of(setting.problem, "target")

    def work(part: list[tuple[int, int]], width: int) -> list[tuple[int, int, int, str, float]]:
        group = Group.filled([trunks[i] for i, _ in part], width, [(depth, k) for _, k in part])
        bank = Bank(setting.problem.parameters, width, config["optimiser"], device)
        bank.load(states, [i for i, _ in part] + [part[-1][0]] * (width - len(part)))
        loop.advance(config, setting, bank, group, depth, config["horizon"])
        answers = loop.answers(setting, bank, "target", decoding_keys(config, group)).numpy()
        failed = (bank.failed_at >= 0).tolist()
        made = []
        for j, (i, k) in enumerate(part):
            outcome = target_outcome(
                config,
                trunks[i].seed,
                answers[j, 0],
                answers[j, 1],
                domains,
                fork_domain(config, trunks[i], (depth, k), setting.domains),
                setting.problem.classes,
                (depth, k),
                score=score_of(setting.problem),
                predicted=answers[j, 2] if truth is not None else None,
                truth=truth,
            )["target"]
            bad = failed[j] or not np.isfinite(outcome["loss_pool"])
            for metric in metrics_of(setting.problem):
                made.append((trunks[i].seed, depth, k, metric, float("nan") if bad else outcome[metric]))
        return made

    records: list[tuple[int, int, int, str, float]] = []
    done, begun = 0, time.monotonic()
    for part, made in engine.share(jobs, cut_evenly, work):
        records += made
        done, spent = done + len(part), time.monotonic() - begun
        report(
            f"{config['task']}: {done} of {len(jobs)} forks from depth {depth}, {spent:.0f} s, "
            f"about {spent / done * (len(jobs) - done):.0f} s to go"
        )
    return records


def _trunk_states(
    config: dict[str, Any], setting: Setting, trunks: list[Draw], depth: int, engine: Engine
) -> dict[str, torch.Tensor]:
    """The trunks' states at a depth, on the CPU: from their checkpoints, or trained to there."""
    config = settled(config, setting.machine)
    base = checkpoint.opened(config, setting.weights, checkpoint.protocol(setting.machine))
    until = [d for d in depths(config) if d < depth] + [depth]

    def work(part: list[Draw], width: int) -> dict[str, torch.Tensor]:
        group = Group.filled(part, width)
        bank = Bank(setting.problem.parameters, width, config["optimiser"], setting.machine.device)
        with Hold(base, group.seeds, engine.times, engine.report, config["task"]) as hold:
            for _ in loop.reach(config, setting, bank, group, hold, until, False):
                pass
        return {k: v[: group.real].cpu().clone() for k, v in bank.state().items()}

    parts = [state for _, state in engine.share(trunks, cut_runs, work)]
    return {k: torch.cat([p[k] for p in parts]) for k in parts[0]}
