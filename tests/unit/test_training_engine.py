"""Where a job's runs are computed: widths of banks, memory that runs out, and what is recorded of it."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from trained import files_of, same

from prehoc.errors import InputError
from prehoc.provenance import counted
from prehoc.tasks.machine import CPU, Machine, Sums
from prehoc.training import engine, forks, loop, plan, problems, width

SHORTAGES = [
    MemoryError(),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory"),
]


def quiet(line):
    """Progress is for people."""


def trained(config, store, lines=None):
    """Records by seed of seven runs, and the engine that made them."""
    config = config | {"store": f"{config['store']}-{store}"}
    setting = problems.build(config)
    report = quiet if lines is None else lines.append
    used = engine.Engine(config, setting, 7, report)
    records, _ = loop.train(config, setting, range(7), report, None, used)
    return {s: [r for r in records if r[0] == s] for s in range(7)}, used


@pytest.fixture
def short_of_memory(monkeypatch):
    """Makes advancing or measuring fail where a bank is wider than fits, from a given step on."""

    def make(fits, error, since=0, place="advance"):
        real = getattr(loop, place)

        def scarce(*args):
            bank = args[2] if place == "advance" else args[1]
            if bank.runs > fits and (place == "answers" or args[-1] > since):
                raise error
            return real(*args)

        monkeypatch.setattr(loop, place, scarce)

    return make


def nearly(left, right):
    """Equal but for rounding: a narrower bank's products are summed in another order. Seen: 1.2e-7 nats."""
    a, b = pd.DataFrame(left), pd.DataFrame(right)
    pd.testing.assert_frame_equal(a, b, check_exact=False, rtol=0, atol=1e-6)
    return True


# ------------------------------------------------------------------------------ memory runs out
@pytest.mark.parametrize("error", SHORTAGES, ids=["python", "gpu", "cpu"])
@pytest.mark.parametrize(("place", "since"), [("advance", 0), ("advance", 4), ("answers", 0)])
def test_a_bank_that_does_not_fit_is_halved_and_ends_in_the_same_numbers(
    family, short_of_memory, error, place, since
):
    config = family("head", bank=8, method__dropout=0.1, outcome__target_sample=20)
    whole, _ = trained(config, "whole")
    short_of_memory(2, error, since, place)
    lines = []
    halved, used = trained(config, f"{place}-{since}", lines)
    assert all(nearly(halved[s], whole[s]) for s in range(7))
    assert [sum(f"banks of {n} runs from here on" in line for line in lines) for n in (8, 4, 2)] == [
        0,
        1,
        1,
    ]
    assert used.record()["halvings"] == 2
    assert used.record()["bank_widths"] == [2]
    kept = [path.parent.name for path in files_of(config, f"{place}-{since}") if "_00000001" in path.name]
    first = "seeds_000000+7" if since else "seeds_000000+2"  # what was done before is not done again
    assert first in kept
    assert ("seeds_000002+2" in kept) == (since == 0)


def test_a_later_bank_starts_at_the_width_that_fitted(family, short_of_memory):
    config = family("head", bank=4)
    whole, used = trained(config, "whole")
    assert used.record()["bank_widths"] == [4]
    short_of_memory(2, SHORTAGES[0])
    halved, used = trained(config, "halved")
    assert (used.halvings, used.record()["bank_widths"]) == (1, [2])
    assert all(same(halved[s], whole[s]) for s in range(7))


def test_forks_are_halved_too(family, short_of_memory):
    config = family("head", bank=8, forks={"depths": [4], "trunks": 5, "per_trunk": 3})
    setting = problems.build(config)
    whole = forks.fork(config, setting, 4, quiet)
    for since in (0, 4):  # in the trunks, or only in the forks
        short_of_memory(4, SHORTAGES[1], since)
        again = config | {"store": f"{config['store']}-{since}"}
        assert nearly(forks.fork(again, setting, 4, quiet), whole)


def test_two_runs_that_do_not_fit_end_in_one_line(family, short_of_memory):
    short_of_memory(1, SHORTAGES[2])
    with pytest.raises(InputError, match=r"a bank of 2 runs does not fit in the memory of cpu; lower"):
        trained(family("head", bank=8), "none")


