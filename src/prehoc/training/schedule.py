"""Step sizes: rho-decay (the theory's own), constant, linear and cosine, after a linear warm-up."""

from __future__ import annotations

import math
from typing import Any


def step_size(optimiser: dict[str, Any], step: int, horizon: int) -> float:
    """The factor on the base learning rate at step 0, 1, ..., horizon - 1.

    rho: (k + 1/2)^-rho with k counted from the end of the warm-up (paper's section 5: eta_c ~ c^-rho).
    linear and cosine fall to zero at the horizon; they alone depend on it.
    """
    warmup = int(optimiser["warmup"])
    if step < warmup:
        return (step + 1) / (warmup + 1)
    since, schedule = step - warmup, optimiser["schedule"]
    if schedule == "constant":
        return 1.0
    if schedule == "rho":
        return float((since + 0.5) ** -float(optimiser["rho"]))
    share = since / max(horizon - warmup, 1)
    return 1.0 - share if schedule == "linear" else 0.5 * (1.0 + math.cos(math.pi * share))


def spans_horizon(optimiser: dict[str, Any]) -> bool:
    """Whether the schedule depends on the horizon, so that a deeper one retrains."""
    return optimiser["schedule"] in ("linear", "cosine")
