"""Jobs, run-steps, hours and bytes of a config, task by task: measured by a pilot, else estimated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from prehoc.config import Config, Task, fork_parts, segments, shards
from prehoc.config.resources import step_ms
from prehoc.plan import sizes
from prehoc.plan.pilot import Measured

Unit = Literal["GPU", "core"]
SHORT = {"simulate": ("simulate", "risk", "decide"), "crossed": ("collect", "decompose")}
REDUCE = ("collect", "risk", "decide")


@dataclass
class TaskCost:
    """What one task takes.  Hours are of one GPU (`unit` GPU) or one core, starts of jobs in them.

    `longest_hours` is the task's longest chain of jobs, under which no number of machines gets it.
    `times_from` and `bytes_from` say what the numbers rest on.
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
        return sum(task.times_from.startswith("measured") for task in trained), len(trained)

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
    step = step_ms(task) if known.step_ms is None else known.step_ms
    fork_step = step if known.fork_step_ms is None else known.fork_step_ms
    forks = task.forks.trunks * task.forks.per_trunk if task.forks else 0
    each_part = [forks * sum(task.horizon - depth for depth in part) for part in parts]
    train_steps, fork_steps = task.runs * task.horizon, sum(each_part)
    widest = max(end - first for first, end in blocks) * task.horizon
    chain = (2 + len(cuts) + bool(parts)) * start
    longest = chain + (widest * step + max(each_part, default=0) * fork_step) / 1000
    per_depth = sizes.checkpoint_bytes(task) if known.checkpoint_bytes is None else known.checkpoint_bytes
    trunks = task.forks.trunks if task.forks else 0
    kept = task.runs * sizes.checkpoint_depths(task) + trunks * sizes.fork_only_depths(task)
    per_run = sizes.table_bytes(task) if known.table_bytes is None else known.table_bytes
    return TaskCost(
        name,
        task.runs,
        unit_of(config, task, known),
        jobs,
        train_steps,
        fork_steps,
        step,
        train_steps * step / 3.6e6,
        fork_steps * fork_step / 3.6e6,
        paid * start / 3600,
        longest / 3600,
        kept * per_depth,
        task.runs * per_run + len(parts) * forks * 2 * sizes.ROW,
        sizes.encoding_bytes(task),
        _times_from(task, known),
        _bytes_from(known),
    )


def unit_of(config: Config, task: Task, known: Measured) -> Unit:
    """What a task's hours are of: a GPU's, where its jobs ask for one and no pilot ran on a CPU."""
    if config.device == "cpu" or task.resources.gpu == 0 or known.device == "cpu":
        return "core"
    return "GPU"


def _times_from(task: Task, known: Measured) -> str:
    if known.step_ms is None:
        return "resources.step_ms" if task.resources.step_ms != "auto" else "estimated"
    forks = ""
    if task.forks:
        forks = (
            f"; forks: {known.forks} forks" if known.fork_step_ms is not None else "; forks: as training"
        )
    return f"measured ({known.runs} runs: {known.step_from}{forks})"


def _bytes_from(known: Measured) -> str:
    there = (known.checkpoint_bytes is not None, known.table_bytes is not None)
    return {
        (True, True): "measured; encodings estimated",
        (True, False): "checkpoints measured, the rest estimated",
        (False, True): "tables measured, the rest estimated",
        (False, False): "estimated",
    }[there]
