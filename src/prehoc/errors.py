"""The error that a user can mend: one clear line, exit code 1."""

from __future__ import annotations

import errno
from pathlib import Path

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_WORDS = ("no space left", "quota exceeded", "file too large", *(f"os error {n})" for n in FULL))


class InputError(ValueError):
    """Bad input. The message names the file, the key or row, and the remedy, in one line."""


class TooFewRunsError(InputError):
    """Too few runs have a final value for any variance: they failed, or there are too few of them."""


class DiskFullError(InputError):
    """A file could not be written for want of space; what was finished before it is kept."""


def disk_full(path: str | Path, error: BaseException) -> DiskFullError | None:
    """The error to raise where `error` says that a disk or quota is full as `path` was written; else None.

    Writers in other languages wrap the system's error, so its words are looked at too.
    """
    if isinstance(error, DiskFullError):
        return error
    if getattr(error, "errno", None) not in FULL and not any(w in str(error).lower() for w in _WORDS):
        return None
    return DiskFullError(
        f"{path}: the disk, a quota or a limit on file sizes is full: nothing was left half written; make "
        "space there (or, for the store, name another) and run again: what is finished is kept"
    )
