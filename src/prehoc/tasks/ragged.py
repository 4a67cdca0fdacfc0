"""Sequences of many lengths side by side: rows of tokens without padding, run by run.

A step's S*B sequences lie one behind the other in one matrix of rows, so that every layer computes real
tokens only. Sequences of (nearly) equal length are gathered into groups where they must meet: in
attention. A sequence's group depends on its own length alone, so its company changes none of its numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch

LONGEST = 1 << 16  # tokens of a text: rows of two texts never share a number, however they are padded


@dataclass(frozen=True)
class Group:
    """Sequences [n] of one padded length, and where their tokens [n, length] lie among the rows.

    `mask` [n, 1, length] is 0 at real tokens and -inf at padding; None where there is no padding.
    """

    sequences: torch.Tensor
    rows: torch.Tensor
    mask: torch.Tensor | None
    places: dict[str, torch.Tensor] = field(default_factory=dict)

    def parts(self, blocks: int, heads: int) -> torch.Tensor:
        """Flat index of [blocks, n, heads, length] into rows seen as [rows * blocks * heads, width]."""
        name = f"{blocks}.{heads}"
        if name not in self.places:
            device = self.rows.device
            block = torch.arange(blocks, device=device)[:, None, None, None] * heads
            head = torch.arange(heads, device=device)[None, None, :, None]
            row = self.rows[None, :, None, :] * (blocks * heads)
            self.places[name] = (row + block + head).flatten()
        return self.places[name]


@dataclass(frozen=True)
class Layout:
    """Where the sequences of S runs lie: run s has rows offsets[s] to offsets[s + 1].

    `source` [N] is each row's token in the store, `first` [S*B] the row of each sequence's first token,
    `within` [N] a number of the row that is unique in its run and free of its company.
    """

    runs: int
    offsets: list[int]
    source: torch.Tensor
    first: torch.Tensor
    run_of_row: torch.Tensor
    within: torch.Tensor
    sequence_of_row: torch.Tensor
    real: torch.Tensor | None
    groups: list[Group]


def layout(
    starts: np.ndarray, lengths: np.ndarray, examples: np.ndarray, step: int, device: torch.device
) -> Layout:
    """The layout of `examples` [S, B], whose tokens lie at `starts` [n], `lengths` [n] in the store.

    Lengths are rounded up to multiples of `step`; step 1 computes no padding at all. A padded row
    repeats its sequence's last token, and no real token attends to it.
    """
    runs, batch = examples.shape
    flat = examples.ravel()
    length = lengths[flat]
    padded = -(-length // step) * step
    begin = np.concatenate([[0], np.cumsum(padded)])
    total = int(begin[-1])
    sequence = np.repeat(np.arange(len(flat)), padded)
    place = np.arange(total) - begin[sequence]
    source = starts[flat][sequence] + np.minimum(place, length[sequence] - 1)
    within = (sequence % batch) * LONGEST + place

    def put(values: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).to(device)

    groups = []
    for size in np.unique(padded):
        own = np.flatnonzero(padded == size)
        rows = begin[own][:, None] + np.arange(size)
        gap = np.arange(size) >= length[own][:, None]
        mask = put(np.where(gap, -np.inf, 0.0).astype(np.float32)[:, None]) if gap.any() else None
        groups.append(Group(put(own), put(rows), mask))
    return Layout(
        runs,
        begin[::batch].tolist(),
        put(source),
        put(begin[:-1]),
        put(sequence // batch),
        put(within),
        put(sequence),
        put(place < length[sequence]) if step > 1 else None,
        groups,
    )
