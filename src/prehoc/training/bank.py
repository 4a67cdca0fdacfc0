"""The bank: S runs' parameters and optimiser state as flat fp32 arrays [S, P], stepped together."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import torch

from prehoc.tasks.machine import CPU
from prehoc.tasks.problem import Parameter, Theta
from prehoc.tasks.streams import generator
from prehoc.training.optimisers import RULES, Layout, Rule

# The flat layout keeps a run's tensors together; autograd remarks on it and loses nothing by it.
warnings.filterwarnings("ignore", message="grad and param do not obey the gradient layout contract")


SUMS = 4  # of a run's losses and gradient norms over all steps, and both of step 0
LOST = 1e6  # nats: no cross-entropy of a run that is not lost comes near it


class Bank:
    """Stacked runs. A row is a run; what is done to one row never depends on another."""

    def __init__(
        self,
        parameters: list[Parameter],
        runs: int,
        optimiser: dict[str, Any],
        device: torch.device = CPU.device,
    ) -> None:
        self.parameters, self.runs, self.device = parameters, runs, device
        self.clip: float | None = optimiser["clip"]
        self.layout = Layout(parameters)
        self.values = torch.zeros(runs, self.layout.size, device=device)
        self.gradient = torch.zeros(runs, self.layout.size, device=device)
        self.rule: Rule = RULES[optimiser["name"]](self.layout, runs, optimiser, device)
        self.failed_at = torch.full((runs,), -1, dtype=torch.int64, device=device)
        self.sums = torch.zeros(runs, SUMS, dtype=torch.float64, device=device)
        self.places = list(self.layout.views(self.gradient))  # where each parameter's gradient lies
        self.recorded: Any = None  # its step as a CUDA graph (graphs.py)
        self.theta: Theta = {
            parameter.name: view.detach().requires_grad_()
            for parameter, view in zip(parameters, self.layout.views(self.values), strict=True)
        }

    def initialise(self, row: int, root: int, task: str, seed: int, crossed: Sequence[str] = ()) -> None:
        """Draw row's parameters from the run's `init` stream; `crossed` as in `streams.generator`."""
        rng = generator(root, task, seed, "init", crossed=crossed)
        flat = [torch.from_numpy(p.init(rng)).reshape(-1) for p in self.parameters]
        self.values[row, : self.layout.filled] = torch.cat(flat).to(self.device)

    def state(self) -> dict[str, torch.Tensor]:
        """All that a run is, by name, rows first."""
        plain = {"values": self.values, "failed_at": self.failed_at, "sums": self.sums}
        return plain | self.rule.state

    def load(self, state: dict[str, torch.Tensor], rows: list[int] | None = None) -> None:
        """Take rows `rows` (all, if None) of a state; rows may repeat, as forks do."""
        for name, mine in self.state().items():
            mine.copy_(state[name] if rows is None else state[name][rows])

    def note_first(self) -> None:
        """Keep loss and gradient norm of step 0, right after it; NaN for a run that failed there."""
        self.sums[:, 2:] = self.sums[:, :2].masked_fill((self.failed_at >= 0)[:, None], torch.nan)

    def numbers(self, step: int) -> torch.Tensor:
        """What the update needs to know of a step, on the device."""
        return torch.tensor(self.rule.numbers(step), device=self.device)

    def step(self, losses: torch.Tensor, lr: torch.Tensor, step: int) -> None:
        """One update from the runs' losses [S], with learning rates lr [S]; `step` counts from 0.

        A run whose loss or gradient is not finite, or whose loss exceeds LOST, is frozen as it was
        before the step, and its step recorded; the others are untouched. Gradients are clipped run by run.
        """
        self.update(losses, lr, step, self.numbers(step))

    def update(
        self, losses: torch.Tensor, lr: torch.Tensor, step: int | torch.Tensor, numbers: torch.Tensor
    ) -> None:
        """`step`, all that depends on the step given as tensors; on a GPU it waits for nothing."""
        leaves = list(self.theta.values())
        parts = torch.autograd.grad(losses.sum(), leaves, allow_unused=True)
        with torch.no_grad():
            for place, part in zip(self.places, parts, strict=True):
                place.zero_() if part is None else place.copy_(part)
            norm = torch.linalg.vector_norm(self.gradient, dim=1)
            sound = torch.isfinite(losses) & torch.isfinite(norm) & (losses < LOST)
            broken = ~sound & (self.failed_at < 0)
            self.failed_at.copy_(torch.where(broken, step, self.failed_at))
            frozen = self.failed_at >= 0
            noted = torch.stack([losses, norm], 1)
            # On a CPU one look is cheaper than a pass over the gradient; a GPU would have to be waited for.
            if self.device.type != "cpu" or bool(frozen.any()):
                self.gradient.masked_fill_(frozen[:, None], 0.0)
                lr = lr.masked_fill(frozen, 0.0)
                norm = norm.masked_fill(frozen, 0.0)
                noted.masked_fill_(frozen[:, None], 0.0)
            self.sums[:, :2].add_(noted)
            if self.clip is not None:
                self.gradient.mul_((self.clip / (norm + 1e-6)).clamp_(max=1.0)[:, None])
            self.rule.update(self.values, self.gradient, lr, numbers)
