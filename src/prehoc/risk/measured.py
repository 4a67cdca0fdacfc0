"""From the runs, forks and draws of tasks to the tables variance and envelope."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from prehoc import tables
from prehoc.errors import InputError
from prehoc.risk import rivals
from prehoc.risk.curves import Curve, measure, noiseless_forks, none_estimate, wanted
from prehoc.risk.data import TaskData, split_tasks, whole_horizon
from prehoc.risk.envelope import MIN_DEPTHS, EnvelopeFit
from prehoc.risk.onset import Onset, find_onset
from prehoc.risk.outputs import Outputs
from prehoc.tables.scales import rows_of

Key = tuple[str, str, str]
KEY = ("task", "proxy", "information")
Horizons = int | Mapping[str, int] | None
Runs = pd.DataFrame | Mapping[str, TaskData]

_PROXIES = ("residual", "run_to_run", "change", "fork")
_INFORMATION = ("last", "prefix", "outputs", "static", "static+prefix")


def as_table(name: str, rows: list[dict[str, Any]], keys: list[str]) -> pd.DataFrame:
    """Rows as the checked table `name`, sorted by `keys`; missing columns are null."""
    if not rows:
        return tables.empty(name)
    frame = pd.DataFrame(rows, columns=list(tables.SCHEMAS[name].columns))
    return tables.check(name, frame.sort_values(keys, kind="stable"))


def variance_table(
    runs: Runs,
    forks: pd.DataFrame | None = None,
    draws: pd.DataFrame | None = None,
    *,
    metric: str,
    proxies: Sequence[str] = _PROXIES,
    information: Sequence[str] = _INFORMATION,
    confidence: float = 0.95,
    horizons: Horizons = None,
    outputs: Outputs | None = None,
) -> pd.DataFrame:
    """The table `variance`: U(c) of every proxy and information set, for all tasks in `runs`.

    Depth 0 holds Var R (information `none`) for residual and fork, and `static` where a visible
    factor varies.  Depths with too few runs, or whose risk is zero by construction (the last
    metric is R itself), are left out.  Raises InputError as curves.split_tasks does.
    """
    pairs = wanted(proxies, information)
    rows: list[dict[str, Any]] = []
    if isinstance(runs, Mapping):
        measured: Iterable[TaskData] = runs.values()
    else:
        measured = split_tasks(runs, forks, draws, metric=metric, horizons=horizons, outputs=outputs)
    for data in measured:
        curves = [measure(data, p, i, confidence) for p, i in pairs]
        for proxy in ("residual", "fork"):
            if any(c is not None and c.proxy == proxy for c in curves):
                none = Curve(proxy, "none", np.zeros(1, np.int64), none_estimate(data, confidence))
                curves.append(none)
        for curve in curves:
            if curve is not None:
                rows += _variance_rows(data, curve, metric)
    return as_table("variance", rows, ["task", "proxy", "information", "depth"])


def lost_table(task: str, runs: pd.DataFrame, metric: str) -> pd.DataFrame:
    """The table `variance` of a task whose runs failed: no risk, and the failure rate at depth 0."""
    last = rows_of(runs[runs["split"] == "target"], metric)
    row: dict[str, Any] = dict.fromkeys(tables.SCHEMAS["variance"].columns, float("nan"))
    row |= {"task": task, "depth": 0, "proxy": "residual", "information": "none", "metric": metric}
    row |= {"n": int(last["value"].notna().sum()), "failure_rate": float(last["failure"].mean())}
    return as_table("variance", [row], ["task", "depth"])


def _variance_rows(data: TaskData, curve: Curve, metric: str) -> list[dict[str, Any]]:
    e = curve.estimate
    rows = []
    for j, depth in enumerate(curve.depth):
        if not np.isfinite(e.risk[j]):
            continue
        lost = e.failure_rate[j] if curve.proxy == "fork" else data.failure_rate
        rows.append(
            {
                "task": data.task,
                "depth": int(depth),
                "proxy": curve.proxy,
                "information": curve.information,
                "risk": e.risk[j],
                "se": e.se[j],
                "ci_low": e.ci_low[j],
                "ci_high": e.ci_high[j],
                "n": int(e.n[j]),
                "metric": metric,
                "nu": e.nu[j],
                "robust": e.robust[j],
                "var_r": data.var_r,
                "failure_rate": float(lost),
            }
        )
    return rows


def horizon_of(task: str, horizons: Horizons, data: TaskData | None) -> int:
    """A task's horizon as given, else as measured; InputError where it is neither."""
    if isinstance(horizons, Mapping):
        if task in horizons:
            return whole_horizon(task, horizons[task])
    elif horizons is not None:
        return whole_horizon(task, horizons)
    if data is not None:
        return data.horizon
    raise InputError(f"task {task!r}: the horizon is missing")


