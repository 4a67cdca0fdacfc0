"""A training step recorded once as a CUDA graph and replayed: one launch instead of hundreds."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import torch

from prehoc.tasks.problem import DropoutKey, Problem
from prehoc.training.bank import Bank

log = logging.getLogger("prehoc")
Inputs = dict[str, torch.Tensor]
_WARM_UP = 3  # steps on a stream of their own before recording, as torch.cuda.graphs asks


class Recorded:
    """A step `body` of a bank, recorded at the first call and replayed at all; eager where it can't be.

    The inputs are copied into buffers that the graph reads, so their shapes are those of the first call.
    """

    def __init__(self, bank: Bank, body: Callable[[Inputs], None], cuda: Any = torch.cuda) -> None:
        self.bank, self.body, self.cuda = bank, body, cuda
        self.buffers: Inputs = {}
        self.graph: Any = None
        self.eager = False

    def __call__(self, inputs: Inputs) -> None:
        """Do the step with these inputs."""
        if self.graph is None and not self.eager:
            self._record(inputs)
        if self.eager:
            self.body(inputs)
            return
        for name, buffer in self.buffers.items():
            buffer.copy_(inputs[name])
        self.graph.replay()

    def _record(self, inputs: Inputs) -> None:
        """Warm up and record; the bank's state is put back, as the warm-up's steps are not the run's."""
        before = {name: tensor.clone() for name, tensor in self.bank.state().items()}
        self.buffers = {name: tensor.clone() for name, tensor in inputs.items()}
        graph = self.cuda.CUDAGraph()
        try:
            stream = self.cuda.Stream()
            stream.wait_stream(self.cuda.current_stream())
            with self.cuda.stream(stream):
                for _ in range(_WARM_UP):
                    self.body(self.buffers)
            self.cuda.current_stream().wait_stream(stream)
            with self.cuda.graph(graph):
                self.body(self.buffers)
            self.graph = graph
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            self.eager = True
            line = " ".join(str(error).split())[:200]
            log.info(f"this step can't be recorded as a CUDA graph and runs eagerly: {line}")
        finally:
            self.bank.load(before)


def inputs(
    rows: torch.Tensor,
    labels: torch.Tensor | None,
    weights: torch.Tensor,
    keys: torch.Tensor,
    lr: torch.Tensor,
    step: int,
    bank: Bank,
) -> Inputs:
    """All that a step depends on, as tensors: rows, labels and weights [S, B], keys and rates [S]."""
    made = {"rows": rows, "weights": weights, "keys": keys, "lr": lr, "numbers": bank.numbers(step)}
    made["step"] = torch.tensor(step, device=bank.device)
    return made if labels is None else made | {"labels": labels}


def step_of(bank: Bank, problem: Problem) -> Callable[[Inputs], None]:
    """One training step of a bank, from inputs that are tensors alone."""

    def body(given: Inputs) -> None:
        key = DropoutKey(given["keys"], given["step"])
        losses = problem.losses(bank.theta, given["rows"], given.get("labels"), key)
        mean = (losses * given["weights"]).sum(1)
        bank.update(mean, given["lr"], given["step"], given["numbers"])

    return body


def recorded(bank: Bank, problem: Problem) -> Recorded | None:
    """The bank's recorded step; None on a CPU, and where a problem's shapes change from step to step."""
    if bank.device.type != "cuda" or not getattr(problem, "static_shapes", True):
        return None
    if bank.recorded is None:
        bank.recorded = Recorded(bank, step_of(bank, problem))
    return bank.recorded
