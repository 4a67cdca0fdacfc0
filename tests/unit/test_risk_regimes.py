"""The regime rule, its probabilities, and how often it is right."""

import numpy as np
import pytest

from prehoc.errors import InputError
from prehoc.risk.pipeline import envelope_table, regimes_table, variance_table
from prehoc.risk.proxies import residual
from prehoc.risk.regimes import (
    REGIMES,
    Sample,
    Thresholds,
    classify,
    name_regime,
    probabilities,
)
from prehoc.risk.resample import counted_risks, counted_variances, resampled_counts
from prehoc.synthetic.frames import simulate_task
from prehoc.synthetic.instances import INSTANCES, regime_of

NAN = np.nan


def one(var_r=1.0, start=0.5, last=0.1, static=NAN, best=NAN, **kw):
    values = [np.array([v]) for v in (var_r, start, last, static, best)]
    return int(classify(Sample(*values), Thresholds(**kw))[0])


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ({"last": 0.6, "start": 0.9}, 2),
        ({"last": 0.49, "start": 0.9}, 1),
        ({"last": 0.1, "start": 0.15}, 0),
        ({"last": 0.1, "start": 0.2}, 1),
        # hidden noise rate: no static information; the same rate visible (FACTS): static
        ({"start": 0.82, "last": 0.10}, 1),
        ({"start": 0.82, "last": 0.10, "static": 0.08, "best": 0.07}, 0),
        # learning rate visible: the metric alone leaves .63, static alone .34
        ({"start": 0.91, "last": 0.63, "static": 0.34, "best": 0.33}, 0),
        # all three: static leaves .52, the curve still adds
        ({"start": 0.86, "last": 0.24, "static": 0.52, "best": 0.22}, 1),
        # a static factor in a task of noise does not make it predictable
        ({"start": 0.95, "last": 0.94, "static": 0.95, "best": 0.93}, 2),
        ({"var_r": 0.0, "start": 0.0, "last": 0.0}, 0),
        ({"start": NAN, "last": 0.2}, -1),
        ({"start": NAN, "last": 0.7}, 2),
        ({"var_r": 0.01, "start": 0.01, "last": 0.009, "tolerance": 0.1}, 0),
        ({"last": 0.3, "start": 0.5, "iota": 0.25}, 2),
    ],
)
def test_rule(case, expected):
    assert one(**case) == expected


def test_the_rule_ignores_the_metrics_scale():
    rng = np.random.default_rng(0)
    values = [rng.uniform(0.1, 1, 200) for _ in range(5)]
    plain = classify(Sample(*values), Thresholds())
    scaled = classify(Sample(*[v * 49.0 for v in values]), Thresholds())
    assert (plain == scaled).all()
    assert set(plain) == {0, 1, 2}


def test_probabilities_and_names():
    share = probabilities(np.array([0, 1, 1, 1, -1]))
    assert share == pytest.approx([0.25, 0.75, 0.0])
    assert name_regime(1, share, Thresholds()) == REGIMES[1]
    assert name_regime(0, share, Thresholds()) == "undecided"
    assert name_regime(-1, share, Thresholds()) == "undecided"
    assert np.isnan(probabilities(np.array([-1]))).all()


def test_bootstrap_is_deterministic():
    counts = resampled_counts(20, 5, 1)
    assert counts.shape == (5, 20)
    assert (counts.sum(axis=1) == 20).all()
    assert (counts == resampled_counts(20, 5, 1)).all()
    assert (counts != resampled_counts(20, 5, 2)).any()


def test_counted_risks_are_those_of_the_resampled_runs():
    rng = np.random.default_rng(0)
    metric, outcome = rng.normal(5, 1, (30, 4)), rng.normal(3, 1, 30)
    outcome = outcome + metric[:, -1]
    counts = resampled_counts(30, 6, 2)
    fast, spread = counted_risks(metric, outcome, counts), counted_variances(metric, counts)
    for b in range(6):
        rows = np.repeat(np.arange(30), counts[b].astype(int))
        assert fast[b] == pytest.approx(residual(metric[rows], outcome[rows], "last").risk, rel=1e-9)
        assert spread[b] == pytest.approx(metric[rows].var(axis=0, ddof=1), rel=1e-9)


def test_bad_thresholds_are_refused():
    for bad in ({"iota": 0.0}, {"q": 1.5}, {"tolerance": -1.0}):
        with pytest.raises(InputError, match="threshold"):
            Thresholds(**bad)


CASES = [
    name
    for name in INSTANCES
    if regime_of(name) and "last" in INSTANCES[name].holds and not name.startswith("synthetic")
]


def test_accuracy_at_a_hundred_runs():
    depths, right, total = [2**i for i in range(11)], 0, 0
    for i, name in enumerate(CASES):
        for j in range(2):
            runs, forks, draws, _ = simulate_task(name, {"process": name}, 100, depths, 1024, [i, j])
            variance = variance_table(runs, forks, draws, metric="value", proxies=["residual"])
            table = regimes_table(runs, forks, draws, variance, resamples=25)
            right += table["regime"].iloc[0] == regime_of(name)
            total += 1
    assert right / total >= 0.95


@pytest.mark.parametrize("name", ["synthetic_static", "synthetic_dynamic", "synthetic_noise"])
def test_canonical_tasks_by_either_proxy(name):
    spec = {"process": name, "forks": {"depths": [1, 8, 64, 256], "trunks": 40, "per_trunk": 4}}
    frames = simulate_task(name, spec, 128, [1, 2, 4, 8, 16, 32, 64, 128], 256, [1])
    runs, forks, draws, _ = frames
    variance = variance_table(runs, forks, draws, metric="value")
    envelope = envelope_table(variance, runs, forks, draws)
    table = regimes_table(runs, forks, draws, variance, envelope, resamples=100, seed=3)
    bayes = table[table["reading"] == "bayes"].set_index("proxy")
    assert bayes.loc["residual", "regime"] == regime_of(name)
    assert bayes.loc["fork", "regime"] == regime_of(name)
    columns = [f"p_{r}" for r in REGIMES]
    assert table[columns].sum(axis=1).to_numpy() == pytest.approx(1.0)
    assert (bayes["iota_low"] <= bayes["iota"]).all()
    assert (bayes["iota"] <= bayes["iota_high"]).all()
