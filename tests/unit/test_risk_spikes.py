"""Spikes of the workflow's own runs: the rule of imported logs, in the verdict."""

import numpy as np
import pandas as pd

from prehoc import tables
from prehoc.fits import spikes as of_logs
from prehoc.risk.spikes import spike_flags, spikes_of
from prehoc.risk.verdict import verdict

DEPTH = np.array([1, 2, 4, 8, 16, 32])


def runs_of(loss, metric="loss"):
    rows = [
        ("t", seed, int(d), "val", metric, float(loss[seed, j]), bool(np.isnan(loss[seed, j])))
        for seed in range(len(loss))
        for j, d in enumerate(DEPTH)
    ]
    return pd.DataFrame(rows, columns=["task", "seed", "depth", "split", "metric", "value", "failure"])


def smooth(n=24, seed=0):
    rng = np.random.default_rng(seed)
    return 1.0 / np.log2(2 + DEPTH) + rng.normal(0, 0.01, (n, len(DEPTH)))


def test_two_planted_spikes_are_found_with_their_runs_and_depths():
    loss = smooth()
    loss[3, 2] += 1.0
    loss[7, 4] += 2.0
    found = spikes_of(runs_of(loss), "accuracy")
    assert (found["metric"], found["runs"], found["share"]) == ("loss", 2, 2 / 24)
    assert found["depths"] == [4, 16]
    assert "2 of 24 runs have a spike in their validation loss (depth 4, 16)" in found["in_words"]
    at = spike_flags(DEPTH, loss)
    assert np.argwhere(at).tolist() == [[3, 2], [7, 4]]
    assert of_logs.spike_flags is spike_flags  # imported logs and own tasks: one rule


def test_smooth_curves_and_failed_runs_have_none():
    loss = smooth(seed=1)
    loss[5, 3:] = np.nan
    found = spikes_of(runs_of(loss), "accuracy")
    assert (found["runs"], found["depths"], found["in_words"]) == (0, [], None)


def test_the_metric_stands_in_for_a_loss_that_is_not_measured_and_few_depths_tell_nothing():
    loss = smooth()
    loss[0, 3] += 1.0
    table = runs_of(loss, "value")
    assert spikes_of(table, "value")["metric"] == "value"
    assert spikes_of(table, "accuracy") is None
    assert spikes_of(table[table["depth"] <= 2], "value") is None


def test_the_verdict_carries_them_as_a_caveat():
    variance = pd.DataFrame(
        [("t", d, "residual", "last", 0.5, 0.1, 0.3, 0.8, 24, "loss", 22.0, 0.5, 1.0, 0.0)
         for d in DEPTH],
        columns=["task", "depth", "proxy", "information", "risk", "se", "ci_low", "ci_high", "n", "metric",
                 "nu", "robust", "var_r", "failure_rate"],
    )  # fmt: skip
    none = [tables.empty(name) for name in ("envelope", "c_star", "regimes")]
    loss = smooth()
    loss[3, 2] += 1.0
    found = spikes_of(runs_of(loss), "loss")
    with_them = verdict("t", variance, *none, spikes=found)
    without = verdict("t", variance, *none, spikes=spikes_of(runs_of(smooth()), "loss"))
    assert with_them["spikes"]["runs"] == 1
    assert set(with_them["caveats"]) - set(without["caveats"]) == {found["in_words"]}
