"""From a crossed task's runs, or the case with known components, to the table `sources`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from prehoc import tables
from prehoc.errors import InputError
from prehoc.risk.sources import HIGHER, MIN_BLOCKS, REST, TOTAL, Decomposition
from prehoc.tables.scales import rows_of

ENDINGS = ("", "_low", "_high")


def outcomes_of(runs: pd.DataFrame, metric: str, horizon: int) -> np.ndarray:
    """R of runs 0, 1, ... [runs] from a runs table, nan where a run failed.

    Raises InputError where a run's R is missing.
    """
    rows = rows_of(runs[(runs["split"] == "target") & (runs["depth"] == horizon)], metric)
    rows = rows.sort_values("seed")
    seeds = rows["seed"].to_numpy()
    if not len(seeds) or (seeds != np.arange(len(seeds))).any():
        raise InputError(
            f"runs table: {metric} at depth {horizon} is not there for runs 0, 1, ... without a gap; "
            "collect the task's runs again"
        )
    return rows["value"].where(~rows["failure"]).to_numpy(float)


def _note(name: str, value: float, found: Decomposition, rest: bool) -> str:
    said = []
    if name == TOTAL:
        said.append(f"variance of all runs {found.pooled:.4g}")
        if found.dropped:
            said.append(f"{found.dropped} of {found.blocks + found.dropped} blocks lost to failed runs")
        if found.blocks < MIN_BLOCKS:
            said.append(f"under {MIN_BLOCKS} blocks: no intervals")
        if rest:
            said.append("total effects leave out the rest")
    elif name == REST:
        said.append("what is not crossed, and the interaction of all that is")
    elif name == HIGHER:
        said.append("interactions of three or more")
    if value < 0:
        said.append("negative estimate of a variance near zero, kept")
    return "; ".join(said)


def sources_table(
    task: str,
    found: Decomposition,
    *,
    rest: bool,
    truth: Mapping[str, float] | None = None,
    effects: Mapping[str, float] | None = None,
) -> pd.DataFrame:
    """The table `sources` of one task; `truth` and `effects` are known components and total effects."""
    rows: list[dict[str, Any]] = []
    for source in found.sources:
        row: dict[str, Any] = {"task": task, "source": source.name, "order": source.order}
        for name in ("component", "share", "total_effect"):
            numbers = getattr(source, name)
            row |= {f"{name}{end}": v for end, v in zip(ENDINGS, numbers, strict=True)}
        row["blocks"] = found.blocks
        row["truth"] = (truth or {}).get(source.name, np.nan)
        row["truth_total_effect"] = (effects or {}).get(source.name, np.nan)
        row["note"] = _note(source.name, source.component.value, found, rest)
        rows.append(row)
    return tables.check("sources", pd.DataFrame(rows))
