"""`prehoc.fit`: a person's runs in, the tables, figures and verdicts out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from prehoc import tables
from prehoc.errors import InputError
from prehoc.fits import judge
from prehoc.fits.measure import NAMES, tables_of
from prehoc.fits.rows import Rows, SetAside, read_rows
from prehoc.fits.task import FEW_RUNS, Options, Ready, make_ready
from prehoc.risk import pipeline
from prehoc.risk.words import UNMEASURED

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from prehoc.fits.advise import Advice
    from prehoc.fits.verdicts import Verdict

_UNIT = "as logged"  # a log may count steps, samples or epochs


@dataclass(frozen=True)
class Fit:
    """The result of `fit`: tables as the workflow writes them, one verdict a task.

    `variance`, `envelope`, `c_star`, `regimes`, `advice`: frames with the columns of docs/method.md,
    of the tasks that the data carry.  `tasks` has these tasks' names, `refused` the others'.
    """

    variance: pd.DataFrame
    envelope: pd.DataFrame
    c_star: pd.DataFrame
    regimes: pd.DataFrame
    advice: pd.DataFrame
    tasks: tuple[str, ...]
    refused: tuple[str, ...]
    rows: Rows
    options: Options
    _verdicts: tuple[dict[str, Any], ...]

    def verdict(self, task: str | None = None) -> Verdict:
        """The verdicts, or that of one task: prints as plain words, and goes to JSON, dict or HTML.

        Raises InputError for a task that the data do not have.
        """
        from prehoc.fits.verdicts import Verdict

        chosen = [v for v in self._verdicts if task in (None, v["task"])]
        if not chosen:
            raise InputError(f"no task {task!r}; there are {[v['task'] for v in self._verdicts]}")
        return Verdict(self._payload(chosen))

    def advise(self, budget: float, **options: Any) -> Advice:
        """How deep to probe with a budget: prehoc.advise with this fit."""
        from prehoc.fits.advise import advise

        return advise(self, budget, **options)

    def _payload(self, verdicts: Sequence[dict[str, Any]]) -> dict[str, Any]:
        from importlib.metadata import version

        options = {f.name: getattr(self.options, f.name) for f in fields(self.options)}
        options = {k: list(v) if isinstance(v, tuple) else v for k, v in options.items()}
        whole = [a.as_dict() for a in self.rows.set_aside]
        return {
            "prehoc": version("prehoc"),
            "source": Path(self.rows.source).name,
            "metric": self.rows.metric or None,
            "rows": {"read": self.rows.read, "set_aside": whole},
            "options": options,
            "tasks": list(verdicts),
        }

    def plot_decay(self, tasks: Sequence[str] | None = None, column: str = "icml") -> Figure:
        """Fig. 2: the risk over depth in log-log, both readings, with the fitted envelopes."""
        from prehoc.figures import fig2_decay

        return fig2_decay.draw(
            self._shown(), self.envelope, tasks=self._chosen(tasks), shift=0.0, column=column, unit=_UNIT
        )

    def plot_phase(self, tasks: Sequence[str] | None = None, column: str = "icml") -> Figure:
        """Fig. 3: the plane of intrinsic share and alpha, with regimes and intervals both ways."""
        from prehoc.figures import fig3_phase

        return fig3_phase.draw(
            self.regimes, self.envelope, self._shown(), tasks=self._chosen(tasks), column=column
        )

    def _chosen(self, tasks: Sequence[str] | None) -> list[str]:
        unknown = sorted(set(tasks or []) - set(self.tasks))
        if unknown:
            raise InputError(f"no measured task {unknown[0]!r}; there are {list(self.tasks)}")
        return list(tasks) if tasks is not None else list(self.tasks)

    def _shown(self) -> pd.DataFrame:
        from prehoc.figures import readings

        return readings.driving(self.variance, list(self.tasks), self.options.information)

    def save(
        self, directory: str | Path, formats: Sequence[str] = ("pdf", "png"), column: str = "icml"
    ) -> list[Path]:
        """Write the tables, both figures, verdict.json and verdict.html; return the paths."""
        from prehoc.figures import fig2_decay, fig3_phase

        out = Path(directory)
        if out.exists() and not out.is_dir():
            raise InputError(f"{out}: is a file; give a folder")
        made = []
        for name in NAMES:
            made.append(out / f"{name}.csv")
            tables.write(name, getattr(self, name), made[-1])
        look: dict[str, Any] = {"tasks": list(self.tasks), "column": column, "formats": tuple(formats)}
        made += fig2_decay.save(out, self._shown(), self.envelope, shift=0.0, unit=_UNIT, **look)
        made += fig3_phase.save(out, self.regimes, self.envelope, self._shown(), **look)
        return made + self.verdict().save(out, decay=self.plot_decay, phase=self.plot_phase)


def fit(
    source: str | Path | pd.DataFrame,
    *,
    outcome: str = "auto",
    direction: str = "auto",
    horizon: int | None = None,
    prices: Sequence[float] | None = None,
    gammas: Sequence[float] = (),
    cost_per_step: float = 1.0,
    information: str = "last",
    groups: str = "refuse",
    spikes: str = "set-aside",
    seed: int = 0,
    confidence: float = 0.95,
    resamples: int = 400,
    metric: str | None = None,
    bad_rows: str = "stop",
) -> Fit:
    """How predictable the runs in `source` are, by task: tables, figures and verdicts.

    `source`: a frame, or a CSV or Parquet file, with columns seed, depth (or step), metric, and
    optionally task, final, split, group; one row a measurement.  `metric` chooses where the column
    metric holds names and a column value the numbers.

    `outcome`: auto, last, depth:N, final, to-target or to-target:VALUE.  `direction`: which way the
    metric is better.  `horizon`: T in steps.  `prices` w = gamma lambda T / Var R (without unit,
    default .05, .2, 1), or `gammas` in squared units of R a unit of cost with `cost_per_step` = lambda.
    `information`: what a predictor sees, last or prefix.  `groups`: what to do where runs of several
    groups differ: refuse, split, within or pool.  `spikes`: set-aside or keep.  `seed` and
    `resamples` are the bootstrap's.

    A task that the data do not carry is in `Fit.refused`, its verdict saying why and what would.
    Raises InputError for bad rows or options, and where no file or no row is there.
    """
    if prices is None:
        prices = () if len(gammas) else Options.prices
    options = Options(
        outcome=outcome,
        direction=direction,
        horizon=horizon,
        prices=tuple(float(p) for p in prices),
        gammas=tuple(float(g) for g in gammas),
        cost_per_step=float(cost_per_step),
        information=information,
        groups=groups,
        spikes=spikes,
        seed=int(seed),
        confidence=float(confidence),
        resamples=int(resamples),
    )
    return fit_rows(read_rows(source, metric=metric, bad_rows=bad_rows), options)


def fit_rows(rows: Rows, options: Options) -> Fit:
    """As `fit`, for checked rows."""
    ready = make_ready(rows.frame, rows.metric, options)
    data = {one.task: one.data for one in ready if one.data is not None}
    made = tables_of(data, ready, rows.metric or "metric", options)
    verdicts = tuple(_verdict(one, made, options) for one in ready)
    return Fit(
        **made,
        tasks=tuple(data),
        refused=tuple(one.task for one in ready if one.data is None),
        rows=rows,
        options=options,
        _verdicts=verdicts,
    )


def _verdict(one: Ready, made: dict[str, pd.DataFrame], options: Options) -> dict[str, Any]:
    said: dict[str, Any] = {"refused": one.refused, "set_aside": _counts(one.aside)} | one.said
    if one.data is None:
        why = one.refused[0]
        words = f"{one.task} is refused: {why['why']}. What would carry a verdict: {why['remedy']}."
        return {"task": one.task, "status": "refused", "runs": one.runs, "in_words": words} | said
    base = pipeline.verdict(
        one.task,
        made["variance"],
        made["envelope"],
        made["c_star"],
        made["regimes"],
        advice=made["advice"],
        information=options.information,
        driver="residual",
    )
    proxy, known = base["driving_proxy"]["proxy"], base["driving_proxy"]["information"]
    base["driving_proxy"]["because"] = (
        "there are no forks: what a regression on the runs' curves leaves open"
    )
    places = [r for r in base["readings"] if r["reading"] == "bayes"]
    at_end = judge.open_at_end(places[0] if places else None)
    base["horizon"], base["runs_read"] = one.data.horizon, one.runs
    said["outcome"] = said["outcome"] | {"mean": float(np.mean(one.data.outcome))}
    base["caveats"] = [c for c in base["caveats"] if c != UNMEASURED]  # own runs have words of their own
    if one.data.settled is not None:
        early = judge.while_open(places[0] if places else None, one.data)
        words = f"{said['censoring']['in_words']} {early.pop('in_words')}".strip()
        said["censoring"] = said["censoring"] | early | {"in_words": words}
        at_end = 0.0
        base["L_int"] = dict.fromkeys(base["L_int"], None) | {"by_construction": False}
        base["caveats"].append(
            "R is known once a run has met its target: past the first such run the risk falls because "
            "runs are done, not because they were foreseen; the regime is judged where nine in ten go on"
        )
        base["caveats"].append(
            "c* charges each step in full, though runs that are done take no more: past the first stop it "
            "errs to the early side; steps saved are counted as they are"
        )
    elif not one.data.target:
        base["caveats"].append(
            "R is the metric at T itself: L_int is the level that the fitted law comes to just before T"
        )
    if not one.in_units_of_metric:
        base["caveats"].append("run_to_run is divided by its own last value, as R has another unit")
    if one.data.horizon > 1.5 * one.data.depth[-1]:
        base["caveats"].append(
            f"nothing was measured from depth {one.data.depth[-1]:,} to the horizon: the law is drawn "
            "out from there"
        )
    stops = base["c_star"]
    extra = {
        "law": judge.law(made["envelope"], one.task, proxy, known),
        "saving": judge.savings(stops, made["c_star"], one.data, at_end),
        "next": judge.further(base["advice"], base["runs"], FEW_RUNS),
    }
    return {"task": one.task, "status": "verdict"} | base | said | extra


def _counts(aside: Sequence[SetAside]) -> list[dict[str, Any]]:
    return [one.as_dict() for one in aside if one.count]
