"""The benchmarks' tasks as people write them: an ordinary nn.Module, padded batches, one seed.

The initial law is prehoc's: adapters as peft makes them, a head from N(0, .02^2) with a zero bias, the
small transformer's matrices from N(0, 1/width), its second feed-forward one at half that deviation.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from prehoc.tasks import data as texts
from prehoc.tasks import models
from prehoc.tasks.modular import modular_splits

Row = dict[str, Any]
SPLITS = ("train", "val", "target")


class Classifier(nn.Module):
    """An encoder, its states pooled, and a linear head; returns the loss as a Trainer wants it."""

    def __init__(self, encoder: nn.Module, hidden: int, classes: int, method: dict[str, Any]) -> None:
        super().__init__()
        self.encoder, self.pooling = encoder, method["pooling"]
        self.drop, self.head = nn.Dropout(method["dropout"]), nn.Linear(hidden, classes)
        nn.init.normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        token_type_ids: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
    ) -> dict[str, torch.Tensor]:
        """Loss (a mean, in nats) and logits [B, C]."""
        given = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        made = self.encoder(input_ids=input_ids, attention_mask=attention_mask, **given)
        states = made.last_hidden_state
        if self.pooling == "cls":
            pooled = states[:, 0]
        else:
            weight = attention_mask[..., None].to(states.dtype)
            pooled = (states * weight).sum(1) / weight.sum(1)
        logits = self.head(self.drop(pooled))
        return {"loss": F.cross_entropy(logits, labels), "logits": logits}


class Layer(nn.Module):
    """A transformer layer without biases or norms."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.out = (nn.Linear(width, width, bias=False) for _ in range(4))
        self.up = nn.Linear(width, 4 * width, bias=False)
        self.down = nn.Linear(4 * width, width, bias=False)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """[B, L, H] to [B, L, H]."""
        batch, length, width = states.shape

        def split(of: torch.Tensor) -> torch.Tensor:
            return of.view(batch, length, self.heads, -1).transpose(1, 2)

        mixed = F.scaled_dot_product_attention(
            split(self.query(states)), split(self.key(states)), split(self.value(states))
        )
        states = states + self.out(mixed.transpose(1, 2).reshape(batch, length, width))
        return states + self.down(F.relu(self.up(states)))


class TinyTransformer(nn.Module):
    """Modular addition over the sequence a, b, "=", answered at the last position."""

    def __init__(self, modulus: int, width: int, heads: int, depth: int) -> None:
        super().__init__()
        self.embed, self.place = nn.Embedding(modulus + 1, width), nn.Embedding(3, width)
        self.layers = nn.ModuleList(Layer(width, heads) for _ in range(depth))
        self.unembed = nn.Linear(width, modulus, bias=False)
        for name, weight in self.named_parameters():
            sd = 1 / math.sqrt(width)
            nn.init.normal_(weight, std=sd / 2 if "down" in name else sd)

    def forward(self, tokens: torch.Tensor, labels: torch.Tensor | None = None) -> dict[str, torch.Tensor]:
        """Loss (a mean, in nats) and logits [B, p] of tokens [B, 3]."""
        states = self.embed(tokens) + self.place.weight
        for layer in self.layers:
            states = layer(states)
        logits = self.unembed(states[:, -1])
        return {"loss": F.cross_entropy(logits, labels), "logits": logits}


@dataclass(frozen=True)
class Task:
    """A task as people hold it: rows by split, how a batch is collated, and how a model is made."""

    rows: dict[str, list[Row]]
    collate: Callable[[list[Row]], dict[str, torch.Tensor]]
    make: Callable[[], nn.Module]


def task_of(stage: dict[str, Any]) -> Task:
    """The task of a stage config; `make` draws initial weights from torch's global generator."""
    return _modular(stage) if stage["kind"] == "modular_arithmetic" else _texts(stage)


def _modular(stage: dict[str, Any]) -> Task:
    from transformers import default_data_collator

    sums, method = stage["arithmetic"], stage["method"]
    modulus = int(sums["modulus"])
    cut = modular_splits(modulus, sums["train"], sums["val"], sums["target"], stage["seed"])
    rows = {
        split: [
            {"tokens": torch.tensor([a, b, modulus]), "labels": (a + b) % modulus}
            for a, b in pairs.tolist()
        ]
        for split, pairs in cut.items()
    }
    shape = (modulus, method["width"], method["heads"], method["depth"])
    return Task(rows, default_data_collator, lambda: TinyTransformer(*shape))


def _texts(stage: dict[str, Any]) -> Task:
    from transformers import AutoTokenizer, DataCollatorWithPadding

    loaded, named = texts.load_rows(stage["data"])
    cut = texts.cut_splits(stage["data"], loaded, named, stage["seed"], None)
    folder = models.model_folder(stage["model"], Path(stage["store"]))
    tokeniser = AutoTokenizer.from_pretrained(folder, revision=stage["model"]["revision"])
    rows = {}
    for split, places in cut.items():
        made = tokeniser(
            [loaded.texts[i] for i in places], truncation=True, max_length=stage["model"]["max_length"]
        )
        labels = loaded.labels[places].tolist()
        rows[split] = [{**{k: made[k][i] for k in made}, "labels": label} for i, label in enumerate(labels)]
    classes = len(loaded.classes)
    return Task(rows, DataCollatorWithPadding(tokeniser), lambda: _classifier(stage, folder, classes))


def _classifier(stage: dict[str, Any], folder: str, classes: int) -> nn.Module:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModel

    method = stage["method"]
    silent = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    encoder = AutoModel.from_pretrained(
        folder, revision=stage["model"]["revision"], dtype=torch.float32, **silent
    ).requires_grad_(False)
    hidden, depth = int(encoder.config.hidden_size), int(encoder.config.num_hidden_layers)
    if method["kind"] == "lora":
        layers = None
        if method["layers"] != "all":
            layers = list(range(depth - int(method["layers"].removeprefix("top-")), depth))
        rule = LoraConfig(
            r=method["rank"],
            lora_alpha=method["alpha"],
            target_modules=list(method["targets"]),
            layers_to_transform=layers,
            lora_dropout=method["lora_dropout"],
        )
        encoder = get_peft_model(encoder, rule)
    return Classifier(encoder, hidden, classes, method)
