"""What a label's cell means: whether it is missing, and the name of the class that it stands for.

One rule for the reader of training (on pandas' values) and for checks before any job (on a file's cells).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable

# What pandas.read_csv takes for an empty cell.
EMPTY = frozenset(
    ("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>",
     "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null")
)  # fmt: skip
COUNTED = "empty cells, NA, null and None count as missing"
_COMMA = re.compile(r"\s*[-+]?\d+,\d+\s*")


def missing(cell: object, table: bool) -> bool:
    """Whether a file's cell is empty to the reader; `table` says that it is of a CSV or TSV file."""
    if table:
        return cell in EMPTY
    return cell is None or (isinstance(cell, float) and math.isnan(cell))


def name_of(value: object) -> str:
    """The name of the class that a value stands for: 1.0 is 1, as integers with gaps are read as floats."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def spelt(wanted: object, names: Iterable[str]) -> str | None:
    """Which of `names` a config's label means: as it stands there, else as a number or a truth value."""
    have = list(names)
    number = _number(wanted)
    for said in (str(wanted), "" if number is None else name_of(number), str(wanted).capitalize()):
        if said in have:
            return said
    return None


def counts(cells: Iterable[object], table: bool) -> Counter[str]:
    """How often each class stands in a column's cells, under the reader's names for them.

    A column of numbers alone is read as numbers, one of truth values alone (of a table) as such.
    """
    given = list(cells)
    kept = (c for c in given if not missing(c, table))
    there = Counter(c if isinstance(c, str | int | float) else str(c) for c in kept)
    numbers = {c: _number(c) for c in there}
    made: Counter[str] = Counter()
    # pandas makes numbers of an object's truth values where one is missing, or beside numbers.
    truths = all(isinstance(c, bool) for c in there) and there.total() == len(given)
    if all(n is not None for n in numbers.values()) and not truths:
        for cell, n in there.items():
            number = numbers[cell]
            if number is not None and not math.isnan(number):
                made[name_of(int(number) if isinstance(number, bool) else number)] += n
        return made
    truths = table and all(str(c).lower() in ("true", "false") for c in there)
    for cell, n in there.items():
        made[str(cell).capitalize() if truths else name_of(cell)] += n
    return made


def _number(cell: object) -> int | float | None:
    """A cell as a number, as pandas would read it; None where it is none."""
    if isinstance(cell, int | float):
        return cell
    try:
        if "_" in str(cell):
            return None
        try:
            return int(str(cell))
        except ValueError:
            return float(str(cell))
    except ValueError:
        return None


def decimal_commas(cells: Iterable[object]) -> str | None:
    """The first of the cells if all that are texts look like 0,52, and there is one; else None."""
    texts = [c for c in cells if isinstance(c, str)]
    return texts[0] if texts and all(_COMMA.fullmatch(c) for c in texts) else None


def alike(names: Iterable[str]) -> list[tuple[str, str]]:
    """Pairs of names that differ by blanks or by upper and lower case alone."""
    first: dict[str, str] = {}
    found = []
    for name in names:
        key = " ".join(name.split()).casefold()
        if key in first:
            found.append((first[key], name))
        first.setdefault(key, name)
    return found
