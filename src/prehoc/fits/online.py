"""`prehoc.online`: whether a run that is under way is to stop, by what earlier finished runs tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm

from prehoc.errors import InputError
from prehoc.fits.fit import Fit
from prehoc.fits.raw import load
from prehoc.fits.rows import Rows, read_rows
from prehoc.fits.task import Options, Ready, make_ready
from prehoc.predictors import online as rule

STOP, GO_ON, CANNOT_TELL = "stop", "go on", "cannot tell"


@dataclass(frozen=True)
class Judged:
    """Where one run stands at `depth` of `horizon` steps.

    `answer`: stop, go on, or cannot tell (then `why`); `stop` whether to stop it now, which where nothing
    can be told is what the task's own c* says.  A run with a metric that is not finite is to stop, and
    `why` says so.  `forecast` of R lies in [`low`, `high`] with probability `confidence`; `risk` is its
    expected squared error.  nan and None where nothing is known.
    """

    task: str
    depth: int
    horizon: int
    answer: str
    stop: bool
    why: str
    next_depth: int | None
    forecast: float
    low: float
    high: float
    risk: float
    c_star: int | None
    price: float
    confidence: float

    def in_words(self) -> str:
        """One line: the answer, why, and what is forecast."""
        price = f"at price {self.price:g}"
        if self.answer == STOP:
            less = f"what deeper probing would tell is worth less than its steps {price}"
            told = f"stop: {self.why or less}"
        elif self.answer == GO_ON:
            told = f"go on to depth {self.next_depth}: {self.why or f'that is worth its steps {price}'}"
        elif self.c_star is None:
            told = f"it cannot tell, as {self.why}; so go on"
        else:
            way = "stop" if self.stop else "go on"
            told = f"it cannot tell, as {self.why}; the task's own c* {price} is {self.c_star:,}, so {way}"
        if not np.isfinite(self.forecast):
            return told
        return f"{told}; R is forecast at {self.forecast:.4g} [{self.low:.4g}, {self.high:.4g}]"

    def as_dict(self) -> dict[str, Any]:
        """For JSON: unknown numbers are null."""
        told = asdict(self) | {"in_words": self.in_words()}
        return {k: None if isinstance(v, float) and not np.isfinite(v) else v for k, v in told.items()}


@dataclass(frozen=True)
class OnlineTask:
    """One task's rule: its finished runs `prior`, the unit-free `price`, and what to say of intervals."""

    task: str
    prior: rule.Prior
    price: float
    confidence: float

    @property
    def rate(self) -> float:
        """What a step costs, in squared units of R: price Var R / T."""
        return self.price * self.prior.var_r / self.prior.horizon

    @property
    def horizon(self) -> int:
        """T of the finished runs, in steps."""
        return self.prior.horizon

    @property
    def depths(self) -> tuple[int, ...]:
        """Where a run has to be measured, in steps."""
        return tuple(int(d) for d in self.prior.depth)

    @property
    def first(self) -> int:
        """The first depth at which a run may be stopped."""
        return self.depths[self.prior.least_depths - 1]

    def judge(self, curve: Mapping[int, float]) -> Judged:
        """Where a run with metric `curve` (depth in steps -> value; nan: it failed) stands now.

        Depths at which no finished run was measured are left out.  Raises InputError where none is left.
        """
        prior, steps = self.prior, self.prior.depth
        seen = sorted(d for d in curve if d in self.depths)
        if not seen:
            there = ", ".join(map(str, self.depths))
            raise InputError(
                f"task {self.task!r}: no metric at a depth of the finished runs yet; there are {there}"
            )
        last = seen[-1]
        lost = [d for d in seen if not np.isfinite(curve[d])]
        if lost:
            why = f"the run seems to have failed, as its metric at depth {lost[0]} is missing or not finite"
            return self._said(STOP, last, why=why, stop=True)
        if prior.constant:
            return self._said(CANNOT_TELL, last, why=rule.CONSTANT)
        columns = np.array([d for d in steps if d in curve or d > last])
        at = int(np.searchsorted(columns, last))
        if len(columns) < prior.least_depths:
            why = (
                f"{len(columns)} depths are shared with the finished runs; {prior.least_depths} are needed"
            )
            return self._said(CANNOT_TELL, last, why=why, stop=last >= self._c_star(steps))
        c_star = self._c_star(columns)
        values = np.array([[curve.get(int(d), np.nan) for d in columns]])
        stops = rule.stop_depths(prior, columns, values, rate=self.rate)
        stands, _ = rule.standing(prior, columns, values, rate=self.rate)
        numbers: dict[str, Any] = {
            "forecast": float(stands.forecast[0, at]),
            "risk": float(stands.now[0, at]),
        }
        index, seen_enough = int(stops.index[0]), at + 1 >= prior.least_depths
        cannot = stops.note[0] if stops.note[0] and not stops.note[0].startswith("no metric") else ""
        if cannot:
            if not stops.told[0] and cannot.endswith(rule.UNLIKE):
                # a regression on runs that it is unlike says nothing: what was known before any probing
                numbers = {"forecast": float(prior.outcome.mean()), "risk": prior.var_r}
            return self._said(CANNOT_TELL, last, c_star, why=cannot, stop=index >= 0, **numbers)
        if index >= 0:
            return self._said(STOP, last, c_star, stop=True, **numbers)
        deeper = int(columns[min(at + 1, len(columns) - 1)])
        why = "" if seen_enough else f"{at + 1} of the {prior.least_depths} depths that it needs were seen"
        return self._said(GO_ON, last, c_star, why=why, next_depth=deeper, **numbers)

    def _c_star(self, columns: Any) -> int:
        return int(columns[rule.own_c_star(self.prior, columns, rate=self.rate)])

    def _said(
        self,
        answer: str,
        depth: int,
        c_star: int | None = None,
        *,
        why: str = "",
        stop: bool = False,
        next_depth: int | None = None,
        forecast: float = np.nan,
        risk: float = np.nan,
    ) -> Judged:
        half = float(norm.ppf(0.5 + self.confidence / 2)) * np.sqrt(risk)
        own = c_star
        if own is None and not self.prior.constant:
            own = self._c_star(self.prior.depth)
        return Judged(
            self.task, depth, self.horizon, answer, stop, why, next_depth, forecast,
            forecast - half, forecast + half, risk, own, self.price, self.confidence,
        )  # fmt: skip


