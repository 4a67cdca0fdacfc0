"""The engine on a real CUDA GPU; skipped where there is none. Tolerances: what was seen, times about ten."""

from __future__ import annotations

import json
import math

import pandas as pd
import pytest
import torch
from generating import generation, sampled
from trained import quiet, same
from typer.testing import CliRunner

from prehoc.cli import app
from prehoc.tasks.machine import CPU, machine
from prehoc.training import engine, forks, graphs, loop, problems, signals, width

if not torch.cuda.is_available():
    pytest.skip("no CUDA GPU is seen here", allow_module_level=True)

GPU = {p: machine("cuda", p) for p in ("fp32", "bf16")}
KINDS = ["head", "top", "lora", "any", "full", "modular", "causal", "generation"]
BF16 = [k for k in KINDS if k not in ("full", "modular")]  # all of these is trained, and stays fp32
RECORDED = ["head", "modular", "causal", "any", "generation"]  # shapes are the same at every step
RULES = ["adamw", "sgd", "lion", "adafactor"]
SEEDS = range(6)


@pytest.fixture
def kind(family, stage, tiny_decoder):
    """Makes a stage config of a kind of problem."""

    def make(name, **over):
        if name == "generation":
            config = generation(stage, tiny_decoder)
            for key, value in over.items():
                block, _, key = key.rpartition("__")
                (config[block] if block else config)[key] = value
            return config
        if name == "full":
            return stage(method__kind="full", method__layers="all", method__pooling="mean", **over)
        return family(name, **over)

    return make


def trained(config, place, seeds=SEEDS, store="a", noted=None, lines=None):
    """Records by seed, in a store of their own; with the engine that made them."""
    config = config | {"store": f"{config['store']}-{place.device.type}-{store}"}
    setting = problems.build(config, place)
    report = quiet if lines is None else lines.append
    used = engine.Engine(config, setting, len(seeds), report)
    records, _ = loop.train(config, setting, seeds, report, None, used, noted)
    return {s: [tuple(r[1:]) for r in records if r[0] == s] for s in seeds}, used


def losses(found):
    """Losses (nats) by seed, depth and split."""
    return {(seed, r[0], r[1]): r[3] for seed, records in found.items() for r in records if r[2] == "loss"}


def farthest(left, right):
    """The largest difference of two runs' losses, in nats."""
    a, b = losses(left), losses(right)
    assert a.keys() == b.keys()
    assert a
    assert all(math.isfinite(v) for v in (*a.values(), *b.values()))
    return max(abs(a[key] - b[key]) for key in a)


# ------------------------------------------------------------------------------ the CPU's numbers
@pytest.mark.parametrize("name", KINDS)
def test_a_gpu_trains_what_a_cpu_trains(kind, name):
    """32 steps in fp32, the same draws: losses differ by rounding alone."""
    config = kind(name, bank=4)
    far = farthest(trained(config, CPU)[0], trained(config, GPU["fp32"])[0])
    print(f"{name}: CPU and GPU differ by {far:.2g} nats")
    assert far < 1e-4


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", ["head", "top"])
def test_every_rule_of_updates_does(kind, name, rule):
    config = kind(name, bank=4, optimiser__name=rule, optimiser__momentum=0.9)
    far = farthest(trained(config, CPU)[0], trained(config, GPU["fp32"])[0])
    print(f"{name}, {rule}: {far:.2g} nats")
    assert far < 1e-4


@pytest.mark.parametrize("name", ["head", "top", "lora", "any", "causal"])
def test_dropout_draws_the_same_masks(kind, name):
    """But lora_dropout's where a CPU packs tokens and a GPU pads them: it goes by a token's place."""
    over = {"method__dropout": 0.0 if name == "causal" else 0.1}
    if name in ("any", "causal"):
        over["method__lora_dropout"] = 0.1
    config = kind(name, bank=4, **over)
    far = farthest(trained(config, CPU)[0], trained(config, GPU["fp32"])[0])
    print(f"{name}, dropout: {far:.2g} nats")
    assert far < 1e-4


@pytest.mark.parametrize("name", BF16)
def test_bf16_is_near(kind, name):
    config = kind(name, bank=4)
    exact, near = (trained(config | {"precision": p}, GPU[p], store=p)[0] for p in ("fp32", "bf16"))
    far = farthest(exact, near)
    print(f"{name}: bf16 differs by {far:.2g} nats")
    assert 0 < far < 0.1


# ------------------------------------------------------------------------------ bits
@pytest.mark.parametrize("name", KINDS)
def test_a_run_has_the_same_bits_in_any_company(kind, name):
    """At one width; twice, and as a part of a bank that dummies fill up."""
    config = kind(name, bank=4)
    whole, _ = trained(config, GPU["fp32"])
    again, _ = trained(config, GPU["fp32"], store="again")
    assert all(same(again[s], whole[s]) for s in SEEDS)
    few, _ = trained(config, GPU["fp32"], [1, 4, 5], "few")
    assert all(same(few[s], whole[s]) for s in few)


@pytest.mark.parametrize("name", ["head", "top", "modular", "causal"])
def test_a_killed_run_ends_in_the_same_bits(kind, name, monkeypatch):
    config = kind(name, bank=4)
    whole, _ = trained(config, GPU["fp32"])
    real = loop.advance

    def killed(*args):
        if args[-1] == 16:
            raise KeyboardInterrupt
        real(*args)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "advance", killed)
        with pytest.raises(KeyboardInterrupt):
            trained(config, GPU["fp32"], store="killed")
    again, _ = trained(config, GPU["fp32"], store="killed")
    assert all(same(again[s], whole[s]) for s in SEEDS)