def var_r_of(variance: pd.DataFrame, key: Key) -> float:
    """The variance that a curve's shares refer to, squared units: Var R, from its rows."""
    rows = variance[(variance[list(KEY)] == list(key)).all(axis=1)]
    return float(rows["var_r"].iloc[0])


def load(
    variance: pd.DataFrame,
    runs: Runs | None,
    forks: pd.DataFrame | None,
    draws: pd.DataFrame | None,
    horizons: Horizons,
    outputs: Outputs | None = None,
) -> dict[str, TaskData]:
    """The tasks' measurements by name, of the metric that `variance` names; {} without runs.

    `runs` may be these measurements themselves: then they are taken as they are.
    """
    if isinstance(runs, Mapping):
        return {task: runs[task] for task in sorted(set(variance["task"]) & set(runs))}
    if runs is None or variance.empty:
        return {}
    found: dict[str, TaskData] = {}
    for metric, part in variance.groupby("metric", sort=True):
        names = set(part["task"])
        keep = runs[runs["task"].isin(names)]
        split = split_tasks(keep, forks, draws, metric=str(metric), horizons=horizons, outputs=outputs)
        found.update({data.task: data for data in split})
    return found


def fit_curves(
    variance: pd.DataFrame,
    data: Mapping[str, TaskData],
    horizons: Horizons,
    *,
    shift: float = 0.0,
    confidence: float = 0.95,
    level: float = 0.01,
) -> dict[Key, Onset | str]:
    """The envelope (with onset) of every measured curve, or why there is none.

    U and nu come from the table; the covariance between depths from the runs and forks in `data`,
    where they are given, else depths count as independent.
    """
    fits: dict[Key, Onset | str] = {}
    probing = variance[(variance["depth"] > 0)]
    for (task, proxy, information), part in probing.groupby(["task", "proxy", "information"], sort=True):
        key = (str(task), str(proxy), str(information))
        horizon = horizon_of(key[0], horizons, data.get(key[0]))
        rows = part.sort_values("depth")
        rows = rows[(rows["risk"] > 0) & (rows["nu"] > 0)]
        depth = rows["depth"].to_numpy(float)
        if len(depth) < 2 or depth[0] >= horizon:
            settled = bool((part["risk"] <= 0).all())
            fits[key] = (
                "the metric is constant over the runs"
                if settled
                else f"{len(depth)} depths could be used and at least {MIN_DEPTHS} are needed"
            )
            continue
        covariance = _covariance(key, rows["depth"].to_numpy(), data.get(key[0]), confidence)
        fits[key] = find_onset(
            depth,
            rows["risk"].to_numpy(float),
            rows["nu"].to_numpy(float),
            horizon,
            covariance,
            shift=shift,
            confidence=confidence,
            level=level,
        )
    return fits


def _covariance(key: Key, depth: np.ndarray, data: TaskData | None, confidence: float) -> np.ndarray | None:
    curve = None if data is None else measure(data, key[1], key[2], confidence)
    if curve is None or not set(depth) <= set(curve.depth):
        return None
    index = np.searchsorted(curve.depth, depth)
    block = curve.estimate.covariance[np.ix_(index, index)]
    return block if np.all(np.isfinite(block)) else None


