"""Small functions to be written from their first lines: a generated set of some thousand code tasks.

Each template is a function with numbers or letters in its description; each task another choice of them.
No two tasks are the same function, so whatever rows are held out, no function of theirs was trained on.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import permutations, product
from typing import Any

import pandas as pd

_LETTERS = string.ascii_lowercase
_INTS = [*range(-60, 61), 97, 100, 128, 255, 360, 1001]
_TEXTS = [a + "x" + b for a, b in product(_LETTERS, _LETTERS)] + [
    "hello world",
    "zebra",
    "",
    "Banana Split",
]
_LISTS = [[], [5], list(range(12)), [3, 1, 2], [9, -4, 7, 7, 0, 2, 8, 1, 6, 5, 4, 3, 2, 11, -1, 10]]
_WORDS = [" ".join("abcdefghijklmnop"[:k] for k in range(1, 16)), "", "one"]


@dataclass(frozen=True)
class Template:
    """A family of functions: signature, description and body with {a}, {b}, {c}, and their choices."""

    name: str
    signature: str
    description: str
    body: str
    choices: list[tuple[Any, ...]]
    panel: list[Any]  # arguments on which two functions of the family must differ somewhere
    telling: Callable[..., list[Any]]  # arguments for the tests of one choice


TEMPLATES = [
    Template(
        "scale_and_add",
        "scale_and_add(x)",
        "Return x times {a}, plus {b}.",
        "return x * {a} + {b}",
        list(product(range(2, 21), [b for b in range(-15, 16) if b])),
        _INTS,
        lambda a, b: [0, 1, -3, 10, a],
    ),
    Template(
        "wrap",
        "wrap(x)",
        "Add {a} to x and return the remainder of the sum by {b}.",
        "return (x + {a}) % {b}",
        list(product(range(1, 21), range(21, 41))),
        _INTS,
        lambda a, b: [0, b - a - 1, b - a, 100, 3 * b + 1],
    ),
    Template(
        "quadratic",
        "quadratic(x)",
        "Return the value at x of {a} x^2 + ({b}) x + ({c}).",
        "return {a} * x * x + ({b}) * x + ({c})",
        list(product(range(1, 7), range(-8, 9), range(-5, 6))),
        _INTS,
        lambda a, b, c: [0, 1, -1, 2, 7],
    ),
    Template(
        "clip",
        "clip(x)",
        "Return x, but {a} where x is below {a}, and {b} where x is above {b}.",
        "return max({a}, min({b}, x))",
        list(product(range(-20, 0), range(1, 26))),
        _INTS,
        lambda a, b: [0, a - 9, a, b, b + 9],
    ),
    Template(
        "divides",
        "divides(x)",
        "Tell whether x is divisible by {a} but not by {b}.",
        "return x % {a} == 0 and x % {b} != 0",
        [(a, b) for a, b in product(range(2, 13), range(2, 25)) if a % b],
        list(range(800)),
        lambda a, b: [a, b, a * b, a * (b - 1), a + 1, 2 * a],
    ),
    Template(
        "digit_sum",
        "digit_sum(n)",
        "Return the sum of the digits of n, a number from zero on, written in base {a}.",
        "total = 0\nwhile n:\n    total += n % {a}\n    n //= {a}\nreturn total",
        [(a,) for a in range(2, 38)],
        list(range(0, 2000, 7)),
        lambda a: [0, a - 1, a, a + 1, a * a - 1, 1000],
    ),
    Template(
        "every",
        "every(items)",
        "Return a list of every {a}th of the items, the first of them at index {b}.",
        "return items[{b}::{a}]",
        list(product(range(2, 8), range(8))),
        _LISTS,
        lambda a, b: [list(range(16)), [7, 7, 1, 0], [], list(range(20, 2, -2))],
    ),
    Template(
        "replace_letter",
        "replace_letter(text)",
        "Return the text with every letter {a} replaced by the letter {b}.",
        "return text.replace('{a}', '{b}')",
        list(permutations(_LETTERS, 2)),
        _TEXTS,
        lambda a, b: [a, b, f"{a}{a} and {b}", "", f"no{a}w"],
    ),
    Template(
        "drop_letters",
        "drop_letters(text)",
        "Return the text without the letters {a} and {b}.",
        "return ''.join(c for c in text if c not in '{a}{b}')",
        [(a, b) for a, b in product(_LETTERS, _LETTERS) if a < b],
        _TEXTS,
        lambda a, b: [_LETTERS, a + b, b + "one" + a, ""],
    ),
    Template(
        "bounded_by",
        "bounded_by(word)",
        "Tell whether the word starts with the letter {a} and ends with the letter {b}.",
        "return word.startswith('{a}') and word.endswith('{b}')",
        [(a, b) for a, b in product(_LETTERS, _LETTERS) if a != b],
        _TEXTS,
        lambda a, b: [f"{a}x{b}", f"{b}x{a}", f"{a}{b}{a}", f"{a}o{b}", ""],
    ),
    Template(
        "count_letter",
        "count_letter(text)",
        "Count how often the letter {a} stands in the text, as a small or a capital letter.",
        "return text.lower().count('{a}')",
        [(a,) for a in _LETTERS],
        _TEXTS,
        lambda a: [a, a.upper() + a, "", f"a {a} b", a * 5],
    ),
    Template(
        "shift_letters",
        "shift_letters(text)",
        "Shift each small letter of the text by {a} places in the alphabet, where a follows z.",
        "return ''.join(chr((ord(c) - 97 + {a}) % 26 + 97) if 'a' <= c <= 'z' else c for c in text)",
        [(a,) for a in range(1, 26)],
        _TEXTS,
        lambda a: ["abc", "xyz", "", "Hello, you", _LETTERS],
    ),
    Template(
        "long_words",
        "long_words(text)",
        "Return a list of the words of the text that are longer than {a} letters.",
        "return [word for word in text.split() if len(word) > {a}]",
        [(a,) for a in range(1, 14)],
        _WORDS,
        lambda a: [_WORDS[0], "", "a" * a, "a" * (a + 1), "to be or not"],
    ),
    Template(
        "repeat_joined",
        "repeat_joined(text)",
        "Return the text {a} times over, joined by {b!r}.",
        "return {b!r}.join([text] * {a})",
        list(product(range(2, 12), ["-", ", ", "+", "/", " ", "::"])),
        _TEXTS,
        lambda a, b: ["a", "", "ab c", b],
    ),
    Template(
        "largest",
        "largest(items)",
        "Return the {a} largest of the items, times {b}, the largest first.",
        "return [{b} * x for x in sorted(items, reverse=True)[:{a}]]",
        list(product(range(1, 9), range(1, 9))),
        _LISTS,
        lambda a, b: [list(range(14)), [], [2, 9, 2, 4], list(range(-9, 3))],
    ),
]


def function_of(source: str, name: str) -> Callable[..., Any]:
    """The function `name` that our own generated source defines."""
    space: dict[str, Any] = {}
    exec(source, space)
    made: Callable[..., Any] = space[name]
    return made


def _tasks(template: Template) -> Iterator[dict[str, str]]:
    seen: set[str] = set()
    for choice in template.choices:
        values = dict(zip("abc", choice, strict=False))
        description = template.description.format(**values)
        prompt = f'def {template.signature}:\n    """{description}"""\n'
        body = template.body.format(**values)
        answer = "".join(f"    {line}\n" for line in body.split("\n"))
        function = function_of(prompt + answer, template.name)
        behaviour = repr([function(x) for x in template.panel])
        if behaviour in seen:  # other numbers, the same function
            continue
        seen.add(behaviour)
        arguments = list({repr(x): x for x in template.telling(*choice)}.values())
        yield {
            "task_id": f"functions/{template.name}/{'_'.join(map(str, choice))}",
            "domain": template.name,
            "prompt": prompt,
            "answer": answer,
            "test": "".join(f"assert {template.name}({x!r}) == {function(x)!r}\n" for x in arguments),
            "entry_point": template.name,
        }


def functions() -> pd.DataFrame:
    """All tasks: columns task_id, domain (the template), prompt, answer, test and entry_point.

    The same rows in the same order each time. `prompt` is a signature with a docstring, `answer` the body.
    """
    return pd.DataFrame([task for template in TEMPLATES for task in _tasks(template)])
