"""Outcomes of a crossed design whose variance components are known exactly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from prehoc.errors import InputError

REST = "rest"


def names_of(components: Mapping[str, float]) -> list[str]:
    """The crossed names among the keys of `components`, in order of first appearance."""
    return list(dict.fromkeys(n for key in components if key != REST for n in key.split(":")))


def outcomes(components: Mapping[str, float], blocks: int, rng: np.random.Generator) -> np.ndarray:
    """R of blocks * 2^k runs in the order of their seeds: block n // 2^k, bit j of n % 2^k for name j.

    `components` gives sigma^2 by key, `a` a name's own, `a:b` an interaction, `rest` noise of each run:
    R = sum over keys S of sigma_S prod over j in S of z_j, with z_j standard normal, drawn once a level.
    Products over different S are uncorrelated with variance 1, so sigma_S^2 are the ANOVA components
    and their sum is Var R.  Raises InputError for a negative component or a name said twice in a key.
    """
    keys: dict[str, Sequence[str]] = {k: k.split(":") for k in components if k != REST}
    for key, parts in keys.items():
        if len(set(parts)) < len(parts) or "" in parts:
            raise InputError(f"sources.known: {key!r}: join different names by ':', or write rest")
    for key, value in components.items():
        if not value >= 0:
            raise InputError(f"sources.known: {key}: {value} is negative; a variance is 0 or more")
    names = names_of(components)
    cells = 2 ** len(names)
    run = np.arange(blocks * cells)
    effects = {}
    for j, name in enumerate(names):
        levels = rng.standard_normal(2 * blocks)
        effects[name] = levels[2 * (run // cells) + (run >> j & 1)]
    out = np.sqrt(components.get(REST, 0.0)) * rng.standard_normal(len(run))
    for key, parts in keys.items():
        out = out + np.sqrt(components[key]) * np.prod([effects[p] for p in parts], axis=0)
    return np.asarray(out)
