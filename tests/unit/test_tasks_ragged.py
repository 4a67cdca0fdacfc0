"""Sequences of many lengths side by side: every token once, whatever the padding."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from prehoc.tasks.ragged import layout


@pytest.mark.parametrize("step", [1, 4])
def test_a_layout_holds_every_token_once(step):
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 9, 30)
    starts = np.cumsum(lengths) - lengths
    examples = rng.integers(0, 30, (3, 5))
    where = layout(starts, lengths, examples, step, torch.device("cpu"))
    flat = examples.ravel()
    real = where.real.numpy() if where.real is not None else np.ones(len(where.source), bool)
    wanted = np.concatenate([starts[e] + np.arange(lengths[e]) for e in flat])
    assert where.source.numpy()[real].tolist() == wanted.tolist()
    assert where.source.numpy()[where.first.numpy()].tolist() == starts[flat].tolist()
    assert where.offsets[0] == 0
    assert where.offsets[-1] == len(where.source)
    assert len(set(zip(where.run_of_row.tolist(), where.within.tolist(), strict=True))) == len(where.source)
    seen = np.concatenate([g.rows.numpy().ravel() for g in where.groups])
    assert sorted(seen.tolist()) == list(range(len(where.source)))
    for group in where.groups:
        assert (group.rows.shape[1] % step) == 0
        hidden = 0 if group.mask is None else int((group.mask < 0).sum())
        own = lengths[flat[group.sequences.numpy()]]
        assert hidden == group.rows.numel() - own.sum()
