"""Named counter-based random streams: a run's numbers come from (root, task, seed, stream) alone."""

from __future__ import annotations

import hashlib

import numpy as np

STREAMS = {
    "init": 0,
    "order": 1,
    "dropout": 2,
    "label_noise": 3,
    "target_sample": 4,
    "population": 5,
    "subset": 6,
    "target_label_noise": 7,
    "target_domain": 8,
    "decoding": 9,
    "data_split": 10,
}


def name_words(name: str) -> list[int]:
    """Two 32-bit words that stand for a name in a seed sequence."""
    raw = hashlib.sha256(name.encode()).digest()
    return [int.from_bytes(raw[:4], "little"), int.from_bytes(raw[4:8], "little")]


def generator(
    root: int, task: str, seed: int, stream: str, fork: tuple[int, int] | None = None
) -> np.random.Generator:
    """The generator of one stream of one run.

    `fork` = (depth, k) names continuation k from `depth`; None the run itself. Streams of other
    seeds, names or forks are independent (numpy.random.SeedSequence, Philox).
    """
    words = [root, *name_words(task), seed, STREAMS[stream]]
    if fork is not None:
        words += [1 + fork[0], fork[1]]
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(words)))
