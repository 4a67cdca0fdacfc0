"""ProbeCallback in real trainings of a tiny model by transformers' Trainer."""

from __future__ import annotations

import csv
import json
import logging
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments, set_seed

import prehoc
from prehoc.errors import InputError
from prehoc.training.probe_callback import ProbeCallback
from prehoc.training.probe_depths import geometric_depths

STEPS = 8


def examples(count, seed):
    make = torch.Generator().manual_seed(seed)
    ids = torch.randint(3, 20, (count, 6), generator=make)
    return [{"input_ids": i, "labels": int(i.sum() % 2)} for i in ids]


TRAIN, VAL = examples(32, 0), examples(16, 1)


def trainer(folder, callback, seed=0, predictions=None, kind=Trainer, **options):
    set_seed(seed)
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    model = BertForSequenceClassification(BertConfig(vocab_size=20, max_position_embeddings=8, **sizes))
    given = {
        "max_steps": STEPS,
        "eval_strategy": "steps",
        "eval_steps": 2,
        "save_strategy": "no",
        "seed": seed,
    }
    args = TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=4,
        logging_strategy="no",
        report_to=[],
        disable_tqdm=True,
        use_cpu=True,
        dataloader_pin_memory=False,
        **(given | options),
    )
    return kind(
        model=model,
        args=args,
        train_dataset=TRAIN,
        eval_dataset=VAL,
        callbacks=[callback],
        compute_metrics=predictions,
    )


def rows(path):
    with Path(path).open(newline="") as stream:
        return list(csv.DictReader(stream))


def logged(one, metric="eval_loss"):
    return [(e["step"], e[metric]) for e in one.state.log_history if metric in e]


def written(path, seed=0, task="tiny"):
    return [
        (int(r["depth"]), float(r["metric"]) if r["metric"] else math.nan)
        for r in rows(path)
        if r["task"] == task and r["seed"] == str(seed)
    ]


def accuracy(prediction):
    return {"accuracy": float((prediction.predictions.argmax(-1) == prediction.label_ids).mean())}


def test_rows_are_the_trainers_own_to_the_last_digit(tmp_path):
    callback = ProbeCallback(tmp_path / "runs.csv", task="tiny", price=0.2)  # of no effect without stop_at
    one = trainer(tmp_path / "out", callback, seed=7)
    one.train()
    assert rows(tmp_path / "runs.csv")[0].keys() == {"task", "seed", "depth", "metric"}
    assert written(tmp_path / "runs.csv", 7) == logged(one)
    assert [d for d, _ in logged(one)] == [2, 4, 6, 8]
    assert callback.direction == "lower"
    before = (tmp_path / "runs.csv").read_text()
    assert one.evaluate(TRAIN)["eval_loss"] != logged(one)[3][1]  # after training: no row of the trajectory
    assert (tmp_path / "runs.csv").read_text() == before


def test_metric_and_direction_are_those_of_the_best_model(tmp_path):
    callback = ProbeCallback(tmp_path / "runs.csv", task="tiny", group="box 1")
    one = trainer(tmp_path / "out", callback, predictions=accuracy, metric_for_best_model="accuracy")
    one.train()
    assert written(tmp_path / "runs.csv") == logged(one, "eval_accuracy")
    assert callback.direction == "higher"
    assert {r["group"] for r in rows(tmp_path / "runs.csv")} == {"box 1"}


@pytest.mark.parametrize(
    ("depths", "expected"), [("geometric", [1, 2, 4, 8]), ([3, 5], [3, 5]), ((5.0, 3, 3), [3, 5])]
)
def test_depths_are_forced_without_an_eval_strategy(tmp_path, depths, expected):
    one = trainer(
        tmp_path / "out", ProbeCallback(tmp_path / "r.csv", task="tiny", depths=depths), eval_strategy="no"
    )
    one.train()
    assert [d for d, _ in written(tmp_path / "r.csv")] == expected


def test_depths_join_the_trainers_own_and_the_start(tmp_path):
    one = trainer(
        tmp_path / "out",
        ProbeCallback(tmp_path / "r.csv", task="tiny", depths=[1, 8]),
        eval_strategy="epoch",
        eval_on_start=True,
    )
    one.train()
    assert [d for d, _ in written(tmp_path / "r.csv")] == [
        0,
        1,
        8,
    ]  # step 8 twice: forced, and the epoch's end
    assert dict(written(tmp_path / "r.csv")) == dict(logged(one))


