"""Generated rows for text generation: word problems of GSM-Symbolic, and sums as text."""

from __future__ import annotations

import importlib
import sys
import types
from random import Random
from typing import Any

import numpy as np

from prehoc.errors import InputError
from prehoc.tasks.data import package_folder

SEED = 1
NAMES = ("gsm-symbolic", "addition")
# Templates whose answers reasoning-gym's authors do not vouch for (`tasks_need_fix`).
_DOUBTFUL = {32, 35, 37, 61, 63, 65, 74, 76, 77, 79, 86, 87, 90, 97, 98}
_PACKAGE = "reasoning_gym"


def generated(name: str, subset: str | None, count: int) -> list[dict[str, Any]]:
    """`count` rows of the packaged data `name`; a longer list begins like a shorter one.

    Raises InputError for an unknown name, a bad subset, or too few distinct rows.
    """
    if name == "gsm-symbolic":
        return _gsm_symbolic(subset, count)
    if name == "addition":
        return _addition(subset, count)
    raise InputError(f"data.name: packaged:{name}: unknown; generated data are {', '.join(NAMES)}")


def _gsm_symbolic(subset: str | None, count: int) -> list[dict[str, Any]]:
    """Columns question, answer (worked, the number behind ####), number and template; no question twice."""
    if subset is not None:
        raise InputError(f"data.subset: packaged:gsm-symbolic has no {subset!r}; set it to null")
    makers = _templates()
    rng = Random(SEED)
    rows: list[dict[str, Any]] = []
    seen: set[str] = set()
    for tried in range(20 * count + 1000):
        if len(rows) == count:
            break
        number = rng.choice(sorted(makers))
        made = makers[number](Random(SEED + tried), 1.0)
        worked, question = made["metadata"]["answer_cot"], made["question"]
        if question in seen or "####" not in worked:
            continue
        seen.add(question)
        rows.append({"question": question, "answer": worked, "number": made["answer"], "template": number})
    if len(rows) < count:
        raise InputError(f"data.train: packaged:gsm-symbolic gives {len(rows)} rows, not {count}; lower it")
    return rows


def _templates() -> dict[int, Any]:
    """reasoning-gym's generators by template, without its other tasks and what those import."""
    root = package_folder(_PACKAGE)
    inner = (_PACKAGE, f"{_PACKAGE}.arithmetic", f"{_PACKAGE}.arithmetic.gsm_symbolic")
    before = {name: sys.modules.get(name) for name in inner}
    try:
        for name in inner:  # bare packages: their own __init__ imports a dozen libraries
            if before[name] is None:
                bare = types.ModuleType(name)
                bare.__path__ = [str(root.joinpath(*name.split(".")[1:]))]
                sys.modules[name] = bare
        parts = [importlib.import_module(f"{inner[-1]}.generators_{p}") for p in ("00_49", "50_99")]
    finally:
        for name in [n for n in sys.modules if n.partition(".")[0] == _PACKAGE]:
            if before.get(name) is None and before[_PACKAGE] is None:
                del sys.modules[name]
    made = {
        int(key.removeprefix("generate_")): value
        for part in parts
        for key, value in vars(part).items()
        if key.startswith("generate_")
    }
    return {number: make for number, make in made.items() if number not in _DOUBTFUL}


def _addition(subset: str | None, count: int) -> list[dict[str, Any]]:
    """Columns a, b, sum: numbers of `subset` digits (2), no unordered pair twice, in either order."""
    if subset not in (None, "1", "2", "3", "4"):
        raise InputError(f"data.subset: packaged:addition takes digits '1' to '4', not {subset!r}")
    digits = int(subset or 2)
    low = 10 ** (digits - 1) if digits > 1 else 0
    total = 10**digits - low
    pairs = total * (total + 1) // 2
    if count > pairs:
        raise InputError(
            f"data.train: {count} rows wanted in all, but {digits}-digit numbers give {pairs} sums; "
            "lower it"
        )
    rng = np.random.default_rng(SEED)
    seen: set[tuple[int, int]] = set()
    rows: list[dict[str, Any]] = []
    while len(rows) < count:
        for a, b in (low + rng.integers(total, size=(4096, 2))).tolist():
            key = (min(a, b), max(a, b))
            if key not in seen and len(rows) < count:
                seen.add(key)
                rows.append({"a": a, "b": b, "sum": a + b})
    return rows
