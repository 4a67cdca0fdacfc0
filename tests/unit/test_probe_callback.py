"""ProbeCallback in real trainings of a tiny model by transformers' Trainer: rows, depths, metrics."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from tiny_trainer import TRAIN, VAL, accuracy, logged, rows, trainer, written

import prehoc
from prehoc.errors import InputError
from prehoc.training.probe_callback import ProbeCallback
from prehoc.training.probe_depths import geometric_depths


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


def test_depths_past_the_horizon_are_refused_before_training(tmp_path):
    one = trainer(tmp_path / "out", ProbeCallback(tmp_path / "r.csv", task="tiny", depths=[1, 9]))
    with pytest.raises(InputError, match="depths: 9 is past the last step, 8"):
        one.train()


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
