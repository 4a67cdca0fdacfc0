"""What the tests of training share: runs' records by seed, and whether they are the same."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from prehoc.training import loop, problems


def quiet(line):
    """Progress is for people."""


def train(config, seeds, store=None):
    """Records of `seeds`, by seed, in a store of their own if one is named."""
    if store is not None:
        config = config | {"store": f"{config['store']}-{store}"}
    records, _ = loop.train(config, problems.build(config), seeds, quiet)
    found = defaultdict(list)
    for seed, *rest in records:
        found[seed].append(tuple(rest))
    return dict(found)


def same(left, right):
    """Whether two runs' records are equal to the bit, NaN like NaN."""
    return [repr(r) for r in left] == [repr(r) for r in right]


def value(records, depth, metric, split="val"):
    return next(v for d, s, m, v, _ in records if (d, s, m) == (depth, split, metric))


def files_of(config, store):
    return sorted(Path(f"{config['store']}-{store}").glob("checkpoints/**/*.safetensors"))
