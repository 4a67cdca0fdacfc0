"""Metrics of predictions against scikit-learn's and scipy's, their conventions, and their scales."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as theirs

from prehoc.config.metrics import METRICS, STABILISED, measured
from prehoc.tables.scales import SCALED, rows_of
from prehoc.tasks import metrics
from prehoc.tasks.metrics import Truth
from prehoc.tasks.population import flipped_as, target_outcome

sides = st.integers(2, 5).flatmap(
    lambda c: st.tuples(
        st.just(c),
        st.lists(st.tuples(st.integers(0, c - 1), st.integers(0, c - 1)), min_size=2, max_size=40),
    )
)


@given(sides)
@settings(deadline=None, max_examples=80, derandomize=True)
def test_f1_and_matthews_are_scikit_learns(made):
    classes, pairs = made
    ours, truth = np.array(pairs).T
    assert metrics.matthews(ours, truth, classes) == pytest.approx(theirs.matthews_corrcoef(truth, ours))
    for positive in range(classes):
        wanted = theirs.f1_score(truth == positive, ours == positive, zero_division=0)
        assert metrics.f1(ours, truth, positive) == pytest.approx(wanted)


def test_correlations_are_scipys_with_ties_and_for_many_runs_at_once():
    rng = np.random.default_rng(0)
    truth = np.round(rng.uniform(0, 5, 60), 1)
    ours = np.round(truth + rng.normal(0, [[0.2], [2.0], [9.0]], (3, 60)))
    made = Truth(truth, ("pearson", "spearman", "pearson_spearman"), 0).measure(ours)
    r = [stats.pearsonr(row, truth).statistic for row in ours]
    rho = [stats.spearmanr(row, truth).statistic for row in ours]
    np.testing.assert_allclose(made["pearson"], r, atol=1e-12)
    np.testing.assert_allclose(made["spearman"], rho, atol=1e-12)
    np.testing.assert_allclose(made["pearson_spearman"], np.add(r, rho) / 2, atol=1e-12)


def test_what_is_not_defined_is_zero():
    flat, truth = np.full(7, 0.1), np.arange(7.0)
    for name in ("pearson", "spearman", "pearson_spearman"):
        assert Truth(truth, (name,), 0).measure(flat) == {name: 0.0}
        assert Truth(flat, (name,), 0).measure(truth) == {name: 0.0}
    assert metrics.matthews(np.zeros(4), np.array([0, 1, 0, 1]), 2) == 0
    assert metrics.f1(np.zeros(4), np.zeros(4)) == 0


def test_every_metric_has_one_stabilised_name_or_none():
    assert set(STABILISED.values()) == set(SCALED)
    assert {raw for raw, _ in SCALED.values()} == set(STABILISED) == set(METRICS) - {"loss"}
    assert all(SCALED[name][0] == raw for raw, name in STABILISED.items())
    assert measured("text_classification", "number") == ("pearson", "spearman", "pearson_spearman", "loss")
    assert "f1" not in measured("text_classification", "class", 3)


@pytest.mark.parametrize("name", sorted(SCALED))
def test_a_scale_rises_and_is_finite_from_end_to_end(name):
    raw, scale = SCALED[name]
    low = 0.0 if raw in ("accuracy", "exact_match", "pass_at_1", "f1") else -1.0
    values = scale(np.linspace(low, 1, 101))
    assert np.isfinite(values).all()
    assert (np.diff(values) > 0).all()
    assert np.isnan(scale(np.array([np.nan])))


def draw_accuracy(rng, level, n):
    return rng.binomial(n, level, 4000) / n


def draw_f1(rng, level, n):
    """F1 of which TP/(TP + FP + FN) is a share of n cases."""
    share = rng.binomial(n, level, 4000) / n
    return 2 * share / (1 + share)


def draw_matthews(rng, level, n):
    truth = np.tile([0, 1], n // 2)
    ours = np.where(rng.random((4000, n)) < level, truth, 1 - truth)
    return metrics.matthews(ours, truth, 2)


def draw_pearson(rng, level, n):
    x, e = rng.standard_normal((2, 4000, n))
    return metrics.pearson(level * x + np.sqrt(1 - level**2) * e, x)


@pytest.mark.parametrize(
    ("name", "draw", "levels", "known"),
    [
        ("arcsine accuracy", draw_accuracy, (0.5, 0.7, 0.9), 1 / 800),
        ("arcsine f1", draw_f1, (0.5, 0.7, 0.9), 1 / 800),
        ("arcsine matthews", draw_matthews, (0.5, 0.7, 0.9), 1 / 200),
        ("fisher-z pearson", draw_pearson, (0.1, 0.5, 0.9), 1 / 197),
    ],
)
def test_the_sampling_variance_is_the_same_at_every_level(name, draw, levels, known):
    """200 examples, 4,000 draws: within 12 % of the known value (5 sd), where raw variances differ by 2.7."""
    rng = np.random.default_rng(1)
    raw = {level: draw(rng, level, 200) for level in levels}
    for values in raw.values():
        assert SCALED[name][1](values).var() == pytest.approx(known, rel=0.12)
    assert raw[levels[0]].var() > 2 * raw[levels[-1]].var()


def test_rows_of_scales_raw_rows_and_leaves_others():
    frame = pd.DataFrame({"metric": ["accuracy", "loss", "accuracy"], "value": [0.25, 3.0, np.nan]})
    made = rows_of(frame, "arcsine accuracy")
    assert made["metric"].tolist() == ["arcsine accuracy"] * 2
    np.testing.assert_allclose(made["value"], [np.pi / 6, np.nan])
    assert rows_of(frame, "loss")["value"].tolist() == [3.0]
    assert frame["value"].iloc[0] == 0.25


# ------------------------------------------------------------------------------------- R's noise
def outcome_of(config, seed, predicted, labels, classes, fork=None):
    truth = Truth(labels, ("f1", "matthews"), classes)
    right = (predicted == labels).astype(float)
    return target_outcome(
        config, seed, right, right, None, None, classes, fork, predicted=predicted, truth=truth
    )


def test_metrics_are_read_on_the_drawn_rows(stage):
    rng = np.random.default_rng(2)
    labels, predicted = rng.integers(2, size=(2, 50))
    out = outcome_of(stage(outcome__target_sample=30), 3, predicted, labels, 2)
    from prehoc.tasks.streams import generator

    rows = generator(1, "tiny", 3, "target_sample").integers(50, size=30)
    for split, part in (("target", rows), ("target_a", rows[::2]), ("target_b", rows[1::2])):
        assert out[split]["accuracy"] == pytest.approx((predicted == labels)[part].mean())
        assert out[split]["f1"] == pytest.approx(theirs.f1_score(labels[part], predicted[part]))
        wanted = theirs.matthews_corrcoef(labels[part], predicted[part])
        assert out[split]["matthews"] == pytest.approx(wanted)
    assert out["target"]["matthews_pool"] == pytest.approx(theirs.matthews_corrcoef(labels, predicted))
    assert set(outcome_of(stage(), 3, predicted, labels, 2, fork=(4, 1))) == {"target"}


def test_metrics_beside_it_leave_the_accuracy_as_it_was(stage):
    config = stage(outcome__target_sample=40, outcome__target_label_noise=0.3)
    rng = np.random.default_rng(2)
    labels, predicted = rng.integers(3, size=(2, 60))
    right = (predicted == labels).astype(float)
    for seed in range(20):
        plain = target_outcome(config, seed, right, right, None, None, 3)
        more = outcome_of(config, seed, predicted, labels, 3)
        for split, values in plain.items():
            assert values.items() <= more[split].items()


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_flipped_labels_are_even_and_agree_with_the_accuracy(classes):
    rng = np.random.default_rng(3)
    labels, predicted = rng.integers(classes, size=(2, 60_000))
    hit, lucky = rng.random(60_000) < 0.3, rng.random(60_000) < 1 / (classes - 1)
    made = flipped_as(labels, predicted, hit, lucky, classes, rng)
    right = predicted == labels
    np.testing.assert_array_equal(predicted == made, np.where(hit, ~right & lucky, right))
    np.testing.assert_array_equal(made != labels, hit)
    for wrong in (False, True):  # each other class as often, whatever was predicted
        shift = ((made - labels) % classes)[hit & (right != wrong)]
        counts = np.bincount(shift, minlength=classes)[1:]
        expected = counts.sum() / (classes - 1)
        assert ((counts - expected) ** 2 / expected).sum() < 20


def test_matthews_under_label_noise_shrinks_by_one_minus_twice_the_rate(stage):
    """Two balanced classes: MCC on flipped labels is (1 - 2 rho) that on clean ones, in the mean."""
    config = stage(outcome__target_label_noise=0.2)
    rng = np.random.default_rng(4)
    labels = np.tile([0, 1], 500)
    predicted = np.where(rng.random(1000) < 0.85, labels, 1 - labels)
    clean = metrics.matthews(predicted, labels, 2)
    noisy = [outcome_of(config, s, predicted, labels, 2)["target"]["matthews"] for s in range(400)]
    assert np.mean(noisy) == pytest.approx(0.6 * clean, abs=5 * np.std(noisy) / 20)