def test_geometric_depths_end_at_the_horizon():
    assert geometric_depths(1) == [1]
    assert geometric_depths(8) == [1, 2, 4, 8]
    assert geometric_depths(9) == [1, 2, 4, 8, 9]
    with pytest.raises(InputError, match="horizon"):
        geometric_depths(0)


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


def test_a_metric_that_is_not_finite_is_an_empty_cell(tmp_path):
    values = iter([0.5, math.nan, math.inf, -math.inf])
    callback = ProbeCallback(tmp_path / "r.csv", task="tiny", metric="odd")
    trainer(tmp_path / "out", callback, predictions=lambda _: {"odd": next(values)}).train()
    assert [r["metric"] for r in rows(tmp_path / "r.csv")] == ["0.5", "", "", ""]
    assert pd.read_csv(tmp_path / "r.csv")["metric"].isna().sum() == 3


def test_an_unknown_metric_ends_training_at_the_first_step_after(tmp_path):
    one = trainer(tmp_path / "out", ProbeCallback(tmp_path / "r.csv", task="tiny", metric="f1"))
    with pytest.raises(InputError, match=r"metric: 'f1' is not in what is evaluated, but .*eval_loss"):
        one.train()
    assert one.state.global_step == 2
    words = trainer(
        tmp_path / "out",
        ProbeCallback(tmp_path / "r.csv", task="tiny", metric="w"),
        predictions=lambda _: {"w": "x"},
    )
    with pytest.raises(InputError, match="metric 'eval_w' is 'x', which is no number"):
        words.train()


def test_a_run_without_evaluations_is_named(tmp_path, caplog):
    trainer(tmp_path / "out", ProbeCallback(tmp_path / "r.csv", task="tiny"), eval_strategy="no").train()
    assert "no evaluation was made" in caplog.text
    assert not (tmp_path / "r.csv").exists()


def test_final_comes_from_a_later_evaluation_or_by_hand(tmp_path):
    path = tmp_path / "r.csv"
    for seed, by_hand in ((0, False), (1, True)):
        callback = ProbeCallback(path, task="tiny", final=None if by_hand else "test_loss")
        one = trainer(tmp_path / "out", callback, seed=seed)
        with pytest.raises(InputError, match=r"after trainer.train\(\)"):
            callback.record_final(0.5)
        one.train()
        value = one.predict(VAL).metrics["test_loss"]
        if by_hand:
            callback.record_final(value)
        assert {r["final"] for r in rows(path) if r["seed"] == str(seed)} == {repr(value)}
    callback.record_final(math.nan)
    assert {r["final"] for r in rows(path) if r["seed"] == "1"} == {""}
    trainer(tmp_path / "out", ProbeCallback(path, task="tiny", overwrite=True)).train()
    assert {r["final"] for r in rows(path)} == {""}  # no run has another's final value


def row(price, c_star, corner="interior"):
    return {"price": price, "c_star": c_star, "low": 1.0, "high": 8.0, "corner": corner}


PRICED = [row(0.1, 6.0), row(0.2, 3.2), row(1.0, 2.0)]
TASK = {"task": "tiny", "horizon": STEPS, "c_star": PRICED}
FRAME = pd.DataFrame(
    [
        {"task": "tiny", "recommended": False, **row(0.2, 7.0)},
        {"task": "x", "recommended": True, **row(0.2, 5.0)},
    ]
    + [{"task": "tiny", "recommended": True, **r} for r in PRICED]
)


@pytest.mark.parametrize(
    ("make", "price", "depth"),
    [
        (lambda f: 3, None, 3),
        (lambda f: dump(f, {"tasks": [{"task": "other", "c_star": []}, TASK]}), None, 4),
        (lambda f: dump(f, TASK), 0.11, 6),
        (lambda f: str(dump(f, TASK)), 0.5, 2),
        (lambda f: {"tasks": [TASK]}, 0.2, 4),
        (lambda f: SimpleNamespace(verdict=lambda: {"tiny": TASK}), 5, 2),
        (lambda f: SimpleNamespace(verdict=lambda: [TASK], c_star=None), None, 4),
        (lambda f: SimpleNamespace(verdict=lambda: "in words", c_star=FRAME), None, 4),
        (lambda f: SimpleNamespace(c_star=FRAME), 0.05, 6),
    ],
)
def test_what_stop_at_may_be(tmp_path, make, price, depth):
    rule = ProbeCallback(tmp_path / "r.csv", task="tiny", stop_at=make(tmp_path), price=price).rule
    assert rule.depth == depth


