"""Run programs in the sandbox, a process each; whatever they do, an outcome comes back."""

from __future__ import annotations

import contextlib
import marshal
import os
import secrets
import selectors
import signal
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from prehoc.errors import InputError
from prehoc.sandbox import levels
from prehoc.sandbox.programs import Limits, Outcome, Program
from prehoc.sandbox.starts import START_S, Start, UnfencedError, starter

_MOST = 1 << 16  # bytes that a program may write to its parent
_LONGEST = 1 << 20  # characters of source


class _Talk:
    """A conversation with one process: what is still to be sent, and the lines it has said."""

    def __init__(self, sink: int, source: int, first: bytes, then: bytes, wall_s: float) -> None:
        self.sink, self.source = sink, source
        os.set_blocking(sink, False)
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
                    if key.fd == self.sink:
                        self._send()
                    elif not self._hear():
                        return "gone"
                if len(self.heard) > _MOST:
                    return "loud"
                if self._over():
                    return "said"

    def _send(self) -> None:
        try:
            self.pending = self.pending[os.write(self.sink, self.pending) :]
        except BlockingIOError:
            return
        except OSError:  # it is gone; its silence says so
            self.pending = b""

    def _hear(self) -> bool:
        chunk = os.read(self.source, 1 << 14)
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


def _one(start: Start, kind: str, limits: Limits, program: Program) -> Outcome:
    if len(program.source) + len(program.tests) > _LONGEST:
        return Outcome("error", f"source longer than {_LONGEST} characters", 0.0)
    token = secrets.token_hex(16)
    try:
        first = marshal.dumps(levels.orders(kind, limits, program))
        then = marshal.dumps((token, program.tests))
    except ValueError as error:
        return Outcome("error", f"source that cannot be sent: {error}", 0.0)
    talk = _Talk(*start.start(), first, then, limits.wall_s)
    how = talk.run()
    seconds = 0.0 if talk.began is None else time.monotonic() - talk.began
    complaint = start.complaint() if talk.began is None else ""
    code = start.end(how == "gone")
    if talk.began is None:
        said = talk.lines[0].partition("\t")[2] if talk.lines else complaint
        raise UnfencedError(" ".join(said.split())[-200:] or f"nothing said within {START_S:g} s")
    return _judge(how, code, talk.lines[1:], token, seconds, limits)


def _judge(how: str, code: int, lines: list[str], token: str, seconds: float, limits: Limits) -> Outcome:
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
    number = -code if code < 0 else code - 128
    if number == signal.SIGKILL:
        if seconds >= 0.9 * limits.cpu_s:
            return Outcome("timeout", f"over {limits.cpu_s} s of CPU", seconds)
        return Outcome("killed", "killed, by the system or for want of memory", seconds)
    if number > 0:
        return Outcome("crashed", f"signal {number}", seconds)
    return Outcome("exited", "ended before its tests did", seconds)


class _Worker:
    """Runs programs one after another, on one starter; a starter that failed is replaced."""

    def __init__(self, kind: str, limits: Limits) -> None:
        self.kind, self.limits = kind, limits
        self.start: Start | None = None

    def run(self, program: Program) -> Outcome:
        """One program; where the system refuses a fence it is tried twice again, then that is an error."""
        for attempt in range(3):
            try:
                if self.start is None:
                    self.start = starter(self.kind, self.limits)
                return _one(self.start, self.kind, self.limits, program)
            except (UnfencedError, OSError) as error:
                self.close()
                if attempt == 2:
                    told = " ".join(str(error).split())
                    raise InputError(
                        f"sandbox: {self.kind} did not start: {told}; see `prehoc sandbox`"
                    ) from error
                time.sleep(0.2 * (attempt + 1))
        raise AssertionError("unreachable")

    def close(self) -> None:
        """End the starter and whatever it runs."""
        if self.start is not None:
            with contextlib.suppress(OSError):
                self.start.close()
            self.start = None


def start_error(kind: str) -> str:
    """Why a program cannot be run at level `kind`; "" where a trial passes its test."""
    start: Start | None = None
    try:
        start = starter(kind, Limits())
        outcome = _one(start, kind, Limits(), Program("import math\nx = math.sqrt(4)", "assert x == 2"))
    except (UnfencedError, OSError) as error:
        return " ".join(str(error).split()) or type(error).__name__
    finally:
        if start is not None:
            start.close()
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
    local, workers = threading.local(), []

    def one(program: Program) -> Outcome:
        if not hasattr(local, "worker"):  # one a thread: what it starts dies with the thread that did
            local.worker = _Worker(chosen, limits)
            workers.append(local.worker)
        made: Outcome = local.worker.run(program)
        return made

    pool = ThreadPoolExecutor(max(1, min(jobs, len(programs))))
    try:
        return list(pool.map(one, programs))
    finally:  # after an error or an interrupt, what waits is not started
        pool.shutdown(wait=False, cancel_futures=True)
        pool.shutdown()
        for worker in workers:
            worker.close()
