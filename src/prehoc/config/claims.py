"""The block `claims`: what is held against each of the paper's claims E1-E7, fixed before any run."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from prehoc.config.blocks import Block, Count, Positive

Share = Annotated[float, Field(gt=0, lt=1)]
Learner = Literal["linear", "ridge", "boosting", "extrapolation"]
Predictor = Literal["mean", "linear", "ridge", "boosting", "extrapolation", "best"]
# Table policies_against has these against those (predictors/policies.py).
Calibrated = Literal["median_stop", "extrapolation_stop", "c_star", "c_star_guarded", "online"]
Fixed = Literal["no_probing", "shallow", "deep", "full", "oracle"]
Ratio = Annotated[float, Field(ge=1, allow_inf_nan=False)]


class Imported(Block):
    """Runs of others: a runs table for `prehoc fit`, or a folder that `prehoc fit` wrote."""

    path: str
    name: str | None = Field(None, description="put before the names of its tasks")
    horizon: Count | None = Field(None, description="T in steps; null: the last depth")


class Decisions(Block):
    """How exact instances and imported runs are forecast, and policies judged on them (E4, E5, E6)."""

    predictors: Annotated[list[Learner], Field(min_length=1)]
    folds: Annotated[int, Field(ge=3, le=20)] = Field(description="of the cross-validation over runs")
    splits: Count = Field(description="random halves, for policies")
    resamples: Annotated[int, Field(ge=100)] = Field(description="of runs, for the intervals")


class Decay(Block):
    """E1: the decay is a power law, with the task's own slope."""

    level: Share = Field(description="of the lack-of-fit test")
    share: Share = Field(description="of tasks, for each criterion of E1")


class Separation(Block):
    """E2: tasks fall in three regimes."""

    probability: Share = Field(description="with which a regime counts as told")
    told: Share = Field(description="share of tasks whose regime is told")
    regimes: Annotated[int, Field(ge=1, le=3)] = Field(description="how many regimes have a task")
    separated: Share = Field(description="share of pairs of tasks of two regimes that lie apart")
    agree: Share = Field(description="share of tasks that both readings put in one regime")
    right: Share = Field(description="share of exact instances put in their true regime")


class Depth(Block):
    """E3: the optimal depth depends on the regime."""

    ratio: Ratio = Field(description="c*/T of Dynamic-Critical tasks over that of Static-Sufficient ones")
    pairs: Share = Field(description="share of pairs in which the Dynamic-Critical task's c*/T is larger")


class Mismatch(Block):
    """E4: shallow probing fails by its depth."""

    predictor: Predictor = Field(description="of table mismatch: the same at both depths")
    shallow: Share = Field(description="shallow depth as a share of T, for the risk curve itself")
    ratio: Ratio = Field(description="risk at the shallow depth over that at c*")


class Complement(Block):
    """E5: static and trajectory signals complement each other."""

    serves: Share = Field(description="share of the attainable reduction that static signals give")
    early: Share = Field(description="depth as a share of T at which the trajectory is early")
    gain: Share = Field(description="of Var R, that the trajectory adds in Dynamic-Critical tasks")
    apart: Share = Field(description="of Var R, by which it adds more there than in other tasks")


class Efficiency(Block):
    """E6: probing at c* beats probing at one fixed depth."""

    policy: Calibrated = Field(description="of table policies: the one that probes to c*")
    fixed: Annotated[list[Fixed], Field(min_length=1)] = Field(description="policies of one fixed depth")
    ratio: Ratio = Field(description="total risk of the fixed depth over that of c*")


class Theory(Block):
    """E7: the theory holds."""

    coverage: Share = Field(description="of the exact alpha by its interval")
    caught: Share = Field(description="share of the exact controls in which no power law is seen")
    regret: Share = Field(description="of the closed-form c*, at most, as a share of Var R")
    no_faster: Share = Field(description="share of tasks whose risk falls no faster than a power law")
    margin: Positive = Field(description="AIC by which the exponential must win to count as faster")
    factor: Ratio = Field(description="between the closed-form c* and the best measured depth")
    near: Share = Field(description="share of tasks in which they lie within that factor")


class Claims(Block):
    """The criteria of E1-E7 with their thresholds: docs/claims.md."""

    price: Positive = Field(description="w = gamma lambda T / Var R, one of decide.prices")
    least_tasks: Count = Field(description="fewer leave a criterion undecided")
    least_per_regime: Annotated[int, Field(ge=2)] = Field(description="the same, of a regime")
    resamples: Annotated[int, Field(ge=200)] = Field(description="of tasks, for shares of pairs")
    synthetic_runs: Annotated[int, Field(ge=20)] = Field(description="of each exact instance")
    synthetic_sets: Count = Field(description="how often each is drawn for alpha's coverage")
    decisions: Decisions
    imported: list[Imported]
    E1: Decay
    E2: Separation
    E3: Depth
    E4: Mismatch
    E5: Complement
    E6: Efficiency
    E7: Theory

    @model_validator(mode="after")
    def _named_once(self) -> Claims:
        places = [(one.path, one.name) for one in self.imported]
        if len(set(places)) < len(places):
            raise ValueError("imported: the same path stands there twice; leave one, or give them names")
        return self
