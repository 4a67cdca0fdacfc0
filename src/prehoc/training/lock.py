"""Locks on runs that are being trained: one writer at a time, on any file system and across hosts.

A bank's writer holds a small file for its first seed and for every sixteenth one, beside the checkpoints.
It is made by an exclusive create, which is atomic on file systems without flock too, and a thread renews
it while the writer works. Who finds it waits. A holder is taken for gone if its file stood still for a
stated time *by the waiter's own clock*, so no two clocks are compared; or, on the same machine, if its
process is gone. Then the file is replaced under a second exclusive create that is named by
the lost holder, so of many takers one wins. No result depends on any of it: of two writers of a checkpoint
both would write the same bytes. Imports no torch.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from prehoc.errors import InputError, disk_full

EVERY = 16  # a lock for each so many seeds: jobs cut otherwise meet too, unless they share fewer
POLL = 1.0  # seconds between a waiter's looks, at most
Report = Callable[[str], None]
Look = tuple[int, int, bytes]  # inode, time of change, content


@dataclass(frozen=True)
class Times:
    """Seconds: between a holder's signs of life, without one until it is taken for gone, and to wait."""

    heartbeat: float = 10.0
    stale: float = 120.0
    longest: float = 3600.0

    @classmethod
    def parse(cls, text: str) -> Times:
        """From `HEARTBEAT,STALE,LONGEST`; InputError where it is none or a holder would look dead."""
        try:
            heartbeat, stale, longest = map(float, text.split(","))
        except ValueError:
            raise InputError(f"--lock: {text!r}: write HEARTBEAT,STALE,LONGEST in seconds") from None
        if not (heartbeat > 0 and 3 * heartbeat <= stale and longest >= 0):
            raise InputError(f"--lock: {text!r}: stale must be three heartbeats or more, none below zero")
        return cls(heartbeat, stale, longest)


def folder(base: Path) -> Path:
    """Where the locks of a checkpoint folder lie."""
    return base / "locks"


def points(seeds: Sequence[int]) -> list[int]:
    """The seeds of a block of consecutive ones that have a lock each, rising.

    Two blocks that share EVERY seeds, or begin alike, share one of them.
    """
    first, end = seeds[0], seeds[-1] + 1
    return [first, *range(first + EVERY - first % EVERY, end, EVERY)]


def look(path: Path) -> Look | None:
    """What a lock file is now, or None if there is none. Opening it makes NFS ask the server."""
    try:
        with path.open("rb") as stream:
            state = os.fstat(stream.fileno())
            return state.st_ino, state.st_mtime_ns, stream.read()
    except FileNotFoundError:
        return None


def holder_of(seen: Look) -> dict[str, Any]:
    """What a lock file says of its holder; nothing where it has not been written to yet."""
    try:
        return dict(json.loads(seen[2]))
    except (ValueError, TypeError):
        return {}


def named(holder: dict[str, Any]) -> str:
    """A holder in words."""
    if not holder:
        return "an unknown job"
    return f"{holder['job']} on {holder['host']} since {holder['since']}"


def _place() -> str | None:
    """Names the machine, its boot and its process numbers: where equal, a missing process is a dead one."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return None


def _begun(pid: int) -> str | None:
    """When a process was started, in the kernel's ticks; None if that can't be read, "" if it is dead."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return "" if fields[0] in "ZX" else fields[19]


