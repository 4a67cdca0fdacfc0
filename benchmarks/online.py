"""What stopping each run by its own curve is worth, beside one depth for all: a table of total risks.

    python benchmarks/online.py [RESULTS]

On exact synthetic instances (300 finished runs, 4,000 new) beside exact optimal stopping at one depth, and
on a mixture whose runs have noise scales of their own.  With RESULTS (the workflow's), on each task's runs:
60 or 250 of them are finished, half where there are fewer, the rest is judged, 10 times.  All totals,
E(R - forecast)^2 + rate depth, are in units of Var R, at prices .05, .2 and 1.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from prehoc import tables
from prehoc.predictors import online
from prehoc.synthetic.instances import build

PRICES = (0.05, 0.2, 1.0)
DEPTHS = np.array([1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024])
HORIZON = 1024
REPEATS = 10
LEAST = online.LEAST_DEPTHS - 1  # index of the first depth at which a run may stop


def judged(depth, past, known, new, truth, price, var_r):
    """Total risks by Var R: of the rule, the prior's own c*, and the best depth in hindsight."""
    prior = online.fit_prior(depth, past, known, int(depth[-1]))
    rate = price * var_r / depth[-1]
    stops = online.stop_depths(prior, depth, new, rate=rate)
    at = online.standing(prior, depth, new, rate=rate)[0]
    square = (truth[:, None] - at.forecast) ** 2
    single = np.nanmean(square[:, LEAST:], axis=0) + rate * depth[LEAST:]
    own = square[:, online.own_c_star(prior, depth, rate=rate)]
    met = (truth - stops.forecast) ** 2
    total = met + rate * depth[stops.index]
    fixed = own + rate * depth[online.own_c_star(prior, depth, rate=rate)]
    return {
        "online": total.mean() / var_r,
        "c_star": fixed.mean() / var_r,
        "best_depth": single.min() / var_r,
        "gain": (fixed - total).mean() / var_r,
        "steps": depth[stops.index].mean() / depth[-1],
        "told": stops.told.mean(),
        "met_by_told": met.mean() / stops.risk.mean(),
    }


def mixture(n, seed):
    """Random walks whose steps' sd is a run's own, log normal with spread .8."""
    rng = np.random.default_rng(seed)
    law = DEPTHS.astype(float) ** -0.5
    own = np.exp(0.8 * rng.standard_normal(n))[:, None]
    steps = own * np.sqrt(law[:-1] - law[1:]) * rng.standard_normal((n, len(law) - 1))
    theta = 0.3 * rng.standard_normal(n)[:, None] + np.cumsum(np.c_[np.zeros(n), steps], axis=1)
    return theta + 0.02 * rng.standard_normal(theta.shape), theta[:, -1] + 0.2 * rng.standard_normal(n)


def synthetic():
    """Rows of the exact instances, with the exact optimum over single depths, and of the mixture."""
    for name in ("synthetic_dynamic", "synthetic_noise", "synthetic_static"):
        process = build(name, {}, HORIZON)
        exact = process.exact_risk(DEPTHS, "prefix")
        var_r = float(process.exact_risk([0], "none")[0])
        for repeat in range(REPEATS):
            past = process.simulate(300, DEPTHS, np.random.default_rng([1, repeat]))
            new = process.simulate(4000, DEPTHS, np.random.default_rng([2, repeat]))
            for price in PRICES:
                total = exact + price * var_r * DEPTHS / HORIZON
                row = judged(DEPTHS, past.metric, past.outcome, new.metric, new.outcome, price, var_r)
                best = total[LEAST:].min() / var_r
                yield {"task": name, "finished": 300, "price": price, **row, "exact": best}
    for repeat in range(REPEATS):
        (past, known), (new, truth) = mixture(300, [3, repeat]), mixture(4000, [4, repeat])
        for price in PRICES:
            row = judged(DEPTHS, past, known, new, truth, price, truth.var())
            yield {"task": "mixture", "finished": 300, "price": price, **row}


def real(results):
    """Rows of the tasks in a results folder, on validation accuracy (or loss, where that is R)."""
    for path in sorted(results.glob("*/runs.parquet")):
        frame = tables.read("runs", path)
        for metric in ("accuracy", "loss", "value"):
            here = frame[(frame["metric"] == metric) & ~frame["failure"]]
            wide = here[here["split"] == "val"].pivot_table(index="seed", columns="depth", values="value")
            r = here[here["split"] == "target"].set_index("seed")["value"].reindex(wide.index)
            if wide.shape[1] <= LEAST + 1 or not r.var() > 0:
                continue
            depth, m, r = wide.columns.to_numpy(np.int64), wide.to_numpy(float), r.to_numpy(float)
            for count in sorted({min(c, len(r) // 2) for c in (60, 250)}):
                for repeat in range(REPEATS):
                    order = np.random.default_rng([5, repeat]).permutation(len(r))
                    a, b = order[:count], order[count:][:1000]
                    for price in PRICES:
                        row = judged(depth, m[a], r[a], m[b], r[b], price, r.var())
                        name = f"{path.parent.name} {metric}"
                        yield {"task": name, "finished": count, "price": price, **row}


def main():
    """Print means over repeats, and the standard error of the gain over the prior's own c*."""
    rows = list(synthetic())
    if len(sys.argv) > 1:
        rows += real(Path(sys.argv[1]))
    groups = pd.DataFrame(rows).groupby(["task", "finished", "price"], sort=False)
    shown = groups.mean()
    shown.insert(shown.columns.get_loc("gain") + 1, "gain_se", groups["gain"].sem())
    print(shown.round(4).to_string())


if __name__ == "__main__":
    main()
