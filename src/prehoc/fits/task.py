"""One task's runs made ready: what is R, what is left out and why, and whether they are one task."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from prehoc.errors import InputError
from prehoc.fits import curves as reading
from prehoc.fits import groups, spikes, stops
from prehoc.fits.curves import Curves
from prehoc.fits.outcome import Outcome, choose, parse
from prehoc.fits.refused import RefusedError
from prehoc.fits.rows import SetAside
from prehoc.risk.curves import measure
from prehoc.risk.data import TaskData
from prehoc.risk.proxies import MIN_RUNS

_MOSTLY = 0.5  # of Var R: outliers that make more of it are what a verdict would speak of
FEW_RUNS = 20  # under these no regime is named (docs/own-logs.md has the error rates)


@dataclass(frozen=True)
class Options:
    """How runs are read and judged; the names are those of the command's options."""

    outcome: str = "auto"
    direction: str = "auto"
    horizon: int | None = None
    prices: tuple[float, ...] = (0.05, 0.2, 1.0)
    gammas: tuple[float, ...] = ()
    cost_per_step: float = 1.0
    information: str = "last"
    groups: str = "refuse"
    spikes: str = "set-aside"
    seed: int = 0
    confidence: float = 0.95
    resamples: int = 400

    def __post_init__(self) -> None:
        parse(self.outcome)
        for name, value, known in (
            ("direction", self.direction, ("auto", "higher", "lower")),
            ("information", self.information, ("last", "prefix")),
            ("groups", self.groups, groups.WAYS),
            ("spikes", self.spikes, ("set-aside", "keep")),
        ):
            if value not in known:
                raise InputError(f"{name} must be one of {', '.join(known)}, not {value!r}")
        if self.horizon is not None and parse(self.outcome)[0] == "depth":
            raise InputError("outcome depth:N says where R is read; leave --horizon out")
        if self.horizon is not None and (isinstance(self.horizon, bool) or self.horizon < 1):
            raise InputError(f"the horizon must be a whole number of steps, 1 or more, not {self.horizon}")
        if self.seed < 0:
            raise InputError(f"the seed must be 0 or more, not {self.seed}")
        if not 0 < self.confidence < 1:
            raise InputError(f"confidence must lie between 0 and 1, not {self.confidence}")


@dataclass
class Ready:
    """A task that was read: `data` to be measured, or `refused` why not; and what to say of it."""

    task: str
    runs: int
    data: TaskData | None = None
    outcome: Outcome | None = None
    refused: list[dict[str, str]] = field(default_factory=list)
    aside: list[SetAside] = field(default_factory=list)
    said: dict[str, Any] = field(default_factory=dict)
    direction: str = ""

    @property
    def in_units_of_metric(self) -> bool:
        """Whether R may be set beside the metric: a final value must lie near what the metric took."""
        if self.outcome is None or self.outcome.kind == "to_target":
            return False
        seen = self.outcome.curves.value[np.isfinite(self.outcome.curves.value)]
        if self.outcome.kind != "final" or not seen.size:
            return True
        low, high = float(seen.min()), float(seen.max())
        r = float(np.nanmedian(self.outcome.value))
        return low - (high - low) <= r <= high + (high - low)

    def refuse(self, what: str, why: str, remedy: str) -> None:
        """Note that the data do not carry `what`."""
        self.refused.append({"what": what, "why": why, "remedy": remedy})


def make_ready(rows: pd.DataFrame, metric: str, options: Options) -> list[Ready]:
    """Each task of checked rows (rows.Rows.frame), in the order of their names."""
    made: list[Ready] = []
    for task, part in rows.groupby("task", sort=True):
        for name, here in _divided(str(task), part, options.groups):
            made.append(_one(name, here, metric, options))
    return made


def _divided(task: str, rows: pd.DataFrame, way: str) -> Iterator[tuple[str, pd.DataFrame]]:
    named = rows["group"] != ""
    if way != "split" or not named.any():
        yield task, rows
        return
    for group, part in rows.groupby("group", sort=True):
        yield f"{task} [{str(group) or 'no group'}]", part


def _one(task: str, rows: pd.DataFrame, metric: str, options: Options) -> Ready:
    ready = Ready(task, int(rows["seed"].nunique()))
    try:
        _read(ready, rows, metric, options)
    except RefusedError as error:
        ready.refuse(error.what, error.why, error.remedy)
    return ready