def gone(holder: dict[str, Any]) -> bool:
    """Whether the holder's process is known to be dead: it ran on this machine, and is no more."""
    here = _place()
    if here is None or holder.get("place") != here:
        return False
    try:
        os.kill(holder["pid"], 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    begun = _begun(holder["pid"])
    return begun is not None and begun != holder["begun"]


def _job() -> str:
    slurm = os.environ.get("SLURM_JOB_ID")
    return f"SLURM job {slurm}" if slurm else f"process {os.getpid()}"


class Hold:
    """The locks of one block of seeds: taken when `take` is first called, kept until the block is left."""

    def __init__(self, base: Path, seeds: Sequence[int], times: Times, report: Report, task: str) -> None:
        self.base, self.times, self.report = base, times, report
        self.paths = [folder(base) / f"seed_{p:06d}.lock" for p in points(seeds)]
        self.words = f"{task}: runs {seeds[0]} to {seeds[-1]}"
        self.about = {
            "job": _job(),
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "place": _place(),
            "begun": _begun(os.getpid()),
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
            "task": task,
            "first": seeds[0],
            "end": seeds[-1] + 1,
            "token": secrets.token_hex(8),
        }
        self._held: dict[Path, int] = {}  # open descriptors: they stay ours, whatever lies at the path
        self._tries: dict[str, tuple[int, float | None]] = {}  # guards of takers that may have died
        self._beats = 0
        self._guard = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Hold:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    @property
    def held(self) -> bool:
        """Whether all of the locks are ours now: another may have taken them for a lost job's."""
        return len(self._held) == len(self.paths) and all(map(self._mine, self.paths))

    def take(self) -> bool:
        """Wait for the locks; True if they had to be taken, so that another may have worked meanwhile.

        Raises InputError after `times.longest` seconds, and DiskFullError.
        """
        if self.held:
            return False
        self.release()
        until = time.monotonic() + self.times.longest
        try:
            for path in self.paths:
                self._wait(path, until)
        except BaseException:
            self.release()
            raise
        return True

    def release(self) -> None:
        """Give back what is held; another's locks are left."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self._stop.clear()
        for path in reversed(list(self._held)):
            mine = self._mine(path)
            os.close(self._held.pop(path))
            if mine:
                with contextlib.suppress(OSError):
                    path.unlink()

    def _mine(self, path: Path) -> bool:
        try:
            there, ours = path.stat(), os.fstat(self._held[path])
        except (OSError, KeyError):
            return False
        return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)

    def _wait(self, path: Path, until: float) -> None:
        seen: Look | None = None
        since = time.monotonic()
        told = ""
        while not self._create(path):
            now, there = time.monotonic(), look(path)
            if there is None:
                continue  # given back just now
            if there != seen:
                seen, since = there, now
            holder = holder_of(there)
            still = now - since >= self.times.stale
            if (still or gone(holder)) and self._take_over(path, there):
                why = "is gone" if not still else f"gave no sign of life for {now - since:.0f} s"
                self.report(f"{self.words}: {named(holder)} {why}; its lock is taken over")
                return
            if now >= until:
                raise InputError(
                    f"{self.words}: still locked by {named(holder)} after {self.times.longest:g} s; "
                    f"wait for that job or end it, then run again; or raise lock.longest ({path})"
                )
            if holder and holder["token"] != told:
                told = holder["token"]
                self.report(
                    f"{self.words}: waiting for {named(holder)}, which {self._doing(holder)}, "
                    f"for {max(until - now, 0):.0f} s at most ({path})"
                )
            time.sleep(min(POLL, self.times.heartbeat, max(until - now, 0.01)))

    def _doing(self, holder: dict[str, Any]) -> str:
        """What a holder does, in words."""
        return f"trains runs {holder['first']} to {holder['end'] - 1}"

    def _create(self, path: Path) -> bool:
        """Make a lock file of ours; False if there is one."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o644)
        except FileExistsError:
            return False
        except OSError as error:
            raise disk_full(path, error) or error from error
        self._fill(path, path, handle)
        self._keep(path, handle)
        return True

    def _fill(self, path: Path, place: Path, handle: int) -> None:
        try:
            self._write(handle)
        except OSError as error:
            os.close(handle)
            place.unlink(missing_ok=True)
            raise disk_full(path, error) or error from error

    def _take_over(self, path: Path, seen: Look) -> bool:
        """Replace a lost holder's file; of many takers one wins, and one that dies here is passed by."""
        stem = f"{path.name}.{holder_of(seen).get('token', seen[0])}"
        tries, since = self._tries.get(stem, (0, None))
        guard = path.with_name(f"{stem}.{tries}")
        try:
            os.close(os.open(guard, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
        except FileExistsError:
            now = time.monotonic()
            late = since is not None and now - since >= self.times.stale
            self._tries[stem] = (tries + 1, None) if late else (tries, now if since is None else since)
            return False
        except OSError as error:
            raise disk_full(path, error) or error from error
        over = [guard]
        temporary = path.with_name(f".{path.name}.{self.about['token']}")
        try:
            if look(path) != seen:  # it is alive after all, or another took over before this guard was made
                return False
            handle = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o644)
            self._fill(path, temporary, handle)
            temporary.replace(path)
            self._keep(path, handle)
            over = list(path.parent.glob(f"{stem}.*"))
            return True
        finally:
            for left in over:
                left.unlink(missing_ok=True)

    def _keep(self, path: Path, handle: int) -> None:
        with self._guard:
            self._held[path] = handle
        if self._thread is None:
            self._thread = threading.Thread(target=self._beat, daemon=True, name="lock")
            self._thread.start()

    def _write(self, handle: int) -> None:
        text = json.dumps({**self.about, "beat": f"{self._beats:012d}"}) + "\n"  # of one length always
        os.pwrite(handle, text.encode(), 0)
        os.fsync(handle)

    def _beat(self) -> None:
        while not self._stop.wait(self.times.heartbeat):
            self._beats += 1
            with self._guard:
                handles = list(self._held.values())
            for handle in handles:  # a full disk may refuse the first of these, not the second
                with contextlib.suppress(OSError):
                    self._write(handle)
                with contextlib.suppress(OSError):
                    os.utime(handle)
