"""Text classification by LoRA on any transformers model, a bank of runs at once, and a linear head."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import torch

from prehoc.errors import InputError
from prehoc.tasks import models
from prehoc.tasks.adapters import AdapterBank, SharedInputError, lora_config, target_names, to_machine
from prehoc.tasks.encode import Encoding, pool
from prehoc.tasks.frozen import CHECKED, Frozen, chunks, cut_below, frozen_states
from prehoc.tasks.heads import Classifier, apply_head, head_parameters, training_loss
from prehoc.tasks.machine import CPU, Machine, at_once
from prehoc.tasks.prefix import depth_of
from prehoc.tasks.problem import DropoutKey, Parameter, Theta, dropout

TOKENS = 16384  # tokens of all runs together that are evaluated at a time: bounds the memory
INPUTS = {"ids": "input_ids", "mask": "attention_mask", "types": "token_type_ids"}


def settle(model: Any, machine: Machine) -> None:
    """Put a model on the machine, without the pooler, which nothing here reads.

    On a CPU bf16 attention is computed by plain products: torch's fused kernel takes two to six times as
    long there backwards.
    """
    if getattr(model, "pooler", None) is not None:
        model.pooler = None
    to_machine(model, machine)
    if machine.device.type == "cpu" and machine.precision == "bf16":
        model.set_attn_implementation("eager")


def below(model: Any, method: dict[str, Any]) -> int:
    """How many blocks lie below the first that trains, from method.layers."""
    layers = method["layers"]
    return 0 if layers == "all" else max(0, depth_of(model) - int(layers.removeprefix("top-")))


class LoraClassification(Classifier):
    """Adapters a run on an encoder, pooled states, and a linear head.

    With method.layers top-K the states that enter the K layers nearest the output come from the
    store. In training every text is padded to the longest training text, whichever texts share the
    batch, so that no bit depends on company; in evaluation texts of like length go together, padded
    to the longest of them, which changes losses by rounding alone (under 1e-6 in fp32).
    """

    def __init__(self, encoding: Encoding, config: dict[str, Any], machine: Machine = CPU) -> None:
        method, tensors = config["method"], encoding.tensors
        folder = models.model_folder(config["model"], Path(config["store"]))
        _, model = models.load_encoder(folder, config["model"]["revision"])
        super().__init__(encoding, machine)
        self.counts = tensors["mask"].sum(1)
        if not bool(tensors["mask"][:, 0].all()):
            raise InputError(
                f"model.name: {config['model']['name']}: its tokeniser pads at the left; "
                "set padding_side right in its tokenizer_config.json"
            )
        first, end = encoding.rows("train")
        self.length = int(self.counts[first:end].max())
        settle(model, machine)
        rule = lora_config(method, model)
        target_names(model, rule)  # a fault in targets shows before anything is computed
        taken = inspect.signature(model.forward).parameters
        self.tokens = {
            name: tensors[k].to(torch.int64)
            for k, name in INPUTS.items()
            if k in tensors and (name in taken or name != "token_type_ids")
        }
        self.frozen: Frozen | None = None
        layer = below(model, method)
        few = self._on({k: v[:CHECKED] for k, v in self.tokens.items()})
        cut = cut_below(model, layer, few) if layer else None
        if cut is not None:
            where = (Path(config["store"]), str(encoding.meta["weights"]))
            self.frozen = frozen_states(model, layer, self.tokens, self.counts, where, machine)
        self.tokens = self._on(self.tokens)
        self.bank = AdapterBank(cut if cut is not None else model, rule, machine)
        self.pooling, self.rate = method["pooling"], float(method["dropout"])
        self.parameters: list[Parameter] = [
            *self.bank.parameters,
            *head_parameters(int(encoding.meta["hidden"]), self.classes),
        ]

        self._probe(config)

    def _probe(self, config: dict[str, Any]) -> None:
        """Raise InputError if adapters of two runs are not kept apart in this model: one example of each.

        Some models pass what all examples share through a module (relative positions), or put tokens first.
        """
        noise = torch.Generator().manual_seed(0)
        theta = {
            p.name: (0.1 * torch.randn(2, *p.shape, generator=noise)).to(self.machine.device)
            for p in self.parameters
        }
        rows, length = torch.zeros(2, 1, dtype=torch.int64), int(self.counts[0])
        near = 1e-3 if self.machine.precision == "fp32" else 0.1
        try:
            with torch.inference_mode():
                both = self._states(theta, rows, length)
                second = self._states({k: v[1:] for k, v in theta.items()}, rows[1:], length)
            apart = float((both[1:] - second).abs().max()) <= near * max(float(second.abs().max()), 1.0)
        except SharedInputError:
            apart = False
        if not apart:
            raise InputError(
                f"method.targets: in {config['model']['name']} not each run's examples alone pass through "
                f"{', '.join(config['method']['targets'])} (in DeBERTa-v2 and v3 positions do so through "
                "query_proj and key_proj): name other modules, or set method.kind: head"
            )

    def _on(self, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {k: v.to(self.machine.device) for k, v in tensors.items()}

    def _states(
        self, theta: Theta, rows: torch.Tensor, length: int, key: DropoutKey | None = None
    ) -> torch.Tensor:
        """Pooled states [S, B, H], fp32, at rows [S, B] of the encoding, padded to `length` tokens."""
        flat = rows.flatten()
        if self.frozen is None:
            given = {k: v[flat.to(v.device), :length] for k, v in self.tokens.items()}
        else:
            states = self.frozen.take(flat.to(self.frozen.counts.device), length)
            mask = self.tokens["attention_mask"]
            given = {"inputs_embeds": states, "attention_mask": mask[flat.to(mask.device), :length]}
            given = self._on(given)
        with self.bank.adapted(theta, key) as model:
            outputs = model(**given).last_hidden_state
        pooled = pool(outputs.float(), given["attention_mask"].bool(), self.pooling)
        return pooled.view(*rows.shape, -1)

    def losses(
        self, theta: Theta, rows: torch.Tensor, labels: torch.Tensor | None, key: DropoutKey
    ) -> torch.Tensor:
        """Training losses [S, B]."""
        first, _ = self.encoding.rows("train")
        assert labels is not None
        states = self._states(theta, first + rows, self.length, key)
        return training_loss(apply_head(theta, dropout(states, self.rate, key, 0)), labels)

    def logits(self, theta: Theta, split: str) -> torch.Tensor:
        """Logits [S, n, C] of a split, texts of like length together."""
        first, end = self.encoding.rows(split)
        runs = theta["head.bias"].shape[0]
        counts = self.counts[first:end]
        parts = chunks(counts, max(1, at_once(TOKENS, self.machine) // runs))
        made = []
        for rows in parts:
            shared = (first + rows).expand(runs, -1)
            made.append(apply_head(theta, self._states(theta, shared, int(counts[rows].max()))))
        back = torch.argsort(torch.cat(parts))
        return torch.cat(made, 1)[:, back.to(self.machine.device)]
