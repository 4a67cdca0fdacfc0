"""The typed config: it validates the YAML, fills a task's block from `defaults`, and cuts it by stage.

One model, three uses: every command reads it, `workflow/schemas/config.schema.json` is made from it,
and each stage of each task gets only the part that it depends on (`stage_config`), so that a changed
key re-runs what it touches and nothing else.  No numpy, pandas or torch here: the Snakefile imports it.
"""

from __future__ import annotations

import copy
import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from prehoc.errors import InputError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
RESERVED = {"all", "benchmarks", "config", "figures", "logs", "report", "tables"}
MIN_RUNS = 5  # fewer make no variance worth a table
Rate = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]


class Block(BaseModel):
    """A block of the config: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


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
    text: str | Annotated[list[str], Field(min_length=1, max_length=2)] = Field(
        description="text column; two for a pair task"
    )
    label: str
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

    name: Literal["adamw", "sgd"]
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
        return self


FACTORS = ("train_subset", "label_noise", "learning_rate", "batch_size", "target_domain")


class Outcome(Block):
    """The final performance R, read at the horizon on the target set."""

    metric: Literal["accuracy", "loss"]
    target_sample: Annotated[int, Field(ge=1, le=10_000_000)] | None = Field(
        description="target examples drawn a run; null: all"
    )
    target_label_noise: Rate

    @model_validator(mode="after")
    def _noise_needs_accuracy(self) -> Outcome:
        if self.target_label_noise and self.metric == "loss":
            raise ValueError("target_label_noise acts on accuracy; set outcome.metric to accuracy")
        return self


class Forks(Block):
    """Forks: `per_trunk` continuations of each of the first `trunks` runs, from each depth."""

    depths: Annotated[list[Count], Field(min_length=1)]
    trunks: Annotated[int, Field(ge=2)]
    per_trunk: Annotated[int, Field(ge=2)]


KINDS = ("text_classification", "modular_arithmetic", "causal_arithmetic", "synthetic")


class Task(Block):
    """One task T = (M, D, A), whole: nothing is left to a default in code."""

    kind: Literal["text_classification", "modular_arithmetic", "causal_arithmetic", "synthetic"]
    enabled: bool
    group: str = Field(description="heading under which figures show the task")
    model: Model | None = None
    data: Data | None = None
    arithmetic: Arithmetic | None = None
    method: Method | None = None
    optimiser: Optimiser | None = None
    synthetic: dict[str, Any] | None = Field(None, description="process and its parameters")
    runs: Annotated[int, Field(ge=MIN_RUNS)]
    shard: Count = Field(description="seeds a job")
    bank: Annotated[int, Field(ge=2)] = Field(description="seeds trained together; filled up with dummies")
    depths: list[Count]
    horizon: Count
    half_shift: bool = Field(
        description="fit the envelope in c + 1/2: for step sizes k^-rho, k = 1, 2, ..."
    )
    population: dict[
        Literal["train_subset", "label_noise", "learning_rate", "batch_size", "target_domain"],
        Factor,
    ]
    outcome: Outcome
    forks: Forks | None

    @model_validator(mode="after")
    def _consistent(self) -> Task:
        need = {
            "text_classification": ("model", "data", "method", "optimiser"),
            "modular_arithmetic": ("arithmetic", "method", "optimiser"),
            "causal_arithmetic": ("model", "arithmetic", "method", "optimiser"),
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
        if self.kind == "text_classification" and self.method and self.method.kind == "full":
            raise ValueError("method.kind full is for modular_arithmetic; use lora or head here")
        if self.kind == "modular_arithmetic" and self.method and self.method.kind != "full":
            raise ValueError("modular_arithmetic trains from scratch: set method.kind to full")
        if self.kind == "causal_arithmetic" and self.method and self.method.kind != "lora":
            raise ValueError("causal_arithmetic trains adapters: set method.kind to lora")
        if self.data is not None:
            texts = [self.data.text] if isinstance(self.data.text, str) else self.data.text
            if self.data.label in texts:
                raise ValueError(f"data.label: {self.data.label!r} is a text column too; name the label's")
        self._check_population()
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

    def _check_population(self) -> None:
        if self.population and self.kind != "text_classification":
            raise ValueError(f"population is not available for kind {self.kind}; leave it empty")
        for name, factor in self.population.items():
            if (factor.n is not None) != (name == "train_subset"):
                raise ValueError(f"population.{name}: n belongs to train_subset, and to it alone")
            law = factor.uniform or factor.log_uniform
            if factor.n is not None and self.data is not None and factor.n > self.data.train:
                raise ValueError(
                    f"population.train_subset.n {factor.n} exceeds data.train {self.data.train}; lower n"
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


class Decide(Block):
    """Prices of probing."""

    prices: list[Annotated[float, Field(gt=0)]]
    gamma: list[Annotated[float, Field(gt=0)]] = Field(description="absolute gammas beside the prices")
    cost_per_step: Positive = Field(description="lambda; 1: costs are counted in steps")
    regimes: Regimes


class Figures(Block):
    """How figures look; they read tables only."""

    format: Annotated[list[Literal["pdf", "png", "svg"]], Field(min_length=1)]
    column: Literal["icml", "neurips"]


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

    def enabled(self) -> list[str]:
        """Names of the tasks that are run, in the file's order."""
        chosen = self.tasks if self.only is None else self.only
        return [name for name, task in self.tasks.items() if task.enabled and name in chosen]


