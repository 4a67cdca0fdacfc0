"""LoRA on any transformers model, a bank of runs at once: one frozen base, adapters stacked by run.

A `BankedLinear` takes the place of each target module. Its input is S*B sequences, run by run, and
y = W x + b + (alpha / rank) B_s A_s x, with the adapters of run s on that run's sequences alone
(Hu et al. 2021). Which modules are targets is peft's own matching rule.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.functional import linear

from prehoc.errors import InputError
from prehoc.tasks import models
from prehoc.tasks.adapters import lora_parameters
from prehoc.tasks.encode import Encoding, pool
from prehoc.tasks.heads import apply_head, cross_entropy, head_parameters, judge
from prehoc.tasks.problem import DropoutKey, Parameter, Theta, dropout

TOKENS = 16384  # tokens of all runs together that are evaluated at a time: bounds the memory


class BankedLinear(nn.Module):
    """A frozen linear layer with one low-rank adapter a run; without adapters, the layer alone."""

    def __init__(self, base: nn.Linear, scale: float) -> None:
        super().__init__()
        self.base, self.scale = base, scale
        self.adapters: tuple[torch.Tensor, torch.Tensor] | None = None

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """Outputs [S*B, ..., out] of states [S*B, ..., in]."""
        outputs = linear(states, self.base.weight, self.base.bias)
        if self.adapters is None:
            return outputs
        down, up = self.adapters
        runs = down.shape[0]
        if states.shape[0] % runs:
            raise ValueError(f"{states.shape[0]} sequences cannot be shared out among {runs} runs")
        low = torch.bmm(states.reshape(runs, -1, states.shape[-1]), down.transpose(1, 2))
        flat = outputs.view(runs, -1, outputs.shape[-1])
        return torch.baddbmm(flat, low, up.transpose(1, 2), alpha=self.scale).view_as(outputs)


class AdapterBank:
    """A model whose target modules are `BankedLinear`s; its parameters are named by their modules.

    With `layers` top-K, only modules of the K layers nearest the output get adapters. Raises
    InputError naming method.targets or method.layers where nothing can be adapted.
    """

    def __init__(self, model: nn.Module, method: dict[str, Any]) -> None:
        self.model = model
        self.places: dict[str, BankedLinear] = {}
        self.parameters: list[Parameter] = []
        rank, scale = method["rank"], method["alpha"] / method["rank"]
        for name in target_names(model, method):
            base = model.get_submodule(name)
            assert isinstance(base, nn.Linear)
            self.places[name] = BankedLinear(base, scale)
            self.parameters += lora_parameters(name, base.in_features, base.out_features, rank)
        for name, place in self.places.items():
            parent, _, leaf = name.rpartition(".")
            setattr(model.get_submodule(parent), leaf, place)

    @contextmanager
    def adapted(self, theta: Theta) -> Iterator[nn.Module]:
        """The model with the runs' adapters [S, ...] in place; calls inside take S*B sequences."""
        for name, place in self.places.items():
            place.adapters = (theta[f"{name}.A"], theta[f"{name}.B"])
        try:
            yield self.model
        finally:
            for place in self.places.values():
                place.adapters = None


def target_names(model: nn.Module, method: dict[str, Any]) -> list[str]:
    """Names of the modules that peft's LoraConfig would adapt, in the model's order.

    Raises InputError naming the key: more layers than there are, no match, a match not linear.
    """
    from peft import LoraConfig
    from peft.tuners.tuners_utils import check_target_module_exists

    chosen: list[int] | None = None
    if method["layers"] != "all":
        wanted = int(method["layers"].removeprefix("top-"))
        depth = int(getattr(model.config, "num_hidden_layers", 0))
        if wanted > depth:
            raise InputError(
                f"method.layers: {method['layers']} asks for {wanted} layers, but "
                f"{type(model).__name__} has {depth}; write top-{depth} or all"
            )
        chosen = list(range(depth - wanted, depth))
    rule = LoraConfig(target_modules=list(method["targets"]), layers_to_transform=chosen)
    modules = dict(model.named_modules())
    # peft finds a layer's number only behind a dot; a bare decoder's names begin with "layers."
    found = [n for n in modules if n and check_target_module_exists(rule, f"model.{n}")]
    if not found:
        known = sorted({n.rpartition(".")[2] for n, m in modules.items() if isinstance(m, nn.Linear)})
        raise InputError(
            f"method.targets: no module of {type(model).__name__} is named {method['targets']} in "
            f"layers: {method['layers']}; linear modules are named {known}"
        )
    for name in found:
        if not isinstance(modules[name], nn.Linear):
            raise InputError(
                f"method.targets: {name} is a {type(modules[name]).__name__}, not a linear module; "
                f"name linear ones"
            )
    return found


def per_chunk(runs: int, tokens: int) -> int:
    """How many examples of `tokens` tokens to evaluate at a time, each by all the runs."""
    return max(1, TOKENS // (runs * tokens))


class LoraClassification:
    """Text classification: adapters a run on an encoder, pooled states, and a linear head.

    Every text is padded to model.max_length, so no number depends on which texts share a batch.
    method.dropout acts on the head's input alone; the model itself runs in inference mode.
    """

    def __init__(self, encoding: Encoding, config: dict[str, Any]) -> None:
        method = config["method"]
        _, model = models.load_encoder(encoding.meta["folder"], config["model"]["revision"])
        self.encoding, self.bank = encoding, AdapterBank(model, method)
        self.pooling, self.rate = method["pooling"], float(method["dropout"])
        self.classes = len(encoding.meta["classes"])
        first, end = encoding.rows("train")
        self.labels: torch.Tensor | None = encoding.tensors["labels"][first:end]
        self.parameters = [
            *self.bank.parameters,
            *head_parameters(int(encoding.meta["hidden"]), self.classes),
        ]

    def rows(self, split: str) -> int:
        """Number of examples in a split."""
        first, end = self.encoding.rows(split)
        return end - first

    def _states(self, theta: Theta, rows: torch.Tensor) -> torch.Tensor:
        """Pooled states [S, B, H] at rows [S, B] of the encoding."""
        flat, tensors = rows.flatten(), self.encoding.tensors
        mask = tensors["mask"][flat]
        given = {"input_ids": tensors["ids"][flat], "attention_mask": mask.long()}
        if "types" in tensors:
            given["token_type_ids"] = tensors["types"][flat]
        with self.bank.adapted(theta) as model:
            states = model(**given).last_hidden_state
        return pool(states, mask, self.pooling).view(*rows.shape, -1)

    def losses(
        self, theta: Theta, rows: torch.Tensor, labels: torch.Tensor | None, key: DropoutKey
    ) -> torch.Tensor:
        """Training losses [S, B] in nats."""
        first, _ = self.encoding.rows("train")
        assert labels is not None
        states = dropout(self._states(theta, first + rows), self.rate, key, 0)
        return cross_entropy(apply_head(theta, states), labels)

    def evaluate(self, theta: Theta, split: str) -> tuple[torch.Tensor, torch.Tensor]:
        """Correctness and loss [S, n] of a split."""
        first, end = self.encoding.rows(split)
        runs = theta["head.bias"].shape[0]
        size = per_chunk(runs, self.encoding.tensors["ids"].shape[1])
        logits = [
            apply_head(theta, self._states(theta, part.expand(runs, -1)))
            for part in torch.arange(first, end).split(size)
        ]
        return judge(torch.cat(logits, 1), self.encoding.tensors["labels"][first:end])
