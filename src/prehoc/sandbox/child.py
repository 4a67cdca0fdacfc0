"""What runs inside: puts itself behind the fences, then runs a program and its tests.

Sent as bytecode to a fresh interpreter of the same version, which holds nothing of this project; it
imports the standard library alone. Each word to the parent is a line: `fenced`, `ready` (the program has
run; send its tests), then a verdict. Only `passed` needs the token, which comes with the tests.
"""

from __future__ import annotations

import builtins
import ctypes
import errno
import io
import marshal
import os
import resource
import socket
import stat
import struct
import sys
import time
from typing import Any, BinaryIO

_BIND, _REC, _PRIVATE, _REMOUNT, _READ_ONLY = 4096, 16384, 1 << 18, 32, 1
_NOSUID, _NODEV = 2, 4
_NEW_NS, _NEW_UTS, _NEW_IPC, _NEW_USER, _NEW_PID, _NEW_NET = (
    0x00020000,
    0x04000000,
    0x08000000,
    0x10000000,
    0x20000000,
    0x40000000,
)
_PIVOT = {"x86_64": 155, "aarch64": 41}
_CAPSET = {"x86_64": 126, "aarch64": 91}
_SECCOMP = {"x86_64": 317, "aarch64": 277}
_MOUNT_SETATTR, _LANDLOCK = 442, 444  # one number everywhere; 445 adds a rule, 446 enforces
_READ_FILE, _READ_DIR = 4, 8  # of Landlock's rights
NOBODY = 65534
_KILL = 9  # modules that are slow to import, as signal, are left out


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def _isolate(libc: Any, job: dict[str, Any]) -> None:
    """New namespaces, a root of read-only folders with a tmpfs of limited size at /tmp, then a fork."""
    uid, gid = os.getuid(), os.getgid()
    flags = _NEW_NS | _NEW_UTS | _NEW_IPC | _NEW_PID | _NEW_NET
    if not job["root"]:
        flags |= _NEW_USER
    _check(libc.unshare(flags), "unshare")
    if not job["root"]:
        for name, text in (
            ("setgroups", "deny"),
            ("uid_map", f"{NOBODY} {uid} 1"),
            ("gid_map", f"{NOBODY} {gid} 1"),
        ):
            with open(f"/proc/self/{name}", "w") as file:  # noqa: PTH123 (pathlib is slow to import)
                file.write(text)

    def mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None:
        texts = [t.encode() if t else None for t in (source, target, kind)]
        _check(libc.mount(*texts, ctypes.c_ulong(flags), data.encode() or None), f"mount {target}")

    mount("", "/", "", _REC | _PRIVATE)
    mount("tmpfs", "/tmp", "tmpfs", _NOSUID | _NODEV, "size=1m,mode=755")
    for path in job["folders"]:
        if os.path.islink(path):  # noqa: PTH114
            os.symlink(os.readlink(path), "/tmp" + path)  # noqa: PTH115, PTH211
            continue
        if os.path.isdir(path):  # noqa: PTH112
            os.makedirs("/tmp" + path, exist_ok=True)  # noqa: PTH103
        else:
            os.makedirs("/tmp" + os.path.dirname(path), exist_ok=True)  # noqa: PTH103, PTH120
            os.close(os.open("/tmp" + path, os.O_CREAT | os.O_WRONLY))
        mount(path, "/tmp" + path, "", _BIND | _REC)
        attributes = struct.pack("=QQQQ", 1 | 2 | (0 if path.startswith("/dev/") else 4), 0, 0, 0)
        result = libc.syscall(_MOUNT_SETATTR, -100, ("/tmp" + path).encode(), 0x8000, attributes, 32)
        _check(result, "mount_setattr")
    os.makedirs("/tmp/tmp", exist_ok=True)  # noqa: PTH103
    mount("tmpfs", "/tmp/tmp", "tmpfs", _NOSUID | _NODEV, f"size={job['scratch']},nr_inodes=4096,mode=777")
    os.chdir("/tmp")
    _check(libc.syscall(_PIVOT[job["machine"]], b".", b"."), "pivot_root")
    _check(libc.umount2(b".", 2), "umount")
    mount("", "/", "", _REMOUNT | _BIND | _READ_ONLY | _NOSUID | _NODEV)
    os.chdir("/tmp")
    child = os.fork()
    if child:
        libc.prctl(1, _KILL, 0, 0, 0)
        for fd in (0, 1, 2):
            os.close(fd)
        status = os.waitpid(child, 0)[1]
        os._exit(os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status))


def _landlock(libc: Any, folders: list[str]) -> None:
    """Reading of `folders` alone; no other use of any file that this kernel's Landlock can govern."""
    version = _check(libc.syscall(_LANDLOCK, None, ctypes.c_size_t(0), 1), "landlock")
    bits = {1: 13, 2: 14, 3: 15, 4: 15}.get(version, 16)
    net, scope = (3 if version >= 4 else 0), (3 if version >= 6 else 0)
    ruled = struct.pack("=QQQ", (1 << bits) - 1, net, scope)[
        : 8 if version < 4 else 16 if version < 6 else 24
    ]
    rules = _check(libc.syscall(_LANDLOCK, ruled, ctypes.c_size_t(len(ruled)), 0), "landlock")
    for path in folders:
        if not os.path.isdir(path):  # noqa: PTH112
            continue
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
        rule = struct.pack("=Qi", _READ_FILE | _READ_DIR, fd)
        _check(libc.syscall(_LANDLOCK + 1, rules, 1, rule, 0), f"landlock {path}")
        os.close(fd)
    _check(libc.syscall(_LANDLOCK + 2, rules, 0), "landlock")
    os.close(rules)