def dump(folder, payload):
    path = folder / "verdict.json"
    path.write_text(json.dumps(payload))
    return path


def test_a_run_stops_at_c_star_and_its_rows_lie_apart(tmp_path, caplog):
    path = tmp_path / "runs.csv"
    options = {"eval_strategy": "no", "save_strategy": "steps", "save_steps": 100}
    callback = ProbeCallback(
        path, task="tiny", depths="geometric", final="test_loss", stop_at=dump(tmp_path, TASK), price=0.1
    )
    one = trainer(tmp_path / "out", callback, **options)
    one.train()
    assert one.state.global_step == callback.stopped_at == 6
    assert (
        "run 0 stops at depth 6 of 8 (c* = 6 [1, 8] at price 0.1): 25% of the horizon is saved"
        in caplog.text
    )
    assert not path.exists()
    probed = tmp_path / "runs.probed.csv"
    assert callback.file == probed.resolve()
    assert [d for d, _ in written(probed)] == [1, 2, 4, 6]
    with pytest.raises(InputError, match="stopped at depth 6"):
        callback.record_final(0.5)
    one.predict(VAL)
    assert "test_loss is not recorded" in caplog.text

    # Somebody likes what they see and goes on: still no run for a fit, as it was chosen.
    on = trainer(tmp_path / "out", ProbeCallback(path, task="tiny", depths="geometric"), **options)
    on.train(resume_from_checkpoint=True)
    assert on.state.global_step == STEPS
    assert not path.exists()
    assert written(probed) == logged(on)
    assert [d for d, _ in written(probed)] == [1, 2, 4, 6, 8]


def test_an_ordinary_run_that_goes_on_to_a_stop_is_named(tmp_path, caplog):
    path, out = tmp_path / "runs.csv", tmp_path / "out"
    trainer(out, ProbeCallback(path, task="tiny"), save_strategy="steps", save_steps=4).train()
    before = path.read_text()
    one = trainer(out, ProbeCallback(path, task="tiny", stop_at=5))
    one.train(resume_from_checkpoint=str(out / "checkpoint-4"))
    assert f"run 0 began in {path.resolve()}" in caplog.text
    assert path.read_text() == before
    assert written(tmp_path / "runs.probed.csv") == logged(one)
    assert [d for d, _ in logged(one)] == [2, 4, 5]


@pytest.mark.parametrize(
    ("stop_at", "said"),
    [
        ({**TASK, "c_star": [row(0.2, 0.0, "zero")]}, "no probing pays"),
        ({**TASK, "c_star": [row(0.2, 8.0, "horizon")]}, "it is not stopped"),
        (64, "the run has 8 steps: it is not stopped"),
        ({**TASK, "horizon": 256, "c_star": [row(0.2, 250.0)]}, "runs of 256 steps; this one has 8"),
    ],
)
def test_a_run_that_c_star_does_not_stop_is_an_ordinary_one(tmp_path, caplog, stop_at, said):
    one = trainer(tmp_path / "out", ProbeCallback(tmp_path / "r.csv", task="tiny", stop_at=stop_at))
    one.train()
    assert said in caplog.text
    assert one.state.global_step == STEPS
    assert len(written(tmp_path / "r.csv")) == 4
    assert not (tmp_path / "r.probed.csv").exists()


