"""The block `predictors`: what forecasts R, how it is cross-validated, and where forecasts are compared."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from prehoc.config.blocks import Block, Count, Positive

Share = Annotated[float, Field(gt=0, le=1)]


class Boosted(Block):
    """Gradient-boosted trees."""

    trees: Count
    rate: Annotated[float, Field(gt=0, le=1)] = Field(description="shrinkage of each tree")
    depth: Annotated[int, Field(ge=1, le=6)] = Field(description="of each tree")


class Predictors(Block):
    """Predictors of R from static information and the trajectory."""

    names: Annotated[list[Literal["linear", "ridge", "boosting", "extrapolation"]], Field(min_length=1)]
    folds: Annotated[int, Field(ge=3, le=20)] = Field(description="of the cross-validation over runs")
    most_runs: Annotated[int, Field(ge=5)] | None = Field(description="of a task, by seed; null: all")
    depths: list[Count] | None = Field(description="measured depths that are judged; null: all")
    boosting: Boosted
    pooled_shares: Annotated[list[Share], Field(min_length=1)] = Field(
        description="of the horizon, at which tasks of a regime are averaged"
    )
    transfer_depth_shares: Annotated[list[Share], Field(min_length=1)] = Field(
        description="of the horizon, at which one task is told by the others"
    )
    transfer_runs: Annotated[int, Field(ge=5)] = Field(description="of each task in the transfer")
    shallow_steps: Positive = Field(description="the fixed shallow depth")
    shallow_share: Share = Field(description="of the horizon, where the steps are half of it or more")
    resamples: Annotated[int, Field(ge=100)] = Field(description="of tasks and runs, for the intervals")

    @field_validator("names", "depths", "pooled_shares", "transfer_depth_shares")
    @classmethod
    def _once(cls, value: list[object] | None) -> list[object] | None:
        if value is not None and len(set(value)) < len(value):
            raise ValueError(f"{value}: one stands there twice; name each once")
        return value