def _read(ready: Ready, rows: pd.DataFrame, metric: str, options: Options) -> None:
    task = ready.task
    if ready.runs < MIN_RUNS:
        raise RefusedError(
            task,
            f"{ready.runs} run{'s' * (ready.runs != 1)}: a variance needs {MIN_RUNS}",
            f"{MIN_RUNS} runs give numbers, {FEW_RUNS} a regime",
        )
    curves, aside = reading.curves_of(task, rows)
    ready.aside += aside
    ready.direction, why = reading.direction_of(curves, metric, options.direction)
    ready.said["direction"] = f"{ready.direction} is better ({why})"
    curves, aside = reading.on_one_grid(curves)
    ready.aside += aside
    curves, ends, aside = stops.find_stops(curves, ready.direction)
    ready.aside += aside
    ready.said["censoring"] = ends.as_dict()
    outcome = choose(curves, ends, ready.direction, options.outcome, options.horizon)
    ready.outcome, ready.said["outcome"] = outcome, outcome.as_dict()
    ready.aside += outcome.aside
    _check_groups(ready, outcome, options)
    data = _data(ready, outcome, options)
    if len(data.outcome) < MIN_RUNS:
        lost = int(outcome.failed.sum())
        raise RefusedError(
            task,
            f"{len(data.outcome)} of {ready.runs} runs have an outcome ({lost} failed): a variance needs "
            f"{MIN_RUNS}",
            "give more runs that end well",
        )
    curve = measure(data, "residual", options.information, options.confidence)
    if curve is None or not np.isfinite(curve.estimate.risk).any():
        raise RefusedError(
            task,
            f"the metric was not measured in {MIN_RUNS} runs at a depth before their outcome was known",
            "log the metric at earlier depths, or choose another --outcome",
        )
    ready.data = data
    if len(data.outcome) < FEW_RUNS:
        ready.refuse(
            "regime",
            f"{len(data.outcome)} runs: the rule for the regime errs too often under {FEW_RUNS}",
            f"add {FEW_RUNS - len(data.outcome)} runs",
        )


def _check_groups(ready: Ready, outcome: Outcome, options: Options) -> None:
    test = groups.compare(outcome.value, outcome.curves.group, options.seed)
    ready.said["groups"] = test.as_dict() | {"handling": options.groups}
    if test.mixed and options.groups == "refuse":
        raise RefusedError(
            ready.task,
            f"mixed groups under one task: {test.in_words.rstrip('.')}, and Var R would be theirs",
            "take each group as a task (--groups split), variances within groups (--groups within), or the "
            "mixture as it is (--groups pool)",
        )


def _data(ready: Ready, outcome: Outcome, options: Options) -> TaskData:
    curves = outcome.curves
    found = spikes.find_spikes(curves)
    ready.said["spikes"] = found.as_dict("kept" if options.spikes == "keep" else "set aside")
    if found.at.any() and options.spikes == "set-aside":
        curves = replace(curves, value=np.where(found.at, np.nan, curves.value))
        ready.aside.append(SetAside("values", int(found.at.sum()), "spikes in a run's curve"))
        share = found.runs / len(found.at)
        if share > spikes.MOST:
            ready.refuse(
                "alpha",
                f"{share:.0%} of runs have spikes: no locally regular regime to fit a decay law to",
                "log the metric more often and smoother (a larger validation set), lower the learning "
                "rate, or fit them with --spikes keep",
            )
            ready.refuse("regime", "the spikes hide what the curves tell", "what would help alpha")
    keep = np.isfinite(outcome.value)
    if options.spikes == "set-aside":
        _refuse_outliers(ready, outcome.value[keep])
    group = None
    if options.groups == "within":
        keep, group = _within(ready, curves, keep)
    curves, aside = reading.thinned(curves, outcome.kind in ("last", "depth"))
    ready.aside += aside
    settled = None
    if outcome.settled is not None:
        settled = outcome.settled[np.ix_(keep, np.isin(outcome.curves.depth, curves.depth))]
    runs = int(keep.sum() + outcome.failed.sum())
    none = np.empty((int(keep.sum()), 0))
    return TaskData(
        task=ready.task,
        horizon=outcome.horizon,
        depth=curves.depth,
        metric=curves.value[keep],
        outcome=outcome.value[keep],
        static=none,
        fork_depth=np.empty(0, np.int64),
        forks=(),
        failure_rate=float(outcome.failed.sum() / max(runs, 1)),
        target=outcome.kind in ("final", "to_target"),
        runs=runs,
        fork_steps=0.0,
        settled=settled,
        first_stop=outcome.first_stop,
        group=group,
    )


def _refuse_outliers(ready: Ready, r: np.ndarray) -> None:
    """Refuse regime and alpha where a few runs' R, far off all others, make most of Var R."""
    far = spikes.outliers(r)
    if not far.any() or len(r) - far.sum() < MIN_RUNS:
        return
    share = 1 - float(r[~far].var() / r.var())
    if share < _MOSTLY:
        return
    count = int(far.sum())
    what = f"R of {count} run{'s' * (count > 1)} lies over {spikes.FAR:g} robust standard deviations off"
    for name in ("regime", "alpha"):
        ready.refuse(
            name,
            f"{what} the others', and makes {share:.0%} of Var R",
            "if they broke down, empty their metric (they count as failures); else --spikes keep",
        )


def _within(ready: Ready, curves: Curves, keep: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Group numbers of the runs kept; a run alone in its group tells nothing within it."""
    _, group, count = np.unique(curves.group[keep], return_inverse=True, return_counts=True)
    alone = count[group] < 2
    if alone.any():
        ready.aside.append(SetAside("runs", int(alone.sum()), "alone in their group"))
    kept = keep.copy()
    kept[np.flatnonzero(keep)[alone]] = False
    ready.said["groups"]["in_words"] += f" Variances are those within the {int((count > 1).sum())} groups."
    return kept, group[~alone].astype(np.int64)
