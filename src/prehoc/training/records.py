"""From what was measured of a bank at a depth to records: rows of the runs table."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from prehoc.tasks.metrics import Truth
from prehoc.tasks.population import target_outcome
from prehoc.tasks.problem import Problem
from prehoc.training.bank import Bank
from prehoc.training.plan import Group
from prehoc.training.problems import Setting

Record = tuple[int, int, str, str, float, bool]  # seed, depth, split, metric, value, failure


def score_of(problem: Problem) -> str | None:
    """What a problem's score of an example is called in tables: accuracy by default; None for no score."""
    name: str | None = getattr(problem, "score_name", "accuracy")
    return name


def truth_of(problem: Problem, split: str) -> Truth | None:
    """What a problem's predictions are held against, where metrics are made of them."""
    truth: Truth | None = problem.truth(split) if hasattr(problem, "truth") else None
    return truth


def metrics_of(problem: Problem) -> list[str]:
    """The metrics that a problem measures: its score, its loss, and those of its predictions."""
    score, truth = score_of(problem), truth_of(problem, "val")
    return [*([score] if score else []), "loss", *(truth.metrics if truth else ())]


def val_metrics(problem: Problem, answers: torch.Tensor) -> torch.Tensor:
    """Metrics [S, K], in the order of `metrics_of`, of answers [S, 2 or 3, n] on the validation split."""
    means = answers[:, :2].mean(2).double()
    made = list((means if score_of(problem) else means[:, 1:]).unbind(1))
    truth = truth_of(problem, "val")
    if truth is not None:
        made += [torch.from_numpy(v) for v in truth.measure(answers[:, 2].numpy()).values()]
    return torch.stack(made, 1)


def records_of(
    config: dict[str, Any],
    setting: Setting,
    bank: Bank,
    group: Group,
    depth: int,
    measured: dict[str, torch.Tensor],
) -> list[Record]:
    """Records of a bank's real runs at a depth; a failed run's values are NaN."""
    failed = (bank.failed_at >= 0).cpu().numpy()
    domains = setting.target_domains.cpu().numpy() if setting.target_domains is not None else None
    names, score = metrics_of(setting.problem), score_of(setting.problem)
    truth = truth_of(setting.problem, "target")
    records: list[Record] = []
    for i, draw in enumerate(group.draws[: group.real]):
        values = {("val", name): v for name, v in zip(names, measured["val"][i].tolist(), strict=True)}
        if depth == config["horizon"]:
            told = measured["target"][i].numpy()
            outcome = target_outcome(
                config,
                draw.seed,
                told[0],
                told[1],
                domains,
                draw.target_domain,
                setting.problem.classes,
                score=score,
                predicted=told[2] if truth is not None else None,
                truth=truth,
            )
            values |= {(split, name): v for split, made in outcome.items() for name, v in made.items()}
        bad = bool(failed[i]) or not all(np.isfinite(v) for v in values.values())
        for (split, metric), value in values.items():
            records.append((draw.seed, depth, split, metric, float("nan") if bad else value, bad))
    return records
