"""A linear head on texts: what problems with one share, and the head alone on features computed once."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from prehoc.config.metrics import NUMBER_METRICS
from prehoc.tasks.encode import Encoding
from prehoc.tasks.machine import CPU, Machine
from prehoc.tasks.metrics import Truth
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


def training_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Losses [S, B] at labels [S, B]: for classes in nats, for numbers the squared error of the output."""
    if labels.is_floating_point():
        return (logits[..., 0] - labels).square()
    return cross_entropy(logits, labels)


def cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Losses [S, B] in nats of logits [S, B, C] at labels [S, B]."""
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none").view(labels.shape)


def judge(logits: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Correctness and loss [S, n] of logits [S, n, C] at labels [n]."""
    shared = labels.expand(logits.shape[0], -1)
    return (logits.argmax(-1) == shared).to(torch.float32), cross_entropy(logits, shared)


def answers(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Score, loss and prediction [S, 3, n] of logits [S, n, C] at labels [n].

    The score is 1 where the class is right; numbers have none (0). The prediction is a class or a number.
    """
    if labels.is_floating_point():
        loss = training_loss(logits, labels.expand(logits.shape[0], -1))
        return torch.stack([torch.zeros_like(loss), loss, logits[..., 0]], 1)
    right, loss = judge(logits, labels)
    return torch.stack([right, loss, logits.argmax(-1).to(loss.dtype)], 1)


class Classifier:
    """What problems of labelled texts share: labels, outputs, and what predictions are held against."""

    score_name: str | None
    classes: int

    def __init__(self, encoding: Encoding, machine: Machine = CPU) -> None:
        self.encoding, self.machine = encoding, machine
        first, end = encoding.rows("train")
        self.labels: torch.Tensor | None = encoding.tensors["labels"][first:end].to(machine.device)
        self.number = self.labels.is_floating_point()
        self.classes = 1 if self.number else len(encoding.meta["classes"])
        self.score_name = None if self.number else "accuracy"

    def rows(self, split: str) -> int:
        """Number of examples in a split."""
        first, end = self.encoding.rows(split)
        return end - first

    def logits(self, theta: Theta, split: str) -> torch.Tensor:
        """Logits [S, n, C] of a split."""
        raise NotImplementedError

    def truth(self, split: str) -> Truth:
        """What predictions of a split are held against, and which metrics are made of them."""
        first, end = self.encoding.rows(split)
        labels = self.encoding.tensors["labels"][first:end].numpy()
        if self.number:
            return Truth(labels, NUMBER_METRICS, 0)
        metrics = ("f1", "matthews") if self.classes == 2 else ("matthews",)
        return Truth(labels, metrics, self.classes, int(self.encoding.meta["positive"]))

    def readings(self, theta: Theta, split: str) -> torch.Tensor:
        """Score, loss and prediction [S, 3, n] of a split."""
        first, end = self.encoding.rows(split)
        labels = self.encoding.tensors["labels"][first:end].to(self.machine.device)
        return answers(self.logits(theta, split), labels)

    def probe(self, theta: Theta, examples: int) -> torch.Tensor:
        """Losses [S, examples] of the first validation examples."""
        return self.readings(theta, f"val:{examples}")[:, 1]

    def evaluate(self, theta: Theta, split: str) -> tuple[torch.Tensor, torch.Tensor]:
        """Score (0 or 1; 0 for numbers) and loss [S, n] of a split."""
        made = self.readings(theta, split)
        return made[:, 0], made[:, 1]


class HeadProblem(Classifier):
    """A linear head on pooled features [n, H]."""

    def __init__(self, encoding: Encoding, method: dict[str, Any], machine: Machine = CPU) -> None:
        super().__init__(encoding, machine)
        self.features = encoding.tensors["features"].to(machine.device)
        self.rate = float(method["dropout"])
        self.parameters = head_parameters(self.features.shape[1], self.classes)

    def losses(
        self, theta: Theta, rows: torch.Tensor, labels: torch.Tensor | None, key: DropoutKey
    ) -> torch.Tensor:
        """Training losses [S, B]."""
        first, _ = self.encoding.rows("train")
        states = self.features.index_select(0, first + rows.flatten()).view(*rows.shape, -1)
        assert labels is not None
        return training_loss(apply_head(theta, dropout(states, self.rate, key, 0)), labels)

    def logits(self, theta: Theta, split: str) -> torch.Tensor:
        """Logits [S, n, C] of a split."""
        first, end = self.encoding.rows(split)
        return apply_head(theta, self.features[first:end])
