"""The crossing behind `snakemake robustness`: its cells, and each cell's block as an ordinary task."""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from prehoc.config.blocks import Block, Count, Positive, Rate
from prehoc.errors import InputError

Kind = Literal["lora", "head", "full"]
AXES = ("task", "optimiser", "schedule", "method", "model")  # a cell's name is its levels in this order
JOINED = "--"


class Stepper(Block):
    """An optimiser of the crossing, with a learning rate for each kind of method."""

    name: Literal["adamw", "sgd", "adafactor", "lion"]
    lr: dict[Kind, Annotated[float, Field(gt=0, allow_inf_nan=False)]]
    momentum: Rate


class Decline(Block):
    """A schedule of the crossing; learning rates are multiplied by `factor` under it."""

    name: Literal["rho", "constant", "linear", "cosine"]
    factor: Positive = Field(description="on every lr: schedules of one lr differ in how far they go")


class Trained(Block):
    """A method of the crossing."""

    kind: Kind
    layers: str = Field(description='"all" or "top-K"')
    runs: Annotated[int, Field(ge=5)] = Field(description="of a cell")


class Sizes(Block):
    """Numbers of examples of every cell."""

    train: Count
    val: Count
    target: Count


class Robustness(Block):
    """The crossing; the first level of each axis makes a task's base cell."""

    tasks: Annotated[list[str], Field(min_length=1)] = Field(description="of kind text_classification")
    optimisers: Annotated[list[Stepper], Field(min_length=1)]
    schedules: Annotated[list[Decline], Field(min_length=1)]
    methods: Annotated[list[Trained], Field(min_length=1)]
    models: Annotated[list[str], Field(min_length=1)]
    depths: Annotated[list[Count], Field(min_length=1)]
    horizon: Count
    data: Sizes
    batch_size: Count
    max_length: Count = Field(description="tokens")
    price: Positive = Field(description="c* is shown at the one of decide.prices that is nearest")
    resamples: Count = Field(description="for the intervals of the shares of variation")
    release: bool = Field(description="delete a cell's checkpoints once its runs are collected")

    @field_validator("tasks", "models")
    @classmethod
    def _once(cls, value: list[str]) -> list[str]:
        labels = [label_of(name) for name in value]
        if len(set(labels)) < len(labels):
            raise ValueError(f"{value}: two have one short name, and cells are named by it")
        return value

    @model_validator(mode="after")
    def _whole(self) -> Robustness:
        for what, names in (
            ("optimisers", [o.name for o in self.optimisers]),
            ("schedules", [s.name for s in self.schedules]),
            ("methods", [m.kind for m in self.methods]),
        ):
            if len(set(names)) < len(names):
                raise ValueError(f"{what}: a name stands there twice; name each once")
        for one in self.optimisers:
            lacking = [m.kind for m in self.methods if m.kind not in one.lr]
            if lacking:
                raise ValueError(f"optimisers: {one.name} has no lr for {lacking[0]}; add it")
        return self

    def levels(self) -> dict[str, list[str]]:
        """Each axis's levels; the first is the base."""
        return {
            "task": list(self.tasks),
            "optimiser": [o.name for o in self.optimisers],
            "schedule": [s.name for s in self.schedules],
            "method": [m.kind for m in self.methods],
            "model": [label_of(name) for name in self.models],
        }

    def cells(self) -> dict[str, dict[str, str]]:
        """Each cell's levels by axis, by the cell's name, e.g. bbc_topics--sgd--rho--full--minilm-l6."""
        levels = self.levels()
        crossed = itertools.product(*levels.values())
        return {JOINED.join(one): dict(zip(levels, one, strict=True)) for one in crossed}

    def block(self, cell: Mapping[str, str]) -> dict[str, Any]:
        """What a cell lays over its task's block."""
        by = next(o for o in self.optimisers if o.name == cell["optimiser"])
        along = next(s for s in self.schedules if s.name == cell["schedule"])
        what = next(m for m in self.methods if m.kind == cell["method"])
        model = next(name for name in self.models if label_of(name) == cell["model"])
        lr = by.lr[what.kind] * along.factor
        return {
            "enabled": True,
            "group": "robustness",
            "model": {"name": model, "revision": None, "max_length": self.max_length},
            "data": self.data.model_dump(),
            "method": {"kind": what.kind, "layers": what.layers},
            "optimiser": {
                "name": by.name,
                "lr": lr,
                "schedule": along.name,
                "momentum": by.momentum,
                "batch_size": self.batch_size,
            },
            "runs": what.runs,
            "depths": list(self.depths),
            "horizon": self.horizon,
            "forks": None,
            "signals": None,
            "crossed": [],
        }


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The one of some names that a person may have meant by `name`; None where none is like it."""
    found = difflib.get_close_matches(name, [k for k in known if isinstance(k, str)], 1, 0.75)
    return found[0] if found else None


def label_of(name: str) -> str:
    """A model's or task's short name: what follows the last ':' or '/', with '-' for other signs."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", re.split(r"[:/]", name.rstrip("/"))[-1])


def expanded(given: Any, tasks: Mapping[str, Any], source: str) -> dict[str, list[Any]]:
    """Cells of the raw block `robustness` by name, each as blocks to be laid one over the other.

    These are the task's raw block, the levels' settings, and what `tasks` holds under the cell's own name,
    if anything.  {} for null, and where none of its tasks is there (a config of other tasks).
    Raises InputError that names the key.
    """
    if given is None:
        return {}
    try:
        crossing = Robustness.model_validate(given)
    except ValidationError:
        return {}  # the whole config's validation says what is wrong, with the key's name
    made: dict[str, list[Any]] = {}
    if not set(crossing.tasks) & set(tasks) and not any(nearest(t, tasks) for t in crossing.tasks):
        return made
    plain = [t for t in tasks if JOINED not in str(t)]  # a block under a cell's name is no task to cross
    for name, cell in crossing.cells().items():
        base = tasks.get(cell["task"])
        if not isinstance(base, Mapping):
            near = nearest(cell["task"], plain)
            said = f"did you mean {near}?" if near else f"name one of {', '.join(plain)}"
            raise InputError(f"{source}: robustness.tasks: no task {cell['task']!r}; {said}")
        if base.get("kind") != "text_classification":
            raise InputError(
                f"{source}: robustness.tasks: {cell['task']} is of kind {base.get('kind')}; name tasks of "
                "kind text_classification"
            )
        own = tasks.get(name, {})
        if not isinstance(own, Mapping):
            raise InputError(f"{source}: tasks.{name}: must be a block of keys, laid over the cell's")
        made[name] = [base, crossing.block(cell), own]
    return made
