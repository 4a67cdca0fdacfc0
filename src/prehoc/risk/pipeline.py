"""The tables and the verdict, from runs, forks and draws: the entry points in one place."""

from __future__ import annotations

from prehoc.risk.decide import c_star_table, driving_curve
from prehoc.risk.identity import identity_of
from prehoc.risk.intrinsic import Evaluation
from prehoc.risk.limits import intrinsic_table
from prehoc.risk.measured import envelope_table, lost_table, variance_table
from prehoc.risk.phase import regimes_table
from prehoc.risk.planning import advice_table
from prehoc.risk.regimes import Thresholds
from prehoc.risk.summary import summary
from prehoc.risk.verdict import lost_verdict, verdict

__all__ = [
    "Evaluation",
    "Thresholds",
    "advice_table",
    "c_star_table",
    "driving_curve",
    "envelope_table",
    "identity_of",
    "intrinsic_table",
    "lost_table",
    "lost_verdict",
    "regimes_table",
    "summary",
    "variance_table",
    "verdict",
]
