"""The error that a user can mend: one clear line, exit code 1."""

from __future__ import annotations

import contextlib
import errno
import os
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


def no_room(folder: str | Path, size: int = 1 << 20) -> DiskFullError | None:
    """The error of a folder whose disk or quota has no room for `size` bytes; else None.

    It is tried, as a quota shows in no other way; of a folder that isn't there nothing is said.
    """
    probe = Path(folder) / f".room.{os.getpid()}"
    try:
        with probe.open("wb") as stream:
            stream.write(b"0" * size)
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        return disk_full(folder, error)
    finally:
        with contextlib.suppress(OSError):
            probe.unlink()
    return None
