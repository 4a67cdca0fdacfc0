"""The recorded step, with a stand-in for torch.cuda's graphs: no GPU is needed, and none is tested."""

from __future__ import annotations

import contextlib
import logging

import pytest
import torch

from prehoc.tasks.modular import ModularProblem
from prehoc.training import graphs
from prehoc.training.bank import Bank


class Cuda:
    """Records which body ran inside `graph`; a replay runs it again on the same buffers."""

    def __init__(self, error=None):
        self.error, self.made, self.order = error, [], []

    def CUDAGraph(self):
        graph = type("Graph", (), {"replays": 0})()
        self.made.append(graph)
        return graph

    def Stream(self):
        return type("Stream", (), {"wait_stream": lambda s, other: self.order.append("wait")})()

    def current_stream(self):
        return self.Stream()

    def stream(self, stream):
        self.order.append("aside")
        return contextlib.nullcontext()

    @contextlib.contextmanager
    def graph(self, graph):
        self.order.append("record")
        if self.error is not None:
            raise self.error
        yield


@pytest.fixture
def made(family):
    """Makes a bank with its step, and inputs of step 0, 1, ...."""
    config = family("modular", optimiser__weight_decay=0.1)
    problem = ModularProblem(config)

    def make():
        bank = Bank(problem.parameters, 3, config["optimiser"])
        for row in range(3):
            bank.initialise(row, 1, "tiny", row)
        return bank, graphs.step_of(bank, problem)

    def inputs(bank, step):
        rng = torch.Generator().manual_seed(step)
        rows = torch.randint(problem.rows("train"), (3, 8), generator=rng)
        weights = torch.full((3, 8), 1 / 8)
        rates = torch.tensor([1e-3, 1e-2, 1e-1]) / (1 + step)
        keys = torch.arange(3)
        return graphs.inputs(rows, problem.labels[rows], weights, keys, rates, step, bank)

    return make, inputs


def recorded(bank, body, cuda):
    """A recorded step whose graph, replayed, runs the body on the recorded buffers."""
    made = graphs.Recorded(bank, body, cuda)
    real = cuda.CUDAGraph

    def graph():
        found = real()

        def replay():
            found.replays += 1
            body(made.buffers)

        found.replay = replay
        return found

    cuda.CUDAGraph = graph
    return made


def test_a_replayed_step_is_the_eager_step(made):
    make, inputs = made
    (bank, body), (plain, eager) = make(), make()
    cuda = Cuda()
    step_of = recorded(bank, body, cuda)
    for step in range(6):
        step_of(inputs(bank, step))
        eager(inputs(plain, step))
    assert len(cuda.made) == 1  # recorded once
    assert cuda.made[0].replays == 6
    assert cuda.order == ["wait", "aside", "wait", "record"]
    for name, kept in plain.state().items():
        assert torch.equal(bank.state()[name], kept)
    start, _ = make()
    assert not torch.equal(bank.values, start.values)


def test_inputs_are_copied_into_the_buffers(made):
    make, inputs = made
    bank, body = make()
    step_of = recorded(bank, body, Cuda())
    first = inputs(bank, 0)
    step_of(first)
    places = {name: buffer.data_ptr() for name, buffer in step_of.buffers.items()}
    given = inputs(bank, 1)
    step_of(given)
    assert set(places) == {"rows", "labels", "weights", "keys", "lr", "step", "numbers"}
    for name, buffer in step_of.buffers.items():
        assert buffer.data_ptr() == places[name] != given[name].data_ptr()
        assert torch.equal(buffer, given[name])


def test_a_step_that_cannot_be_recorded_runs_eagerly_and_says_so(made, caplog):
    make, inputs = made
    (bank, body), (plain, eager) = make(), make()
    cuda = Cuda(RuntimeError("operation not permitted when stream is capturing"))
    step_of = recorded(bank, body, cuda)
    with caplog.at_level(logging.INFO, "prehoc"):
        for step in range(4):
            step_of(inputs(bank, step))
            eager(inputs(plain, step))
    assert len(cuda.made) == 1
    assert cuda.made[0].replays == 0
    assert torch.equal(bank.values, plain.values)
    assert [m for m in caplog.messages if "runs eagerly: operation not permitted" in m] == caplog.messages
    assert len(caplog.messages) == 1


def test_a_shortage_of_memory_is_no_reason_to_run_eagerly(made):
    make, inputs = made
    bank, body = make()
    before = bank.values.clone()
    step_of = recorded(bank, body, Cuda(torch.OutOfMemoryError("CUDA out of memory")))
    with pytest.raises(torch.OutOfMemoryError):
        step_of(inputs(bank, 0))
    assert torch.equal(bank.values, before)


def test_only_a_gpu_and_unchanging_shapes_are_recorded(made):
    make, _ = made
    bank, _ = make()
    problem = type("P", (), {"static_shapes": False})()
    assert graphs.recorded(bank, problem) is None
    bank.device = torch.device("cuda")
    assert graphs.recorded(bank, problem) is None
    problem.static_shapes = True
    once = graphs.recorded(bank, problem)
    assert isinstance(once, graphs.Recorded)
    assert graphs.recorded(bank, problem) is once
