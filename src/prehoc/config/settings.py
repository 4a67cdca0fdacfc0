"""The blocks beside the tasks: risk, decide, figures; and the whole config."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from prehoc.config.blocks import Block, Count, Positive
from prehoc.config.task import MIN_RUNS, Task


class Risk(Block):
    """Which proxies are estimated, and how."""

    proxies: list[Literal["residual", "run_to_run", "change", "fork"]]
    information: list[Literal["last", "prefix", "static", "static+prefix"]]
    verdict_information: Literal["last", "prefix", "static+prefix"]
    confidence: Annotated[float, Field(gt=0.5, lt=1)]


class Regimes(Block):
    """The regime rule's thresholds (in shares of Var R) and its bootstrap."""

    iota: Positive
    q: Positive
    shallow: Annotated[float, Field(gt=0, lt=1)] = Field(description="c_s as a share of T")
    static_share: Annotated[float, Field(gt=0, le=1)]
    tolerance: Annotated[float, Field(ge=0)] = Field(description="sd of R below which R is settled")
    bootstrap: Count


class Advice(Block):
    """What further measuring may be advised: how many new depths, from how fine a log grid."""

    new_depths: Annotated[int, Field(ge=0, le=8)]
    grid: Annotated[int, Field(ge=2, le=500)] = Field(description="places on a log scale up to T")


class Decide(Block):
    """Prices of probing."""

    prices: list[Annotated[float, Field(gt=0)]]
    gamma: list[Annotated[float, Field(gt=0)]] = Field(description="absolute gammas beside the prices")
    cost_per_step: Positive = Field(description="lambda; 1: costs are counted in steps")
    regimes: Regimes
    advice: Advice


class Figures(Block):
    """How figures look; they read tables only."""

    format: Annotated[list[Literal["pdf", "png", "svg"]], Field(min_length=1)]
    column: Literal["icml", "neurips"]


class Estimators(Block):
    """The estimators against exact truth: how often, with how many runs, and at which prices."""

    runs: Annotated[list[Annotated[int, Field(ge=MIN_RUNS)]], Field(min_length=1)]
    regime_runs: Annotated[int, Field(ge=MIN_RUNS)] = Field(description="runs at which regimes are judged")
    replicates: Annotated[int, Field(ge=2)]
    price: Positive = Field(description="price of probing at which c* is judged")
    bootstrap: Count = Field(description="resamples of a replicate's regime")


class Benchmark(Block):
    """What the benchmark targets do; the exact instances they use."""

    instances: list[str] | None = Field(description="names of synthetic instances; null: all")
    estimators: Estimators


class Config(Block):
    """The whole config, tasks resolved."""

    seed: Annotated[int, Field(ge=0)]
    seeds: Annotated[int, Field(ge=MIN_RUNS)] | None
    only: list[str] | None = Field(description="names of the tasks to run; null: all enabled ones")
    store: str
    defaults: dict[str, dict[str, Any]]
    tasks: dict[str, Task]
    risk: Risk
    decide: Decide
    figures: Figures
    benchmark: Benchmark

    def enabled(self) -> list[str]:
        """Names of the tasks that are run, in the file's order."""
        chosen = self.tasks if self.only is None else self.only
        return [name for name, task in self.tasks.items() if task.enabled and name in chosen]
