"""Update rules over a stack of runs [S, P]: a maintained library's maths, with a rate a run.

What depends on the step alone reaches an update as a tensor, so that a step can be recorded once and
replayed; nothing waits for a device. An update may use the gradient's memory as it likes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import torch

from prehoc.tasks.problem import Parameter


class Layout:
    """Where each parameter of a run lies in its row of P numbers, and where weight decay acts."""

    def __init__(self, parameters: Sequence[Parameter]) -> None:
        self.shapes = [tuple(p.shape) for p in parameters]
        self.spans: list[slice] = []
        self.decayed: list[slice] = []  # neighbours joined
        first = 0
        for parameter in parameters:
            span = slice(first, first + int(torch.Size(parameter.shape).numel()))
            self.spans.append(span)
            if parameter.decay and self.decayed and self.decayed[-1].stop == first:
                self.decayed[-1] = slice(self.decayed[-1].start, span.stop)
            elif parameter.decay:
                self.decayed.append(span)
            first = span.stop
        # Rows begin at multiples of 64 bytes: a product's bits may depend on where its operands begin,
        # and a run's must not depend on its slot. What is filled up stays zero.
        self.filled = first
        self.size = -(-first // 16) * 16

    def views(self, flat: torch.Tensor) -> Iterator[torch.Tensor]:
        """Each parameter's part [S, *shape] of a stack [S, P]."""
        for span, shape in zip(self.spans, self.shapes, strict=True):
            yield flat[:, span].unflatten(1, shape)

    def shrink(self, values: torch.Tensor, lr: torch.Tensor, decay: float) -> None:
        """Decoupled weight decay of values [S, P] at rates lr [S]."""
        if decay:
            for span in self.decayed:
                values[:, span].mul_((1 - lr * decay)[:, None])


class Rule(Protocol):
    """An update rule and its state, rows first."""

    state: dict[str, torch.Tensor]

    def numbers(self, step: int) -> list[float]:
        """What the update needs to know of step 0, 1, ...."""

    def update(
        self, values: torch.Tensor, gradient: torch.Tensor, lr: torch.Tensor, numbers: torch.Tensor
    ) -> None:
        """Move values [S, P] in place, by gradients [S, P] and rates [S]."""


class AdamW:
    """AdamW (Loshchilov and Hutter 2019), torch.optim.AdamW's arithmetic."""

    epsilon = 1e-8

    def __init__(self, layout: Layout, runs: int, settings: dict[str, Any], device: torch.device) -> None:
        self.layout, self.betas = layout, settings["betas"]
        self.decay = float(settings["weight_decay"])
        self.state = {name: torch.zeros(runs, layout.size, device=device) for name in ("m", "v")}

    def numbers(self, step: int) -> list[float]:
        """The two bias corrections, with the square root's taken out of the quotient."""
        first, second = self.betas
        root = (1 - second ** (step + 1)) ** 0.5
        return [self.epsilon * root, root / (1 - first ** (step + 1))]

    def update(
        self, values: torch.Tensor, gradient: torch.Tensor, lr: torch.Tensor, numbers: torch.Tensor
    ) -> None:
        """Move values [S, P] in place."""
        first, second = self.betas
        mean, square = self.state["m"], self.state["v"]
        mean.lerp_(gradient, 1 - first)
        square.mul_(second).addcmul_(gradient, gradient, value=1 - second)
        self.layout.shrink(values, lr, self.decay)
        torch.sqrt(square, out=gradient).add_(numbers[0])
        torch.div(mean, gradient, out=gradient)
        values.sub_(gradient.mul_((lr * numbers[1])[:, None]))


class SGD:
    """SGD with momentum, torch.optim.SGD's arithmetic; its weight decay is part of the gradient."""

    def __init__(self, layout: Layout, runs: int, settings: dict[str, Any], device: torch.device) -> None:
        self.layout = layout
        self.decay, self.momentum = float(settings["weight_decay"]), float(settings["momentum"])
        shape = (runs, layout.size)
        self.state = {"m": torch.zeros(shape, device=device)} if self.momentum else {}

    def numbers(self, step: int) -> list[float]:
        """Nothing."""
        return []

    def update(
        self, values: torch.Tensor, gradient: torch.Tensor, lr: torch.Tensor, numbers: torch.Tensor
    ) -> None:
        """Move values [S, P] in place."""
        if self.decay:
            for span in self.layout.decayed:
                gradient[:, span].add_(values[:, span], alpha=self.decay)
        move = gradient
        if self.momentum:
            move = self.state["m"].mul_(self.momentum).add_(gradient)
        values.sub_(torch.mul(move, lr[:, None], out=gradient))


