"""Levels: what is in force, refusals, and the modes that this machine would not choose by itself."""

from __future__ import annotations

import struct

import pytest
from typer.testing import CliRunner

from prehoc.cli import app
from prehoc.errors import InputError
from prehoc.sandbox import Limits, Program, available, choose, level, levels, run_all
from prehoc.sandbox.filters import build
from prehoc.sandbox.syscalls import ALLOWED, NUMBERS, WRITING


def test_auto_takes_the_first_level_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(levels, "_refusal", lambda kind: "" if kind == "seccomp" else "not here")
    assert choose("auto") == "seccomp"
    with pytest.raises(InputError, match="bubblewrap cannot be had here: not here"):
        choose("bubblewrap")
    monkeypatch.setattr(levels, "_refusal", lambda kind: "off")
    with pytest.raises(InputError, match="no sandbox can be had"):
        choose("auto")
    with pytest.raises(InputError, match="none of auto"):
        choose("chroot")


def test_nothing_is_run_less_fenced_than_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(levels, "_refusal", lambda kind: "not here")
    with pytest.raises(InputError, match="cannot be had"):
        run_all([Program("x = 1")], kind="namespaces")


def test_a_missing_fence_is_an_error_of_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = levels.orders

    def broken(*args: object) -> dict[str, object]:
        return {**whole(*args), "filter": b"\0" * 8}  # type: ignore[arg-type]

    assert available()["seccomp"] == ""
    monkeypatch.setattr("prehoc.sandbox.run.levels.orders", broken)
    with pytest.raises(InputError, match=r"seccomp did not start: OSError: .*seccomp"):
        run_all([Program("x = 1", "assert x")], kind="seccomp")


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a kernel without Landlock: no file is opened at all."""
    assert available()["seccomp"] == ""
    monkeypatch.setattr(levels, "_landlock", lambda: False)


@pytest.mark.usefixtures("closed")
def test_without_landlock_no_file_is_opened() -> None:
    imports = "import math, statistics\nfrom collections import abc, Counter\nimport datetime\n"
    fine = imports + "d = datetime.datetime.strptime('2020-01-02', '%Y-%m-%d').day"
    programs = [
        Program(fine, "assert d == 2 and statistics.mean([1, 3]) == 2"),
        Program("open('/etc/hostname')", "assert True"),
        Program("import os\nos.listdir('/')", "assert True"),
        Program("import os\nos.kill(os.getppid(), 0)", "assert True"),
        Program("import socket\nsocket.socket()", "assert True"),
    ]
    kinds = [o.kind for o in run_all(programs, Limits(), kind="seccomp")]
    assert kinds == ["passed", "forbidden", "forbidden", "forbidden", "forbidden"]
    assert any("opens no file at all" in line for line in level("seccomp").holds)


def test_the_filter_allows_no_writing_call_to_readers() -> None:
    for name, numbers in NUMBERS.items():
        assert set(ALLOWED) & set(WRITING) == set()
        equal = {
            value for code, _, _, value in struct.iter_unpack("=HBBI", build("read", name)) if code == 0x15
        }
        plain = {numbers[c] for c in ALLOWED if c in numbers}
        assert plain <= equal
        constants = {0, 1, 2, 3, 4, 1030}  # arguments that are compared, and may look like numbers of calls
        for call in (*WRITING, "creat"):
            if call in numbers and numbers[call] not in constants:
                assert numbers[call] not in equal - plain - {0x5401, 0x5450, 0x5451}
        assert len(build("write", name)) > len(build("read", name))


def test_the_command_says_what_is_in_force() -> None:
    done = CliRunner().invoke(app, ["sandbox"])
    assert done.exit_code == 0, done.output
    assert f"in force for auto: {choose('auto')}" in done.output
    assert "holds: no network" in done.output
