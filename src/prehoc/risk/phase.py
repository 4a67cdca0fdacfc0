"""The table of regimes: each task's place in the phase diagram under both readings."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from prehoc import tables
from prehoc.risk.curves import Curve, measure, noiseless_forks
from prehoc.risk.data import TaskData
from prehoc.risk.decide import driving_curve
from prehoc.risk.many import fit_many
from prehoc.risk.measured import Horizons, Runs, load
from prehoc.risk.outputs import Outputs
from prehoc.risk.regimes import (
    REGIMES,
    Sample,
    Thresholds,
    classify,
    interpolate,
    name_regime,
    probabilities,
    statistics,
)
from prehoc.risk.resample import resampled, resampled_base, resampled_counts

Array = NDArray[np.float64]
Index = NDArray[np.int64]

_DONE = 0.1  # the share of runs that may have met their target where the regime is judged


def _sample(
    data: TaskData,
    curve: Curve,
    risks: Array,
    base: Array,
    first: int,
    shift: float,
    shallow: float,
) -> Sample:
    """The rule's inputs from curves [B, D] and (Var R, static, best) [B, 3]."""
    depth = curve.depth.astype(float)
    spot = max(shallow * data.horizon, depth[first])
    start = np.array([interpolate(depth, u, spot) for u in risks])
    until = last_open(data) if curve.proxy == "residual" else None
    if until is not None:  # past it the risk falls because runs are done: at T it is 0 by construction
        last = risks[:, int(np.searchsorted(curve.depth, data.depth[until]))]
    elif curve.proxy == "fork" and noiseless_forks(data):
        last = np.zeros(len(risks))
    elif depth[-1] == data.horizon:
        last = risks[:, -1]
    else:
        last = np.minimum(_extrapolated(depth, risks, curve, data.horizon, shift), risks[:, -1])
    var_r = risks[:, first] if curve.proxy == "run_to_run" else base[:, 0]
    return Sample(var_r, start, last, base[:, 1], base[:, 2])


def last_open(data: TaskData) -> int | None:
    """Where R is the steps to a target: the index of the last depth at which nine runs in ten are open.

    The regime is judged there, as a run that has met its target leaves nothing to predict.  None where R
    is no such number, or no depth is that early.
    """
    if data.settled is None:
        return None
    early = np.flatnonzero(data.settled.mean(axis=0) <= _DONE)
    return int(early[-1]) if early.size else None


def _extrapolated(depth: Array, risks: Array, curve: Curve, horizon: int, shift: float) -> Array:
    """The fitted b of each row where U(T) was not measured; nan under four depths.

    What a later depth leaves open is at most what an earlier one does: the caller takes the less of
    this and the risk at the last depth.
    """
    last = np.full(len(risks), np.nan)
    good = np.isfinite(risks).all(axis=1) & (risks > 0).all(axis=1)
    nu = curve.estimate.nu
    if len(depth) >= 4 and good.any() and np.isfinite(nu).all():
        relative = curve.estimate.covariance
        known = relative if np.isfinite(relative).all() else None
        last[good] = fit_many(depth, risks[good], nu, horizon, known, shift=shift)[0]
    return last


