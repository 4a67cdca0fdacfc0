"""U(c) of each proxy under each information set, from one task's matrices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prehoc import tables
from prehoc.errors import InputError
from prehoc.risk import proxies
from prehoc.risk.data import TaskData
from prehoc.risk.forks import fork
from prehoc.risk.outputs import allowed, residual_outputs
from prehoc.risk.proxies import MIN_RUNS, Estimate

Array = NDArray[np.float64]
Index = NDArray[np.int64]

INFORMATION = ("last", "prefix", "outputs", "static", "static+prefix")


@dataclass(frozen=True)
class Curve:
    """U(c) of one proxy and information set; `depth` [D] >= 1, or 0 where nothing is probed."""

    proxy: str
    information: str
    depth: Index
    estimate: Estimate


def none_estimate(data: TaskData, confidence: float = 0.95) -> Estimate:
    """Var R, the risk of no probing, as an Estimate at depth 0."""
    return proxies.residual(data.outcome[:, None], data.outcome, "none", None, confidence, data.group)


def measure(data: TaskData, proxy: str, information: str, confidence: float = 0.95) -> Curve | None:
    """U(c) of one proxy under one information set; None where it was not measured.

    Depths at which the risk is zero by construction are left out: T for residual and change where R
    is the last validation metric itself, and T for forks of an R without noise of its own.
    """
    depth = data.depth
    if proxy == "fork":
        return _measure_forks(data, confidence)
    if information in ("static", "static+prefix") and data.static.shape[1] == 0:
        return None
    if information == "static":
        left = proxies.residual(
            data.outcome[:, None], data.outcome, "static", data.static, confidence, data.group
        )
        return Curve(proxy, information, np.zeros(1, np.int64), left)
    metric, outputs, settled = data.metric, data.outputs, data.settled
    if data.first_stop is not None and proxy in ("run_to_run", "change"):  # past it: what stopping left
        whole = depth <= data.first_stop
        depth, metric, settled = depth[whole], metric[:, whole], None
    if proxy != "run_to_run" and not data.target:
        inside = depth < data.horizon
        depth, metric = depth[inside], metric[:, inside]
        outputs = outputs[:, inside] if outputs is not None else None
        settled = settled[:, inside] if settled is not None else None
    if depth.size == 0:
        return None
    if information == "outputs" and (outputs is None or not allowed(len(metric), data.components)):
        return None
    if proxy == "run_to_run":
        estimate = proxies.run_to_run(metric, confidence, data.group)
    elif proxy == "change":
        estimate = proxies.change(metric, data.outcome, confidence, data.group)
    elif proxy == "residual" and information == "outputs" and outputs is not None:
        estimate = residual_outputs(metric, outputs, data.outcome, data.components, confidence)
    elif proxy == "residual":
        estimate = proxies.residual(
            metric, data.outcome, information, data.static, confidence, data.group, settled
        )
    else:
        raise InputError(f"proxy {proxy!r} is unknown; one of {list(tables.PROXIES)}")
    return Curve(proxy, information, depth, estimate)


def _measure_forks(data: TaskData, confidence: float) -> Curve | None:
    usable = [f.shape[1] >= 2 and _trunks(f) >= MIN_RUNS for f in data.forks]
    if not any(usable):
        return None
    kept = np.flatnonzero(usable)
    estimate = fork([data.forks[i] for i in kept], confidence)
    depth = data.fork_depth[kept]
    if depth[-1] == data.horizon and not estimate.risk[-1] > (1e-12 * data.var_r):
        kept = kept[:-1]
        if kept.size == 0:
            return None
        estimate = fork([data.forks[i] for i in kept], confidence)
        depth = depth[:-1]
    return Curve("fork", "state", depth, estimate)


def noiseless_forks(data: TaskData) -> bool:
    """Whether forks at the horizon were made and do not vary: R has no noise of its own.

    Then R is a function of the state at T, and L(T) = 0 for `state` by construction.
    """
    if not len(data.fork_depth) or data.fork_depth[-1] != data.horizon:
        return False
    last = data.forks[-1]
    within = np.nanvar(last[np.isfinite(last).sum(1) >= 2], axis=1)
    return bool(within.size and within.mean() <= 1e-12 * data.var_r)


def _trunks(forks: Array) -> int:
    return int((np.isfinite(forks).sum(1) >= 2).sum())


def wanted(proxies_asked: Sequence[str], information: Sequence[str]) -> list[tuple[str, str]]:
    """All (proxy, information) pairs to measure; InputError for an unknown name."""
    for proxy in proxies_asked:
        if proxy not in tables.PROXIES:
            raise InputError(f"proxy {proxy!r} is unknown; one of {list(tables.PROXIES)}")
    for name in information:
        if name not in INFORMATION:
            raise InputError(f"information {name!r} is unknown here; one of {list(INFORMATION)}")
    pairs: list[tuple[str, str]] = []
    for proxy in proxies_asked:
        if proxy == "residual":
            pairs += [("residual", name) for name in information]
        else:
            pairs.append((proxy, "state" if proxy == "fork" else "last"))
    return pairs
