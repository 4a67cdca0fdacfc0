"""The judge `tests`: a completion is right if its program passes its task's tests in the sandbox."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from prehoc.errors import InputError
from prehoc.sandbox import Limits, Outcome, Program, choose, run_all
from prehoc.tasks.code_data import one_task

_FENCE = re.compile(r"^[ \t]*```[^\n`]*\n(.*?)(?:^[ \t]*```|\Z)", re.DOTALL | re.MULTILINE)
# How a line of Python at the outermost level can begin; prose after an answer mostly does not.
_STATEMENT = re.compile(
    r"(?:(?:def|class|import|from|async|if|elif|else|for|while|try|except|finally|with|assert|del|raise|"
    r"global|pass|print|return)\b|[@#)\]}\"']|[A-Za-z_][\w.]*\s*(?:[=(\[]|[-+*/%|&^]=|:\s*\w+[^=]*=))"
)


def _defines(text: str, entry: str) -> bool:
    return re.search(rf"^(?:async\s+)?def\s+{re.escape(entry)}\s*\(", text, re.MULTILINE) is not None


def _quotes(line: str) -> int:
    return line.count('"""') + line.count("'''")


def continuation(text: str) -> str:
    """The body of a function that `text` goes on with: up to the first line at the outermost level.

    That covers the stop words of Chen et al. 2021 (class, def, #, if, print). A first line whose
    indentation was stripped gets it back.
    """
    lines = text.lstrip("\n").split("\n")
    if lines[0].strip() and not lines[0][0].isspace():
        lines[0] = "    " + lines[0]
    kept: list[str] = []
    quoted = False
    for line in lines:
        if kept and line.strip() and not line[0].isspace() and not quoted:
            break
        quoted ^= bool(_quotes(line) % 2)
        kept.append(line)
    return "\n".join(kept).rstrip() + "\n"


def whole(text: str) -> str:
    """The program in `text`: from its first statement on, up to prose at the outermost level."""
    kept: list[str] = []
    quoted = False
    for line in text.split("\n"):
        outer = bool(line.strip()) and not line[0].isspace() and not quoted
        if outer and not _STATEMENT.match(line):
            if kept:
                break
            continue
        if kept or outer:
            kept.append(line)
            quoted ^= bool(_quotes(line) % 2)
    return "\n".join(kept).rstrip() + "\n"


def assemble(row: Mapping[str, Any], text: str) -> Program:
    """The program of a completion and its tests.

    A text that defines the tested function is a program of its own, behind what its prompt has before
    that function; any other goes on where the prompt ends. Of a fenced text the block that defines the
    function counts, else the first one.
    """
    task = one_task(row)
    entry, prompt = task["entry_point"], task["prompt"]
    text = text.replace("\r\n", "\n").expandtabs(4)
    blocks = _FENCE.findall(text)
    if blocks:
        text = next((b for b in blocks if _defines(b, entry)), blocks[0])
    if _defines(text, entry):
        before = prompt.rpartition(f"def {entry}(")[0]
        return Program(before + whole(text), task["test"])
    if _defines(prompt, entry):
        return Program(prompt + continuation(text), task["test"])
    return Program(whole(text), task["test"])


def _key(program: Program) -> bytes:
    text = f"{len(program.source)}\0{program.source}{program.tests}"
    return hashlib.sha256(text.encode(errors="surrogatepass")).digest()


class CodeJudge:
    """Judges completions of code tasks (pass@1 is the mean): rows are a code data set's columns.

    Equal programs with equal tests are run once in the judge's life. `limits`, `kind` as in the config's
    block `sandbox`; `jobs` programs run at a time.
    """

    def __init__(self, limits: Limits | None = None, kind: str = "auto", jobs: int = 1) -> None:
        self.limits, self.kind, self.jobs = limits or Limits(), kind, jobs
        self._known: dict[bytes, Outcome] = {}

    def outcomes(self, rows: Sequence[Mapping[str, Any]], texts: Sequence[str]) -> list[Outcome]:
        """How each completion's program ended [n].

        Raises InputError for a row that is no code task, and where the sandbox cannot be had.
        """
        programs = [assemble(row, text) for row, text in zip(rows, texts, strict=True)]
        keys = [_key(p) for p in programs]
        new = {k: p for k, p in zip(keys, programs, strict=True) if k not in self._known}
        ended = run_all(list(new.values()), self.limits, self.jobs, self.kind)
        self._known.update(zip(new, ended, strict=True))
        return [self._known[k] for k in keys]

    def check(self, rows: Sequence[Mapping[str, Any]], numbers: Sequence[int] | None = None) -> None:
        """Raise InputError for the first row that is no code task, and where the sandbox cannot be had.

        `numbers` are the rows' own in the data, from 1.
        """
        for number, row in zip(numbers or range(1, len(rows) + 1), rows, strict=True):
            try:
                one_task(row)
            except InputError as error:
                raise InputError(f"row {number}: {error}") from error
        choose(self.kind)

    def __call__(self, rows: Sequence[Mapping[str, Any]], texts: Sequence[str]) -> np.ndarray:
        """Whether each completion passes its tests, bool [n]; raises InputError as `outcomes` does."""
        return np.array([o.passed for o in self.outcomes(rows, texts)], bool)

    def tally(self) -> dict[str, int]:
        """How many different programs ended in each way so far."""
        return dict(Counter(o.kind for o in self._known.values()))