@dataclass(frozen=True)
class Online:
    """The rules of all tasks in a table of finished runs; ProbeCallback takes it as `stop_at`."""

    source: str
    tasks: dict[str, OnlineTask]
    refused: dict[str, str]

    def of(self, task: str | None = None) -> OnlineTask:
        """The rule of a task (the only one, by default); InputError says why there is none."""
        if task is None and len(self.tasks) == 1:
            return next(iter(self.tasks.values()))
        if task in self.tasks:
            return self.tasks[str(task)]
        if task in self.refused:
            raise InputError(f"{self.source}: task {task!r} has no online rule: {self.refused[str(task)]}")
        names = ", ".join([*self.tasks, *self.refused]) or "none"
        what = "several tasks; name one of them" if task is None else f"no task {task!r}; there are"
        raise InputError(f"{self.source}: {what}: {names}")

    def judge(self, curve: Mapping[int, float], task: str | None = None) -> Judged:
        """Where a run with metric `curve` (depth in steps -> value) stands."""
        return self.of(task).judge(curve)


def online(
    source: str | Path | pd.DataFrame | Fit,
    *,
    price: float = 0.2,
    outcome: str = "auto",
    direction: str = "auto",
    horizon: int | None = None,
    metric: str | None = None,
    groups: str = "refuse",
    spikes: str = "set-aside",
    bad_rows: str = "stop",
    least_depths: int = rule.LEAST_DEPTHS,
    least_runs: int = 10,
    unlike: float = 1e-3,
    uneven: float = 0.5,
    confidence: float = 0.95,
) -> Online:
    """The online stopping rule of finished runs: `source` and the keywords up to `bad_rows` as of `fit`.

    `price`: w = gamma lambda T / Var R, without unit: what training a whole run costs, beside Var R.
    `least_depths` (4 or more) metrics are seen before any stop; under `least_runs` finished runs, where the
    chance of a path such as a run's own is below `unlike`, and where the finished runs' mean squared error
    has a relative standard error above `uneven`, the rule says that it cannot tell.
    Raises InputError as `fit` does, for a price that is not above 0, and where no task has a rule.
    """
    if not (np.isfinite(price) and price > 0):
        raise InputError(f"price: takes a number above 0, not {price!r}")
    if isinstance(source, Fit):
        rows: Rows = source.rows
        options = source.options
    else:
        rows = read_rows(source, metric=metric, bad_rows=bad_rows)
        options = Options(
            outcome=outcome, direction=direction, horizon=horizon, groups=groups, spikes=spikes,
            confidence=confidence,
        )  # fmt: skip
    numbers: dict[str, Any] = {"least_runs": least_runs, "unlike": unlike, "uneven": uneven}
    tasks, refused = {}, {}
    for one in make_ready(rows.frame, rows.metric, options):
        why = _no_rule(one, least_depths)
        if why or one.data is None:
            refused[one.task] = why
            continue
        depth, keep = one.data.depth, _before_r(one)
        prior = rule.fit_prior(
            depth[keep], one.data.metric[:, keep], one.data.outcome, one.data.horizon,
            least_depths=least_depths, **numbers,
        )  # fmt: skip
        tasks[one.task] = OnlineTask(one.task, prior, float(price), options.confidence)
    if not tasks:
        name, why = next(iter(refused.items()), ("", "it has no rows"))
        raise InputError(f"{rows.source}: no task has an online rule; {name}: {why}")
    return Online(rows.source, tasks, refused)


