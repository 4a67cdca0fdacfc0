"""ProbeCallback's stop_at, and arguments of no use."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace

import pandas as pd
import pytest
from tiny_trainer import STEPS, VAL, logged, trainer, written

from prehoc.errors import InputError
from prehoc.training.probe_callback import ProbeCallback


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
        ({"stop_at": "."}, "verdict.json: no such file"),
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
