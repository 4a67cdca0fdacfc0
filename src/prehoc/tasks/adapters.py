"""The trained tensors of one LoRA adapter."""

from __future__ import annotations

import math

from prehoc.tasks.problem import Parameter, uniform, zeros


def lora_parameters(name: str, inputs: int, outputs: int, rank: int) -> list[Parameter]:
    """LoRA's A [r, in], uniform within 1/sqrt(in) as in peft, and B [out, r], zero."""
    return [
        Parameter(f"{name}.A", (rank, inputs), uniform((rank, inputs), 1 / math.sqrt(inputs))),
        Parameter(f"{name}.B", (outputs, rank), zeros((outputs, rank))),
    ]
