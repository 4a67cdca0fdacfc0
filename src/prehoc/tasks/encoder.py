"""The upper layers of a BERT-like encoder for many runs at once, on packed rows, with adapters a run.

Two things are rearranged, exactly. The lowest layer that trains gets its frozen query, key and value
from the cache. Where the head reads the first position, the last layer computes that position alone: with
q its query, scores are (W_k^T q) . x_l and the value sum is W_v sum_l p_l x_l, so that no key or value
vector is needed at any other position; the key's bias cancels in the softmax.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from prehoc.tasks.banked import Above, Attention, Frozen, Read, Through
from prehoc.tasks.low_rank import Down, Up
from prehoc.tasks.machine import Machine
from prehoc.tasks.problem import DropoutKey, Theta, dropout_rows, row_keys
from prehoc.tasks.products import linear
from prehoc.tasks.ragged import Layout

MODULES = (
    "attention.self.query",
    "attention.self.key",
    "attention.self.value",
    "attention.output.dense",
    "intermediate.dense",
    "output.dense",
)
ACTIVATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "gelu": F.gelu,
    "relu": F.relu,
    "silu": F.silu,
    "gelu_new": lambda x: F.gelu(x, approximate="tanh"),
    "gelu_pytorch_tanh": lambda x: F.gelu(x, approximate="tanh"),
}
FAMILY = ("bert", "roberta", "xlm-roberta", "camembert", "electra")


def known(settings: Mapping[str, Any]) -> bool:
    """Whether a model of these settings (its config.json) is one that this module computes."""
    return (
        settings.get("model_type") in FAMILY
        and settings.get("position_embedding_type", "absolute") == "absolute"
        and settings.get("hidden_act") in ACTIVATIONS
        and not settings.get("is_decoder")
        and not settings.get("add_cross_attention")
    )


def adapted_modules(settings: Mapping[str, Any], lowest: int, targets: list[str]) -> list[str]:
    """Full names of the linear modules from layer `lowest` on that `targets` name, by peft's suffix rule.

    Empty if some target names no linear module of a layer.
    """
    names = [
        f"encoder.layer.{i}.{m}" for i in range(lowest, settings["num_hidden_layers"]) for m in MODULES
    ]

    def hit(name: str, target: str) -> bool:
        return name == target or name.endswith(f".{target}")

    if not all(any(hit(n, t) for n in names) for t in targets):
        return []
    return [n for n in names if any(hit(n, t) for t in targets)]


@dataclass(frozen=True)
class Adapters:
    """The adapters of a step: values by name [S, ...], and what their dropout depends on."""

    theta: Theta
    scale: float
    rate: float = 0.0
    key: DropoutKey | None = None

    def has(self, name: str) -> bool:
        """Whether a module is adapted."""
        return f"{name}.A" in self.theta

    @property
    def drops(self) -> bool:
        """Whether the adapters' own dropout acts."""
        return self.rate > 0 and self.key is not None

    def down(self, name: str, x: torch.Tensor, where: Layout, offsets: list[int]) -> torch.Tensor:
        """Rows [N, r] of a module's input rows, after the adapter's own dropout."""
        return Down.apply(self._dropped(name, x, where), self.theta[f"{name}.A"].to(x.dtype), offsets)

    def _dropped(self, name: str, x: torch.Tensor, where: Layout) -> torch.Tensor:
        if self.key is None or not self.drops:
            return x
        layer, _, module = name.removeprefix("encoder.layer.").partition(".")
        site = 1 + int(layer) * len(MODULES) + MODULES.index(module)
        whole = len(x) == len(where.within)
        run = where.run_of_row if whole else where.run_of_row[where.first]
        row = where.within if whole else where.within[where.first]
        return dropout_rows(x, self.rate, row_keys(self.key, site, run, row))

    def add(
        self, outputs: torch.Tensor, names: list[str], x: torch.Tensor, where: Layout, offsets: list[int]
    ) -> torch.Tensor:
        """Outputs [N, out of all names] of modules side by side on rows x, plus the adapters' part."""
        wide = outputs.shape[1] // len(names)
        chosen = [(n, j * wide) for j, n in enumerate(names) if self.has(n)]
        if not chosen:
            return outputs
        if self.drops:
            low = torch.cat([self.down(n, x, where, offsets) for n, _ in chosen], 1)
        else:
            stack = torch.cat([self.theta[f"{n}.A"] for n, _ in chosen], 1).to(x.dtype)
            low = Down.apply(x, stack, offsets)
        ups = [self.theta[f"{n}.B"].to(x.dtype) for n, _ in chosen]
        made: torch.Tensor = Up.apply(outputs, low, offsets, self.scale, [c for _, c in chosen], *ups)
        return made


