"""A task block in the making: sizes of splits, lengths, depths and horizon, and the whole of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from prehoc.errors import InputError
from prehoc.newtask.adapt import Way, way
from prehoc.newtask.guess import Measure
from prehoc.newtask.look import SAMPLE, Table

MIN_ROWS = 40  # fewer leave too little to measure on
MOST = {"train": 4000, "val": 500, "target": 1000}
MOST_WRITTEN = {"train": 1000, "val": 32, "target": 100}  # texts are decoded at every depth
LONGEST, LONGEST_WRITTEN = 256, 1024  # tokens
EPOCHS = 3  # that a run trains, if the bounds of the horizon allow
HORIZON = (64, 256)
BATCH, BATCH_WRITTEN = 16, 8  # defaults in config.yaml
CODE = ({"prompt", "test", "entry_point"}, {"test_list"})  # columns of HumanEval, MBPP
ENCODER, DECODER = "packaged:minilm-l3", "packaged:smollm2"


@dataclass(frozen=True)
class Asked:
    """What the user gave: names of data and model, columns, kind, what of the data's own is named."""

    data: str
    model: str | None = None
    text: tuple[str, ...] = ()
    label: str | None = None
    kind: str | None = None
    subset: str | None = None
    revision: str | None = None


@dataclass(frozen=True)
class Draft:
    """A task block with comments, and what a person should know of how it came about."""

    block: dict[str, Any]
    comments: dict[str, str]  # by dotted key
    remarks: list[str]


def sizes(rows: int, most: dict[str, int]) -> dict[str, int]:
    """Rows of train, val and target out of one pool of `rows`: a tenth, a quarter, and the rest."""
    val = min(most["val"], max(8, round(0.1 * rows)))
    target = min(most["target"], max(8, round(0.25 * rows)))
    return {"train": min(most["train"], rows - val - target), "val": val, "target": target}


def cut_of(frame: pd.DataFrame, table: Table, most: dict[str, int]) -> dict[str, int]:
    """Rows of each split, where the data name their own too.  Raises InputError for an empty split."""
    if table.splits is None:
        return sizes(len(frame), most)
    counts = frame["__split__"].value_counts()
    have = {ours: sum(int(n) for key, n in counts.items() if ours in str(key).split("+")) for ours in most}
    made = {ours: min(most[ours], have[ours]) for ours in most}
    if table.splits["val"] == table.splits["train"]:
        made["val"] = min(most["val"], max(1, have["train"] // 8))
        made["train"] = min(most["train"], have["train"] - made["val"])
    empty = [ours for ours, n in made.items() if n < 1]
    if empty:
        raise InputError(f"--data: split {table.splits[empty[0]]!r} has no rows with text and label")
    return made


def schedule(train: int, batch: int) -> tuple[list[int], int]:
    """Depths, doubling, and the horizon: a power of two of about EPOCHS epochs, within HORIZON."""
    wanted = max(1, EPOCHS * train // batch)
    horizon = int(min(max(2 ** math.ceil(math.log2(wanted)), HORIZON[0]), HORIZON[1]))
    return [2**i for i in range(int(math.log2(horizon)))], horizon


def length_of(counts: np.ndarray, quantile: float, most: int) -> int:
    """Tokens that hold this share of the texts, rounded up to 8."""
    need = float(np.quantile(counts, quantile))
    return int(min(max(8 * math.ceil(need / 8), 16), most))


def some(texts: list[str]) -> list[str]:
    """SAMPLE of the texts, evenly spread."""
    return texts[:: max(1, len(texts) // SAMPLE)]


def data_block(asked: Asked, more: dict[str, Any]) -> dict[str, Any]:
    """The `data` block: the name, what else of the data was named, and `more`."""
    own = {"subset": asked.subset, "revision": asked.revision}
    return {"name": asked.data, **{k: v for k, v in own.items() if v is not None}, **more}


def model_block(name: str, length: int | None) -> dict[str, Any]:
    """The `model` block."""
    return {"name": name} if length is None else {"name": name, "max_length": length}


def finished(
    asked: Asked,
    kind: str,
    data: dict[str, Any],
    cut: dict[str, int],
    model: str,
    length: int | None,
    chosen: Measure,
    comments: dict[str, str],
    remarks: list[str],
    generation: dict[str, Any] | None = None,
) -> Draft:
    """The block whole: method by model, depths and horizon by the rows, runs."""
    how: Way = way(model, generation is not None)
    batch = BATCH if generation is None else BATCH_WRITTEN
    depths, horizon = schedule(cut["train"], batch)
    block: dict[str, Any] = {"kind": kind, "data": {**data, **cut}, "model": model_block(model, length)}
    if generation is not None:
        block["generation"] = generation
    if how.method is not None:
        block["method"] = how.method
    if how.optimiser is not None:
        block["optimiser"] = how.optimiser
    if chosen.metric != ("accuracy" if generation is None else "exact_match"):
        block["outcome"] = {"metric": chosen.metric}
    block |= {"runs": 64, "depths": depths, "horizon": horizon}
    comments = {
        **comments,
        "method": how.why,
        "optimiser": "a rate to begin with; check-task says whether it learns",
        "outcome": f"what R is: {chosen.why}",
        "runs": "seeds; more make the intervals narrower",
        "depths": "steps at which runs are measured",
        "horizon": f"steps; {horizon * batch / cut['train']:.1f} epochs of batches of {batch}",
    }
    if model != asked.model:
        remarks = [*remarks, f"model {model}, as none was named"]
    return Draft(block, comments, remarks)
