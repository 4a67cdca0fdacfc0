"""One exact instance, many replicates: what every estimator says, and what is true.

A trial is a set of N runs of an instance, reduced as a user's runs would be.  Where ordinary least
squares on the last metric reaches the Bayes risk (`Instance.holds`), N runs feed the residual;
elsewhere N trunks feed the forks.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from prehoc import tables
from prehoc.risk import stopping
from prehoc.risk.curves import Curve, measure, none_estimate
from prehoc.risk.data import TaskData, visible_features
from prehoc.risk.depth_interval import drift_of
from prehoc.risk.envelope import EnvelopeFit, fit_envelope
from prehoc.risk.phase import place
from prehoc.risk.regimes import Thresholds
from prehoc.risk.rivals import aic_weights, compare
from prehoc.synthetic.instances import INSTANCES, Instance, regime_of
from prehoc.tasks.streams import name_words

Array = NDArray[np.float64]

PER_TRUNK = 4
_REFERENCE = 20_000  # runs that give the covariance behind the Cramer-Rao bound


@dataclass(frozen=True)
class Setting:
    """How an instance is tried: root `seed`, `price` w at which c* is judged, `confidence`."""

    instance: str
    seed: int
    price: float
    confidence: float = 0.95
    bootstrap: int = 200


@dataclass(frozen=True)
class Truth:
    """What is exactly true of an instance under the information that its trials use.

    `risk` [D] = L(c) at `depth`, `var_r` = L(none), `total` [T + 1] = J(c) at c = 0..T for `rate`
    = gamma lambda.  `fit` is the envelope of the exact curve, whose parameters an estimator comes
    to with ever more runs (an instance that is a power law in the limit only is fitted at its own
    horizon); `covariance` [D + 1, D + 1] is N times the relative covariance of (Var R, U).
    """

    instance: Instance
    proxy: str
    information: str
    risk: Array
    var_r: float
    rate: float
    total: Array
    fit: EnvelopeFit
    covariance: Array

    @property
    def c_star(self) -> float:
        """The exact optimal depth over {0..T} at the price."""
        return float(np.argmin(self.total))


def reading(instance: Instance) -> tuple[str, str]:
    """(proxy, information) of an instance's trials."""
    return ("residual", "last") if "last" in instance.holds else ("fork", "state")


def stream(setting: Setting, runs: int, purpose: int) -> np.random.Generator:
    """The counter-based generator of an instance's trials at N = `runs`."""
    words = [setting.seed, *name_words(setting.instance), runs, purpose]
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(words)))


def simulated(instance: Instance, runs: int, rng: np.random.Generator) -> TaskData:
    """N runs of an instance (and forks of each, where its reading needs them) as a task's data."""
    process = instance.build()
    made = process.simulate(runs, instance.depths, rng)
    forks: tuple[Array, ...] = ()
    if reading(instance)[0] == "fork":
        forks = tuple(
            process.forks(made.state[:, j], depth, PER_TRUNK, rng, made.factor)
            for j, depth in enumerate(instance.depths)
        )
    static = np.empty((runs, 0))
    if made.factor is not None and process.visible:
        drawn = pd.DataFrame({"seed": np.arange(runs), "factor": "factor", "visible": True})
        static = visible_features(drawn.assign(value=made.factor), np.arange(runs))
    depth = np.array(instance.depths, np.int64)
    return TaskData(
        instance.name, instance.horizon, depth, made.metric, made.outcome, static, depth, forks,
        0.0, True, runs, 0.0,
    )  # fmt: skip


def curve_of(data: TaskData, instance: Instance, confidence: float) -> Curve:
    """U(c) of a task's data under the instance's reading."""
    curve = measure(data, *reading(instance), confidence)
    assert curve is not None
    return curve


