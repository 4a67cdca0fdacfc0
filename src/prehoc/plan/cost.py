"""Jobs, run-steps, hours and bytes of a config, task by task: measured by a pilot, else estimated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from prehoc.config import Config, Task, fork_parts, segments, shards
from prehoc.config.resources import fork_ms, fork_tokens, token_ms, train_ms, train_tokens
from prehoc.plan import sizes
from prehoc.plan.pilot import Measured

Unit = Literal["GPU", "core"]
SHORT = {"simulate": ("simulate", "risk", "decide"), "crossed": ("collect", "decompose")}
REDUCE = ("collect", "risk", "decide")


@dataclass
class TaskCost:
    """What one task takes.  Hours are of one GPU (`unit` GPU) or one core, starts of jobs in them.

    `longest_hours` is the task's longest chain of jobs, under which no number of machines gets it.
    `times_from` and `bytes_from` say what the numbers rest on.  `written_tokens` are those of texts that
    runs and forks write, each text taken to reach max_new_tokens; `written_hours` their part of the hours,
    None where a step's time, measured or set, holds them.
    """

    task: str
    runs: int
    unit: Unit | None
    jobs: dict[str, int]
    train_steps: int
    fork_steps: int
    step_ms: float
    train_hours: float
    fork_hours: float
    start_hours: float
    longest_hours: float
    checkpoint_bytes: float
    table_bytes: float
    encoding_bytes: float
    times_from: str
    bytes_from: str
    written_tokens: int = 0
    written_hours: float | None = None

    @property
    def hours(self) -> float:
        """Hours in all."""
        return self.train_hours + self.fork_hours + self.start_hours


@dataclass
class Cost:
    """All tasks; `wall_hours` at `at_once` jobs, if none waits in a queue."""

    tasks: list[TaskCost]
    at_once: int
    wall_hours: float
    encoding_bytes: float
    notes: list[str] = field(default_factory=list)

    def hours(self, unit: Unit) -> float:
        """Hours of GPUs, or of cores."""
        return sum(task.hours for task in self.tasks if task.unit == unit)

    @property
    def units(self) -> list[Unit]:
        """The units that some task is counted in."""
        there: tuple[Unit, ...] = ("GPU", "core")
        return [unit for unit in there if any(task.unit == unit for task in self.tasks)]

    @property
    def measured(self) -> tuple[int, int]:
        """Tasks whose times were measured, and tasks that train at all."""
        trained = [task for task in self.tasks if task.unit is not None]
        return sum("measured" in task.times_from for task in trained), len(trained)

    @property
    def bytes(self) -> float:
        """Bytes in all; an encoding that tasks share is counted once."""
        return self.encoding_bytes + sum(t.checkpoint_bytes + t.table_bytes for t in self.tasks)

    def jobs(self) -> dict[str, int]:
        """Jobs by rule, over all tasks."""
        made: dict[str, int] = {}
        for task in self.tasks:
            for rule, count in task.jobs.items():
                made[rule] = made.get(rule, 0) + count
        return made

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        total = {
            "jobs": self.jobs(),
            "hours": {unit: self.hours(unit) for unit in self.units},
            "bytes": self.bytes,
        }
        return asdict(self) | {"total": total}


def cost(config: Config, pilot: Mapping[str, Measured] | None = None, at_once: int = 1) -> Cost:
    """What `config` takes.

    `wall_hours` is the larger of all hours over `at_once` and the longest chain of jobs: a lower bound
    that a greedy order comes near to, where jobs are many.
    """
    pilot = pilot or {}
    made, keys = [], {}
    for name in config.enabled():
        task = config.tasks[name]
        made.append(_task(config, name, pilot.get(name, Measured()), bool(pilot)))
        keys[sizes.encoding_key(task)] = sizes.encoding_bytes(task)
    total = sum(task.hours for task in made)
    wall = max([total / at_once, *(task.longest_hours for task in made)])
    notes = [note for name in config.enabled() if name in pilot for note in pilot[name].notes]
    guessed = [t.task for t in made if t.unit == "GPU" and t.times_from == "estimated"]
    if guessed:
        whose = ", ".join(guessed) if len(guessed) <= 3 else f"{len(guessed)} tasks"
        notes.append(
            f"{whose}: GPU-hours are estimated at the pace of one CPU core, far above a GPU's: measure a "
            "pilot there (--pilot), or set resources.step_ms; with --config device=cpu they are core-hours"
        )
    notes += about_texts(config, made) + about_devices(config, made)
    return Cost(made, at_once, wall, sum(keys.values()), notes)


def _task(config: Config, name: str, known: Measured, piloted: bool) -> TaskCost:
    task = config.tasks[name]
    if task.kind == "synthetic":
        jobs = dict.fromkeys(SHORT["simulate"], 1)
        return TaskCost(name, task.runs, None, jobs, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, "-", "-")
    blocks, cuts = shards(task, config.packing), segments(task, config.packing)
    parts = fork_parts(task, config.packing)
    jobs = {"prepare": 1, "train": len(blocks)}
    jobs |= {"train_part": len(blocks) * len(cuts)} if cuts else {}
    jobs |= {"fork": len(parts)} if parts else {}
    jobs |= dict.fromkeys(SHORT["crossed"] if task.crossed else REDUCE, 1)
    paid = sum(count for rule, count in jobs.items() if rule in ("prepare", "train", "train_part", "fork"))
    start = config.packing.start_seconds if known.start_seconds is None else known.start_seconds
    run_ms = train_ms(task) if known.step_ms is None else known.step_ms * task.horizon
    forks = task.forks.trunks * task.forks.per_trunk if task.forks else 0
    each_part = [forks * sum(task.horizon - depth for depth in part) for part in parts]
    train_steps, fork_steps = task.runs * task.horizon, sum(each_part)
    pace = known.step_ms if known.fork_step_ms is None else known.fork_step_ms
    parts_ms = [
        fork_ms(task, part) if pace is None else steps * pace
        for part, steps in zip(parts, each_part, strict=True)
    ]
    widest = max(end - first for first, end in blocks)
    chain = (2 + len(cuts) + bool(parts)) * start
    longest = chain + (widest * run_ms + max(parts_ms, default=0.0)) / 1000
    per_depth = sizes.checkpoint_bytes(task) if known.checkpoint_bytes is None else known.checkpoint_bytes
    trunks = task.forks.trunks if task.forks else 0
    kept = task.runs * sizes.checkpoint_depths(task) + trunks * sizes.fork_only_depths(task)
    written = task.runs * train_tokens(task)
    forked = sum(fork_tokens(task, part) for part in parts)
    own = (written if known.step_ms is None else 0) + (forked if pace is None else 0)
    per_run = sizes.table_bytes(task) if known.table_bytes is None else known.table_bytes
    return TaskCost(
        name,
        task.runs,
        unit_of(config, task, known),
        jobs,
        train_steps,
        fork_steps,
        run_ms / task.horizon,
        task.runs * run_ms / 3.6e6,
        sum(parts_ms) / 3.6e6,
        paid * start / 3600,
        longest / 3600,
        kept * per_depth,
        task.runs * per_run + len(parts) * forks * 2 * sizes.ROW,
        sizes.encoding_bytes(task),
        _times_from(task, known),
        _bytes_from(known),
        written + forked,
        own * token_ms(task) / 3.6e6 if own and token_ms(task) else None,
    )


def unit_of(config: Config, task: Task, known: Measured) -> Unit:
    """What a task's hours are of: a GPU's, where its jobs ask for one and its step is no CPU's.

    A step is a CPU's where the pilot ran on one, or where `resources.measured_on` says so of its number.
    """
    if config.device == "cpu" or task.resources.gpu == 0 or known.device == "cpu":
        return "core"
    return "core" if known.step_ms is None and measured_on(task) == "cpu" else "GPU"


def measured_on(task: Task) -> str | None:
    """The device on which the number in `resources.step_ms` was measured; None where nothing says so."""
    return task.resources.measured_on if task.resources.step_ms != "auto" else None


def about_texts(config: Config, made: list[TaskCost]) -> list[str]:
    """A note for each task that writes texts: what of its hours these are, or that nothing counts them."""
    notes = []
    for one in made:
        task = config.tasks[one.task]
        asked = task.resources
        if not one.written_tokens or one.times_from.startswith("measured"):
            continue
        many = f"{one.written_tokens / 1e6:.3g} million tokens"
        said = f"{one.task}: {many} of texts, each taken to reach max_new_tokens,"
        if one.written_hours is not None:
            whose = "resources.token_ms" if asked.token_ms != "auto" else "estimated"
            each = f"{token_ms(task):.3g} ms a token ({whose})"
            notes.append(f"{said} are {one.written_hours:.3g} of its {one.hours:.3g} hours, at {each}")
        elif measured_on(task) is None:
            notes.append(
                f"{said} are taken to be in resources.step_ms; if that is of training alone, set "
                "resources.token_ms beside it"
            )
    return notes


def about_devices(config: Config, made: list[TaskCost]) -> list[str]:
    """Notes on tasks whose step was measured on another device than their jobs ask for."""
    elsewhere: dict[str, list[str]] = {}
    for one in made:
        task, said = config.tasks[one.task], one.times_from.startswith("resources.step_ms")
        on = measured_on(task) if said else None
        asks = "cpu" if config.device == "cpu" or task.resources.gpu == 0 else "cuda"
        if on is not None and on != asks:
            elsewhere.setdefault(on, []).append(one.task)
    notes = {
        "cpu": "resources.step_ms was measured on a CPU, so hours are a core's, and jobs ask for a GPU; "
        "measure a pilot there, or plan with --config device=cpu",
        "cuda": "resources.step_ms was measured on a GPU, and jobs run on a CPU: they take far longer",
    }
    return [f"{', '.join(names)}: {notes[on]}" for on, names in elsewhere.items()]


def _times_from(task: Task, known: Measured) -> str:
    if known.step_ms is None:
        if task.resources.step_ms == "auto":
            return "estimated"
        apart = " and token_ms" if task.generation and task.resources.token_ms != "auto" else ""
        on = {"cpu": ", measured on a CPU", "cuda": ", measured on a GPU", None: ""}[measured_on(task)]
        return f"resources.step_ms{apart}{on}"
    forks = ""
    if task.forks:
        forks = (
            f"; forks: {known.forks} forks" if known.fork_step_ms is not None else "; forks: as training"
        )
    on = {"cpu": " on a CPU", "cuda": " on a GPU"}.get(known.device or "", "")
    return f"measured{on} ({known.runs} runs: {known.step_from}{forks})"


def _bytes_from(known: Measured) -> str:
    there = (known.checkpoint_bytes is not None, known.table_bytes is not None)
    return {
        (True, True): "measured; encodings estimated",
        (True, False): "checkpoints measured, the rest estimated",
        (False, True): "tables measured, the rest estimated",
        (False, False): "estimated",
    }[there]
