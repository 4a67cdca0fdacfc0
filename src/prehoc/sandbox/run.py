"""Run programs in the sandbox, a process each; whatever they do, an outcome comes back."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import marshal
import os
import secrets
import selectors
import signal
import subprocess
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from prehoc.errors import InputError
from prehoc.sandbox import levels
from prehoc.sandbox.programs import Limits, Outcome, Program

START_S = 60.0  # for an interpreter to start and fence itself: a busy machine's doing, not the program's
_MOST = 1 << 16  # bytes that a program may write to its parent
_LONGEST = 1 << 20  # characters of source


@functools.cache
def _inside() -> bytes:
    """The code of child.py, compiled and not executed, as it is sent."""
    spec = importlib.util.find_spec("prehoc.sandbox.child")
    assert spec is not None
    assert spec.origin is not None
    return marshal.dumps(compile(Path(spec.origin).read_text(), "<sandbox>", "exec"))


class _UnfencedError(Exception):
    """The process could not be put behind its fences; the program was not started."""


class _Talk:
    """A conversation with one process: what is still to be sent, and the lines it has said."""

    def __init__(self, process: subprocess.Popen[bytes], first: bytes, then: bytes, wall_s: float) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.source, self.sink = process.stdout, process.stdin
        os.set_blocking(self.sink.fileno(), False)
        self.pending, self.then, self.wall_s = first, then, wall_s
        self.heard = b""
        self.lines: list[str] = []
        self.began: float | None = None
        self.deadline = time.monotonic() + START_S

    def run(self) -> str:
        """Talk until it has said its last line, gone silent for good, or run out of time: which of them."""
        with selectors.DefaultSelector() as chosen:
            chosen.register(self.source, selectors.EVENT_READ)
            while True:
                writing = bool(self.pending)
                if writing != (self.sink in [k.fileobj for k in chosen.get_map().values()]):
                    if writing:
                        chosen.register(self.sink, selectors.EVENT_WRITE)
                    else:
                        chosen.unregister(self.sink)
                left = self.deadline - time.monotonic()
                if left <= 0:
                    return "late"
                for key, _ in chosen.select(left):
                    if key.fileobj is self.sink:
                        self._send()
                    elif not self._hear():
                        return "gone"
                if len(self.heard) > _MOST:
                    return "loud"
                if self._over():
                    return "said"

    def _send(self) -> None:
        try:
            self.pending = self.pending[os.write(self.sink.fileno(), self.pending) :]
        except BlockingIOError:
            return
        except OSError:  # it is gone; its silence says so
            self.pending = b""

    def _hear(self) -> bool:
        chunk = os.read(self.source.fileno(), 1 << 14)
        self.heard += chunk
        self.lines = self.heard.decode(errors="replace").split("\n")[:-1]
        if self.began is None and self.lines[:1] == ["fenced"]:
            self.began = time.monotonic()
            self.deadline = self.began + self.wall_s
        if self.then and self.lines[:2] == ["fenced", "ready"]:
            self.pending, self.then = self.pending + self.then, b""
        return bool(chunk)

    def _over(self) -> bool:
        words = self.lines[:3]
        return (bool(words) and words[0] != "fenced") or len(words) > 1 + (words[1:2] == ["ready"])


def _end(process: subprocess.Popen[bytes]) -> int:
    """Kill a process and its group, collect it, and give its exit code (or minus its signal)."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)  # not yet collected, so the number is still its own
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()
    return process.wait()