def _merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with `over` laid upon it, block by block; lists and `population` are replaced whole."""
    merged = copy.deepcopy(dict(base))
    for key, value in over.items():
        if isinstance(value, Mapping) and isinstance(merged.get(key), Mapping) and key != "population":
            merged[key] = _merge(merged[key], value)
        else:
            merged[key] = copy.deepcopy(value)
    return merged


def _line(error: ValidationError, source: str) -> str:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    text = str(first["msg"]).removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        text = "unknown key; remove it or mend its spelling"
    elif first["type"] == "missing":
        inside = key.startswith("tasks.")
        text = "missing; add it to the task or to defaults" if inside else "missing; add it"
    elif first["type"] in ("model_type", "model_attributes_type", "dict_type"):
        text = "must be a block of keys, `key: value`"
    elif first["type"] == "list_type":
        text = "must be a list, `[a, b]`"
    return f"{source}: {key}: {text}{more}"


def resolve(given: Mapping[str, Any], source: str = "config.yaml") -> Config:
    """Validate `given`, filling each task's block from `defaults.all` and `defaults.<kind>`.

    Raises InputError with one line that names the key and the remedy.
    """
    raw: dict[str, Any] = copy.deepcopy(dict(given))
    defaults, tasks = raw.get("defaults") or {}, raw.get("tasks") or {}
    if not isinstance(defaults, Mapping) or not isinstance(tasks, Mapping):
        raise InputError(f"{source}: tasks and defaults must be blocks of named blocks")
    unknown = [k for k in defaults if k not in ("all", *KINDS)]
    if unknown:
        raise InputError(f"{source}: defaults.{unknown[0]}: unknown kind; use all, {', '.join(KINDS)}")
    resolved: dict[str, Any] = {}
    for name, block in tasks.items():
        if not isinstance(name, str) or not NAME.fullmatch(name) or name in RESERVED:
            raise InputError(
                f"{source}: tasks: {name!r} is no task name; use letters, digits, '_' and '-', "
                f"at most 64, and none of {sorted(RESERVED)}"
            )
        if not isinstance(block, Mapping):
            raise InputError(f"{source}: tasks.{name}: must be a block of keys; give it at least a kind")
        kind = block.get("kind", (defaults.get("all") or {}).get("kind"))
        if kind not in KINDS:
            raise InputError(f"{source}: tasks.{name}.kind: {kind!r} is none of {', '.join(KINDS)}")
        filled = _merge(_merge(defaults.get("all") or {}, defaults.get(kind) or {}), block)
        filled["kind"] = kind
        if raw.get("seeds") is not None:
            filled["runs"] = raw["seeds"]
            forks = filled.get("forks")
            if isinstance(forks, dict) and isinstance(raw["seeds"], int):
                forks["trunks"] = min(forks.get("trunks", raw["seeds"]), max(raw["seeds"], 2))
        resolved[name] = filled
    raw["tasks"] = resolved
    try:
        config = Config.model_validate(raw)
    except ValidationError as error:
        raise InputError(_line(error, source)) from None
    for name in config.only or []:
        if name not in config.tasks:
            raise InputError(f"{source}: only: no task {name!r}; tasks are {', '.join(config.tasks)}")
    if not config.enabled():
        raise InputError(f"{source}: tasks: none is switched on; set enabled: true on one")
    return config


def load(path: str | Path, base: Path | None = None) -> Config:
    """Read and validate a YAML config file; one without `defaults` is laid over `base`, if that exists."""
    raw = _read_yaml(path)
    if "defaults" not in raw and base is not None and base.exists():
        raw = _merge(_read_yaml(base), raw)
    return resolve(raw, str(path))


def _read_yaml(path: str | Path) -> Mapping[str, Any]:
    try:
        raw = yaml.safe_load(Path(path).read_text())
    except FileNotFoundError:
        raise InputError(f"{path}: no such config file") from None
    except yaml.YAMLError as error:
        raise InputError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(raw, Mapping):
        raise InputError(f"{path}: must hold a block of keys")
    return raw


def json_schema() -> dict[str, Any]:
    """The JSON schema of a raw config file: task blocks may leave to `defaults` what those hold."""
    schema = Config.model_json_schema()
    for block in ("Task", "Model", "Data", "Arithmetic", "Method", "Optimiser", "Outcome", "Forks"):
        schema["$defs"][block].pop("required", None)
    return schema


# ------------------------------------------------------------------------------------- stages
TRAINING_KEYS = ("kind", "model", "data", "arithmetic", "method", "optimiser", "bank", "population")


def stage_config(config: Config, task: str, stage: str) -> dict[str, Any]:
    """What stage `stage` of task `task` depends on, as plain data; its digest keys the stage's files.

    The number of runs is part of no training stage: more seeds make new shards and leave the old.
    """
    block = config.tasks[task].model_dump(mode="json")
    identity: dict[str, Any] = {"task": task, "seed": config.seed, "store": config.store}
    keep: tuple[str, ...]
    if stage == "prepare":
        drawn = {k: v for k, v in block["population"].items() if k == "target_domain"}
        identity["population"] = drawn  # which domains' texts are read
        keep = ("kind", "model", "data", "arithmetic", "method")
    elif stage == "train":
        keep = (*TRAINING_KEYS, "depths", "horizon", "outcome")
    elif stage == "fork":
        keep = (*TRAINING_KEYS, "depths", "horizon", "outcome", "forks")
    elif stage == "simulate":
        keep = ("kind", "synthetic", "runs", "depths", "horizon", "forks")
    elif stage == "risk":
        payload = {k: block[k] for k in ("horizon", "outcome", "kind", "half_shift")}
        return {"task": task, **payload, "risk": config.risk.model_dump(mode="json")}
    elif stage == "decide":
        payload = {k: block[k] for k in ("horizon", "outcome", "kind", "half_shift", "population")}
        payload["risk"] = config.risk.model_dump(mode="json")
        payload["decide"] = config.decide.model_dump(mode="json")
        return {"task": task, "seed": config.seed, **payload}
    else:
        raise ValueError(f"no stage {stage!r}")
    return {**identity, **{k: block[k] for k in keep}}


def figures_config(config: Config) -> dict[str, Any]:
    """What the figures depend on besides the tables: style, and how tasks are grouped and read."""
    groups: dict[str, list[str]] = {}
    for name in config.enabled():
        groups.setdefault(config.tasks[name].group, []).append(name)
    shifts = {name: 0.5 if config.tasks[name].half_shift else 0.0 for name in config.enabled()}
    metrics = {name: metric_of(config.tasks[name].model_dump()) for name in config.enabled()}
    drivers = {name: driver_of(config.tasks[name].model_dump()) for name in config.enabled()}
    style = config.figures.model_dump(mode="json")
    return {**style, "groups": groups, "shifts": shifts, "metrics": metrics, "drivers": drivers}


def driver_of(stage: Mapping[str, Any]) -> str:
    """Which proxy drives c* and the verdict: "residual" where forks would know a hidden draw.

    Forks keep their trunk's training data and rates; a hidden target domain they draw anew.
    """
    hidden = [k for k, f in stage["population"].items() if not f["visible"] and k != "target_domain"]
    return "residual" if hidden else "auto"


def metric_of(stage: Mapping[str, Any]) -> str:
    """The name in the runs table of the metric that R is: a synthetic task's is `value`."""
    return "value" if stage["kind"] == "synthetic" else str(stage["outcome"]["metric"])


