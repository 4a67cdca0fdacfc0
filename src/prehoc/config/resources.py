"""What a training or fork job asks of a cluster: memory, time and GPUs, from the task's block alone.

A job's time is a start (environments, imports, the first reading of a model) plus steps times the time
of one.  A run's step is taken as measured on one core of a CPU (docs/training.md), so that a job on a
GPU ends well before its limit; `resources.step_ms` puts a number of your own in its place.  What is
asked for makes no result stale: it is part of no stage (`config.stage_config`).
"""

from __future__ import annotations

import math

from prehoc.config.task import Task

# Milliseconds of a run's step on one core, as measured: a head at 27,000 seed-steps a second or more;
# modular sums of width 64 at 660 a second; a MiniLM layer 5 ms over 16 texts of 32 tokens; SmolLM2's
# 30 layers 870 ms in fp32 over 16 texts of 16 tokens.
HEAD_MS = 0.04
MODULAR_MS = 1.5
ENCODER_TOKEN_MS = 5.0 / (16 * 32)
DECODER_TOKEN_MS = 870.0 / (30 * 16 * 16)
DECODED_TOKEN_MS = 6.5 / 30  # of SmolLM2, 64 rows in flight: benchmarks/generation.py
# A job that reduces a task's runs to tables: a minute at most at 1,500 runs and 9 depths, as measured.
REDUCE_MINUTES, REDUCE_VALUES = 5, 1500 * 9
ENCODER_LAYERS, DECODER_LAYERS = 12, 32  # where `layers: all` leaves their number to the model


def step_ms(task: Task) -> float:
    """Time of one step of one run in milliseconds: `resources.step_ms`, or an estimate from the block.

    Where texts are written at depths, a step bears its share of that.  Synthetic tasks train nothing: 0.
    """
    asked = task.resources.step_ms
    if asked != "auto":
        return float(asked)
    written = 0.0
    if task.data is not None:
        depths = len({*task.depths, task.horizon})
        written = decode_ms(task, depths * task.data.val + task.data.target) / task.horizon
    return _trained_ms(task) + written


def _trained_ms(task: Task) -> float:
    """Estimate of one step of one run in milliseconds, without measuring.

    It grows with the trained layers, the batch and the length of the texts; a model from scratch with
    its depth and the square of its width.
    """
    if task.method is None or task.optimiser is None:
        return 0.0
    batch = task.optimiser.batch_size
    if task.method.kind == "head":
        return HEAD_MS * batch / 16
    if task.method.kind == "full" and task.kind == "modular_arithmetic":
        return MODULAR_MS * task.method.depth * (task.method.width / 64) ** 2 * batch / 256
    decoder = task.kind in ("causal_arithmetic", "text_generation")
    top = task.method.layers.removeprefix("top-")
    layers = int(top) if top.isdigit() else DECODER_LAYERS if decoder else ENCODER_LAYERS
    tokens = batch * (task.model.max_length if task.model else 32)
    return (DECODER_TOKEN_MS if decoder else ENCODER_TOKEN_MS) * layers * tokens


def decode_ms(task: Task, examples: int) -> float:
    """Time in milliseconds in which one run writes to `examples` prompts; 0 where no text is written.

    Every text is taken to reach max_new_tokens, and the layers for DECODER_LAYERS.
    """
    if task.generation is None or task.data is None:
        return 0.0
    tokens = task.generation.max_new_tokens * examples
    return DECODED_TOKEN_MS * DECODER_LAYERS * tokens


def train_minutes(task: Task, runs: int, start: int = 0, end: int | None = None) -> int:
    """Minutes to ask for a job that trains `runs` runs from step `start` to `end` (None: the horizon).

    At the first attempt.
    """
    return _minutes(task, runs * ((task.horizon if end is None else end) - start))


def fork_minutes(task: Task, depths: list[int]) -> int:
    """Minutes to ask for a job that forks every trunk at `depths`, at the first attempt."""
    if task.forks is None:
        return _minutes(task, 0)
    runs = task.forks.trunks * task.forks.per_trunk
    steps = runs * sum(task.horizon - depth for depth in depths)
    if task.resources.step_ms != "auto":
        return _minutes(task, steps)
    written = decode_ms(task, task.data.target if task.data else 0) * runs * len(depths)
    return _asked(task, steps * _trained_ms(task) + written)


def _minutes(task: Task, steps: int) -> int:
    return _asked(task, steps * step_ms(task))


def _asked(task: Task, milliseconds: float) -> int:
    return math.ceil(task.resources.minutes + task.resources.margin * milliseconds / 60_000)


def reduce_minutes(task: Task) -> int:
    """Minutes of a job that reduces a task's runs to tables: five, and more for more than 1,500 runs."""
    values = task.runs * (len(set(task.depths) | {task.horizon}))
    return math.ceil(REDUCE_MINUTES * max(1.0, values / REDUCE_VALUES))
