"""Which columns hold texts and labels, what kind of task they make, and by what it is measured."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from prehoc.errors import InputError
from prehoc.labels import COUNTED, decimal_commas
from prehoc.newtask.look import Column, Table

KINDS = ("classification", "regression", "text_generation")
CLASSES = 50  # values that a label may have, beyond which a name or --kind has to say that it is a class
FEW_NUMBERS = 20  # values of a number beyond which it is predicted as a number
UNEVEN = 0.75  # share of the largest class from which on accuracy says little
FREE = 3.0  # mean words from which on a column is free text
PAIRS = (
    ("sentence1", "sentence2"), ("premise", "hypothesis"), ("question1", "question2"),
    ("question", "sentence"), ("text_a", "text_b"), ("query", "passage"),
)  # fmt: skip
COMPLETIONS = (
    ("prompt", "completion"), ("question", "answer"), ("instruction", "output"),
    ("instruction", "response"), ("input", "output"), ("prompt", "response"), ("source", "target"),
    ("query", "response"),
)  # fmt: skip
TEXTS = (
    "text", "sentence", "body", "content", "review", "comment", "message", "document", "description",
    "question", "tweet", "utterance", "title",
)  # fmt: skip
LABELS = (
    "label", "labels", "target", "class", "category", "y", "sentiment", "topic", "intent", "queue",
    "score", "rating", "stars", "grade",
)  # fmt: skip
NUMBERS = ("id", "idx", "index", "uid", "guid", "row", "rowid", "no")


@dataclass(frozen=True)
class Guess:
    """A task's kind and columns; `reasons` say what was guessed, and why."""

    kind: str
    texts: list[str]
    label: str
    reasons: list[str]

    @property
    def number(self) -> bool:
        """Whether labels are numbers to be predicted."""
        return self.kind == "regression"


def guess(table: Table, texts: list[str], label: str | None, kind: str | None) -> Guess:
    """The columns and the kind; what is given is taken as it is.

    Raises InputError with one line that says which option would settle it, where it cannot be told.
    """
    have = ", ".join(table.columns)
    for name in [*texts, *([label] if label else [])]:
        if name not in table.columns:
            raise InputError(f"--data: no column {name!r}; it has {have}")
    if label in texts:
        raise InputError(f"--label: {label!r} is a text column too; name the label's")
    if len(texts) > 2:
        raise InputError("--text: give it once, or twice for a pair task")
    if len(set(texts)) < len(texts):
        raise InputError(f"--text: {texts[0]!r} stands there twice; a pair task has two columns")
    reasons: list[str] = []
    if not texts and label is None and kind in (None, "text_generation"):
        names = _known_pair(table, COMPLETIONS)
        if names and (kind == "text_generation" or _no_classes(table, names)):
            reasons.append(f"columns {names[0]!r} and {names[1]!r} by their names")
            _points(table, names[1], kind)
            _fits(table, table.columns[names[1]], "text_generation")
            return Guess("text_generation", [names[0]], names[1], reasons)
    if not texts:
        texts = _texts(table, label, kind)
        reasons.append(f"texts in {' and '.join(map(repr, texts))}")
    if label is None:
        label = _label(table, texts, kind)
        reasons.append(f"labels in {label!r}")
    column = table.columns[label]
    if label.lower() in TEXTS and any(name.lower() in LABELS for name in texts):
        reasons.append("the columns' names say the opposite: if they are right, give --text and --label")
    _two(table, column, kind)
    _points(table, label, kind)
    if kind is None:
        kind = _kind(table, column, texts)
        reasons.append(f"kind {kind}")
    _fits(table, column, kind)
    return Guess(kind, texts, label, reasons)


def _known_pair(table: Table, known: tuple[tuple[str, str], ...]) -> tuple[str, str] | None:
    lower = {name.lower(): name for name in table.columns}
    return next(((lower[a], lower[b]) for a, b in known if a in lower and b in lower), None)


def _no_classes(table: Table, names: tuple[str, str]) -> bool:
    """Whether the second column is no label by its values, and none other by its name."""
    second = table.columns[names[1]]
    others = [c for c in table.columns if c not in names and c.lower() in LABELS]
    return not others and (second.words >= FREE or second.distinct > len(table.frame) / 4)


def _texts(table: Table, label: str | None, kind: str | None) -> list[str]:
    pair = _known_pair(table, PAIRS) if kind != "text_generation" else None
    if pair and label not in pair:
        return list(pair)
    strings = [c for c in table.columns.values() if not c.number and c.name != label and c.distinct > 1]
    named = [c.name for word in TEXTS for c in strings if c.name.lower() == word]
    if len(named) == 1 or (named and named[0].lower() == "text"):
        return named[:1]
    if named:
        raise InputError(f"--text: {' or '.join(map(repr, named))}? Say which with --text COLUMN")
    free = sorted(strings, key=lambda c: -c.characters)
    if not free:
        raise InputError(f"--text: no column of texts among {', '.join(table.columns)}; say --text COLUMN")
    if len(free) > 1 and free[1].words >= FREE and free[0].characters < 3 * free[1].characters:
        raise InputError(f"--text: {free[0].name!r} or {free[1].name!r}? Say which with --text COLUMN")
    return [free[0].name]


