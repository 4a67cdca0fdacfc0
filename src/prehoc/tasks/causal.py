"""Sums as text, `12+34=` -> `46`, by a causal language model with LoRA.

The loss is the mean over the answer's tokens, its end token among them. An answer is right if each
of these tokens is the most likely one given the true tokens before it, which is the same as greedy
decoding giving the answer exactly. Logits are computed at the answer's positions alone.
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
from prehoc.tasks.lora import AdapterBank, per_chunk
from prehoc.tasks.problem import DropoutKey, Theta
from prehoc.tasks.streams import generator

LOGITS = 1 << 25  # logits of all runs together that are held at a time in evaluation


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

    def __init__(self, config: dict[str, Any]) -> None:
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
        tokeniser, model = models.load_causal(folder, config["model"]["revision"])
        if "logits_to_keep" not in inspect.signature(model.forward).parameters:
            raise InputError(
                f"model.name: {type(model).__name__} cannot compute logits at chosen positions; "
                "choose a decoder of transformers that takes logits_to_keep"
            )
        if tokeniser.eos_token_id is None:
            raise InputError(f"model.name: {folder}: the tokeniser has no end token; give it one")
        self.bank = AdapterBank(model, method)
        self.parameters = self.bank.parameters
        self.vocabulary = int(model.get_output_embeddings().weight.shape[0])
        self.labels: torch.Tensor | None = None
        numbers = max(int(p.max()) for p in splits.values())
        self.classes = 2 * numbers + 1
        self._tokenise(tokeniser, splits, config["model"]["max_length"])

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

    def _logits(self, theta: Theta, ids: torch.Tensor) -> torch.Tensor:
        """Logits [S*B, K, V] at the answers' positions of ids [S*B, L]."""
        keep = torch.arange(self.first, ids.shape[1])
        with self.bank.adapted(theta) as model:
            logits: torch.Tensor = model(input_ids=ids, logits_to_keep=keep, use_cache=False).logits
        return logits

    @staticmethod
    def _losses(logits: torch.Tensor, answers: torch.Tensor) -> torch.Tensor:
        """Mean nats a token [n] of answers [n, K] under logits [n, K, V]."""
        nats = cross_entropy(logits.transpose(1, 2), answers, reduction="none")
        return nats.sum(1) / (answers >= 0).sum(1)

    def losses(
        self, theta: Theta, rows: torch.Tensor, labels: torch.Tensor | None, key: DropoutKey
    ) -> torch.Tensor:
        """Training losses [S, B] in nats a token."""
        flat = rows.flatten()
        logits = self._logits(theta, self.ids["train"][flat])
        return self._losses(logits, self.answers["train"][flat]).view(rows.shape)

    def evaluate(self, theta: Theta, split: str) -> tuple[torch.Tensor, torch.Tensor]:
        """Correctness (the whole answer) and loss [S, n] of a split."""
        runs = next(iter(theta.values())).shape[0]
        width = self.answers[split].shape[1]
        size = max(1, min(per_chunk(runs, self.length), LOGITS // (runs * width * self.vocabulary)))
        right, loss = [], []
        for rows in torch.arange(self.rows(split)).split(size):
            flat = rows.repeat(runs)
            answers = self.answers[split][flat]
            logits = self._logits(theta, self.ids[split][flat])
            hit = (logits.argmax(-1) == answers) | (answers < 0)
            right.append(hit.all(1).view(runs, -1).to(torch.float32))
            loss.append(self._losses(logits, answers).view(runs, -1))
        return torch.cat(right, 1), torch.cat(loss, 1)
