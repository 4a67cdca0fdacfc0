"""One run's rows in a runs table that other processes share, from its first evaluation to its last."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Any

from prehoc.errors import InputError
from prehoc.training.runs_file import RunsFile

log = logging.getLogger(__name__)


def cell(name: str, value: Any) -> str:
    """A metric as it is written: all its digits, and nothing for one that is not finite (a failed run).

    Raises InputError for what is no number.
    """
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise InputError(f"metric {name!r} is {value!r}, which is no number; name another one") from error
    return repr(number) if math.isfinite(number) else ""


class RunRecord:
    """What file `file` holds of run (`task`, `run`), and what it is to hold.

    `rows` and `left` are depth -> metric, as written: what is known of the run, and what was last seen or
    left of it in the file. A difference between `left` and the file is another process's doing.
    """

    def __init__(self, file: RunsFile, task: str, run: int | str, group: str | None) -> None:
        self.file, self.task, self.run, self.group = file, task, run, group
        self.rows: dict[int, str] = {}
        self.left: dict[int, str] = {}
        self._anew = True
        self._lost = False

    @property
    def complete(self) -> bool:
        """Whether all that is known of the run is in the file."""
        return not self._lost and self.left == self.rows

    def begin(
        self, step: int, history: Mapping[int, str], overwrite: bool, before: RunRecord | None = None
    ) -> None:
        """See what the file holds, before training from `step` on; nothing is written yet.

        A new run (`step` 0) may take the place of an old one where `overwrite` says so, or where the old
        one is `before`, what this process left of the same run when its training broke off. A resumed run
        keeps its rows up to `step`; those that the file lacks come from `history` (of the steps so far;
        depth -> metric, as written). Raises InputError if the run is there already, or the file is no
        runs table.
        """
        with self.file.change() as table:
            self.left = table.of(self.task, self.run)
        self._anew = step == 0
        ours = before is not None and (before.file.path, before.run) == (self.file.path, self.run)
        if (
            self._anew
            and self.left
            and not overwrite
            and not (ours and before and before.left == self.left)
        ):
            raise InputError(
                f"{self.file.path}: has run {self.run!r} of {self.task!r} already ({len(self.left)} rows); "
                "give it another seed, resume it from its checkpoint, or pass overwrite=True"
            )
        if not self._anew:
            known = {depth: metric for depth, metric in self.left.items() if depth <= step}
            self.rows = dict(history) | known

    def write(self) -> None:
        """Bring the file up to date.  What can't be written now is kept for the next time, and said.

        Raises InputError if, by the run's first writing, another process had written the same run.
        """
        if self._lost:
            return
        try:
            with self.file.change() as table:
                taken = table.of(self.task, self.run) != self.left
                if not taken:
                    table.put(self.task, self.run, self.rows, self.group, anew=self._anew)
        except InputError as error:
            log.error("%s. The rows are kept, and written with the next evaluation if that can be", error)
            return
        if not taken:
            self.left, self._anew = dict(self.rows), False
            return
        line = (
            f"{self.file.path}: another process wrote run {self.run!r} of task {self.task!r} meanwhile; "
            "give each run its own seed"
        )
        if self._anew:
            raise InputError(line)
        self._lost = True  # training goes on: hours of it are worth more than a table's row
        log.error("%s. This run is recorded no further; its metrics are in the Trainer's log_history", line)

    def final(self, value: str) -> None:
        """Write the run's final performance.

        Raises InputError if the run has no rows there, or the file can't be written.
        """
        with self.file.change() as table:
            if not table.of(self.task, self.run):
                raise InputError(
                    f"{self.file.path}: has no row of run {self.run!r} of {self.task!r}; train it first"
                )
            table.put_final(self.task, self.run, value)
