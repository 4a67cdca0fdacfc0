"""What the claims are judged by: the tables of one scope's tasks, and the rows that come of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from prehoc.claims.intervals import Three, verdict
from prehoc.errors import InputError
from prehoc.risk.decide import driving_curve

READINGS = ("run_to_run", "bayes")
OPTIONAL = ("predictors", "complementarity", "mismatch", "policies_against")


@dataclass(frozen=True)
class Evidence:
    """The tables of one scope, rows of its `tasks` alone.

    `driving` gives each task's (proxy, information) of reading `bayes`.  `extra` holds those of
    OPTIONAL that were made.  `truth` has the true regime of tasks where it is known, `trials` what
    exact instances gave (claims/exact.py), `bound` the rows of a table `lower_bound`.
    """

    scope: str
    tasks: tuple[str, ...]
    variance: pd.DataFrame
    envelope: pd.DataFrame
    c_star: pd.DataFrame
    regimes: pd.DataFrame
    driving: Mapping[str, tuple[str, str]]
    extra: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    truth: Mapping[str, str] = field(default_factory=dict)
    trials: pd.DataFrame | None = None
    bound: pd.DataFrame | None = None

    def absent(self, *names: str) -> str:
        """Which of these tables was not made; "" where all were."""
        lacking = [name for name in names if name not in self.extra]
        whose = " of imported runs" if self.scope == "imported" else ""
        return f"there is no table {' or '.join(lacking)}{whose}" if lacking else ""

    def curve(self, task: str, reading: str) -> tuple[str, str]:
        """(proxy, information) of a task's curve under a reading."""
        return ("run_to_run", "last") if reading == "run_to_run" else self.driving[task]

    def envelopes(self, reading: str) -> dict[str, pd.DataFrame]:
        """The rows of `envelope` by task, a row a model, indexed by its name; fitted curves alone."""
        found = {}
        for task in self.tasks:
            proxy, known = self.curve(task, reading)
            here = self.envelope[self.envelope["task"] == task]
            here = here[(here["proxy"] == proxy) & (here["information"] == known)]
            here = here[here["depths"] > 0].set_index("model")
            if "power" in here.index and len(here) > 1:
                found[task] = here
        return found

    def places(self, reading: str) -> pd.DataFrame:
        """The rows of `regimes` of a reading, one a task, indexed by its name, with `p` of its regime."""
        here = self.regimes[self.regimes["reading"] == reading]
        keep = [
            self.curve(t, reading)[0] == p and t in self.tasks
            for t, p in zip(here["task"], here["proxy"], strict=True)
        ]
        kept = here[np.array(keep, bool)].set_index("task")
        chances = kept[["p_static_sufficient", "p_dynamic_critical", "p_noise_dominant"]]
        return kept.assign(p=chances.max(axis=1))

    def regime_of(self, reading: str = "bayes") -> dict[str, str]:
        """The regime of each placed task."""
        return {str(t): str(r) for t, r in self.places(reading)["regime"].items()}

    def stops(self, reading: str, price: float, rule: str = "guarded") -> pd.DataFrame:
        """The rows of `c_star` of a reading and rule at `price`, one a task, with `horizon`."""
        here = self.c_star[(self.c_star["rule"] == rule) & np.isclose(self.c_star["price"], price)]
        keep = [
            t in self.tasks and self.curve(t, reading) == (p, i)
            for t, p, i in zip(here["task"], here["proxy"], here["information"], strict=True)
        ]
        kept = here[np.array(keep, bool)].set_index("task")
        kept = kept[np.isfinite(kept["c_star"]) & ~kept.index.duplicated()]
        horizons = self.envelope.drop_duplicates("task").set_index("task")["horizon"]
        return kept.assign(horizon=horizons.reindex(kept.index))

    def risk(self, task: str, reading: str = "bayes") -> pd.DataFrame:
        """The rows of `variance` of a task's curve over depth, from 1 on."""
        proxy, known = self.curve(task, reading)
        here = self.variance[(self.variance["task"] == task) & (self.variance["depth"] > 0)]
        return here[(here["proxy"] == proxy) & (here["information"] == known)].sort_values("depth")


def evidence(
    scope: str,
    tasks: Sequence[str],
    frames: Mapping[str, pd.DataFrame],
    *,
    information: str,
    drivers: Mapping[str, str],
    **more: Any,
) -> Evidence:
    """The `tasks` of one scope out of `frames`: variance, envelope, c_star, regimes, and of OPTIONAL.

    A task without a risk to be read (all runs failed) is left out.  `drivers` are the config's.
    """
    driving = {}
    for task in tasks:
        rows = frames["variance"][frames["variance"]["task"] == task]
        rows = rows[np.isfinite(rows["risk"])]
        try:
            driving[task] = driving_curve(rows, task, information, drivers.get(task, "auto"))[:2]
        except InputError:
            continue
    names = ("variance", "envelope", "c_star", "regimes")
    base: dict[str, Any] = {name: _of(frames[name], driving) for name in names}
    extra = {name: frames[name] for name in OPTIONAL if name in frames}
    return Evidence(scope, tuple(driving), **base, driving=driving, extra=extra, **more)


def _of(frame: pd.DataFrame, tasks: Mapping[str, Any]) -> pd.DataFrame:
    return frame[frame["task"].isin(list(tasks))]


@dataclass(frozen=True)
class Judge:
    """Makes rows of table `claims` for one claim and scope.

    `least`: with fewer tasks a criterion is undecided, whatever its interval.
    """

    claim: str
    scope: str
    least: int

    def row(
        self,
        criterion: str,
        threshold: float,
        found: Three,
        tasks: int,
        *,
        note: str = "",
        at_most: bool = False,
        least: int | None = None,
        what: str = "tasks",
    ) -> dict[str, Any]:
        """A judged row; `least` takes the place of the judge's, counted in `what`."""
        wanted = self.least if least is None else least
        value, low, high = found
        said = verdict(low, high, threshold, at_most)
        if tasks < wanted:
            said = "undecided"
            note = "; ".join(filter(None, [f"{tasks} {what}, at least {wanted} are needed", note]))
        return {
            "claim": self.claim,
            "scope": self.scope,
            "criterion": criterion,
            "threshold": float(threshold),
            "value": value,
            "low": low,
            "high": high,
            "verdict": said,
            "tasks": int(tasks),
            "note": note,
        }

    def missing(self, criterion: str, threshold: float, why: str) -> dict[str, Any]:
        """An undecided row without a number."""
        null = float("nan")
        row = self.row(criterion, threshold, (null, null, null), 0, least=0, note=why)
        return row | {"verdict": "undecided"}


def cell(fit: pd.DataFrame, model: str, column: str) -> float:
    """A number of a model's row of the envelope."""
    return float(fit.loc[[model], column].to_numpy(float)[0])


def named(tasks: Sequence[str], most: int = 4) -> str:
    """Some names and how many more."""
    shown = ", ".join(tasks[:most])
    return f"{shown} and {len(tasks) - most} more" if len(tasks) > most else shown
