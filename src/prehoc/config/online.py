"""The block `online`: when a run is judged by its own curve, and when that can't be done."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from prehoc.config.blocks import Block


class Online(Block):
    """Numbers of the online stopping rule, as predictors.online.fit_prior takes them (docs/online.md)."""

    least_depths: Annotated[int, Field(ge=4)] = Field(description="metrics seen before any stop")
    least_runs: Annotated[int, Field(ge=5)] = Field(
        description="finished runs below which it cannot tell, and every run stops at the prior's own c*"
    )
    unlike: Annotated[float, Field(ge=0, lt=0.5)] = Field(
        description="chance of a path as far from the finished runs' below which it cannot tell"
    )
    uneven: Annotated[float, Field(gt=0)] = Field(
        description="relative standard error of the finished runs' squared error above which it cannot tell"
    )
