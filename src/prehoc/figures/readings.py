"""Which proxy stands for each of the two readings of a task's risk, and the rows that show it.

Reading (a), `run_to_run`, is the paper's proxy.  Reading (b), `bayes`, is the theory's
E[Var(R | I_c)]: `fork` where it is measured at enough depths, else `residual`.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import numpy as np
import pandas as pd

PANELS = {"a": "run_to_run", "b": "bayes"}
NAMES = {"run_to_run": "run-to-run", "fork": "fork", "residual": "residual", "change": "change"}
FORK_DEPTHS = 4  # fewer do not make an envelope
_PREFERRED = {
    "run_to_run": ("none", "last"),
    "fork": ("state",),
    "residual": ("last", "prefix", "static+prefix", "outputs", "static", "none"),
}


class Source(NamedTuple):
    """A proxy with the information set that it conditions on."""

    proxy: str
    information: str


def source(
    variance: pd.DataFrame, task: str, reading: str, among: pd.DataFrame | None = None
) -> Source | None:
    """The proxy and information set that stand for `reading` of `task`; None if unmeasured.

    Of several information sets, one that the table `among` has for this task and proxy is
    preferred, so that the points shown are those that were fitted and decided on.
    """
    known = variance[(variance["task"] == task) & (variance["depth"] > 0)]
    known = known[known["risk"].notna()]
    proxy = "run_to_run"
    if reading == "bayes":
        forked = known.loc[known["proxy"] == "fork", "depth"].nunique()
        proxy = "fork" if forked >= FORK_DEPTHS else "residual"
    present = list(dict.fromkeys(known.loc[known["proxy"] == proxy, "information"]))
    ranked = [name for name in _PREFERRED[proxy] if name in present]
    ranked += [name for name in present if name not in ranked]
    if among is not None:
        same = (among["task"] == task) & (among["proxy"] == proxy)
        used = set(among.loc[same, "information"])
        ranked.sort(key=lambda name: name not in used)
    return Source(proxy, ranked[0]) if ranked else None


def driving(variance: pd.DataFrame, by_residual: Collection[str], information: str) -> pd.DataFrame:
    """The rows of `variance` that may stand in panel (b): those that drive c* and the verdict.

    Forks of tasks `by_residual` are left out, and residuals under other information sets than
    `information` where a task's risk was measured under that.
    """
    probed = (variance["proxy"] == "residual") & (variance["depth"] > 0)
    own = probed & (variance["information"] == information)
    other = probed & ~own & variance["task"].isin(set(variance.loc[own, "task"]))
    passed = variance["task"].isin(by_residual) & (variance["proxy"] == "fork")
    return variance[~(other | passed)]


def rows(frame: pd.DataFrame, task: str, chosen: Source) -> pd.DataFrame:
    """The rows of a table for one task, proxy and information set."""
    same = (frame["task"] == task) & (frame["proxy"] == chosen.proxy)
    return frame[same & (frame["information"] == chosen.information)]


def power(envelope: pd.DataFrame, task: str, chosen: Source) -> pd.Series | None:
    """The fitted power law of one task and proxy; None if there is none."""
    fitted = rows(envelope, task, chosen)
    fitted = fitted[fitted["model"] == "power"]
    return None if fitted.empty else fitted.iloc[0]


def verdict(envelope: pd.DataFrame, task: str, chosen: Source) -> str:
    """What holds the fit back: `` (nothing), `not identified`, or `rival: NAME` by AIC.

    The paper's log-log regression is fitted to other residuals, so it is no rival by AIC.
    """
    fit = power(envelope, task, chosen)
    if fit is None:
        return "no fit"
    if not fit["identified"]:
        return "not identified"
    if np.isfinite(fit["delta_aic"]) and fit["delta_aic"] > 0:
        better = rows(envelope, task, chosen)
        better = better[better["delta_aic"] < fit["delta_aic"]].sort_values("delta_aic", kind="stable")
        rivals = better.loc[better["model"] != "loglog", "model"]
        if len(rivals) or better.empty:  # else the paper's regression alone has the lower AIC
            return f"rival: {rivals.iloc[0] if len(rivals) else 'unnamed'}"
    return ""


def horizon(envelope: pd.DataFrame, variance: pd.DataFrame, task: str) -> float:
    """A task's horizon T in steps, from its envelope, else its last measured depth; NaN if none."""
    for frame, column in ((envelope, "horizon"), (variance, "depth")):
        values = frame.loc[frame["task"] == task, column]
        if len(values):
            return float(values.max())
    return float("nan")
