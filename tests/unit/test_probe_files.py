"""ProbeCallback's file: shared, resumed, overwritten, killed, spoilt."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tiny_trainer import STEPS, foreign, logged, rows, trainer, written
from transformers import Trainer

import prehoc
from prehoc.errors import InputError
from prehoc.training.probe_callback import ProbeCallback


def test_two_runs_share_a_file_that_another_tool_made(tmp_path):
    path = tmp_path / "runs.csv"
    path.write_text('note,task,seed,step,metric\r\n"a, b",old,3,1,0.50\r\n\r\n"c",tiny,9,1,\r\n')
    for seed in (0, 1):
        one = trainer(tmp_path / "out", ProbeCallback(path, task="tiny"), seed=seed)
        one.train()
        mine = [(int(r["step"]), float(r["metric"])) for r in rows(path) if r["seed"] == str(seed)]
        assert mine == logged(one)
    assert rows(path)[0] == {"note": "a, b", "task": "old", "seed": "3", "step": "1", "metric": "0.50"}
    assert [r["seed"] for r in rows(path)] == ["3", "9"] + ["0"] * 4 + ["1"] * 4


def test_a_rerun_is_refused_before_the_first_step_or_takes_the_place(tmp_path):
    path = tmp_path / "runs.csv"
    trainer(tmp_path / "out", ProbeCallback(path, task="tiny"), eval_steps=4).train()
    path.write_text(
        path.read_text().replace("tiny,0,", "tiny,0.0,")
    )  # as a spreadsheet or pandas leaves it
    before = path.read_text()
    again = trainer(tmp_path / "out", ProbeCallback(path, task="tiny"))
    for _ in range(2):  # the second time too
        with pytest.raises(
            InputError, match=r"runs.csv: has run 0 of 'tiny' already \(2 rows\).*overwrite=True"
        ):
            again.train()
        assert again.state.global_step == 0
    assert path.read_text() == before
    one = trainer(tmp_path / "out", ProbeCallback(path, task="tiny", overwrite=True))
    one.train()
    assert written(path) == logged(one)
    trainer(tmp_path / "out", ProbeCallback(path, task="tiny", seed="0b")).train()
    assert len(rows(path)) == 8


def test_a_resumed_run_keeps_its_rows_and_has_none_twice(tmp_path):
    path, out = tmp_path / "runs.csv", tmp_path / "out"
    callback = ProbeCallback(path, task="tiny")
    trainer(out, callback, save_strategy="steps", save_steps=4).train()
    callback.record_final(0.25)
    first = written(path)
    broken = path.read_text().replace("\ntiny,0,6", "\ntiny,0,7")  # what an abandoned continuation left
    for text in (broken, None):  # None: the file was on another machine
        if text is None:
            path.unlink()
        else:
            path.write_text(text)
        one = trainer(out, ProbeCallback(path, task="tiny"))
        one.train(resume_from_checkpoint=str(out / "checkpoint-4"))
        assert written(path) == logged(one)
        assert [d for d, _ in written(path)] == [2, 4, 6, 8]
        assert written(path)[:2] == first[:2]
        assert {r.get("final", "") for r in rows(path)} == {""}  # that was the abandoned continuation's


def test_a_training_that_broke_off_begins_again_in_one_process(tmp_path):
    class Breaks(Trainer):
        fail = True

        def training_step(self, *args, **kwargs):
            if self.fail and self.state.global_step == 5:
                raise KeyboardInterrupt
            return super().training_step(*args, **kwargs)

    for meddled in (False, True):
        path = tmp_path / f"runs {meddled}.csv"
        one = trainer(tmp_path / "out", ProbeCallback(path, task="tiny"), kind=Breaks)
        with pytest.raises(KeyboardInterrupt):
            one.train()
        assert [d for d, _ in written(path)] == [2, 4]
        one.fail = False
        if meddled:
            foreign(path)  # that is not what this process left there
            with pytest.raises(InputError, match="already"):
                one.train()
        else:
            one.train()
            assert written(path) == logged(one)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"task,seed,metric\n", "line 1: no column 'depth'"),
        (b"seed,depth,metric\n0,1,2\n", "line 1: no column 'task'"),
        (b"task,seed,depth,metric,value\n", "long table"),
        (b"task,seed,depth,metric,seed\n", "'seed' is there twice"),
        (b"task,seed,depth,metric\nx,0,1,.5\nx,0,2\n", "line 3: 3 cells under 4 columns"),
        (
            b"task,seed,depth,metric\nx,0,1.5,.5\n",
            "line 2: column 'depth' takes whole numbers of 0 or more, not '1.5'",
        ),
        (b"task,seed,depth,metric\nx,0,inf,.5\n", "line 2: column 'depth'"),
        (b"task,seed,depth,metric\nx,0,1,half\n", "line 2: column 'metric' takes numbers, not 'half'"),
        (b"task,seed,depth,metric\n\xff\xfe,0,1,2\n", "not UTF-8"),
        (b"{}", "line 1: no column"),
    ],
)
def test_a_file_that_is_no_runs_table_is_refused_and_left_alone(tmp_path, content, message):
    path = tmp_path / "runs.csv"
    path.write_bytes(content)
    one = trainer(tmp_path / "out", ProbeCallback(path, task="tiny"))
    with pytest.raises(InputError, match=message):
        one.train()
    assert path.read_bytes() == content
    assert one.state.global_step == 0


class Meddles(ProbeCallback):
    """Something happens to the file at one of the evaluations."""

    def __init__(self, *args, at, what, **kwargs):
        super().__init__(*args, **kwargs)
        self.at, self.what = at, what

    def on_evaluate(self, args, state, control, **kwargs):
        if state.global_step == self.at:
            self.what(self.file)
        return super().on_evaluate(args, state, control, **kwargs)


def test_the_same_run_by_two_processes_is_told_and_never_mixed(tmp_path, caplog):
    path = tmp_path / "runs.csv"
    with pytest.raises(InputError, match=r"another process wrote run 0 of task 'tiny' meanwhile"):
        trainer(tmp_path / "out", Meddles(path, task="tiny", at=2, what=foreign)).train()
    assert [d for d, _ in written(path)] == [99]
    path.unlink()
    one = trainer(tmp_path / "out", Meddles(path, task="tiny", at=4, what=foreign))
    one.train()  # begun already: it is told, and goes on
    assert one.state.global_step == STEPS
    assert "recorded no further" in caplog.text
    assert [d for d, _ in written(path)] == [2, 99]


def test_rows_that_cannot_be_written_come_with_a_later_evaluation(tmp_path, caplog):
    path = tmp_path / "runs.csv"
    kept = []

    def spoil(file):
        kept.append(file.read_text())
        file.write_text(file.read_text() + "tiny,5\n")

    def mend(file):
        file.write_text(kept[0])

    class Both(Meddles):
        def on_evaluate(self, args, state, control, **kwargs):
            if state.global_step == STEPS:
                mend(self.file)
            return super().on_evaluate(args, state, control, **kwargs)

    one = trainer(tmp_path / "out", Both(path, task="tiny", at=4, what=spoil))
    one.train()
    assert "line 3: 2 cells under 4 columns" in caplog.text
    assert written(path) == logged(one)


WRITER = """
import sys
from prehoc.training.run_record import RunRecord
from prehoc.training.runs_file import RunsFile
path, seed, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
record = RunRecord(RunsFile(path), "tiny", seed, None)
record.begin(0, {}, False)
print("ready", flush=True)
sys.stdin.readline()
for depth in range(1, count + 1):
    record.rows[depth] = repr(depth / 7 + seed)
    record.write()
    if not record.complete:
        sys.exit("not written")
