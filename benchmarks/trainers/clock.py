"""The clock that all contenders are timed by: the wall's, or this process's CPU time.

All run on one thread, so on an idle machine both tell the same; on a busy one CPU time leaves out the
turns of others.
"""

from __future__ import annotations

import time
from collections.abc import Callable

KINDS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.process_time}
_chosen = "wall"


def use(kind: str) -> None:
    """Time by `kind` from now on: wall or cpu."""
    global _chosen
    _chosen = kind


def chosen() -> str:
    """Which clock is in use."""
    return _chosen


def now() -> float:
    """Seconds since some moment."""
    return KINDS[_chosen]()
