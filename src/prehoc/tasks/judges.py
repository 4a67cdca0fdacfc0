"""Judges of generated texts: whether each text is a right answer to its row of the data."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, Protocol

import numpy as np

from prehoc.errors import InputError

Row = Mapping[str, Any]


class Judge(Protocol):
    """Judges texts; called once a split with the texts of all runs, run by run, as it may be slow."""

    def __call__(self, rows: Sequence[Row], texts: Sequence[str]) -> np.ndarray:
        """Whether each text is right, bool [n]; `rows` [n] are the data's columns, by name."""


_NUMBER = re.compile(r"(?:(?<![\w)])-\$?|\$-?)?(?:\d[\d,]*\.?\d*|\.\d+)")


def final_number(text: str) -> Decimal | None:
    """The number behind the last `####`, else the last number of the text; None if there is none.

    Read as GSM8K's practice is (Cobbe et al. 2021, grade_school_math/dataset.py, which takes what follows
    `####` and drops commas): commas, `$`, and dots at the end go; 18, 18.0 and 18.00 are one number.
    """
    _, mark, behind = text.rpartition("####")
    found = _NUMBER.findall(behind if mark else text)
    if not found:
        return None
    raw = found[0] if mark else found[-1]
    try:
        return Decimal(raw.replace(",", "").replace("$", "").rstrip("."))
    except InvalidOperation:
        return None


class NumberJudge:
    """Right where the final number is the reference's."""

    def __init__(self, reference: Callable[[Row], str]) -> None:
        self.reference = reference

    def __call__(self, rows: Sequence[Row], texts: Sequence[str]) -> np.ndarray:
        """As `Judge`; a text without a number is wrong."""
        pairs = zip(rows, texts, strict=True)
        said = [(final_number(self.reference(r)), final_number(t)) for r, t in pairs]
        return np.array([a is not None and a == b for a, b in said], bool)

    def check(self, rows: Sequence[Row], numbers: Sequence[int] | None = None) -> None:
        """Raise InputError for the first row whose reference has no number; `numbers` as in the data."""
        for i, row in zip(numbers or range(1, len(rows) + 1), rows, strict=True):
            if final_number(self.reference(row)) is None:
                text = self.reference(row)[:60]
                raise InputError(
                    f"generation.judge: number, but the completion of row {i}, {text!r}, holds none; "
                    "set judge: exact, or change generation.completion"
                )


class ExactMatchJudge:
    """Right where the text is the reference, blanks at both ends aside."""

    def __init__(self, reference: Callable[[Row], str]) -> None:
        self.reference = reference

    def __call__(self, rows: Sequence[Row], texts: Sequence[str]) -> np.ndarray:
        """As `Judge`."""
        pairs = zip(rows, texts, strict=True)
        return np.array([self.reference(r).strip() == t.strip() for r, t in pairs], bool)

    def check(self, rows: Sequence[Row], numbers: Sequence[int] | None = None) -> None:
        """Nothing can be wrong with a reference."""


def judge_of(name: str, reference: Callable[[Row], str], sandbox: Mapping[str, Any] | None = None) -> Judge:
    """The judge that generation.judge names; `reference` gives a row's completion.

    `sandbox` is the config's block of that name, for `tests`. Raises InputError for an unknown judge.
    """
    if name == "number":
        return NumberJudge(reference)
    if name == "exact":
        return ExactMatchJudge(reference)
    if name == "tests":
        from prehoc.sandbox import Limits
        from prehoc.tasks.code_judge import CodeJudge

        given = dict(sandbox or {})
        kind = str(given.pop("kind", "auto"))
        return CodeJudge(Limits(**given), kind)
    raise InputError(f"generation.judge: {name!r} is not available; choose number, exact or tests")
