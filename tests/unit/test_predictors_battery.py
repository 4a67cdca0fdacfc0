"""The battery: known truths for each kind of predictor, and one-line errors."""

import typing

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prehoc.config import settings as config_settings
from prehoc.errors import InputError
from prehoc.predictors import battery
from prehoc.predictors.battery import build, extrapolate

DEPTH = 2.0 ** np.arange(7)
T = 1024
LEARNERS = [n for n in battery.NAMES if n not in ("extrapolation", "last_value")]


def made(name, depth=DEPTH):
    return build(name, depth, T, gp_rows=200)


def linear(n, noise, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 3)) * [1.0, 5.0, 0.2] + [10.0, 0.0, -3.0]
    return x, x @ [2.0, 0.3, -4.0] + 7.0 + noise * rng.standard_normal(n)


def test_names_are_the_configs():
    field = config_settings.LowerBound.model_fields["predictors"].annotation
    assert typing.get_args(typing.get_args(field)[0]) == battery.NAMES


@pytest.mark.parametrize("name", ["ols", "ridge"])
def test_linear_truth_is_recovered(name):
    x, y = linear(400, 0.0)
    fresh, truth = linear(200, 0.0, seed=1)
    error = made(name).fit(x, y).predict(fresh) - truth
    assert np.abs(error).max() < 1e-3 * truth.std()


@pytest.mark.parametrize("name", LEARNERS)
def test_every_learner_learns_a_linear_truth(name):
    """Var R is 4 + 2.25 + .64; a learner must leave less than a third of it, and OLS the noise."""
    x, y = linear(500, 0.3)
    fresh, truth = linear(1000, 0.3, seed=1)
    risk = np.mean((made(name).fit(x, y).predict(fresh) - truth) ** 2)
    assert 0.08 < risk < truth.var() / 3
    if name in ("ols", "ridge"):
        assert risk == pytest.approx(0.09, rel=0.15)  # three standard errors: 13 %


@pytest.mark.parametrize("name", ["knn", "kernel_ridge", "boosting", "gaussian_process"])
def test_non_linear_learners_see_what_ols_cannot(name):
    rng = np.random.default_rng(2)
    x, fresh = rng.standard_normal((2, 600, 1))
    y, truth = x[:, 0] ** 2, fresh[:, 0] ** 2
    risk = {n: np.mean((made(n).fit(x, y).predict(fresh) - truth) ** 2) for n in ("ols", name)}
    assert risk["ols"] > 0.8 * truth.var()
    assert risk[name] < 0.2 * truth.var()


@pytest.mark.parametrize("name", LEARNERS)
def test_static_features_are_used(name):
    rng = np.random.default_rng(3)
    prefix, static = rng.standard_normal((400, 2)), rng.standard_normal(400)
    model = made(name).fit(prefix, static, static)
    assert np.mean((model.predict(prefix, static) - static) ** 2) < 0.25
    blind = made(name).fit(prefix, static)
    fresh = rng.standard_normal((400, 2))
    assert np.mean((blind.predict(fresh) - static) ** 2) > 0.8


@pytest.mark.parametrize("name", battery.NAMES)
def test_a_second_fit_gives_the_same_numbers(name):
    x, y = linear(60, 0.3)
    depth = DEPTH[:3]
    one, two = (made(name, depth).fit(x, y).predict(x) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    assert one.shape == (60,)


@settings(deadline=None, max_examples=40)
@given(st.floats(0.1, 3.0), st.floats(-5, 5), st.floats(0.1, 5), st.sampled_from([-1.0, 1.0]))
def test_extrapolation_is_exact_on_a_power_law(alpha, a, k, sign):
    curve = a + sign * k * DEPTH**-alpha
    got = extrapolate(DEPTH, curve[None], T)[0]
    assert got == pytest.approx(a + sign * k * T**-alpha, abs=2e-3 * k)


def test_extrapolation_of_many_is_that_of_each():
    rng = np.random.default_rng(4)
    curves = rng.standard_normal((20, 7)).cumsum(axis=1)
    together = extrapolate(DEPTH, curves, T)
    np.testing.assert_allclose(together, [extrapolate(DEPTH, c[None], T)[0] for c in curves], rtol=1e-9)
    span = np.ptp(curves, axis=1)
    assert np.all(together <= curves.max(axis=1) + battery.REACH * span)
    assert np.all(together >= curves.min(axis=1) - battery.REACH * span)


def test_extrapolation_falls_back_on_the_last_value():
    curves = np.array([[1.0, 4.0], [2.0, 3.0]])
    np.testing.assert_array_equal(extrapolate([1, 2], curves, T), [4.0, 3.0])
    np.testing.assert_array_equal(extrapolate([0, 1, 2], np.c_[[9, 9], curves], T), [4.0, 3.0])
    assert extrapolate(DEPTH, np.full((1, 7), 0.7), T) == pytest.approx(0.7)
    assert np.isnan(extrapolate(DEPTH, np.r_[np.nan, np.ones(6)][None], T)).all()


def test_the_process_learns_from_its_first_rows_alone():
    x, y = linear(300, 0.3)
    spoiled = y.copy()
    spoiled[200:] = 1e6
    one, two = (made("gaussian_process").fit(x, r).predict(x[:5]) for r in (y, spoiled))
    np.testing.assert_array_equal(one, two)


def test_bad_input_is_one_line():
    with pytest.raises(InputError, match=r"'oracle' is unknown.*last_value"):
        made("oracle")
    with pytest.raises(InputError, match="10 runs or more"):
        made("ols").fit(*linear(9, 0.1))
    with pytest.raises(InputError, match="outcomes"):
        made("ols").fit(np.ones((20, 2)), np.ones(19))
    with pytest.raises(InputError, match="runs, depths"):
        made("ols").fit(np.ones(20), np.ones(20))
    with pytest.raises(InputError, match="3 depths"):
        extrapolate([1, 2, 4], np.ones((5, 2)), T)
