"""How a process for a program is started and ended: anew, or as a fork of an interpreter that waits.

A fork saves the start of an interpreter. What waits has run no program, and each fork has pipes of its own,
so no program can reach another one's words.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import marshal
import os
import signal
import socket
import struct
import subprocess
from pathlib import Path

from prehoc.sandbox import levels
from prehoc.sandbox.programs import Limits

START_S = 60.0  # for an interpreter to start and fence itself: a busy machine's doing, not the program's


class UnfencedError(Exception):
    """The process could not be put behind its fences; the program was not started."""


@functools.cache
def _inside() -> bytes:
    """The code of child.py, compiled and not executed, as it is sent."""
    spec = importlib.util.find_spec("prehoc.sandbox.child")
    assert spec is not None
    assert spec.origin is not None
    return marshal.dumps(compile(Path(spec.origin).read_text(), "<sandbox>", "exec"))


def _kill(process: subprocess.Popen[bytes]) -> int:
    """Kill a process with its group, collect it, and give its exit code (or minus its signal)."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)  # not yet collected, so the number is still its own
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()
    return process.wait()


def _complaint(process: subprocess.Popen[bytes]) -> str:
    """What a process that failed to start wrote to its terminal."""
    if process.stderr is None or process.stderr.closed:
        return ""
    os.set_blocking(process.stderr.fileno(), False)
    return (process.stderr.read(4096) or b"").decode(errors="replace")


class Anew:
    """A new process for each program, through bwrap."""

    def __init__(self, kind: str, limits: Limits) -> None:
        self.command = levels.command(kind, limits)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> tuple[int, int]:
        """Start one: where it reads, and where it says its words."""
        self.process = subprocess.Popen(
            self.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            env=levels.CLEAN,
            cwd="/",
            start_new_session=True,
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        os.write(self.process.stdin.fileno(), _inside())
        return self.process.stdin.fileno(), self.process.stdout.fileno()

    def end(self, gone: bool) -> int:
        """End it, after a moment to learn how where it is `gone`: its exit code, or minus its signal."""
        assert self.process is not None
        if gone:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout=0.2)
        said = self.process.poll()
        _kill(self.process)
        return 0 if said is None else said

    def complaint(self) -> str:
        """What was said on the terminal by a process that did not come to its fences."""
        return "" if self.process is None else _complaint(self.process)

    def close(self) -> None:
        """End what may still run."""
        if self.process is not None:
            _kill(self.process)


class Forked:
    """Forks of one waiting interpreter, for the levels whose fences a process puts up itself."""

    def __init__(self, kind: str, limits: Limits) -> None:
        ours, theirs = socket.socketpair()
        self.link = ours
        self.pipes: tuple[int, ...] = ()
        self.link.settimeout(START_S)
        self.process = subprocess.Popen(
            levels.command(kind, limits),
            stdin=theirs.fileno(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=levels.CLEAN,
            cwd="/",
            start_new_session=True,
        )
        theirs.close()
        try:
            self.link.sendall(_inside())
            up = self.link.recv(1)
        except OSError:
            up = b""
        if not up:
            said = _complaint(self.process)
            self.close()
            raise UnfencedError(" ".join(said.split())[-200:] or "the interpreter did not start")

    def start(self) -> tuple[int, int]:
        """As Anew.start."""
        read, write = os.pipe()
        hear, say = os.pipe()
        self.pipes = (write, hear)
        try:
            socket.send_fds(self.link, [b"s"], [read, say])
        finally:
            os.close(read)
            os.close(say)
        return write, hear

    def end(self, gone: bool) -> int:
        """As Anew.end."""
        self._hang_up()
        self.link.sendall(b"g" if gone else b"k")
        answer = self.link.recv(4, socket.MSG_WAITALL)
        if len(answer) < 4:
            raise UnfencedError("the waiting interpreter is gone")
        return os.waitstatus_to_exitcode(struct.unpack("=i", answer)[0])

    def complaint(self) -> str:
        """As Anew.complaint."""
        return ""

    def _hang_up(self) -> None:
        for fd in self.pipes:
            os.close(fd)
        self.pipes = ()

    def close(self) -> None:
        """End the interpreter that waits, and its fork with it."""
        self._hang_up()
        self.link.close()
        _kill(self.process)


Start = Anew | Forked


def starter(kind: str, limits: Limits) -> Start:
    """How processes of level `kind` are started."""
    return Anew(kind, limits) if kind == "bubblewrap" else Forked(kind, limits)
