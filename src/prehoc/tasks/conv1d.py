"""GPT-2's `Conv1D` as the linear layer that it is, so that a bank of adapters takes it."""

from __future__ import annotations

from typing import Any

from torch import nn


def linearise(model: Any) -> None:
    """Put a frozen Linear of the same weights in each Conv1D's place, whose weight lies the other way."""
    from transformers.pytorch_utils import Conv1D

    for name, module in list(model.named_modules()):
        if isinstance(module, Conv1D):
            parent, _, leaf = name.rpartition(".")
            setattr(model.get_submodule(parent), leaf, _linear(module))


def _linear(module: Any) -> nn.Linear:
    inputs, outputs = module.weight.shape
    made = nn.Linear(inputs, outputs, device="meta")
    made.weight = nn.Parameter(module.weight.detach().t().contiguous(), requires_grad=False)
    made.bias = nn.Parameter(module.bias.detach(), requires_grad=False)
    return made
