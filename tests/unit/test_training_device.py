"""No device is assumed: steps and evaluations on tensors that claim to lie elsewhere.

Fake tensors hold no numbers, but each operation checks where its arguments lie. A torch built without
CUDA takes no fake CUDA tensor into an indexing, so the stand-in is a device that no build has ("lazy").
"""

from __future__ import annotations

import copy
import dataclasses

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from prehoc.tasks.encoder import Encoder
from prehoc.tasks.heads import HeadProblem
from prehoc.tasks.machine import Machine
from prehoc.tasks.modular import ModularProblem
from prehoc.tasks.problem import DropoutKey, dropout
from prehoc.training import graphs, plan, problems
from prehoc.training.bank import Bank

ELSEWHERE = torch.device("lazy:0")
RULES = ["adamw", "sgd", "lion", "adafactor"]


@pytest.fixture
def fake():
    with FakeTensorMode(allow_non_fake_inputs=False) as mode:
        yield mode


def elsewhere(*shape, dtype=torch.float32):
    return torch.empty(*shape, dtype=dtype, device=ELSEWHERE)


def test_fake_tensors_tell_devices_apart(fake):
    with pytest.raises(RuntimeError, match="device"):
        elsewhere(3) + torch.empty(3)


def a_step(problem, optimiser, runs=4, batch=8):
    """A whole training step and an evaluation, all of it on the device."""
    bank = Bank(problem.parameters, runs, optimiser, ELSEWHERE)
    rows = torch.zeros(runs, batch, dtype=torch.int64, device=ELSEWHERE)
    keys = torch.zeros(runs, dtype=torch.int64, device=ELSEWHERE)
    labels = problem.labels[rows]
    weights, lr = elsewhere(runs, batch), elsewhere(runs)
    losses = problem.losses(bank.theta, rows, labels, DropoutKey(keys, 3))
    bank.step((losses * weights).sum(1), lr, 3)
    graphs.step_of(bank, problem)(graphs.inputs(rows, labels, weights, keys, lr, 3, bank))
    correct, loss = problem.evaluate(bank.theta, "val")
    made = [losses, correct, loss, *bank.state().values()]
    assert {str(t.device) for t in made} == {"lazy:0"}
    assert correct.shape == loss.shape == (runs, problem.rows("val"))


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("depth", [1, 2])
def test_the_modular_problem_is_trained_on_its_device(family, fake, name, depth):
    config = family("modular", optimiser__name=name, optimiser__momentum=0.9, method__depth=depth)
    a_step(ModularProblem(config, Machine(ELSEWHERE, "fp32")), config["optimiser"])


@pytest.mark.parametrize("name", RULES)
def test_a_head_is_trained_on_its_device(family, name):
    config = family("head", optimiser__name=name, method__dropout=0.1)
    known = problems.build(config).problem
    with FakeTensorMode():
        tensors = {k: elsewhere(*t.shape, dtype=t.dtype) for k, t in known.encoding.tensors.items()}
        encoding = dataclasses.replace(known.encoding, tensors=tensors)
        a_step(HeadProblem(encoding, config["method"], Machine(ELSEWHERE, "fp32")), config["optimiser"])


def test_dropout_masks_are_made_where_the_states_lie(fake):
    keys = torch.zeros(4, dtype=torch.int64, device=ELSEWHERE)
    for step in (3, torch.zeros((), dtype=torch.int64, device=ELSEWHERE)):
        assert dropout(elsewhere(4, 5, 7), 0.1, DropoutKey(keys, step), 0).device == ELSEWHERE


def test_a_bank_starts_and_is_kept_across_devices(family, fake):
    config = family("modular")
    problem = ModularProblem(config, Machine(ELSEWHERE, "fp32"))
    bank = Bank(problem.parameters, 4, config["optimiser"], ELSEWHERE)
    bank.initialise(0, 1, "tiny", 0)
    kept = {name: torch.empty(t.shape, dtype=t.dtype) for name, t in bank.state().items()}
    bank.load(kept, [1, 1, 0, 2])
    assert all(t.device == ELSEWHERE for t in bank.state().values())
    setting = problems.Setting(problem, [], None, "", {}, {}, Machine(ELSEWHERE, "fp32"))
    assert setting.machine.device == ELSEWHERE
    assert plan.widest(config) == 8


def moved(value):
    """Tensors inside a value as fake ones elsewhere."""
    if isinstance(value, torch.Tensor):
        return elsewhere(*value.shape, dtype=value.dtype)
    if dataclasses.is_dataclass(value):
        return dataclasses.replace(
            value, **{f.name: moved(getattr(value, f.name)) for f in dataclasses.fields(value) if f.init}
        )
    return [moved(v) for v in value] if isinstance(value, list) else {} if value == {} else value


@pytest.mark.parametrize("rate", [0.0, 0.1])
@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_the_packed_encoder_is_computed_on_its_device(family, pooling, rate):
    config = family("lora", method__lora_dropout=rate)
    config["method"]["pooling"] = pooling
    known = problems.build(config).problem
    known.step = int(known.lengths.max())
    where = known._layout(np.arange(12).reshape(3, 4))
    plain = {k: v for k, v in known.encoding.tensors.items() if k.startswith("layer.")}
    machine = Machine(ELSEWHERE, "fp32")
    with FakeTensorMode():
        problem = copy.copy(known)
        problem.machine = machine
        problem.encoder = Encoder({k: moved(v) for k, v in plain.items()}, known.encoding.meta, machine)
        theta = {p.name: elsewhere(3, *p.shape).requires_grad_() for p in known.parameters}
        given = (elsewhere(len(where.source), 32), elsewhere(len(where.source), 96))
        key = DropoutKey(torch.zeros(3, dtype=torch.int64, device=ELSEWHERE), 3)
        pooled = problem._pooled(theta, moved(where), given, key)
        pooled.sum().backward()
        assert pooled.shape == (3, 4, 32)
        grads = [v.grad for k, v in theta.items() if not k.startswith("head")]
        assert {str(g.device) for g in grads} == {"lazy:0"}
