"""Signals: what training notes of a run beside its metrics, at the start and at every depth.

Sums of losses and gradient norms are part of a bank's state; all else is looked at where a depth is
measured, and kept with its checkpoint. No number of any other table depends on any of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch

from prehoc import tables
from prehoc.tasks.problem import Problem
from prehoc.tasks.streams import generator
from prehoc.training.bank import Bank
from prehoc.training.optimisers import Layout
from prehoc.training.records import metrics_of

Part = tuple[list[int], int, list[str], np.ndarray]  # seeds, depth, names, values [S, K]

HEADER = 2  # what a look depends on, before its values: the depth before, and the number of examples
PLAIN = ("distance", "weight_norm", "curvature")
STEP = 0.1  # of a run's distance from its start: how far along its way the loss is probed
_BLOCK = 1 << 20  # numbers of a parameter taken at a time


def asked(config: Mapping[str, Any]) -> dict[str, int] | None:
    """What a task's `train` stage records of signals; None for nothing."""
    found: dict[str, int] | None = config.get("signals")
    return found


def unsummed(state: Mapping[str, torch.Tensor]) -> bool:
    """Whether sums of a sound run's losses and norms are not known: a checkpoint of an older version's."""
    return bool(torch.isnan(state["sums"]).any(1)[state["failed_at"] < 0].any())


def lacking(config: Mapping[str, Any], kept: Mapping[str, torch.Tensor], before: int) -> bool:
    """Whether what was kept of a depth lacks the look that is asked for; `before` is the depth before."""
    wanted = asked(config)
    if wanted is None:
        return False
    if "signals" not in kept or (before == 0 and "start" not in kept):
        return True
    width = HEADER + len(_looked(wanted))
    header = torch.tensor([before, wanted["curvature_examples"]], dtype=torch.float64)
    look = kept["signals"]
    return look.shape[1] != width or not bool((look[:, :HEADER] == header).all())


def _looked(wanted: Mapping[str, int]) -> list[str]:
    return [*PLAIN, *(f"projection_{i}" for i in range(wanted["projections"]))]


class Trace:
    """A bank's past, as far as signals need it: where its runs started, and where they last were."""

    def __init__(self, config: dict[str, Any], problem: Problem, bank: Bank, real: int) -> None:
        self.config, self.problem, self.bank, self.real = config, problem, bank, real
        wanted = asked(config)
        assert wanted is not None
        self.projections, self.examples = wanted["projections"], wanted["curvature_examples"]
        self.start, self.before = bank.values.clone(), bank.values.clone()
        self.sums, self.at = bank.sums.clone(), 0

    def look(self, losses: torch.Tensor) -> torch.Tensor:
        """What is seen of the real runs where they are, by their validation losses [S, n]: [S, K], fp64."""
        bend = self._curvature(_means(losses[:, : self.examples]))
        values = self.bank.values[: self.real].cpu().numpy()
        seen = measures(
            self.bank.layout,
            values,
            self.start[: self.real].cpu().numpy(),
            self.projections,
            (self.config["seed"], self.config["task"]),
        )
        header = np.tile([float(self.at), float(self.examples)], (self.real, 1))
        made = np.column_stack([header, seen[:, :2], bend, seen[:, 2:]])
        return torch.from_numpy(made)

    def _curvature(self, base: np.ndarray) -> np.ndarray:
        """Second differences of the loss [S] along the way since the depth before; NaN where it is none.

        (L(theta + d) - 2 L(theta) + L(theta - d)) / |d|^2, with d along theta - theta_before and as long as
        STEP of the way from the start.
        """
        probe = getattr(self.problem, "probe", None)
        if probe is None:
            return np.full(self.real, np.nan)
        values = self.bank.values
        here = values.clone()
        with torch.inference_mode():
            move = here - self.before
            length = STEP * torch.linalg.vector_norm(here - self.start, dim=1)
            move.mul_((length / torch.linalg.vector_norm(move, dim=1))[:, None])
            sides = []
            try:
                for sign in (1.0, -1.0):
                    values.copy_(here).add_(move, alpha=sign)
                    sides.append(_means(probe(self.bank.theta, self.examples)[: self.real]))
            finally:
                values.copy_(here)
        made: np.ndarray = (sides[0] - 2 * base + sides[1]) / _squares(length[: self.real])
        return made

    def passed(self, depth: int) -> dict[str, torch.Tensor]:
        """Mean loss and gradient norm [S, 2] since the depth before, and both of step 0; then move on."""
        now = self.bank.sums.clone()
        made = {
            "stretch": ((now - self.sums)[: self.real, :2] / (depth - self.at)).cpu(),
            "first": now[: self.real, 2:].cpu(),
        }
        self.sums, self.at = now, depth
        self.before.copy_(self.bank.values)
        return made


