"""The output layer of a causal language model, taken out so that its logits are made piece by piece."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from prehoc.tasks.machine import Machine


def take_head(model: Any, inputs: Mapping[str, Any], machine: Machine) -> nn.Linear | None:
    """Take the output layer out of the model, which then gives the states that enter it.

    Whatever a model does to its logits afterwards must be none or a factor, which acts on the states
    as well: that is checked on `inputs`, keyword arguments of a few rows. None, and the model as it
    was, where it is more (soft capping), or where the output layer has an adapter.
    """
    head = model.get_output_embeddings()
    name = next((n for n, m in model.named_modules() if m is head), "")
    if not isinstance(head, nn.Linear) or not name:
        return None
    parent, _, leaf = name.rpartition(".")
    with torch.no_grad():
        whole = model(**inputs).logits
        setattr(model.get_submodule(parent), leaf, nn.Identity())
        apart = head(model(**inputs).logits)
    off, scale = (whole - apart).abs().max(), whole.abs().max()
    if off <= (1e-5 if machine.precision == "fp32" else 0.02) * scale:
        return head
    setattr(model.get_submodule(parent), leaf, head)
    return None
