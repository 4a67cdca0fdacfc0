"""Interleaved rounds: every contender has its turn in each, so that a busy minute hits all alike."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Contender:
    """Something that trains: `run(n)` gives the seconds that n steps of `seeds` runs took.

    `facts` say what it is (path, tool, seeds, precision, dropout). `steps` a round are fitted to the
    time that a round may take; one whose single step takes longer runs in every `every`-th round only.
    """

    facts: dict[str, Any]
    seeds: int
    run: Callable[[int], float]
    steps: int = 1
    every: int = 1
    speeds: list[float | None] = field(default_factory=list)
    fault: str = ""  # why it was left out

    @property
    def median(self) -> float:
        """Seed-steps a second, the median over its rounds."""
        return statistics.median(s for s in self.speeds if s is not None)


def warm_up(contenders: Iterable[Contender], seconds: float, most: int) -> None:
    """Run each once or twice untimed, and choose steps a round: `seconds` long, `most` at the most."""
    for one in contenders:
        took = one.run(1)
        if took < seconds:
            took = one.run(2) / 2
        _fit(one, took, seconds, most)


def grow(one: Contender, seconds: float, most: int) -> None:
    """As `warm_up` where steps are short beside what a turn begins with: tries of 1, 8, 64, ... steps."""
    steps, took = 1, one.run(1)
    while took < seconds / 4 and steps < most:
        steps = min(most, 8 * steps)
        took = one.run(steps)
    _fit(one, took / steps, seconds, most)


def _fit(one: Contender, took: float, seconds: float, most: int) -> None:
    """Steps a round from the seconds that one took."""
    one.steps = max(1, min(most, round(seconds / took)))
    one.every = 2 if took > 4 * seconds else 1


def play(contenders: list[Contender], rounds: int, lenient: bool = False) -> None:
    """Time all contenders in turn, `rounds` times; None stands where one sat out.

    `lenient`: one that fails sits out from then on, and its `fault` says why.
    """
    for turn in range(rounds):
        for one in contenders:
            one.speeds.append(None)
            if one.fault or turn % one.every:
                continue
            with spared(one) if lenient else nullcontext():
                one.speeds[-1] = one.steps * one.seeds / one.run(one.steps)


@contextmanager
def spared(one: Contender) -> Iterator[None]:
    """Notes a contender's failure, such as a GPU's memory that is too small, and lets the others go on."""
    try:
        yield
    except (
        RuntimeError,
        ValueError,
    ) as error:  # torch.OutOfMemoryError and CUDA's own errors are of the first
        one.fault = " ".join(str(error).split())[:160] or type(error).__name__


def ratio(one: Contender, base: Contender | None) -> float | None:
    """The median over rounds of one's speed over that of `base` in the same round, where both ran."""
    if base is None:
        return None
    pairs = zip(one.speeds, base.speeds, strict=True)
    found = [a / b for a, b in pairs if a is not None and b is not None]
    return statistics.median(found) if found else None


def rows(
    contenders: list[Contender], base: Callable[[Contender], Contender | None]
) -> list[dict[str, Any]]:
    """What was measured, one row a contender; `ratio` is to `base(contender)`."""
    return [
        {
            **one.facts,
            "seeds": one.seeds,
            "steps": one.steps,
            "speeds": one.speeds,
            "speed": one.median,
            "ratio": ratio(one, base(one)),
        }
        for one in contenders
    ]
