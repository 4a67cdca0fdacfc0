"""Made-up tables with a realistic spread, for the figures' tests; no measurement."""

import numpy as np
import pandas as pd

from prehoc import tables

FAMILIES = {
    "seeds alone": ["movie_polarity", "bbc_topics", "movie_polarity_flipped", "movie_head_n1500"],
    "populations": ["subsets_of_64", "noise_hidden", "noise_visible", "domain_shift"],
    "from scratch": ["modular_addition"],
    "synthetic": ["synthetic_static", "synthetic_dynamic", "synthetic_noise"],
}
TASKS = [task for members in FAMILIES.values() for task in members]
ALPHAS = (0.15, 0.5, 0.1, 0.8, 1.2, 0.3, 2.0, 0.6, 0.25, 1.6, 0.5, 0.9)
IOTAS = (0.0, 0.02, 0.6, 0.1, 0.3, 0.8, 0.05, 0.55, 0.0, 0.02, 0.05, 0.7)
REAL_DEPTHS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


def make(tasks=TASKS, seed=0, horizon=256, forked=True, identified=True):
    """Variance, envelope, c_star, regimes, truth, and runs by task."""
    rng = np.random.default_rng(seed)
    frames = {name: [] for name in ("variance", "envelope", "c_star", "regimes", "truth")}
    for i, task in enumerate(tasks):
        T = horizon * (10 if task == "modular_addition" else 1)
        depths = sorted({max(1, int(d * T / 256)) for d in REAL_DEPTHS})
        alpha, iota = ALPHAS[i % 12], IOTAS[i % 12]
        var_r = 10.0 ** rng.uniform(-4, -2)
        known = identified and i % 5 != 2
        proxies = ["run_to_run", "residual"] + (["fork"] if forked and i % 3 == 0 else [])
        for proxy in proxies:
            information = {"run_to_run": "none", "residual": "last", "fork": "state"}[proxy]
            a, b = (alpha, iota) if proxy == "fork" else (alpha / 2 + 0.1, iota)
            top = 1.0
            if proxy == "run_to_run":
                a, b, top = alpha, 1.0, float(10 ** rng.uniform(0.3, 2))
            law = (np.array(depths) + 0.5) ** -a - (T + 0.5) ** -a
            K = (top - b if proxy != "run_to_run" else top) / law[0]
            mu = b + K * law
            nu = 60.0
            for depth, m in zip(depths, mu, strict=True):
                u = m * rng.chisquare(nu) / nu
                zero = proxy == "fork" and depth == T and b == 0
                risk = 0.0 if zero else u * var_r
                bar = np.sqrt(2 / nu) * risk
                frames["variance"].append(
                    (task, depth, proxy, information, risk, bar, max(risk - 2 * bar, 0),
                     risk + 2 * bar, 64, "accuracy", nu, risk, var_r, 0.0)
                )  # fmt: skip
            low, high = (a * 0.8, a * 1.25) if known else ((0.02, 4.0) if i % 2 else (0.4, 4.0))
            rival = 3.0 if i % 4 == 1 else 0.0
            fit = (b * var_r, b * 0.8 * var_r, b * 1.2 * var_r)
            scale = (K * var_r, K * 0.8 * var_r, K * 1.2 * var_r)
            rest = (4.0 if i % 3 == 1 else 1.0, T, known, 0.4)
            tail = (len(depths), var_r, "")
            frames["envelope"] += [
                (task, proxy, information, "power", *fit, *scale, a, low, high, *rest, rival,
                 *tail),
                (task, proxy, information, "exponential", *fit, *scale, a, low, high, *rest,
                 3.0 - rival, *tail),
            ]  # fmt: skip
            for price in (0.05, 0.1, 0.2, 0.5, 1.0):
                star = (a * K / (price / T)) ** (1 / (a + 1)) if b < 0.5 else 0.0
                corner = "zero" if star < 1 else ("horizon" if star >= T else "interior")
                star = {"zero": 0.0, "horizon": float(T), "interior": star}[corner]
                spread = (star * 0.7, min(star * 1.4, T)) if corner == "interior" else (star, star)
                frames["c_star"].append(
                    (task, proxy, information, "argmin", price * var_r, 1 / T, price, star, *spread,
                     corner, b * var_r, 10.0, True)
                )  # fmt: skip
            reading = "run_to_run" if proxy == "run_to_run" else "bayes"
            x = 1 / top if proxy == "run_to_run" else iota
            regime = "noise_dominant" if x >= 0.5 else (
                "dynamic_critical" if a < 0.7 else "static_sufficient")  # fmt: skip
            share = {name: float(name == regime) for name in tables.REGIMES}
            frames["regimes"].append(
                (task, reading, proxy, information, x, max(x - 0.06, 0), x + 0.08, 0.2, 0.9,
                 *share.values(), regime)
            )  # fmt: skip
            if task.startswith("synthetic") and reading == "bayes":
                exact = zip(depths, mu, strict=True)
                frames["truth"] += [(task, depth, information, m * var_r) for depth, m in exact]
    return {
        name: tables.check(name, pd.DataFrame(rows, columns=list(tables.SCHEMAS[name].columns)))
        if rows
        else tables.empty(name)
        for name, rows in frames.items()
    }


def make_runs(tasks=TASKS, seeds=24, seed=0):
    rng = np.random.default_rng(seed)
    runs = {}
    for i, task in enumerate(tasks):
        depths = np.array([0, *REAL_DEPTHS]) * (10 if task == "modular_addition" else 1)
        loss = task.startswith("synthetic")
        rows = []
        for s in range(seeds):
            end = rng.normal(0.75, 0.03)
            curve = 0.5 + (end - 0.5) * (1 - np.exp(-depths / depths[5 + i % 3]))
            values = curve + rng.normal(0, 0.02, len(depths))
            values = 1.5 - values if loss else values
            failed = s == 0 and i % 4 == 0
            metric = "loss" if loss else "accuracy"
            for d, v in zip(depths, values, strict=True):
                bad = failed and d > 8
                rows.append((task, s, d, "val", metric, np.nan if bad else v, bad))
            final = np.nan if failed else values[-1] + rng.normal(0, 0.01)
            rows.append((task, s, depths[-1], "target", metric, final, failed))
        columns = list(tables.SCHEMAS["runs"].columns)
        runs[task] = tables.check("runs", pd.DataFrame(rows, columns=columns))
    return runs


def many(count):
    return [f"{TASKS[i % 12]}_{i // 12}" if i >= 12 else TASKS[i] for i in range(count)]
