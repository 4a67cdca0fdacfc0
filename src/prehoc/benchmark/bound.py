"""The lower bound, tested: what predictors reach against the exact L(c) of synthetic instances.

L(c) = E[Var(R | I_c)] bounds the expected risk of every predictor that sees I_c (the paper's
Prop. 4.1), however it was trained.  A predictor's expected risk is estimated on fresh runs over
independent training sets; z = (risk - exact)/se far below zero would contradict the theorem.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm

from prehoc import tables
from prehoc.errors import InputError
from prehoc.predictors import battery
from prehoc.synthetic.instances import INSTANCES, Instance, regime_of
from prehoc.synthetic.process import Process
from prehoc.tasks.streams import name_words

Array = NDArray[np.float64]
Maker = Callable[[Array, float], battery.Predictor]
"""Makes a predictor from the depths it sees [D] and the horizon."""

LEVEL = 0.01  # of the family-wise test


def makers(names: Sequence[str], *, gp_rows: int, seed: int = 0) -> dict[str, Maker]:
    """The battery's predictors by name; raises InputError for an unknown one."""

    def maker(name: str) -> Maker:
        return lambda depth, horizon: battery.build(name, depth, horizon, gp_rows=gp_rows, seed=seed)

    for name in names:
        if name not in battery.NAMES:
            raise InputError(f"predictor {name!r} is unknown; one of {list(battery.NAMES)}")
    return {name: maker(name) for name in names}


def exact(process: Process, depths: Sequence[int]) -> tuple[str, Array, float]:
    """(information, L(c) [D], L(T)) of what a predictor sees: the metrics at exactly `depths`.

    `static+prefix` where a factor is visible, else `prefix`.  Where a process has no exact value
    for it, `state`, which is no larger and so still a lower bound.
    """
    steps, horizon = list(depths), process.horizon
    whole = steps if steps[-1] == horizon else [*steps, horizon]
    information = "static+prefix" if process.visible else "prefix"
    try:
        risk = process.exact_risk(whole, information)
    except InputError:
        information = "state"
        risk = process.exact_risk(whole, information)
    return information, risk[: len(steps)], float(risk[-1])


def envelope_bound(instance: Instance, depths: Sequence[int]) -> Array:
    """The paper's bound (Prop. 5.1) L(T) + K (c^-alpha - T^-alpha), c shifted, [D]; nan without one.

    alpha is the theory's, the risk that of `state`, K the largest for which the bound holds at every
    depth before T: an exact power law meets it at each depth.
    """
    if not instance.power_law:
        return np.full(len(depths), np.nan)
    process, last = instance.build(), instance.horizon + instance.shift
    risk = process.exact_risk([*(d for d in depths if d < process.horizon), process.horizon], "state")
    at = np.asarray(depths, float) + instance.shift
    with np.errstate(divide="ignore"):
        shape = at**-instance.alpha - last**-instance.alpha
    before = (np.asarray(depths) < process.horizon) & np.isfinite(shape)
    if not before.any():
        return np.full(len(depths), float(risk[-1]))
    K = np.min((risk[:-1][before[: len(risk) - 1]] - risk[-1]) / shape[before])
    return np.where(np.isfinite(shape), risk[-1] + K * shape, np.nan)


def measure(
    process: Process,
    depths: Sequence[int],
    predictors: Mapping[str, Maker],
    *,
    train: int,
    test: int,
    rng: np.random.Generator,
) -> tuple[Array, Array]:
    """(mean squared error, its variance) on `test` fresh runs after `train` runs; each [P, D]."""
    known, fresh = process.simulate(train, depths, rng), process.simulate(test, depths, rng)
    static = (known.factor, fresh.factor) if process.visible else (None, None)
    mean, variance = np.empty((2, len(predictors), len(depths)))
    for j in range(len(depths)):
        seen = np.asarray(depths[: j + 1], float)
        for i, make in enumerate(predictors.values()):
            model = make(seen, float(process.horizon))
            model.fit(known.metric[:, : j + 1], known.outcome, static[0])
            error = (fresh.outcome - model.predict(fresh.metric[:, : j + 1], static[1])) ** 2
            mean[i, j], variance[i, j] = error.mean(), error.var(ddof=1) / test
    return mean, variance


