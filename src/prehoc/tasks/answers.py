"""The loss of a frozen output layer over a large vocabulary, without keeping its logits.

Logits of a few thousand positions times 50,000 tokens are most of a step's memory, and passing over
them again and again most of its time once few layers train. Here they are made in pieces that stay
near the processor; the gradient of the hidden states is taken while a piece is there.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.autograd.function import once_differentiable

PIECE = 1 << 24  # logits held at a time: 64 MB in fp32
IGNORED = -100


class AnswerNats(torch.autograd.Function):
    """-log softmax(W h + b)[answer] for each position; 0 where there is no answer."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        answers: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Nats [n], fp32, and whether the answer is the most likely token [n], of hidden [n, H]."""
        grows = ctx.needs_input_grad[0]
        nats = torch.empty(len(hidden), device=hidden.device)
        right = torch.empty(len(hidden), dtype=torch.bool, device=hidden.device)
        slopes = torch.empty_like(hidden) if grows else hidden.new_empty(0)
        size = max(1, PIECE // len(weight))
        for first in range(0, len(hidden), size):
            part = slice(first, first + size)
            wanted = answers[part].clamp(min=0)[:, None]
            logits = torch.mm(hidden[part], weight.t())
            if bias is not None:
                logits += bias
            top, best = logits.max(1, keepdim=True)
            right[part] = (best == wanted)[:, 0]
            own = logits.gather(1, wanted).float()
            share = logits.float().sub_(top.float()).exp_()
            total = share.sum(1, keepdim=True)
            nats[part] = (total.log() + top.float() - own)[:, 0]
            if grows:
                share /= total
                share.scatter_add_(1, wanted, share.new_full(wanted.shape, -1.0))
                slopes[part] = torch.mm(share.to(weight.dtype), weight)
        absent = answers == IGNORED
        nats.masked_fill_(absent, 0.0)
        ctx.save_for_backward(slopes, absent)
        ctx.mark_non_differentiable(right)
        return nats, right | absent

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, given: torch.Tensor, _: Any) -> tuple[torch.Tensor | None, ...]:
        """Gradient of the hidden states."""
        slopes, absent = ctx.saved_tensors
        scale = given.masked_fill(absent, 0.0)[:, None]
        return (slopes.float() * scale).to(slopes.dtype), None, None, None


def answer_nats(
    hidden: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, answers: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Nats [n, K] and correctness [n, K] of answers [n, K] (-100: none) given hidden states [n, K, H].

    An absent answer costs 0 nats and is right. The frozen weight [V, H] gets no gradient.
    """
    nats, right = AnswerNats.apply(hidden.flatten(0, 1), weight, bias, answers.flatten())
    return nats.view_as(answers), right.view_as(answers)