def test_other_errors_are_not_taken_for_a_shortage(family, short_of_memory):
    short_of_memory(1, RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    with pytest.raises(RuntimeError, match="shapes"):
        trained(family("head"), "none")


# ------------------------------------------------------------------------------ sums in one order
def test_an_operation_without_an_order_is_told_once_and_let_be(family, monkeypatch):
    """What torch says where a GPU is asked for an order that an operation does not know."""
    config = family("head", bank=4)
    whole, used = trained(config, "whole")
    assert used.record()["sums_in_order"]
    monkeypatch.setattr(Sums, "loose", False)
    real = loop.advance
    error = RuntimeError("strange_backward_cuda does not have a deterministic implementation, but you set")

    def strict(*args):
        if not Sums.loose:
            raise error
        real(*args)

    monkeypatch.setattr(loop, "advance", strict)
    lines = []
    found, used = trained(config, "loose", lines)
    assert sum("strange_backward_cuda adds in no fixed order" in line for line in lines) == 1
    assert all(same(found[s], whole[s]) for s in range(7))
    assert (used.record()["halvings"], used.record()["sums_in_order"]) == (0, False)
    monkeypatch.setattr(loop, "advance", lambda *args: (_ for _ in ()).throw(error))
    with pytest.raises(RuntimeError, match="strange"):  # said again although it is let be
        trained(config, "again")


def test_an_order_is_asked_for_while_a_gpu_trains(monkeypatch):
    gpu, asked = torch.device("cuda"), torch.are_deterministic_algorithms_enabled
    assert not asked()
    with Sums.in_order(CPU.device):
        assert not asked()
    with contextlib.suppress(KeyError), Sums.in_order(gpu):
        assert asked()
        raise KeyError
    assert not asked()
    monkeypatch.setattr(Sums, "loose", True)
    with Sums.in_order(gpu):
        assert not asked()


# --------------------------------------------------------------------------------- width of banks
def test_auto_is_a_width_by_kind_on_a_cpu(family):
    for name, known in (("head", 512), ("lora", 16), ("modular", 16)):
        assert width.recipe(family(name, bank="auto"), CPU) == known
        assert width.recipe(family(name, bank=6), CPU) == 6
    gpu = Machine(torch.device("cuda"), "fp32")
    assert width.recipe(family("head", bank="auto"), gpu) is None
    assert width.recipe(family("head", bank=6), gpu) == 6


def test_auto_shares_its_checkpoints_with_the_number_it_stands_for(family):
    config = family("head", bank="auto", depths=[1], horizon=2)
    trained(config, "a")
    before = files_of(config, "a")
    assert len(before) == 2
    trained(config | {"bank": 512}, "a")
    assert files_of(config, "a") == before
    trained(config | {"bank": 16}, "a")
    assert len(files_of(config, "a")) == 4


def test_the_width_on_a_gpu_is_by_its_free_memory_and_told(family, monkeypatch):
    config = family("head", bank="auto")
    problem = problems.build(config).problem
    each = width.footprint(config, problem, CPU.device)
    monkeypatch.setattr(width, "footprint", lambda *args: each)
    monkeypatch.setattr(width, "free_memory", lambda device: 100 * each / width.SHARE)
    gpu = Machine(torch.device("cuda"), "fp32")
    lines = []
    assert width.choose(config, problem, gpu, 1500, lines.append) == 64
    assert len(lines) == 1
    assert "banks of 64 runs; a run takes" in lines[0]
    assert width.choose(config, problem, gpu, 40, quiet) == 64  # no more than the runs there are
    assert width.choose(config, problem, gpu, 20, quiet) == 32
    assert width.choose(config, problem, gpu, 1, quiet) == 2


@pytest.mark.parametrize("name", ["head", "top", "lora", "modular"])
def test_the_footprint_is_linear_in_the_runs(family, name):
    config = family(name)
    problem = problems.build(config).problem
    held = [width._held(config, problem, CPU.device, runs) for runs in (2, 4, 8, 16)]
    steps = [(b - a) / n for a, b, n in zip(held, held[1:], (2, 4, 8), strict=False)]
    assert steps[0] > 0
    assert steps == pytest.approx([steps[0]] * 3, rel=0.02)
    size = sum(int(torch.Size(p.shape).numel()) for p in problem.parameters)
    assert steps[0] > 4 * 4 * size  # weights, gradient and AdamW's two moments at the least
    assert width.footprint(config, problem, CPU.device) == width.MARGIN * steps[0]


def test_1500_heads_fit_in_8_gib(family):
    """Of the packaged model's width, 384, at batch 16; the print is the number."""
    config = family("head", optimiser__batch_size=16)
    problem = problems.build(config).problem
    problem.features = torch.randn(problem.features.shape[0], 384)
    from prehoc.tasks.heads import head_parameters

    problem.parameters = head_parameters(384, 2)
    total = 1500 * width.footprint(config, problem, CPU.device)
    print(f"1500 heads: {total / 2**30:.3f} GiB")
    assert 1500 * 16 * 384 * 4 < total < 2**30


def test_free_memory_knows_the_machine_and_its_control_group(tmp_path):
    assert 2**20 < width.free_memory(CPU.device) < 2**50
    (tmp_path / "limit").write_text("5000\n")
    (tmp_path / "used").write_text("2000\n")
    assert width._left("limit", "used", tmp_path) == 3000
    (tmp_path / "limit").write_text("max\n")
    assert width._left("limit", "used", tmp_path) is None
    assert width._left("nothing", "used", tmp_path) is None
    (tmp_path / "meminfo").write_text("MemTotal: 9 kB\nMemAvailable:    7 kB\n")
    assert width._available(tmp_path / "meminfo") == 7 * 1024
    assert width._available(tmp_path / "none") is None


# ---------------------------------------------------------------------------------------- records
def test_the_record_is_the_same_after_an_interruption(family, monkeypatch):
    config = family("head")
    _, whole = trained(config, "a")
    _, again = trained(config, "a")  # all of it from checkpoints
    assert whole.record() == again.record()
    note = whole.record()
    assert (note["device"], note["precision"], note["threads"]) == ("cpu", "fp32", torch.get_num_threads())
    assert note["torch"] == torch.__version__
    assert "GiB" in whole.cost()


def test_runs_are_cut_at_multiples_of_the_width(family):
    config = family("head")
    draws = plan.drawn(config, problems.build(config), range(3, 11))
    assert [[d.seed for d in part] for part in plan.cut_runs(draws, 4)] == [[3], [4, 5, 6, 7], [8, 9, 10]]
    assert plan.cut_evenly([1, 2, 3, 4, 5], 2) == [[1, 2], [3, 4], [5]]
    group = plan.Group.filled(draws[:2], 4, [(1, 0), (1, 1)])
    assert ([d.seed for d in group.draws], group.real) == ([3, 4, 4, 4], 2)
    assert group.begun() == [(1, 0), (1, 1), (1, 1), (1, 1)]


def test_equal_records_are_counted_as_one():
    cpu, gpu = {"device": "cpu", "threads": 1}, {"threads": 1, "device": "cuda"}
    found = counted([cpu, gpu, dict(reversed(cpu.items()))])
    assert found == [{"jobs": 2, **cpu}, {"jobs": 1, **gpu}]
    assert counted([]) == []


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads Linux's count of pages")
def test_freed_memory_is_kept_and_given_back():
    """In a process of its own, as the setting is the process's: 200 blocks of 1 MB, freed, then given back."""
    code = """
import os
from pathlib import Path
from prehoc.training.allocation import give_back, keep_freed_blocks
def held(): return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 20
import torch
if not keep_freed_blocks(): raise SystemExit(3)
start = held()
blocks = [torch.ones(1 << 18) for _ in range(200)]
full = held()
pins = blocks[::20]
del blocks
kept = held()
give_back()
print(full - start, kept - start, held() - start)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if run.returncode == 3:
        pytest.skip("no glibc")
    full, kept, left = map(int, run.stdout.split())
    assert full > 190
    assert kept > 150  # the C library has them still
    assert left < 50  # but for what is in use
