"""`prehoc.advise`: from a fitted task and a budget, how deep to probe, then decide."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from prehoc.errors import InputError
from prehoc.fits.advice import Advice
from prehoc.fits.advice_words import NOISE, beside
from prehoc.fits.beside import below_chance
from prehoc.fits.budget import Budget
from prehoc.fits.fit import Fit
from prehoc.fits.known import Known, known_task
from prehoc.fits.library import Nearest, nearest, prepared_features, read_library
from prehoc.risk import chances

_SAME = 1e-9

_CANDIDATES = "candidates are taken as runs of this task: other models, data or settings are not"
TASKS_OWN = (
    "these are averages over runs of the task: alpha, L_int and c* are the task's, and say nothing of how "
    "one run will end"
)


def advise(
    source: str | Path | Fit | Known | None,
    budget: float,
    *,
    task: str | None = None,
    like: Mapping[str, float] | None = None,
    metric: str = "accuracy",
    library: str | Path | None = None,
    unit: str = "steps",
    step_seconds: float | None = None,
    price_per_hour: float | None = None,
    candidates: int = 1,
    threshold: float | None = None,
    price: float = 0.2,
) -> Advice:
    """How deep to probe with a budget, what is left open there, and the chance to be wrong.

    `source`: a Fit, the folder of `prehoc fit --out`, a workflow's results with `task`, or a Known.  None,
    or results where `task` is prepared and not fitted: the nearest fitted task of `metric` in `library`
    (default: the one that comes with prehoc) by the features `like` (library.nearest), and it says so.
    Static information costs nothing: where it was measured, what it leaves is what no probing leaves.
    One run is probed to the task's c* at `price` (w = gamma lambda T / Var R), or as deep as the budget
    goes.  `candidates` k runs are all probed to one depth c and the best forecast is trained to T:
    k c + (T - c) steps; c is as deep as the budget goes, but no deeper than it still tells.
    Raises InputError for a bad budget, unit, price or number of candidates, and as known_task.
    """
    spend = Budget(float(budget), unit, step_seconds, price_per_hour)
    if not (math.isfinite(price) and price > 0):
        raise InputError(f"price {price:g}: give a number above 0")
    if isinstance(candidates, bool) or candidates != int(candidates) or candidates < 1:
        raise InputError(f"candidates {candidates}: give a whole number of 1 or more")
    if threshold is not None and not math.isfinite(threshold):
        raise InputError(f"threshold {threshold:g}: give a value of R")
    known, near = _source(source, task, like, metric, library)
    made = _advice(known, spend, int(candidates), price, threshold)
    return made if near is None else replace(made, nearest=near.as_dict())


def _source(
    source: str | Path | Fit | Known | None, task: str | None, like: Mapping[str, float] | None,
    metric: str, library: str | Path | None,
) -> tuple[Known, Nearest | None]:  # fmt: skip
    if isinstance(source, Known):
        return source, None
    if source is not None and not like:
        prepared = None if isinstance(source, Fit) else prepared_features(Path(source), task)
        if prepared is None:
            return known_task(source, task), None
        like = prepared
    if not like:
        raise InputError("no fitted task and no features: name a fit's folder, or features to go by")
    near = nearest(read_library(library), like, metric)
    return near.known, near


def _advice(known: Known, spend: Budget, candidates: int, price: float, threshold: float | None) -> Advice:
    if not known.var_r > 0:
        return _nothing(
            known, spend, candidates, price, threshold, "R is the same in all runs: it is known"
        )
    if candidates == 1:
        return _one(known, spend, price, threshold)
    return _many(known, spend, candidates, price, threshold)


def c_star_of(known: Known, price: float) -> int:
    """The measured depth, or 0, with the least risk + w Var R c/T; ties go to the shallower.

    At 0 it is what static information leaves, or Var R; a depth whose risk cannot be told from that
    counts as that.
    """
    before = known.depth < known.horizon
    depth = np.concatenate([[0], known.depth[before]])
    told = [known.at(int(d))[0] if gains(known, int(d)) else known.start.risk for d in depth[1:]]
    risk = np.array([known.start.risk, *told])
    total = risk + price * known.var_r * depth / known.horizon
    return int(depth[int(np.argmin(total))])


def tells(known: Known, risk: float) -> bool:
    """Whether a risk is below Var R by more than chance, as below_chance."""
    return below_chance(known.var_r, risk, known.runs)


def gains(known: Known, depth: int) -> bool:
    """Whether the risk at a depth is below what is known without probing by more than chance.

    Below Var R: by the F test.  Below what static information leaves: where their intervals are apart,
    which asks for more, as both are of the same runs.
    """
    risk, _, high = known.at(depth)
    return tells(known, risk) if known.static is None else high < known.static.low


def _one(known: Known, spend: Budget, price: float, threshold: float | None) -> Advice:
    best, first = c_star_of(known, price), int(known.depth[0])
    whole = int(min(spend.steps, known.horizon))
    if best and whole < first:
        if known.static is not None:
            note = f"the budget ends before the first measured depth, {first:,}"
            return _made(known, spend, 1, price, threshold, 0, False, 0, [note])
        why = (
            f"the budget buys {spend.words(spend.steps)} of a run, and nothing was measured before depth "
            f"{first:,}"
        )
        return _nothing(known, spend, 1, price, threshold, why)
    depth = min(best, whole)
    notes = []
    if not best:
        notes.append(_no_gain(known) or f"no probing pays at price {price:g}: train the run, or don't")
    elif whole < best:
        notes.append(
            f"the budget ends before c* = {best:,} at price {price:g}, which would leave less open"
        )
    return _made(known, spend, 1, price, threshold, depth, False, depth, notes)


def _many(known: Known, spend: Budget, k: int, price: float, threshold: float | None) -> Advice:
    horizon, first = known.horizon, int(known.depth[0])
    steps = spend.steps
    if steps >= k * horizon:
        note = f"the budget trains all {k} to the end: no forecast is needed to pick one"
        return _made(known, spend, k, price, threshold, horizon, True, k * horizon, [note])
    deepest = int((steps - horizon) // (k - 1)) if steps >= horizon else 0
    if deepest < first and known.static is not None:
        enough = spend.words(k * first + horizon - first)
        short = f"{k} candidates to the first measured depth, {first:,}, and one to the end take {enough}"
        return _picked(known, spend, k, price, threshold, [short])
    if deepest < first:
        fit = int((steps - horizon) // first) + 1 if steps >= horizon else 0
        why = (
            f"{k} candidates to the first measured depth, {first:,}, and one of them to the end take "
            f"{spend.words(k * first + horizon - first)}, and there are {spend.words(steps)}"
        )
        why += f"; they are enough for {fit}" if fit >= 2 else "; they are not enough for two candidates"
        return _nothing(known, spend, k, price, threshold, why)
    reach = min(deepest, int(known.depth[-1]))
    if known.static is not None and not gains(known, reach):
        why = _no_gain(known) or f"to depth {reach:,}, as deep as the budget goes, there is no clear gain"
        return _picked(known, spend, k, price, threshold, [why])
    open_there = known.at(reach)[0]
    flat = [int(d) for d in known.depth if d <= reach and known.at(int(d))[0] <= open_there * (1 + _SAME)]
    depth = min([*flat, reach])
    notes = []
    if depth < deepest:
        beyond = "nothing deeper was measured" if depth == known.depth[-1] else "deeper tells no more"
        notes.append(f"the budget would reach depth {deepest:,}; {beyond}")
    if not gains(known, depth):
        notes.append("as measured, probing tells nothing of which one is best: any pick may be as good")
    notes.append(_CANDIDATES)
    return _made(known, spend, k, price, threshold, depth, True, k * depth + horizon - depth, notes)


def _picked(
    known: Known, spend: Budget, k: int, price: float, threshold: float | None, notes: list[str]
) -> Advice:
    """Nothing is probed: the best of k by the static forecast, trained to the end where that is paid."""
    pays = spend.steps >= known.horizon
    if not pays:
        notes = [
            *notes,
            f"the budget does not train one to the end: that takes {spend.words(known.horizon)}",
        ]
    spent = known.horizon if pays else 0
    return _made(known, spend, k, price, threshold, 0, pays, spent, [*notes, _CANDIDATES])


def _no_gain(known: Known) -> str:
    """That no measured depth is clearly below what static information leaves; "" where one is."""
    if known.static is None or any(gains(known, int(d)) for d in known.depth):
        return ""
    last = int(known.depth[known.depth < known.horizon][-1]) if known.depth[0] < known.horizon else 0
    shares = [known.at(d)[0] / known.var_r for d in (last, 0)]
    return (
        f"the metric to depth {last:,} besides would leave {shares[0]:.1%} of Var R instead of "
        f"{shares[1]:.1%}: no clear gain, as their intervals meet"
    )


def _made(
    known: Known, spend: Budget, k: int, price: float, threshold: float | None, depth: int, finish: bool,
    spent: float, notes: list[str],
) -> Advice:  # fmt: skip
    whole, by_start = depth >= known.horizon, depth == 0 and known.static is not None
    risk, low, high = (0.0, 0.0, 0.0) if whole and finish else known.at(depth)
    each = [min(r, known.var_r) for r in (risk, low, high)]
    pick = [chances.wrong_pick(r, known.var_r) for r in each]
    call: list[float | None] = [None] * 3
    if threshold is not None and np.isfinite(known.mean_r):
        call = [chances.wrong_call(r, known.var_r, known.mean_r, threshold) for r in each]
    full = k * known.horizon
    return Advice(
        task=known.task, budget=spend, candidates=k, price=price, depth=depth, horizon=known.horizon,
        finish=finish, spent_steps=float(spent), saved_steps=float(full - spent),
        saved_share=1 - spent / full, risk=risk, risk_low=low, risk_high=high, share=risk / known.var_r,
        wrong_pick=pick[0], wrong_pick_low=pick[1], wrong_pick_high=pick[2], threshold=threshold,
        wrong_call=call[0], wrong_call_low=call[1], wrong_call_high=call[2],
        short_of_best=chances.short_of_best(each[0], known.var_r, k) if k > 1 else None,
        regime=known.regime, regime_of_verdict=known.verdict, metric=known.metric,
        proxy="residual" if by_start else known.proxy,
        information="static" if by_start else known.information,
        runs=known.runs, cannot="", notes=tuple(notes + _limits(known, threshold, depth)),
    )  # fmt: skip


def _nothing(
    known: Known, spend: Budget, k: int, price: float, threshold: float | None, why: str
) -> Advice:
    base = _made(
        replace(known, var_r=max(known.var_r, 1e-300)), spend, k, price, threshold, 0, False, 0.0, []
    )
    kept = ("price", "threshold")
    unknown: dict[str, Any] = {
        name: math.nan for name, v in vars(base).items() if isinstance(v, float) and name not in kept
    }
    unknown |= dict.fromkeys(("short_of_best", "wrong_call", "wrong_call_low", "wrong_call_high"))
    return replace(base, **unknown, depth=None, cannot=why)


def _limits(known: Known, threshold: float | None, depth: int) -> list[str]:
    """What the task's fit does not carry."""
    notes = []
    if known.regime == "noise_dominant":
        notes.append(NOISE[known.verdict not in ("", known.regime)])
    elif known.regime == "undecided":
        notes.append("the task's regime is undecided")
    if known.falls is False:
        notes.append("the measured risk does not fall with depth (K = 0)")
    elif known.identified is False:
        notes.append("alpha is not identified: only what was measured is used, no law")
    notes += beside(known, depth)
    if known.odd_shape:
        notes.append("R is far from normal over runs: the chances and the shortfall are rough")
    if known.proxy == "fork":
        notes.append("only forks were measured: no predictor that sees the metric alone gets this far")
    if known.depth[-1] < known.horizon:
        notes.append(f"nothing was measured between depth {known.depth[-1]:,} and the end")
    if threshold is not None and not np.isfinite(known.mean_r):
        notes.append("the mean of R is not known: no chance of a wrong call can be told")
    return [*notes, TASKS_OWN]