def place(
    data: TaskData,
    curve: Curve,
    thresholds: Thresholds,
    *,
    resamples: int,
    seed: int,
    shift: float = 0.0,
    confidence: float = 0.95,
    onset: float = float("nan"),
) -> dict[str, Any]:
    """One row of the table: iota, q, probabilities and the regime of one measured curve.

    Runs are resampled; for forks, trunks (for U) and runs (for Var R and what static information
    leaves) independently.  Deterministic in `seed`.
    """
    first = int(np.searchsorted(curve.depth, onset)) if np.isfinite(onset) else 0
    first = min(first, len(curve.depth) - 1)
    if data.var_r <= thresholds.tolerance**2:
        return _settled()
    runs = len(data.outcome)
    counts = resampled_counts(runs, resamples, seed)
    whole = np.ones((1, runs))
    base, point_base = resampled_base(data, counts), resampled_base(data, whole)
    if curve.proxy == "run_to_run":  # its shares are of its own first depth, static ones unknown
        base[:, 1:] = point_base[:, 1:] = np.nan
    if curve.proxy == "fork":
        counts = resampled_counts(len(data.forks[0]), resamples, seed)
    risks = resampled(data, curve, counts)
    argument = (first, shift, thresholds.shallow)
    point = _sample(data, curve, curve.estimate.risk[None, :], point_base, *argument)
    batch = _sample(data, curve, risks, base, *argument)
    iota, q, static_share, _ = statistics(point)
    share = probabilities(classify(batch, thresholds))
    spread = statistics(batch)[0]
    spread = spread[np.isfinite(spread)]
    tail = (1 - confidence) / 2
    low, high = np.quantile(spread, [tail, 1 - tail]) if spread.size else (np.nan, np.nan)
    return {
        "iota": float(iota[0]),
        "iota_low": float(low),
        "iota_high": float(high),
        "q": float(q[0]),
        "static_share": float(static_share[0]),
        **{f"p_{name}": float(p) for name, p in zip(REGIMES, share, strict=True)},
        "regime": name_regime(int(classify(point, thresholds)[0]), share, thresholds),
    }


def _settled() -> dict[str, Any]:
    null = float("nan")
    row: dict[str, Any] = dict.fromkeys(("iota", "iota_low", "iota_high", "q", "static_share"), null)
    row |= {f"p_{name}": float(name == "static_sufficient") for name in REGIMES}
    return row | {"regime": "static_sufficient"}


def regimes_table(
    runs: Runs,
    forks: pd.DataFrame | None,
    draws: pd.DataFrame | None,
    variance: pd.DataFrame,
    envelope: pd.DataFrame | None = None,
    *,
    thresholds: Thresholds | None = None,
    resamples: int = 400,
    seed: int = 0,
    horizons: Horizons = None,
    outputs: Outputs | None = None,
    information: str = "last",
    shift: float = 0.0,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """The table `regimes`: reading `bayes` by residual and by fork, and `run_to_run`.

    `envelope` gives run_to_run's onset (its shares refer to the first regular depth); without it
    they refer to the first measured depth.  A task whose c_s lies before its first measured depth
    is judged at that depth.  Raises InputError as curves.split_tasks does.
    """
    rule = thresholds or Thresholds()
    variance = tables.check("variance", variance, "variance")
    rows: list[dict[str, Any]] = []
    for task, data in sorted(load(variance, runs, forks, draws, horizons, outputs).items()):
        here = variance[variance["task"] == task]
        seen = set(here.loc[here["depth"] > 0, "proxy"])
        for reading, proxy in (("bayes", "fork"), ("bayes", "residual"), ("run_to_run",) * 2):
            if proxy not in seen:
                continue
            name = {"fork": "state", "run_to_run": "last"}.get(proxy, "")
            if proxy == "residual":
                only = here[here["proxy"] == "residual"]
                name = driving_curve(only, task, information)[1]
            curve = measure(data, proxy, name, confidence)
            if curve is None:
                continue
            row = place(
                data, curve, rule, resamples=resamples, seed=seed, shift=shift,
                confidence=confidence, onset=_onset(envelope, task, proxy),
            )  # fmt: skip
            rows.append({"task": task, "reading": reading, "proxy": proxy, "information": name} | row)
    if not rows:
        return tables.empty("regimes")
    frame = pd.DataFrame(rows, columns=list(tables.SCHEMAS["regimes"].columns))
    return tables.check("regimes", frame)


def _onset(envelope: pd.DataFrame | None, task: str, proxy: str) -> float:
    if envelope is None or proxy != "run_to_run":
        return float("nan")
    row = envelope[
        (envelope["task"] == task) & (envelope["proxy"] == proxy) & (envelope["model"] == "power")
    ]
    return float(row["onset"].iloc[0]) if len(row) else float("nan")
