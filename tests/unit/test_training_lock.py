"""The lock on runs: one at a time, whoever dies, on any clock."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prehoc.errors import DiskFullError, InputError
from prehoc.training import lock
from prehoc.training.lock import EVERY, Hold, Times, points

QUICK = Times(heartbeat=0.05, stale=0.4, longest=20)
SEEDS = range(4)
HOLDER = """
import sys, time
from pathlib import Path
from prehoc.training.lock import Hold, Times
base, stale, log = Path(sys.argv[1]), float(sys.argv[2]), Path(sys.argv[3])
with Hold(base, range(4), Times(0.05, stale, 20), lambda line: None, "tiny") as hold:
    hold.take()
    with log.open("a") as stream:
        stream.write("in\\n")
    time.sleep(float(sys.argv[4]))
    with log.open("a") as stream:
        stream.write("out\\n" if hold.held else "lost\\n")
"""


def holder(base, log, seconds, stale=20.0, **env):
    words = [sys.executable, "-c", HOLDER, str(base), str(stale), str(log), str(seconds)]
    return subprocess.Popen(words, env={**os.environ, **env})


def wait_for(condition):
    while not condition():
        time.sleep(0.01)


def inside(log, count=1):
    return lambda: log.exists() and log.read_text().count("in") >= count


def lock_file(base):
    return lock.folder(base) / "seed_000000.lock"


def foreign(base, **changed):
    """A lock of a job on another machine."""
    path = lock_file(base)
    with Hold(base, SEEDS, QUICK, print, "tiny") as hold:
        hold.take()
        about = json.loads(path.read_text()) | {"host": "node7", "place": "another boot", "token": "t"}
    path.write_text(json.dumps(about | changed) + "\n")
    return path


@given(st.integers(0, 200), st.integers(1, 90), st.integers(0, 200), st.integers(1, 90))
def test_blocks_of_runs_meet_where_they_overlap(first, count, other, more):
    a, b = range(first, first + count), range(other, other + more)
    shared = set(points(a)) & set(points(b))
    both = set(a) & set(b)
    assert set(points(a)) <= set(a)
    assert points(a) == sorted(set(points(a)))
    if not both:
        assert not shared
    if first == other or len(both) >= EVERY:
        assert shared


@pytest.mark.parametrize("text", ["", "1,2", "a,b,c", "0,10,1", "5,14,1", "1,3,-1", "1,3,1,1"])
def test_times_that_are_none_are_refused(text):
    with pytest.raises(InputError, match="--lock"):
        Times.parse(text)
    assert Times.parse("1,3,0") == Times(1, 3, 0)


def test_a_second_writer_waits_says_for_whom_and_follows(tmp_path):
    lines, order = [], []
    times = Times(heartbeat=0.05, stale=1.5, longest=20)
    with Hold(tmp_path, SEEDS, times, lines.append, "tiny") as first:
        assert first.take()
        assert not first.take()  # ours already

        def second():
            with Hold(tmp_path, SEEDS, times, lines.append, "tiny") as hold:
                assert hold.take()
                order.append("second")

        thread = threading.Thread(target=second)
        thread.start()
        wait_for(lambda: lines)
        time.sleep(1.5 * times.stale)  # a holder that beats is never taken for gone
        assert first.held
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
    assert len(lines) == 1
    assert f"waiting for process {os.getpid()} on " in lines[0]
    assert " since 20" in lines[0]
    assert list(lock.folder(tmp_path).iterdir()) == []


def test_a_killed_holder_of_this_machine_is_followed_at_once(tmp_path):
    log, lines = tmp_path / "log", []
    process = holder(tmp_path, log, 60)
    wait_for(inside(log))
    process.kill()
    for reaped in (False, True):  # as a zombie, and as no process at all
        if reaped:
            process.wait()
        begun = time.monotonic()
        with Hold(tmp_path, SEEDS, Times(1, 1e6, 5), lines.append, "tiny") as hold:
            hold.take()
            about = json.loads(lock_file(tmp_path).read_text())
        assert time.monotonic() - begun < 5
        lock_file(tmp_path).write_text(json.dumps(about | {"pid": process.pid, "begun": "1"}))
    taken = [line for line in lines if "is gone; its lock is taken over" in line]
    assert len(taken) == 2


def test_a_holder_elsewhere_is_followed_when_it_stood_still_whatever_its_clock(tmp_path):
    for skew in (-1e6, 0.0, 1e6):
        base = tmp_path / str(skew)
        path, lines = foreign(base), []
        os.utime(path, (time.time() + skew,) * 2)
        begun = time.monotonic()
        with Hold(base, SEEDS, QUICK, lines.append, "tiny") as hold:
            hold.take()
            assert time.monotonic() - begun >= QUICK.stale
            assert hold.held
        assert "waiting for process" in lines[0]
        assert "on node7 since" in lines[0]
        assert "no sign of life" in lines[1]
        assert list(lock.folder(base).iterdir()) == []


def test_a_holder_elsewhere_that_beats_is_waited_for_and_left_after_the_longest_wait(tmp_path):
    path = foreign(tmp_path)
    stop = threading.Event()

    def beat():
        moved = 0
        while not stop.wait(0.05):
            moved -= 1000  # its clock runs backwards
            os.utime(path, (moved, moved))

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        with (
            pytest.raises(
                InputError, match=r"still locked by process \d+ on node7 since .* after 1 s"
            ) as caught,
            Hold(tmp_path, SEEDS, Times(0.05, 0.4, 1.0), print, "tiny") as hold,
        ):
            hold.take()
    finally:
        stop.set()
        thread.join()
    assert "\n" not in str(caught.value)
    assert path.exists()


def test_a_job_requeued_under_its_own_id_takes_its_lost_lock_for_anothers(tmp_path, monkeypatch):
    """The id is no proof of life, and none of death."""
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    path, lines = foreign(tmp_path, job="SLURM job 77"), []
    begun = time.monotonic()
    with Hold(tmp_path, SEEDS, QUICK, lines.append, "tiny") as hold:
        assert not hold.held
        hold.take()
        assert time.monotonic() - begun >= QUICK.stale
        assert json.loads(path.read_text())["job"] == "SLURM job 77"
    assert not path.exists()


def test_of_many_takers_one_is_inside_at_a_time(tmp_path):
    log = tmp_path / "log"
    foreign(tmp_path)
    takers = [holder(tmp_path, log, 0.15, stale=2.0) for _ in range(6)]
    assert [t.wait() for t in takers] == [0] * 6
    assert log.read_text().split() == ["in", "out"] * 6
    assert list(lock.folder(tmp_path).iterdir()) == []


def test_a_taker_that_died_in_the_middle_is_passed_by(tmp_path):
    path = foreign(tmp_path)
    path.with_name(f"{path.name}.t.0").touch()
    path.with_name(f"{path.name}.t.1").touch()
    begun = time.monotonic()
    with Hold(tmp_path, SEEDS, QUICK, print, "tiny") as hold:
        hold.take()
        assert time.monotonic() - begun >= 3 * QUICK.stale  # the holder's, and each taker's
    assert list(lock.folder(tmp_path).iterdir()) == []


def test_a_taker_that_comes_late_leaves_the_new_holder_alone(tmp_path):
    """It judged the old file; by when its guard stands, another has taken over, or the holder beats again."""
    path = foreign(tmp_path)
    old = lock.look(path)
    with Hold(tmp_path, SEEDS, QUICK, print, "tiny") as new:
        new.take()
        assert not Hold(tmp_path, SEEDS, QUICK, print, "tiny")._take_over(path, old)
        assert new.held
        assert list(path.parent.iterdir()) == [path]


def test_a_file_without_a_word_is_a_lost_holders_too(tmp_path):
    lock.folder(tmp_path).mkdir()
    lock_file(tmp_path).touch()
    with Hold(tmp_path, SEEDS, QUICK, print, "tiny") as hold:
        hold.take()
        assert hold.held


def test_a_holder_that_was_stopped_finds_its_lock_lost(tmp_path):
    log = tmp_path / "log"
    process = holder(tmp_path, log, 0.5)
    wait_for(inside(log))
    os.kill(process.pid, signal.SIGSTOP)
    with Hold(tmp_path, SEEDS, QUICK, print, "tiny") as hold:
        hold.take()
        os.kill(process.pid, signal.SIGCONT)
        assert process.wait() == 0
        assert log.read_text().split() == ["in", "lost"]
        assert hold.held  # neither its beats nor its end touched ours
        assert json.loads(lock_file(tmp_path).read_text())["pid"] == os.getpid()


def test_a_lock_is_given_back_after_an_error_and_on_sigterm_by_the_system_exit(tmp_path):
    def fails(error):
        with Hold(tmp_path, range(40), QUICK, print, "tiny") as hold:
            hold.take()
            assert len(list(lock.folder(tmp_path).iterdir())) == 3  # 0, 16, 32
            raise error

    for error in (RuntimeError, KeyboardInterrupt, SystemExit):
        with pytest.raises(error):
            fails(error)
        assert list(lock.folder(tmp_path).iterdir()) == []


def test_a_full_disk_is_named_and_leaves_no_lock(tmp_path, monkeypatch):
    def full(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(lock.os, "fsync", full)
    with (
        pytest.raises(DiskFullError, match=r"seed_000000\.lock: the disk"),
        Hold(tmp_path, SEEDS, QUICK, print, "tiny") as hold,
    ):
        hold.take()
    assert list(lock.folder(tmp_path).iterdir()) == []


def test_the_lock_imports_no_torch():
    code = "import sys, prehoc.training.lock; sys.exit('torch' in sys.modules or 'pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_paths_are_beside_the_checkpoints(tmp_path):
    hold = Hold(tmp_path, range(100, 130), QUICK, print, "tiny")
    assert [p.name for p in hold.paths] == ["seed_000100.lock", "seed_000112.lock", "seed_000128.lock"]
    assert {p.parent for p in hold.paths} == {Path(tmp_path) / "locks"}
