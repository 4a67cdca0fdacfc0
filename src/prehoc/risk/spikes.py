"""Spikes in the runs' curves: single values far off a run's neighbours.

The decay law speaks of the locally regular regime; loss spikes lie outside it (the paper says so of
its bound).  A value is compared with the line between its neighbours in the run, in units of the
spread that such differences have over runs, all depths together and at its own.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

FAR = 8.0  # robust standard deviations
TO_SD = 1.4826  # the median absolute deviation of a normal law, to its standard deviation
FEWEST = 3  # depths: under it no value has a neighbour on both sides


def spikes_of(runs: pd.DataFrame, metric: str) -> dict[str, Any] | None:
    """For a task's verdict: runs with a spike on the validation set, and at which depths.

    `runs`: one task's table, as measured.  Seen is the loss where it is measured, else `metric`; None
    where neither is, or under three depths.
    """
    val = runs[runs["split"] == "val"]
    seen = next((m for m in ("loss", metric) if (val["metric"] == m).any()), None)
    if seen is None:
        return None
    wide = val[(val["metric"] == seen) & (val["depth"] > 0)].pivot_table(
        index="seed", columns="depth", values="value", dropna=False
    )
    if wide.shape[1] < FEWEST:
        return None
    depth = wide.columns.to_numpy(np.int64)
    at = spike_flags(depth, wide.to_numpy(float))
    some, total = int(at.any(axis=1).sum()), len(at)
    where = [int(d) for d in depth[at.any(axis=0)]]
    said = None
    if some:
        said = (
            f"{some} of {total} runs have a spike in their validation {seen} (depth "
            f"{', '.join(map(str, where))}); the decay law speaks of regular training, and they "
            "are in what it was fitted to"
        )
    return {"metric": seen, "runs": some, "share": some / total, "depths": where, "in_words": said}


def spike_flags(depth: NDArray[np.int64], value: Array) -> Flags:
    """Which of values [N, D] at depths [D] > 0 are spikes: 8 robust standard deviations off their line.

    The line runs, linear in log depth, between a value's neighbours, the run's measured values before and
    after; the first and last value of a run have none on one side and are no spikes.  Differences are
    centred by depth (a curve bends for all runs).  Nothing is a spike where under 5 runs are measured.
    """
    at = np.zeros(value.shape, bool)
    off = _off_the_line(depth, value)
    centre = np.array([np.median(c[np.isfinite(c)]) if np.isfinite(c).any() else np.nan for c in off.T])
    off = off - centre
    known = np.isfinite(off)
    if known.any(axis=1).sum() < 5:
        return at
    whole = TO_SD * float(np.median(np.abs(off[known])))
    own = np.array(
        [
            TO_SD * np.median(np.abs(c[k])) if k.sum() >= 5 else whole
            for c, k in zip(off.T, known.T, strict=True)
        ]
    )
    scale = np.maximum(own, whole)
    if not whole > 0:
        return at
    z = np.abs(off / scale)
    for i in np.flatnonzero(np.any(np.where(known, z, 0.0) > FAR, axis=1)):
        seen = np.flatnonzero(known[i])
        size = np.concatenate([[0.0], z[i, seen], [0.0]])
        peak = (size[1:-1] >= size[:-2]) & (size[1:-1] >= size[2:])  # not the neighbour of one
        at[i, seen] = peak & (z[i, seen] > FAR)
    return at


def _off_the_line(depth: NDArray[np.int64], value: Array) -> Array:
    """Each value less the line between the run's neighbouring values  [N, D]; nan at a run's ends."""
    made = np.full(value.shape, np.nan)
    x = np.log(depth.astype(float))
    for i, row in enumerate(value):
        seen = np.flatnonzero(np.isfinite(row))
        if len(seen) < 3:
            continue
        left, mid, right = seen[:-2], seen[1:-1], seen[2:]
        t = (x[mid] - x[left]) / (x[right] - x[left])
        made[i, mid] = row[mid] - ((1 - t) * row[left] + t * row[right])
    return made
