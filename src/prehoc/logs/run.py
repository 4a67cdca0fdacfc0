"""What every reader makes: runs, with their metrics raw as logged, and notes of what was set aside."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from prehoc.errors import InputError

STATUSES = ("finished", "aborted", "failed", "running", "unknown")


class Point(NamedTuple):
    """One logged value: its depth and value as they stand in the log, and where that is."""

    depth: Any
    value: Any
    file: str
    line: int


@dataclass
class Run:
    """One training run as its tool logged it.

    `series` maps a metric's name to its points in the order logged; `splits` does so for points of other
    splits than val; `source` is the path relative to what was imported.
    """

    source: str
    task: str
    series: dict[str, list[Point]] = field(default_factory=dict)
    splits: dict[str, list[Point]] = field(default_factory=dict)
    hp: dict[str, Any] = field(default_factory=dict)
    status: str = "unknown"
    logged_seed: Any = None
    group: str = ""
    final: float | None = None

    def log(self, metric: str, depth: Any, value: Any, file: str, line: int) -> None:
        """Append one logged value."""
        self.series.setdefault(metric, []).append(Point(depth, value, file, line))

    def log_row(self, row: Mapping[str, Any], depth: Any, file: str, line: int) -> None:
        """Append every cell of a row that holds something."""
        for key, value in row.items():
            if key and value is not None and value != "":
                self.series.setdefault(key, []).append(Point(depth, value, file, line))


@dataclass(frozen=True)
class Options:
    """What the user asked for; every reader gets it, and takes what concerns it."""

    metric: str | None = None
    task: str | None = None
    task_by: tuple[str, ...] = ()
    final: str | None = None
    group_by: str | None = None
    depth: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, str] = field(default_factory=dict)
    empty: str = "auto"
    skip_bad: bool = False
    not_read: tuple[str, ...] = ()  # files that we write ourselves, absolute


class Notes:
    """What was set aside and what a person should know, in the order met."""

    def __init__(self, skip_bad: bool = False) -> None:
        self.skip_bad = skip_bad
        self.said: list[str] = []
        self._aside: Counter[tuple[str, str]] = Counter()
        self._first: dict[tuple[str, str], str] = {}
        self._counted: Counter[tuple[str, str]] = Counter()

    def say(self, line: str) -> None:
        """Keep one line for the person."""
        if line not in self.said:
            self.said.append(line)

    def aside(self, what: str, why: str, where: str, count: int = 1) -> None:
        """Count something that is not taken over."""
        self._aside[what, why] += count
        self._first.setdefault((what, why), where)

    def bad(self, where: str, fault: str, remedy: str, what: str = "line") -> None:
        """Refuse bad input with one line; where bad lines are set aside, count it instead.

        Raises InputError naming the place, the fault and the remedy.
        """
        if not self.skip_bad:
            raise InputError(f"{where}: {fault}; {remedy}, or set such {what}s aside with --bad-lines skip")
        kind = re.sub(r"'[^']*'", "...", fault).split(":")[0]
        self.aside(what, kind, where)

    def count(self, what: str, why: str, number: int) -> None:
        """Count something that is not taken over and that a line of its own tells."""
        self._counted[what, why] += number

    def counts(self) -> list[dict[str, Any]]:
        """All that was not taken over, as {what, count, why}."""
        both = [*self._aside.items(), *self._counted.items()]
        return [{"what": what, "count": n, "why": why} for (what, why), n in both if n]

    def lines(self) -> list[str]:
        """What was set aside, one line a reason."""
        return [
            f"set aside: {count(n, what)}: {why} (first: {self._first[what, why]})"
            for (what, why), n in self._aside.items()
        ]


def number(value: Any) -> float:
    """The number that a log holds; NaN for NaN and infinities, which are failures of the run.

    Raises ValueError if it is no number.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("not a number")
    made = float(value)
    return made if math.isfinite(made) else math.nan


def whole(value: Any) -> int:
    """The whole number >= 0 that a log holds, as 10, 10.0 or "1e3"; ValueError if it is none."""
    if type(value) is int and 0 <= value < 2**62:
        return value
    made = number(value)
    if not 0 <= made < 2**62 or made % 1:  # NaN too
        raise ValueError("not a whole number >= 0")
    return int(value) if isinstance(value, int) else int(made)


def scalar(text: Any) -> Any:
    """Text as the number, true or false it spells; anything else as it is."""
    if not isinstance(text, str):
        return text
    word = text.strip()
    if word.lower() in ("true", "false"):
        return word.lower() == "true"
    try:
        return int(word)
    except ValueError:
        pass
    try:
        return float(word)
    except ValueError:
        return text


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, names joined by dots; lists as JSON text; None left out."""
    made: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            made.update(flat(value, f"{name}."))
        elif isinstance(value, list | tuple):
            made[name] = json.dumps(value, default=str)
        elif value is not None:
            made[name] = value if isinstance(value, str | int | float | bool) else str(value)
    return made


_SEEDS = ("seed", "random_seed", "seed_everything", "rng_seed", "data_seed")


def seed_of(hp: Mapping[str, Any]) -> Any:
    """The seed among hyperparameters, whatever they are nested in; None if there is none."""
    for word in _SEEDS:
        for key, value in hp.items():
            if key.lower().replace("/", ".").rsplit(".", 1)[-1] == word:
                return value
    return None


def count(n: int, word: str) -> str:
    """A number with its noun: 1 run, 2 runs."""
    return f"{n} {word}{'' if n == 1 else 's'}"


def few(words: Iterator[str] | list[str] | tuple[str, ...], most: int = 12) -> str:
    """A list of words for a message, cut after `most`."""
    words = list(words)
    more = f" and {len(words) - most} more" if len(words) > most else ""
    return ", ".join(words[:most]) + more
