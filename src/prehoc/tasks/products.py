"""Products with frozen weights, forth and back, by the library that is fastest on the machine.

torch's own matrix products in fp32 are MKL's, which holds back on processors of other makers; oneDNN, which
torch brings along, is some 8 % faster there. Either way a row's bits do not depend on the other rows.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

import torch


@functools.cache
def _by_onednn() -> bool:
    """Whether oneDNN computes products in fp32: on AMD's processors, where torch has it."""
    if not torch.backends.mkldnn.is_available() or not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return False
    try:
        return "AuthenticAMD" in Path("/proc/cpuinfo").read_text()
    except OSError:
        return False


@dataclass(frozen=True)
class Linear:
    """A frozen layer: weight [out, in], bias [out]; the weight turned [in, out] where oneDNN reads it."""

    weight: torch.Tensor
    bias: torch.Tensor
    turned: torch.Tensor | None

    def forth(self, x: torch.Tensor) -> torch.Tensor:
        """X W^T + b: [N, out] of rows [N, in]."""
        if self.turned is None:
            return torch.addmm(self.bias, x, self.weight.t())
        return _onednn(x, self.weight, self.bias)

    def back(self, grad: torch.Tensor) -> torch.Tensor:
        """The gradient [N, in] of x from that of the outputs [N, out]."""
        return torch.mm(grad, self.weight) if self.turned is None else _onednn(grad, self.turned, None)


def linear(weight: torch.Tensor, bias: torch.Tensor) -> Linear:
    """A frozen layer on the machine where its weight lies."""
    fits = weight.device.type == "cpu" and weight.dtype == torch.float32 and _by_onednn()
    return Linear(weight, bias, weight.t().contiguous() if fits else None)


def _onednn(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    made: torch.Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return made
