"""Step sizes: values by hand, warm-up, and where the schedules end."""

from __future__ import annotations

import math

import pytest

from prehoc.training.schedule import spans_horizon, step_size


def optimiser(schedule, warmup=0, rho=0.75):
    return {"schedule": schedule, "warmup": warmup, "rho": rho}


@pytest.mark.parametrize(
    ("schedule", "step", "factor"),
    [
        ("constant", 0, 1.0),
        ("constant", 99, 1.0),
        ("rho", 0, 0.5**-0.75),
        ("rho", 15, 15.5**-0.75),
        ("linear", 0, 1.0),
        ("linear", 25, 0.75),
        ("linear", 99, 0.01),
        ("cosine", 0, 1.0),
        ("cosine", 50, 0.5),
        ("cosine", 99, 0.5 * (1 + math.cos(0.99 * math.pi))),
    ],
)
def test_values(schedule, step, factor):
    assert step_size(optimiser(schedule), step, 100) == pytest.approx(factor, rel=1e-12)


@pytest.mark.parametrize("schedule", ["constant", "rho", "linear", "cosine"])
def test_warmup_rises_evenly_and_then_the_schedule_begins(schedule):
    rise = [step_size(optimiser(schedule, warmup=4), k, 104) for k in range(4)]
    assert rise == pytest.approx([0.2, 0.4, 0.6, 0.8])
    for k in (0, 10, 99):
        late = step_size(optimiser(schedule, warmup=4), 4 + k, 104)
        assert late == pytest.approx(step_size(optimiser(schedule), k, 100), rel=1e-12)


def test_rho_zero_is_constant_and_slopes_are_minus_rho():
    assert step_size(optimiser("rho", rho=0.0), 17, 100) == 1.0
    a, b = (step_size(optimiser("rho", rho=0.6), k, 1) for k in (99, 9999))
    assert math.log(b / a) / math.log(9999.5 / 99.5) == pytest.approx(-0.6)


def test_linear_and_cosine_alone_depend_on_the_horizon():
    for schedule in ("constant", "rho", "linear", "cosine"):
        moved = step_size(optimiser(schedule), 20, 50) != step_size(optimiser(schedule), 20, 100)
        assert moved == spans_horizon(optimiser(schedule))
        assert step_size(optimiser(schedule), 99, 100) >= 0


def test_a_warmup_as_long_as_the_horizon_divides_by_nothing():
    assert step_size(optimiser("linear", warmup=10), 10, 10) == 1.0
