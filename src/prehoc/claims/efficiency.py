"""E6: probing at c* is more efficient than probing at one fixed depth."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from prehoc.claims.evidence import Evidence, Judge, named
from prehoc.claims.intervals import mean, ratio, spread


def judged(
    e: Evidence, rule: Mapping[str, Any], judge: Judge, confidence: float, price: float
) -> list[dict[str, Any]]:
    """The rows of E6, one a fixed policy: geometric mean over tasks of its total risk over that of c*.

    From table policies at `price`, whose runs are held out of calibration.  `rule`: policy, fixed, ratio.
    Errors of the two are taken as independent; those of the same runs are not, and the interval is wide.
    """
    names = {fixed: f"c_star_beats:{fixed}" for fixed in rule["fixed"]}
    why = e.absent("policies")
    if why:
        return [judge.missing(n, rule["ratio"], why) for n in names.values()]
    table = e.extra["policies"]
    table = table[
        np.isclose(table["price"], price) & table["task"].isin(e.tasks) & (table["total_risk"] > 0)
    ]
    rows = []
    for fixed, name in names.items():
        pair = [table[table["policy"] == p].set_index("task") for p in (rule["policy"], fixed)]
        tasks = [t for t in pair[0].index if t in pair[1].index]
        if not tasks:
            why = f"no task has {rule['policy']} and {fixed} at price {price:g}; policies: {_known(e)}"
            rows.append(judge.missing(name, rule["ratio"], why))
            continue
        with np.errstate(divide="ignore"):
            logs = [
                np.log(p.loc[tasks, ["total_risk", "total_low", "total_high"]].to_numpy(float))
                for p in pair
            ]
        own = np.hypot(*(spread(x[:, 1], x[:, 2], confidence) for x in logs))
        gain = logs[1][:, 0] - logs[0][:, 0]
        found = ratio(mean(gain, own, confidence))
        worse = [t for t, g in zip(tasks, gain, strict=True) if g < math.log(rule["ratio"])]
        note = f"not in {named(worse)}" if worse else ""
        rows.append(judge.row(name, rule["ratio"], found, len(tasks), note=note))
    return rows


def _known(e: Evidence) -> str:
    return ", ".join(sorted(set(e.extra["policies"]["policy"]))) or "none"
