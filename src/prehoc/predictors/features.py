"""What a predictor of R may see of each run, as named columns: from the tables runs, draws and signals.

static       visible draws (see `drawn`), metrics measured at depth 0, and signals at depth 0: all that is
             known of a run before its first step.
trajectory   every metric on split val at the depths 1..c, its slopes d metric / d log c between
             neighbours, and signals at 1..c (of `projection_*`, a place in weight space, only that at c).

Three selections of the same columns: `plain` for least squares (static, R's own metric at c and its last
slope, as few runs bear few coefficients), `short` for trees (static, R's own metric at every depth, every
other metric and signal at c, the last slopes), and all of them for what is regularised.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata

from prehoc import tables
from prehoc.errors import InputError
from prehoc.risk.data import TaskData, split_tasks
from prehoc.tables.decisions import KNOWN_BY
from prehoc.tables.scales import SCALED, rows_of

Array = NDArray[np.float64]
Index = NDArray[np.int64]
Flags = NDArray[np.bool_]

DRAW = "draw "
_READ = ("now", "before", "slope")  # of a curve at a share of the horizon
PLACE = "projection_"  # signals whose earlier values add nothing to a weight-space position


@dataclass(frozen=True)
class Seen:
    """What the runs of one task show, failed runs left out.

    `seed`, `outcome` [N]; `depth` [D] > 0 in steps; `curves` [N, M, D] of `metrics` (R's own first, on
    its scale); `static` [N, S] named `static_names`; `signals` [N, P, D] named `signal_names`.  Values
    that are missing are nan.  `measured` holds the same runs for risk/.
    """

    task: str
    metric: str
    horizon: int
    seed: Index
    outcome: Array
    depth: Index
    metrics: tuple[str, ...]
    curves: Array
    static_names: tuple[str, ...]
    static: Array
    signal_names: tuple[str, ...]
    signals: Array
    measured: TaskData

    @property
    def var_r(self) -> float:
        """Var R over these runs, squared units of the metric."""
        return float(np.var(self.outcome, ddof=1))


@dataclass(frozen=True)
class Design:
    """Columns [N, P] without gaps, scaled to mean 0 and variance 1; `plain`, `short` [P] select."""

    x: Array
    names: tuple[str, ...]
    plain: Flags
    short: Flags


def see(
    runs: pd.DataFrame,
    draws: pd.DataFrame,
    signals: pd.DataFrame | None = None,
    *,
    metric: str,
    horizon: int,
    forks: pd.DataFrame | None = None,
    most_runs: int | None = None,
) -> Seen:
    """What one task's runs show; of more than `most_runs` runs the first by seed.

    Raises InputError (TooFewRunsError under 5 runs with an R) as risk.data.split_tasks does.
    """
    data = next(split_tasks(runs, forks, draws, metric=metric, horizons=horizon))
    chosen = rows_of(runs, metric)
    seeds = np.sort(chosen["seed"].unique())
    last = chosen[(chosen["split"] == ("target" if data.target else "val")) & (chosen["depth"] == horizon)]
    final = last.set_index("seed")["value"].reindex(seeds).to_numpy(float)
    failed = chosen.loc[chosen["failure"], "seed"].unique()
    alive = np.isfinite(final) & ~np.isin(seeds, failed)
    keep = np.arange(int(alive.sum()))[:most_runs]
    seed = seeds[alive][keep]
    # The last validation metric is R itself where there is no target: nothing is left to predict there.
    inside = np.ones(len(data.depth), bool) if data.target else data.depth < data.horizon
    depth = data.depth[inside]
    own = data.metric[np.ix_(keep, inside)]
    raw = SCALED[metric][0] if metric in SCALED else metric
    val = runs[(runs["split"] == "val") & runs["seed"].isin(seed)]
    others = sorted(set(val["metric"]) - {metric, raw})
    curves = [own, *(_matrix(val[val["metric"] == m], seed, depth) for m in others)]
    known = drawn(draws[draws["task"] == data.task], seed)
    start = val[val["depth"] == 0]
    for name in sorted(start["metric"].unique()):
        known[f"val_{name}"] = _column(start[start["metric"] == name], seed)
    noted: dict[str, Array] = {}
    if signals is not None and len(signals):
        mine = tables.check("signals", signals, "signals")
        mine = mine[(mine["task"] == data.task) & mine["seed"].isin(seed)]
        for name, part in mine.groupby("signal", sort=True):
            before, later = part[part["depth"] == 0], part[part["depth"] > 0]
            if len(before):
                known.setdefault(str(name), _column(before, seed))
            if len(later):
                noted[str(name)] = _matrix(later, seed, depth)
    size = (len(seed), 0)
    return Seen(
        task=data.task,
        metric=metric,
        horizon=data.horizon,
        seed=seed,
        outcome=data.outcome[keep],
        depth=depth,
        metrics=(metric, *others),
        curves=np.stack(curves, axis=1),
        static_names=tuple(known),
        static=np.stack(list(known.values()), axis=1) if known else np.empty(size),
        signal_names=tuple(noted),
        signals=np.stack(list(noted.values()), 1) if noted else np.empty((*size, len(depth))),
        measured=data,
    )


def drawn(draws: pd.DataFrame, seed: Index) -> dict[str, Array]:
    """Columns [N] of the visible factors that vary, by name.

    A factor of up to five values becomes indicators.  Another becomes its value v and, with u its rank
    scaled to (-1, 1), u, u^2 and u^3: bounded, and the same for a rate and for its logarithm.
    """
    made: dict[str, Array] = {}
    for factor, part in draws[draws["visible"]].groupby("factor", sort=True):
        x = _column(part, seed)
        known = np.isfinite(x)
        values = np.unique(x[known])
        if len(values) < 2:
            continue
        if len(values) <= 5:
            for value in values[1:]:
                made[f"{DRAW}{factor} = {value:g}"] = np.where(known, x == value, np.nan)
            continue
        u = np.full(len(x), np.nan)
        u[known] = 2 * rankdata(x[known]) / (known.sum() + 1) - 1
        made[f"{DRAW}{factor}"] = x
        made |= {f"{DRAW}{factor} rank^{k}": u**k for k in (1, 2, 3)}
    return made


def _matrix(rows: pd.DataFrame, seed: Index, depth: Index) -> Array:
    wide = rows.pivot_table(index="seed", columns="depth", values="value", dropna=False)
    return wide.reindex(index=seed, columns=depth).to_numpy(float)


def _column(rows: pd.DataFrame, seed: Index) -> Array:
    return rows.set_index("seed")["value"].reindex(seed).to_numpy(float)


def task_features(static: pd.DataFrame) -> dict[str, float]:
    """The features that a task's block fixes, by name: the same for each of its runs."""
    return {str(k): float(v) for k, v in zip(static["feature"], static["value"], strict=True)}


