"""Policies at work: every policy of one task on runs held out of its calibration.

Runs are cut into random halves; each half calibrates (forecasters, thresholds, error of extrapolation,
the risk curve behind c*, the online rule's prior) for the other.  Numbers are averages over splits of
what happened to each run; their intervals come from a bootstrap over runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from prehoc import tables
from prehoc.predictors import online, policies, racing
from prehoc.predictors.accounts import ANY, Key, accounts
from prehoc.predictors.forecasts import Trial, forecasts
from prehoc.predictors.regret import Tally, cohorts, regret_best, regret_go
from prehoc.tasks.streams import name_words

Array = NDArray[np.float64]
Index = NDArray[np.int64]
Flags = NDArray[np.bool_]

_STREAM = 8_411  # of the splits, beside the task's own streams


@dataclass
class _Half:
    """One calibration half and one judged half, and what policies need of them."""

    trial: Trial
    known: Index
    judged: Index
    groups: Index
    said: Array
    calibration: policies.Calibration
    threshold: float
    extrapolated: Array
    settings: Mapping[str, Any]
    fixed: dict[int, tuple[Array, Array, Array]] = field(default_factory=dict)

    @property
    def sign(self) -> float:
        return 1.0 if self.trial.higher else -1.0

    def at(self, stop: int) -> tuple[Array, Array, Array]:
        """Squared errors [m], regrets of go / no-go [m] and of best of k [G] of all stopped at `stop`."""
        if stop not in self.fixed:
            self.fixed[stop] = self._scored(self.said[:, stop], None)
        return self.fixed[stop]

    def _scored(self, forecast: Array, kept: Flags | None) -> tuple[Array, Array, Array]:
        gain = self.trial.gain[self.judged]
        error = (forecast - self.trial.outcome[self.judged]) ** 2
        go = regret_go(gain, self.sign * forecast, self.threshold)
        best = np.empty(0)
        if len(self.groups):
            all_gain = self.trial.gain[self.groups]
            where = np.searchsorted(self.judged, self.groups)
            chosen = self.sign * forecast[where]
            best = regret_best(all_gain, chosen, None if kept is None else kept[where])
        return error, go, best


def judge(
    trial: Trial,
    *,
    prices: Sequence[float],
    settings: Mapping[str, Any],
    seed: int,
    regime: str = "undecided",
    shift: float = 0.0,
    confidence: float = 0.95,
    online_options: Mapping[str, Any] | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The tables `policies` and `policies_against` of a task, a row a policy and price.

    A price is gamma lambda T / Var R; `settings` is the config's block `policies`, `online_options` its
    block `online`.  Empty for fewer runs than `min_runs`, or a constant R.  A failed run pays its steps
    up to its failure, or to the stop if that is fixed and comes before, and is in no other number.  Var R
    of all runs serves as the price's unit alone.
    """
    runs = len(trial.outcome)
    scale = max(abs(float(trial.outcome.mean())), 1e-300) if runs else 1.0
    if runs < settings["min_runs"] or not trial.var_r > (1e-12 * scale) ** 2:
        return tables.empty("policies"), tables.empty("policies_against")
    rng = np.random.Generator(
        np.random.Philox(np.random.SeedSequence([seed, *name_words(trial.task), _STREAM]))
    )
    rates = {float(w): float(w) * trial.var_r / trial.horizon for w in prices}
    tallies: dict[Key, Tally] = {}
    features = [trial.features(j) for j in range(len(trial.depth) + 1)]
    extrapolated = trial.extrapolated()
    for _ in range(settings["splits"]):
        mixed = rng.permutation(runs)
        parts = np.sort(mixed[: runs // 2]), np.sort(mixed[runs // 2 :])
        for known, judged in (parts, parts[::-1]):
            said, loo = forecasts(features, trial.outcome, known, judged)
            half = _Half(
                trial,
                known,
                judged,
                cohorts(judged, settings["cohort"], settings["rounds"], rng),
                said,
                policies.calibrate(trial.depth, loo, trial.horizon, shift=shift, confidence=confidence),
                float(np.quantile(trial.gain[known], settings["threshold"])),
                extrapolated,
                settings,
            )
            _play(half, rates, tallies, online_options or {})
    return accounts(
        trial,
        tallies,
        rates,
        regime=regime,
        resamples=settings["resamples"],
        confidence=confidence,
        rng=rng,
    )


def _play(
    half: _Half, rates: Mapping[float, float], tallies: dict[Key, Tally], options: Mapping[str, Any]
) -> None:
    """Let every policy stop the judged half, and tally what that gave."""
    trial, settings = half.trial, half.settings
    first = int(np.searchsorted(trial.depth, settings["grace"] * trial.horizon * (1 - 1e-12)))
    last = len(trial.depth)
    shallow = settings["shallow"]
    fixed = {
        "no_probing": 0,
        "shallow": policies.shallow(trial.depth, trial.horizon, shallow["steps"], shallow["share"]),
        "deep": policies.upto(trial.depth, settings["deep"] * trial.horizon),
        "full": last,
    }
    for name, depth in fixed.items():
        _fix(half, tallies, (name, ANY), depth)
    stop = policies.median_stop(trial.score[half.known], trial.score[half.judged], first)
    _each(half, tallies, ("median_stop", ANY), stop, half.said, kept=stop == last)
    stop, forecast = policies.extrapolation_stop(
        half.sign * half.extrapolated[half.known],
        trial.gain[half.known],
        half.sign * half.extrapolated[half.judged],
        half.threshold,
        first,
        settings["sure"],
    )
    own = np.column_stack([half.said[:, 0], half.sign * forecast])
    _each(half, tallies, ("extrapolation_stop", ANY), stop, own)
    _races(half, tallies)
    prior = None
    if last >= options.get("least_depths", online.LEAST_DEPTHS):
        prior = online.fit_prior(
            trial.depth, trial.metric[half.known], trial.outcome[half.known], trial.horizon, **options
        )
    steps = trial.steps()
    risk = np.array([half.at(j)[0].mean() for j in range(last + 1)])
    for price, rate in rates.items():
        for name, guarded in (("c_star", False), ("c_star_guarded", True)):
            _fix(half, tallies, (name, price), policies.c_star(half.calibration, rate, guarded=guarded))
        _fix(half, tallies, ("oracle", price), int(np.argmin(risk + rate * steps)))
        if prior is not None:
            found = online.stop_depths(prior, trial.depth, trial.metric[half.judged], rate=rate)
            stop = np.where(found.index < 0, last, found.index + 1)
            _each(half, tallies, ("online", price), stop, half.said, told=found.told.astype(float))


def _tally(half: _Half, tallies: dict[Key, Tally], key: Key) -> Tally:
    return tallies.setdefault(key, Tally(len(half.trial.outcome)))


def _fix(half: _Half, tallies: dict[Key, Tally], key: Key, stop: int) -> None:
    error, go, best = half.at(stop)
    tally = _tally(half, tallies, key)
    tally.add(half.judged, error, half.trial.steps()[stop], go)
    tally.add_cohorts(half.groups, best)
    tally.stopped(stop)


def _each(
    half: _Half,
    tallies: dict[Key, Tally],
    key: Key,
    stop: Index,
    forecast: Array,
    *,
    kept: Flags | None = None,
    told: Array | float = np.nan,
) -> None:
    """Tally runs that stop one by one: `stop` [m], `forecast` [m, D + 1] at each stop."""
    chosen = np.take_along_axis(forecast, stop[:, None], axis=1)[:, 0]
    error, go, best = half._scored(chosen, kept)
    tally = _tally(half, tallies, key)
    tally.add(half.judged, error, half.trial.steps()[stop], go, told)
    tally.add_cohorts(half.groups, best)


def _races(half: _Half, tallies: dict[Key, Tally]) -> None:
    """Successive halving and its asynchronous form, in each cohort."""
    trial, settings, groups = half.trial, half.settings, half.groups
    if not len(groups):
        return
    columns = racing.rungs(trial.depth, trial.horizon, settings["cohort"], settings["eta"])
    score = trial.score[groups][:, :, columns]
    cost = np.diff(np.concatenate([[0.0], trial.depth[columns].astype(float)]))
    where = np.searchsorted(half.judged, groups)
    reached = {
        "sha": racing.halve(score, settings["eta"]),
        "asha": racing.race(score, cost, settings["eta"], settings["workers"]),
    }
    for name, level in reached.items():
        stop = columns[level] + 1
        forecast = half.said[where, stop]
        error = (forecast - trial.outcome[groups]) ** 2
        go = regret_go(trial.gain[groups], half.sign * forecast, half.threshold)
        tally = _tally(half, tallies, (name, ANY))
        tally.add(groups.ravel(), error.ravel(), trial.steps()[stop].ravel(), go.ravel())
        deepest = level == level.max(axis=1, keepdims=True)
        tally.add_cohorts(groups, regret_best(trial.gain[groups], half.sign * forecast, deepest))
