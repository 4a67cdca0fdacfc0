"""The tables of decisions: what predicts R, what probing is worth, and the claims."""

from __future__ import annotations

import pandera.pandas as pa

from prehoc.tables.columns import REGIMES, flag, number, schema, single, text, whole

KNOWN_BY = ("none", "static", "trajectory", "static+trajectory")  # what a predictor sees
CLAIMS = ("E1", "E2", "E3", "E4", "E5", "E6", "E7")
SCOPES = ("synthetic", "packaged", "imported")
CLAIM_VERDICTS = ("supported", "contradicted", "undecided")
_REGIME = (*REGIMES, "undecided")

DECISIONS: dict[str, pa.DataFrameSchema] = {
    # What training notes of a run beside its metrics, each in its own unit (docs/tasks.md): at depth 0 of
    # the run as it starts, at a later depth of the steps since the one before.  NaN after a failure.
    "signals": schema(
        "signals",
        {"task": text(), "seed": whole(), "depth": whole(), "signal": text(), "value": single()},
        ["task", "seed", "depth", "signal"],
    ),
    # Cross-validated risk of predicting R at `depth`: mean squared error over held-out runs, in squared
    # units of `metric`; `share` is of Var R.  Predictor `best` is chosen within each training fold.
    "predictors": schema(
        "predictors",
        {
            "task": text(),
            "depth": whole(),
            "information": text(KNOWN_BY),
            "predictor": text(),
            "risk": number(ge=0),
            "se": number(ge=0),
            "ci_low": number(ge=0),
            "ci_high": number(ge=0),
            "share": number(ge=0),
            "n": whole(),
            "var_r": number(ge=0),
            "metric": text(),
        },
        ["task", "depth", "information", "predictor"],
    ),
    # Each run's forecast of R by models learned without its fold, at `depth` (0: before the first step).
    "held_out": schema(
        "held_out",
        {
            "task": text(),
            "seed": whole(),
            "fold": whole(),
            "depth": whole(),
            "information": text(KNOWN_BY),
            "predictor": text(),
            "outcome": number(False),
            "forecast": number(False),
        },
        ["task", "seed", "depth", "information", "predictor"],
    ),
    # The recommended c* (steps) at a price w by the runs outside of a fold, and the measured depth nearest
    # to it; 0: no probing.
    "own_depth": schema(
        "own_depth",
        {
            "task": text(),
            "fold": whole(),
            "price": number(ge=0),
            "c_star": number(ge=0),
            "depth": whole(),
        },
        ["task", "fold", "price"],
    ),
    # The risk of the best predictor by information, over depth, of each task (`level` task) and pooled
    # over the tasks of a regime (`level` regime, `name` the regime, `depth` nan).  `gain`: what static
    # information alone leaves, less `share`, paired.
    "complementarity": schema(
        "complementarity",
        {
            "level": text(("task", "regime")),
            "name": text(),
            "regime": text(_REGIME),
            "depth": number(),
            "depth_share": number(ge=0, le=1),
            "information": text(KNOWN_BY),
            "share": number(ge=0),
            "low": number(ge=0),
            "high": number(ge=0),
            "gain": number(),
            "gain_low": number(),
            "gain_high": number(),
            "tasks": whole(1),
            "n": whole(),
        },
        ["level", "name", "depth_share", "information"],
    ),
    # Leave one task out: predictors learned on the runs of all other tasks, R in units of the metric.
    # `share` is the mean squared error over Var R of the task left out; `rank` the Spearman correlation.
    "transfer": schema(
        "transfer",
        {
            "task": text(),
            "regime": text(_REGIME),
            "depth_share": number(ge=0, le=1),
            "information": text(KNOWN_BY),
            "predictor": text(),
            "risk": number(ge=0),
            "share": number(ge=0),
            "low": number(ge=0),
            "high": number(ge=0),
            "rank": number(ge=-1, le=1),
            "n": whole(),
            "tasks": whole(),
        },
        ["task", "depth_share", "information", "predictor"],
    ),
    # The same predictor at a shallow depth and at the task's own c*: `ratio` = risk_shallow/risk_own.
    "mismatch": schema(
        "mismatch",
        {
            "level": text(("task", "regime")),
            "name": text(),
            "regime": text(_REGIME),
            "predictor": text(),
            "price": number(ge=0),
            "shallow": number(ge=0),
            "own": number(ge=0),
            "share_shallow": number(ge=0),
            "share_own": number(ge=0),
            "ratio": number(ge=0),
            "low": number(ge=0),
            "high": number(ge=0),
            "n": whole(),
        },
        ["level", "name", "predictor", "price"],
    ),
    # How much of the gap between the metric and the forks features close: `closed` = (U_last - U)/(U_last -
    # U_fork), nan where no forks were measured at that depth.
    "gap": schema(
        "gap",
        {
            "task": text(),
            "metric": text(),
            "depth": whole(),
            "features": text(),
            "predictor": text(),
            "risk": number(ge=0),
            "ci_low": number(ge=0),
            "ci_high": number(ge=0),
            "share": number(ge=0),
            "closed": number(),
            "closed_low": number(),
            "closed_high": number(),
            "n": whole(),
        },
        ["task", "metric", "depth", "features", "predictor"],
    ),
    # What each policy costs and gains on runs held out of its calibration.  `steps` a run on average;
    # `risk` the mean squared error of its forecast; total_risk = risk + gamma lambda steps, squared units;
    # regrets in units of R, of a go / no-go decision and of picking the best of k.  nan: no such number.
    "policies": schema(
        "policies",
        {
            "task": text(),
            "regime": text(_REGIME),
            "policy": text(),
            "price": number(ge=0),
            "steps": number(ge=0),
            "steps_share": number(ge=0),
            "risk": number(ge=0),
            "risk_low": number(ge=0),
            "risk_high": number(ge=0),
            "total_risk": number(ge=0),
            "total_low": number(ge=0),
            "total_high": number(ge=0),
            "regret_go": number(ge=0),
            "regret_go_low": number(ge=0),
            "regret_go_high": number(ge=0),
            "regret_best": number(ge=0),
            "regret_best_low": number(ge=0),
            "regret_best_high": number(ge=0),
            "calibration_steps": number(ge=0),
            "break_even_runs": number(ge=0),
            "told": number(ge=0, le=1),
            "var_r": number(ge=0),
            "n": whole(),
            "note": pa.Column(str),
        },
        ["task", "policy", "price"],
    ),
    # Total risk of `other` over that of `policy`, at one price and on the same held-out runs: over 1 where
    # the policy is the cheaper one.  The interval is of the two together (paired bootstrap over runs).
    "policies_against": schema(
        "policies_against",
        {
            "task": text(),
            "regime": text(_REGIME),
            "policy": text(),
            "other": text(),
            "price": number(ge=0),
            "ratio": number(ge=0),
            "low": number(ge=0),
            "high": number(ge=0),
            "n": whole(),
        },
        ["task", "policy", "other", "price"],
    ),
    # E1-E7 against criteria that the config fixed before the run.
    "claims": schema(
        "claims",
        {
            "claim": text(CLAIMS),
            "scope": text(SCOPES),
            "criterion": text(),
            "threshold": number(),
            "value": number(),
            "low": number(),
            "high": number(),
            "verdict": text(CLAIM_VERDICTS),
            "tasks": whole(),
            "note": pa.Column(str),
        },
        ["claim", "scope", "criterion"],
    ),
    # Fitted tasks that `prehoc advise` knows: the risk over depth of the driving curve.
    "library": schema(
        "library",
        {
            "task": text(),
            "depth": whole(),
            "proxy": text(),
            "information": text(),
            "risk": number(ge=0),
            "ci_low": number(ge=0),
            "ci_high": number(ge=0),
            "horizon": whole(1),
            "var_r": number(ge=0),
            "mean_r": number(),
            "metric": text(),
            "regime": text(_REGIME),
            "n": whole(),
            "own": flag(),
        },
        ["task", "depth"],
    ),
}
