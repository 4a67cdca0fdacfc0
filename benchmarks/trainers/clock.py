"""The clock that all contenders are timed by: the wall's, or this process's CPU time.

On a CPU all run on one thread, so on an idle machine both tell the same; on a busy one CPU time leaves
out the turns of others. A GPU is waited for before the clock is read: only the wall's can time it.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from trainers import place

KINDS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.process_time}
_chosen = "wall"


def use(kind: str) -> None:
    """Time by `kind` from now on: wall or cpu."""
    global _chosen
    _chosen = kind


def chosen() -> str:
    """Which clock is in use."""
    return _chosen


def now(settled: bool = True) -> float:
    """Seconds since some moment; `settled`: when a GPU has done what it was told, else at once."""
    if settled:
        place.settle()
    return KINDS[_chosen]()
