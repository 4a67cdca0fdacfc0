"""Outputs on probe examples: what each run says of the first validation examples, at every depth.

Evaluation gives the loss of every validation example already, for every kind of problem, and a loss is
minus the log-probability of the right answer: nothing more is computed, and no other number moves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch

from prehoc import tables

Part = tuple[list[int], int, np.ndarray]  # seeds, depth, log-probabilities [S, E]


def examples_of(config: Mapping[str, Any]) -> int:
    """How many validation examples a task's `train` stage records; 0 for none."""
    return int(config["outputs"]["examples"]) if config["outputs"] else 0


def lacking(config: Mapping[str, Any], kept: Mapping[str, torch.Tensor]) -> bool:
    """Whether what was kept of a depth holds fewer examples than are asked for."""
    held = kept["outputs"].shape[1] if "outputs" in kept else 0
    return held < examples_of(config)


def part(
    config: Mapping[str, Any], seeds: list[int], depth: int, losses: torch.Tensor, failed: set[int]
) -> Part:
    """The outputs of runs `seeds` at a depth from losses [S, >= E] in nats; NaN for the failed ones."""
    values = -losses[:, : examples_of(config)].numpy()
    values[[i for i, seed in enumerate(seeds) if seed in failed]] = np.nan
    return seeds, depth, values


def outputs_frame(task: str, parts: Sequence[Part]) -> pd.DataFrame:
    """The table `outputs` of a task's parts; empty without any."""
    if not parts:
        return tables.empty("outputs")
    frames = []
    for seeds, depth, values in parts:
        runs, examples = values.shape
        columns = {
            "task": task,
            "seed": np.repeat(np.asarray(seeds, np.int64), examples),
            "depth": depth,
            "example": np.tile(np.arange(examples), runs),
            "value": values.ravel(),
        }
        frames.append(pd.DataFrame(columns))
    return pd.concat(frames, ignore_index=True)
