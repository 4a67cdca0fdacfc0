"""Adapters of many runs on rows of tokens: each run's rows through its low-rank pair (Hu et al. 2021)."""

from __future__ import annotations

import itertools
from typing import Any

import torch

Offsets = list[int]


def batched(x: torch.Tensor, offsets: Offsets) -> bool:
    """Whether the runs' rows go through one batched product: on a GPU, where each has as many.

    On a CPU a product a run is as fast, and its bits are the run's own.
    """
    return x.device.type != "cpu" and len({b - a for a, b in itertools.pairwise(offsets)}) == 1


class Down(torch.autograd.Function):
    """x A_s^T, run by run: [N, r] of rows [N, in] and A [S, r, in]; run s has rows offsets[s:s + 2]."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, down: torch.Tensor, offsets: Offsets) -> torch.Tensor:
        """The rows brought down to the adapters' rank."""
        ctx.save_for_backward(x, down)
        ctx.offsets = offsets
        if batched(x, offsets):
            return torch.bmm(x.unflatten(0, (len(down), -1)), down.transpose(1, 2)).flatten(0, 1)
        low = x.new_empty(len(x), down.shape[1])
        for s in range(len(down)):
            rows = slice(offsets[s], offsets[s + 1])
            torch.mm(x[rows], down[s].t(), out=low[rows])
        return low

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> Any:
        """Gradients of x (if it is wanted) and A."""
        grad, offsets = grads[0].contiguous(), ctx.offsets
        x, down = ctx.saved_tensors
        if batched(x, offsets):
            by_run = grad.unflatten(0, (len(down), -1))
            d_x = torch.bmm(by_run, down).flatten(0, 1) if ctx.needs_input_grad[0] else None
            return d_x, torch.bmm(by_run.transpose(1, 2), x.unflatten(0, (len(down), -1))), None
        d_x = torch.empty_like(x) if ctx.needs_input_grad[0] else None
        d_down = torch.empty_like(down)
        for s in range(len(down)):
            rows = slice(offsets[s], offsets[s + 1])
            torch.mm(grad[rows].t(), x[rows], out=d_down[s])
            if d_x is not None:
                torch.mm(grad[rows], down[s], out=d_x[rows])
        return d_x, d_down, None


class Up(torch.autograd.Function):
    """outputs[:, columns of target j] += scale * low_j B_j^T in place, run by run (Hu et al. 2021).

    low [N, t*r], the targets side by side; B_j [S, width_j, r]; target j's columns begin at columns[j].
    """

    @staticmethod
    def forward(
        ctx: Any,
        outputs: torch.Tensor,
        low: torch.Tensor,
        offsets: Offsets,
        scale: float,
        columns: list[int],
        *ups: torch.Tensor,
    ) -> torch.Tensor:
        """The outputs [N, out] with the adapters' part added."""
        rank, runs = ups[0].shape[2], len(ups[0])
        if batched(outputs, offsets):
            for j, up in enumerate(ups):
                part = outputs.unflatten(0, (runs, -1))[..., columns[j] : columns[j] + up.shape[1]]
                own = low.unflatten(0, (runs, -1))[..., j * rank : (j + 1) * rank]
                part.add_(torch.bmm(own, up.transpose(1, 2)), alpha=scale)
            runs = 0
        for s in range(runs):
            rows = slice(offsets[s], offsets[s + 1])
            for j, up in enumerate(ups):
                part = outputs[rows, columns[j] : columns[j] + up.shape[1]]
                part.addmm_(low[rows, j * rank : (j + 1) * rank], up[s].t(), alpha=scale)
        ctx.mark_dirty(outputs)
        ctx.save_for_backward(low, *ups)
        ctx.rest = (offsets, scale, columns)
        return outputs

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> Any:
        """Gradients of the outputs (passed on), low and every B."""
        grad = grads[0]
        low, *ups = ctx.saved_tensors
        offsets, scale, columns = ctx.rest
        rank = ups[0].shape[2]
        d_low = torch.empty_like(low)
        # These orders are the fast ones on a CPU: the narrow side comes out of a transposed view.
        flat = [up.transpose(1, 2).contiguous() for up in ups]
        d_ups = [torch.empty_like(up) for up in flat]
        runs = len(ups[0])
        if batched(grad, offsets):
            for j, up in enumerate(ups):
                part = grad.unflatten(0, (runs, -1))[..., columns[j] : columns[j] + up.shape[1]]
                span = slice(j * rank, (j + 1) * rank)
                d_ups[j] = torch.bmm(low.unflatten(0, (runs, -1))[..., span].transpose(1, 2), part)
                d_low[:, span] = torch.bmm(part, up).flatten(0, 1)
            runs = 0
        for s in range(runs):
            rows = slice(offsets[s], offsets[s + 1])
            for j, up in enumerate(flat):
                part = grad[rows, columns[j] : columns[j] + up.shape[2]]
                span = slice(j * rank, (j + 1) * rank)
                torch.mm(low[rows, span].t(), part, out=d_ups[j][s])
                torch.mm(part, up[s].t(), out=d_low[rows, span])
        for made in (d_low, *d_ups):
            made.mul_(scale)
        return (grad, d_low, None, None, None, *[made.transpose(1, 2) for made in d_ups])
