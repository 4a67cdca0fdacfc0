"""The second fitting stage: its shrinkage, and its least squares against a general solver."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import nnls

from prehoc.risk.gls import Whitened, collapsed, shrunk


def correlated(rng, size):
    root = rng.normal(size=(size, size + 2))
    made = root @ root.T
    sd = np.sqrt(np.diag(made))
    return made / np.outer(sd, sd) * 0.02


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(3, 9), st.floats(4, 5000))
def test_shrinkage_keeps_variances_and_is_positive(seed, size, nu):
    relative = correlated(np.random.default_rng(seed), size)
    made = shrunk(relative, np.full(size, nu))
    assert np.diag(made) == pytest.approx(np.diag(relative))
    assert np.linalg.eigvalsh(made)[0] > 0
    share = min(1.0, 2 * size / nu)
    assert made[0, 1] == pytest.approx((1 - share) * relative[0, 1])


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(3, 8))
def test_projection_is_non_negative_least_squares(seed, size):
    rng = np.random.default_rng(seed)
    risk, pilot = rng.uniform(0.2, 2, size), rng.uniform(0.5, 1.5, size)
    x = np.sort(rng.uniform(0, 1, size))[::-1]
    relative = correlated(rng, size) + 1e-3 * np.eye(size)
    white = Whitened.of(risk[None], pilot[None], relative[None])
    b, k, square = (v[0, 0] for v in white.project(x[:, None, None]))
    design = white.root[0] @ np.stack([np.ones(size), x], 1)
    best, norm = nnls(design, white.risk[0])
    assert square == pytest.approx(norm**2, rel=1e-6, abs=1e-9)
    assert (b, k) == pytest.approx(tuple(best), rel=1e-4, abs=1e-6)


def test_collapse_is_told_by_curve():
    pilot = np.ones((2, 3))
    mu = np.array([[1.0, 0.5, 0.2], [1.0, 0.5, 0.0]])
    assert collapsed(mu, pilot).tolist() == [False, True]
