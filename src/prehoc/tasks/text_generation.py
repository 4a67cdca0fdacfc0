"""Text generation by LoRA on a causal language model: trained on completions, judged by what it writes.

The loss is the mean over a completion's tokens, its end token among them. The score is the judge's
verdict on a decoded text. In training every row is padded at the right to the longest training row,
whichever rows share the batch, so that no bit depends on company; a causal model never looks right.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from prehoc.config import digest
from prehoc.config.metrics import score_of_judge
from prehoc.errors import InputError
from prehoc.tasks import models
from prehoc.tasks.adapters import AdapterBank, lora_config, target_names
from prehoc.tasks.answers import answer_nats
from prehoc.tasks.conv1d import linearise
from prehoc.tasks.decode import Decoder, Noise, Rules
from prehoc.tasks.frozen import CHECKED, Frozen, chunks, cut_below, frozen_states
from prehoc.tasks.judges import Judge, Row, judge_of
from prehoc.tasks.lm_head import take_head
from prehoc.tasks.lora import TOKENS, below, settle
from prehoc.tasks.machine import CPU, Machine, at_once
from prehoc.tasks.problem import DropoutKey, Theta
from prehoc.tasks.prompts import Example, examples, rendered

LOGITS = 1 << 25  # logits of all runs together held at a time in evaluation, where the head is not apart
SPLITS = {"train": 0, "val": 1, "target": 2}  # their numbers in a draw's hash


class TextGeneration:
    """A bank of adapters that write texts; `score_name` says what its score is called."""

    score_name: str
    labels: torch.Tensor | None = None
    classes = 1

    def __init__(self, config: dict[str, Any], machine: Machine = CPU, judge: Judge | None = None) -> None:
        settings, method, store = config["generation"], config["method"], Path(config["store"])
        self.machine = machine
        if settings["judge"] == "tests":
            self.score_name = "pass_at_1"
        folder = models.model_folder(config["model"], store)
        tokeniser, model = models.load_causal(folder, config["model"]["revision"], config["model"]["name"])
        takes = frozenset(inspect.signature(model.forward).parameters)
        if not {"logits_to_keep", "past_key_values"} <= takes:
            raise InputError(
                f"model.name: {type(model).__name__} cannot compute logits at chosen positions, or keeps "
                "no cache; choose a decoder of transformers that takes logits_to_keep"
            )
        ends = _ends(tokeniser, model)
        self.examples = examples(config, tokeniser, ends)
        room(model.config, self.examples, settings["max_new_tokens"])
        self.score_name = score_of_judge(settings["judge"])
        self.judge = judge or judge_of(
            settings["judge"], lambda r: rendered(settings["completion"], r), config.get("sandbox")
        )
        check = getattr(self.judge, "check", None)
        if check is not None:
            every = sorted((e for split in self.examples.values() for e in split), key=lambda e: e.number)
            check([e.row for e in every], [e.number for e in every])
        self.base_parameters = sum(p.numel() for p in model.parameters())
        linearise(model)
        settle(model, machine)
        rule = lora_config(method, model)
        target_names(model, rule)  # a fault in targets shows before anything is computed
        self._tensors()
        self.weights = models.revision_of(config["model"], folder)
        cut = self._freeze(model, below(model, method), store)
        self.bank = AdapterBank(cut, rule, machine)
        for name, place in self.bank.places.items():  # what is cut shares its modules with the whole
            parent, _, leaf = name.rpartition(".")
            setattr(model.get_submodule(parent), leaf, place)
        self.parameters = self.bank.parameters
        self.vocabulary = int(model.get_output_embeddings().weight.shape[0])
        few = self._inputs(torch.arange(min(CHECKED, self.rows("train"))), self.length, 0)
        self.head = take_head(cut, few, machine)
        how = settings["decoding"]
        rules = Rules(
            settings["max_new_tokens"],
            tuple(ends),
            tuple(settings["stop"]),
            how["kind"] == "sample",
            how["temperature"],
            how["top_p"],
            settings["cache_mb"] << 20,
        )
        apart = self.head if cut is model else None
        self.decoder = Decoder(model, self.bank, apart, tokeniser, rules, machine, takes)

    def _tensors(self) -> None:
        """Ids [N, L - 1] of all splits, row by row, lengths, first predicting positions and answers."""
        every = [e for split in self.examples.values() for e in split]
        ends = np.cumsum([len(split) for split in self.examples.values()]).tolist()
        self.starts = dict(zip(self.examples, [0, *ends[:-1]], strict=True))
        self.counts = torch.tensor([len(e.prompt) + len(e.completion) - 1 for e in every])
        self.first = torch.tensor([len(e.prompt) - 1 for e in every])
        self.spans = torch.tensor([len(e.completion) for e in every])
        ids = torch.zeros(len(every), int(self.counts.max()), dtype=torch.int64)
        answers = torch.full((len(every), int(self.spans.max())), -100)
        for i, e in enumerate(every):
            ids[i, : int(self.counts[i])] = torch.tensor([*e.prompt, *e.completion][:-1])
            answers[i, : len(e.completion)] = torch.tensor(e.completion)
        self.ids, self.answers = ids, answers
        train = self.rows("train")
        self.length, self.span = int(self.counts[:train].max()), int(self.spans[:train].max())

    def _freeze(self, model: Any, layer: int, store: Path) -> Any:
        """The model that a step computes; where it is cut, its states are computed and kept."""
        self.frozen: Frozen | None = None
        cut = None
        if layer:
            cut = cut_below(model, layer, {"input_ids": self.ids[:CHECKED].to(self.machine.device)})
        if cut is not None:
            where, tokens = (store, self.weights), {"input_ids": self.ids}
            self.frozen = frozen_states(model, layer, tokens, self.counts, where, self.machine)
        device = self.machine.device
        self.ids, self.answers, self.first = (t.to(device) for t in (self.ids, self.answers, self.first))
        return model if cut is None else cut

    @property
    def data_digest(self) -> str:
        """What pins the data: all splits' tokens, and the rows that a judge sees."""
        parts = {s: [(e.prompt, e.completion, e.row) for e in split] for s, split in self.examples.items()}
        return digest(parts)

    def rows(self, split: str) -> int:
        """Number of examples in a split."""
        return len(self.examples[split])

    def lengths(self, split: str) -> torch.Tensor:
        """Tokens [n] of each prompt with its completion."""
        return torch.tensor([len(e.prompt) + len(e.completion) for e in self.examples[split]])

    def _inputs(self, rows: torch.Tensor, length: int, keep: int | torch.Tensor) -> dict[str, Any]:
        """The model's inputs for rows [n] of all splits, padded to `length` tokens."""
        given: dict[str, Any] = {"logits_to_keep": keep, "use_cache": False}
        if self.frozen is None:
            return {**given, "input_ids": self.ids[rows.to(self.ids.device), :length]}
        states = self.frozen.take(rows.to(self.frozen.counts.device), length)
        return {**given, "inputs_embeds": states.to(self.machine.device)}

    def _nats(
        self,
        theta: Theta,
        rows: torch.Tensor,
        length: int,
        span: int,
        key: DropoutKey | None = None,
    ) -> torch.Tensor:
        """Mean nats a token [S, B] at rows [S, B] of all splits, padded to `length` and `span` tokens."""
        flat = rows.flatten()
        local = flat.to(self.machine.device)
        answers = self.answers[local, :span]
        place = self.first[local][:, None] + torch.arange(span, device=local.device)
        place = place.clamp(max=length - 1)  # beyond a row's completion, where no answer is
        with self.bank.adapted(theta, key) as model:
            made = model(**self._inputs(flat, length, 0)).logits
        made = made.gather(1, place[..., None].expand(-1, -1, made.shape[-1]))
        if self.head is None:
            nats = cross_entropy(made.float().transpose(1, 2), answers, reduction="none")
        else:
            nats = answer_nats(made, self.head.weight, self.head.bias, answers)[0]
        return (nats.sum(1) / (answers >= 0).sum(1)).view(rows.shape)

    def losses(
        self, theta: Theta, rows: torch.Tensor, labels: torch.Tensor | None, key: DropoutKey
    ) -> torch.Tensor:
        """Training losses [S, B] in nats a token."""
        return self._nats(theta, self.starts["train"] + rows, self.length, self.span, key)

    def texts(self, theta: Theta, split: str, keys: torch.Tensor | None = None) -> list[list[str]]:
        """What each run writes to each prompt of a split, [S][n].

        `keys` [S] are the runs' decoding keys; None decodes greedily. Raises ValueError where the task
        samples and there are none.
        """
        rules, noise = self.decoder.rules, None
        if rules.sample:
            if keys is None:
                raise ValueError("sampled decoding takes a key a run")
            noise = Noise(keys, SPLITS[split])
        prompts = [e.prompt for e in self.examples[split]]
        written = self.decoder.tokens(theta, prompts, noise)
        return [[self.decoder.text(p, t) for p, t in zip(prompts, run, strict=True)] for run in written]

    def evaluate(
        self, theta: Theta, split: str, keys: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The judge's verdict (0 or 1) on decoded texts, and the true completions' loss: [S, n] each."""
        runs = next(iter(theta.values())).shape[0]
        start, count = self.starts[split], self.rows(split)
        counts, spans = (t[start : start + count] for t in (self.counts, self.spans))
        room = max(1, at_once(TOKENS, self.machine) // runs)
        if self.head is None:
            room = max(1, min(room, at_once(LOGITS, self.machine) // (runs * self.vocabulary)))
        parts = chunks(counts, room)
        made = [
            self._nats(theta, (start + r).expand(runs, -1), int(counts[r].max()), int(spans[r].max()))
            for r in parts
        ]
        loss = torch.cat(made, 1)[:, torch.argsort(torch.cat(parts)).to(self.machine.device)]
        right = self._judged(self.texts(theta, split, keys), [e.row for e in self.examples[split]])
        return right.to(loss.device), loss

    def _judged(self, texts: list[list[str]], rows: Sequence[Row]) -> torch.Tensor:
        flat = self.judge([row for _ in texts for row in rows], [t for run in texts for t in run])
        return torch.tensor(np.asarray(flat, np.float32)).view(len(texts), len(rows))

    def static(self) -> dict[str, float]:
        """Features of the task that are known before the first step."""
        train: list[Example] = self.examples["train"]
        return {
            **{f"rows_{split}": float(self.rows(split)) for split in SPLITS},
            "mean_tokens": float(np.mean([len(e.prompt) + len(e.completion) for e in train])),
            "mean_completion_tokens": float(np.mean([len(e.completion) for e in train])),
            "base_parameters": float(self.base_parameters),
        }


def room(settings: Any, splits: Mapping[str, Sequence[Example]], new: int) -> None:
    """Raise InputError where a row, or a prompt with `new` tokens behind it, has no place in the model.

    `settings` is the model's config of transformers.
    """
    places = getattr(settings.get_text_config(), "max_position_embeddings", None)
    if places is None:
        return
    every = [e for split in splits.values() for e in split]
    longest = max(len(e.prompt) for e in every)
    whole = max(len(e.prompt) + len(e.completion) for e in every)
    if longest + new > places:
        raise InputError(
            f"generation.max_new_tokens: {new} behind a prompt of {longest} tokens, and the model has "
            f"places for {places}; lower it, or model.max_length"
        )
    if whole > places:
        raise InputError(
            f"model.max_length: a row takes {whole} tokens, and the model has places for {places}; lower "
            "model.max_length"
        )


def _ends(tokeniser: Any, model: Any) -> list[int]:
    """Tokens that end a text, the tokeniser's own first."""
    own = tokeniser.eos_token_id
    more = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    others = [] if more is None else [more] if isinstance(more, int) else list(more)
    return [own, *[int(t) for t in others if t != own]]
