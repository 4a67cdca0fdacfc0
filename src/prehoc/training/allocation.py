"""How the C library hands out memory: big blocks that were freed are kept and used again.

By default glibc gives a block above 128 kB to 32 MB back to the system as it is freed, and a training
step frees and takes the same blocks thousands of times; each time the system fills them with zeros
again, page by page. docs/development.md says what keeping them is worth.
"""

from __future__ import annotations

import ctypes
import platform

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # malloc.h's M_TRIM_THRESHOLD and M_MMAP_THRESHOLD
_KEPT = (
    1 << 30
) - 1  # bytes: blocks below it are taken from the heap, and twice that of its free top is kept


def keep_freed_blocks(below: int = _KEPT) -> bool:
    """Ask the C library to keep freed blocks below so many bytes; True if it is glibc on Linux and agreed.

    32 MB is what glibc comes to by itself in a process that frees such blocks.
    """
    if platform.system() != "Linux" or platform.libc_ver()[0] != "glibc":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(_MMAP_THRESHOLD, below)) and bool(mallopt(_TRIM_THRESHOLD, 2 * below))


def give_back() -> None:
    """Give free pages back to the system, at every depth: blocks of many sizes leave gaps that add up."""
    if platform.system() == "Linux" and platform.libc_ver()[0] == "glibc":
        try:
            ctypes.CDLL(None).malloc_trim(0)
        except (OSError, AttributeError):
            return
