"""Parts of a transformer layer for many runs at once, on rows of tokens, with all weights frozen.

Gradients are written out by hand where that saves work: no gradient for frozen weights, attention by
groups of equal length, what lies above it in blocks of rows that stay in the processor's cache.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from prehoc.tasks.products import Linear
from prehoc.tasks.ragged import Group

BLOCK = 512  # rows that pass through a layer's upper part at a time


class Attention(torch.autograd.Function):
    """Softmax attention of rows [N, 3H] (query, key, value) to rows [N, H], group by group."""

    @staticmethod
    def forward(
        ctx: Any, qkv: torch.Tensor, groups: list[Group], heads: int, key_moves: bool
    ) -> torch.Tensor:
        """Context rows [N, H] (Vaswani et al. 2017, eq. 1, a head at a time).

        Where no key is to learn (not `key_moves`), its gradient is left out: it comes back as zero.
        """
        count, wide = qkv.shape
        width = wide // (3 * heads)
        context = qkv.new_empty(count, wide // 3)
        kept = []
        for group in groups:
            n, length = group.rows.shape
            parts = qkv.view(-1, width).index_select(0, group.parts(3, heads)).float()
            query, key, value = parts.view(3, n * heads, length, width)
            scores = torch.bmm(query, key.transpose(1, 2)).mul_(1 / math.sqrt(width))
            share = spread(scores, group.mask, n)
            mixed = torch.bmm(share, value)
            flat = mixed.view(-1, width).to(context.dtype)
            context.view(-1, width).index_copy_(0, group.parts(1, heads), flat)
            kept += [parts, share]
        ctx.save_for_backward(*kept)
        ctx.rest = (groups, heads, qkv.shape, key_moves)
        return context

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> Any:
        """The gradient of the rows [N, 3H]."""
        groups, heads, shape, key_moves = ctx.rest
        width = shape[1] // (3 * heads)
        grad = grads[0].contiguous().view(-1, width)
        d_qkv = grad.new_empty(shape) if key_moves else grad.new_zeros(shape)
        for i, group in enumerate(groups):
            parts, share = ctx.saved_tensors[2 * i : 2 * i + 2]
            n, length = group.rows.shape
            query, key, value = parts.view(3, n * heads, length, width)
            d_mixed = grad.index_select(0, group.parts(1, heads)).float().view(n * heads, length, width)
            d_parts = torch.empty_like(parts).view(3, n * heads, length, width)
            torch.bmm(share.transpose(1, 2), d_mixed, out=d_parts[2])
            d_scores = spread_backward(torch.bmm(d_mixed, value.transpose(1, 2)), share)
            d_scores.mul_(1 / math.sqrt(width))
            torch.bmm(d_scores, key, out=d_parts[0])
            if key_moves:
                torch.bmm(d_scores.transpose(1, 2), query, out=d_parts[1])
            flat = d_parts.view(3, -1, width).to(d_qkv.dtype)
            places = group.parts(3, heads).view(3, -1)
            for part in (0, 1, 2) if key_moves else (0, 2):
                d_qkv.view(-1, width).index_copy_(0, places[part], flat[part])
        return d_qkv, None, None, None


def spread(scores: torch.Tensor, mask: torch.Tensor | None, sequences: int) -> torch.Tensor:
    """Softmax of scores [n*heads, q, length] under a group's mask, in fp32 whatever comes in."""
    if mask is not None:
        by_sequence = scores.view(sequences, -1, *scores.shape[1:])
        scores = (by_sequence + mask[:, None].to(scores.dtype)).view_as(scores)
    return torch.softmax(scores, -1, dtype=torch.float32).to(scores.dtype)


def spread_backward(grad: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    """The gradient of scores from that of their softmax `share`, both [n, q, length]."""
    return torch._softmax_backward_data(grad, share, -1, share.dtype)


class Read(torch.autograd.Function):
    """What one probe a head reads of its sequence: softmax(probe . x) x, with rows [N, W] as key and value.

    probe [n, heads, W], scaled already, one a sequence; the result has its shape.
    """

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, probe: torch.Tensor, groups: list[Group]) -> torch.Tensor:
        """Attention-weighted rows [n, heads, W]."""
        mixed = torch.empty_like(probe)
        kept = []
        for group in groups:
            n, length = group.rows.shape
            rows = x.index_select(0, group.rows.flatten()).view(n, length, -1)
            asked = probe.index_select(0, group.sequences)
            share = spread(torch.bmm(asked, rows.transpose(1, 2)), group.mask, n)
            mixed.index_copy_(0, group.sequences, torch.bmm(share, rows))
            kept.append(share)
        ctx.save_for_backward(x, probe, *kept)
        ctx.groups = groups
        return mixed

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> Any:
        """Gradients of x (if it is wanted) and of the probes."""
        x, probe, *kept = ctx.saved_tensors
        d_probe = torch.empty_like(probe)
        d_x = torch.empty_like(x) if ctx.needs_input_grad[0] else None
        for group, share in zip(ctx.groups, kept, strict=True):
            n, length = group.rows.shape
            index = group.rows.flatten()
            rows = x.index_select(0, index).view(n, length, -1)
            d_mixed = grads[0].index_select(0, group.sequences)
            d_scores = spread_backward(torch.bmm(d_mixed, rows.transpose(1, 2)), share)
            d_probe.index_copy_(0, group.sequences, torch.bmm(d_scores, rows))
            if d_x is not None:
                own = torch.bmm(share.transpose(1, 2), d_mixed)
                own.baddbmm_(d_scores.transpose(1, 2), probe.index_select(0, group.sequences))
                d_x.index_copy_(0, index, own.view(n * length, -1))
        return d_x, d_probe, None


