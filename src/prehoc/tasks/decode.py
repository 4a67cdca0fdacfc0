"""Decoding for a bank of runs at once: many prompts, every run its own adapters, one KV cache.

Prompts of like length go together, padded at the left; sequences lie run by run, as adapters want
them. Once a quarter of the rows has ended, every run drops ended rows, as many in each. A draw is a
hash of (run's key, split, example, position): a text depends on its neighbours by rounding alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from prehoc.errors import InputError
from prehoc.tasks.adapters import AdapterBank
from prehoc.tasks.machine import Machine
from prehoc.tasks.problem import DropoutKey, Theta, row_uniforms

SHRINKS = 0.75  # the rows in flight are cut where no run needs more than this share of them
PROBED = 4  # tokens on which the cache's size is measured


@dataclass(frozen=True)
class Rules:
    """How texts are decoded; `ends` are end tokens, `stop` strings, `cache` bytes of keys and values."""

    new: int
    ends: tuple[int, ...]
    stop: tuple[str, ...]
    sample: bool
    temperature: float
    top_p: float
    cache: int


@dataclass(frozen=True)
class Noise:
    """What a sampled text depends on besides its logits: a key a run [S], and the split's number."""

    keys: torch.Tensor
    split: int


def pick(logits: torch.Tensor, rules: Rules, uniform: torch.Tensor | None) -> torch.Tensor:
    """The next tokens [N] from logits [N, V]; `uniform` [N] in (0, 1) where they are drawn.

    Drawn by inverse cumulative probability. top_p keeps the fewest most likely tokens that hold a
    mass of top_p (Holtzman et al. 2020), of the law at the temperature.
    """
    if uniform is None:
        return logits.argmax(-1)
    share = torch.softmax(logits.float() / rules.temperature, -1)
    order: torch.Tensor | None = None
    if rules.top_p < 1:
        share, order = share.sort(dim=-1, descending=True, stable=True)
        share = share.masked_fill(share.cumsum(-1) - share >= rules.top_p, 0.0)
    mass = share.double().cumsum(-1)
    place = (mass < uniform[:, None] * mass[:, -1:]).sum(-1).clamp(max=share.shape[-1] - 1)
    return place if order is None else order.gather(1, place[:, None])[:, 0]


