"""The levels of the sandbox: which this system allows, and how each starts an interpreter."""

from __future__ import annotations

import ctypes
import functools
import os
import platform
import shutil
import stat
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prehoc.errors import InputError
from prehoc.sandbox.filters import build, machine
from prehoc.sandbox.programs import Limits, Program

KINDS = ("bubblewrap", "namespaces", "seccomp")
# Reads the fences' code from its input and runs it. No site, no user folder, nothing of the caller's.
BOOT = "import sys,marshal;exec(marshal.load(sys.stdin.buffer))"
# The environment, whole: a fixed hash seed, so that a program which iterates over a set ends the same way.
CLEAN = {"LANG": "C.UTF-8", "PATH": "/usr/bin:/bin", "PYTHONHASHSEED": "0", "TZ": "UTC"}
_SYSTEM = ("/usr", "/lib", "/lib64", "/etc/ld.so.cache", "/dev/null", "/dev/urandom")
# Loaded before no file can be opened any more: what the standard library itself loads late.
_LATE = ("_strptime", "encodings.ascii", "encodings.latin_1", "collections.abc", "stringprep")


@dataclass(frozen=True)
class Level:
    """A level in force: its kind, what it holds (one line each), and what it does not."""

    kind: str
    holds: tuple[str, ...]
    lacks: tuple[str, ...]


@functools.cache
def _stdlib() -> list[str]:
    """Folders of the interpreter and its standard library; nothing of a virtual environment."""
    base = Path(sys.base_prefix).resolve()
    own = Path(sys.prefix).resolve()
    paths = {base, *(Path(sysconfig.get_path(key)).resolve() for key in ("stdlib", "platstdlib"))}
    return sorted(str(path) for path in paths if own == base or not path.is_relative_to(own))


@functools.cache
def interpreter() -> str:
    """The interpreter behind this one, with no virtual environment in between."""
    return str(Path(sys.executable).resolve())


@functools.cache
def _landlock() -> bool:
    """Whether the kernel has Landlock, switched on."""
    libc = ctypes.CDLL(None, use_errno=True)
    return bool(libc.syscall(444, None, ctypes.c_size_t(0), 1) >= 1)


@functools.cache
def _open_to_all() -> bool:
    """Whether any user may read the standard library, through every folder above it."""
    for text in _stdlib():
        path = Path(text)
        for folder in (path, *path.parents):
            if not folder.stat().st_mode & stat.S_IXOTH:
                return False
    return True


@functools.cache
def _folders() -> list[str]:
    """What a root for a program is made of: the system's and the interpreter's folders, read-only."""
    inside = [p for p in _stdlib() if not p.startswith("/usr/")]
    outer = [p for p in inside if not any(p != q and p.startswith(q + "/") for q in inside)]
    return [p for p in _SYSTEM if Path(p).exists()] + outer


def command(kind: str, limits: Limits) -> list[str]:
    """The command that starts an interpreter at level `kind`; it reads its orders from its input."""
    python = [interpreter(), "-s", "-S", "-P", "-B", "-W", "ignore", "-c", BOOT]
    if kind != "bubblewrap":
        return python
    line = [shutil.which("bwrap") or "bwrap", "--unshare-all", "--die-with-parent", "--cap-drop", "ALL"]
    line += ["--uid", "65534", "--gid", "65534"]
    for path in _folders():
        if Path(path).is_symlink():
            line += ["--symlink", str(Path(path).readlink()), path]
        else:
            line += ["--dev-bind" if path.startswith("/dev/") else "--ro-bind", path, path]
    line += ["--size", str(limits.scratch_mb << 20), "--tmpfs", "/tmp", "--chdir", "/tmp"]
    return [*line, "--remount-ro", "/", "--", *python]