class Encoder:
    """Layers `lowest` to the last of an encoder; weights by name `layer.{i}.{module}.{weight|bias}`."""

    def __init__(
        self, weights: Mapping[str, torch.Tensor], meta: Mapping[str, Any], machine: Machine
    ) -> None:
        self.heads, self.eps = int(meta["attention_heads"]), float(meta["norm_eps"])
        self.activation = ACTIVATIONS[meta["activation"]]
        self.lowest, self.depth = int(meta["layer"]), int(meta["depth"])
        self.weights = {k: v.to(machine.device, machine.dtype) for k, v in weights.items()}
        for i in range(self.lowest, self.depth):
            for end in ("weight", "bias"):
                parts = [self.weights[f"layer.{i}.{m}.{end}"] for m in MODULES[:3]]
                self.weights[f"layer.{i}.qkv.{end}"] = torch.cat(parts)

        self.qkv = {i: linear(*self._pair(i, "qkv")) for i in range(self.lowest, self.depth)}
        norms = ("attention.output.LayerNorm", "output.LayerNorm")
        self.frozen = {
            i: Frozen(
                linear(*self._pair(i, MODULES[3])),
                self._pair(i, norms[0]),
                linear(*self._pair(i, MODULES[4])),
                linear(*self._pair(i, MODULES[5])),
                self._pair(i, norms[1]),
                self.eps,
                self.activation,
            )
            for i in range(self.lowest, self.depth)
        }

    def _pair(self, layer: int, module: str) -> tuple[torch.Tensor, torch.Tensor]:
        return (
            self.weights[f"layer.{layer}.{module}.weight"],
            self.weights[f"layer.{layer}.{module}.bias"],
        )

    def projections(self, x: torch.Tensor, layer: int) -> torch.Tensor:
        """The frozen query, key and value rows [N, 3H] of rows [N, H] that enter a layer."""
        made: torch.Tensor = Through.apply(x, self.qkv[layer])
        return made

    def _norm(self, x: torch.Tensor, layer: int, module: str) -> torch.Tensor:
        weight, bias = self._pair(layer, module)
        return F.layer_norm(x, weight.shape, weight, bias, self.eps)

    def run(
        self, x: torch.Tensor, qkv: torch.Tensor | None, adapters: Adapters, where: Layout, read_first: bool
    ) -> torch.Tensor:
        """Last states of rows x [N, H] that enter the lowest layer: all rows [N, H], or the first [n, H].

        `qkv` are the lowest layer's frozen projections, if cached; they are overwritten.
        """
        for layer in range(self.lowest, self.depth):
            if read_first and layer == self.depth - 1:
                return self._first(x, layer, adapters, where)
            x = self._layer(x, qkv if layer == self.lowest else None, layer, adapters, where)
        return x

    def _layer(
        self, x: torch.Tensor, qkv: torch.Tensor | None, layer: int, adapters: Adapters, where: Layout
    ) -> torch.Tensor:
        names = [f"encoder.layer.{layer}.{m}" for m in MODULES]
        qkv = self.projections(x, layer) if qkv is None else qkv
        qkv = adapters.add(qkv, names[:3], x, where, where.offsets)
        # Into the lowest layer's frozen input no gradient flows: of its key only an adapter's counts.
        key_moves = layer > self.lowest or adapters.has(names[1])
        context = Attention.apply(qkv, where.groups, self.heads, key_moves)
        return self._above(context, x, layer, adapters, where, where.offsets)

    def _above(
        self,
        context: torch.Tensor,
        x: torch.Tensor,
        layer: int,
        adapters: Adapters,
        where: Layout,
        offsets: list[int],
    ) -> torch.Tensor:
        """A layer's part above its attention, on rows of any kind."""
        names = [f"encoder.layer.{layer}.{m}" for m in MODULES]
        if not any(adapters.has(n) for n in names[3:]):
            made: torch.Tensor = Above.apply(context, x, self.frozen[layer])
            return made
        mixed = F.linear(context, *self._pair(layer, MODULES[3]))
        mixed = adapters.add(mixed, names[3:4], context, where, offsets)
        attended = self._norm(mixed.add_(x), layer, "attention.output.LayerNorm")
        inner = F.linear(attended, *self._pair(layer, MODULES[4]))
        inner = self.activation(adapters.add(inner, names[4:5], attended, where, offsets))
        outer = F.linear(inner, *self._pair(layer, MODULES[5]))
        outer = adapters.add(outer, names[5:6], inner, where, offsets)
        return self._norm(outer.add_(attended), layer, "output.LayerNorm")

    def _first(self, x: torch.Tensor, layer: int, adapters: Adapters, where: Layout) -> torch.Tensor:
        """The last layer at each sequence's first position: [n, H]."""
        query_name, key_name, value_name = (f"encoder.layer.{layer}.{m}" for m in MODULES[:3])
        count, hidden, runs = len(where.first), x.shape[1], where.runs
        width, batch = hidden // self.heads, count // runs
        offsets = [batch * s for s in range(runs + 1)]
        first = x.index_select(0, where.first)
        query = F.linear(first, *self._pair(layer, MODULES[0]))
        query = adapters.add(query, [query_name], first, where, offsets) / math.sqrt(width)
        key = self._pair(layer, MODULES[1])[0].view(self.heads, width, hidden)
        by_head = query.view(count, self.heads, width).transpose(0, 1)
        probe = torch.bmm(by_head, key).transpose(0, 1)  # [n, heads, H]
        rows, lows = [x], [probe]
        by_run = query.view(runs, batch, self.heads, width).transpose(1, 2)  # [S, heads, B, width]
        if adapters.has(key_name):
            up = adapters.theta[f"{key_name}.B"].to(x.dtype).unflatten(1, (self.heads, width))
            low = torch.matmul(by_run, up).transpose(1, 2) * adapters.scale  # [S, B, heads, r]
            if adapters.drops:
                rows.append(adapters.down(key_name, x, where, where.offsets))
                lows.append(low.reshape(count, self.heads, -1))
            else:
                down = adapters.theta[f"{key_name}.A"].to(x.dtype)
                extra = torch.bmm(low.reshape(runs, batch * self.heads, -1), down)
                lows[0] = probe + extra.view_as(probe)
        if adapters.has(value_name) and adapters.drops:
            rows.append(adapters.down(value_name, x, where, where.offsets))
            lows.append(rows[-1].new_zeros(count, self.heads, rows[-1].shape[1]))
        keys, probes = (part[0] if len(part) == 1 else torch.cat(part, -1) for part in (rows, lows))
        mixed = Read.apply(keys, probes.contiguous(), where.groups)
        value, bias = self._pair(layer, MODULES[2])
        columns = mixed[:, :, :hidden].transpose(0, 1)
        context = torch.bmm(columns, value.view(self.heads, width, hidden).transpose(1, 2))
        context = context.transpose(0, 1).reshape(count, hidden) + bias
        if adapters.has(value_name):
            up = adapters.theta[f"{value_name}.B"].to(x.dtype).unflatten(1, (self.heads, width))
            if adapters.drops:
                low = mixed[:, :, -up.shape[3] :]
            else:  # the mean of rows brought down is their mean, brought down
                down = adapters.theta[f"{value_name}.A"].to(x.dtype)
                low = torch.bmm(mixed.view(runs, batch * self.heads, hidden), down.transpose(1, 2))
            by_run = low.reshape(runs, batch, self.heads, -1).transpose(1, 2)
            extra = torch.matmul(by_run, up.transpose(2, 3)).transpose(1, 2)  # [S, B, heads, width]
            context = context + adapters.scale * extra.reshape(count, hidden)
        return self._above(context, first, layer, adapters, where, offsets)
