"""The C library keeps freed blocks where it can be asked to, and nothing breaks where it can't."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from prehoc.training import allocation

PROGRAM = """
import resource, numpy
from prehoc.training.allocation import keep_freed_blocks
if {asked}:
    assert keep_freed_blocks()
numpy.ones(5 << 20)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    numpy.ones(5 << 20)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's allocator is asked")
def test_freed_blocks_are_used_again():
    """Twenty arrays of 40 MiB, one after the other: each takes new pages, unless freed ones are kept."""
    faults = [
        int(subprocess.check_output([sys.executable, "-c", PROGRAM.format(asked=asked)], text=True))
        for asked in (True, False)
    ]
    assert faults[0] < 20 < faults[1]


@pytest.mark.parametrize(("system", "library"), [("Darwin", ""), ("Linux", "musl"), ("Windows", "")])
def test_other_systems_are_left_alone(monkeypatch, system, library):
    monkeypatch.setattr(platform, "system", lambda: system)
    monkeypatch.setattr(platform, "libc_ver", lambda: (library, ""))
    assert not allocation.keep_freed_blocks()
