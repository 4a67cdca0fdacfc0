"""What tasks that are no config's would have in the tables predictors, complementarity, mismatch, policies.

Exact instances and imported runs come as risk.data.TaskData; the tables are made of them by the functions
that make those of the config's tasks, with the settings of `claims.decisions` in place of the stages' own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from prehoc import tables
from prehoc.claims.evidence import OPTIONAL
from prehoc.predictors import complementarity, held_out, judged, mismatch
from prehoc.predictors.features import Seen
from prehoc.predictors.forecasts import Trial
from prehoc.predictors.pooled import regime_of, shallow_limit
from prehoc.risk.data import TaskData

_NEVER = 10**9  # depths: the online rule is no part of any criterion


@dataclass(frozen=True)
class Setting:
    """How decisions are judged: one `price`; `rule`, the config's `claims.decisions`; its blocks' settings.

    `rule`: predictors, folds, splits, resamples.  `shallow_steps` and `shallow_share` of the horizon say
    what a shallow depth is (docs/predictors.md); `policies` is the config's block.
    """

    price: float
    seed: int
    confidence: float
    rule: Mapping[str, Any]
    shallow_steps: float
    shallow_share: float
    policies: Mapping[str, Any]

    def shallow(self, horizon: int) -> float:
        """The deepest depth that is still shallow, in steps."""
        return shallow_limit(horizon, self.shallow_steps, self.shallow_share)


@dataclass(frozen=True)
class One:
    """A task: its runs, the shift of its envelope, the `information` of its curve and what drives it."""

    data: TaskData
    shift: float = 0.0
    information: str = "last"
    driver: str = "auto"


def tables_of(tasks: Sequence[One], regimes: pd.DataFrame, how: Setting) -> dict[str, pd.DataFrame]:
    """The tables OPTIONAL of `tasks`, whose regimes are those of the table `regimes`.

    Empty tables where no task has runs enough or an R that varies.  A fixed depth that was not measured has
    no rows: `shallow`, in `mismatch` too, and `deep` where the first depth lies beyond, `full` where R is
    read at T itself and so nothing is left to forecast there.
    """
    parts: dict[str, list[pd.DataFrame]] = {n: [] for n in ("predictors", "held", "own", "against")}
    where = regime_of(regimes, {one.data.task: one.driver for one in tasks})
    shallow = {one.data.task for one in tasks if _has_shallow(one.data, how)}
    for one in tasks:
        task = one.data.task
        told, own = _forecast(one, how)
        parts["held"].append(told)
        parts["predictors"].append(held_out.predictors_table(told, "", how.confidence))
        if task in shallow:
            parts["own"].append(own)
        parts["against"].append(_policies(one, where.get(task, "undecided"), how))
    held = tables.joined("held_out", parts["held"])
    horizons = {one.data.task: one.data.horizon for one in tasks}
    common: dict[str, Any] = {
        "resamples": how.rule["resamples"], "seed": how.seed, "confidence": how.confidence,
    }  # fmt: skip
    made = {
        "predictors": tables.joined("predictors", parts["predictors"]),
        "complementarity": complementarity.complementarity_table(held, where, horizons, (), **common),
        "mismatch": mismatch.mismatch_table(
            held, tables.joined("own_depth", parts["own"]), where, horizons,
            shallow_steps=how.shallow_steps, shallow_share=how.shallow_share, **common,
        ),
        "policies_against": tables.joined("policies_against", parts["against"]),
    }  # fmt: skip
    return {name: made[name] for name in OPTIONAL}


def joined(
    first: Mapping[str, pd.DataFrame], second: Mapping[str, pd.DataFrame]
) -> dict[str, pd.DataFrame]:
    """The tables of both, by name; a table that one of them lacks is the other's."""
    return {
        name: tables.joined(name, [frames[name] for frames in (first, second) if name in frames])
        for name in {**first, **second}
    }


def _has_shallow(data: TaskData, how: Setting) -> bool:
    """Whether the first depth is no deeper than what counts as shallow."""
    return bool(len(data.depth)) and float(data.depth[0]) <= how.shallow(data.horizon) * (1 + 1e-9)


def _open(data: TaskData) -> np.ndarray:
    """Depths [D] at which no run's R is known: beyond them the risk falls as runs are done, unforeseen."""
    if data.settled is not None:
        return np.asarray(~data.settled.any(axis=0), bool)
    return np.asarray((data.depth < data.horizon) | data.target, bool)


def seen_of(data: TaskData) -> Seen:
    """A task's runs as predictors see them: its metric while R is open, and what visible factors say."""
    keep = _open(data)
    count = len(data.outcome)
    depth = data.depth[keep]
    return Seen(
        task=data.task,
        metric="value",
        horizon=data.horizon,
        seed=np.arange(count) if data.seeds is None else data.seeds,
        outcome=data.outcome,
        depth=depth,
        metrics=("value",),
        curves=data.metric[:, None, keep],
        static_names=tuple(f"draw {i}" for i in range(data.static.shape[1])),
        static=data.static,
        signal_names=(),
        signals=np.empty((count, 0, len(depth))),
        measured=data,
    )


def trial_of(data: TaskData) -> Trial:
    """A task's runs as policies meet them while R is open; those that lack a metric there are left out."""
    keep = _open(data)
    depth, metric = data.depth[keep], data.metric[:, keep]
    whole = np.isfinite(metric).all(axis=1)
    return Trial(
        task=data.task,
        horizon=data.horizon,
        depth=depth,
        metric=metric[whole],
        beside=np.empty((int(whole.sum()), len(depth), 0)),
        static=np.nan_to_num(data.static[whole]),
        outcome=data.outcome[whole],
        failed=np.empty(0),
        higher=True,
    )


def _forecast(one: One, how: Setting) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The tables held_out and own_depth of a task."""
    seen = seen_of(one.data)
    plan = held_out.Plan(names=tuple(how.rule["predictors"]), folds=how.rule["folds"])
    if not len(seen.depth) or not seen.var_r > 0:
        return tables.empty("held_out"), tables.empty("own_depth")
    told = held_out.held_out(seen, plan, how.seed)
    own = held_out.own_depths(
        seen, told, seen.seed, prices=[how.price], information=one.information, driver=one.driver,
        shift=one.shift, confidence=how.confidence,
    )  # fmt: skip
    return told, own


def _policies(one: One, regime: str, how: Setting) -> pd.DataFrame:
    """The table policies_against of a task."""
    trial = trial_of(one.data)
    if len(trial.depth) < 2:
        return tables.empty("policies_against")
    settings = {
        **how.policies, "splits": how.rule["splits"], "rounds": 1, "resamples": how.rule["resamples"],
        "shallow": {"steps": how.shallow_steps, "share": how.shallow_share},
    }  # fmt: skip
    pairs = judged.judge(
        trial, prices=[how.price], settings=settings, seed=how.seed, regime=regime, shift=one.shift,
        confidence=how.confidence, online_options={"least_depths": _NEVER},
    )[1]  # fmt: skip
    there = {
        "shallow": _has_shallow(one.data, how),
        "deep": trial.depth[0] <= settings["deep"] * trial.horizon,
        "full": trial.depth[-1] == trial.horizon,
    }
    return pairs[~pairs["other"].isin([name for name, measured in there.items() if not measured])]