class Decoder:
    """Decodes with a model that holds a bank's adapters; `head` is its output layer, if that is apart."""

    def __init__(
        self,
        model: Any,
        bank: AdapterBank,
        head: Any,
        tokeniser: Any,
        rules: Rules,
        machine: Machine,
        takes: frozenset[str],
    ) -> None:
        self.model, self.bank, self.head = model, bank, head
        self.tokeniser, self.rules, self.machine = tokeniser, rules, machine
        self.positions = "position_ids" in takes
        self.each = self._bytes_a_token()

    def _cache(self) -> Any:
        from transformers import DynamicCache

        return DynamicCache(config=self.model.config)

    def _bytes_a_token(self) -> float:
        """Bytes of keys and values that a token takes, measured.

        Raises InputError where the model keeps none, or something else besides.
        """
        cache = self._cache()
        ids = torch.zeros(1, PROBED, dtype=torch.int64, device=self.machine.device)
        try:
            with torch.inference_mode():
                self.model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
            held = [t for layer in cache.layers for t in (layer.keys, layer.values)]
            return sum(t.nbytes for t in held) / PROBED
        except (TypeError, ValueError, AttributeError, RuntimeError) as error:
            line = " ".join(str(error).split())[:100]
            raise InputError(
                f"model.name: {type(self.model).__name__} cannot decode with a cache of keys and values: "
                f"{line}; choose another decoder of transformers"
            ) from error

    def groups(self, lengths: Sequence[int], runs: int) -> list[list[int]]:
        """Prompts in groups of like length whose keys and values fit in the cache, one at least."""
        order = sorted(range(len(lengths)), key=lambda i: (lengths[i], i))
        room = self.rules.cache / (self.each * runs)
        parts: list[list[int]] = []
        for i in order:
            if parts and (len(parts[-1]) + 1) * (lengths[i] + self.rules.new) <= room:
                parts[-1].append(i)
            else:
                parts.append([i])
        return parts

    def tokens(self, theta: Theta, prompts: list[list[int]], noise: Noise | None) -> list[list[list[int]]]:
        """What each run writes to each prompt, [S][n] lists of tokens, the end token (if any) last."""
        runs = next(iter(theta.values())).shape[0]
        made: list[list[list[int]]] = [[[] for _ in prompts] for _ in range(runs)]
        with torch.inference_mode(), self.bank.adapted(theta):
            for group in self.groups([len(p) for p in prompts], runs):
                written = self._group(runs, [prompts[i] for i in group], group, noise)
                for s in range(runs):
                    for j, i in enumerate(group):
                        made[s][i] = self._ended(written[s][j])
        return made

    def _ended(self, row: list[int]) -> list[int]:
        """A row up to its end token, or to where it was given up (-1)."""
        for i, token in enumerate(row):
            if token < 0:
                return row[:i]
            if token in self.rules.ends:
                return row[: i + 1]
        return row

    def _group(
        self, runs: int, prompts: list[list[int]], numbers: list[int], noise: Noise | None
    ) -> list[list[list[int]]]:
        """Tokens [S][n][new], -1 where nothing was written, of prompts that go through together."""
        device, count, longest = self.machine.device, len(prompts), max(map(len, prompts))
        ids = torch.zeros(count, longest, dtype=torch.int64)
        mask = torch.zeros(count, longest, dtype=torch.int64)
        for i, prompt in enumerate(prompts):
            ids[i, longest - len(prompt) :] = torch.tensor(prompt)
            mask[i, longest - len(prompt) :] = 1
        given, mask = ids.repeat(runs, 1).to(device), mask.repeat(runs, 1).to(device)
        places = (mask.cumsum(1) - 1).clamp(min=0)
        made = torch.full((runs * count, self.rules.new), -1)
        row = torch.arange(runs * count, device=device)  # of `made`, of each row in flight
        alive = torch.ones(runs * count, dtype=torch.bool, device=device)
        example = torch.tensor(numbers, device=device)
        cache, ends = self._cache(), torch.tensor(self.rules.ends, device=device)
        for at in range(self.rules.new):
            logits = self._logits(given, mask, places, cache)
            uniform = None
            if noise is not None:
                key, run = DropoutKey(noise.keys.to(device), at), row // count
                uniform = row_uniforms(key, noise.split, run, example[row % count])
            token = pick(logits, self.rules, uniform)
            made[row[alive].cpu(), at] = token[alive].cpu()
            alive = alive & ~torch.isin(token, ends)
            if self.rules.stop:
                alive = alive & ~self._stopped(made, row, alive, at)
            need = int(alive.view(runs, -1).sum(1).max())
            if need == 0 or at + 1 == self.rules.new:
                break
            mask = torch.cat([mask, mask.new_ones(len(mask), 1)], 1)
            given, places = token[:, None], places[:, -1:] + 1
            if need <= SHRINKS * len(row) / runs:
                first = torch.argsort((~alive).view(runs, -1).int(), dim=1, stable=True)[:, :need]
                width = len(row) // runs
                kept = (first + width * torch.arange(runs, device=device)[:, None]).flatten()
                cache.batch_select_indices(kept)
                mask, given, places = mask[kept], given[kept], places[kept]
                row, alive = row[kept], alive[kept]
        return made.view(runs, count, -1).tolist()

    def _logits(
        self, given: torch.Tensor, mask: torch.Tensor, places: torch.Tensor, cache: Any
    ) -> torch.Tensor:
        """Logits [N, V] behind the last of the given tokens [N, t]."""
        more = {"position_ids": places} if self.positions else {}
        outputs = self.model(
            input_ids=given,
            attention_mask=mask,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
            **more,
        ).logits[:, -1]
        return outputs if self.head is None else self.head(outputs)

    def _stopped(self, made: torch.Tensor, row: torch.Tensor, alive: torch.Tensor, at: int) -> torch.Tensor:
        """Which rows in flight have written a stop string just now; a token is a byte of text at least."""
        tail = max(len(s.encode()) for s in self.rules.stop) + 1
        live = alive.nonzero()[:, 0].cpu()
        part = made[row.cpu()[live], max(0, at + 1 - tail) : at + 1]
        texts = self.tokeniser.batch_decode(part, skip_special_tokens=True)
        hit = torch.zeros(len(row), dtype=torch.bool)
        hit[live] = torch.tensor([any(s in t for s in self.rules.stop) for t in texts], dtype=torch.bool)
        return hit.to(row.device)

    def text(self, prompt: list[int], tokens: list[int]) -> str:
        """The text that tokens add to a prompt, up to the first stop string."""
        settings = {"skip_special_tokens": True, "clean_up_tokenization_spaces": False}
        before = self.tokeniser.decode(prompt, **settings)
        whole = self.tokeniser.decode([*prompt, *tokens], **settings)
        added = (
            whole[len(before) :] if whole.startswith(before) else self.tokeniser.decode(tokens, **settings)
        )
        cuts = [added.find(s) for s in self.rules.stop if s in added]
        return added[: min(cuts)] if cuts else added
