"""What the sandbox costs: milliseconds a program at each level, beside an interpreter without fences.

python benchmarks/sandbox.py [--programs N] [--jobs J]
"""

from __future__ import annotations

import argparse
import subprocess
import time
from collections.abc import Callable

from prehoc.sandbox import KINDS, Program, available, run_all
from prehoc.sandbox.levels import interpreter


def _timed(work: Callable[[], object], count: int) -> float:
    """Milliseconds an item, best of three."""
    best = float("inf")
    for _ in range(3):
        began = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - began)
    return 1000 * best / count


def main() -> None:
    """Print one line a level."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--programs", type=int, default=50)
    parser.add_argument("--jobs", type=int, default=1)
    asked = parser.parse_args()
    programs = [
        Program(f"def f(x):\n    return x + {k}", f"assert f(1) == {k + 1}") for k in range(asked.programs)
    ]
    bare = [interpreter(), "-I", "-S", "-c", "pass"]
    plain = _timed(lambda: [subprocess.run(bare, check=True) for _ in programs], asked.programs)
    print(f"python -I -S, no fences, one at a time: {plain:.1f} ms a program")
    for kind in KINDS:
        reason = available()[kind]
        if reason:
            print(f"{kind}: cannot be had here: {reason}")
            continue
        cost = _timed(lambda k=kind: run_all(programs, jobs=asked.jobs, kind=k), asked.programs)  # type: ignore[misc]
        print(f"{kind}, {asked.jobs} at a time: {cost:.1f} ms a program")


if __name__ == "__main__":
    main()
