"""A task whose data do not carry a verdict."""

from __future__ import annotations

from prehoc.errors import InputError


class RefusedError(InputError):
    """The data of a task do not carry a verdict: `why` in one sentence, and `remedy`, what would."""

    def __init__(self, task: str, why: str, remedy: str, what: str = "task") -> None:
        self.task, self.why, self.remedy, self.what = task, why, remedy, what
        super().__init__(f"task {task!r}: {why}; {remedy}")