def expected(means: Array, variances: Array) -> tuple[Array, Array]:
    """Expected risk over training sets and its standard error, from replicates on the first axis.

    The variance of a replicate is the larger of what replicates show and what test errors alone
    give: few replicates know their own spread poorly, and a spread that came out small by chance
    would make false alarms.
    """
    count = len(means)
    between = means.var(axis=0, ddof=1) if count > 1 else np.zeros_like(means[0])
    return means.mean(axis=0), np.sqrt(np.maximum(between, variances.mean(axis=0)) / count)


def bound_table(
    name: str,
    predictors: Mapping[str, Maker],
    *,
    train: int,
    test: int,
    replicates: int,
    seed: int,
    process: Process | None = None,
) -> pd.DataFrame:
    """Table `lower_bound` of the instance `name`: each predictor's expected risk at each depth.

    Each of `replicates` draws `train` training runs and `test` fresh ones; `seed` is the root of
    the streams.  `process` takes the place of the instance's own, for tests.
    Raises InputError for an unknown instance.
    """
    if name not in INSTANCES:
        raise InputError(f"benchmark.instances: {name!r} is unknown; one of {sorted(INSTANCES)}")
    instance = INSTANCES[name]
    made = process or instance.build()
    depths = instance.depths
    results = []
    for replicate in range(replicates):
        words = np.random.SeedSequence([seed, *name_words(name), replicate])
        rng = np.random.Generator(np.random.Philox(words))
        results.append(measure(made, depths, predictors, train=train, test=test, rng=rng))
    risk, se = expected(np.array([r[0] for r in results]), np.array([r[1] for r in results]))
    information, truth, last = exact(made, depths)
    total = float(made.exact_risk([0], "none")[0])
    bound = envelope_bound(instance, depths)
    rows = [
        {
            "instance": name,
            "regime": regime_of(name) or "control",
            "predictor": predictor,
            "depth": depth,
            "information": information,
            "risk": risk[i, j],
            "se": se[i, j],
            "exact": truth[j],
            "v_opt": truth[j] - last,
            "bound": bound[j],
            "var_r": total,
            "excess": risk[i, j] / truth[j] - 1,
            "z": (risk[i, j] - truth[j]) / se[i, j],
            "n_train": train,
            "n_test": test,
            "replicates": replicates,
        }
        for i, predictor in enumerate(predictors)
        for j, depth in enumerate(depths)
    ]
    return tables.check("lower_bound", pd.DataFrame(rows))


def holm(z: Array, level: float = LEVEL) -> tuple[int, float]:
    """(rejections, least adjusted p) of one-sided tests of risk >= exact (Holm, 1979)."""
    p = np.sort(norm.cdf(np.asarray(z, float)))
    steps = np.maximum.accumulate((len(p) - np.arange(len(p))) * p)
    return int((steps <= level).sum()), float(min(steps[0], 1.0))


def verdict(table: pd.DataFrame, level: float = LEVEL) -> pd.DataFrame:
    """Table `lower_bound_verdict`: whether any row of a `lower_bound` table lies below the exact risk.

    One row for all, then one a predictor and one a regime; each is its own family for Holm's test at
    `level`.  `expected_below_minus_2` is what chance gives where every predictor sits on the bound.
    """
    if table.empty:
        raise InputError("the lower_bound table is empty; name at least one instance and predictor")
    scopes = [("all", "all", table)]
    for column in ("predictor", "regime"):
        scopes += [(column, str(key), part) for key, part in table.groupby(column, sort=False)]
    rows = []
    for scope, name, part in scopes:
        z = part["z"].to_numpy(float)
        violations, p = holm(z, level)
        worst = part.iloc[int(np.argmin(z))]
        rows.append(
            {
                "scope": scope,
                "name": name,
                "rows": len(part),
                "min_z": z.min(),
                "critical_z": norm.ppf(level / len(z)),
                "p_adjusted": p,
                "violations": violations,
                "below_minus_2": int((z < -2).sum()),
                "expected_below_minus_2": len(z) * norm.cdf(-2.0),
                "least_excess": part["excess"].min(),
                "median_excess": part["excess"].median(),
                "worst": f"{worst['instance']} {worst['predictor']} {worst['depth']}",
                "verdict": "violated" if violations else "holds",
            }
        )
    return tables.check("lower_bound_verdict", pd.DataFrame(rows))
