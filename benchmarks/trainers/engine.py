"""prehoc's engine as a contender: the one module of the benchmarks that knows its inner interfaces."""

from __future__ import annotations

import sys
from typing import Any

import torch

from prehoc.errors import InputError
from prehoc.tasks.machine import machine
from prehoc.tasks.population import draw_run
from prehoc.training import loop
from prehoc.training.bank import Bank
from prehoc.training.problems import Setting, build
from trainers import place
from trainers.cases import precisions, varied


def setting_of(stage: dict[str, Any]) -> Setting:
    """The problem of a stage config; frozen activations are computed into its store."""
    return build(stage, machine(place.device().type, stage["precision"]))


def settings_of(stage: dict[str, Any]) -> dict[str, tuple[dict[str, Any], Setting]]:
    """A task's stage config and problem in each precision in which this machine can train it."""
    made = {}
    for precision in precisions(stage):
        exact = varied(stage, precision=precision)
        try:
            made[precision] = exact, setting_of(exact)
        except InputError as error:  # a task that is trained in fp32 alone
            if precision == "fp32":
                raise
            print(f"{stage['task']}: no {precision}: {error}", file=sys.stderr)
    return made


class Engine:
    """A bank of runs of one task, from step 0 at every `reset`.

    `runs` real runs; one alone stands in the narrowest bank there is, of width 2, beside a dummy.
    """

    def __init__(self, stage: dict[str, Any], setting: Setting, runs: int, first: int = 0) -> None:
        self.stage = {**stage, "bank": max(runs, 2)}
        self.setting, self.runs = setting, runs
        problem = setting.problem
        known = problem.labels.cpu().numpy() if problem.labels is not None else None
        draws = [
            draw_run(self.stage, seed, known, problem.rows("train"), problem.classes, setting.domains)
            for seed in range(first, first + runs)
        ]
        filled = draws + [draws[-1]] * (self.stage["bank"] - runs)
        self.group = loop.Group(filled, runs)
        self.at = 0
        self._bank: Bank | None = None
        self._values: torch.Tensor | None = None  # on the host: all runs at step 0, where a GPU trains

    @property
    def bank(self) -> Bank:
        """The bank, made at its first use."""
        if self._bank is None:
            self.reset()
        assert self._bank is not None
        return self._bank

    def reset(self) -> None:
        """Back to step 0. On a GPU the step is recorded as a graph here, as it is once in a bank's life."""
        problem = self.setting.problem
        bank = Bank(
            problem.parameters, self.stage["bank"], self.stage["optimiser"], self.setting.machine.device
        )
        self._bank, self.at = bank, 0
        if self._values is not None:
            bank.values.copy_(self._values)
        else:
            for row, draw in enumerate(self.group.draws):
                bank.initialise(row, self.stage["seed"], self.stage["task"], draw.seed)
        if place.on_gpu():
            self._values = bank.values.cpu().clone() if self._values is None else self._values
            loop.advance(self.stage, self.setting, bank, self.group, 0, 1)
            bank.values.copy_(self._values)
            for name, kept in bank.state().items():
                if name != "values":  # as a new bank has them
                    kept.fill_(-1 if name == "failed_at" else 0)

    @property
    def graph(self) -> bool:
        """Whether its steps are replays of a CUDA graph; else they run eagerly."""
        recorded = self.bank.recorded
        return recorded is not None and not recorded.eager

    def release(self) -> None:
        """Leave a GPU's memory to the next contender."""
        if self._bank is not None:
            self._bank.recorded = None  # which holds the bank, as the bank holds it
        self._bank = None

    def advance(self, steps: int) -> None:
        """Train all runs `steps` steps further."""
        loop.advance(self.stage, self.setting, self.bank, self.group, self.at, self.at + steps)
        self.at += steps

    def measure(self, split: str) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean accuracy and loss (nats) of each real run on a split: [S] each."""
        correct, loss = loop.measure(self.setting, self.bank, split)
        return correct[: self.runs].mean(1), loss[: self.runs].mean(1)
