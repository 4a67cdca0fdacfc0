"""What a job asks of a cluster: it grows with the task, a user's number wins, and no stage depends on it."""

import copy
import math
from pathlib import Path

import pytest
import yaml

from prehoc import config
from prehoc.config import fork_minutes, stage_config, train_minutes
from prehoc.config.resources import step_ms
from prehoc.errors import InputError

RAW = yaml.safe_load((Path(__file__).parents[2] / "config.yaml").read_text())


def task(name, **changes):
    made = copy.deepcopy(RAW)
    for key, value in changes.items():
        block = made["tasks"][name]
        block[key] = {**block.get(key, {}), **value} if isinstance(value, dict) else value
    return config.resolve(made).tasks[name]


@pytest.mark.parametrize(
    ("name", "changes", "factor"),
    [
        ("movie_polarity", {"method": {"layers": "top-3"}}, 3),
        ("movie_polarity", {"method": {"layers": "all"}}, 12),
        ("movie_polarity", {"optimiser": {"batch_size": 32}}, 2),
        ("movie_polarity", {"model": {"max_length": 64}}, 2),
        ("movie_polarity_head", {"optimiser": {"batch_size": 48}}, 3),
        ("modular_addition", {"method": {"width": 128}}, 4),
        ("modular_addition", {"method": {"depth": 3}}, 3),
    ],
)
def test_a_steps_time_grows_with_the_task(name, changes, factor):
    assert step_ms(task(name, **changes)) == pytest.approx(factor * step_ms(task(name)))


def test_estimates_are_the_measured_ones():
    """docs/training.md: 1.3 s a run of 256 steps; heads 27,000 and modular sums 660 seed-steps a second."""
    assert step_ms(task("movie_polarity")) == pytest.approx(1300 / 256, rel=0.1)
    assert step_ms(task("movie_polarity_head")) == pytest.approx(1000 / 27_000, rel=0.1)
    assert step_ms(task("modular_addition")) == pytest.approx(1000 / 660, rel=0.1)
    assert step_ms(task("synthetic_noise")) == 0


def test_minutes_are_a_start_and_the_steps_of_all_runs():
    asked = {"minutes": 7, "step_ms": 30, "margin": 2}
    made = task("movie_polarity", resources=asked)
    assert train_minutes(made, 100) == math.ceil(7 + 2 * 100 * 256 * 30 / 60_000)
    forks = made.forks.trunks * made.forks.per_trunk
    assert fork_minutes(made, [128, 192]) == math.ceil(7 + 2 * forks * (128 + 64) * 30 / 60_000)
    assert fork_minutes(made, [256]) == 7  # nothing is trained from the horizon
    assert fork_minutes(task("movie_polarity", resources=asked, forks=None), [1]) == 7


def test_a_part_of_the_depths_asks_for_its_own_steps():
    made = task("movie_polarity", resources={"minutes": 7, "step_ms": 30, "margin": 2})
    assert train_minutes(made, 100, 64, 128) == math.ceil(7 + 2 * 100 * 64 * 30 / 60_000)
    assert train_minutes(made, 100, 64) == math.ceil(7 + 2 * 100 * 192 * 30 / 60_000)


def test_no_stage_depends_on_what_is_asked_for():
    made = copy.deepcopy(RAW)
    made["defaults"]["all"]["resources"] = {
        "mem_mb": 1,
        "minutes": 1,
        "step_ms": 1,
        "token_ms": 1,
        "measured_on": "cpu",
        "margin": 1,
        "gpu": 0,
    }
    before, after = config.resolve(RAW), config.resolve(made)
    for stage in ("prepare", "train", "fork", "risk", "decide"):
        assert stage_config(before, "movie_polarity", stage) == stage_config(after, "movie_polarity", stage)


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ({"step_ms": 0}, "step_ms"),
        ({"step_ms": True}, "step_ms"),
        ({"step_ms": "fast"}, "step_ms"),
        ({"margin": 0.5}, "margin"),
        ({"gpu": 2}, "gpu"),
        ({"mem_mb": 0}, "mem_mb"),
        ({"hours": 1}, "hours"),
    ],
)
def test_bad_requests_are_named(asked, named):
    with pytest.raises(InputError, match=rf"tasks\.movie_polarity\.resources\.{named}"):
        task("movie_polarity", resources=asked)
