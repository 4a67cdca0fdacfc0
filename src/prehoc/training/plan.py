"""What a bank trains on: which runs it holds, their batches, their dropout keys, the depths to reach."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch

from prehoc.tasks.population import Draw, draw_run
from prehoc.tasks.streams import generator
from prehoc.training.problems import Setting

Item = TypeVar("Item")
Origin = tuple[int, int]  # (depth, k): continuation k from `depth`


@dataclass
class Group:
    """One bank's runs: real ones first, then dummies; `origins` is None for trunks."""

    draws: list[Draw]
    real: int
    origins: list[Origin] | None = None

    @classmethod
    def filled(cls, draws: list[Draw], width: int, origins: list[Origin] | None = None) -> Group:
        """A bank of `width` runs, filled up with repeats of the last."""
        more = width - len(draws)
        begun = origins + [origins[-1]] * more if origins else None
        return cls(draws + [draws[-1]] * more, len(draws), begun)

    @property
    def seeds(self) -> list[int]:
        """Seeds of the real runs."""
        return [d.seed for d in self.draws[: self.real]]

    def begun(self) -> list[Origin | None]:
        """Each run's origin: None for a trunk."""
        return list(self.origins) if self.origins else [None] * len(self.draws)


def batches(config: dict[str, Any], draw: Draw, origin: Origin | None, start: int, end: int) -> np.ndarray:
    """Training rows [end - start, batch] of steps start..end-1: epochs of reshuffled data.

    A fork's order begins anew at its depth, from a stream of its own.
    """
    crossed = config["crossed"]
    rng = generator(config["seed"], config["task"], draw.seed, "order", origin, crossed)
    begin = origin[0] if origin else 0
    size = draw.batch_size
    need, rows = (end - begin) * size, [np.empty(0, np.int64)]
    while sum(map(len, rows)) < need:
        rows.append(rng.permutation(draw.pool))
    return np.concatenate(rows)[(start - begin) * size : need].reshape(end - start, size)


def dropout_keys(config: dict[str, Any], group: Group) -> torch.Tensor:
    """A key a run [S] below 2^31, from its `dropout` stream."""
    origins = group.begun()
    root, task, crossed = config["seed"], config["task"], config["crossed"]
    keys = [
        int(generator(root, task, d.seed, "dropout", o, crossed).integers(1 << 31))
        for d, o in zip(group.draws, origins, strict=True)
    ]
    return torch.tensor(keys)


def decoding_keys(config: dict[str, Any], group: Group) -> torch.Tensor | None:
    """A key a run [S] below 2^31, from its `decoding` stream; None where no text is sampled."""
    block = config.get("generation")
    if not block or block["decoding"]["kind"] != "sample":
        return None
    root, task, crossed = config["seed"], config["task"], config["crossed"]
    keys = [
        int(generator(root, task, d.seed, "decoding", o, crossed).integers(1 << 31))
        for d, o in zip(group.draws, group.begun(), strict=True)
    ]
    return torch.tensor(keys)


def widest(config: dict[str, Any]) -> int:
    """The largest batch that a run of the task may draw: the width of all its banks' batches.

    Taken from the config and not from the bank's own runs, whose company would else show in the
    rounding of their sums.
    """
    factor = config["population"].get("batch_size")
    return int(max(factor["choice"])) if factor else int(config["optimiser"]["batch_size"])


def drawn(config: dict[str, Any], setting: Setting, seeds: Sequence[int]) -> list[Draw]:
    """What each of the runs draws of its population."""
    labels = setting.problem.labels
    known = labels.cpu().numpy() if labels is not None else None
    return [
        draw_run(
            config,
            s,
            known,
            setting.problem.rows("train"),
            setting.problem.classes,
            setting.domains,
        )
        for s in seeds
    ]


def cut_runs(draws: Sequence[Draw], width: int) -> list[list[Draw]]:
    """Runs in blocks of seeds that share a bank: cut at multiples of its width."""
    blocks: dict[int, list[Draw]] = {}
    for draw in draws:
        blocks.setdefault(draw.seed // width, []).append(draw)
    return list(blocks.values())


def cut_evenly(items: Sequence[Item], width: int) -> list[list[Item]]:
    """Consecutive parts of `width` items, the last one of what is left."""
    return [list(items[a : a + width]) for a in range(0, len(items), width)]


def depths(config: dict[str, Any]) -> list[int]:
    """The depths at which runs are measured, the horizon among them."""
    return sorted({*config["depths"], config["horizon"]})