def _one(kind: str, limits: Limits, program: Program) -> Outcome:
    if len(program.source) + len(program.tests) > _LONGEST:
        return Outcome("error", f"source longer than {_LONGEST} characters", 0.0)
    token = secrets.token_hex(16)
    try:
        first = _inside() + marshal.dumps(levels.orders(kind, limits, program))
        then = marshal.dumps((token, program.tests))
    except ValueError as error:
        return Outcome("error", f"source that cannot be sent: {error}", 0.0)
    process = subprocess.Popen(
        levels.command(kind, limits),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        env=levels.CLEAN,
        cwd="/",
        start_new_session=True,
    )
    talk = _Talk(process, first, then, limits.wall_s)
    try:
        how = talk.run()
        code = process.poll()
        if how == "gone":  # it closed its end, or died; a moment to tell which
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = process.wait(timeout=0.2)
        complaint = b""
        if talk.began is None and process.stderr is not None:
            os.set_blocking(process.stderr.fileno(), False)
            complaint = process.stderr.read(4096) or b""
    finally:
        _end(process)
    if talk.began is None:
        said = talk.lines[0].partition("\t")[2] if talk.lines else complaint.decode(errors="replace")
        raise _UnfencedError(" ".join(said.split())[-200:] or f"nothing said within {START_S:g} s")
    return _judge(how, code, talk.lines[1:], token, time.monotonic() - talk.began, limits)


def _judge(
    how: str, code: int | None, lines: list[str], token: str, seconds: float, limits: Limits
) -> Outcome:
    last = next((line.split("\t") for line in lines if line != "ready"), [])
    if how == "late":
        return Outcome("timeout", f"over {limits.wall_s:g} s on the clock", seconds)
    if how == "loud":
        return Outcome("forbidden", "wrote to the process that judges it", seconds)
    if last[:1] == ["passed"]:
        good = last == ["passed", token]
        return Outcome("passed", "", seconds) if good else Outcome("exited", "a forged verdict", seconds)
    if last:
        told = last[0] in ("failed", "error", "memory", "files", "forbidden", "exited")
        return Outcome(last[0] if told else "exited", " ".join(last[1:])[:200], seconds)
    number = -code if code is not None and code < 0 else (code or 0) - 128
    if number == signal.SIGKILL:
        if seconds >= 0.9 * limits.cpu_s:
            return Outcome("timeout", f"over {limits.cpu_s} s of CPU", seconds)
        return Outcome("killed", "killed, by the system or for want of memory", seconds)
    if number > 0:
        return Outcome("crashed", f"signal {number}", seconds)
    return Outcome("exited", "ended before its tests did", seconds)


def _run(kind: str, limits: Limits, program: Program) -> Outcome:
    """One program; where the system refuses a fence it is tried again twice, then that is an error."""
    for attempt in range(3):
        try:
            return _one(kind, limits, program)
        except (_UnfencedError, OSError) as error:
            if attempt == 2:
                raise InputError(
                    f"sandbox: {kind} did not start: {' '.join(str(error).split())}; see `prehoc sandbox`"
                ) from error
            time.sleep(0.2 * (attempt + 1))
    raise AssertionError("unreachable")


def start_error(kind: str) -> str:
    """Why a program cannot be run at level `kind`; "" where a trial passes its test."""
    try:
        outcome = _one(kind, Limits(), Program("import math\nx = math.sqrt(4)", "assert x == 2"))
    except (_UnfencedError, OSError) as error:
        return " ".join(str(error).split()) or type(error).__name__
    return "" if outcome.passed else f"a trial program ended as {outcome.kind}: {outcome.reason}"


def run_all(
    programs: Sequence[Program], limits: Limits | None = None, jobs: int = 1, kind: str = "auto"
) -> list[Outcome]:
    """Run each of `programs` in a process of its own, `jobs` at a time: how each ended, in their order.

    Whatever a program does is an outcome of it. Raises InputError where the asked level `kind`
    (`sandbox.kind`) cannot be had, or the system refuses to start it.
    """
    limits = limits or Limits()
    if not programs:
        return []
    chosen = levels.choose(kind)
    if jobs <= 1:
        return [_run(chosen, limits, program) for program in programs]
    pool = ThreadPoolExecutor(min(jobs, len(programs)))
    try:
        return list(pool.map(lambda program: _run(chosen, limits, program), programs))
    finally:  # after an error or an interrupt, what waits is not started
        pool.shutdown(cancel_futures=True)
