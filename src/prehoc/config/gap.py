"""The block `gap`: how much of what the state knows features tell without forking."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from prehoc.config.blocks import Block, Count


class Needed(Block):
    """How many runs and probe examples it takes."""

    runs: list[Annotated[int, Field(ge=20)]] = Field(description="that a predictor learns from")
    examples: list[Count] = Field(description="probe examples that it sees, the first ones")
    depth_share: Annotated[float, Field(gt=0, le=1)] = Field(
        description="the deepest fork depth up to this share of the horizon is judged"
    )


class Gap(Block):
    """Features against forks, on runs held out."""

    folds: Annotated[int, Field(ge=2, le=20)] = Field(description="over runs")
    rows: Annotated[int, Field(ge=50)] = Field(description="runs on which a kernel is chosen")
    resamples: Annotated[int, Field(ge=200)] = Field(description="of runs and trunks, for the intervals")
    auxiliary: str | None = Field(
        description="another metric of the target set, predicted beside R to steady it; null: none"
    )
    needed: Needed
