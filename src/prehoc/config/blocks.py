"""The blocks that a task is made of: model, data, method, optimiser, population, outcome, forks."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from prehoc.config.metrics import STABILISED, TAKES_LABEL_NOISE

Rate = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
LONG = 1e9  # beyond any time in minutes or milliseconds, or memory in MB, that is meant


class Block(BaseModel):
    """A block of the config: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_for_a_number(cls, value: object, info: ValidationInfo) -> object:
        if isinstance(value, bool) and "bool" not in str(cls.model_fields[str(info.field_name)].annotation):
            raise ValueError(f"{str(value).lower()} is no value of this key; see docs/config.md")
        return value


class Model(Block):
    """What is fine-tuned: `packaged:NAME`, a folder in Hub format, or a Hub name with its revision."""

    name: str
    revision: str | None
    max_length: Count = Field(description="tokens; longer texts are cut")


class Data(Block):
    """Texts and labels: `packaged:NAME`, a CSV or JSONL file, a folder, or a Hub name."""

    name: str
    revision: str | None
    subset: str | None = Field(description="the Hub's configuration name, or a packaged source")
    text: str | Annotated[list[str], Field(min_length=1, max_length=2)] | None = Field(
        description="text column; two for a pair task; null: text_generation, which has templates"
    )
    label: str | None = Field(description="label column; null: text_generation")
    labels: Literal["class", "number"] = Field(
        description="what the label is: one of some classes, or a number to be predicted (regression)"
    )
    positive: str | int | None = Field(description="the label that f1 is of; null: the last in order")
    classes: Annotated[int, Field(ge=2)] | None = Field(description="number of labels; null: as found")
    domain: str | None = Field(description="column that names a row's domain")
    splits: dict[Literal["train", "val", "target"], str] | None = Field(
        description="named splits of the data; null: one pool, shuffled once and cut"
    )
    train: Count
    val: Count
    target: Count
    train_domains: list[str] | None = Field(description="domains to train and validate on; null: all")
    label_noise: Rate = Field(description="rate of training labels replaced, drawn anew a run")

    @model_validator(mode="after")
    def _two_columns(self) -> Data:
        if isinstance(self.text, list) and len(set(self.text)) < len(self.text):
            raise ValueError(f"text: {self.text[0]!r} stands there twice; a pair task has two columns")
        return self

    @model_validator(mode="after")
    def _numbers_have_no_classes(self) -> Data:
        if self.labels == "number":
            for key in ("classes", "positive", "label_noise"):
                if getattr(self, key):
                    raise ValueError(f"{key} is for classes; leave it out where labels are numbers")
        return self


class Arithmetic(Block):
    """Generated arithmetic: modular addition, or sums of numbers with some digits as text."""

    modulus: Annotated[int, Field(ge=3, le=997)]
    digits: Annotated[int, Field(ge=1, le=4)]
    train: Annotated[float, Field(gt=0)] = Field(description="share (modular) or count (text)")
    val: Count
    target: Count


class Method(Block):
    """What of the model is trained."""

    kind: Literal["lora", "head", "full"]
    rank: Count
    alpha: Positive = Field(description="LoRA scale is alpha / rank")
    targets: list[str]
    layers: str = Field(description='"all" or "top-K"')
    pooling: Literal["cls", "mean"]
    dropout: Rate = Field(description="on the head's input")
    lora_dropout: Rate = Field(description="on what enters an adapter, as peft's lora_dropout")
    width: Count = Field(description="full: model width")
    heads: Count = Field(description="full: attention heads")
    depth: Count = Field(description="full: layers")

    @field_validator("layers")
    @classmethod
    def _layers(cls, value: str) -> str:
        if value != "all" and not re.fullmatch(r"top-[1-9][0-9]*", value):
            raise ValueError('write "all" or "top-K", K the number of layers from the top')
        return value


class Optimiser(Block):
    """The optimiser and its step sizes."""

    name: Literal["adamw", "sgd", "adafactor", "lion"]
    lr: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    schedule: Literal["rho", "constant", "linear", "cosine"]
    rho: Annotated[float, Field(ge=0, le=2)]
    warmup: Annotated[int, Field(ge=0)] = Field(description="steps")
    batch_size: Count
    weight_decay: Annotated[float, Field(ge=0)]
    momentum: Rate
    betas: tuple[Rate, Rate]
    clip: Annotated[float, Field(gt=0)] | None = Field(description="gradient norm a seed; null: none")


