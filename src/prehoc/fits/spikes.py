"""Spikes in the runs' curves: single values far off a run's neighbours.

The rule is that of risk/spikes.py, as for the workflow's own tasks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prehoc.fits.curves import Curves
from prehoc.risk.spikes import FAR, TO_SD, spike_flags

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

MOST = 0.1  # the share of runs with spikes from which no decay law is fitted


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
    scale = TO_SD * float(np.median(np.abs(values - centre)))
    return np.abs(values - centre) > FAR * scale if scale > 0 else np.zeros(len(values), bool)


def find_spikes(curves: Curves) -> Spikes:
    """The spikes of the runs' curves by `risk.spikes.spike_flags`."""
    return Spikes(spike_flags(curves.depth, curves.value), curves.depth)
