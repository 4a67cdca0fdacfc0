"""Hidden states below the first block that trains, computed once an example and kept in the store.

They are packed: the real tokens of all examples one after another, so padding takes no room on disk
and any padded length can be read. The file is memory-mapped. Its key is the model's weights, the
tokens, the block and the precision.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from prehoc.config import digest
from prehoc.errors import InputError
from prehoc.tasks.encode import kept
from prehoc.tasks.machine import Machine, at_once, stays
from prehoc.tasks.prefix import blocks, check_cut, entering_block, truncate

TOKENS = 8192  # tokens that go through the prefix at a time
CHECKED = 4  # examples on which a cut model is compared with the whole
log = logging.getLogger("prehoc")


@dataclass(frozen=True)
class Frozen:
    """Packed states [N + 1, H], a row of zeros last, and each example's first row and length [n]."""

    states: torch.Tensor
    starts: torch.Tensor
    counts: torch.Tensor

    def take(self, rows: torch.Tensor, length: int) -> torch.Tensor:
        """States [n, length, H] of examples `rows` [n], zero beyond each one's own length."""
        place = torch.arange(length, device=rows.device)
        last = len(self.states) - 1
        inside = place < self.counts[rows][:, None]
        index = torch.where(inside, self.starts[rows][:, None] + place, last)
        flat = self.states.index_select(0, index.flatten().to(self.states.device))
        return flat.view(len(rows), length, -1)


def chunks(counts: torch.Tensor, tokens: int) -> list[torch.Tensor]:
    """Rows [n] sorted by length and cut so that a chunk, padded to its longest, has at most `tokens`."""
    order = torch.argsort(counts, stable=True)
    lengths = counts[order].tolist()
    parts, first = [], 0
    for i, length in enumerate(lengths):
        if i > first and (i + 1 - first) * length > tokens:
            parts.append(order[first:i])
            first = i
    return [*parts, order[first:]] if len(order) else []


def cut_below(model: Any, layer: int, tokens: Mapping[str, torch.Tensor]) -> Any | None:
    """The model from block `layer` on; None, with a line in the log, where it cannot be cut exactly.

    `tokens` are the model's inputs by name, [CHECKED, L] each, on the model's device.
    """
    try:
        cut = truncate(model, layer)
        check_cut(model, cut, layer, tokens)
    except InputError as error:
        why = str(error).removeprefix("method.layers: ").removesuffix("; set layers: all")
        log.info(f"{why}; every step computes the whole model instead")
        return None
    return cut


def frozen_states(
    model: Any,
    layer: int,
    tokens: Mapping[str, torch.Tensor],
    counts: torch.Tensor,
    where: tuple[Path, str],
    machine: Machine,
) -> Frozen:
    """States entering block `layer` for tokens [n, L], the first `counts` [n] of each real.

    `where` is the store and what pins the model's weights; the model is on the machine already.
    """
    store, weights = where
    sha = hashlib.sha256()
    for name in sorted(tokens):
        sha.update(f"{name}:{tuple(tokens[name].shape)}".encode() + tokens[name].numpy().tobytes())
    key = {
        "kind": "prefix",
        "format": 1,
        "weights": weights,
        "tokens": sha.hexdigest()[:16],
        "layer": layer,
        "precision": machine.precision,
    }

    def build() -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        starts = torch.cumsum(counts, 0) - counts
        block = blocks(model)[layer]
        packed: torch.Tensor | None = None
        for rows in chunks(counts, at_once(TOKENS, machine)):
            longest = int(counts[rows].max())
            part = {k: v[rows, :longest].to(machine.device) for k, v in tokens.items()}
            states = entering_block(model, block, part).cpu()
            if packed is None:
                packed = torch.zeros(int(counts.sum()) + 1, states.shape[2], dtype=states.dtype)
            real = torch.arange(longest) < counts[rows][:, None]
            packed[(starts[rows][:, None] + torch.arange(longest))[real]] = states[real]
        assert packed is not None
        return {"states": packed, "starts": starts, "counts": counts}, key

    held = kept(store / "encodings" / f"{digest(key)}.safetensors", build)
    states = stays(held.tensors["states"], machine)
    return Frozen(states, *(held.tensors[k].to(states.device) for k in ("starts", "counts")))
