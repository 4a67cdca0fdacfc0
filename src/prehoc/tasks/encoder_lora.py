"""LoRA on a BERT-like encoder, many runs at once, above activations that are computed once.

Text classification: adapters on linear modules of all layers or the top ones, pooled states, and a
linear head. Only real tokens are computed (see `ragged`), and of the last layer only what the head reads.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from prehoc.tasks.adapters import adapter_parameters
from prehoc.tasks.encode import Encoding
from prehoc.tasks.encoder import Adapters, Encoder, adapted_modules
from prehoc.tasks.heads import Classifier, apply_head, head_parameters, training_loss
from prehoc.tasks.machine import CPU, Machine, stays
from prehoc.tasks.problem import DropoutKey, Parameter, Theta, dropout
from prehoc.tasks.ragged import Layout, layout

TOKENS = 6144  # tokens of one run that are evaluated at a time: their states stay in a CPU's cache


class EncoderLora(Classifier):
    """Adapters a run on an encoder's upper layers, over cached states of each token [tokens, H]."""

    def __init__(self, encoding: Encoding, config: dict[str, Any], machine: Machine = CPU) -> None:
        method, meta, tensors = config["method"], encoding.meta, encoding.tensors
        super().__init__(encoding, machine)
        self.states, self.qkv = tensors["states"], tensors.get("qkv")
        self.starts, self.lengths = tensors["starts"].numpy(), tensors["lengths"].numpy()
        plain = {k: v for k, v in tensors.items() if k.startswith("layer.")}
        self.encoder = Encoder(plain, meta, machine)
        self.read_first = method["pooling"] == "cls"
        self.rate, self.lora_rate = float(method["dropout"]), float(method["lora_dropout"])
        self.scale = method["alpha"] / method["rank"]
        self.step = 1  # of lengths that go together: no padding
        self.static_shapes = False  # a step's layout is made on the host: it cannot be recorded
        hidden, inner = (
            int(meta["hidden"]),
            plain[f"layer.{meta['layer']}.intermediate.dense.weight"].shape[0],
        )
        wide = {"intermediate.dense": (hidden, inner), "output.dense": (inner, hidden)}
        settings = {"num_hidden_layers": meta["depth"]}
        self.parameters: list[Parameter] = []
        for name in adapted_modules(settings, meta["layer"], method["targets"]):
            module = name.split(".", 3)[3]
            self.parameters += adapter_parameters(name, *wide.get(module, (hidden, hidden)), method["rank"])
        self.parameters += head_parameters(hidden, self.classes)
        self.states = stays(self.states, machine)
        self.qkv = stays(self.qkv, machine) if self.qkv is not None else None

    def _layout(self, examples: np.ndarray) -> Layout:
        return layout(self.starts, self.lengths, examples, self.step, self.machine.device)

    def _gather(self, where: Layout) -> tuple[torch.Tensor, torch.Tensor | None]:
        def take(kept: torch.Tensor) -> torch.Tensor:
            found = kept.index_select(0, where.source.to(kept.device))
            return found.to(self.machine.device)

        return take(self.states), take(self.qkv) if self.qkv is not None else None

    def _pooled(
        self,
        theta: Theta,
        where: Layout,
        given: tuple[torch.Tensor, torch.Tensor | None],
        key: DropoutKey | None,
    ) -> torch.Tensor:
        """Pooled states [S, B, H] in fp32."""
        adapters = Adapters(theta, self.scale, self.lora_rate, key)
        states = self.encoder.run(*given, adapters, where, self.read_first).float()
        if not self.read_first:
            real = states.new_ones(len(states)) if where.real is None else where.real.to(states.dtype)
            count = len(where.first)
            summed = states.new_zeros(count, states.shape[1]).index_add(
                0, where.sequence_of_row, states * real[:, None]
            )
            states = summed / real.new_zeros(count).index_add(0, where.sequence_of_row, real)[:, None]
        return states.view(where.runs, -1, states.shape[1])

    def losses(
        self, theta: Theta, rows: torch.Tensor, labels: torch.Tensor | None, key: DropoutKey
    ) -> torch.Tensor:
        """Training losses [S, B]."""
        first, _ = self.encoding.rows("train")
        assert labels is not None
        where = self._layout(first + rows.cpu().numpy())
        pooled = dropout(self._pooled(theta, where, self._gather(where), key), self.rate, key, 0)
        return training_loss(apply_head(theta, pooled), labels)

    def logits(self, theta: Theta, split: str) -> torch.Tensor:
        """Logits [S, n, C] of a split: texts of similar length together, run by run.

        What is frozen is gathered once for all runs. Before the first step every B is zero, so adapters add
        exact zeros and one run's states are everyone's: they are computed once.
        """
        untouched = not any(bool(v.any()) for k, v in theta.items() if k.endswith(".B"))
        first, end = self.encoding.rows(split)
        runs = theta["head.bias"].shape[0]
        order = np.argsort(self.lengths[first:end], kind="stable")
        ends = np.cumsum(self.lengths[first:end][order])
        parts = np.split(order, np.searchsorted(ends, np.arange(TOKENS, ends[-1], TOKENS)))
        logits = torch.empty(runs, end - first, self.classes, device=self.machine.device)
        for part in parts:
            where = self._layout(first + part[None])
            states, qkv = self._gather(where)
            for s in range(runs):
                own = {k: v[s : s + 1] for k, v in theta.items()}
                if s == 0 or not untouched:
                    given = (states, qkv.clone() if qkv is not None else None)
                    pooled = self._pooled(own, where, given, None)
                logits[s, part] = apply_head(own, pooled)[0]
        return logits
