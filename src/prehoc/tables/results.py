"""The tables of tasks: what is measured, and what is concluded."""

from __future__ import annotations

import pandera.pandas as pa

from prehoc.tables.columns import (
    AXES,
    CORNERS,
    HOWS,
    INFORMATION,
    MODELS,
    OPTIONS,
    PARTS,
    PROXIES,
    READINGS,
    REGIMES,
    RULES,
    SPLITS,
    flag,
    number,
    schema,
    single,
    text,
    whole,
)

RESULTS: dict[str, pa.DataFrameSchema] = {
    # One row a measurement.  `depth` in optimiser steps; `split` val is the trajectory, target is R,
    # target_a and target_b are R on the two disjoint halves of what it was read on.
    # `value` in the metric's own unit (accuracy: share of 1; loss: nats, or squared labels).  A failed
    # run's rows after its failure carry NaN and failure = True.
    "runs": schema(
        "runs",
        {
            "task": text(),
            "seed": whole(),
            "depth": whole(),
            "split": text(SPLITS),
            "metric": text(),
            "value": number(),
            "failure": flag(),
        },
        ["task", "seed", "depth", "split", "metric"],
    ),
    # One row a continuation: R (target set, depth T) of fork `fork` of trunk `seed` branched at `depth`.
    "forks": schema(
        "forks",
        {
            "task": text(),
            "seed": whole(),
            "depth": whole(),
            "fork": whole(),
            "metric": text(),
            "value": number(),
        },
        ["task", "seed", "depth", "fork", "metric"],
    ),
    # What a run says of validation example `example`: the log-probability, in nats, that it gives the right
    # answer at `depth` (for a language model its mean over the answer's tokens).  NaN for a failed run.
    "outputs": schema(
        "outputs",
        {"task": text(), "seed": whole(), "depth": whole(), "example": whole(), "value": single()},
        ["task", "seed", "depth", "example"],
    ),
    # What a task's block fixes, the same for each run: sizes, class shares, parameter counts.
    "static": schema(
        "static",
        {"task": text(), "feature": text(), "value": number()},
        ["task", "feature"],
    ),
    # What each run of a population drew besides its seed.  `visible` factors are static information.
    "draws": schema(
        "draws",
        {
            "task": text(),
            "seed": whole(),
            "factor": text(),
            "visible": flag(),
            "value": number(),
        },
        ["task", "seed", "factor"],
    ),
    # U(c) by proxy.  `risk`, `se`, `ci_*` in squared units of `metric`; `nu` the effective degrees
    # of freedom; `robust` a variance from the interquartile range; depth 0 is "no probing".
    "variance": schema(
        "variance",
        {
            "task": text(),
            "depth": whole(),
            "proxy": text(PROXIES),
            "information": text(INFORMATION),
            "risk": number(ge=0),
            "se": number(ge=0),
            "ci_low": number(ge=0),
            "ci_high": number(ge=0),
            "n": whole(),
            "metric": text(),
            "nu": number(ge=0),
            "robust": number(ge=0),
            "var_r": number(ge=0),
            "failure_rate": number(ge=0, le=1),
        },
        ["task", "depth", "proxy", "information"],
    ),
    "envelope": schema(
        "envelope",
        {
            "task": text(),
            "proxy": text(PROXIES),
            "information": text(INFORMATION),
            "model": text(MODELS),
            "L_int": number(),
            "L_int_low": number(),
            "L_int_high": number(),
            "K": number(),
            "K_low": number(),
            "K_high": number(),
            "alpha": number(),
            "alpha_low": number(),
            "alpha_high": number(),
            "onset": number(),
            "horizon": whole(1),
            "identified": flag(),
            "lack_of_fit_p": number(ge=0, le=1),
            "delta_aic": number(ge=0),
            "depths": whole(),
            "var_r": number(ge=0),
            "note": pa.Column(str),
        },
        ["task", "proxy", "information", "model"],
    ),
    # `price` w = gamma lambda T / Var R; `gamma` in metric^2 a unit of cost, `lambda` in cost a step.
    "c_star": schema(
        "c_star",
        {
            "task": text(),
            "proxy": text(PROXIES),
            "information": text(INFORMATION),
            "rule": text(RULES),
            "gamma": number(ge=0),
            "lambda": number(ge=0),
            "price": number(ge=0),
            "c_star": number(ge=0),
            "low": number(ge=0),
            "high": number(ge=0),
            "corner": text(CORNERS),
            "total_risk": number(ge=0),
            "break_even_runs": number(ge=0),
            "recommended": flag(),
        },
        ["task", "proxy", "information", "rule", "price"],
    ),
    # `reading` run_to_run is the paper's, bayes the theory's (fork, else residual: see `proxy`).
    "regimes": schema(
        "regimes",
        {
            "task": text(),
            "reading": text(READINGS),
            "proxy": text(PROXIES),
            "information": text(INFORMATION),
            "iota": number(),
            "iota_low": number(),
            "iota_high": number(),
            "q": number(),
            "static_share": number(),
            "p_static_sufficient": number(ge=0, le=1),
            "p_dynamic_critical": number(ge=0, le=1),
            "p_noise_dominant": number(ge=0, le=1),
            "regime": text((*REGIMES, "undecided")),
        },
        ["task", "reading", "proxy"],
    ),
    # Variance by source: a row a source (`a`), pair (`a:b`), `higher`, `rest` and `total`.  `component` in
    # squared units of R; shares are of Var R.  `order`: how many sources; 0 for rest and total.
    # `total_effect`: share of all components that the source takes part in.
    "sources": schema(
        "sources",
        {
            "task": text(),
            "source": text(),
            "order": whole(),
            "component": number(),
            "component_low": number(),
            "component_high": number(),
            "share": number(),
            "share_low": number(),
            "share_high": number(),
            "total_effect": number(),
            "total_effect_low": number(),
            "total_effect_high": number(),
            "blocks": whole(),
            "truth": number(ge=0),
            "truth_total_effect": number(ge=0),
            "note": pa.Column(str),
        },
        ["task", "source"],
    ),
    # What L(T) of the driving curve is made of, in squared units; `how` it was found.  A part known
    # twice (binomial and halves) is in the sum once, by its binomial value.
    "intrinsic": schema(
        "intrinsic",
        {
            "task": text(),
            "proxy": text(PROXIES),
            "information": text(INFORMATION),
            "part": text(PARTS),
            "value": number(),
            "low": number(),
            "high": number(),
            "share_of_var_r": number(),
            "how": text(HOWS),
            "n": whole(),
            "note": pa.Column(str),
        },
        ["task", "part", "how"],
    ),
    # What would halve alpha's interval.  `depths` to be measured; `further_runs` runs (trunks, for
    # forks); `steps` that takes; widths of alpha's interval.
    "advice": schema(
        "advice",
        {
            "task": text(),
            "proxy": text(PROXIES),
            "information": text(INFORMATION),
            "option": text(OPTIONS),
            "depths": pa.Column(str),
            "further_runs": number(ge=0),
            "steps": number(ge=0),
            "alpha_width_now": number(ge=0),
            "alpha_width_then": number(ge=0),
            "recommended": flag(),
            "note": pa.Column(str),
        },
        ["task", "option"],
    ),
    # The crossing of `snakemake robustness`: a row a cell and reading.  iota and alpha as in `regimes` and
    # `envelope`, L_int and var_r in squared units of R; `regime_p` is the probability of `regime`.
    "robustness": schema(
        "robustness",
        {
            "cell": text(),
            **{axis: text() for axis in AXES},
            "reading": text(("run_to_run", "residual")),
            "runs": whole(),
            "failed_share": number(ge=0, le=1),
            "mean_r": number(),
            "var_r": number(ge=0),
            **{name: number() for name in ("iota", "iota_low", "iota_high", "q")},
            **{name: number(ge=0) for name in ("alpha", "alpha_low", "alpha_high")},
            **{name: number() for name in ("L_int", "L_int_low", "L_int_high")},
            "identified": flag(),
            "regime": text((*REGIMES, "undecided")),
            "regime_p": number(ge=0, le=1),
            "price": number(ge=0),
            "c_star": number(ge=0),
        },
        ["cell", "reading"],
    ),
    # What moves over the crossing: `effect` of a level on a quantity, off its axis's mean; `share`
    # of the variation between cells; `agreement`, the share of pairs of cells with one regime.
    "robustness_axes": schema(
        "robustness_axes",
        {
            "reading": text(("run_to_run", "residual")),
            "quantity": text(("iota", "ln_iota", "ln_alpha", "regime")),
            "kind": text(("effect", "share", "agreement")),
            "axis": text((*AXES, "left", "all")),
            "level": text(),
            **{name: number() for name in ("value", "low", "high")},
            "cells": whole(),
            "note": pa.Column(str),
        },
        ["reading", "quantity", "kind", "axis", "level"],
    ),
}
