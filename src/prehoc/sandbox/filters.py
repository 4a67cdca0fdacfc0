"""The seccomp filter: which system calls a program may make, as a BPF program for the kernel.

It names what is allowed; all else is refused. So no process or thread is started, no program executed,
no socket opened, no signal sent, no other process looked at, and no setting changed but a process's own.
References: the kernel's Documentation/userspace-api/seccomp_filter.rst and linux/filter.h.
"""

from __future__ import annotations

import errno
import functools
import platform
import struct

from prehoc.sandbox.syscalls import ALLOWED, NUMBERS, WRITING

AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_LOAD, _EQUAL, _AND, _ABOVE, _RETURN = 0x20, 0x15, 0x54, 0x25, 0x06
_NUMBER, _ARCH, _ARGS = 0, 4, 16  # offsets into struct seccomp_data
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_X32 = 0x3FFFFFFF  # calls above it are those of x32, another table

# open for writing, creating or cutting: O_WRONLY | O_RDWR | O_CREAT | O_TRUNC, the same on both machines.
WRITE_FLAGS = 0o1 | 0o2 | 0o100 | 0o1000
# F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_DUPFD_CLOEXEC; not F_SETOWN, which sends signals.
_FCNTL = (0, 1, 2, 3, 4, 1030)
_IOCTL = (0x5401, 0x5451, 0x5450)  # TCGETS (isatty), FIOCLEX, FIONCLEX


def machine() -> str:
    """The machine's name where its system calls are known, else ""."""
    name = platform.machine()
    return name if name in NUMBERS and struct.calcsize("P") == 8 else ""


def _line(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
    return struct.pack("=HBBI", code, yes, no, value)


def _value(number: int, argument: int, allowed: tuple[int, ...]) -> bytes:
    """Lines that allow call `number` where its argument is one of `allowed`, and else refuse it."""
    tests = len(allowed)
    body = _line(_LOAD, _ARGS + 8 * argument)  # the low word: all of these are ints to the kernel
    for k, value in enumerate(allowed):
        body += _line(_EQUAL, value, tests - k, 0)
    body += _line(_RETURN, _ERRNO | errno.EPERM) + _line(_RETURN, _ALLOW)
    return _line(_EQUAL, number, 0, tests + 3) + body


def _reading(number: int, argument: int) -> bytes:
    """Lines that allow call `number` (open, openat) where its flags write nothing."""
    body = _line(_LOAD, _ARGS + 8 * argument) + _line(_AND, WRITE_FLAGS) + _line(_EQUAL, 0, 1, 0)
    body += _line(_RETURN, _ERRNO | errno.EACCES) + _line(_RETURN, _ALLOW)
    return _line(_EQUAL, number, 0, 5) + body


@functools.cache
def build(files: str, name: str | None = None) -> bytes:
    """The filter for this machine (or `name`), as an array of struct sock_filter.

    `files`: "write" (every file that can be reached may be written), "read" (files are opened for reading
    only) or "none" (no file is opened at all).
    """
    name = name or machine()
    numbers = NUMBERS[name]
    lines = _line(_LOAD, _ARCH) + _line(_EQUAL, AUDIT_ARCH[name], 1, 0) + _line(_RETURN, _KILL)
    lines += _line(_LOAD, _NUMBER)
    if name == "x86_64":
        lines += _line(_ABOVE, _X32, 0, 1) + _line(_RETURN, _KILL)
    plain = [*ALLOWED, *(WRITING if files == "write" else ())]
    for call in plain:
        if call in numbers:
            lines += _line(_EQUAL, numbers[call], 0, 1) + _line(_RETURN, _ALLOW)
    for call, argument in (("open", 1), ("openat", 2)):
        if call not in numbers or files == "none":
            continue
        if files == "write":
            lines += _line(_EQUAL, numbers[call], 0, 1) + _line(_RETURN, _ALLOW)
        else:
            lines += _reading(numbers[call], argument)
    lines += _value(numbers["fcntl"], 1, _FCNTL)
    lines += _value(numbers["ioctl"], 1, _IOCTL)
    lines += _value(numbers["prlimit64"], 0, (0,))  # its own limits, nobody else's
    # The C library takes the older call where this one is unknown, and that one is refused below.
    lines += _line(_EQUAL, numbers["clone3"], 0, 1) + _line(_RETURN, _ERRNO | errno.ENOSYS)
    return lines + _line(_RETURN, _ERRNO | errno.EPERM)
