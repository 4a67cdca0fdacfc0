"""The bank: S runs' parameters and optimiser state as flat fp32 arrays [S, P], stepped together."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import torch

from prehoc.tasks.problem import Parameter, Theta
from prehoc.tasks.streams import generator

# The flat layout keeps a run's tensors together; autograd remarks on it and loses nothing by it.
warnings.filterwarnings("ignore", message="grad and param do not obey the gradient layout contract")


LOST = 1e6  # nats: no cross-entropy of a run that is not lost comes near it


class Bank:
    """Stacked runs. A row is a run; what is done to one row never depends on another."""

    def __init__(self, parameters: list[Parameter], runs: int, optimiser: dict[str, Any]) -> None:
        self.parameters, self.runs, self.optimiser = parameters, runs, optimiser
        sizes = [int(torch.Size(p.shape).numel()) for p in parameters]
        total = sum(sizes)
        self.values = torch.zeros(runs, total)
        self.gradient = torch.zeros(runs, total)
        self.moments = {
            name: torch.zeros(runs, total)
            for name in (("m", "v") if optimiser["name"] == "adamw" else ("m",))
        }
        self.decay = torch.cat(
            [torch.full((n,), float(p.decay)) for p, n in zip(parameters, sizes, strict=True)]
        )
        self.failed_at = torch.full((runs,), -1, dtype=torch.int64)
        self.theta: Theta = {}
        self.places: list[torch.Tensor] = []  # where each parameter's gradient lies
        first = 0
        for parameter, size in zip(parameters, sizes, strict=True):
            span = slice(first, first + size)
            leaf = self.values[:, span].unflatten(1, parameter.shape).detach().requires_grad_()
            self.places.append(self.gradient[:, span].unflatten(1, parameter.shape))
            self.theta[parameter.name] = leaf
            first += size

    def initialise(self, row: int, root: int, task: str, seed: int, crossed: Sequence[str] = ()) -> None:
        """Draw row's parameters from the run's `init` stream; `crossed` as in `streams.generator`."""
        rng = generator(root, task, seed, "init", crossed=crossed)
        flat = [torch.from_numpy(p.init(rng)).reshape(-1) for p in self.parameters]
        self.values[row] = torch.cat(flat)

    def state(self) -> dict[str, torch.Tensor]:
        """All that a run is, by name, rows first."""
        return {"values": self.values, "failed_at": self.failed_at, **self.moments}

    def load(self, state: dict[str, torch.Tensor], rows: list[int] | None = None) -> None:
        """Take rows `rows` (all, if None) of a state; rows may repeat, as forks do."""
        for name, mine in self.state().items():
            mine.copy_(state[name] if rows is None else state[name][rows])

    def step(self, losses: torch.Tensor, lr: torch.Tensor, step: int) -> None:
        """One update from the runs' losses [S], with learning rates lr [S]; `step` counts from 0.

        A run whose loss or gradient is not finite, or whose loss exceeds LOST, is frozen as it was
        before the step, and its step recorded; the others are untouched. Gradients are clipped run by run.
        """
        leaves = list(self.theta.values())
        parts = torch.autograd.grad(losses.sum(), leaves, allow_unused=True)
        with torch.no_grad():
            for place, part in zip(self.places, parts, strict=True):
                place.zero_() if part is None else place.copy_(part)
            squares = self.gradient.square().sum(1)
            sound = torch.isfinite(losses) & torch.isfinite(squares) & (losses < LOST)
            broken = ~sound & (self.failed_at < 0)
            if bool(broken.any()):
                self.failed_at[broken] = step
            frozen = self.failed_at >= 0
            if bool(frozen.any()):
                self.gradient[frozen] = 0.0
                lr = torch.where(frozen, 0.0, lr)
            clip = self.optimiser["clip"]
            if clip is not None:
                norm = squares.sqrt().nan_to_num(posinf=0.0)
                self.gradient.mul_((clip / (norm + 1e-6)).clamp(max=1.0)[:, None])
            if self.optimiser["name"] == "adamw":
                self._adamw(lr[:, None], step)
            else:
                self._sgd(lr[:, None])

    def _adamw(self, lr: torch.Tensor, step: int) -> None:
        """AdamW (Loshchilov and Hutter 2019), torch.optim.AdamW's arithmetic with a rate a run."""
        first, second = self.optimiser["betas"]
        mean, square = self.moments["m"], self.moments["v"]
        mean.lerp_(self.gradient, 1 - first)
        square.mul_(second).addcmul_(self.gradient, self.gradient, value=1 - second)
        scale = (1 - second ** (step + 1)) ** 0.5
        spread = (square.sqrt() / scale).add_(1e-8)
        decay = self.optimiser["weight_decay"]
        if decay:
            self.values.mul_(1 - lr * decay * self.decay)
        self.values.sub_(mean.div(spread).mul_(lr / (1 - first ** (step + 1))))

    def _sgd(self, lr: torch.Tensor) -> None:
        """SGD with momentum, torch.optim.SGD's arithmetic with a rate a run."""
        decay = self.optimiser["weight_decay"]
        if decay:
            self.gradient.add_(self.values * self.decay, alpha=decay)
        move = self.gradient
        if self.optimiser["momentum"]:
            move = self.moments["m"].mul_(self.optimiser["momentum"]).add_(self.gradient)
        self.values.sub_(move * lr)
