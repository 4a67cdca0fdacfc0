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
            else:
                d_parts[1].zero_()
            flat = d_parts.view(-1, width).to(d_qkv.dtype)
            d_qkv.view(-1, width).index_copy_(0, group.parts(3, heads), flat)
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


@dataclass(frozen=True)
class Frozen:
    """A layer's frozen weights above its attention, each (weight, bias), and what goes between them."""

    attended: Pair
    attended_norm: Pair
    inner: Pair
    outer: Pair
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
        first, second, outputs = (torch.empty_like(x) for _ in range(3))  # what enters each norm
        inner = x.new_empty(len(x), len(frozen.inner[0]))
        moments = []
        for rows in blocks(len(x)):
            torch.addmm(frozen.attended[1], context[rows], frozen.attended[0].t(), out=first[rows])
            first[rows] += x[rows]
            y, mean, scale = torch.native_layer_norm(first[rows], shape, *frozen.attended_norm, frozen.eps)
            torch.addmm(frozen.inner[1], y, frozen.inner[0].t(), out=inner[rows])
            act = frozen.activation(inner[rows])
            torch.addmm(frozen.outer[1], act, frozen.outer[0].t(), out=second[rows])
            second[rows] += y
            made = torch.native_layer_norm(second[rows], shape, *frozen.norm, frozen.eps)
            outputs[rows] = made[0]
            moments += [mean, scale, made[1], made[2]]
        ctx.save_for_backward(first, inner, second, *moments)
        ctx.frozen = frozen
        return outputs

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> Any:
        """Gradients of the context and of x."""
        first, inner, second, *moments = ctx.saved_tensors
        frozen = ctx.frozen
        grad = grads[0].contiguous()
        shape, only = (grad.shape[1],), [True, False, False]
        d_context, d_x = torch.empty_like(grad), torch.empty_like(grad)
        back = torch.ops.aten.native_layer_norm_backward
        for i, rows in enumerate(blocks(len(grad))):
            low, high = moments[4 * i : 4 * i + 2], moments[4 * i + 2 : 4 * i + 4]
            d_second = back(grad[rows], second[rows], shape, *high, *frozen.norm, only)[0]
            d_inner = slope(frozen.activation, inner[rows], torch.mm(d_second, frozen.outer[0]))
            d_y = torch.addmm(d_second, d_inner, frozen.inner[0])
            d_first = back(d_y, first[rows], shape, *low, *frozen.attended_norm, only)[0]
            torch.mm(d_first, frozen.attended[0], out=d_context[rows])
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