REFUSED = {
    "task": "tiny",
    "status": "refused",
    "refused": [{"what": "task", "why": "7 runs.", "remedy": "run 32"}],
}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"task": " "}, "task: takes the name"),
        ({"seed": -1}, "seed: takes"),
        ({"seed": True}, "seed: takes"),
        ({"runs": "runs.parquet"}, "ends in .csv"),
        ({"depths": "log"}, "or \"geometric\", not 'log'"),
        ({"depths": [1, 2.5]}, "depths: takes whole numbers of steps, not 2.5"),
        ({"depths": [math.nan]}, "whole numbers"),
        ({"depths": [0, 1]}, "eval_on_start=True"),
        ({"stop_at": 5, "price": 0.2}, "not with a depth"),
        ({"stop_at": 0}, "1 or more"),
        ({"stop_at": 2.5}, "1 or more"),
        ({"stop_at": TASK, "price": -1}, "price: takes a number above 0"),
        ({"stop_at": TASK, "price": math.nan}, "price: takes a number above 0"),
        ({"stop_at": object()}, "takes a depth, the path"),
        ({"stop_at": "nowhere/verdict.json"}, "nowhere/verdict.json: no such file"),
        ({"stop_at": "."}, "name the verdict.json itself"),
        ({"stop_at": __file__}, "is no JSON"),
        ({"stop_at": {"rows": 3}}, "is no verdict"),
        ({"stop_at": {"tasks": 3}}, "is no verdict"),
        ({"stop_at": {**TASK, "c_star": [1]}}, "is no list of prices"),
        ({"stop_at": {**TASK, "c_star": [row(0.2, None)]}}, "has no c\\* of task 'tiny'"),
        ({"stop_at": {"tasks": [TASK]}, "task": "else"}, "has no task 'else', but tiny"),
        ({"stop_at": SimpleNamespace(c_star=FRAME), "task": "else"}, "has no task 'else', but tiny, x"),
        ({"stop_at": REFUSED}, "task 'tiny' was refused, so it has no c\\*: 7 runs; run 32"),
        ({"stop_at": {"tasks": [REFUSED]}}, "was refused"),
    ],
)
def test_bad_arguments_are_refused_at_construction(arguments, message):
    with pytest.raises(InputError, match=message):
        ProbeCallback(**({"task": "tiny"} | arguments))


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


def test_depths_past_the_horizon_are_refused_before_training(tmp_path):
    one = trainer(tmp_path / "out", ProbeCallback(tmp_path / "r.csv", task="tiny", depths=[1, 9]))
    with pytest.raises(InputError, match="depths: 9 is past the last step, 8"):
        one.train()


class Meddles(ProbeCallback):
    """Something happens to the file at one of the evaluations."""

    def __init__(self, *args, at, what, **kwargs):
        super().__init__(*args, **kwargs)
        self.at, self.what = at, what

    def on_evaluate(self, args, state, control, **kwargs):
        if state.global_step == self.at:
            self.what(self.file)
        return super().on_evaluate(args, state, control, **kwargs)


def foreign(path):
    text = path.read_text() if path.exists() else "task,seed,depth,metric\n"
    path.write_text(text + "tiny,0,99,0.1\n")


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


def test_only_process_zero_writes_and_all_stop(tmp_path):
    callback = ProbeCallback(tmp_path / "r.csv", task="tiny", stop_at=2)
    args = SimpleNamespace(seed=0, metric_for_best_model=None, save_strategy="no")
    state = SimpleNamespace(global_step=0, max_steps=8, is_world_process_zero=False, log_history=[])
    control = SimpleNamespace(should_evaluate=False, should_training_stop=False, should_save=False)
    callback.on_train_begin(args, state, control)
    state.global_step = 2
    assert callback.on_step_end(args, state, control).should_evaluate
    assert callback.on_evaluate(args, state, control, metrics={"eval_loss": 1.0}).should_training_stop
    callback.on_train_end(args, state, control)
    assert list(tmp_path.iterdir()) == []


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


def test_the_package_imports_it_on_demand_alone():
    code = (
        "import sys, prehoc; assert 'ProbeCallback' in dir(prehoc);"
        "heavy = {'torch', 'pandas', 'transformers'} & set(sys.modules); assert not heavy, heavy;"
        "sys.modules['transformers'] = None\n"
        "try:\n    prehoc.ProbeCallback\nexcept ImportError as error:\n    print(error)\n"
        "try:\n    prehoc.Nothing\nexcept AttributeError as error:\n    print(error)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(prehoc.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    assert 'pip install "prehoc[train]"' in done.stdout
    assert "no attribute 'Nothing'" in done.stdout
    assert prehoc.ProbeCallback is ProbeCallback


@pytest.fixture(autouse=True)
def _hear(caplog):
    caplog.set_level(logging.INFO, logger="prehoc")
