"""Successive halving over cohorts of runs, synchronous and asynchronous, many cohorts at a time.

SHA: Jamieson and Talwalkar (2016); ASHA: Li et al. (2020), its Algorithm 2 with W workers and a
number of arms that is fixed.  Arms are compared by their metric at a rung.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Index = NDArray[np.int64]


def rungs(depth: Index, horizon: int, arms: int, eta: int) -> Index:
    """Columns of `depth` [D] that are rungs: T / eta^K, ..., T / eta, T with eta^K <= arms.

    Each rung is the deepest depth that is measured and no deeper than that; equal ones are merged.
    """
    levels = int(np.floor(np.log(arms) / np.log(eta) + 1e-9))
    wanted = horizon / float(eta) ** np.arange(levels, -1, -1)
    return np.unique(np.maximum(np.searchsorted(depth, wanted * (1 + 1e-9), side="right") - 1, 0))


def _ranks(score: Array) -> Index:
    """Place of each arm in its cohort [G, k], 0 the best; ties by order."""
    order = np.argsort(-score, axis=1, kind="stable")
    place = np.empty_like(order)
    np.put_along_axis(place, order, np.arange(score.shape[1])[None, :], axis=1)
    return place


def halve(score: Array, eta: int) -> Index:
    """The last rung that each arm reaches [G, k], from its score at each rung [G, k, L], more is better.

    At each rung the best 1/eta of those still there go on, one at least.
    """
    groups, arms, levels = score.shape
    last = np.zeros((groups, arms), np.int64)
    left = arms
    for level in range(levels - 1):
        here = np.where(last == level, score[:, :, level], -np.inf)
        left = max(1, left // eta)
        last[_ranks(here) < left] = level + 1
    return last


def race(score: Array, cost: Array, eta: int, workers: int) -> Index:
    """The last rung that each arm reaches [G, k] under ASHA, from scores [G, k, L], more is better.

    `cost` [L] is the time from one rung to the next.  A worker that is free promotes an arm that is
    among the best 1/eta of those that have completed a rung, from the highest rung down; else it
    starts the next arm, if one is left; else it waits.
    """
    groups, arms, _ = score.shape
    rows = np.arange(groups)
    done = np.zeros((groups, arms), np.int64)  # rungs completed
    busy = np.zeros((groups, arms), bool)
    started = np.zeros(groups, np.int64)
    finish = np.full((groups, workers), np.inf)
    job = np.full((groups, workers), -1)
    now = np.zeros(groups)
    while True:
        for worker in range(workers):
            idle = job[:, worker] < 0
            arm = np.where(idle, _promoted(score, done, busy, eta), -1)
            fresh = idle & (arm < 0) & (started < arms)
            arm = np.where(fresh, started, arm)
            started += fresh
            at = rows[arm >= 0]
            if not len(at):
                continue
            taken = arm[at]
            busy[at, taken] = True
            job[at, worker] = taken
            finish[at, worker] = now[at] + cost[done[at, taken]]
        runs_on = (job >= 0).any(axis=1)
        if not runs_on.any():
            return done - 1
        at = rows[runs_on]
        worker_done = np.argmin(finish[at], axis=1)
        now[at] = finish[at, worker_done]
        ended = job[at, worker_done]
        done[at, ended] += 1
        busy[at, ended] = False
        finish[at, worker_done], job[at, worker_done] = np.inf, -1


def _promoted(score: Array, done: Index, busy: NDArray[np.bool_], eta: int) -> Index:
    """The arm to promote in each cohort [G], from the highest rung down; -1 where there is none."""
    groups, _, levels = score.shape
    chosen = np.full(groups, -1)
    for level in range(levels - 2, -1, -1):
        complete = done > level
        here = np.where(complete, score[:, :, level], -np.inf)
        place = _ranks(here)
        able = complete & (done == level + 1) & ~busy & (place < (complete.sum(axis=1) // eta)[:, None])
        best = np.argmin(np.where(able, place, place.shape[1]), axis=1)
        take = (chosen < 0) & able.any(axis=1)
        chosen = np.where(take, best, chosen)
    return chosen