def truth_of(setting: Setting) -> Truth:
    """The exact truth of a setting; the covariance is measured on 20,000 further runs."""
    instance = INSTANCES[setting.instance]
    process, (proxy, information) = instance.build(), reading(instance)
    steps = np.arange(1, instance.horizon + 1)
    exact = process.exact_risk(steps, information)
    var_r = float(process.exact_risk((instance.horizon,), "none")[0])
    rate = stopping.price_to_rate(setting.price, var_r, instance.horizon)
    total = np.concatenate([[var_r], exact + rate * steps])
    size = _REFERENCE if proxy == "residual" else _REFERENCE // PER_TRUNK
    data = simulated(instance, size, stream(setting, 0, 0))
    wide = curve_of(data, instance, setting.confidence)
    relative, nu = wide.estimate.covariance, wide.estimate.nu
    none = none_estimate(data, setting.confidence)
    own = (float(none.se[0]), float(none.risk[0]))
    drift = drift_of(proxy, wide.estimate.risk, nu, own[1], own[0])
    corner, edge = np.array([[drift.variance]]), drift.cross[None, :]
    joint = np.block([[corner, edge], [edge.T, relative]])
    depth = np.array(instance.depths, float)
    risk = exact[depth.astype(int) - 1]
    fit = fit_envelope(depth, risk, nu, instance.horizon, relative, shift=instance.shift)
    return Truth(
        instance, proxy, information, risk, var_r, rate, total, fit, joint * size
    )  # fmt: skip


def bounds(truth: Truth, runs: int) -> dict[str, float]:
    """Cramer-Rao standard deviations of alpha, log_K, L_int and log_c_star at N = `runs`.

    Fisher information G' C^-1 G of (Var R, U(c)), G = d log mean / d(log Var R, b, log K, alpha), C
    their relative covariance; Var R matters as the price refers to it.  nan where the exact curve is
    no power law; c* is nan at a corner.
    """
    if not truth.instance.power_law or truth.fit.K <= 0:
        return dict.fromkeys(("alpha", "log_K", "L_int", "log_c_star"), float("nan"))
    fit = truth.fit
    tangent = np.zeros((len(truth.covariance), 4))
    tangent[0, 0] = 1.0
    tangent[1:, 1:] = fit.gradient(fit.depth) / fit.mu(fit.depth)[:, None]
    size = np.abs(tangent).max(axis=0)
    information = (tangent / size).T @ np.linalg.solve(truth.covariance / runs, tangent / size)
    covariance = np.linalg.pinv(information, rcond=1e-13, hermitian=True) / np.outer(size, size)
    sd = np.sqrt(np.diag(covariance))
    interior = 0 < truth.c_star < truth.instance.horizon
    log_c = np.log(fit.alpha * fit.K / truth.rate) / (fit.alpha + 1)
    slope = np.array([-1.0, 0.0, 1.0, 1 / fit.alpha - log_c]) / (fit.alpha + 1)
    spread = float(np.sqrt(slope @ covariance @ slope)) if interior else float("nan")
    return {"alpha": sd[3], "log_K": sd[2], "L_int": sd[1], "log_c_star": spread}


def regret_bound(truth: Truth, runs: int) -> float:
    """The regret that the Cramer-Rao bound of log c* entails, in Var R.

    J'' c*^2 Var(log c*)/2 = alpha (alpha + 1) K c*^-alpha Var(log c*)/2: what an efficient
    estimator of c* loses on average, to second order.  nan at a corner or without a power law.
    """
    sd = bounds(truth, runs)["log_c_star"]
    a, c = truth.fit.alpha, truth.c_star + truth.fit.shift
    return float(a * (a + 1) * truth.fit.K * c**-a * sd**2 / 2 / truth.var_r)


@dataclass
class Rows:
    """Rows of the table `trials` of one setting, gathered one by one."""

    instance: str
    runs: int
    kept: list[tuple[object, ...]] = field(default_factory=list)

    def add(
        self, trial: int, quantity: str, value: float, low: float = np.nan, high: float = np.nan,
        depth: int = 0,
    ) -> None:  # fmt: skip
        """One number of one trial, with its interval."""
        self.kept.append((self.instance, self.runs, trial, quantity, depth, value, low, high))

    def frame(self) -> pd.DataFrame:
        """The rows as the checked table `trials`."""
        columns = list(tables.SCHEMAS["trials"].columns)
        return tables.check("trials", pd.DataFrame(self.kept, columns=columns))


