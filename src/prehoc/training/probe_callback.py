"""The runs table, logged while a person trains with transformers' Trainer; and stopping at c*.

Only `prehoc.ProbeCallback` imports this module, on demand, as it needs transformers.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from prehoc.errors import InputError
from prehoc.training.probe_depths import forced_depths, whole_depths
from prehoc.training.run_record import RunRecord, cell
from prehoc.training.runs_file import RunsFile
from prehoc.training.stop_rule import StopRule, stop_rule

try:
    from transformers.trainer_callback import TrainerCallback, TrainerControl, TrainerState
    from transformers.training_args import TrainingArguments
except ImportError as error:
    raise ImportError(f'ProbeCallback needs transformers: pip install "prehoc[train]" ({error})') from error

log = logging.getLogger(__name__)


class ProbeCallback(TrainerCallback):
    """Log each evaluation of a run to a runs table that `prehoc fit` reads; stop the run at c* if asked.

    At each evaluation during training one row (task, seed, depth = global step, metric) is added to
    `runs`. Any number of processes may share that file, at the same time too: each change is made under a
    lock and in one step, so a killed process leaves whole rows. Only the world's process zero writes.

    Its arguments:
        runs: CSV file; made where there is none, else added to.
        task: name of the fine-tune. Runs of one task share model, data and hyperparameters, not their
            seed.
        seed: number or name of this run; `args.seed` by default.
        metric: which metric of the evaluation, with or without `eval_`; by default
            `args.metric_for_best_model`, else `eval_loss`. One that is not finite is written as an empty
            cell: the run had failed.
        depths: steps at which an evaluation is forced, whatever `eval_strategy` says, or "geometric" for
            1, 2, 4, ... and the last step. By default there are the Trainer's own evaluations alone.
        final: name of a metric of `trainer.predict` or `trainer.evaluate` after training, as
            `test_accuracy`, that is the run's final performance; it goes to the column `final`. See also
            `record_final`.
        group: machine, person or system that the run comes from; goes to the column `group`.
        stop_at: a depth to stop the run at, or what tells it: a fit of `prehoc.fit`, or the path of a
            verdict.json; or a rule of `prehoc.online`, by which a run is stopped by its own curve. The run
            is evaluated there, saved if the Trainer saves at all, and stopped. Its rows go to a file of
            their own, `runs.probed.csv` for `runs.csv`, and so do those of its continuation: a later fit
            must see neither runs that end at c*, nor only those that somebody chose to continue.
        price: the fit's price, w = gamma lambda T / Var R, whose c* is taken: the nearest one on a log
            scale; the middle one by default. Of no effect without `stop_at`.
        greater_is_better: direction of the metric, kept as `direction` for `prehoc fit`; by default the
            Trainer's.
        overwrite: whether a new run takes the place of one of the same task and seed; else that is an
            error.

    Alpha, L_int and c* describe the task, not this run: the fit says at which depth probing stops paying
    on average over runs, nothing of how this one will end. Where c* is 0 (no probing pays) or the
    horizon, no run is stopped.

    A run that is resumed from a checkpoint keeps its rows up to there. Attributes: `stopped_at`, the
    depth in steps at which the run was stopped, or None; `direction`, "higher" or "lower", once training
    has begun; `file`, where the rows go.

    Raises InputError at construction for arguments of no use, and for a verdict that lacks this task or
    refused it; at the start of training for a run that is there already, and for a file that is no runs
    table.
    """

    def __init__(
        self,
        runs: str | Path = "runs.csv",
        *,
        task: str,
        seed: int | str | None = None,
        metric: str | None = None,
        depths: Iterable[int] | str | None = None,
        final: str | None = None,
        group: str | None = None,
        stop_at: Any = None,
        price: float | None = None,
        greater_is_better: bool | None = None,
        overwrite: bool = False,
    ) -> None:
        if not isinstance(task, str) or not task.strip():
            raise InputError(f"task: takes the name of the fine-tune, not {task!r}")
        if seed is not None and not _is_seed(seed):
            raise InputError(f"seed: takes a whole number of 0 or more, or a name, not {seed!r}")
        self.task, self.metric, self.final, self.group = task, metric, final, group
        self.seed = seed if seed is None or isinstance(seed, str) else int(seed)
        self.rule: StopRule | None = None if stop_at is None else stop_rule(stop_at, task, price)
        self.depths = whole_depths(depths)
        self.greater_is_better, self.overwrite = greater_is_better, overwrite
        self.stopped_at: int | None = None
        self.direction: str | None = None
        self._runs = RunsFile(runs)
        self._probed = RunsFile(self._runs.path.with_suffix(".probed.csv"))
        self._record = RunRecord(self._runs, task, seed or 0, group)
        self._stop: int | None = None  # the depth to stop at in this training
        self._forced: set[int] = set()
        self._training = self._trained = self._zero = False
        self._name, self._why = "eval_loss", ""
        self._lacked: set[str] = set()  # metrics of evaluations that lacked ours

    @property
    def file(self) -> Path:
        """The file that the run's rows go to."""
        return self._record.file.path

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Check that the run can be logged, before the first step."""
        self._zero = state.is_world_process_zero
        self._name = self.metric or getattr(args, "metric_for_best_model", None) or "eval_loss"
        self.direction = self._direction(args)
        self.stopped_at = None
        self._stop = self._stops(state.max_steps)
        self._forced = forced_depths(self.depths, state.max_steps) | (
            set() if self.rule is None or self._stop is None else self.rule.depths(state.max_steps)
        )
        self._lacked = set()
        broken_off = self._record if self._training else None  # as auto_find_batch_size starts over
        self._training = self._trained = False
        self._begin(args, state, broken_off)
        self._training = True

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Refuse to train on where no evaluation has had the metric."""
        if self._lacked and not self._record.rows:
            raise InputError(self._no_metric())

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl:
        """Ask for an evaluation at the forced depths."""
        if state.global_step in self._forced:
            control.should_evaluate = True
        return control

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl:
        """Write the row of this depth, and stop the run if it has come to c*."""
        metrics: dict[str, float] = kwargs.get("metrics") or {}
        if not self._training:
            self._take_final(metrics)
            return control
        name = self._found(metrics)
        if name is None:
            self._lacked |= set(metrics) - {"epoch"}
            return control
        depth = int(state.global_step)
        self._record.rows[depth] = cell(name, metrics[name])
        if self._zero:
            self._record.write()
        if self._stop is not None and depth >= self._stop and self._ends(depth, state.max_steps):
            control.should_training_stop = True
            if getattr(args.save_strategy, "value", args.save_strategy) != "no":
                control.should_save = True  # so that the run can go on from here
            if self.stopped_at is None:
                self.stopped_at = depth
                self._say_stopped(depth, state.max_steps)
        return control

    def on_predict(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: Any,
        **kwargs: Any,
    ) -> None:
        """Take the final performance from `trainer.predict` after training."""
        if not self._training:
            self._take_final(metrics or {})

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Write what could not be written before, and say where the rows are."""
        self._training, self._trained = False, True
        if not self._zero:
            return
        record = self._record
        if not record.rows:
            log.error(self._no_metric())
            return
        if not record.complete:
            record.write()
        if record.complete:
            log.info("%s: %d rows of run %s are in %s", self.task, len(record.rows), record.run, self.file)

    def record_final(self, value: float) -> None:
        """Write the run's final performance, as measured after training, to `final` on all its rows.

        A value that is not finite leaves it empty. Where several processes train, all may call it; zero
        writes. Raises InputError before training has ended, for a run that was stopped at c* (what it has
        is no final performance), and where the file can't be written.
        """
        if not self._trained:
            raise InputError("record_final: the run has not ended; call it after trainer.train()")
        if self.stopped_at is not None:
            raise InputError(
                f"record_final: the run was stopped at depth {self.stopped_at} and has no final value; "
                "resume it to its last step, or leave it out"
            )
        written = cell("final", value)
        if self._zero:
            self._record.final(written)

    def _begin(self, args: TrainingArguments, state: TrainerState, broken_off: RunRecord | None) -> None:
        """Choose the file, and see what it holds of this run."""
        run = args.seed if self.seed is None else self.seed
        step = int(state.global_step)
        file = self._runs if self._stop is None else self._probed
        if self._zero and step and self._stop is None and self._probed.has(self.task, run):
            file = self._probed  # the continuation of a run that was stopped
        elif self._zero and step and self._stop is not None and self._runs.has(self.task, run):
            self._say(
                f"run {run} began in {self._runs.path}: a fit of that file meets a run that ends early"
            )
        record = RunRecord(file, self.task, run, self.group)
        if self._zero:
            found = [(self._found(entry), entry) for entry in state.log_history]
            history = {int(e["step"]): cell(name, e[name]) for name, e in found if name is not None}
            record.begin(step, history, self.overwrite, broken_off)
        self._record = record

    def _found(self, metrics: dict[str, float]) -> str | None:
        return next((name for name in (self._name, f"eval_{self._name}") if name in metrics), None)

    def _stops(self, horizon: int) -> int | None:
        """The depth at which a training of `horizon` steps is to stop; None for never, and says why."""
        rule = self.rule
        if rule is None:
            return None
        if rule.horizon not in (None, horizon):
            self._say(
                f"c* is that of runs of {rule.horizon} steps; this one has {horizon}: it may lie elsewhere"
            )
        if rule.depth <= 0 or rule.corner == "zero":
            self._say(f"{rule.in_words()}: no probing pays; train the run or don't. It is not stopped")
            return None
        if rule.depth >= horizon or rule.corner == "horizon":
            self._say(f"{rule.in_words()}, the run has {horizon} steps: it is not stopped")
            return None
        return rule.depth

    def _ends(self, depth: int, horizon: int) -> bool:
        """Whether the rule stops the run here, at or past its first depth."""
        if self.stopped_at is not None or self.rule is None:
            return True
        told = self.rule.ends({d: float(m or "nan") for d, m in self._record.rows.items()})
        self._why = told or ""
        return told is not None and (self.rule.online is None or depth < horizon)

    def _say_stopped(self, depth: int, horizon: int) -> None:
        self._say(
            f"run {self._record.run} stops at depth {depth} of {horizon} ({self._why}): "
            f"{1 - depth / horizon:.0%} of the horizon is saved; its rows are in {self.file}"
        )

    def _say(self, line: str) -> None:
        if self._zero:
            log.warning("%s: %s", self.task, line)

    def _direction(self, args: TrainingArguments) -> str:
        higher = self.greater_is_better
        best = getattr(args, "metric_for_best_model", None)
        if higher is None and best and self._name.removeprefix("eval_") == best.removeprefix("eval_"):
            higher = args.greater_is_better
        if higher is None:
            higher = not self._name.endswith("loss")  # transformers' own rule
        return "higher" if higher else "lower"

    def _take_final(self, metrics: dict[str, float]) -> None:
        if self.final is None or self.final not in metrics or not self._trained:
            return
        if self.stopped_at is not None:
            self._say(f"{self.final} is not recorded: the run was stopped at depth {self.stopped_at}")
            return
        self.record_final(metrics[self.final])

    def _no_metric(self) -> str:
        if not self._lacked:
            return (
                f"{self.task}: no evaluation was made, so nothing is recorded; set depths or eval_strategy"
            )
        there = ", ".join(sorted(self._lacked))
        return f"metric: {self._name!r} is not in what is evaluated, but {there}; name one of them"


def _is_seed(seed: Any) -> bool:
    if isinstance(seed, str):
        return bool(seed.strip())
    return hasattr(seed, "__index__") and not isinstance(seed, bool) and int(seed) >= 0