SOURCES: dict[str, tuple[str, ...]] = {
    "prepare": ("tasks",),
    "train": ("tasks", "training"),
    "fork": ("tasks", "training"),
    "simulate": ("synthetic", "tasks/streams.py"),
    "collect": ("tables.py",),
    "risk": ("risk", "tables.py"),
    "decide": ("risk", "tables.py"),
    "figures": ("figures", "tables.py"),
}


def source_digest(stage: str) -> str:
    """A digest of the source that a stage runs: an edit there re-runs that stage and what follows."""
    base = Path(__file__).parent
    sha = hashlib.sha256()
    for part in SOURCES[stage]:
        path = base / part
        for file in [path] if path.is_file() else sorted(path.rglob("*.py")):
            sha.update(str(file.relative_to(base)).encode() + b"\0" + file.read_bytes() + b"\0")
    return sha.hexdigest()[:12]


def shards(task: Task) -> list[tuple[int, int]]:
    """First seed and end of each shard: blocks of `shard` seeds."""
    return [(a, min(a + task.shard, task.runs)) for a in range(0, task.runs, task.shard)]


def fork_depths(task: Task) -> list[int]:
    """Depths at which forks branch; the horizon is always among them, as it costs no training."""
    return sorted({*task.forks.depths, task.horizon}) if task.forks else []


def fork_parts(task: Task) -> list[list[int]]:
    """The depths that each fork job handles: all of a head's, which is cheap, else one a job."""
    depths = fork_depths(task)
    cheap = task.method is not None and task.method.kind == "head"
    return [depths] if cheap and depths else [[d] for d in depths]


def digest(payload: Any) -> str:
    """Twelve hex digits of the SHA-256 of `payload` as canonical JSON."""
    text = json.dumps(payload, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