def orders(kind: str, limits: Limits, program: Program) -> dict[str, Any]:
    """What the process inside is told: its fences, its limits and the program's source."""
    root = os.geteuid() == 0
    outside = kind == "seccomp"
    landlock = outside and _landlock()
    nobody = root and (kind == "namespaces" or (outside and (_open_to_all() or not landlock)))
    closed = outside and not landlock
    files = "none" if closed else "read" if outside else "write"
    mega = 1 << 20
    return {
        "isolate": kind == "namespaces",
        "inside": kind == "bubblewrap",
        "root": root and kind == "namespaces",
        "nobody": nobody,
        "landlock": landlock,
        "machine": machine(),
        "folders": _folders(),
        "readable": _stdlib(),
        "scratch": limits.scratch_mb * mega,
        "filter": build(files),
        "preload": [*_LATE, *program.imports()] if closed else [],
        "limits": {
            "RLIMIT_CPU": limits.cpu_s,
            "RLIMIT_AS": limits.memory_mb * mega,
            "RLIMIT_FSIZE": limits.scratch_mb * mega,
            "RLIMIT_NOFILE": limits.open_files,
            "RLIMIT_CORE": 0,
            "RLIMIT_NPROC": 0,
            "RLIMIT_MEMLOCK": 0,
        },
        "source": program.source,
        "stdin": program.stdin,
    }


def why_not(kind: str) -> str:
    """Why level `kind` cannot be had here, found by running a program in it; "" where it can."""
    from prehoc.sandbox.run import start_error

    if platform.system() != "Linux" or not machine():
        return f"needs Linux on x86_64 or aarch64; this is {platform.system()} on {platform.machine()}"
    if kind == "bubblewrap" and shutil.which("bwrap") is None:
        return "the program bwrap is not installed (package bubblewrap)"
    return start_error(kind)


@functools.cache
def _refusal(kind: str) -> str:
    return why_not(kind)


def available() -> dict[str, str]:
    """Every level, best first, with the reason why it cannot be had here ("" where it can)."""
    return {kind: _refusal(kind) for kind in KINDS}


def choose(kind: str) -> str:
    """The level to use for `sandbox.kind`: itself, or the best one for `auto`.

    Raises InputError where it cannot be had: no program runs less fenced than was asked for.
    """
    if kind not in ("auto", *KINDS):
        raise InputError(f"sandbox.kind: {kind!r} is none of auto, {', '.join(KINDS)}; name one")
    tried = {k: _refusal(k) for k in KINDS} if kind == "auto" else {kind: _refusal(kind)}
    for name, reason in tried.items():
        if not reason:
            return name
        if kind == name:
            raise InputError(f"sandbox.kind: {kind} cannot be had here: {reason}; see `prehoc sandbox`")
    told = "; ".join(f"{name}: {reason}" for name, reason in tried.items())
    raise InputError(f"sandbox.kind: no sandbox can be had here ({told}); score code on another machine")


def level(kind: str = "auto") -> Level:
    """The level in force for `sandbox.kind`, with what it holds and lacks here.

    Raises InputError where it cannot be had.
    """
    name = choose(kind)
    told = orders(name, Limits(), Program(""))
    holds = [
        "one process and one thread: nothing else is started or executed, and no signal is sent (seccomp)",
        "no network and no socket of any family"
        + (" (seccomp)" if name == "seccomp" else " (a network namespace without devices, and seccomp)"),
        "limits on CPU, wall time, memory, size and number of files; killed with its parent",
    ]
    lacks = ["a program that forges its own verdict on purpose: docs/sandbox.md"]
    if name != "seccomp":
        holds.append(
            "sees a root of its own: the interpreter and the system's libraries, read-only, and a scratch "
            "folder in memory of limited size, gone with the process"
        )
    elif told["landlock"]:
        holds.append("writes no file and reads none outside the standard library (seccomp, Landlock)")
        lacks.append("names, sizes and dates of files elsewhere can be asked for (stat); no scratch folder")
    else:
        holds.append("opens no file at all (seccomp): a program's imports are loaded before it starts")
        lacks.append("names, sizes and dates of files can be asked for (stat); no scratch folder")
        lacks.append("modules that are imported by computed names are not found")
    if name == "bubblewrap":
        lacks.append("the number of empty files in its scratch folder is bounded by its seconds alone")
    if told["nobody"]:
        holds.append("runs as the user nobody (65534)")
    elif os.geteuid() == 0:
        holds.append("holds no capability and can gain none")
        lacks.append("its user outside is root, without root's powers")
    else:
        holds.append("runs as the calling user, holds no capability and can gain none")
    return Level(name, tuple(holds), tuple(lacks))