def _label(table: Table, texts: list[str], kind: str | None) -> str:
    rows = len(table.frame)
    rest = [c for c in table.columns.values() if c.name not in texts and c.distinct > 1]
    rest = [c for c in rest if not (c.name.lower() in NUMBERS and c.distinct > rows / 2)]
    named = [c.name for word in LABELS for c in rest if c.name.lower() == word]
    if len(named) == 1 or (named and named[0].lower() == "label"):
        return named[0]
    if named:
        raise InputError(f"--label: {' or '.join(map(repr, named))}? Say which with --label COLUMN")
    if kind == "text_generation":
        usable = [c for c in rest if not c.number]
    else:
        usable = [c for c in rest if _classes(c, rows) or (c.number and not _counter(c, rows))]
        usable = usable or [c for c in rest if c.words >= FREE]
    if len(usable) == 1:
        return usable[0].name
    if not usable:
        constant = [c for c in table.columns if c not in texts and c.lower() in LABELS]
        if constant:
            return constant[0]  # one value alone, and told so
        have = ", ".join(c for c in table.columns if c not in texts)
        raise InputError(f"--label: none of {have} looks like a label; say --label COLUMN")
    names = " or ".join(repr(c.name) for c in usable[:6])
    raise InputError(f"--label: {names}? Say which with --label COLUMN")


def _counter(column: Column, rows: int) -> bool:
    """Whether a column numbers the rows."""
    return column.whole and column.distinct == rows


def _classes(column: Column, rows: int) -> bool:
    """Whether a column's values repeat as classes' names do."""
    if column.number and not (column.whole and column.distinct <= FEW_NUMBERS):
        return False
    return 2 <= column.distinct <= min(CLASSES, max(2, rows // 5)) and column.words < 8


def _kind(table: Table, column: Column, texts: list[str]) -> str:
    rows = len(table.frame) - column.missing
    if _classes(column, rows):
        return "classification"
    if column.number:
        return "regression"
    if len(texts) == 1 and (column.words >= FREE or column.distinct > rows / 2):
        return "text_generation"
    raise InputError(
        f"--kind: {column.name!r} has {column.distinct} values in {rows} rows: classes, or texts to be "
        f"written? Say --kind {' or '.join(KINDS)}"
    )


def _points(table: Table, label: str, kind: str | None) -> None:
    """Raise InputError where labels may be numbers with decimal commas, which are read as texts."""
    seen = decimal_commas(table.frame[label].dropna()) if kind in (None, "regression") else None
    if seen is not None:
        raise InputError(
            f"--label: {label!r} holds numbers with commas ({seen!r}), which are read as texts: write a "
            "point for a decimal comma, and none for thousands; or say --kind, where they are texts"
        )


def _two(table: Table, column: Column, kind: str | None) -> None:
    """Raise InputError where a label has one value alone."""
    if column.distinct < 2:
        value = "nothing" if not column.distinct else repr(str(table.frame[column.name].dropna().iloc[0]))
        what = "texts to be written" if kind == "text_generation" else "labels"
        also = f" ({column.missing} rows have none: {COUNTED})" if column.missing else ""
        raise InputError(f"--label: {column.name!r} holds {value} alone; two {what} are needed{also}")


def _fits(table: Table, column: Column, kind: str) -> None:
    """Raise InputError where a label cannot serve the kind."""
    rows = len(table.frame) - column.missing
    _two(table, column, kind)
    if kind == "regression" and not column.number:
        raise InputError(f"--kind regression: {column.name!r} holds texts; name a column of numbers")
    if kind == "classification" and column.distinct > max(2, rows // 2):
        raise InputError(
            f"--label: {column.name!r} has {column.distinct} values in {rows} rows, no classes; say "
            "--kind text_generation (texts to be written) or regression (numbers), or another --label"
        )


@dataclass(frozen=True)
class Measure:
    """A metric, the label that it is of (of F1), and why."""

    metric: str
    positive: str | int | None
    why: str


def measure(labels: pd.Series, number: bool) -> Measure:
    """The metric for labels [n]: accuracy, unless one class is most of them."""
    if number:
        return Measure("pearson_spearman", None, "mean of Pearson's and Spearman's correlation")
    counts = labels.value_counts()
    share = float(counts.iloc[0] / counts.sum())
    if share < UNEVEN:
        return Measure("accuracy", None, f"{len(counts)} labels, the largest {share:.0%} of the rows")
    said = f"{str(counts.index[0])!r} is {share:.0%} of the rows, so accuracy would say little"
    if len(counts) == 2:
        rare = counts.index[1]
        rare = rare.item() if isinstance(rare, np.generic) else rare
        # True and 1.0 are written in a file in more ways than one, so F1 could not name them.
        if isinstance(rare, str) or (isinstance(rare, int) and not isinstance(rare, bool)):
            return Measure("f1", rare, said)
    return Measure("matthews", None, said)
