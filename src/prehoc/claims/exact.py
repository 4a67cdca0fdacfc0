"""Exact instances drawn here: their tables, as tasks of a config have them, and trials of alpha and c*."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from prehoc import tables
from prehoc.benchmark import bound
from prehoc.benchmark.trials import curve_of, simulated
from prehoc.risk import pipeline, stopping
from prehoc.risk.curves import none_estimate
from prehoc.risk.data import TaskData
from prehoc.risk.envelope import fit_envelope
from prehoc.risk.rivals import aic_weights, compare
from prehoc.synthetic.frames import METRIC
from prehoc.synthetic.instances import INSTANCES, Instance
from prehoc.tasks.streams import name_words

NAMES = ("variance", "envelope", "c_star", "regimes")
TRIAL = (
    "instance", "power_law", "alpha", "alpha_low", "alpha_high", "identified", "lack_of_fit_p",
    "power_wins", "regret",
)  # fmt: skip
PREDICTORS = ("ols", "last_value")
_TEST = 2000  # fresh runs of an instance on which a predictor is judged


@dataclass(frozen=True)
class Setting:
    """How instances are drawn: N = `runs`, root `seed`, `price` of c*, `confidence`."""

    runs: int
    seed: int
    price: float
    confidence: float
    resamples: int
    thresholds: pipeline.Thresholds


def _stream(setting: Setting, name: str, purpose: int) -> np.random.Generator:
    words = [setting.seed, *name_words(name), setting.runs, purpose]
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(words)))


def drawn(name: str, setting: Setting) -> TaskData:
    """The N runs of an instance that its tables, and the decisions on it, are made of."""
    return simulated(INSTANCES[name], setting.runs, _stream(setting, name, 0))


def tables_of(names: Sequence[str], setting: Setting) -> dict[str, pd.DataFrame]:
    """The tables variance, envelope, c_star and regimes of exact instances, N runs each."""
    parts: dict[str, list[pd.DataFrame]] = {name: [] for name in NAMES}
    for name in names:
        instance = INSTANCES[name]
        data = {name: drawn(name, setting)}
        for table, frame in _reduced(data, instance.shift, setting).items():
            parts[table].append(frame)
    return {
        table: pd.concat(frames, ignore_index=True) if frames else tables.empty(table)
        for table, frames in parts.items()
    }


def _reduced(data: Mapping[str, TaskData], shift: float, setting: Setting) -> dict[str, pd.DataFrame]:
    level: dict[str, Any] = {"confidence": setting.confidence}
    proxies = ("residual", "run_to_run", "fork")
    u = pipeline.variance_table(data, metric=METRIC, proxies=proxies, information=("last",), **level)
    fits = pipeline.envelope_table(u, data, shift=shift, **level)
    stops = pipeline.c_star_table(fits, u, data, prices=[setting.price], shift=shift, **level)
    places = pipeline.regimes_table(
        data, None, None, u, fits, thresholds=setting.thresholds, resamples=setting.resamples,
        seed=setting.seed, shift=shift, **level,
    )  # fmt: skip
    return {"variance": u, "envelope": fits, "c_star": stops, "regimes": places}


def trials(names: Sequence[str], sets: int, setting: Setting) -> pd.DataFrame:
    """One row a set of N runs of an instance [instances x sets]: what was fitted, beside the truth.

    `alpha` is that of the exact curve at the instance's horizon, nan for a control; `regret` what the
    closed-form c* costs beyond the best depth, by the exact risk and the exact price, in shares of Var R,
    nan where K = 0.
    """
    rows = []
    for name in names:
        instance = INSTANCES[name]
        truth, total, var_r = _truth(instance, setting)
        rng = _stream(setting, name, 1)
        for _ in range(sets):
            data = simulated(instance, setting.runs, rng)
            curve = curve_of(data, instance, setting.confidence)
            e, depth = curve.estimate, curve.depth.astype(float)
            fit = fit_envelope(
                depth, e.risk, e.nu, data.horizon, e.covariance, shift=instance.shift,
                confidence=setting.confidence,
            )  # fmt: skip
            weights = aic_weights(compare(fit))
            own = stopping.price_to_rate(
                setting.price, float(none_estimate(data, setting.confidence).risk[0]), data.horizon
            )
            c = min(stopping.optimal_depth(fit.K, fit.alpha, own, fit.shift), data.horizon)
            rows.append(
                {
                    "instance": name,
                    "power_law": instance.power_law,
                    "alpha": truth,
                    "alpha_low": fit.alpha_low,
                    "alpha_high": fit.alpha_high,
                    "identified": fit.identified,
                    "lack_of_fit_p": fit.lack_of_fit_p,
                    "power_wins": max(weights, key=lambda m: weights[m]) == "power",
                    "regret": (total[round(c)] - total.min()) / var_r if fit.K > 0 else np.nan,
                }
            )
    return pd.DataFrame(rows, columns=list(TRIAL)).astype({"power_law": bool, "power_wins": bool})


def _truth(instance: Instance, setting: Setting) -> tuple[float, np.ndarray, float]:
    """(alpha of the exact curve, J(c) at c = 0..T, Var R) of an instance."""
    process = instance.build()
    information = "last" if "last" in instance.holds else "state"
    steps = np.arange(1, instance.horizon + 1)
    exact = process.exact_risk(steps, information)
    var_r = float(process.exact_risk((instance.horizon,), "none")[0])
    rate = stopping.price_to_rate(setting.price, var_r, instance.horizon)
    total = np.concatenate([[var_r], exact + rate * steps])
    if not instance.power_law:
        return float("nan"), total, var_r
    depth = np.array(instance.depths, float)
    nu = np.full(len(depth), 1e6)
    fit = fit_envelope(depth, exact[depth.astype(int) - 1], nu, instance.horizon, shift=instance.shift)
    return fit.alpha, total, var_r


def bound_of(names: Sequence[str], setting: Setting) -> pd.DataFrame:
    """Table `lower_bound` of least squares and the last value on the instances, N training runs each."""
    makers = bound.makers(PREDICTORS, gp_rows=10, seed=setting.seed)
    sizes: dict[str, Any] = {"train": setting.runs, "test": _TEST, "replicates": 2, "seed": setting.seed}
    parts = [bound.bound_table(n, makers, **sizes) for n in names]
    return pd.concat(parts, ignore_index=True) if parts else tables.empty("lower_bound")