class Lion:
    """Lion (Chen et al. 2023, algorithm 2), lion-pytorch's arithmetic."""

    def __init__(self, layout: Layout, runs: int, settings: dict[str, Any], device: torch.device) -> None:
        self.layout, self.betas = layout, settings["betas"]
        self.decay = float(settings["weight_decay"])
        self.state = {"m": torch.zeros(runs, layout.size, device=device)}

    def numbers(self, step: int) -> list[float]:
        """Nothing."""
        return []

    def update(
        self, values: torch.Tensor, gradient: torch.Tensor, lr: torch.Tensor, numbers: torch.Tensor
    ) -> None:
        """Move values [S, P] in place."""
        first, second = self.betas
        mean = self.state["m"]
        self.layout.shrink(values, lr, self.decay)
        move = (mean * first).add_(gradient, alpha=1 - first).sign_()
        values.sub_(move.mul_(lr[:, None]))
        mean.mul_(second).add_(gradient, alpha=1 - second)


class Adafactor:
    """Adafactor (Shazeer and Stern 2018), torch.optim.Adafactor's arithmetic and constants.

    A matrix keeps the means of its squared gradients over rows and over columns, a vector all of them.
    """

    beta2_decay, d, eps2 = -0.8, 1.0, 1e-3
    eps1 = torch.finfo(torch.float32).eps

    def __init__(self, layout: Layout, runs: int, settings: dict[str, Any], device: torch.device) -> None:
        self.layout = layout
        self.decay = float(settings["weight_decay"])
        kinds = [("row", "column") if len(shape) > 1 else ("v",) for shape in layout.shapes]
        parts = {
            "row": [(*s[:-1], 1) for s in layout.shapes if len(s) > 1],
            "column": [(*s[:-2], 1, s[-1]) for s in layout.shapes if len(s) > 1],
            "v": [s for s in layout.shapes if len(s) < 2],
        }
        self.state: dict[str, torch.Tensor] = {}
        views: dict[str, Iterator[torch.Tensor]] = {}
        for name, shapes in parts.items():
            sizes = [int(torch.Size(s).numel()) for s in shapes]
            if shapes:
                flat = self.state[name] = torch.zeros(runs, sum(sizes), device=device)
                cut = zip(flat.split(sizes, 1), shapes, strict=True)
                views[name] = iter([part.unflatten(1, shape) for part, shape in cut])
        self.places = [tuple(next(views[name]) for name in names) for names in kinds]

    def numbers(self, step: int) -> list[float]:
        """The weight of the new squares, and the largest rate, at a step."""
        return [(step + 1) ** self.beta2_decay, (step + 1) ** -0.5]

    def update(
        self, values: torch.Tensor, gradient: torch.Tensor, lr: torch.Tensor, numbers: torch.Tensor
    ) -> None:
        """Move values [S, P] in place."""
        weight, largest = numbers[0], numbers[1]
        rate = torch.minimum(lr, largest)
        stops = lr == 0  # a frozen run's size may be infinite, and 0 x inf is no number
        sizes = [
            values[:, span].norm(dim=1) / (span.stop - span.start) ** 0.5 for span in self.layout.spans
        ]
        self.layout.shrink(values, lr, self.decay)
        for span, grad, kept, size in zip(
            self.layout.spans, self.layout.views(gradient), self.places, sizes, strict=True
        ):
            if len(kept) == 2:
                row, column = kept
                row.lerp_(torch.mean(grad.square(), -1, keepdim=True), weight)
                column.lerp_(torch.mean(grad.square(), -2, keepdim=True), weight)
                guess = row * column / row.mean(-2, keepdim=True).clamp(min=self.eps1)
            else:
                guess = kept[0].lerp_(grad.square(), weight).clone()
            move = guess.clamp_(min=self.eps1**2).rsqrt_().mul_(grad).flatten(1)
            clip = (move.norm(dim=1) / (move.shape[1] ** 0.5 * self.d)).clamp(min=1.0)
            speed = (size.clamp(min=self.eps2) * rate / clip).masked_fill(stops, 0.0)
            values[:, span].sub_(move.mul_(speed[:, None]))


RULES: dict[str, type[AdamW] | type[SGD] | type[Lion] | type[Adafactor]] = {
    "adamw": AdamW,
    "sgd": SGD,
    "lion": Lion,
    "adafactor": Adafactor,
}
