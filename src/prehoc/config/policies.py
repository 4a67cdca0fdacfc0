"""The block `policies`: how policies are set and judged (docs/policies.md)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from prehoc.config.blocks import Block, Count, Positive

Share = Annotated[float, Field(gt=0, lt=1)]


class Shallow(Block):
    """The fixed shallow probe."""

    steps: Count = Field(description="TuneAhead's 100")
    share: Share = Field(description="of T, where `steps` is half of T or more")


class Policies(Block):
    """Policies of probing, judged on runs held out of their calibration."""

    min_runs: Annotated[int, Field(ge=20)] = Field(description="runs below which a task is left out")
    splits: Count = Field(description="random halves; each half calibrates for the other")
    shallow: Shallow
    deep: Share = Field(description="depth of the fixed deep probe, of T")
    grace: Annotated[float, Field(ge=0, lt=1)] = Field(
        description="share of T before which median_stop and extrapolation_stop stop no run"
    )
    eta: Annotated[int, Field(ge=2)] = Field(description="of sha and asha: one in eta goes on")
    workers: Count = Field(description="of asha")
    cohort: Annotated[int, Field(ge=2)] = Field(description="k: runs of a race, and of best of k")
    rounds: Count = Field(description="times that a judged half is cut into cohorts")
    threshold: Share = Field(description="quantile of the calibration runs' R, for go / no-go")
    sure: Annotated[float, Field(gt=0, lt=0.5)] = Field(
        description="extrapolation_stop stops where the chance to pass is under it or over 1 - it"
    )
    sweep: list[Positive] = Field(description="prices beside decide.prices, for the frontier's lines")
    resamples: Annotated[int, Field(ge=100)] = Field(description="of runs, for the intervals")
