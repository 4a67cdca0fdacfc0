"""A disk that fills up in the middle of a write: one line, and what stood there before still stands."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import resource

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from prehoc import tables
from prehoc.errors import DiskFullError, InputError, disk_full, no_room

FRAME = pd.DataFrame({"task": "t", "feature": [f"f{i}" for i in range(3000)], "value": np.arange(3000.0)})


@contextlib.contextmanager
def files_up_to(size):
    """The system's own limit on file sizes: writes beyond it fail in the middle, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def table(path):
    tables.write("static", FRAME, path)


def payload(path):
    tables.write_json({"a": "x" * 20000}, path)


def tensors(path):
    with tables.atomic(path) as temporary:
        save_file({"a": torch.zeros(5000)}, temporary)


@pytest.mark.parametrize(
    ("write", "ending"), [(table, "parquet"), (table, "csv"), (payload, "json"), (tensors, "safetensors")]
)
@pytest.mark.parametrize("before", [None, b"as it was"])
def test_a_write_that_runs_out_of_space(tmp_path, write, ending, before):
    path = tmp_path / f"a.{ending}"
    if before:
        path.write_bytes(before)
    with files_up_to(4000), pytest.raises(DiskFullError) as caught:
        write(path)
    line = str(caught.value)
    assert line.startswith(f"{path}: the disk")
    assert "make space" in line
    assert "\n" not in line
    assert [p.name for p in tmp_path.iterdir()] == ([path.name] if before else [])
    assert not before or path.read_bytes() == before
    write(path)
    assert path.stat().st_size > 4000


def test_a_space_that_is_missed_only_at_the_flush(tmp_path, monkeypatch):
    def full(handle):
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(DiskFullError):
            payload(tmp_path / "a.json")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_without_room_is_named(tmp_path):
    assert no_room(tmp_path, 4000) is None
    with files_up_to(2000):
        assert str(no_room(tmp_path, 4000)).startswith(f"{tmp_path}: the disk, a quota or a limit")
    assert list(tmp_path.iterdir()) == []
    assert no_room(tmp_path / "none") is None


def test_other_errors_stay_what_they_are(tmp_path):
    assert disk_full("x", PermissionError(errno.EACCES, "no")) is None
    assert disk_full("x", RuntimeError("shape [28, 3]")) is None
    with pytest.raises(ZeroDivisionError), tables.atomic(tmp_path / "a.json"):
        raise ZeroDivisionError
    with pytest.raises(InputError, match="lacks the column"):
        tables.write("static", FRAME.drop(columns="value"), tmp_path / "a.csv")
    assert list(tmp_path.iterdir()) == []


def test_a_log_that_cannot_be_written_says_so_once(tmp_path, capsys):
    from prehoc.cli import _LogFile

    handler = _LogFile(tmp_path / "log")
    with files_up_to(5):
        for _ in range(3):
            handler.emit(logging.LogRecord("a", logging.INFO, "p", 1, "a longer line", (), None))
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert told.startswith(f"prehoc: {tmp_path / 'log'}: File too large")
    with contextlib.suppress(OSError):
        handler.close()


def test_a_log_gives_back_what_it_set_aside(tmp_path):
    from prehoc.cli import _LogFile

    handler = _LogFile(tmp_path / "log")
    handler.emit(logging.LogRecord("prehoc", logging.INFO, "", 0, "a line", None, None))
    handler.close()
    handler.close()
    assert (tmp_path / "log").read_text() == "a line\n"
    assert (tmp_path / "log").stat().st_blocks * 512 <= 8192
