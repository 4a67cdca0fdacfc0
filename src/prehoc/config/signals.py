"""The block `signals` of a task: what training notes of each run beside its metrics."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from prehoc.config.blocks import Block, Count


class Signals(Block):
    """Each run's losses, gradient norms, way and weights as training goes, noted at every depth."""

    projections: Annotated[int, Field(ge=1, le=1024)] = Field(
        description="fixed random directions on which a run's weights are read"
    )
    curvature_examples: Count = Field(
        description="validation examples at most that the loss along a run's way is probed on"
    )