def _means(losses: torch.Tensor) -> np.ndarray:
    """Means [S] of losses [S, n], one run after another: no bit depends on how many there are."""
    return np.array([run.mean() for run in losses.cpu().double().numpy()])


def _squares(length: torch.Tensor) -> np.ndarray:
    """Squares of lengths [S]; NaN for no length."""
    squares = length.cpu().double().square().numpy()
    return np.where(squares > 0, squares, np.nan)


def measures(
    layout: Layout, values: np.ndarray, start: np.ndarray, count: int, names: tuple[int, str]
) -> np.ndarray:
    """Distance from the start, norm, and coordinates [S, 2 + count] of weights [S, P], fp64.

    Each trained number belongs to one of `count` directions, with a sign, both drawn from the stream of
    (root seed, task) and a parameter: the directions are orthonormal and the same for all runs. It is a
    sparse random projection (Charikar et al. 2002; Weinberger et al. 2009), scaled to unit directions.
    """
    runs = len(values)
    squares, sums, sizes = np.zeros((runs, 2)), np.zeros((runs, count)), np.zeros(count)
    for index, span in enumerate(layout.spans):
        rng = generator(*names, index, "projection")
        for first in range(span.start, span.stop, _BLOCK):
            part = slice(first, min(first + _BLOCK, span.stop))
            place = rng.integers(count, size=part.stop - first)
            sign = 2.0 * rng.integers(2, size=part.stop - first) - 1
            sizes += np.bincount(place, minlength=count)
            for s in range(runs):  # run by run, so that no bit depends on a bank's width or a slot
                own = values[s, part].astype(np.float64)
                squares[s] += np.square(own - start[s, part]).sum(), np.square(own).sum()
                sums[s] += np.bincount(place, own * sign, count)
    return np.hstack([np.sqrt(squares), sums / np.sqrt(np.maximum(sizes, 1))])


def parts(
    config: Mapping[str, Any],
    problem: Problem,
    seeds: list[int],
    depth: int,
    kept: Mapping[str, torch.Tensor],
    failed: set[int],
) -> list[Part]:
    """A bank's signals at a depth and, with the first one, at depth 0; NaN for runs that `failed`.

    There is no curvature of a problem that cannot probe its loss.
    """
    wanted = asked(config)
    if wanted is None:
        return []
    made: list[Part] = []
    if int(kept["signals"][0, 0]) == 0:
        names = [*(f"val_{name}" for name in metrics_of(problem)), "train_loss", "grad_norm"]
        made.append((seeds, 0, names, torch.cat([kept["start"], kept["first"]], 1).numpy()))
    names = ["train_loss", "grad_norm", *_looked(wanted)]
    values = torch.cat([kept["stretch"], kept["signals"][:, HEADER:]], 1).numpy()
    values[[i for i, seed in enumerate(seeds) if seed in failed]] = np.nan
    if not hasattr(problem, "probe"):
        bend = names.index("curvature")
        names, values = names[:bend] + names[bend + 1 :], np.delete(values, bend, 1)
    made.append((seeds, depth, names, values))
    return made


def signals_frame(task: str, made: Sequence[Part]) -> pd.DataFrame:
    """The table `signals` of a task's parts; empty without any."""
    frames = []
    for seeds, depth, names, values in made:
        columns = {
            "task": task,
            "seed": np.repeat(np.asarray(seeds, np.int64), len(names)),
            "depth": depth,
            "signal": np.tile(np.asarray(names, object), len(seeds)),
            "value": values.astype(np.float32).ravel(),
        }
        frames.append(pd.DataFrame(columns))
    return pd.concat(frames, ignore_index=True) if frames else tables.empty("signals")
