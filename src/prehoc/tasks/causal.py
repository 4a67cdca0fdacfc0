"""Sums as text, `12+34=` -> `46`, by a causal language model with LoRA.

The loss is the mean over the answer's tokens, its end token among them. An answer is right if each
of these tokens is the most likely one given the true tokens before it, which is the same as greedy
decoding giving the answer exactly. Logits are computed at the answer's positions alone. With
method.layers top-K the states that enter the K blocks nearest the output come from the store.
"""

from __future__ import annotations

import inspect
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from prehoc.errors import InputError
from prehoc.tasks import models
from prehoc.tasks.adapters import AdapterBank, lora_config, target_names
from prehoc.tasks.answers import answer_nats
from prehoc.tasks.frozen import CHECKED, Frozen, cut_below, frozen_states
from prehoc.tasks.lm_head import take_head
from prehoc.tasks.lora import TOKENS, below, settle
from prehoc.tasks.machine import CPU, Machine, at_once
from prehoc.tasks.problem import DropoutKey, Theta
from prehoc.tasks.streams import generator

LOGITS = 1 << 25  # logits of all runs together held at a time in evaluation, where the head is not apart


def addition_splits(digits: int, train: float, val: int, target: int, root: int) -> dict[str, np.ndarray]:
    """Pairs [n, 2] of `digits`-digit numbers for each split, no unordered pair twice.

    Each pair stands in one order, drawn evenly, so no commuted twin of a training sum is tested.
    Raises InputError if `train` is no count, or if there are too few pairs.
    """
    if train != int(train):
        raise InputError(f"arithmetic.train: {train} must be a whole number of sums, not a share")
    low = 10 ** (digits - 1) if digits > 1 else 0
    count = 10**digits - low
    total, sizes = count * (count + 1) // 2, [int(train), val, target]
    if sum(sizes) > total:
        raise InputError(
            f"arithmetic.train: {sizes[0]} + {val} + {target} sums wanted, "
            f"but {digits}-digit numbers give {total}; lower them or raise arithmetic.digits"
        )
    rng = generator(root, f"addition:{digits}", 0, "data_split")
    index = rng.choice(total, size=sum(sizes), replace=False)
    larger = np.array([(math.isqrt(8 * int(i) + 1) - 1) // 2 for i in index])
    pairs = low + np.column_stack([index - larger * (larger + 1) // 2, larger])
    swap = rng.random(len(pairs)) < 0.5
    pairs[swap] = pairs[swap][:, ::-1]
    parts = np.split(pairs, np.cumsum(sizes)[:-1])
    return dict(zip(("train", "val", "target"), parts, strict=True))


class CausalProblem:
    """Sums of two numbers, tokens [n, L] padded at the right to one length for all splits.

    A causal model's states never look to the right, so the padding changes no number.
    """

    def __init__(self, config: dict[str, Any], machine: Machine = CPU) -> None:
        settings, method = config["arithmetic"], config["method"]
        if method["dropout"]:
            raise InputError(
                "method.dropout: acts on a classification head's input, and causal_arithmetic has "
                "no head; set it to 0"
            )
        splits = addition_splits(
            settings["digits"],
            settings["train"],
            settings["val"],
            settings["target"],
            config["seed"],
        )
        folder = models.model_folder(config["model"], Path(config["store"]))
        self.weights = models.revision_of(config["model"], folder)
        tokeniser, model = models.load_causal(folder, config["model"]["revision"], config["model"]["name"])
        if "logits_to_keep" not in inspect.signature(model.forward).parameters:
            raise InputError(
                f"model.name: {type(model).__name__} cannot compute logits at chosen positions; "
                "choose a decoder of transformers that takes logits_to_keep"
            )
        settle(model, machine)
        rule = lora_config(method, model)
        target_names(model, rule)  # a fault in targets shows before anything is computed
        self.machine = machine
        self.labels: torch.Tensor | None = None
        numbers = max(int(p.max()) for p in splits.values())
        self.classes = 2 * numbers + 1
        self._tokenise(tokeniser, splits, config["model"]["max_length"])
        cut = self._freeze(model, below(model, method), Path(config["store"]))
        for kept in (self.ids, self.answers):  # a step that waits for the host can't be recorded
            kept |= {split: tensor.to(machine.device) for split, tensor in kept.items()}
        self.bank = AdapterBank(cut, rule, machine)
        self.parameters = self.bank.parameters
        self.vocabulary = int(model.get_output_embeddings().weight.shape[0])
        few = self._inputs("train", torch.arange(min(CHECKED, self.rows("train"))))
        self.head = take_head(cut, few, machine)

    def _freeze(self, model: Any, layer: int, store: Path) -> Any:
        """The model that a step computes; where it is cut, its states are computed and kept."""
        joined = {"input_ids": torch.cat(list(self.ids.values()))}
        ends = np.cumsum([len(v) for v in self.ids.values()]).tolist()
        self.starts = dict(zip(self.ids, [0, *ends[:-1]], strict=True))
        self.frozen: Frozen | None = None
        few = {k: v[:CHECKED].to(self.machine.device) for k, v in joined.items()}
        cut = cut_below(model, layer, few) if layer else None
        if cut is None:
            return model
        counts = torch.full((ends[-1],), joined["input_ids"].shape[1])
        where = (store, self.weights)
        self.frozen = frozen_states(model, layer, joined, counts, where, self.machine)
        return cut

    def _tokenise(self, tokeniser: Any, splits: dict[str, np.ndarray], most: int) -> None:
        """Keep ids [n, L] and answers [n, K] a split; an answer's absent tokens are -100.

        Column k of the answers is the token that position `first` + k predicts.
        """
        prompts = {s: tokeniser([f"{a}+{b}=" for a, b in p])["input_ids"] for s, p in splits.items()}
        answers = {
            s: [
                [*ids, tokeniser.eos_token_id]
                for ids in tokeniser([str(a + b) for a, b in p], add_special_tokens=False)["input_ids"]
            ]
            for s, p in splits.items()
        }
        rows = [(p, a) for s in splits for p, a in zip(prompts[s], answers[s], strict=True)]
        self.length = max(len(p) + len(a) for p, a in rows)
        if self.length > most:
            raise InputError(
                f"model.max_length: sums take {self.length} tokens, more than {most}; raise it"
            )
        self.first = min(len(p) for p, _ in rows) - 1
        self.ids, self.answers = {}, {}
        for split in splits:
            ids = torch.zeros(len(prompts[split]), self.length, dtype=torch.int64)
            wanted = torch.full((len(ids), self.length - 1 - self.first), -100)
            for i, (prompt, answer) in enumerate(zip(prompts[split], answers[split], strict=True)):
                ids[i, : len(prompt) + len(answer)] = torch.tensor(prompt + answer)
                start = len(prompt) - 1 - self.first
                wanted[i, start : start + len(answer)] = torch.tensor(answer)
            self.ids[split], self.answers[split] = ids[:, :-1], wanted

    def rows(self, split: str) -> int:
        """Number of sums in a split."""
        return len(self.ids[split])

    def lengths(self, split: str) -> torch.Tensor:
        """Tokens [n] of each sum with its answer and end."""
        last = (self.answers[split] >= 0).to(torch.int64).cumsum(1).argmax(1)  # of the answer's columns
        return (self.first + 2 + last).cpu()

    def _inputs(self, split: str, rows: torch.Tensor) -> dict[str, Any]:
        """The model's inputs for rows [n] of a split; logits are asked for at answers' positions."""
        keep = torch.arange(self.first, self.ids[split].shape[1], device=self.machine.device)
        given: dict[str, Any] = {"logits_to_keep": keep, "use_cache": False}
        if self.frozen is None:
            ids = self.ids[split][rows.to(self.ids[split].device)]
            return {**given, "input_ids": ids.to(self.machine.device)}
        place = self.starts[split] + rows.to(self.frozen.counts.device)
        states = self.frozen.take(place, self.ids[split].shape[1])
        return {**given, "inputs_embeds": states.to(self.machine.device)}

    def _judged(
        self, theta: Theta, split: str, rows: torch.Tensor, key: DropoutKey | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean nats a token and correctness of the whole answer at rows [S, B] of a split."""
        flat = rows.flatten()
        answers = self.answers[split]
        answers = answers[flat.to(answers.device)].to(self.machine.device)
        with self.bank.adapted(theta, key) as model:
            made = model(**self._inputs(split, flat)).logits
        if self.head is None:
            logits = made.float()
            nats = cross_entropy(logits.transpose(1, 2), answers, reduction="none")
            right = (logits.argmax(-1) == answers) | (answers < 0)
        else:
            nats, right = answer_nats(made, self.head.weight, self.head.bias, answers)
        mean = nats.sum(1) / (answers >= 0).sum(1)
        return mean.view(rows.shape), right.all(1).view(rows.shape)

    def losses(
        self, theta: Theta, rows: torch.Tensor, labels: torch.Tensor | None, key: DropoutKey
    ) -> torch.Tensor:
        """Training losses [S, B] in nats a token."""
        return self._judged(theta, "train", rows, key)[0]

    def evaluate(self, theta: Theta, split: str) -> tuple[torch.Tensor, torch.Tensor]:
        """Correctness (the whole answer) and loss [S, n] of a split."""
        runs = next(iter(theta.values())).shape[0]
        size = max(1, at_once(TOKENS, self.machine) // (runs * self.length))
        if self.head is None:
            most = at_once(LOGITS, self.machine)
            size = max(1, min(size, most // (runs * self.answers[split].shape[1] * self.vocabulary)))
        parts = [
            self._judged(theta, split, rows.expand(runs, -1))
            for rows in torch.arange(self.rows(split)).split(size)
        ]
        loss, right = (torch.cat(p, 1) for p in zip(*parts, strict=True))
        return right.to(torch.float32), loss
