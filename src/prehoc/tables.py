"""The schema of every table: columns, dtypes and units, checked on write and on read.

A table is written to a temporary name beside its target and then renamed, so a killed job never
leaves half a table behind.  Extra columns are refused: a column is added here first.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pandera.pandas as pa

from prehoc.errors import InputError

SPLITS = ("val", "target", "target_a", "target_b")
PROXIES = ("run_to_run", "residual", "fork", "change")
INFORMATION = ("none", "static", "last", "prefix", "static+prefix", "outputs", "state")
CORNERS = ("interior", "zero", "horizon")
REGIMES = ("static_sufficient", "dynamic_critical", "noise_dominant")
READINGS = ("run_to_run", "bayes")
MODELS = ("power", "loglog", "exponential", "flat", "late")
PARTS = ("total", "target_sampling", "label_noise", "target_domain", "remainder")
HOWS = ("halves", "binomial", "anova", "difference", "measured", "fitted")
OPTIONS = ("seeds", "depths", "seeds_and_depths")
RULES = ("closed_form", "argmin", "grid", "guarded")
RATE_FAMILIES = ("rho", "curvature", "control")


def _text(allowed: tuple[str, ...] | None = None) -> pa.Column:
    return pa.Column(str, pa.Check.isin(allowed) if allowed else None)


def _int(low: int = 0) -> pa.Column:
    return pa.Column("int64", pa.Check.ge(low), coerce=True)


def _float(nullable: bool = True, **bounds: float) -> pa.Column:
    checks = [getattr(pa.Check, name)(value) for name, value in bounds.items()]
    return pa.Column("float64", checks or None, nullable=nullable, coerce=True)


def _bool() -> pa.Column:
    return pa.Column(bool, coerce=True)


def _schema(name: str, columns: dict[str, pa.Column], unique: list[str]) -> pa.DataFrameSchema:
    return pa.DataFrameSchema(columns, name=name, strict=True, ordered=True, unique=unique)


SCHEMAS: dict[str, pa.DataFrameSchema] = {
    # One row a measurement.  `depth` in optimiser steps; `split` val is the trajectory, target is R,
    # target_a and target_b are R on the two disjoint halves of what it was read on.
    # `value` in the metric's own unit (accuracy: share of 1; loss: nats).  A failed run's rows after
    # its failure carry NaN and failure = True.
    "runs": _schema(
        "runs",
        {
            "task": _text(),
            "seed": _int(),
            "depth": _int(),
            "split": _text(SPLITS),
            "metric": _text(),
            "value": _float(),
            "failure": _bool(),
        },
        ["task", "seed", "depth", "split", "metric"],
    ),
    # One row a continuation: R (target set, depth T) of fork `fork` of trunk `seed` branched at `depth`.
    "forks": _schema(
        "forks",
        {
            "task": _text(),
            "seed": _int(),
            "depth": _int(),
            "fork": _int(),
            "metric": _text(),
            "value": _float(),
        },
        ["task", "seed", "depth", "fork", "metric"],
    ),
    # What a task's block fixes, the same for each run: sizes, class shares, parameter counts.
    "static": _schema(
        "static",
        {"task": _text(), "feature": _text(), "value": _float()},
        ["task", "feature"],
    ),
    # What each run of a population drew besides its seed.  `visible` factors are static information.
    "draws": _schema(
        "draws",
        {
            "task": _text(),
            "seed": _int(),
            "factor": _text(),
            "visible": _bool(),
            "value": _float(),
        },
        ["task", "seed", "factor"],
    ),
    # U(c) by proxy.  `risk`, `se`, `ci_*` in squared units of `metric`; `nu` the effective degrees
    # of freedom; `robust` a variance from the interquartile range; depth 0 is "no probing".
    "variance": _schema(
        "variance",
        {
            "task": _text(),
            "depth": _int(),
            "proxy": _text(PROXIES),
            "information": _text(INFORMATION),
            "risk": _float(ge=0),
            "se": _float(ge=0),
            "ci_low": _float(ge=0),
            "ci_high": _float(ge=0),
            "n": _int(),
            "metric": _text(),
            "nu": _float(ge=0),
            "robust": _float(ge=0),
            "var_r": _float(ge=0),
            "failure_rate": _float(ge=0, le=1),
        },
        ["task", "depth", "proxy", "information"],
    ),
    "envelope": _schema(
        "envelope",
        {
            "task": _text(),
            "proxy": _text(PROXIES),
            "information": _text(INFORMATION),
            "model": _text(MODELS),
            "L_int": _float(),
            "L_int_low": _float(),
            "L_int_high": _float(),
            "K": _float(),
            "K_low": _float(),
            "K_high": _float(),
            "alpha": _float(),
            "alpha_low": _float(),
            "alpha_high": _float(),
            "onset": _float(),
            "horizon": _int(1),
            "identified": _bool(),
            "lack_of_fit_p": _float(ge=0, le=1),
            "delta_aic": _float(ge=0),
            "depths": _int(),
            "var_r": _float(ge=0),
            "note": pa.Column(str),
        },
        ["task", "proxy", "information", "model"],
    ),
    # `price` w = gamma lambda T / Var R; `gamma` in metric^2 a unit of cost, `lambda` in cost a step.
    "c_star": _schema(
        "c_star",
        {
            "task": _text(),
            "proxy": _text(PROXIES),
            "information": _text(INFORMATION),
            "rule": _text(RULES),
            "gamma": _float(ge=0),
            "lambda": _float(ge=0),
            "price": _float(ge=0),
            "c_star": _float(ge=0),
            "low": _float(ge=0),
            "high": _float(ge=0),
            "corner": _text(CORNERS),
            "total_risk": _float(ge=0),
            "break_even_runs": _float(ge=0),
            "recommended": _bool(),
        },
        ["task", "proxy", "information", "rule", "price"],
    ),
    # `reading` run_to_run is the paper's, bayes the theory's (fork, else residual: see `proxy`).
    "regimes": _schema(
        "regimes",
        {
            "task": _text(),
            "reading": _text(READINGS),
            "proxy": _text(PROXIES),
            "information": _text(INFORMATION),
            "iota": _float(),
            "iota_low": _float(),
            "iota_high": _float(),
            "q": _float(),
            "static_share": _float(),
            "p_static_sufficient": _float(ge=0, le=1),
            "p_dynamic_critical": _float(ge=0, le=1),
            "p_noise_dominant": _float(ge=0, le=1),
            "regime": _text((*REGIMES, "undecided")),
        },
        ["task", "reading", "proxy"],
    ),
    # One number of one trial: a set of `runs` runs of an exact instance, reduced (prehoc.benchmark).
    "trials": _schema(
        "trials",
        {
            "instance": _text(),
            "runs": _int(1),
            "trial": _int(),
            "quantity": _text(),
            "depth": _int(),
            "value": _float(),
            "low": _float(),
            "high": _float(),
        },
        ["instance", "runs", "trial", "quantity", "depth"],
    ),
    # How far each estimate is from the exact truth, by instance and N; `bound` is Cramer-Rao's.
    "estimators": _schema(
        "estimators",
        {
            "instance": _text(),
            "regime": _text((*REGIMES, "none")),
            "proxy": _text(PROXIES),
            "information": _text(INFORMATION),
            "runs": _int(1),
            "replicates": _int(1),
            "identified": _float(ge=0, le=1),
            "quantity": _text(),
            "truth": _float(nullable=False),
            "bias": _float(nullable=False),
            "rmse": _float(nullable=False, ge=0),
            "coverage": _float(ge=0, le=1),
            "bound": _float(ge=0),
            "ratio": _float(ge=0),
        },
        ["instance", "runs", "quantity"],
    ),
    # How often the power law is refused, and what each rule's c* costs, in shares of Var R.
    "regret": _schema(
        "regret",
        {
            "instance": _text(),
            "regime": _text((*REGIMES, "none")),
            "power_law": _bool(),
            "runs": _int(1),
            "replicates": _int(1),
            "c_star": _float(nullable=False, ge=0),
            "lack_of_fit": _float(ge=0, le=1),
            "power_wins": _float(ge=0, le=1),
            "regret_guarded": _float(nullable=False),
            "regret_argmin": _float(nullable=False),
            "regret_closed_form": _float(nullable=False),
            "regret_grid": _float(nullable=False),
            "regret_loglog": _float(nullable=False),
            "regret_bound": _float(),
        },
        ["instance", "runs"],
    ),
    # How often an instance of regime `truth` was named `named`.
    "confusion": _schema(
        "confusion",
        {
            "instance": _text(),
            "runs": _int(1),
            "truth": _text(REGIMES),
            "named": _text((*REGIMES, "undecided")),
            "share": _float(nullable=False, ge=0, le=1),
            "replicates": _int(1),
        },
        ["instance", "runs", "named"],
    ),
    "targets": _schema(
        "targets",
        {
            "criterion": _text(),
            "runs": _int(1),
            "wanted": _text(),
            "mean": _float(nullable=False),
            "met": _bool(),
            "worst": _float(nullable=False),
            "worst_instance": _text(),
            "share_met": _float(nullable=False, ge=0, le=1),
            "instances": _int(1),
        },
        ["criterion", "runs"],
    ),
    # Variance by source: a row a source (`a`), pair (`a:b`), `higher`, `rest` and `total`.  `component` in
    # squared units of R; shares are of Var R.  `order`: how many sources; 0 for rest and total.
    # `total_effect`: share of all components that the source takes part in.
    "sources": _schema(
        "sources",
        {
            "task": _text(),
            "source": _text(),
            "order": _int(),
            "component": _float(),
            "component_low": _float(),
            "component_high": _float(),
            "share": _float(),
            "share_low": _float(),
            "share_high": _float(),
            "total_effect": _float(),
            "total_effect_low": _float(),
            "total_effect_high": _float(),
            "blocks": _int(),
            "truth": _float(ge=0),
            "truth_total_effect": _float(ge=0),
            "note": pa.Column(str),
        },
        ["task", "source"],
    ),
    # What L(T) of the driving curve is made of, in squared units; `how` it was found.  A part known
    # twice (binomial and halves) is in the sum once, by its binomial value.
    "intrinsic": _schema(
        "intrinsic",
        {
            "task": _text(),
            "proxy": _text(PROXIES),
            "information": _text(INFORMATION),
            "part": _text(PARTS),
            "value": _float(),
            "low": _float(),
            "high": _float(),
            "share_of_var_r": _float(),
            "how": _text(HOWS),
            "n": _int(),
            "note": pa.Column(str),
        },
        ["task", "part", "how"],
    ),
    # What would halve alpha's interval.  `depths` to be measured; `further_runs` runs (trunks, for
    # forks); `steps` that takes; widths of alpha's interval.
    "advice": _schema(
        "advice",
        {
            "task": _text(),
            "proxy": _text(PROXIES),
            "information": _text(INFORMATION),
            "option": _text(OPTIONS),
            "depths": pa.Column(str),
            "further_runs": _float(ge=0),
            "steps": _float(ge=0),
            "alpha_width_now": _float(ge=0),
            "alpha_width_then": _float(ge=0),
            "recommended": _bool(),
            "note": pa.Column(str),
        },
        ["task", "option"],
    ),
    # The exact L(c) of a synthetic task, for the figures' dashed lines and the tests.
    "truth": _schema(
        "truth",
        {
            "task": _text(),
            "depth": _int(),
            "information": _text(INFORMATION),
            "risk": _float(nullable=False, ge=0),
        },
        ["task", "depth", "information"],
    ),
    # What a predictor reaches on an exact instance, beside the bound.  `risk`, `se`, `exact`, `v_opt`,
    # `bound`, `var_r` in squared units of R; `excess` = risk/exact - 1; `z` = (risk - exact)/se.
    "lower_bound": _schema(
        "lower_bound",
        {
            "instance": _text(),
            "regime": _text((*REGIMES, "control")),
            "predictor": _text(),
            "depth": _int(),
            "information": _text(INFORMATION),
            **{name: _float(False, ge=0) for name in ("risk", "se", "exact")},
            "v_opt": _float(False),
            "bound": _float(ge=0),
            "var_r": _float(False, ge=0),
            "excess": _float(False),
            "z": _float(False),
            **{name: _int(1) for name in ("n_train", "n_test", "replicates")},
        },
        ["instance", "predictor", "depth"],
    ),
    # Whether any row of lower_bound lies below the exact risk, by Holm's test within each scope.
    "lower_bound_verdict": _schema(
        "lower_bound_verdict",
        {
            "scope": _text(("all", "predictor", "regime")),
            "name": _text(),
            "rows": _int(1),
            "min_z": _float(),
            "critical_z": _float(),
            "p_adjusted": _float(ge=0, le=1),
            "violations": _int(),
            "below_minus_2": _int(),
            "expected_below_minus_2": _float(ge=0),
            "least_excess": _float(),
            "median_excess": _float(),
            "worst": _text(),
            "verdict": _text(("holds", "violated")),
        },
        ["scope", "name"],
    ),
    # alpha-hat against the theory's, by step-size schedule; `theory` is empty where no power law holds.
    # alpha, alpha_low, alpha_high are the first replicate's; alpha_exact is fitted to the exact risk.
    "rates": _schema(
        "rates",
        {
            "family": _text(RATE_FAMILIES),
            "schedule": _text(),
            **{name: _float() for name in ("rho", "h", "eta_0", "theory")},
            **{name: _float(ge=0) for name in ("alpha", "alpha_low", "alpha_high")},
            **{name: _float(ge=0) for name in ("alpha_mean", "alpha_se", "alpha_exact")},
            **{name: _float(ge=0, le=1) for name in ("coverage", "coverage_exact", "identified")},
            "lack_of_fit_rate": _float(ge=0, le=1),
            "winner": _text(MODELS),
            "winner_share": _float(ge=0, le=1),
            **{name: _int(1) for name in ("n", "replicates", "horizon")},
        },
        ["family", "schedule", "rho", "h", "eta_0", "n"],
    ),
}


def check(name: str, frame: pd.DataFrame, source: str | Path = "") -> pd.DataFrame:
    """Return `frame` with the dtypes of table `name`; raise InputError naming the column at fault."""
    schema = SCHEMAS[name]
    columns = list(schema.columns)
    where = f"{source}: " if source else ""
    missing = [c for c in columns if c not in frame.columns]
    if missing:
        raise InputError(f"{where}table {name!r} lacks the column(s) {missing}; it needs {columns}")
    extra = [c for c in frame.columns if c not in columns]
    if extra:
        raise InputError(f"{where}table {name!r} has unknown column(s) {extra}; remove them")
    for column, spec in schema.columns.items():
        given = frame[column]
        if str(spec.dtype) == "int64" and given.dtype.kind == "f":
            odd = given[~(given % 1 == 0)]
            if len(odd):
                raise InputError(
                    f"{where}table {name!r}: column {column!r} takes whole numbers, not {odd.iloc[0]}"
                )
    try:
        text = {c: "str" for c, spec in schema.columns.items() if str(spec.dtype).startswith("str")}
        kept = frame[columns].reset_index(drop=True)
        return schema.validate(kept.astype(text) if kept.empty else kept)
    except (pa.errors.SchemaError, pa.errors.SchemaErrors) as error:
        line = " ".join(str(error).split())
        raise InputError(f"{where}table {name!r} is not as declared: {line[:300]}") from error


def in_order(name: str, frame: pd.DataFrame) -> pd.DataFrame:
    """`frame` sorted by the key of table `name`: the same rows in the same order, however sharded."""
    return frame.sort_values(list(SCHEMAS[name].unique or []), kind="stable", ignore_index=True)


def empty(name: str) -> pd.DataFrame:
    """An empty table `name` with its columns and dtypes."""
    columns = {c: pd.Series(dtype=str(spec.dtype)) for c, spec in SCHEMAS[name].columns.items()}
    return pd.DataFrame(columns)


@contextlib.contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is flushed to disk and renamed to `path`."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{target.stem}.", suffix=target.suffix, dir=target.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as stream:
            os.fsync(stream.fileno())
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def write(name: str, frame: pd.DataFrame, path: str | Path) -> None:
    """Check `frame` as table `name`, then write it as Parquet or CSV, by the ending of `path`."""
    checked = check(name, frame, path)
    with atomic(path) as temporary:
        if Path(path).suffix == ".parquet":
            checked.to_parquet(temporary, index=False)
        else:
            checked.to_csv(temporary, index=False, float_format="%.10g")


def read(name: str, path: str | Path) -> pd.DataFrame:
    """Read table `name` and check it.

    Raises InputError if the file is missing, unreadable, or not as declared.
    """
    try:
        if Path(path).suffix == ".parquet":
            frame = pd.read_parquet(path)
        else:
            text = {c: "str" for c, s in SCHEMAS[name].columns.items() if str(s.dtype).startswith("str")}
            frame = pd.read_csv(path, dtype=text, keep_default_na=True)
            for column in text:
                if column in frame:
                    frame[column] = frame[column].fillna("")
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except (ValueError, OSError) as error:
        raise InputError(f"{path}: cannot be read as a table ({error}); delete it and run again") from error
    return check(name, frame, path)


def write_json(payload: Mapping[str, Any], path: str | Path) -> None:
    """Write a JSON object atomically, keys in the order given, NaN refused."""
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(payload, indent=2, allow_nan=False, ensure_ascii=False) + "\n")
