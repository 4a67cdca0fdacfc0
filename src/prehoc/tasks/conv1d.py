"""GPT-2's `Conv1D` as the linear layer that it is."""

from __future__ import annotations

from typing import Any

from torch import nn


def is_linear(module: Any) -> bool:
    """Whether a module is x W^T + b: torch's Linear, or transformers' Conv1D, its weight the other way."""
    from transformers.pytorch_utils import Conv1D

    return isinstance(module, nn.Linear | Conv1D)


def as_linear(module: Any) -> nn.Linear:
    """A linear layer of the same weights (a Conv1D's in rows of outputs), frozen as they are."""
    if isinstance(module, nn.Linear):
        return module
    inputs, outputs = module.weight.shape
    made = nn.Linear(inputs, outputs, device="meta")
    made.weight = nn.Parameter(module.weight.detach().t().contiguous(), requires_grad=False)
    made.bias = nn.Parameter(module.bias.detach(), requires_grad=False)
    return made
