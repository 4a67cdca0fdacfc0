"""Named counter-based random streams: a run's numbers come from (root, task, seed, stream) alone."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

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
    "projection": 11,
}
# What a task may cross (`crossed`), and the streams that each moves together.
CROSSED = {
    "init": ("init",),
    "order": ("order",),
    "dropout": ("dropout",),
    "label_noise": ("label_noise",),
    "subset": ("subset",),
    "population": ("population",),
    "target": ("target_sample", "target_label_noise"),
    "decoding": ("decoding",),
}
_LEVELS = 64  # added to a crossed stream's number: its keys meet no plain seed's


def name_words(name: str) -> list[int]:
    """Two 32-bit words that stand for a name in a seed sequence."""
    raw = hashlib.sha256(name.encode()).digest()
    return [int.from_bytes(raw[:4], "little"), int.from_bytes(raw[4:8], "little")]


def level(seed: int, stream: str, crossed: Sequence[str]) -> int | None:
    """Which level of `stream` run `seed` takes in the crossed design; None if it is not crossed.

    With k crossed names, run n belongs to block n // 2^k, and bit j of n % 2^k picks one of that
    block's two levels of name j: level 2 (n // 2^k) + bit.
    """
    for j, name in enumerate(crossed):
        if stream in CROSSED[name]:
            return 2 * (seed >> len(crossed)) + (seed >> j & 1)
    return None


def generator(
    root: int,
    task: str,
    seed: int,
    stream: str,
    fork: tuple[int, int] | None = None,
    crossed: Sequence[str] = (),
) -> np.random.Generator:
    """The generator of one stream of one run.

    `fork` = (depth, k) names continuation k from `depth`; None the run itself. `crossed` names what
    the task crosses: such a stream is keyed by its level instead of the seed. Streams of other seeds,
    levels, names or forks are independent (numpy.random.SeedSequence, Philox).
    """
    words = [root, *name_words(task), seed, STREAMS[stream]]
    shared = level(seed, stream, crossed) if fork is None else None
    if shared is not None:
        words[-2:] = [shared, _LEVELS + STREAMS[stream]]
    if fork is not None:
        words += [1 + fork[0], fork[1]]
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(words)))
