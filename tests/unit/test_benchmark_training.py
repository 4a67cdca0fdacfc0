"""The speed benchmark runs, and its record is whole; speeds themselves are no test's business."""

from __future__ import annotations

import json
import logging
import math
from pathlib import Path

import pytest
import torch
import yaml
from typer.testing import CliRunner

import training
from prehoc.commands import training as commands  # noqa: F401  registers the commands
from prehoc.commands.app import app
from prehoc.errors import InputError
from speed import matmuls, paths, processes, report, rounds, worker
from trainers import cases, engine, models, people


@pytest.fixture
def tasks(tiny_encoder, texts_file, tmp_path) -> Path:
    """A config of three tiny paths, laid over config.yaml as benchmarks/training.yaml is."""
    lora = {
        "kind": "text_classification",
        "data": {"name": texts_file, "train": 96, "val": 32, "target": 32},
        "model": {"name": tiny_encoder, "max_length": 12},
        "method": {"kind": "lora", "rank": 2, "alpha": 4, "layers": "all", "pooling": "cls"},
        "optimiser": {"name": "adamw", "lr": 1e-3, "schedule": "constant", "rho": 0.0, "batch_size": 8},
        "outputs": None,
        "bank": 4,
        "depths": [1, 2],
        "horizon": 4,
    }
    head = {**lora, "method": {"kind": "head", "pooling": "mean"}}
    tiny = {
        "kind": "modular_arithmetic",
        "arithmetic": {"modulus": 11, "train": 0.6, "val": 15, "target": 15},
        "method": {"width": 16, "heads": 2},
        "optimiser": {"batch_size": 16},
        "outputs": None,
        "depths": [1, 2],
        "horizon": 4,
    }
    path = tmp_path / "tasks.yaml"
    path.write_text(yaml.safe_dump({"tasks": {"lora_all": lora, "head": head, "tiny_transformer": tiny}}))
    return path


def positive(values):
    kept = [v for v in values if v is not None]
    return bool(kept) and all(math.isfinite(v) and v > 0 for v in kept)


def test_quick_run_writes_a_whole_record(tasks, tmp_path, capsys):
    out = tmp_path / "out" / "training.json"
    training.main(["--quick", "--config", str(tasks), "--part", "speed", "--out", str(out)])
    record = json.loads(out.read_text())
    assert record["machine"]["threads"] == 1
    assert {r["path"] for r in record["speed"]} == {"lora_all", "head", "tiny_transformer"}
    for row in record["speed"]:
        assert len(row["speeds"]) == record["settings"]["rounds"]
        assert positive(row["speeds"])
        assert positive([row["speed"], row["ratio"], row["steps"]])
    for name, widths in (("lora_all", [1, 4]), ("head", [1, 4])):
        mine = [r for r in record["speed"] if r["path"] == name and r["precision"] == "fp32"]
        plain = [r for r in mine if r["dropout"] == 0]
        assert [r["seeds"] for r in plain if r["tool"] == "prehoc"] == widths
        assert [r["tool"] for r in plain][:2] == ["HF Trainer", "plain loop"]
    assert {r["dropout"] for r in record["speed"] if r["path"] == "lora_all"} == {0, paths.LORA_DROPOUT}
    for row in record["shares"]:
        assert positive([*row["step_s"], *row["products_s"], row["share"], row["gflop"]])
    printed = capsys.readouterr().out
    assert out.with_suffix(".md").read_text() in printed
    assert "tiny transformer" in printed


def test_whole_processes(tasks, tmp_path, monkeypatch):
    """End to end and memory, their processes' own commands run in this one."""
    ran = []

    def here(command):
        ran.append(command)
        if "--worker" in command:
            asked = training.arguments(command[2:])
            stage = json.loads(asked.stage.read_text())
            return 2.0, json.dumps(worker.worker(asked.worker, stage, asked.depth, asked.seeds))
        made = CliRunner().invoke(app, command[3:])
        assert made.exit_code == 0, made.output
        return 3.0, ""

    monkeypatch.setattr(logging, "basicConfig", lambda **given: None)  # the command line's own
    monkeypatch.setattr(processes, "_run", here)
    monkeypatch.setattr(processes, "precisions", lambda stage: ["fp32"])
    stage = cases.stages(tasks, ["lora_all"], tmp_path / "store")["lora_all"]
    trainer, ours = processes.end_to_end("lora_all", stage, 6)
    assert trainer["extrapolated"]
    assert trainer["seconds"] == 6 * 3 * 2.0  # six seeds, depths 1, 2 and 4
    assert ours["seconds"] == 2 * 3.0
    assert ours["ratio"] == 6.0
    assert len(ran) == 5
    [row] = processes.memory("lora_all", stage, 4)
    assert row["peak_bytes"] > 50e6
    record = {"machine": cases.machine_facts(), "settings": {"clock": "wall"}}
    record |= {"end_to_end": [trainer, ours], "memory": [row]}
    lines = report.written(record).splitlines()
    assert any("6 x 3" in line and "4x" in line and "in full" in line for line in lines)


def test_processes_report_their_fault(tmp_path):
    with pytest.raises(RuntimeError, match="no such stage"):
        processes._run([processes.sys.executable, "-c", "raise SystemExit('no such stage')"])


