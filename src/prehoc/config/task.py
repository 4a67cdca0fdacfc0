"""One task, whole, and what must hold between its blocks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, WithJsonSchema, field_validator, model_validator

from prehoc.config.blocks import (
    Arithmetic,
    Block,
    Count,
    Data,
    Factor,
    Forks,
    Method,
    Model,
    Optimiser,
    Outcome,
    Outputs,
    Resources,
)
from prehoc.config.depths import DEPTHS, geometric
from prehoc.config.generation import Generation
from prehoc.config.metrics import measured
from prehoc.config.signals import Signals

MIN_RUNS = 5  # fewer make no variance worth a table
MAX_RUNS = 1_000_000  # more is a slip of the hand
MIN_BLOCKS = 5  # of a crossed design, for the same reason
KINDS = (
    "text_classification",
    "modular_arithmetic",
    "causal_arithmetic",
    "text_generation",
    "synthetic",
)


class Task(Block):
    """One task T = (M, D, A), whole: nothing is left to a default in code."""

    kind: Literal[
        "text_classification", "modular_arithmetic", "causal_arithmetic", "text_generation", "synthetic"
    ]
    enabled: bool
    group: str = Field(description="heading under which figures show the task")
    model: Model | None = None
    data: Data | None = None
    arithmetic: Arithmetic | None = None
    generation: Generation | None = None
    method: Method | None = None
    optimiser: Optimiser | None = None
    synthetic: dict[str, Any] | None = Field(None, description="process and its parameters")
    runs: Annotated[int, Field(ge=MIN_RUNS, le=MAX_RUNS)]
    shard: Literal["auto"] | Count = Field(description="seeds a job; auto: by packing.job_minutes")
    precision: Literal["fp32", "bf16"] = Field(description="of the frozen base; what trains is fp32")
    bank: Literal["auto"] | Annotated[int, Field(ge=2)] = Field(
        description="seeds trained together, filled up with dummies; auto: by kind, or by a GPU's memory"
    )
    depths: Annotated[list[Count], WithJsonSchema(DEPTHS)]
    horizon: Count
    half_shift: bool = Field(
        description="fit the envelope in c + 1/2: for step sizes k^-rho, k = 1, 2, ..."
    )
    population: dict[
        Literal["train_subset", "label_noise", "learning_rate", "batch_size", "target_domain"],
        Factor,
    ]
    outcome: Outcome
    outputs: Outputs | None = Field(description="null: none; a crossed task records none")
    signals: Signals | None = Field(description="null: none; a crossed task notes none")
    forks: Forks | None
    resources: Resources = Field(description="what its jobs ask of a cluster; makes no result stale")
    crossed: Annotated[
        list[
            Literal["init", "order", "dropout", "label_noise", "subset", "population", "target", "decoding"]
        ],
        Field(max_length=5),
    ] = Field(description="two to five that are crossed, for variance by source; []: independent runs")

    @model_validator(mode="before")
    @classmethod
    def _spaced(cls, given: Any) -> Any:
        asked = given.get("depths") if isinstance(given, Mapping) else None
        if not isinstance(asked, Mapping):
            return given
        return {**given, "depths": geometric(asked, given.get("horizon"))}

    @field_validator("bank", mode="before")
    @classmethod
    def _width(cls, value: Any) -> Any:
        whole = isinstance(value, int) and not isinstance(value, bool) and value >= 2
        if value != "auto" and not whole:
            raise ValueError(f"{value!r}: write auto, or a whole number of 2 or more")
        return value

    @field_validator("shard", mode="before")
    @classmethod
    def _seeds(cls, value: Any) -> Any:
        if isinstance(value, str) and value.isdecimal():  # as Snakemake reads --config within braces
            value = int(value)
        whole = isinstance(value, int) and not isinstance(value, bool) and value >= 1
        if value != "auto" and not whole:
            raise ValueError(f"{value!r}: write auto, or a whole number of 1 or more")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Task:
        need = {
            "text_classification": ("model", "data", "method", "optimiser"),
            "modular_arithmetic": ("arithmetic", "method", "optimiser"),
            "causal_arithmetic": ("model", "arithmetic", "method", "optimiser"),
            "text_generation": ("model", "data", "generation", "method", "optimiser"),
            "synthetic": ("synthetic",),
        }[self.kind]
        for key in need:
            if getattr(self, key) is None:
                raise ValueError(f"kind {self.kind} needs the block {key!r}; add it")
        if not self.depths or sorted(set(self.depths)) != self.depths:
            raise ValueError("depths must be a rising list without repeats")
        if self.depths[-1] > self.horizon:
            raise ValueError(
                f"depth {self.depths[-1]} lies beyond the horizon {self.horizon}; "
                "raise horizon or drop the depth"
            )
        if self.forks is not None:
            if sorted(set(self.forks.depths)) != self.forks.depths:
                raise ValueError("forks.depths must be a rising list without repeats")
            late = [c for c in self.forks.depths if c > self.horizon]
            if late:
                raise ValueError(f"forks.depths {late} lie beyond the horizon {self.horizon}")
            if self.forks.trunks > self.runs:
                raise ValueError(
                    f"forks.trunks {self.forks.trunks} exceeds runs {self.runs}; trunks are runs"
                )
        if self.kind == "modular_arithmetic" and self.method and self.method.kind != "full":
            raise ValueError("modular_arithmetic trains from scratch: set method.kind to full")
        if self.kind == "causal_arithmetic" and self.method and self.method.kind != "lora":
            raise ValueError("causal_arithmetic trains adapters: set method.kind to lora")
        if self.method and self.method.lora_dropout and self.method.kind != "lora":
            raise ValueError("method.lora_dropout acts on adapters; set it to 0 in a head or full task")
        if self.precision == "bf16" and self.kind in ("modular_arithmetic", "synthetic"):
            raise ValueError(f"precision is a frozen base's, and {self.kind} has none; set it to fp32")
        if self.precision == "bf16" and self.method and self.method.kind == "full":
            raise ValueError(
                "precision is a frozen base's, and with method.kind full none is; set it to fp32"
            )
        if self.kind == "text_generation":
            self._check_generation()
        elif self.generation is not None:
            raise ValueError("generation is a block of kind text_generation; drop it, or change kind")
        elif self.data is not None:
            if self.data.text is None or self.data.label is None:
                raise ValueError("data.text and data.label must name columns here")
            texts = [self.data.text] if isinstance(self.data.text, str) else self.data.text
            if self.data.label in texts:
                raise ValueError(f"data.label: {self.data.label!r} is a text column too; name the label's")
        self._check_population()
        self._check_metric()
        if self.outputs is not None:
            self._check_outputs(self.outputs)
        if self.signals is not None and self.kind == "synthetic":
            raise ValueError("a synthetic task is not trained and has no signals; set signals: null")
        if self.crossed:
            self._check_crossed()
        if self.arithmetic is not None:
            self._check_arithmetic(self.arithmetic)
        return self

    def _check_arithmetic(self, sums: Arithmetic) -> None:
        modular = self.kind == "modular_arithmetic"
        numbers = (
            10 if sums.digits == 1 else 9 * 10 ** (sums.digits - 1)
        )  # a sum and its commuted twin are one
        total = sums.modulus**2 if modular else numbers * (numbers + 1) // 2
        if modular != (sums.train < 1):
            raise ValueError("arithmetic.train is a share below 1 for modular sums, else a count")
        used = (round(sums.train * total) if modular else sums.train) + sums.val + sums.target
        if used + 3 * modular > total:  # pairs that commute stay together, so splits may run over
            raise ValueError(
                f"arithmetic: {total} sums do not hold train, val and target, {used:g} in all; lower them"
            )

    def _check_metric(self) -> None:
        if self.kind == "synthetic":
            return  # its metric is a value of its own
        labels = self.data.labels if self.data else None
        judge = self.generation.judge if self.generation else None
        names = measured(self.kind, labels, self.data.classes if self.data else None, judge)
        if self.outcome.metric not in names:
            of = " with labels: number" if labels == "number" else ""
            of += f" with judge: {judge}" if judge else ""
            raise ValueError(
                f"outcome.metric: {self.outcome.metric} is not measured by kind {self.kind}{of}; "
                f"set one of {', '.join(names)}"
            )

    def _check_outputs(self, outputs: Outputs) -> None:
        if self.kind == "synthetic":
            raise ValueError("a synthetic task has no outputs on examples; set outputs: null")

    def _check_generation(self) -> None:
        assert self.data is not None
        if self.method and self.method.kind != "lora":
            raise ValueError("text_generation trains adapters: set method.kind to lora")
        if self.method and self.method.dropout:
            raise ValueError("method.dropout acts on a head, and text_generation has none; set it to 0")
        for key, blank in (("text", None), ("label", None), ("classes", None), ("domain", None)):
            if getattr(self.data, key) is not blank:
                raise ValueError(f"data.{key}: text_generation reads columns by templates; set it to null")
        if self.data.label_noise or self.outcome.target_label_noise or self.data.train_domains:
            raise ValueError(
                "text_generation has no labels or domains: set data.label_noise and "
                "outcome.target_label_noise to 0 and data.train_domains to null"
            )

    def drawn(self) -> set[str]:
        """What of the names that may be crossed the task's runs really draw."""
        noise = self.data.label_noise if self.data else 0.0
        sampled = self.outcome.target_sample is not None or self.outcome.target_label_noise > 0
        has = {
            "init": True,
            "order": True,
            "dropout": self.method is not None and self.method.dropout + self.method.lora_dropout > 0,
            "label_noise": noise > 0 or "label_noise" in self.population,
            "subset": "train_subset" in self.population,
            "population": bool(set(self.population) - {"train_subset"}),
            "target": sampled,
            "decoding": self.generation is not None and self.generation.decoding.kind == "sample",
        }
        return {name for name, there in has.items() if there}

    def _check_crossed(self) -> None:
        if self.kind == "synthetic":
            raise ValueError("crossed is for tasks that are trained; leave it [] here")
        if len(set(self.crossed)) < len(self.crossed):
            raise ValueError(f"crossed {self.crossed} has a repeat; name each once")
        if len(self.crossed) < 2:
            raise ValueError(
                f"crossed {self.crossed}: one source has nothing to cross, and its variance cannot be told "
                "from the rest; name two or more"
            )
        still = [name for name in self.crossed if name not in self.drawn()]
        if still:
            raise ValueError(
                f"crossed: {still[0]} never varies in this task; drop it or switch it on "
                "(method.dropout, label noise, population, outcome.target_sample)"
            )
        if self.forks is not None:
            raise ValueError("a crossed task is not forked; set forks: null")
        cells = 2 ** len(self.crossed)
        if self.runs % cells or self.runs < MIN_BLOCKS * cells:
            raise ValueError(
                f"runs {self.runs}: crossing {len(self.crossed)} takes a multiple of {cells}, "
                f"{MIN_BLOCKS * cells} or more"
            )

    def _check_population(self) -> None:
        if self.kind == "text_generation":
            lost = [name for name in ("label_noise", "target_domain") if name in self.population]
            if lost:
                raise ValueError(f"population.{lost[0]}: text_generation has no such thing; drop it")
        elif self.population and self.kind != "text_classification":
            raise ValueError(f"population is not available for kind {self.kind}; leave it empty")
        for name, factor in self.population.items():
            if (factor.n is not None) != (name == "train_subset"):
                raise ValueError(f"population.{name}: n belongs to train_subset, and to it alone")
            law = factor.uniform or factor.log_uniform
            if factor.n is not None and self.data is not None and factor.n > self.data.train:
                raise ValueError(
                    f"population.train_subset.n {factor.n} exceeds data.train {self.data.train}; lower n"
                )
            if name == "label_noise" and self.data is not None and self.data.labels == "number":
                raise ValueError("population.label_noise is for classes; labels are numbers here")
            if name == "label_noise" and self.data is not None and self.data.label_noise:
                raise ValueError(
                    f"data.label_noise {self.data.label_noise:g} would have no effect: each run draws its "
                    "rate by population.label_noise; set data.label_noise to 0, or drop the other"
                )
            if name == "label_noise" and law and not 0 <= law[0] <= law[1] < 1:
                raise ValueError("population.label_noise: rates lie in [0, 1)")
            if name == "learning_rate" and law and law[0] <= 0:
                raise ValueError("population.learning_rate: rates must be above 0")
            if name == "learning_rate" and not all(
                isinstance(v, int | float) and v > 0 for v in factor.choice or []
            ):
                raise ValueError("population.learning_rate: numbers above 0")
            if name == "label_noise" and not all(
                isinstance(v, int | float) and 0 <= v < 1 for v in factor.choice or []
            ):
                raise ValueError("population.label_noise: rates lie in [0, 1)")
            if name in ("batch_size", "target_domain") and factor.choice is None:
                raise ValueError(f"population.{name}: give a choice of values")
            if name == "batch_size" and not all(isinstance(v, int) and v >= 1 for v in factor.choice or []):
                raise ValueError("population.batch_size: whole numbers of 1 or more")