def design(seen: Seen, information: str, at: int | None = None) -> Design:
    """The columns of one information set; `at` indexes `seen.depth` where the trajectory is in it.

    Raises InputError for an unknown information set, or a trajectory without a depth.
    """
    if information not in KNOWN_BY:
        raise InputError(f"information {information!r} is unknown; one of {list(KNOWN_BY)}")
    columns: list[Array] = []
    names: list[str] = []
    plain: list[bool] = []
    short: list[bool] = []

    def put(name: str, value: Array, few: bool, some: bool) -> None:
        columns.append(value)
        names.append(name)
        plain.append(few)
        short.append(some)

    if information in ("static", "static+trajectory"):
        for name, value in zip(seen.static_names, seen.static.T, strict=True):
            put(name, value, True, True)
    if information in ("trajectory", "static+trajectory"):
        if at is None:
            raise InputError(f"information {information!r} needs a depth")
        log_depth = np.log(seen.depth[: at + 1].astype(float))
        for i, name in enumerate(seen.metrics):
            curve = seen.curves[:, i, : at + 1]
            slopes = np.diff(curve, axis=1) / np.diff(log_depth)
            for j in range(at + 1):
                put(f"{name}@{seen.depth[j]}", curve[:, j], i == 0 and j == at, i == 0 or j == at)
            for j in range(at):
                put(f"d {name}@{seen.depth[j + 1]}", slopes[:, j], i == 0 and j == at - 1, j == at - 1)
        for i, name in enumerate(seen.signal_names):
            for j in range(at if name.startswith(PLACE) else 0, at + 1):
                put(f"{name}@{seen.depth[j]}", seen.signals[:, i, j], False, j == at)
    if not columns:
        none = np.zeros(0, bool)
        return Design(np.empty((len(seen.outcome), 0)), (), none, none)
    return _scaled(np.stack(columns, 1), names, np.array(plain), np.array(short))


