"""The depths at which a run is measured: checked, or geometric."""

from __future__ import annotations

import math
from collections.abc import Iterable

from prehoc.errors import InputError


def geometric_depths(horizon: int) -> list[int]:
    """The depths 1, 2, 4, ... below `horizon`, and `horizon` itself, in steps.

    Raises InputError for a horizon below 1.
    """
    if horizon < 1:
        raise InputError(f"depths: a horizon is a whole number of 1 or more, not {horizon!r}")
    return [*(2**k for k in range((horizon - 1).bit_length())), horizon]


def whole_depths(depths: Iterable[int] | str | None) -> list[int] | str | None:
    """`depths` in order, each once; "geometric" and None as they are.

    Raises InputError for what is no whole number of 1 or more.
    """
    if depths is None or depths == "geometric":
        return depths
    if isinstance(depths, str) or not isinstance(depths, Iterable):
        raise InputError(f'depths: takes steps as [1, 2, 4, 8], or "geometric", not {depths!r}')
    made = set()
    for depth in depths:
        number = isinstance(depth, float) or hasattr(depth, "__index__")
        if not number or isinstance(depth, bool) or not math.isfinite(depth) or depth % 1:
            raise InputError(f"depths: takes whole numbers of steps, not {depth!r}")
        if depth < 1:
            raise InputError(
                f"depths: {depth} is before the first step; for depth 0 set eval_on_start=True"
            )
        made.add(int(depth))
    return sorted(made)


def forced_depths(depths: list[int] | str | None, horizon: int) -> set[int]:
    """The steps of a training of `horizon` steps that `depths` stands for; none for None.

    Raises InputError for a depth past the horizon.
    """
    if depths is None:
        return set()
    if isinstance(depths, str):
        return set(geometric_depths(horizon))
    late = [depth for depth in depths if depth > horizon]
    if late:
        raise InputError(
            f"depths: {late[0]} is past the last step, {horizon}; leave it out, or train longer"
        )
    return set(depths)