def try_once(rows: Rows, trial: int, data: TaskData, truth: Truth, setting: Setting) -> None:
    """Add what all estimators say about one set of runs."""
    instance = truth.instance
    curve = curve_of(data, instance, setting.confidence)
    e, none = curve.estimate, none_estimate(data, setting.confidence)
    for j, depth in enumerate(curve.depth):
        rows.add(trial, "U", e.risk[j], e.ci_low[j], e.ci_high[j], int(depth))
    fit = fit_envelope(
        curve.depth.astype(float), e.risk, e.nu, data.horizon, e.covariance,
        shift=instance.shift, confidence=setting.confidence,
    )  # fmt: skip
    rows.add(trial, "alpha", fit.alpha, fit.alpha_low, fit.alpha_high)
    rows.add(trial, "identified", float(fit.identified))
    rows.add(trial, "L_int", fit.b, fit.b_low, fit.b_high)
    rows.add(trial, "K", fit.K, fit.K_low, fit.K_high)
    rows.add(trial, "lack_of_fit_p", fit.lack_of_fit_p)
    models = compare(fit)
    weights = aic_weights(models)
    rows.add(trial, "power_wins", float(max(weights, key=lambda name: weights[name]) == "power"))
    var_r, se = float(none.risk[0]), float(none.se[0])
    rate = stopping.price_to_rate(setting.price, var_r, data.horizon)
    drift = drift_of(truth.proxy, fit.risk, fit.nu, var_r, se)
    found = stopping.guarded(fit, rate, var_r, se, drift)
    rows.add(trial, "c_star:guarded", found.c_star, found.low, found.high)
    kept = not fit.lack_of_fit_p < stopping.GUARD_LEVEL  # then the guarded rule is the argmin
    chosen = {
        "guarded": found.c_star,
        "argmin": found.c_star if kept else stopping.argmin(fit, rate, var_r, se, drift).c_star,
        "closed_form": min(stopping.optimal_depth(fit.K, fit.alpha, rate, fit.shift), data.horizon),
        "grid": stopping.grid_argmin(fit, rate, var_r, se).c_star,
    }
    paper = next(m for m in models if m.model == "loglog")
    rows.add(trial, "alpha:loglog", paper.alpha)
    chosen["loglog"] = min(stopping.optimal_depth(paper.K, paper.alpha, rate), data.horizon)
    best = float(truth.total.min())
    for name, c in chosen.items():
        rows.add(trial, f"regret:{name}", (truth.total[round(c)] - best) / truth.var_r)


def trials(setting: Setting, runs: int, count: int, truth: Truth | None = None) -> pd.DataFrame:
    """The table `trials` of `count` sets of N = `runs` runs of one instance."""
    known = truth or truth_of(setting)
    rng, rows = stream(setting, runs, 1), Rows(setting.instance, runs)
    for trial in range(count):
        try_once(rows, trial, simulated(known.instance, runs, rng), known, setting)
    return rows.frame()


def confusion_table(setting: Setting, runs: int, count: int, thresholds: Thresholds) -> pd.DataFrame:
    """The table `confusion` of one instance over `count` sets of N runs; empty for the controls."""
    instance, right = INSTANCES[setting.instance], regime_of(setting.instance)
    if right is None:
        return tables.empty("confusion")
    rng, named = stream(setting, runs, 2), []
    for trial in range(count):
        data = simulated(instance, runs, rng)
        row = place(
            data, curve_of(data, instance, setting.confidence), thresholds,
            resamples=setting.bootstrap, seed=trial, shift=instance.shift,
            confidence=setting.confidence,
        )  # fmt: skip
        named.append(str(row["regime"]))
    share = pd.Series(named).value_counts(normalize=True).sort_index()
    frame = pd.DataFrame({"named": share.index.astype(str), "share": share.to_numpy(float)})
    frame = frame.assign(instance=setting.instance, runs=runs, truth=right, replicates=count)
    return tables.check("confusion", frame)
