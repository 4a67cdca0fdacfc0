"""What is run, within which limits, and what came of it."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass

_IMPORT = re.compile(r"^\s*(?:import|from)\s+([A-Za-z_][\w.]*(?:\s*,\s*[A-Za-z_][\w.]*)*)", re.MULTILINE)
# How a program can end. All but `passed` are failures of the sample.
OUTCOMES = (
    "passed",
    "failed",  # an assertion of its tests
    "error",  # any other exception
    "timeout",
    "memory",
    "files",  # too much written, or too many files open
    "forbidden",  # it was refused something that it did not survive
    "exited",  # it ended before its tests did
    "crashed",  # the interpreter fell over
    "killed",  # by a signal from outside
)


@dataclass(frozen=True)
class Program:
    """A program's source, the source of the tests that run after it in one namespace, and its input.

    With `stdin` it runs under the name `__main__`, as a script does; without, as a module.
    """

    source: str
    tests: str = ""
    stdin: str | None = None

    def imports(self) -> list[str]:
        """Modules of the standard library that it or its tests name in an import statement."""
        named = _IMPORT.findall(self.source) + _IMPORT.findall(self.tests)
        modules = {m.strip() for group in named for m in group.split(",")}
        return sorted(m for m in modules if m.split(".")[0] in sys.stdlib_module_names)


@dataclass(frozen=True)
class Limits:
    """What a program may use: seconds of CPU and on the clock, MiB, and open files."""

    cpu_s: int = 4
    wall_s: float = 8.0
    memory_mb: int = 512
    scratch_mb: int = 16
    open_files: int = 32


@dataclass(frozen=True)
class Outcome:
    """How a program ended: one of OUTCOMES, a reason in a few words, and its seconds on the clock."""

    kind: str
    reason: str
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether every test ran to its end without an exception."""
        return self.kind == "passed"
