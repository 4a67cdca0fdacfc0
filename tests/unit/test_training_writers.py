"""Real training processes: two at once, killed, stopped, out of space. They end in the same tables."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
WRITER = Path(__file__).with_name("writer.py")
LOCK = "0.1,5,60"  # five seconds: a busy machine may keep a beat waiting
TABLES = ("runs", "draws", "outputs")


class Place:
    """A folder with a store, and processes that train or fork there."""

    def __init__(self, folder, config):
        self.folder = folder
        folder.mkdir()
        self.stage = config | {"store": str(folder / "store")}
        (folder / "stage.json").write_text(json.dumps(self.stage))
        self.advances = folder / "advances"

    def start(self, name, command="train", lock=LOCK, slow=0.0, after=0, limit=None):
        out = self.folder / name
        out.mkdir(exist_ok=True)
        words = [sys.executable, str(WRITER), "--log", str(out / "log"), command]
        words += ["--config", str(self.folder / "stage.json"), "--device", "cpu", "--lock", lock]
        if command == "train":
            words += ["--first", "0", "--end", "24"]
            words += [w for t in TABLES for w in (f"--{t}", str(out / f"{t}.parquet"))]
        else:
            words += ["--depth", "4", "--out", str(out / "forks.parquet")]
        before = None
        if limit is not None:
            import resource

            def before():
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

        env = {**os.environ, "ADVANCES": str(self.advances), "SLOW": str(slow), "AFTER": str(after)}
        return subprocess.Popen(words, env=env, stderr=subprocess.PIPE, text=True, preexec_fn=before)

    def said(self, name):
        log = self.folder / name / "log"
        return log.read_text() if log.exists() else ""

    def trained(self, kind="run"):
        """Each stretch that was begun: first seed, start, end."""
        lines = self.advances.read_text().splitlines() if self.advances.exists() else []
        stretches = [json.loads(line) for line in lines]
        return [(s[1], *s[-2:]) for s in stretches if s[0] == kind]

    def tables(self, name):
        return {p.name: p.read_bytes() for p in sorted((self.folder / name).glob("*.parquet"))}

    def locks(self):
        return list(self.folder.glob("store/checkpoints/*/*/locks/*"))


def wait_for(condition, *processes):
    while not condition():
        assert all(p.poll() is None for p in processes), processes[0].stderr.read()
        time.sleep(0.02)


@pytest.fixture
def config(family):
    forks = {"depths": [4], "trunks": 20, "per_trunk": 2}
    return family("modular", bank=8, depths=[1, 4, 8], horizon=16) | {"forks": forks}


@pytest.fixture(scope="module")
def kept():
    """What is made once for all tests here."""
    return {}


@pytest.fixture
def whole(kept, tmp_path_factory, config):
    """An undisturbed training, and its stretches: three banks of four."""
    if not kept:
        kept["whole"] = made = Place(tmp_path_factory.mktemp("writers") / "whole", config)
        assert made.start("a").wait() == 0
        assert len(made.trained()) == 12
    return kept["whole"]


@pytest.fixture
def place(tmp_path, config):
    return Place(tmp_path / "place", config)


def test_two_at_once_train_no_run_twice(place, whole):
    both = [place.start(name, slow=0.1) for name in ("a", "b")]
    assert [p.wait() for p in both] == [0, 0]
    assert sorted(place.trained()) == sorted(whole.trained())
    assert place.tables("a") == place.tables("b") == whole.tables("a")
    assert any("waiting for process" in place.said(name) for name in ("a", "b"))
    assert place.locks() == []


def test_the_second_goes_on_where_a_killed_first_was(place, whole):
    first = place.start("a", slow=60, after=2)
    wait_for(lambda: len(place.trained()) > 2, first)
    second = place.start("b")
    wait_for(lambda: "waiting for" in place.said("b"), first, second)
    first.kill()
    first.wait()
    assert second.wait() == 0
    assert place.tables("b") == whole.tables("a")
    begun = place.trained()
    assert set(begun) == set(whole.trained())
    assert len(begun) <= 12 + 1  # the one that was cut off
    assert "is gone; its lock is taken over" in place.said("b")
    assert place.locks() == []


def test_sigterm_ends_in_one_line_with_the_lock_given_back(place, whole):
    first = place.start("a", slow=60, after=2)
    wait_for(lambda: len(place.trained()) > 2, first)
    first.send_signal(signal.SIGTERM)
    assert first.wait() == 143
    assert "stopped by SIGTERM" in first.stderr.read().splitlines()[-1]
    assert place.locks() == []
    assert place.tables("a") == {}
    assert place.start("b").wait() == 0
    assert place.tables("b") == whole.tables("a")
    assert len(place.trained()) <= 12 + 1


def test_who_waits_too_long_leaves(place):
    first = place.start("a", slow=60)
    wait_for(lambda: place.trained(), first)
    second = place.start("b", lock="0.1,5,0.5")
    assert second.wait() == 1
    last = second.stderr.read().splitlines()[-1]
    assert f"task tiny: tiny: runs 0 to 7: still locked by process {first.pid} on" in last
    assert len(place.trained()) == 1
    first.kill()
    first.wait()


def test_forks_at_once_train_their_lost_trunks_once(place, whole):
    both = [place.start(name, "fork", slow=0.1) for name in ("a", "b")]
    assert [p.wait() for p in both] == [0, 0]
    assert sorted(place.trained()) == [(f, *s) for f in (0, 8, 16) for s in ((0, 1), (1, 4))]
    assert place.tables("a") == place.tables("b")
    assert place.start("c").wait() == 0  # the last bank held 4 of the 8 that training puts there
    assert place.tables("c") == whole.tables("a")


def test_a_full_disk_is_named_and_what_was_finished_is_kept(place, whole):
    files = whole.folder.glob("store/checkpoints/*/*/seeds*/depth_00000016.safetensors")
    last = min(path.stat().st_size for path in files)  # the horizon's, which hold the target's losses
    assert place.start("a", limit=last - 1).wait() == 1
    first = place.start("a", limit=last - 1)
    assert first.wait() == 1
    lines = [line for line in first.stderr.read().splitlines() if line.startswith("prehoc:")]
    assert len(lines) == 1
    assert "depth_00000016.safetensors: the disk, a quota or a limit on file sizes is full" in lines[0]
    assert place.tables("a") == {}
    there = [p.name for p in place.folder.glob("store/checkpoints/*/*/seeds*/*")]
    assert sorted(there) == [f"depth_0000000{d}.safetensors" for d in (1, 4, 8)]
    assert [p for p in place.folder.rglob(".*") if p.is_file()] == []
    assert place.locks() == []
    assert place.start("a").wait() == 0
    assert place.tables("a") == whole.tables("a")
    assert len(place.trained()) == 12 + 2
