"""What ten steps of two seeds say: whether the loss falls, whether anything varies, what it all takes."""

from __future__ import annotations

import math

import numpy as np

from prehoc.checking.findings import Finding, fault, ok, warning
from prehoc.checking.trial import STEPS, Trial
from prehoc.config import Task

RISEN = 1.5  # times the first loss that means the steps are too long
STILL = 1e-3  # relative change of the loss that means they are too short
FAR = 1.5  # times chance, from which on the first loss is odd
PASSES = 100  # epochs beyond which runs only memorise
LONG_HOURS = 24.0


def learning(trial: Trial, lr: float) -> list[Finding]:
    """The loss on the same training rows before and after: NaN, risen, still or fallen."""
    lost = [k for k in trial.failed_at if k >= 0]
    if lost or not np.isfinite(trial.after).all():
        where = f"at step {min(lost) + 1}" if lost else f"within {STEPS} steps"
        return [
            fault("learning", f"the loss or its gradient is not finite {where}: lower optimiser.lr {lr:g}")
        ]
    first, last = float(trial.before.mean()), float(trial.after.mean())
    said = f"training loss {first:.3g} -> {last:.3g} in {STEPS} steps, on the same rows"
    if last > RISEN * first:
        return [fault("learning", f"{said}: it rises; lower optimiser.lr {lr:g}, by ten to begin with")]
    if abs(last - first) < STILL * first:
        return [
            warning("learning", f"{said}: it hardly moves; raise optimiser.lr {lr:g}, or wait for warm-up")
        ]
    if last > first:
        return [warning("learning", f"{said}: it has not fallen; is optimiser.lr {lr:g} too high?")]
    return [ok("learning", said)]


def start(trial: Trial, chance: float | None) -> list[Finding]:
    """The loss before the first step against that of an even guess, ln C."""
    if chance is None or not np.isfinite(trial.before).all():
        return []
    first = float(trial.before.mean())
    said = f"loss {first:.3g} before the first step; an even guess has ln C = {chance:.3g}"
    if first > FAR * chance + 0.2:
        return [warning("start", f"{said}: outputs are large; is the model's last layer as it should be?")]
    if first < 0.5 * chance:
        return [warning("start", f"{said}: known before training; is the label in the text?")]
    return [ok("start", said)]


def variety(trial: Trial) -> list[Finding]:
    """Whether two seeds differ, in what they are and in what they say."""
    if trial.apart == 0:
        return [fault("seeds", "two seeds are identical after the steps: nothing varies between runs")]
    if trial.answers is None:
        return [ok("seeds", f"two seeds differ, by up to {trial.apart:.2g} in a parameter")]
    loss = trial.answers[:, 1].mean(1)
    if trial.answers.shape[1] > 2 and all(np.ptp(a) == 0 for a in trial.answers[:, 2]):
        return [
            warning(
                "R",
                f"after {STEPS} steps both seeds predict one and the same class or number for all of val",
            )
        ]
    if trial.answers.shape[1] > 2 and np.array_equal(trial.answers[0, 2], trial.answers[1, 2]):
        return [
            warning(
                "R", f"two seeds predict the same of every val example after {STEPS} steps: R may not vary"
            )
        ]
    return [ok("seeds", f"two seeds differ: loss on val {loss[0]:.4g} and {loss[1]:.4g}")]


def passes(task: Task, train: int) -> list[Finding]:
    """The horizon in epochs of the training rows."""
    assert task.optimiser is not None
    epochs = task.horizon * task.optimiser.batch_size / train
    said = f"horizon {task.horizon} is {epochs:.2g} epochs of {train} rows"
    if epochs > PASSES and task.kind != "modular_arithmetic":  # whose runs are meant to grok
        return [warning("horizon", f"{said}: far beyond an epoch runs memorise; lower horizon")]
    if epochs < 0.2:
        return [warning("horizon", f"{said}: most rows are never seen; fine, if that is meant")]
    return [ok("horizon", said)]


def cost(task: Task, trial: Trial, examples: dict[str, int], device: str) -> list[Finding]:
    """Time of a run's step, of all runs, and memory; what to write into `resources`."""
    depths = len({*task.depths, task.horizon})
    measured = (depths * examples["val"] + examples["target"]) * trial.example_ms
    each = trial.step_ms + measured / task.horizon
    forked = 0.0
    if task.forks is not None:
        runs = task.forks.trunks * task.forks.per_trunk
        forked = runs * sum(task.horizon - c for c in task.forks.depths) * trial.step_ms
        forked += runs * (len(task.forks.depths) + 1) * examples["target"] * trial.example_ms
    hours = (task.runs * task.horizon * each + forked) / 3.6e6
    step = float(f"{max(each, 1e-3):.3g}")
    beside = ", token_ms: auto" if task.resources.token_ms != "auto" else ""  # texts are in the step
    about = "at most" if task.generation else "about"  # few texts at once are written slowly
    said = (
        f"{trial.step_ms:.3g} ms a step and run ({device}, bank of {trial.width}); {task.runs} runs take "
        f"{about} {_time(hours)} of one such job; resources: {{step_ms: {step:g}{beside}}}"
    )
    found = [(warning if hours > LONG_HOURS else ok)("time", said)]
    memory = f"peak {trial.memory_mb:,.0f} MB of memory"
    if trial.gpu_mb is not None:
        memory += f", {trial.gpu_mb:,.0f} MB of the GPU's"
    if trial.memory_mb > task.resources.mem_mb:
        need = 500 * math.ceil(1.2 * trial.memory_mb / 500)
        found.append(warning("memory", f"{memory}, over resources.mem_mb; set it to {need}"))
    else:
        found.append(ok("memory", memory))
    return found


def _time(hours: float) -> str:
    if hours * 60 < 1:
        return f"{max(1, round(hours * 3600))} s"
    return f"{hours * 60:.0f} min" if hours < 2 else f"{hours:.1f} h"
