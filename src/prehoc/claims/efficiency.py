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

    From table policies_against at `price`: ratios on the same runs, held out of calibration.  `rule`:
    policy, fixed, ratio.
    """
    names = {fixed: f"c_star_beats:{fixed}" for fixed in rule["fixed"]}
    why = e.absent("policies_against")
    if why:
        return [judge.missing(n, rule["ratio"], why) for n in names.values()]
    table = e.extra["policies_against"]
    table = table[np.isclose(table["price"], price) & (table["policy"] == rule["policy"])]
    table = table[table["task"].isin(e.tasks) & np.isfinite(table["ratio"]) & (table["ratio"] > 0)]
    rows = []
    for fixed, name in names.items():
        here = table[table["other"] == fixed].set_index("task")
        if here.empty:
            known = ", ".join(sorted(set(table["other"]))) or "none"
            why = f"no task has {rule['policy']} against {fixed} at price {price:g}; there is: {known}"
            if fixed == "full" and e.scope == "imported":
                why += "; where R is the metric at T or steps to a target, nothing is forecast there"
            rows.append(judge.missing(name, rule["ratio"], why))
            continue
        with np.errstate(divide="ignore"):
            logs = np.log(here[["ratio", "low", "high"]].to_numpy(float))
        found = ratio(mean(logs[:, 0], spread(logs[:, 1], logs[:, 2], confidence), confidence))
        worse = here.index[logs[:, 0] < math.log(rule["ratio"])].astype(str).tolist()
        note = f"not in {named(worse)}" if worse else ""
        rows.append(judge.row(name, rule["ratio"], found, len(here), note=note))
    return rows