# ------------------------------------------------------------------------- products of a step
def test_products_of_a_step_are_all_recorded():
    left, weight, up = (torch.randn(s, requires_grad=True) for s in ((6, 5), (5, 4), (3, 4, 2)))

    def step():
        low = left @ weight  # mm, and two in its backward pass
        torch.bmm(low.expand(3, 6, 4), up).sum().backward()

    recorder = matmuls.record(step)
    assert recorder.names == {"mm": 3, "bmm": 3}
    assert recorder.flops == 3 * 2 * 6 * 5 * 4 + 3 * 2 * 3 * 6 * 4 * 2
    assert matmuls.replay(recorder, 2) > 0
    assert left.grad is not None


def test_fused_attention_counts_its_products():
    query, key, value = (torch.randn(2, 3, n, 8, requires_grad=True) for n in (5, 7, 7))
    attend = torch.nn.functional.scaled_dot_product_attention
    recorder = matmuls.record(lambda: attend(query, key, value).sum().backward())
    assert recorder.flops == 6 * 2 * (2 * 3) * 5 * 7 * 8
    assert len(recorder.calls) == 6


def test_replay_does_the_recorded_work(one_thread):
    """The replay multiplies, and isn't an empty loop."""
    a = torch.randn(400, 400)
    recorder = matmuls.record(lambda: [a @ a for _ in range(4)])
    assert len(recorder.calls) == 4
    out = [call() for call in recorder.calls]
    assert all(o.shape == (400, 400) and o.abs().sum() > 0 for o in out)
    with pytest.raises(ValueError, match="no matrix product"):
        matmuls.record(lambda: None)


def test_strides_and_kinds_are_kept():
    """Transposed, expanded and bf16 operands are replayed as such."""
    base = torch.randn(4, 6).to(torch.bfloat16)
    recorder = matmuls.record(lambda: torch.bmm(base.expand(3, 4, 6), base.t().expand(3, 6, 4)))
    copies = list(recorder._copies.values())
    assert [c.stride() for c in copies[:2]] == [(0, 6, 1), (0, 1, 6)]
    assert all(call().shape == (3, 4, 4) for call in recorder.calls)
    assert {c.dtype for c in copies} == {torch.bfloat16}


# ------------------------------------------------------------------------------------ rounds
def test_rounds_and_ratios():
    times = iter([1.0, 1.0, 0.5, 0.5, 2.0, 1.0, 0.5, 4.0, 2.0])

    def fixed(n):
        return next(times) * n

    slow = rounds.Contender({"tool": "a"}, 1, fixed)
    fast = rounds.Contender({"tool": "b"}, 3, fixed)
    slow.steps = fast.steps = 2
    rounds.play([slow, fast], 3)
    assert slow.speeds == [1.0, 2.0, 0.5]
    assert fast.speeds == [3.0, 6.0, 3.0]
    assert rounds.ratio(fast, slow) == 3.0
    assert rounds.rows([slow, fast], lambda _: slow)[1]["speed"] == 3.0
    lazy = rounds.Contender({}, 1, lambda n: 10.0 * n)
    rounds.warm_up([lazy], 1.0, 10)
    assert (lazy.steps, lazy.every) == (1, 2)
    rounds.play([lazy], 3)
    assert lazy.speeds == [0.1, None, 0.1]


# --------------------------------------------------------------------- the contenders' own work
def test_one_run_alone_stands_beside_a_dummy(tasks, tmp_path):
    stage = cases.stages(tasks, ["head"], tmp_path)["head"]
    setting = engine.setting_of(stage)
    alone, four = (engine.Engine(stage, setting, n) for n in (1, 4))
    for runner in (alone, four):
        runner.advance(2)
        runner.advance(1)
    right, loss = alone.measure("val")
    assert right.shape == loss.shape == (1,)
    torch.testing.assert_close(loss[0], four.measure("val")[1][0])


def test_trainer_and_loop_take_the_steps_asked_and_learn(tasks, tmp_path):
    stage = cases.stages(tasks, ["lora_all"], tmp_path)["lora_all"]
    stage["optimiser"]["lr"] = 3e-2
    task = models.task_of(stage)
    seen = {}
    look = lambda step, model: seen.update({step: people.judged(task, model, "val")})  # noqa: E731
    ends = people.hugging_face(task, stage, 0, 40, look)
    assert len(ends) == 40
    assert sorted(ends) == ends
    assert list(seen) == list(range(1, 41))
    assert seen[40][1] < seen[1][1] - 0.02  # the loss falls
    again = {}
    people.hugging_face(task, stage, 0, 2, lambda s, m: again.update({s: people.judged(task, m, "val")}))
    assert again[2] == seen[2]  # a seed names its run
    assert len(people.plain_loop(task, stage, 0, 15)) == 15


def test_a_task_without_bf16_is_timed_in_fp32(tasks, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(cases, "bf16_units", lambda device: ["some"])
    real = engine.setting_of

    def picky(stage):
        if stage["precision"] == "bf16":
            raise InputError("precision: no")
        return real(stage)

    monkeypatch.setattr(engine, "setting_of", picky)
    found = cases.stages(tasks, None, tmp_path)
    assert cases.precisions(found["head"]) == cases.precisions(found["tiny_transformer"]) == ["fp32"]
    lora = next(s for s in found.values() if s["method"]["kind"] == "lora")
    assert cases.precisions(lora) == ["fp32", "bf16"]
    assert list(engine.settings_of(lora)) == ["fp32"]
    assert "no bf16" in capsys.readouterr().err


def test_unknown_path_is_refused(tasks, tmp_path):
    with pytest.raises(SystemExit, match="nonsense"):
        cases.stages(tasks, ["nonsense"], tmp_path)
