"""All claims over all scopes: the table `claims`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from prehoc import tables
from prehoc.claims import decay, depth, efficiency, separation, signals, theory
from prehoc.claims.evidence import Evidence, Judge
from prehoc.tables.decisions import CLAIMS, SCOPES


def judged(e: Evidence, rules: Mapping[str, Any], confidence: float, seed: int) -> list[dict[str, Any]]:
    """The rows of one scope.  `rules`: the config's block `claims`."""
    price, group, resamples = rules["price"], rules["least_per_regime"], rules["resamples"]
    judge = {claim: Judge(claim, e.scope, rules["least_tasks"]) for claim in CLAIMS}
    if not e.tasks:
        return [judge[c].missing("all", float("nan"), "no task of this scope") for c in CLAIMS]
    return [
        *decay.judged(e, rules["E1"], judge["E1"], confidence),
        *separation.judged(e, rules["E2"], judge["E2"], confidence, resamples, seed),
        *depth.judged(e, rules["E3"], judge["E3"], confidence, price, group),
        *signals.mismatch(e, rules["E4"], judge["E4"], confidence, price, group),
        *signals.complement(e, rules["E5"], judge["E5"], confidence, group),
        *efficiency.judged(e, rules["E6"], judge["E6"], confidence, price),
        *theory.judged(e, rules["E7"], judge["E7"], confidence, price, rules["E1"]["level"]),
    ]


def claims_table(
    scopes: Sequence[Evidence], rules: Mapping[str, Any], *, confidence: float = 0.95, seed: int = 0
) -> pd.DataFrame:
    """Table `claims`: every criterion of every claim in each of `scopes`; another scope has no task.

    `rules` is the config's block `claims`; `confidence` of all intervals; `seed` of the bootstrap.
    """
    rows = [row for e in scopes for row in judged(e, rules, confidence, seed)]
    given = {e.scope for e in scopes}
    for scope in SCOPES:
        if scope not in given:
            rows += [
                Judge(claim, scope, 0).missing("all", float("nan"), "no task of this scope")
                for claim in CLAIMS
            ]
    frame = pd.DataFrame(rows, columns=list(tables.SCHEMAS["claims"].columns))
    order = {c: i for i, c in enumerate((*CLAIMS, *SCOPES))}
    frame = frame.sort_values(["claim", "scope"], key=lambda s: s.map(order), kind="stable")
    return tables.check("claims", frame)
