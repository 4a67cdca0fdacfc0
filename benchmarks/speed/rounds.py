"""Interleaved rounds: every contender has its turn in each, so that a busy minute hits all alike."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
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
        one.steps = max(1, min(most, round(seconds / took)))
        one.every = 2 if took > 4 * seconds else 1


def play(contenders: list[Contender], rounds: int) -> None:
    """Time all contenders in turn, `rounds` times; None stands where one sat out."""
    for turn in range(rounds):
        for one in contenders:
            if turn % one.every:
                one.speeds.append(None)
            else:
                one.speeds.append(one.steps * one.seeds / one.run(one.steps))


def ratio(one: Contender, base: Contender) -> float:
    """The median over rounds of one's speed over that of `base` in the same round."""
    pairs = zip(one.speeds, base.speeds, strict=True)
    return statistics.median(a / b for a, b in pairs if a is not None and b is not None)


def rows(contenders: list[Contender], base: Callable[[Contender], Contender]) -> list[dict[str, Any]]:
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
