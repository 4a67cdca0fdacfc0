"""Forks explain and leave Var R, or the check says that they do not."""

import numpy as np
import pytest

from prehoc.risk.identity import LIMIT, fork_sum, identity_of
from prehoc.risk.pipeline import c_star_table, envelope_table, regimes_table, variance_table, verdict
from prehoc.synthetic.frames import simulate_task

SPEC = {"process": "dynamic_a050", "forks": {"depths": [1, 8, 64, 256], "trunks": 120, "per_trunk": 4}}
DEPTHS = [1, 4, 16, 64, 256]


def frames(seed):
    runs, forks, _, _ = simulate_task("t", SPEC, 200, DEPTHS, 512, [seed])
    return runs, forks


def test_explained_and_left_are_unbiased():
    rng, sums = np.random.default_rng(0), []
    for _ in range(400):
        trunk = rng.normal(0, 2, 40)
        sums.append(fork_sum(trunk[:, None] + rng.normal(0, 3, (40, 4))))
    explained, left, se = np.array(sums).T
    assert explained.mean() == pytest.approx(4.0, abs=4 * explained.std() / 20)
    assert left.mean() == pytest.approx(9.0, abs=4 * left.std() / 20)
    assert se.mean() == pytest.approx((explained + left).std(), rel=0.1)


def test_trunks_with_one_fork_drop_out():
    values = np.array([[1.0, 2.0], [3.0, np.nan], [0.0, 1.0], [5.0, 7.0], [2.0, 2.5], [1.0, 0.0]])
    kept = np.delete(values, 1, axis=0)
    assert fork_sum(values) == pytest.approx(fork_sum(kept))
    assert np.isnan(fork_sum(values[:4])).all()


def test_holds_for_true_forks():
    for seed in range(12):
        found = identity_of("t", *frames(seed), metric="value")
        assert found["holds"]
        assert [row["depth"] for row in found["depths"]] == SPEC["forks"]["depths"]
        assert found["largest_z"] < LIMIT


@pytest.mark.parametrize("fault", ["noise", "shrunk"])
def test_forks_of_another_law_are_caught_and_the_verdict_says_so(fault):
    runs, forks = frames(3)
    rng = np.random.default_rng(1)
    if fault == "noise":  # as if a fork drew something that a run does not
        forks = forks.assign(value=forks["value"] + rng.normal(0, 1.5, len(forks)))
    else:  # as if every fork went on from one and the same trunk
        forks = forks.assign(value=forks["value"] * 0.3)
    found = identity_of("t", runs, forks, metric="value")
    assert not found["holds"]
    u = variance_table(runs, forks, metric="value")
    fits = envelope_table(u, runs, forks)
    text = verdict(
        "t", u, fits, c_star_table(fits, u, runs, forks, prices=[0.2]),
        regimes_table(runs, forks, None, u, fits, resamples=20), identity=found,
    )  # fmt: skip
    assert any("does not add up to Var R" in line for line in text["caveats"])


def test_no_forks_no_check():
    runs, forks = frames(1)
    assert identity_of("t", runs, forks[:0], metric="value") is None