"""


def writer(path, seed, count):
    command = [sys.executable, "-c", WRITER, str(path), str(seed), str(count)]
    source = str(Path(prehoc.__file__).parents[1])
    environment = os.environ | {"PYTHONPATH": source}
    one = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    )
    assert one.stdout.readline() == "ready\n"
    return one


def test_processes_write_at_the_same_time_and_no_row_is_lost(tmp_path):
    path = tmp_path / "runs.csv"
    both = [writer(path, seed, 60) for seed in (0, 1)]
    for one in both:
        one.stdin.write("go\n")
        one.stdin.flush()
    for one in both:
        one.communicate(timeout=60)
        assert one.returncode == 0
    assert len(rows(path)) == 120
    for seed in (0, 1):
        assert written(path, seed) == [(d, d / 7 + seed) for d in range(1, 61)]


def test_a_killed_process_leaves_whole_rows_and_no_lock(tmp_path):
    path = tmp_path / "runs.csv"
    others = "task,seed,depth,metric\n" + "".join(f"other,{k},1,0.5\n" for k in range(4000))
    path.write_text(others)
    one = writer(path, 0, 10**6)
    one.stdin.write("go\n")
    one.stdin.flush()
    until = time.monotonic() + 30
    reads = set()
    while len(reads) < 8 and time.monotonic() < until:
        text = path.read_text()
        reads.add(text.count("\n"))
        assert text.startswith(others)
        assert text.endswith("\n")
    one.send_signal(signal.SIGKILL)
    one.communicate()
    left = written(path)
    assert len(left) >= 5
    assert left == [(d, d / 7) for d in range(1, len(left) + 1)]
    assert path.read_text().startswith(others)
    after = trainer(tmp_path / "out", ProbeCallback(path, task="tiny"), seed=1)
    after.train()
    assert written(path, 1) == logged(after)
