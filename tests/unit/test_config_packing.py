"""How `shard: auto` cuts runs, depths and forks by the target job length."""

from __future__ import annotations

import copy
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from prehoc import config
from prehoc.config import Packing, fork_parts, segments, shard_size, shards
from prehoc.config.packing import WIDTHS, bank_width
from prehoc.errors import InputError
from prehoc.training.width import CPU_WIDTHS

RAW = yaml.safe_load((Path(__file__).parents[2] / "config.yaml").read_text())
BASE = config.resolve(RAW)


def task(name="movie_polarity", **changes):
    """A task of the default config, steps of 6 ms, so that ten runs of 100 steps train for 0.1 minutes."""
    made = BASE.tasks[name].model_dump()
    made["resources"]["step_ms"] = 6.0
    for key, value in {"shard": "auto", "forks": None, **changes}.items():
        made[key] = value
    return config.Task.model_validate(made)


def packing(minutes):
    return Packing(job_minutes=minutes, start_seconds=1)


SHORT = {"depths": [1, 10, 50], "horizon": 100}


@pytest.mark.parametrize(
    ("runs", "bank", "minutes", "size"),
    [
        (100, 10, 0.1, 10),  # a bank of ten takes a tenth of a minute
        (100, 10, 0.59, 50),  # five banks fit, and 10 banks in two jobs of five
        (100, 10, 0.8, 50),  # eight would fit; two jobs all the same, so even ones
        (110, 10, 0.8, 60),  # eleven banks: six and five
        (100, 10, 60, 100),  # never more than runs
        (100, 10, 0.001, 10),  # never fewer than a bank
        (7, 10, 0.001, 7),
        (100, "auto", 0.48, 48),  # whole banks of 16: three fit, of seven
        (100, 2, 0.001, 2),
    ],
)
def test_seeds_a_shard(runs, bank, minutes, size):
    assert shard_size(task(runs=runs, bank=bank, **SHORT), packing(minutes)) == size


def test_a_number_means_what_it_means():
    made = task(shard=30, runs=100, bank=16, **SHORT)
    assert shards(made, packing(0.001)) == shards(made) == [(0, 30), (30, 60), (60, 90), (90, 100)]
    assert segments(made, packing(0.001)) == []
    forks = {"depths": [1, 10, 50], "trunks": 10, "per_trunk": 2}
    made = task(shard=30, runs=100, forks=forks, **SHORT)
    assert fork_parts(made, packing(1e9)) == fork_parts(made) == [[1], [10], [50, 100]]


def test_auto_without_a_target_is_refused():
    with pytest.raises(ValueError, match="packing"):
        shards(task())


@pytest.mark.parametrize(
    ("minutes", "cuts"),
    [
        (0.1, []),  # the whole bank fits
        (0.06, [50]),  # 50 steps are half the time: 0 to 50, 50 to 100
        (0.045, [10, 50]),  # 0 to 10, 10 to 50, and a stretch that is longer than the target
        (1e-6, [1, 10, 50]),
    ],
)
def test_a_bank_that_is_too_long_is_cut_at_its_depths(minutes, cuts):
    assert segments(task(runs=100, bank=10, **SHORT), packing(minutes)) == cuts


@pytest.mark.parametrize(
    ("minutes", "parts"),
    [
        (60, [[1, 10, 50, 100]]),
        # 20 forks of 99, 90 and 50 steps of 6 ms: 0.198, 0.18 and 0.1 minutes
        (0.3, [[1], [10, 50, 100]]),
        (0.2, [[1], [10], [50, 100]]),
        (0.001, [[1], [10], [50, 100]]),
        (0.4, [[1, 10], [50, 100]]),
    ],
)
def test_fork_depths_share_a_job_while_they_fit(minutes, parts):
    forks = {"depths": [1, 10, 50], "trunks": 10, "per_trunk": 2}
    assert fork_parts(task(runs=100, forks=forks, **SHORT), packing(minutes)) == parts


@settings(max_examples=150, deadline=None)
@given(
    runs=st.integers(5, 3000),
    bank=st.one_of(st.just("auto"), st.integers(2, 64)),
    minutes=st.floats(1e-4, 100),
    depths=st.lists(st.integers(1, 400), min_size=1, max_size=8, unique=True).map(sorted),
)
def test_every_run_and_depth_is_in_one_job_and_no_job_is_too_long(runs, bank, minutes, depths):
    forks = {"depths": depths, "trunks": 5, "per_trunk": 2}
    made, target = task(runs=runs, bank=bank, depths=depths, horizon=400, forks=forks), packing(minutes)
    blocks = shards(made, target)
    assert [s for a, b in blocks for s in range(a, b)] == list(range(runs))
    width = bank_width(made)
    assert all(a % width == 0 for a, _ in blocks)
    sizes = [-(-(b - a) // width) for a, b in blocks]
    assert set(sizes[:-1]) <= {sizes[0]}
    assert sizes[-1] <= sizes[0]
    cuts = segments(made, target)
    ends = [0, *cuts, 400]
    assert set(cuts) <= set(depths) - {400}
    time = max(b - a for a, b in blocks) * 6 / 60_000
    stops = sorted({0, *depths, 400})
    for start, end in pairwise(ends):
        single = stops.index(end) - stops.index(start) == 1
        assert time * (end - start) <= minutes * (1 + 1e-9) or single
    parts = fork_parts(made, target)
    assert [d for part in parts for d in part] == sorted({*depths, 400})
    for part in parts:
        work = [10 * (400 - d) * 6 / 60_000 for d in part]
        assert sum(work) <= minutes * (1 + 1e-9) or sum(w > 0 for w in work) == 1
    assert all(part != [400] for part in parts) or depths == [400]


def test_widths_are_those_of_training():
    assert WIDTHS == CPU_WIDTHS


@pytest.mark.parametrize("value", [0, -4, 2.5, True, "many", None])
def test_bad_shards_are_named(value):
    made = copy.deepcopy(RAW)
    made["tasks"]["movie_polarity"]["shard"] = value
    with pytest.raises(InputError, match=r"tasks\.movie_polarity\.shard"):
        config.resolve(made)


@pytest.mark.parametrize(
    "change",
    [
        {"job_minutes": 0},
        {"job_hours": 1},
        {"start_seconds": "few"},
        {"job_minutes": float("inf")},
        {"job_minutes": True},
        {"start_seconds": 1e12},
    ],
)
def test_bad_targets_are_named(change):
    made = copy.deepcopy(RAW)
    made["packing"] |= change
    with pytest.raises(InputError, match=rf"packing\.{next(iter(change))}"):
        config.resolve(made)


def test_no_stage_depends_on_the_packing():
    made = copy.deepcopy(RAW)
    made["packing"]["job_minutes"] = 1
    made["tasks"]["movie_polarity"]["shard"] = "auto"
    after = config.resolve(made)
    for stage in ("prepare", "train", "fork", "risk", "decide"):
        assert config.stage_config(BASE, "movie_polarity", stage) == config.stage_config(
            after, "movie_polarity", stage
        )