def _fence(job: dict[str, Any]) -> None:
    """All that this process can do to itself; raises OSError where the system refuses one of them."""
    libc = ctypes.CDLL(None, use_errno=True)
    if job["isolate"]:
        _isolate(libc, job)
    elif not job["inside"]:
        os.chdir("/")
    for module in job["preload"]:
        try:
            __import__(module)
        except ImportError:
            continue
    null = os.open("/dev/null", os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.close(null)
    for what, value in job["limits"].items():
        resource.setrlimit(getattr(resource, what), (value, value))
    _check(libc.prctl(38, 1, 0, 0, 0), "no_new_privs")
    if job["nobody"]:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    header = struct.pack("=Ii", 0x20080522, 0)
    _check(libc.syscall(_CAPSET[job["machine"]], header, bytes(24)), "capset")
    _check(libc.prctl(1, _KILL, 0, 0, 0), "pdeathsig")
    if job["landlock"]:
        _landlock(libc, job["readable"])
    rules = ctypes.create_string_buffer(job["filter"])

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("rules", ctypes.c_void_p))

    program = Program(len(job["filter"]) // 8, ctypes.addressof(rules))
    _check(libc.syscall(_SECCOMP[job["machine"]], 1, 0, ctypes.byref(program)), "seccomp")


def _told(error: BaseException) -> tuple[str, str]:
    """The kind and reason of a failure; never raises, whatever the exception's own methods do."""
    try:
        text = f"{type(error).__name__}: {str(error)[:160]}"
    except BaseException:
        text = "an exception that cannot be shown"
    try:
        number = error.errno if isinstance(error, OSError) else None
    except BaseException:
        number = None
    if isinstance(error, MemoryError) or number == errno.ENOMEM:
        return "memory", text
    if isinstance(error, (SystemExit, KeyboardInterrupt)):
        return "exited", text
    if isinstance(error, PermissionError):
        return "forbidden", text
    if number in (errno.ENOSPC, errno.EFBIG, errno.EMFILE, errno.EDQUOT):
        return "files", text
    return ("failed" if isinstance(error, AssertionError) else "error"), text


def main(stream: BinaryIO) -> None:
    """Fence this process, run the program from `stream`, then the tests that follow."""
    job = marshal.load(stream)
    out = os.dup(1)

    def say(*words: str) -> None:
        line = "\t".join(w.replace("\n", " ").replace("\t", " ") for w in words)
        os.write(out, f"{line}\n".encode(errors="replace"))

    try:
        kept = os.dup(0)
        _fence(job)
        os.dup2(kept, 0)  # where the tests will come from
        os.close(kept)
    except BaseException as error:
        say("unfenced", _told(error)[1])
        os._exit(3)
    names = vars(builtins)
    sound = dict(names)
    say("fenced")
    name = "program" if job["stdin"] is None else "__main__"
    module = type(sys)(name)
    sys.modules[name] = module
    sys.stdin = io.StringIO(job["stdin"] or "")
    try:
        exec(compile(job["source"], "<program>", "exec"), vars(module))
        say("ready")
        token, tests = marshal.load(stream)
        names.update(sound)
        sys.settrace(None)
        sys.setprofile(None)
        exec(compile(tests, "<tests>", "exec"), vars(module))
    except BaseException as error:
        names.update(sound)
        say(*_told(error))
        os._exit(1)
    say("passed", token)
    os._exit(0)


def serve() -> None:
    """Wait for pipes, and fork a process that runs a program over each pair; tell how each ended."""
    link = socket.socket(fileno=0)
    link.sendall(b"u")
    while True:
        message, pair, _, _ = socket.recv_fds(link, 1, 2)
        if not message:
            os._exit(0)
        child = os.fork()
        if not child:
            os.setsid()
            os.dup2(pair[0], 0)
            os.dup2(pair[1], 1)
            for fd in pair:
                os.close(fd)
            main(io.BufferedReader(io.FileIO(0, closefd=False)))
        for fd in pair:
            os.close(fd)
        ended, status = 0, 0
        if link.recv(1) == b"g":  # it hung up: a moment to learn how it ended
            for _ in range(100):
                ended, status = os.waitpid(child, os.WNOHANG)
                if ended:
                    break
                time.sleep(0.002)
        if not ended:
            for kill in (os.killpg, os.kill):
                try:
                    kill(child, _KILL)
                except OSError:
                    continue
            status = os.waitpid(child, 0)[1]
        link.sendall(struct.pack("=i", status))


# The boot line in levels.py reads this code from the same stream.
if stat.S_ISSOCK(os.fstat(0).st_mode):
    serve()
else:
    main(sys.stdin.buffer)
