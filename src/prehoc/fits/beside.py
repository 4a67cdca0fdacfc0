"""What a fitted task knows beside its risk over depth: static information's and forks', and its verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import f as f_law

Array = NDArray[np.float64]

LEVEL = 0.05  # a risk is below Var R where chance would make it so more rarely than this
WITH_START = "static+prefix"


@dataclass(frozen=True)
class Level:
    """A risk with its interval [low, high], in squared units of R."""

    risk: float
    low: float
    high: float


@dataclass(frozen=True)
class Forks:
    """What forks leave at measured `depth` [D]: risk with its interval, all [D], squared units of R."""

    depth: Array
    risk: Array
    low: Array
    high: Array

    def at(self, depth: float) -> Level | None:
        """The risk at a depth, linear in log c between the measured ones; None outside of them."""
        if not self.depth[0] <= depth <= self.depth[-1]:
            return None
        made = [np.interp(np.log(depth), np.log(self.depth), v) for v in (self.risk, self.low, self.high)]
        return Level(*(float(v) for v in made))

    @property
    def middle(self) -> int:
        """The middle one of the measured depths."""
        return int(self.depth[len(self.depth) // 2])


def below_chance(var_r: float, risk: float, runs: int) -> bool:
    """Whether a risk is below Var R by more than chance: the F test of one slope, at the 5 % level.

    F = (Var R (n - 1) - L (n - 2))/L, as L = RSS/(n - 2) and Var R = TSS/(n - 1) of the same n runs.
    """
    if risk <= 0 or runs < 3:
        return runs >= 3
    gain = (var_r * (runs - 1) - risk * (runs - 2)) / risk
    return bool(f_law.sf(max(gain, 0.0), 1, runs - 2) < LEVEL)


def static_of(rows: pd.DataFrame) -> Level | None:
    """What static information leaves before any step, of one task's `variance`; None where unknown.

    None too where it is below Var R by no more than chance.
    """
    here = rows[(rows["proxy"] == "residual") & (rows["information"] == "static") & (rows["depth"] == 0)]
    here = here[np.isfinite(here["risk"])]
    if here.empty:
        return None
    one = here.iloc[0]
    if not below_chance(float(one["var_r"]), float(one["risk"]), int(one["n"])):
        return None
    return Level(float(one["risk"]), float(one["ci_low"]), float(one["ci_high"]))


def sees(rows: pd.DataFrame, wanted: str) -> str:
    """The information whose residual advice goes by: `wanted`, or with static information besides.

    That is where it was measured at all depths of `wanted`.
    """
    residual = rows[(rows["proxy"] == "residual") & (rows["depth"] > 0) & np.isfinite(rows["risk"])]
    have = {i: set(part["depth"]) for i, part in residual.groupby("information")}
    return WITH_START if have.get(wanted, {0}) <= have.get(WITH_START, set()) else wanted


def forks_of(rows: pd.DataFrame) -> Forks | None:
    """What forks leave, of one task's `variance`; None without forks."""
    here = rows[(rows["proxy"] == "fork") & (rows["depth"] > 0) & np.isfinite(rows["risk"])]
    if here.empty:
        return None
    here = here.sort_values("depth")
    return Forks(*(here[c].to_numpy(float) for c in ("depth", "risk", "ci_low", "ci_high")))


def driving_regime(regimes: pd.DataFrame, driver: Mapping[str, Any]) -> str:
    """The regime that the verdict names, which is that of its driving proxy; "" where it names none."""
    if not driver:
        return ""
    same = regimes[(regimes["proxy"] == driver.get("proxy")) & (regimes["reading"] == "bayes")]
    same = same[same["information"] == driver.get("information")]
    return str(same["regime"].iloc[0]) if len(same) else ""
