"""Full fine-tuning of an encoder on labelled texts: every run has weights of its own, and a linear head.

Runs of a bank are computed one after another, so that a run's numbers never depend on its company;
a bank saves the reading of texts, not time. Memory and checkpoints hold S whole models with their optimiser
state: for BERT-base 1.3 GB a run and depth with AdamW.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.func import functional_call

from prehoc.errors import InputError
from prehoc.tasks import models
from prehoc.tasks.encode import Encoding, pool
from prehoc.tasks.frozen import chunks
from prehoc.tasks.heads import Classifier, apply_head, head_parameters, training_loss
from prehoc.tasks.lora import INPUTS, TOKENS, settle
from prehoc.tasks.machine import CPU, Machine, at_once
from prehoc.tasks.prefix import blocks, depth_of
from prehoc.tasks.problem import DropoutKey, Parameter, Theta, dropout


def _as_is(value: torch.Tensor) -> Callable[[np.random.Generator], np.ndarray]:
    """Initial law: the pre-trained values; nothing is drawn."""
    fixed = value.detach().float().cpu().numpy().copy()
    return lambda rng: fixed


def trained_names(model: Any, layers: str) -> list[str]:
    """Names of the parameters that train: all, or those of the K blocks nearest the output.

    Raises InputError if method.layers asks for more blocks than there are.
    """
    names = dict(model.named_parameters())
    if layers == "all":
        return list(names)
    wanted, depth = int(layers.removeprefix("top-")), depth_of(model)
    if wanted > depth:
        raise InputError(
            f"method.layers: {layers} asks for {wanted} layers, but {type(model).__name__} has {depth}; "
            f"write top-{depth} or all"
        )
    inside = {id(p) for block in blocks(model)[depth - wanted :] for p in block.parameters()}
    return [n for n, p in names.items() if id(p) in inside]


class FullClassification(Classifier):
    """An encoder whose weights train, pooled states, and a linear head.

    Its own dropout is off; `method.dropout` acts on the head's input. Texts are padded to the longest
    training text in training, and in evaluation to the longest of a group of like length.
    """

    static_shapes = False

    def __init__(self, encoding: Encoding, config: dict[str, Any], machine: Machine = CPU) -> None:
        super().__init__(encoding, machine)
        method, tensors = config["method"], encoding.tensors
        folder = models.model_folder(config["model"], Path(config["store"]))
        _, self.model = models.load_encoder(folder, config["model"]["revision"])
        settle(self.model, machine)
        taken = inspect.signature(self.model.forward).parameters
        self.tokens = {
            name: tensors[k].to(machine.device, torch.int64)
            for k, name in INPUTS.items()
            if k in tensors and (name in taken or name != "token_type_ids")
        }
        self.counts = tensors["mask"].sum(1)
        first, end = encoding.rows("train")
        self.length = int(self.counts[first:end].max())
        self.pooling, self.rate = method["pooling"], float(method["dropout"])
        weights = dict(self.model.named_parameters())
        self.names = trained_names(self.model, method["layers"])
        self.parameters: list[Parameter] = [
            Parameter(n, tuple(weights[n].shape), _as_is(weights[n]), decay=weights[n].dim() > 1)
            for n in self.names
        ]
        self.parameters += head_parameters(int(encoding.meta["hidden"]), self.classes)

    def _states(self, theta: Theta, rows: torch.Tensor, length: int) -> torch.Tensor:
        """Pooled states [S, B, H] at rows [S, B] of the encoding, padded to `length` tokens; run by run."""
        own = {n: theta[n].unbind(0) for n in self.names}
        made = []
        for s, chosen in enumerate(rows.to(self.machine.device)):
            given = {k: v[chosen, :length] for k, v in self.tokens.items()}
            weights = {n: parts[s] for n, parts in own.items()}
            states = functional_call(self.model, weights, kwargs=given).last_hidden_state
            made.append(pool(states, given["attention_mask"].bool(), self.pooling))
        return torch.stack(made)

    def losses(
        self, theta: Theta, rows: torch.Tensor, labels: torch.Tensor | None, key: DropoutKey
    ) -> torch.Tensor:
        """Training losses [S, B]."""
        first, _ = self.encoding.rows("train")
        assert labels is not None
        pooled = dropout(self._states(theta, first + rows, self.length), self.rate, key, 0)
        return training_loss(apply_head(theta, pooled), labels)

    def logits(self, theta: Theta, split: str) -> torch.Tensor:
        """Logits [S, n, C] of a split, texts of like length together."""
        first, end = self.encoding.rows(split)
        counts = self.counts[first:end]
        parts = chunks(counts, at_once(TOKENS, self.machine))
        runs = theta["head.bias"].shape[0]
        made = [
            apply_head(theta, self._states(theta, (first + p).expand(runs, -1), int(counts[p].max())))
            for p in parts
        ]
        back = torch.argsort(torch.cat(parts))
        return torch.cat(made, 1)[:, back.to(self.machine.device)]