def _before_r(one: Ready) -> Any:
    """Depths at which R is not known yet: where R is the metric at T, those before it."""
    assert one.data is not None
    return one.data.depth < one.data.horizon if not one.data.target else one.data.depth > 0


def _no_rule(one: Ready, least: int) -> str:
    """Why a task has no online rule; "" where it has one."""
    if one.data is None:
        return one.refused[0]["why"]
    if one.data.settled is not None:
        return "R is the steps to a target, which a run shows itself; give R at a depth (--outcome depth:N)"
    count = int(np.sum(_before_r(one)))
    if count < least:
        return f"its runs were measured at {count} depths before R; {least} are needed"
    return ""


def read_curves(path: str | Path, *, metric: str | None = None) -> dict[tuple[str, str], dict[int, float]]:
    """The curves of runs under way: (task, run) -> depth -> metric (nan: failed), of a runs table.

    The columns task and seed may be left out where the file is one run; the task is "" where the file
    has no such column.  Raises InputError as read_rows.
    """
    raw, default = load(path)
    names = [c.strip().lower() for c in raw.columns]
    if "seed" in names:
        rows = read_rows(path, metric=metric)
    else:
        frame = pd.DataFrame(raw.columns).assign(seed=0)
        if "task" not in names:
            frame["task"] = default
        try:
            rows = read_rows(frame, metric=metric)
        except InputError as error:
            raise InputError(str(error).replace("the frame", str(path))) from None
    val = rows.frame[(rows.frame["split"] == "val") & (rows.frame["depth"] > 0)]
    made: dict[tuple[str, str], dict[int, float]] = {}
    for (task, seed), part in val.groupby(["task", "seed"], sort=True):
        by = {str(v): k for k, v in rows.names.get(str(task), {}).items()}
        curve = dict(zip(part["depth"].astype(int), part["value"].astype(float), strict=True))
        made[str(task) if "task" in names else "", by.get(str(seed), str(seed))] = curve
    if not made:
        raise InputError(f"{path}: no metric on split val at a depth above 0; a run has to have begun")
    return made