def blocks(rows: int) -> list[slice]:
    """Even stretches of at most BLOCK rows: never a few rows, for which other kernels would be chosen."""
    count = -(-rows // BLOCK)
    return [slice(rows * i // count, rows * (i + 1) // count) for i in range(count)]


Pair = tuple[torch.Tensor, torch.Tensor]


class Through(torch.autograd.Function):
    """x W^T + b through a frozen linear layer: no gradient for its weights."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, linear: Linear) -> torch.Tensor:
        """Rows [N, out] of rows [N, in]."""
        ctx.linear = linear
        return linear.forth(x)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> Any:
        """The gradient of x."""
        return ctx.linear.back(grads[0].contiguous()) if ctx.needs_input_grad[0] else None, None


@dataclass(frozen=True)
class Frozen:
    """A layer's frozen weights above its attention, and what goes between them; norms as (weight, bias)."""

    attended: Linear
    attended_norm: Pair
    inner: Linear
    outer: Linear
    norm: Pair
    eps: float
    activation: Callable[[torch.Tensor], torch.Tensor]


class Above(torch.autograd.Function):
    """A layer above its attention, all of it frozen: a block of rows at a time passes through every step.

    With c the context and x the layer's input: y = norm(x + W_o c), then norm(y + W_2 act(W_1 y)).
    """

    @staticmethod
    def forward(ctx: Any, context: torch.Tensor, x: torch.Tensor, frozen: Frozen) -> torch.Tensor:
        """Outputs [N, H] of rows [N, H]."""
        shape = (x.shape[1],)
        outputs = torch.empty_like(x)
        kept: list[torch.Tensor] = []
        for rows in blocks(len(x)):
            first = frozen.attended.forth(context[rows]).add_(x[rows])
            y, *low = torch.native_layer_norm(first, shape, *frozen.attended_norm, frozen.eps)
            inner = frozen.inner.forth(y)
            second = frozen.outer.forth(frozen.activation(inner)).add_(y)
            made, *high = torch.native_layer_norm(second, shape, *frozen.norm, frozen.eps)
            outputs[rows] = made
            kept += [first, *low, inner, second, *high]
        ctx.save_for_backward(*kept)
        ctx.frozen = frozen
        return outputs

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> Any:
        """Gradients of the context and of x."""
        kept, frozen = ctx.saved_tensors, ctx.frozen
        grad = grads[0].contiguous()
        shape, only = (grad.shape[1],), [True, False, False]
        d_context, d_x = torch.empty_like(grad), torch.empty_like(grad)
        back = torch.ops.aten.native_layer_norm_backward
        for i, rows in enumerate(blocks(len(grad))):
            first, mean, scale, inner, second, *high = kept[7 * i : 7 * i + 7]
            d_second = back(grad[rows], second, shape, *high, *frozen.norm, only)[0]
            d_inner = slope(frozen.activation, inner, frozen.outer.back(d_second))
            d_y = frozen.inner.back(d_inner).add_(d_second)
            d_first = back(d_y, first, shape, mean, scale, *frozen.attended_norm, only)[0]
            d_context[rows] = frozen.attended.back(d_first)
            d_x[rows] = d_first
        return d_context, d_x if ctx.needs_input_grad[1] else None, None


def slope(
    activation: Callable[[torch.Tensor], torch.Tensor], inner: torch.Tensor, grad: torch.Tensor
) -> torch.Tensor:
    """The gradient of `inner` from that of activation(inner)."""
    if activation is F.gelu:
        return torch.ops.aten.gelu_backward(grad, inner)
    if activation is F.relu:
        return grad.mul_(inner > 0)
    with torch.enable_grad():
        leaf = inner.detach().requires_grad_()
        (made,) = torch.autograd.grad(activation(leaf), leaf, grad)
    return made
