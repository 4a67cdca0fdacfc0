"""Text classification by a linear head alone, on features that are computed once."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from prehoc.tasks.encode import Encoding
from prehoc.tasks.machine import CPU, Machine
from prehoc.tasks.problem import DropoutKey, Parameter, Theta, dropout, normal, zeros


def head_parameters(hidden: int, classes: int) -> list[Parameter]:
    """A linear classification head: weight [C, H] from N(0, .02^2) as in BERT, bias zero."""
    return [
        Parameter("head.weight", (classes, hidden), normal((classes, hidden), 0.02)),
        Parameter("head.bias", (classes,), zeros((classes,)), decay=False),
    ]


def apply_head(theta: Theta, states: torch.Tensor) -> torch.Tensor:
    """Logits [S, B, C] of states [S, B, H] (or [B, H], shared by the runs)."""
    weight = theta["head.weight"].transpose(1, 2)
    if states.dim() == 2:
        runs, hidden, classes = weight.shape
        flat = states @ weight.permute(1, 0, 2).reshape(hidden, runs * classes)
        logits = flat.view(-1, runs, classes).transpose(0, 1)
        return logits + theta["head.bias"][:, None]
    return torch.baddbmm(theta["head.bias"][:, None], states, weight)


def cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Losses [S, B] in nats of logits [S, B, C] at labels [S, B]."""
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none").view(labels.shape)


def judge(logits: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Correctness and loss [S, n] of logits [S, n, C] at labels [n]."""
    shared = labels.expand(logits.shape[0], -1)
    return (logits.argmax(-1) == shared).to(torch.float32), cross_entropy(logits, shared)


class HeadProblem:
    """A linear head on pooled features [n, H]."""

    def __init__(self, encoding: Encoding, method: dict[str, Any], machine: Machine = CPU) -> None:
        self.encoding, self.machine = encoding, machine
        self.features = encoding.tensors["features"].to(machine.device)
        self.classes = len(encoding.meta["classes"])
        self.rate = float(method["dropout"])
        first, end = encoding.rows("train")
        self.labels: torch.Tensor | None = encoding.tensors["labels"][first:end].to(machine.device)
        self.parameters = head_parameters(self.features.shape[1], self.classes)

    def rows(self, split: str) -> int:
        """Number of examples in a split."""
        first, end = self.encoding.rows(split)
        return end - first

    def losses(
        self, theta: Theta, rows: torch.Tensor, labels: torch.Tensor | None, key: DropoutKey
    ) -> torch.Tensor:
        """Training losses [S, B] in nats."""
        first, _ = self.encoding.rows("train")
        states = self.features.index_select(0, first + rows.flatten()).view(*rows.shape, -1)
        assert labels is not None
        return cross_entropy(apply_head(theta, dropout(states, self.rate, key, 0)), labels)

    def evaluate(self, theta: Theta, split: str) -> tuple[torch.Tensor, torch.Tensor]:
        """Correctness and loss [S, n] of a split."""
        first, end = self.encoding.rows(split)
        logits = apply_head(theta, self.features[first:end])
        return judge(logits, self.encoding.tensors["labels"][first:end].to(self.machine.device))
