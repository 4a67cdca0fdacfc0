"""Regression features of visible factors: in logs only where they are drawn so."""

import numpy as np
import pandas as pd
import pytest

from prehoc.risk.data import visible_features


def drawn(values):
    n = len(values)
    return pd.DataFrame(
        {"task": "t", "seed": np.arange(n), "factor": "rate", "visible": True, "value": values}
    )


@pytest.mark.parametrize("even_in_logs", [False, True])
def test_a_factor_is_taken_in_logs_where_it_lies_evenly_there(even_in_logs):
    rng = np.random.default_rng(3)
    value = np.exp(rng.uniform(-8, 0, 400)) if even_in_logs else rng.uniform(1e-4, 0.45, 400)
    seen = visible_features(drawn(value), np.arange(400))
    x = np.log(value) if even_in_logs else value
    assert seen.shape == (400, 2)
    assert np.corrcoef(seen[:, 0], x)[0, 1] == pytest.approx(1)
    assert np.allclose(seen[:, 1], seen[:, 0] ** 2)


def test_what_a_uniform_factor_settles_is_found():
    rng = np.random.default_rng(4)
    value = rng.uniform(1e-4, 0.45, 500)
    outcome = 0.9 - 2 * value**2 + rng.normal(0, 0.01, 500)
    x = np.column_stack([np.ones(500), visible_features(drawn(value), np.arange(500))])
    left = outcome - x @ np.linalg.lstsq(x, outcome, rcond=None)[0]
    assert left.var() == pytest.approx(1e-4, rel=0.2)