class Factor(Block):
    """One thing that a run draws besides its seed; exactly one of the laws is given."""

    uniform: tuple[float, float] | None = None
    log_uniform: tuple[Positive, Positive] | None = None
    choice: list[float | int | str] | None = None
    n: Count | None = Field(None, description="train_subset: examples a run draws")
    visible: bool

    @model_validator(mode="after")
    def _one_law(self) -> Factor:
        given = [k for k in ("uniform", "log_uniform", "choice", "n") if getattr(self, k) is not None]
        if len(given) != 1:
            raise ValueError("give exactly one of uniform, log_uniform, choice, n")
        for law in (self.uniform, self.log_uniform):
            if law is not None and law[0] > law[1]:
                raise ValueError(f"the range {list(law)} is upside down")
        if self.choice is not None and not self.choice:
            raise ValueError("choice is empty")
        for i, value in enumerate(self.choice or []):
            if value in (self.choice or [])[:i]:
                raise ValueError(f"choice has {value!r} twice; name each once")
        return self


FACTORS = ("train_subset", "label_noise", "learning_rate", "batch_size", "target_domain")


class Outcome(Block):
    """The final performance R, read at the horizon on the target set."""

    metric: Literal[
        "accuracy",
        "f1",
        "matthews",
        "pearson",
        "spearman",
        "pearson_spearman",
        "exact_match",
        "pass_at_1",
        "loss",
    ]
    scale: Literal["raw", "stabilised"] = Field(
        description="of R in the risk: as measured, or where its sampling variance is even"
    )
    target_sample: Annotated[int, Field(ge=1, le=10_000_000)] | None = Field(
        description="target examples drawn a run; null: all"
    )
    target_label_noise: Rate

    @model_validator(mode="after")
    def _fitting(self) -> Outcome:
        if self.target_label_noise and self.metric not in TAKES_LABEL_NOISE:
            raise ValueError(
                f"target_label_noise does not act on {self.metric}; set outcome.metric to accuracy or "
                "another metric of classes"
            )
        if self.scale == "stabilised" and self.metric not in STABILISED:
            raise ValueError(f"{self.metric} has no variance-stabilising scale; set outcome.scale to raw")
        return self


class Outputs(Block):
    """Each run's outputs on the first validation examples, recorded at every depth."""

    examples: Count = Field(description="validation examples at most, the same for every run")
    components: Count = Field(description="principal components of them that enter the regression")

    @model_validator(mode="after")
    def _fewer_components(self) -> Outputs:
        if self.components > self.examples:
            raise ValueError(
                f"components {self.components} exceed examples {self.examples}; lower components"
            )
        return self


class Forks(Block):
    """Forks: `per_trunk` continuations of each of the first `trunks` runs, from each depth."""

    depths: Annotated[list[Count], Field(min_length=1)]
    trunks: Annotated[int, Field(ge=5)]  # fewer make no variance worth a table
    per_trunk: Annotated[int, Field(ge=2)]


class Resources(Block):
    """What a job of the task asks of a cluster; see config/resources.py for how its time is made of it."""

    mem_mb: Annotated[int, Field(ge=1, le=LONG)] = Field(
        description="memory at the first attempt; each further attempt asks for as much more"
    )
    minutes: Annotated[int, Field(ge=1, le=LONG)] = Field(
        description="time for the start: environments, imports, reading the model"
    )
    step_ms: Literal["auto"] | Annotated[float, Field(gt=0, le=LONG)] = Field(
        description="time of a run's step; auto: as on one core of a CPU"
    )
    token_ms: Literal["auto"] | Annotated[float, Field(gt=0, le=LONG)] = Field(
        description="time of a token that a run writes at depths, beside its steps; auto: in a step_ms "
        "that is a number, else as on one core of a CPU"
    )
    measured_on: Literal["cpu", "cuda"] | None = Field(
        description="where a step_ms that is a number was measured, as prehoc plan writes it; or null"
    )
    margin: Annotated[float, Field(ge=1, le=1000)] = Field(description="factor on the time of the steps")
    gpu: Annotated[int, Field(ge=0, le=1)] = Field(
        description="GPUs of a training or fork job; none is asked for where `device` is cpu"
    )

    @field_validator("step_ms", "token_ms", mode="before")
    @classmethod
    def _step(cls, value: object) -> object:
        number = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= LONG
        if value != "auto" and not number:
            raise ValueError(f"{value!r}: write auto, or milliseconds above 0 and up to {LONG:g}")
        return value