def _scaled(x: Array, names: list[str], plain: Flags, short: Flags) -> Design:
    """Gaps filled by the column's mean, with a column that says where; no R enters."""
    finite = np.isfinite(x)
    use = finite.mean(axis=0) > 0.5
    x, finite, plain, short = x[:, use], finite[:, use], plain[use], short[use]
    kept = [name for name, used in zip(names, use, strict=True) if used]
    holes = np.flatnonzero(~finite.all(axis=0))
    mean = np.where(finite, x, 0.0).sum(axis=0) / np.maximum(finite.sum(axis=0), 1)
    x = np.where(finite, x, mean)
    x = np.column_stack([x, ~finite[:, holes]]) if len(holes) else x
    kept += [f"{kept[i]} is missing" for i in holes]
    plain, short = np.append(plain, plain[holes]), np.append(short, short[holes])
    size = np.abs(x).max(axis=0, initial=0.0)
    x = x - x.mean(axis=0)
    spread = np.sqrt((x**2).mean(axis=0))
    vary = spread > 1e-10 * np.maximum(size, 1e-300)
    x = x[:, vary] / spread[vary]
    return Design(x, tuple(np.array(kept, object)[vary]), plain[vary], short[vary])


def shared_design(
    tasks: Mapping[str, Seen], features: Mapping[str, Mapping[str, float]], information: str, share: float
) -> Design:
    """Columns that all of `tasks` (of one metric) have, at the same share of their horizons; runs in order.

    Metrics and signals are read at `share` T and at its quarter, by interpolation in log c (nan outside
    of the measured depths), with the slope between; `features` are each task's own, the same for all its
    runs.  Columns that some task lacks are left out, draws too: another task's are other things.  `plain`
    are R's own metric and its slope: with fewer tasks than static features least squares is void.
    """
    seen = list(tasks.values())
    made: list[tuple[str, list[Array]]] = []
    if "static" in information:
        for name in _common([features.get(t, {}) for t in tasks]):
            made.append((name, [np.full(len(s.seed), features[t][name]) for t, s in tasks.items()]))
        for name in _common([[n for n in s.static_names if not n.startswith(DRAW)] for s in seen]):
            made.append((f"{name}@0", [s.static[:, s.static_names.index(name)] for s in seen]))
    if "trajectory" in information:
        for name in _common([s.metrics for s in seen]):
            read = [_read(s, s.curves[:, s.metrics.index(name)], share) for s in seen]
            made += [(f"{name} {what}", [r[i] for r in read]) for i, what in enumerate(_READ)]
        for name in _common([s.signal_names for s in seen]):
            if not name.startswith(PLACE):  # another task's directions are other directions
                read = [_read(s, s.signals[:, s.signal_names.index(name)], share) for s in seen]
                made.append((f"{name} {_READ[0]}", [r[0] for r in read]))
    whole = [(n, c) for n, c in made if all(np.isfinite(one).mean() > 0.5 for one in c)]
    if not whole:
        none = np.zeros(0, bool)
        return Design(np.empty((sum(len(s.seed) for s in seen), 0)), (), none, none)
    names = [name for name, _ in whole]
    own = {f"{seen[0].metric} {what}" for what in (_READ[0], _READ[2])}
    plain = np.array([name in own for name in names])
    x = np.stack([np.concatenate(columns) for _, columns in whole], axis=1)
    return _scaled(x, names, plain, np.ones(len(names), bool))


def _common(names: Sequence[Iterable[str]]) -> list[str]:
    sets = [set(n) for n in names]
    return sorted(set.intersection(*sets)) if sets else []


def at_share(seen: Seen, curve: Array, share: float) -> Array:
    """A curve [N, D] at `share` of the horizon, linear in log c; nan outside of what was measured  [N]."""
    at = np.log(max(share, 1e-300) * seen.horizon)
    log_depth = np.log(seen.depth.astype(float))
    if not log_depth[0] - 1e-9 <= at <= log_depth[-1] + 1e-9:
        return np.full(len(curve), np.nan)
    right = int(np.clip(np.searchsorted(log_depth, at), 1, max(len(log_depth) - 1, 1)))
    if len(log_depth) == 1:
        return curve[:, 0]
    part = (at - log_depth[right - 1]) / (log_depth[right] - log_depth[right - 1])
    part = float(np.clip(part, 0.0, 1.0))
    if part in (0.0, 1.0):  # no gap at a neighbour is let in
        return curve[:, right - 1 + int(part)]
    return curve[:, right - 1] * (1 - part) + curve[:, right] * part


def _read(seen: Seen, curve: Array, share: float) -> list[Array]:
    now, before = at_share(seen, curve, share), at_share(seen, curve, share / 4)
    return [now, before, (now - before) / np.log(4.0)]
