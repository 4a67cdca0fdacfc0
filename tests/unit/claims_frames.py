"""Made tables of tasks whose claims are known: of each regime some tasks, with what a test asks for."""

import pandas as pd

from prehoc import tables
from prehoc.claims.evidence import evidence

SHARES = {"static_sufficient": 0.02, "dynamic_critical": 0.5, "noise_dominant": 0.05}
IOTA = {"static_sufficient": 0.02, "dynamic_critical": 0.1, "noise_dominant": 0.8}
HORIZON, DEPTHS = 1000, (1, 4, 16, 64, 256, 1000)


def names(count=3):
    """`count` tasks of each regime."""
    return {f"{r[0]}{i}": r for r in SHARES for i in range(count)}


def frame(name, rows):
    return tables.check(name, pd.DataFrame(rows, columns=list(tables.SCHEMAS[name].columns)))


def variance(tasks, fall=0.3):
    """Risks of residual and run_to_run c^-fall, Var R = 1, with 5 % errors."""
    rows = []
    for task in tasks:
        for proxy in ("residual", "run_to_run"):
            for depth in (0, *DEPTHS):
                u = 1.0 if depth == 0 else float(depth) ** -fall
                known = "none" if depth == 0 else "last"
                if proxy == "run_to_run" and depth == 0:
                    continue
                rows.append(
                    (
                        task,
                        depth,
                        proxy,
                        known,
                        u,
                        u / 20,
                        u * 0.9,
                        u * 1.1,
                        100,
                        "accuracy",
                        800.0,
                        u,
                        1.0,
                        0.0,
                    )
                )
    return frame("variance", rows)


def envelope(tasks, power=True, identified=True, alpha=None, onset=1.0):
    """Whether the power law wins and alpha is known; `alpha` by reading and task."""
    rows = []
    for task in tasks:
        for proxy in ("residual", "run_to_run"):
            a = 0.5 if alpha is None else alpha(task, proxy)
            for model in ("power", "loglog", "exponential", "flat", "late"):
                best = (model == "power") == power and model in ("power", "exponential")
                p = 0.5 if power else 1e-4
                rows.append(
                    (task, proxy, "last", model, 0.1, 0.05, 0.15, 1.0, 0.9, 1.1, a, a * 0.9, a * 1.1, onset, HORIZON,
                     identified and model == "power", p, 0.0 if best else 8.0, len(DEPTHS), 1.0, "")
                )  # fmt: skip
    return frame("envelope", rows)


def regimes(tasks, p=0.95, paper=None, width=0.01):
    """Regimes as named, each with probability `p`; `paper` gives those of run_to_run."""
    rows = []
    for task, regime in tasks.items():
        for reading, proxy in (("bayes", "residual"), ("run_to_run", "run_to_run")):
            here = regime if reading == "bayes" or paper is None else paper(task)
            iota, left = IOTA[here], (1 - p) / 2
            chances = [p if name == here else left for name in tables.REGIMES]
            rows.append(
                (task, reading, proxy, "last", iota, iota - width, iota + width, 0.2, 1.0, *chances, here)
            )
    return frame("regimes", rows)


def c_star(tasks, shares=SHARES, spread=1.5, rules=("guarded", "closed_form", "grid"), factor=None):
    """c* at the share of T that belongs to the regime, its interval a factor of `spread` either way."""
    rows = []
    for task, regime in tasks.items():
        for proxy in ("residual", "run_to_run"):
            for rule in rules:
                c = shares[regime] * HORIZON * (factor or {}).get(rule, 1.0)
                rows.append(
                    (task, proxy, "last", rule, 1e-4, 1.0, 0.2, c, c / spread, c * spread, "interior", 0.5, 10.0,
                     proxy == "residual" and rule == "guarded")
                )  # fmt: skip
    return frame("c_star", rows)


def mismatch(tasks, ratio=2.0, predictor="ridge"):
    rows = [
        ("task", t, r, predictor, 0.2, 16.0, 500.0, 0.6, 0.6 / ratio, ratio, ratio * 0.9, ratio * 1.1, 100)
        for t, r in tasks.items()
    ]
    return frame("mismatch", rows)


def predictors(tasks, best=0.55):
    """At depth 16 (shallow) and 256 a predictor that leaves `best`, and one that leaves .9."""
    rows = [
        (t, d, "trajectory", name, s, s / 20, s * 0.9, s * 1.1, s, 100, 1.0, "accuracy")
        for t in tasks
        for d in (16, 256)
        for name, s in (("boosting", best), ("linear", 0.9))
    ]
    return frame("predictors", rows)


def complementarity(tasks, static, early):
    """Shares of Var R by regime that static signals leave, and both up to a tenth of T."""
    rows = []
    for t, r in tasks.items():
        for share, known, value in (
            (0.0, "none", 1.0), (0.0, "static", static[r]), (0.1, "static+trajectory", early[r]),
            (1.0, "static+trajectory", min(0.1, early[r])),
        ):  # fmt: skip
            gain = static[r] - value
            shown = (value, value * 0.95, value * 1.05, gain, gain - 0.02, gain + 0.02)
            rows.append(("task", t, r, share * HORIZON, share, known, *shown, 1, 100))
    return frame("complementarity", rows)


def policies_against(tasks, ratios):
    """Total risk of other policies over that of c*, a little different in each task."""
    rows = []
    for i, (t, r) in enumerate(tasks.items()):
        for other, ratio in ratios.items():
            x = ratio * (1 + 0.02 * (i % 3 - 1))
            rows.append((t, r, "c_star", other, 0.2, x, x * 0.98, x * 1.02, 100))
    return frame("policies_against", rows)


def of(tasks, *, scope="packaged", truth=None, trials=None, bound=None, **given):
    """The evidence of made tables; `given` take the place of those above."""
    frames = {
        "variance": variance(tasks),
        "envelope": envelope(tasks),
        "c_star": c_star(tasks),
        "regimes": regimes(tasks),
    }
    more = {"truth": truth or {}, "trials": trials, "bound": bound}
    return evidence(scope, list(tasks), {**frames, **given}, information="last", drivers={}, **more)
