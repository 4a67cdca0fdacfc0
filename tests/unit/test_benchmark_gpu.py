"""The speed benchmark's `--device cuda`: refused without a GPU, and its way of running on a stand-in for one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from test_benchmark_training import positive, tasks  # noqa: F401  a fixture

import training
from speed import report, rounds
from trainers import cases, clock, engine, models, people, place


class Cuda:
    """What the benchmark asks of torch.cuda, on a CPU: counts waits, and has 7 bytes of peak memory."""

    def __init__(self) -> None:
        self.waits = 0

    def synchronize(self) -> None:
        self.waits += 1

    def empty_cache(self) -> None: ...

    def reset_peak_memory_stats(self) -> None: ...

    def max_memory_allocated(self) -> int:
        return 7 * 2**30

    def get_device_properties(self, index: int) -> SimpleNamespace:
        named = {"name": "Stand-in 100", "total_memory": 8, "multi_processor_count": 2}
        return SimpleNamespace(**named, major=9, minor=0)


@pytest.fixture
def gpu(monkeypatch) -> Cuda:
    """Everything that is done for a GPU is done, on the CPU; but for bf16, which the Trainer refuses there."""
    made = Cuda()
    monkeypatch.setattr(place, "cuda", made)
    monkeypatch.setattr(place, "on_gpu", lambda: True)
    monkeypatch.setattr(cases, "bf16_units", lambda device: [])
    return made


@pytest.fixture(autouse=True)
def as_before():
    """What `main` chose for this process is undone."""
    yield
    place.use("cpu")
    clock.use("wall")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA GPU")
def test_without_a_gpu_one_line_is_said():
    program = Path(training.__file__)
    asked = [sys.executable, str(program), "--quick", "--device", "cuda"]
    done = subprocess.run(asked, capture_output=True, text=True, env=dict(os.environ))
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == "--device cuda: torch sees no CUDA GPU here; use --device cpu\n"


def test_cpu_time_of_a_gpu_is_refused(capsys):
    with pytest.raises(SystemExit) as stopped:
        training.main(["--device", "cuda", "--clock", "cpu"])
    assert stopped.value.code == 2
    assert "--clock cpu says nothing" in capsys.readouterr().err


def test_a_cpu_is_what_is_timed_unless_asked():
    assert training.arguments([]).device == "cpu"
    place.use("cpu")
    assert (place.device(), place.on_gpu(), place.peak_bytes()) == (torch.device("cpu"), False, None)
    assert place.facts() == {}


def test_a_gpu_s_record_is_whole(tasks, tmp_path, gpu, monkeypatch, capsys):  # noqa: F811
    """All contenders are timed; a width that runs out of memory is left out with a line."""
    real = engine.Engine.advance

    def narrow(self, steps):
        if self.runs == 4 and self.stage["task"] == "head":
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB.\n GPU 0 has less")
        real(self, steps)

    monkeypatch.setattr(engine.Engine, "advance", narrow)
    out = tmp_path / "out" / "training.json"
    record = training.main(
        ["--quick", "--config", str(tasks), "--paths", "lora_all", "head", "--out", str(out)]
    )
    assert json.loads(out.read_text()) == record
    for row in record["speed"]:
        assert positive([row["speed"], row["ratio"], *row["speeds"]])
        assert row.get("target") is None
        assert row["peak_bytes"] == 7 * 2**30
        assert ("graph" in row) == (row["tool"] == "prehoc")
    told = {(r["path"], r["tool"], r["seeds"]) for r in record["speed"]}
    for path in ("lora_all", "head"):
        assert {(path, "HF Trainer", 1), (path, "plain loop", 1), (path, "prehoc", 1)} <= told
    assert ("head", "prehoc", 4) not in told
    assert ("lora_all", "prehoc", 4) in told
    [left] = record["left_out"]
    assert (left["path"], left["seeds"]) == ("head", 4)
    assert left["fault"].startswith("CUDA out of memory. Tried to allocate 9 GiB. GPU 0")
    assert len(record["memory"]) == len(record["speed"])
    assert record["shares"] == record["end_to_end"] == []
    said = capsys.readouterr()
    assert "Stand-in 100" in said.out
    assert "Left out: head only, prehoc, fp32, S = 4" in said.out
    assert "products are not timed" in said.err
    assert gpu.waits > 0


def test_a_gpu_is_waited_for_at_both_ends_alone(tasks, tmp_path, gpu):  # noqa: F811
    stage = cases.stages(tasks, ["tiny_transformer"], tmp_path)["tiny_transformer"]
    task = models.task_of(stage)
    for steps, waits in ((1, 1), (2, 2), (5, 2)):
        gpu.waits = 0
        assert len(people.plain_loop(task, stage, 0, steps)) == steps
        assert gpu.waits == waits


def test_a_bank_begins_anew_after_its_step_was_recorded(tasks, tmp_path, gpu, monkeypatch):  # noqa: F811
    """The untimed step that records a graph leaves no trace, the first time and after a release."""
    stage = cases.stages(tasks, ["tiny_transformer"], tmp_path)["tiny_transformer"]
    setting = engine.setting_of(stage)
    ours = engine.Engine(stage, setting, 3)
    ours.advance(3)
    with monkeypatch.context() as plain:
        plain.setattr(place, "on_gpu", lambda: False)
        other = engine.Engine(stage, setting, 3)
        other.advance(3)
    wanted = {name: kept.clone() for name, kept in other.bank.state().items()}
    for _ in range(2):
        for name, kept in ours.bank.state().items():
            torch.testing.assert_close(kept, wanted[name], rtol=0, atol=0, equal_nan=True)
        ours.release()
        ours.reset()
        assert ours.at == 0
        ours.advance(3)


# ------------------------------------------------------------------------------------ rounds
def test_steps_grow_until_a_turn_tells_them():
    asked = []

    def run(steps):  # 0.2 s to begin with, and 1 ms a step
        asked.append(steps)
        return 0.2 + 0.001 * steps

    one = rounds.Contender({}, 1, run)
    rounds.grow(one, 1.0, 4000)
    assert asked == [1, 8, 64]
    assert one.steps == round(64 / 0.264)
    rounds.grow(one, 1.0, 4)
    assert (asked[3:], one.steps) == ([1, 4], 4)


def test_one_that_fails_sits_out():
    def run(steps):
        if len(good.speeds) > 1:
            raise RuntimeError("CUDA error:\n  no more")
        return 1.0

    good, bad = rounds.Contender({"tool": "a"}, 2, lambda n: 1.0 * n), rounds.Contender({}, 1, run)
    rounds.play([good, bad], 3, lenient=True)
    assert good.speeds == [2.0, 2.0, 2.0]
    assert (bad.speeds, bad.fault) == ([1.0, None, None], "CUDA error: no more")
    with pytest.raises(RuntimeError, match="no more"):
        rounds.play([rounds.Contender({}, 1, run)], 1)
    assert rounds.rows([good], lambda _: None)[0]["ratio"] is None
    assert report.number(None) == ""