def envelope_table(
    variance: pd.DataFrame,
    runs: Runs | None = None,
    forks: pd.DataFrame | None = None,
    draws: pd.DataFrame | None = None,
    *,
    horizons: Horizons = None,
    outputs: Outputs | None = None,
    shift: float = 0.0,
    confidence: float = 0.95,
    level: float = 0.01,
) -> pd.DataFrame:
    """The table `envelope`: the fitted decay law of every curve, beside its rivals.

    `power` is fitted from the onset on; `lack_of_fit_p` and `delta_aic` refer to all depths, so
    that a curve that is no power law shows it.  Where alpha is not identified alpha and K are
    null (alpha's interval stands), and so is L_int unless U(T) was measured; `note` says why.
    `shift` is 0.5 for step-size schedules.  Raises InputError where a horizon is missing.
    """
    variance = tables.check("variance", variance, "variance")
    data = load(variance, runs, forks, draws, horizons, outputs)
    fits = fit_curves(variance, data, horizons, shift=shift, confidence=confidence, level=level)
    rows: list[dict[str, Any]] = []
    for key, found in fits.items():
        var_r = var_r_of(variance, key)
        horizon = horizon_of(key[0], horizons, data.get(key[0]))
        base: dict[str, Any] = dict(zip(KEY, key, strict=True))
        base |= {"horizon": horizon, "var_r": var_r}
        if isinstance(found, str):
            made: list[dict[str, Any]] = [
                {"model": "power", "identified": False, "depths": 0, "note": found}
            ]
        else:
            made = _model_rows(found, level)
            if key[1] == "fork" and key[0] in data and noiseless_forks(data[key[0]]):
                made[0]["note"] += (
                    "; L(T) = 0 by construction, as R has no noise of its own: L_int here is the level "
                    "that the law comes to just before T"
                )
        if key[1] != "fork" and key[0] in data and data[key[0]].note:
            made[0]["note"] += "; " + data[key[0]].note
        rows += [base | row for row in made]
    return as_table("envelope", rows, ["task", "proxy", "information"])


def _model_rows(found: Onset, level: float) -> list[dict[str, Any]]:
    whole, fit = found.whole, found.fit
    models = rivals.compare(whole)
    least = min(r.aic for r in models)
    weights = rivals.aic_weights(models)
    winner = max(weights, key=lambda name: weights[name])
    refused = any(m.model == winner and m.lack_of_fit_p < level for m in models)
    rows: list[dict[str, Any]] = []
    for rival in models:
        row: dict[str, Any] = {
            "model": rival.model,
            "L_int": rival.L_int,
            "K": rival.K,
            "alpha": rival.alpha,
            "onset": rival.scale if rival.model == "late" else float("nan"),
            "identified": False,
            "lack_of_fit_p": rival.lack_of_fit_p,
            "delta_aic": rival.aic - least,
            "depths": len(whole.depth),
            "note": f"AIC weight {weights[rival.model]:.2f}" if rival.model in weights else
            "the paper's log-log regression: unweighted, no finite-horizon term, no interval",
        }  # fmt: skip
        if rival.model == "exponential":
            row["note"] += f", time constant {rival.scale:.4g} steps"
        if rival.model == "power":
            row |= _power_row(found, fit, winner, weights, level, refused)
        rows.append(row)
    return rows


def _power_row(
    found: Onset,
    fit: EnvelopeFit,
    winner: str,
    weights: dict[str, float],
    level: float,
    refused: bool,
) -> dict[str, Any]:
    regular = np.isfinite(found.depth)
    identified = fit.identified and bool(regular)
    notes = [f"AIC weight {weights['power']:.2f}"]
    if not fit.identified:
        notes.append(f"not identified: {fit.reason}")
    if found.whole.lack_of_fit_p < level:
        p = found.whole.lack_of_fit_p
        worse = ", which is refused too" if refused else ""
        notes.append(f"no power law over all depths (lack of fit p = {p:.2g}), best: {winner}{worse}")
        if regular:
            notes.append(f"fitted from depth {found.depth:g}")
    known_limit = identified or fit.depth[-1] == fit.horizon
    null = float("nan")
    return {
        "L_int": fit.b if known_limit else null,
        "L_int_low": fit.b_low,
        "L_int_high": fit.b_high,
        "K": fit.K if identified else null,
        "K_low": fit.K_low if identified else null,
        "K_high": fit.K_high if identified else null,
        "alpha": fit.alpha if identified else null,
        "alpha_low": fit.alpha_low,
        "alpha_high": fit.alpha_high,
        "onset": found.depth,
        "identified": identified,
        "note": "; ".join(notes),
    }
