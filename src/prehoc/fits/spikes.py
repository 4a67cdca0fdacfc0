"""Spikes in the runs' curves: single values far off a run's neighbours.

The decay law speaks of the locally regular regime; loss spikes lie outside it (the paper says so of
its bound).  A value is compared with the line between its neighbours in the run, in units of the
spread that such differences have over runs, all depths together and at its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prehoc.fits.curves import Curves

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

FAR = 8.0  # robust standard deviations
MOST = 0.1  # the share of runs with spikes from which no decay law is fitted
_TO_SD = 1.4826  # the median absolute deviation of a normal law, to its standard deviation


@dataclass(frozen=True)
class Spikes:
    """Which values are spikes [N, D], at which of `depth` [D]."""

    at: Flags
    depth: NDArray[np.int64]

    @property
    def runs(self) -> int:
        """How many runs have one."""
        return int(self.at.any(axis=1).sum())

    def as_dict(self, handling: str) -> dict[str, Any]:
        """For the verdict; `handling` says what became of them: set aside, or kept."""
        count = int(self.at.sum())
        where = [int(d) for d in self.depth[self.at.any(axis=0)]]
        said = "No spikes."
        if count:
            said = f"{count} spike{'s' * (count > 1)} in {self.runs} of {len(self.at)} runs, {handling}."
        return {"count": count, "runs": self.runs, "depths": where, "in_words": said}


def outliers(values: Array) -> Flags:
    """Which values [N] lie more than 8 robust standard deviations off their median."""
    centre = np.median(values)
    scale = _TO_SD * float(np.median(np.abs(values - centre)))
    return np.abs(values - centre) > FAR * scale if scale > 0 else np.zeros(len(values), bool)


def find_spikes(curves: Curves) -> Spikes:
    """Values more than 8 robust standard deviations off the line between their neighbours.

    Neighbours are a run's measured values before and after, the line linear in log depth; the first
    and last value of a run have none on one side and are no spikes.  Differences are centred by depth (a
    curve bends for all runs).  Nothing is a spike where under 5 runs are measured.
    """
    value = curves.value
    at = np.zeros(value.shape, bool)
    off = _off_the_line(curves.depth, value)
    centre = np.array([np.median(c[np.isfinite(c)]) if np.isfinite(c).any() else np.nan for c in off.T])
    off = off - centre
    known = np.isfinite(off)
    if known.any(axis=1).sum() < 5:
        return Spikes(at, curves.depth)
    whole = _TO_SD * float(np.median(np.abs(off[known])))
    own = np.array(
        [
            _TO_SD * np.median(np.abs(c[k])) if k.sum() >= 5 else whole
            for c, k in zip(off.T, known.T, strict=True)
        ]
    )
    scale = np.maximum(own, whole)
    if not whole > 0:
        return Spikes(at, curves.depth)
    z = np.abs(off / scale)
    for i in np.flatnonzero(np.any(np.where(known, z, 0.0) > FAR, axis=1)):
        seen = np.flatnonzero(known[i])
        size = np.concatenate([[0.0], z[i, seen], [0.0]])
        peak = (size[1:-1] >= size[:-2]) & (size[1:-1] >= size[2:])  # not the neighbour of one
        at[i, seen] = peak & (z[i, seen] > FAR)
    return Spikes(at, curves.depth)


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