# ------------------------------------------------------------------------------ the recorded step
@pytest.mark.parametrize("name", KINDS)
def test_a_recorded_step_is_the_eager_one(kind, name, monkeypatch):
    """To the bit where kernels are chosen alike; and it is recorded, not run eagerly, where shapes stand."""
    silent = ("full", "modular", "causal", "generation")  # of these no head has a dropout
    config = kind(name, bank=4, **({} if name in silent else {"method__dropout": 0.1}))
    made = []
    real = graphs.Recorded.__call__

    def spy(self, inputs):
        real(self, inputs)
        made.append(self)

    with monkeypatch.context() as patch:
        patch.setattr(graphs.Recorded, "__call__", spy)
        replayed, _ = trained(config, GPU["fp32"])
    print(f"{name}: {len(made)} steps by record, eager {[r.eager for r in made[:1]]}")
    if name in RECORDED:
        assert made
    assert not any(r.eager for r in made)
    with monkeypatch.context() as patch:
        patch.setattr(graphs, "recorded", lambda bank, problem: None)
        eager, _ = trained(config, GPU["fp32"], store="eager")
    far = farthest(replayed, eager)
    print(f"{name}: recorded and eager differ by {far:.2g} nats")
    assert far < 1e-5


# ------------------------------------------------------------------------------ memory
@pytest.mark.parametrize("name", ["head", "lora", "full", "causal"])
def test_auto_takes_a_width_that_fits(kind, name):
    lines = []
    config = kind(name, bank="auto")
    found, used = trained(config, GPU["fp32"], lines=lines)
    assert used.halvings == 0
    assert used.width == 8  # all six in one bank, of a power of two
    assert any("a run takes" in line and "GiB are free" in line for line in lines)
    assert farthest(found, trained(config | {"bank": 4}, CPU)[0]) < 1e-4


def test_a_bank_that_does_not_fit_is_halved(kind):
    """A GPU of which a small share may be taken: the same numbers from narrower banks."""
    config = kind("modular", bank=4096, method__width=64, optimiser__lr=1e-3)
    one = width.footprint(config, problems.build(config, GPU["fp32"]).problem, GPU["fp32"].device)
    whole, _ = trained(config | {"bank": 8}, GPU["fp32"])
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    lines = []
    try:
        torch.cuda.set_per_process_memory_fraction(min(1.0, 1024 * one / total))
        found, used = trained(config, GPU["fp32"], store="short", lines=lines)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    print(f"halved {used.halvings} times, to {used.width}")
    assert used.halvings >= 1
    assert any("memory ran out" in line for line in lines)
    assert farthest(found, whole) < 1e-4


# ------------------------------------------------------------------------------ forks, signals, commands
@pytest.mark.parametrize("name", ["head", "top", "modular", "generation"])
def test_forks_and_signals_agree_with_a_cpus(kind, name):
    config = kind(name, bank=4, signals={"projections": 3, "curvature_examples": 10})
    config |= {"forks": {"depths": [4], "trunks": 3, "per_trunk": 2}}
    made = []
    for place in (CPU, GPU["fp32"]):
        noted = []
        trained(config, place, noted=noted)
        own = config | {"store": f"{config['store']}-{place.device.type}-a"}
        told = {
            (s, d, k): value
            for s, d, k, metric, value in forks.fork(own, problems.build(own, place), 4, quiet)
            if metric == "loss"
        }
        frame = signals.signals_frame("tiny", noted).set_index(["seed", "depth", "signal"])["value"]
        made.append((pd.Series(told), frame.sort_index()))
    (told, seen), (told_there, seen_there) = made
    assert len(told) == 6
    assert (told - told_there).abs().max() < 1e-4
    plain = [s for s in seen.index if "curvature" not in s[2]]  # second differences: rounding is enlarged
    assert len(plain) > 40
    assert ((seen - seen_there).abs()[plain] <= 1e-3 * (1 + seen.abs()[plain])).all()


def test_sampled_texts_are_the_same_twice(kind):
    config = sampled(kind("generation", bank=4), 0.8, 0.9)
    one, two = (trained(config, GPU["fp32"], store=s)[0] for s in "ab")
    assert all(same(one[s], two[s]) for s in SEEDS)


def test_the_command_says_what_trained(kind, tmp_path):
    config = kind("top", bank="auto", signals={"projections": 3, "curvature_examples": 10})
    path = tmp_path / "stage.json"
    path.write_text(json.dumps(config))
    words = ["train", "--config", path, "--first", 0, "--end", 6, "--device", "cuda"]
    for name, ending in (
        ("runs", "parquet"),
        ("draws", "parquet"),
        ("outputs", "parquet"),
        ("signals", "parquet"),
        ("engine", "json"),
    ):
        words += [f"--{name}", tmp_path / f"{name}.{ending}"]
    done = CliRunner().invoke(app, [str(w) for w in words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    told = json.loads((tmp_path / "engine.json").read_text())
    assert told["device"] == "cuda"
    assert told["device_name"] == torch.cuda.get_device_name(0)
    assert len(pd.read_parquet(tmp_path / "runs.parquet")["seed"].unique()) == 6
