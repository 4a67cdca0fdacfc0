"""LoRA on the query and value of an encoder's last layer, read at the first position, with a head.

Only one position of the last layer is read, so only that one is computed. Its attention needs no key
or value vectors: with q the query of the first position, scores are (W_k^T q) . x_l, and the value
sum is W_v applied to sum_l p_l x_l. Both are exact rearrangements; the key's bias cancels in the
softmax. A step then costs a hundredth of running the layer at all positions.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from transformers.activations import ACT2FN

from prehoc.tasks.encode import Encoding
from prehoc.tasks.heads import apply_head, cross_entropy, head_parameters, judge
from prehoc.tasks.problem import DropoutKey, Parameter, Theta, dropout, uniform, zeros

CHUNK = 32  # examples evaluated at a time


def lora_parameters(name: str, inputs: int, outputs: int, rank: int) -> list[Parameter]:
    """LoRA's A [r, in], uniform within 1/sqrt(in) as in peft, and B [out, r], zero."""
    return [
        Parameter(f"{name}.A", (rank, inputs), uniform((rank, inputs), 1 / math.sqrt(inputs))),
        Parameter(f"{name}.B", (outputs, rank), zeros((outputs, rank))),
    ]


class TopLayerProblem:
    """The last encoder layer over cached states [n, L, H], with adapters a run."""

    def __init__(self, encoding: Encoding, method: dict[str, Any]) -> None:
        self.encoding = encoding
        tensors = encoding.tensors
        self.states, self.mask = tensors["states"], tensors["mask"]
        self.layer = {k.removeprefix("layer."): v for k, v in tensors.items() if k.startswith("layer.")}
        self.heads = int(encoding.meta["attention_heads"])
        self.eps = float(encoding.meta["norm_eps"])
        self.activation = ACT2FN[encoding.meta["activation"]]
        self.classes = len(encoding.meta["classes"])
        self.rate = float(method["dropout"])
        self.targets = tuple(t for t in ("query", "value") if t in method["targets"])
        self.scale = method["alpha"] / method["rank"]
        first, end = encoding.rows("train")
        self.labels: torch.Tensor | None = tensors["labels"][first:end]
        hidden = self.states.shape[2]
        self.parameters = [
            p for t in self.targets for p in lora_parameters(t, hidden, hidden, method["rank"])
        ] + head_parameters(hidden, self.classes)

    def rows(self, split: str) -> int:
        """Number of examples in a split."""
        first, end = self.encoding.rows(split)
        return end - first

    def _dense(self, name: str, states: torch.Tensor) -> torch.Tensor:
        return F.linear(states, self.layer[f"{name}.weight"], self.layer[f"{name}.bias"])

    def _norm(self, name: str, states: torch.Tensor) -> torch.Tensor:
        weight, bias = self.layer[f"{name}.weight"], self.layer[f"{name}.bias"]
        return F.layer_norm(states, weight.shape, weight, bias, self.eps)

    @staticmethod
    def _attend(probe: torch.Tensor, states: torch.Tensor, mask: torch.Tensor, width: int) -> torch.Tensor:
        """Attention-weighted states [n, heads, H] of probes [n, heads, H] on states [n, L, H]."""
        scores = torch.bmm(probe, states.transpose(1, 2)) / math.sqrt(width)
        share = torch.softmax(scores.masked_fill(~mask[:, None], float("-inf")), -1)
        return torch.bmm(share, states)

    def _states(self, theta: Theta, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """First-position outputs [S, B, H] of states [S, B, L, H], or [B, L, H] shared by the runs."""
        shared = states.dim() == 3
        runs = theta["head.bias"].shape[0]
        batch, length, hidden = states.shape[-3:]
        heads, width = self.heads, states.shape[-1] // self.heads
        first = states[..., 0, :]
        query = self._dense("attention.self.query", first)
        if "query" in self.targets:
            low = torch.matmul(first, theta["query.A"].transpose(1, 2))
            query = query + self.scale * torch.bmm(low, theta["query.B"].transpose(1, 2))
        query = query.expand(runs, batch, hidden)
        key = self.layer["attention.self.key.weight"].view(heads, width, hidden)
        by_head = query.reshape(runs * batch, heads, width).transpose(0, 1)
        probe = torch.bmm(by_head, key).transpose(0, 1)  # [S B, heads, H]
        if shared:  # run by run, so that the states stay in the processor's cache
            parts = probe.view(runs, batch, heads, hidden)
            mixed = torch.stack([self._attend(part, states, mask, width) for part in parts])
        else:
            flat = states.reshape(-1, length, hidden)
            mixed = self._attend(probe, flat, mask.reshape(-1, length), width)
        mixed = mixed.view(runs, batch, heads, hidden)
        value = self.layer["attention.self.value.weight"].view(heads, width, hidden)
        columns = mixed.reshape(runs * batch, heads, hidden).transpose(0, 1)
        context = torch.bmm(columns, value.transpose(1, 2)).transpose(0, 1)
        context = context.reshape(runs, batch, hidden) + self.layer["attention.self.value.bias"]
        if "value" in self.targets:
            low = torch.bmm(
                mixed.reshape(runs, batch * heads, hidden), theta["value.A"].transpose(1, 2)
            ).view(runs, batch, heads, -1)
            up = theta["value.B"].view(runs, heads, width, -1)
            extra = torch.matmul(low.transpose(1, 2), up.transpose(2, 3))  # [S, heads, B, width]
            context = context + self.scale * extra.transpose(1, 2).reshape(runs, batch, hidden)
        attended = self._dense("attention.output.dense", context)
        attended = self._norm("attention.output.LayerNorm", attended + first)
        inner = self.activation(self._dense("intermediate.dense", attended))
        return self._norm("output.LayerNorm", self._dense("output.dense", inner) + attended)

    def losses(
        self, theta: Theta, rows: torch.Tensor, labels: torch.Tensor | None, key: DropoutKey
    ) -> torch.Tensor:
        """Training losses [S, B] in nats."""
        first, _ = self.encoding.rows("train")
        flat = first + rows.flatten()
        states = self.states[flat].view(*rows.shape, *self.states.shape[1:])
        mask = self.mask[flat].view(*rows.shape, -1)
        assert labels is not None
        outputs = dropout(self._states(theta, states, mask), self.rate, key, 0)
        return cross_entropy(apply_head(theta, outputs), labels)

    def evaluate(self, theta: Theta, split: str) -> tuple[torch.Tensor, torch.Tensor]:
        """Correctness and loss [S, n] of a split."""
        first, end = self.encoding.rows(split)
        logits = [
            apply_head(
                theta,
                self._states(
                    theta, self.states[a : min(a + CHUNK, end)], self.mask[a : min(a + CHUNK, end)]
                ),
            )
            for a in range(first, end, CHUNK)
        ]
        return judge(torch.cat(logits, 1), self.encoding.tensors["labels"][first:end])
