"""From what was measured of a bank at a depth to records: rows of the runs table."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from prehoc.tasks.population import target_outcome
from prehoc.training.bank import Bank
from prehoc.training.plan import Group
from prehoc.training.problems import Setting

Record = tuple[int, int, str, str, float, bool]  # seed, depth, split, metric, value, failure


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
    records: list[Record] = []
    for i, draw in enumerate(group.draws[: group.real]):
        correct, loss = measured["val"][i].tolist()
        values = {("val", "accuracy"): correct, ("val", "loss"): loss}
        if depth == config["horizon"]:
            right, losses = measured["target"][i].numpy()
            domain, classes = draw.target_domain, setting.problem.classes
            outcome = target_outcome(config, draw.seed, right, losses, domains, domain, classes)
            values |= {(split, name): v for split, made in outcome.items() for name, v in made.items()}
        bad = bool(failed[i]) or not all(np.isfinite(v) for v in values.values())
        for (split, metric), value in values.items():
            records.append((draw.seed, depth, split, metric, float("nan") if bad else value, bad))
    return records
