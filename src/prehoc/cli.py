"""`prehoc <command>`: one command a rule, files in and files out; no logic of its own.

Exit codes: 0 done, 1 bad input (one line says what and how to mend it), 2 wrong usage.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from prehoc.commands import (  # noqa: F401
    advise,
    analysis,
    benchmark,
    bound,
    checktask,
    claims,
    export,
    fetch,
    figure,
    fitting,
    gap,
    imports,
    newtask,
    online,
    plan,
    policies,
    predictors,
    project,
    robustness,
    sandbox,
    sources,
    status,
    training,
    verdict,
)
from prehoc.commands.app import app, log
from prehoc.errors import InputError

KEEP_SIZE = 1  # of fallocate(2): the file grows no longer by it
ROOM = 1 << 16  # bytes a log sets aside, so that a disk that fills up meanwhile still takes its last words


class _LogFile(logging.FileHandler):
    """A log file that says once, in one line, that it can't be written: a full disk is no traceback."""

    said = False

    def __init__(self, path: Path) -> None:
        super().__init__(path, mode="w")
        if self.stream is not None:
            with contextlib.suppress(AttributeError, OSError):  # Linux, and a file system that can
                size = ctypes.c_int64(ROOM)
                ctypes.CDLL(None).fallocate(self.stream.fileno(), KEEP_SIZE, ctypes.c_int64(0), size)

    def close(self) -> None:
        """Close the file, and give back what it had set aside."""
        if self.stream is not None:
            with contextlib.suppress(OSError):
                self.stream.flush()
                os.ftruncate(self.stream.fileno(), os.fstat(self.stream.fileno()).st_size)
        super().close()

    def handleError(self, record: logging.LogRecord) -> None:
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handleError(record)
        elif not self.said:
            self.said = True
            print(f"prehoc: {self.baseFilename}: {error.strerror}; the log stands here", file=sys.stderr)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        print(version("prehoc"))
        raise typer.Exit


@app.callback()
def _common(
    log_file: Annotated[
        Path | None, typer.Option("--log", help="file that gets the messages besides the terminal")
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", help="print the version", is_eager=True, callback=_version)
    ] = False,
) -> None:
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    if log_file is not None:
        log_file.parent.mkdir(parents=True, exist_ok=True)
        handlers.append(_LogFile(log_file))
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=handlers, force=True)
    log.setLevel(logging.INFO)  # our own progress; libraries speak up from warnings on


def main() -> None:
    """Run the command line; bad input ends with one line and exit code 1."""
    try:
        app()
    except InputError as error:
        _fail(str(error))
    except OSError as error:
        _fail(f"{error.filename or 'file'}: {error.strerror or error}; check the path, space and rights")
    except Exception:
        log.exception("prehoc: unexpected error; please report it with this trace")
        sys.exit(70)


def _fail(message: str) -> None:
    line = " ".join(message.split())
    if log.hasHandlers():
        log.error(f"prehoc: {line}")
    else:
        print(f"prehoc: {line}", file=sys.stderr)
    sys.exit(1)


if __name__ == "__main__":
    main()
