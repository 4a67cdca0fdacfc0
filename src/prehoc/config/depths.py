"""Depths by a rule: geometric, as dense as asked for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

CLOSEST = 1.01  # ratio of depths
# `depths` is a list, or where the first stands and how far apart they are.
DEPTHS: dict[str, Any] = {
    "anyOf": [
        {"type": "array", "items": {"type": "integer", "minimum": 1}},
        {
            "type": "object",
            "properties": {
                "first": {"type": "integer", "minimum": 1},
                "ratio": {"type": "number", "minimum": CLOSEST},
            },
            "required": ["first", "ratio"],
            "additionalProperties": False,
        },
    ]
}


def geometric(asked: Mapping[str, Any], horizon: Any) -> list[int]:
    """Depths first, first * ratio, first * ratio^2, ... to below the horizon, rounded, each once.

    `asked` is {first, ratio}.  Raises ValueError for other keys or values.
    """
    first, ratio = asked.get("first"), asked.get("ratio")
    whole = all(isinstance(n, int) and not isinstance(n, bool) and n >= 1 for n in (first, horizon))
    if (
        set(asked) != {"first", "ratio"}
        or not whole
        or not isinstance(ratio, int | float)
        or not ratio >= CLOSEST
    ):
        raise ValueError(
            "depths: write a list, or {first: F, ratio: Q}, F of 1 or more and Q of 1.01 or more, as in "
            "{first: 1, ratio: 1.4142}"
        )
    assert isinstance(first, int)  # for the type checker
    count = math.ceil(math.log(max(horizon / first, 1.0)) / math.log(ratio)) + 1
    made = {round(first * ratio**k) for k in range(count)}
    return sorted(d for d in made if d < horizon) or [first]
