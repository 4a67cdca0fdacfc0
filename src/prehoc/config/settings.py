"""The blocks beside the tasks: risk, decide, figures; and the whole config."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from prehoc.config.blocks import Block, Count, Positive
from prehoc.config.claims import Claims
from prehoc.config.gap import Gap
from prehoc.config.online import Online
from prehoc.config.packing import Packing
from prehoc.config.policies import Policies
from prehoc.config.predictors import Predictors
from prehoc.config.robustness import Robustness
from prehoc.config.sandbox import Sandbox
from prehoc.config.task import MIN_BLOCKS, MIN_RUNS, Task

DEVICES = r"^(auto|cpu|cuda(:[0-9]+)?)$"


class Risk(Block):
    """Which proxies are estimated, and how."""

    proxies: list[Literal["residual", "run_to_run", "change", "fork"]]
    information: list[Literal["last", "prefix", "outputs", "static", "static+prefix"]]
    verdict_information: Literal["last", "prefix", "outputs", "static+prefix"]
    confidence: Annotated[float, Field(gt=0.5, lt=1)]

    @model_validator(mode="after")
    def _drives(self) -> Risk:
        if not {"residual", "fork"} & set(self.proxies):
            raise ValueError("proxies: neither residual nor fork is there to drive a verdict; add residual")
        if self.verdict_information not in self.information:
            raise ValueError(
                f"verdict_information {self.verdict_information!r} is not among information; add it there"
            )
        return self


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

    @model_validator(mode="after")
    def _priced(self) -> Decide:
        if not self.prices and not self.gamma:
            raise ValueError("prices: none, and no gamma; give at least one price")
        return self


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


class LowerBound(Block):
    """Predictors against the exact risk: sizes of training and test sets, replicates, the battery."""

    train: Annotated[int, Field(ge=20)] = Field(description="runs that a predictor learns from")
    test: Annotated[int, Field(ge=100)] = Field(description="fresh runs on which it is judged")
    replicates: Annotated[int, Field(ge=2)] = Field(description="independent training and test sets")
    gp_rows: Annotated[int, Field(ge=10)] = Field(description="runs the Gaussian process learns from")
    predictors: Annotated[
        list[
            Literal[
                "ols",
                "ridge",
                "knn",
                "kernel_ridge",
                "boosting",
                "gaussian_process",
                "extrapolation",
                "last_value",
            ]
        ],
        Field(min_length=1),
    ]


class Control(Block):
    """A schedule for which theory gives no power law."""

    schedule: Literal["rho", "constant", "linear", "cosine"]
    rho: Positive | None = Field(description="decay of the schedule `rho`; null for the others")
    h: Annotated[float, Field(ge=0)] = Field(description="curvature")
    eta_0: Positive
    sigma: Positive = Field(description="gradient noise")


class Rates(Block):
    """alpha-hat against the theory's 2 rho - 1 and 1 - 2 h eta_0, and where no power law holds."""

    runs: Annotated[int, Field(ge=MIN_RUNS)]
    replicates: Annotated[int, Field(ge=2)]
    horizon: Annotated[int, Field(ge=16)]
    target_noise: Positive = Field(description="sd of R's own noise; L(T) is its square")
    rho: list[Annotated[float, Field(gt=0.5, le=1)]] = Field(description="decay, in a flat direction")
    eta_0: Positive = Field(description="first step size in the flat direction")
    curvature: list[Annotated[float, Field(gt=0, lt=0.5)]] = Field(description="h eta_0 at rho = 1")
    controls: list[Control]
    control_runs: Annotated[list[Annotated[int, Field(ge=MIN_RUNS)]], Field(min_length=1)] = Field(
        description="runs at which the controls are judged"
    )


class Benchmark(Block):
    """What the benchmark targets do; the exact instances they use."""

    instances: Annotated[list[str], Field(min_length=1)] | None = Field(
        description="names of synthetic instances; null: all"
    )
    estimators: Estimators
    lower_bound: LowerBound
    rates: Rates


class Sources(Block):
    """Variance by source: intervals, and the synthetic case with known components beside the tasks."""

    resamples: Annotated[int, Field(ge=200)] = Field(description="of blocks, for the intervals")
    known: dict[str, Annotated[float, Field(ge=0)]] = Field(
        description="components of the synthetic case, e.g. {a: 1.0, a:b: 0.5}; {}: none"
    )
    blocks: Annotated[int, Field(ge=MIN_BLOCKS)] = Field(description="blocks of the synthetic case")

    @field_validator("known")
    @classmethod
    def _names(cls, value: dict[str, float]) -> dict[str, float]:
        parts = [key.split(":") for key in value if key != "rest"]
        if any(len(set(p)) < len(p) or not set(p).isdisjoint({"", "rest"}) for p in parts):
            raise ValueError("join different names by ':', or write rest for each run's own noise")
        if value and not (2 <= len({n for p in parts for n in p}) <= 5 and sum(value.values()) > 0):
            raise ValueError("two to five names, and a variance above zero in all; or {} for no such case")
        return value


class Lock(Block):
    """How long jobs wait for one another's runs, in seconds; part of no stage's identity."""

    heartbeat: Positive = Field(description="between a training job's signs of life")
    stale: Positive = Field(description="without a sign of life, until a job is taken for gone")
    longest: Annotated[float, Field(ge=0)] = Field(description="that a job waits for another's runs")

    @model_validator(mode="after")
    def _lives(self) -> Lock:
        if self.stale < 3 * self.heartbeat:
            raise ValueError(f"stale {self.stale:g} is under three heartbeats; a busy job would look gone")
        return self

    def text(self) -> str:
        """As the option --lock of prehoc train and fork takes it."""
        return f"{self.heartbeat:g},{self.stale:g},{self.longest:g}"


class Config(Block):
    """The whole config, tasks resolved."""

    seed: Annotated[int, Field(ge=0)]
    seeds: Annotated[int, Field(ge=MIN_RUNS)] | None
    only: list[str] | None = Field(description="names of the tasks to run; null: all enabled ones")
    store: str
    device: str = Field(pattern=DEVICES, description="auto: a CUDA GPU if there is one, or the CPU")
    lock: Lock
    packing: Packing
    defaults: dict[str, dict[str, Any]]
    tasks: dict[str, Task]
    risk: Risk
    decide: Decide
    predictors: Predictors
    online: Online
    figures: Figures
    sources: Sources
    policies: Policies
    gap: Gap
    sandbox: Sandbox
    robustness: Robustness | None = Field(description="the crossing of snakemake robustness; null: none")
    benchmark: Benchmark
    claims: Claims

    @field_validator("device", mode="before")
    @classmethod
    def _known(cls, value: Any) -> Any:
        if not isinstance(value, str) or not re.match(DEVICES, value):
            raise ValueError(f"{value!r}: write auto, cpu, cuda or cuda:N")
        return value

    def enabled(self) -> list[str]:
        """Names of the tasks that are run, in the file's order."""
        chosen = set(self.tasks) - set(self.cells()) if self.only is None else self.only
        return [name for name, task in self.tasks.items() if task.enabled and name in chosen]

    def cells(self) -> dict[str, dict[str, str]]:
        """The crossing's cells, which `tasks` holds too: name -> level by axis.

        `enabled` has those alone that `only` names.
        """
        made = self.robustness.cells() if self.robustness else {}
        return {name: cell for name, cell in made.items() if name in self.tasks}

    def analysed(self) -> list[str]:
        """Those of `enabled` whose runs are independent, so that risk and all that follows apply."""
        return [name for name in self.enabled() if not self.tasks[name].crossed]
