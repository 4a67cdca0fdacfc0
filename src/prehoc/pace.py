"""How long training takes, from what it left: the times of checkpoints, and benchmark files."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np


class Pace:
    """Seconds a run from one depth to the next: the median over banks; `depths` rise."""

    def __init__(self, depths: list[int]) -> None:
        self.depths = depths
        self.stretches: dict[int, list[float]] = {}  # index of the depth reached -> seconds a run
        self.whole: list[float] = []  # seconds a run, of finished shards

    def bank(self, times: Mapping[int, float], runs: int) -> None:
        """Take up a bank of `runs` runs: when (in seconds) it reached each depth that it has reached."""
        for i in range(1, len(self.depths)):
            before, at = times.get(self.depths[i - 1]), times.get(self.depths[i])
            if before is not None and at is not None and at > before:  # else one was measured again
                self.stretches.setdefault(i, []).append((at - before) / runs)

    def shard(self, benchmark: Path, runs: int) -> None:
        """Take up a finished shard of `runs` runs, where Snakemake's benchmark file of it is there."""
        try:
            with benchmark.open(newline="") as stream:
                self.whole += [float(row["s"]) / runs for row in csv.DictReader(stream, delimiter="\t")]
        except (OSError, ValueError, KeyError, TypeError):
            return

    def seconds(self) -> np.ndarray | None:
        """Seconds a run to each depth [D] from the one before (0 before the first); None if unknown.

        A stretch that no bank has finished is taken at the seconds a step of the deepest that one has;
        the first, whose beginning nothing records, at those of the shallowest.
        """
        if not self.stretches:
            return None
        steps = np.diff([0, *self.depths])
        known = {i: float(np.median(seconds)) for i, seconds in self.stretches.items()}
        low, high = min(known), max(known)
        made = [
            known.get(i, steps[i] * known[low if i < low else high] / steps[low if i < low else high])
            for i in range(len(steps))
        ]
        return np.array(made)

    def left(self, open_: np.ndarray) -> float | None:
        """Seconds of one job's work for what is open [runs, D]; None where there is nothing to go by."""
        each = self.seconds()
        if each is not None:
            return float((open_ * each).sum())
        if self.whole:
            return float(np.median(self.whole) * open_[:, -1].sum())
        return None
