"""The tables of exact truth, and of the benchmarks against it."""

from __future__ import annotations

import pandera.pandas as pa

from prehoc.tables.columns import (
    INFORMATION,
    MODELS,
    PROXIES,
    RATE_FAMILIES,
    REGIMES,
    flag,
    number,
    schema,
    text,
    whole,
)

EXACT: dict[str, pa.DataFrameSchema] = {
    # One number of one trial: a set of `runs` runs of an exact instance, reduced (prehoc.benchmark).
    "trials": schema(
        "trials",
        {
            "instance": text(),
            "runs": whole(1),
            "trial": whole(),
            "quantity": text(),
            "depth": whole(),
            "value": number(),
            "low": number(),
            "high": number(),
        },
        ["instance", "runs", "trial", "quantity", "depth"],
    ),
    # How far each estimate is from the exact truth, by instance and N; `bound` is Cramer-Rao's.
    "estimators": schema(
        "estimators",
        {
            "instance": text(),
            "regime": text((*REGIMES, "none")),
            "proxy": text(PROXIES),
            "information": text(INFORMATION),
            "runs": whole(1),
            "replicates": whole(1),
            "identified": number(ge=0, le=1),
            "quantity": text(),
            "truth": number(nullable=False),
            "bias": number(nullable=False),
            "rmse": number(nullable=False, ge=0),
            "coverage": number(ge=0, le=1),
            "bound": number(ge=0),
            "ratio": number(ge=0),
        },
        ["instance", "runs", "quantity"],
    ),
    # How often the power law is refused, and what each rule's c* costs, in shares of Var R.
    "regret": schema(
        "regret",
        {
            "instance": text(),
            "regime": text((*REGIMES, "none")),
            "power_law": flag(),
            "runs": whole(1),
            "replicates": whole(1),
            "c_star": number(nullable=False, ge=0),
            "lack_of_fit": number(ge=0, le=1),
            "power_wins": number(ge=0, le=1),
            "regret_guarded": number(nullable=False),
            "regret_argmin": number(nullable=False),
            "regret_closed_form": number(nullable=False),
            "regret_grid": number(nullable=False),
            "regret_loglog": number(nullable=False),
            "regret_bound": number(),
        },
        ["instance", "runs"],
    ),
    # How often an instance of regime `truth` was named `named`.
    "confusion": schema(
        "confusion",
        {
            "instance": text(),
            "runs": whole(1),
            "truth": text(REGIMES),
            "named": text((*REGIMES, "undecided")),
            "share": number(nullable=False, ge=0, le=1),
            "replicates": whole(1),
        },
        ["instance", "runs", "named"],
    ),
    "targets": schema(
        "targets",
        {
            "criterion": text(),
            "runs": whole(1),
            "wanted": text(),
            "mean": number(nullable=False),
            "met": flag(),
            "mean_met": flag(),
            "worst": number(nullable=False),
            "worst_instance": text(),
            "share_met": number(nullable=False, ge=0, le=1),
            "instances": whole(1),
        },
        ["criterion", "runs"],
    ),
    # What a predictor reaches on an exact instance, beside the bound.  `risk`, `se`, `exact`, `v_opt`,
    # `bound`, `var_r` in squared units of R; `excess` = risk/exact - 1; `z` = (risk - exact)/se.
    "lower_bound": schema(
        "lower_bound",
        {
            "instance": text(),
            "regime": text((*REGIMES, "control")),
            "predictor": text(),
            "depth": whole(),
            "information": text(INFORMATION),
            **{name: number(False, ge=0) for name in ("risk", "se", "exact")},
            "v_opt": number(False),
            "bound": number(ge=0),
            "var_r": number(False, ge=0),
            "excess": number(False),
            "z": number(False),
            **{name: whole(1) for name in ("n_train", "n_test", "replicates")},
        },
        ["instance", "predictor", "depth"],
    ),
    # Whether any row of lower_bound lies below the exact risk, by Holm's test within each scope.
    "lower_bound_verdict": schema(
        "lower_bound_verdict",
        {
            "scope": text(("all", "predictor", "regime")),
            "name": text(),
            "rows": whole(1),
            "min_z": number(),
            "critical_z": number(),
            "p_adjusted": number(ge=0, le=1),
            "violations": whole(),
            "below_minus_2": whole(),
            "expected_below_minus_2": number(ge=0),
            "least_excess": number(),
            "median_excess": number(),
            "worst": text(),
            "verdict": text(("holds", "violated")),
        },
        ["scope", "name"],
    ),
    # alpha-hat against the theory's, by step-size schedule; `theory` is empty where no power law holds.
    # alpha, alpha_low, alpha_high are the first replicate's; alpha_exact is fitted to the exact risk.
    "rates": schema(
        "rates",
        {
            "family": text(RATE_FAMILIES),
            "schedule": text(),
            **{name: number() for name in ("rho", "h", "eta_0", "theory")},
            **{name: number(ge=0) for name in ("alpha", "alpha_low", "alpha_high")},
            **{name: number(ge=0) for name in ("alpha_mean", "alpha_se", "alpha_exact")},
            **{name: number(ge=0, le=1) for name in ("coverage", "coverage_exact", "identified")},
            "lack_of_fit_rate": number(ge=0, le=1),
            "winner": text(MODELS),
            "winner_share": number(ge=0, le=1),
            **{name: whole(1) for name in ("n", "replicates", "horizon")},
        },
        ["family", "schedule", "rho", "h", "eta_0", "n"],
    ),
    # The exact L(c) of a synthetic task, for the figures' dashed lines and the tests.
    "truth": schema(
        "truth",
        {
            "task": text(),
            "depth": whole(),
            "information": text(INFORMATION),
            "risk": number(nullable=False, ge=0),
        },
        ["task", "depth", "information"],
    ),
}
