"""Other widths of banks, other thread counts, and bf16: the same runs, to the bit or to a stated tolerance."""

from __future__ import annotations

import pytest
import torch
from trained import train

from prehoc.tasks.machine import bf16_units, machine
from prehoc.training import loop, problems

NEAR = 1e-5  # nats after 32 steps; largest seen 6e-7
FAMILIES = ["head", "top", "lora", "any", "modular", "causal"]


def far(left, right):
    """The largest difference of a loss between two runs' records."""
    pairs = [(a, b) for a, b in zip(left, right, strict=True) if a[2].startswith("loss")]
    assert len(pairs) > 4
    return max(abs(a[3] - b[3]) for a, b in pairs)


@pytest.fixture
def two_threads(one_thread):
    """Torch on two threads for one test."""
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(1)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_banks_width_changes_rounding_alone(family, name):
    config = family(name, method__dropout=0.0 if name == "causal" else 0.1)
    wide = train(config | {"bank": 8}, range(8), "wide")
    for width in (2, 5):
        narrow = train(config | {"bank": width}, range(8), f"narrow-{width}")
        assert max(far(narrow[s], wide[s]) for s in wide) < NEAR


@pytest.mark.parametrize("name", FAMILIES)
def test_on_two_threads_a_run_is_the_same_to_rounding(family, name, two_threads):
    """Alone, among others, and on one thread (two may share a product out otherwise among more rows)."""
    config = family(name, bank=8)
    whole = train(config, range(8), "whole")
    for first in (0, 5):
        assert far(train(config, [first], f"alone-{first}")[first], whole[first]) < NEAR
    torch.set_num_threads(1)
    single = train(config, range(8), "single")
    assert max(far(single[s], whole[s]) for s in whole) < NEAR


@pytest.mark.skipif(not bf16_units(torch.device("cpu")), reason="no bf16 arithmetic here")
@pytest.mark.parametrize("name", ["top", "lora", "causal"])
def test_in_bf16_a_run_is_its_own_too(family, name):
    """Alone and among others, 32 steps: within 1e-3 nats, as other kernels may be chosen; and near fp32."""
    made = {}
    for precision in ("bf16", "fp32"):
        config = family(name, bank=8) | {"precision": precision}
        config["optimiser"]["lr"] = 1e-3
        setting = problems.build(config, machine("cpu", precision))
        for seeds in (range(8), [5]):
            records, _ = loop.train(
                config | {"store": f"{config['store']}-{precision}-{len(seeds)}"}, setting, seeds, print
            )
            made[precision, len(seeds)] = [r[1:] for r in records if r[0] == 5]
    assert far(made["bf16", 1], made["bf16", 8]) < 1e-3
    assert 0 < far(made["bf16", 8], made["fp32", 8]) < 0.2
