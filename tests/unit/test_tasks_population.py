"""Streams, what a run draws, and the laws of its outcome's noise."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from prehoc.tasks.population import (
    draw_run,
    draws_frame,
    flip_labels,
    fork_domain,
    target_outcome,
)
from prehoc.tasks.streams import STREAMS, generator, name_words

LABELS = np.arange(200) % 5
PINNED_WORDS = [1084617824, 151772798]
PINNED = {"init": 2064033647, "order": 1033074990, "dropout": 1643173705}
PINNED_FORK = 1579581480


def drawn(config, seed, labels=LABELS, domains=("a", "b", "c")):
    return draw_run(config, seed, labels, len(LABELS), 5, list(domains))


# ------------------------------------------------------------------------------------- streams
def test_a_streams_values_are_fixed_for_ever():
    """A change here changes every result: raise the version and say so in the changelog."""
    assert name_words("movie_polarity") == PINNED_WORDS
    got = [int(generator(20260616, "movie_polarity", 3, s).integers(1 << 31)) for s in PINNED]
    assert got == list(PINNED.values())
    fork = generator(20260616, "movie_polarity", 3, "order", (8, 1)).integers(1 << 31)
    assert int(fork) == PINNED_FORK


def test_stream_numbers_are_unique():
    assert len(set(STREAMS.values())) == len(STREAMS)


def test_every_name_gives_another_stream():
    keys = itertools.product(
        (0, 1, 2**40),
        ("a", "b", "a/b"),
        (0, 1, 1499),
        STREAMS,
        (None, (0, 0), (0, 1), (1, 0), (1, 1)),
    )
    firsts = [tuple(generator(*key).integers(1 << 62, size=2)) for key in keys]
    assert len(set(firsts)) == len(firsts) == 3 * 3 * 3 * len(STREAMS) * 5


def test_neighbouring_streams_are_not_correlated():
    """1,000 normals of each of 40 seeds and of each stream: largest |z| of a pair below 4.5."""
    rows = [generator(1, "t", s, "init").standard_normal(1000) for s in range(40)]
    rows += [generator(1, "t", 0, name).standard_normal(1000) for name in STREAMS if name != "init"]
    scores = np.corrcoef(rows) * np.sqrt(1000)
    np.fill_diagonal(scores, 0)
    assert np.abs(scores).max() < 4.5


# ---------------------------------------------------------------------------------- population
def test_seeds_alone_draw_nothing(stage):
    draw = drawn(stage(), 3)
    assert (draw.lr, draw.batch_size, draw.target_domain, draw.values) == (1e-2, 8, None, {})
    np.testing.assert_array_equal(draw.pool, np.arange(200))
    assert draw.labels is LABELS


def test_laws_of_the_factors(stage, factor):
    config = stage(
        population={
            "learning_rate": factor(log_uniform=(1e-4, 1e-2)),
            "label_noise": factor(uniform=(0.1, 0.3)),
            "batch_size": factor(choice=[4, 8]),
            "target_domain": factor(choice=["c", "a"]),
        }
    )
    draws = [drawn(config, s) for s in range(2000)]
    logs = np.log10([d.lr for d in draws])
    assert -4 <= logs.min() < -3.99 < -2.01 < logs.max() <= -2
    assert logs.mean() == pytest.approx(-3, abs=5 * 2 / np.sqrt(12 * 2000))
    rates = np.array([d.values["label_noise"] for d in draws])
    assert 0.1 <= rates.min() < rates.max() <= 0.3
    assert np.mean([d.batch_size == 4 for d in draws]) == pytest.approx(0.5, abs=0.056)
    assert {d.target_domain for d in draws} == {0, 2}  # places in the settings' list of domains
    columns = [[d.values[k] for d in draws] for k in draws[0].values]
    scores = np.corrcoef(columns) * np.sqrt(2000)
    assert np.abs(scores[~np.eye(4, dtype=bool)]).max() < 4.5  # factors are independent


def test_one_factor_leaves_the_others_draws_alone(stage, factor):
    rate = {"learning_rate": factor(log_uniform=(1e-4, 1e-2))}
    more = rate | {
        "label_noise": factor(uniform=(0.2, 0.4)),
        "train_subset": factor(n=50),
        "batch_size": factor(choice=[2, 4]),
    }
    for seed in range(5):
        few, many = drawn(stage(population=rate), seed), drawn(stage(population=more), seed)
        assert few.lr == many.lr
        subset = drawn(stage(population={"train_subset": factor(n=50)}), seed)
        np.testing.assert_array_equal(subset.pool, many.pool)
        assert not np.array_equal(few.labels, many.labels)


def test_a_drawn_noise_rate_flips_the_labels_that_the_same_fixed_rate_would(stage, factor):
    free = drawn(stage(population={"label_noise": factor(choice=[0.3])}), 4)
    fixed = drawn(stage(data__label_noise=0.3), 4)
    np.testing.assert_array_equal(free.labels, fixed.labels)


def test_train_subset_sizes(stage, factor):
    pools = [drawn(stage(population={"train_subset": factor(n=16)}), s).pool for s in range(40)]
    assert all(len(p) == len(set(p.tolist())) == 16 for p in pools)
    assert len({tuple(p) for p in pools}) == 40
    hits = np.bincount(np.concatenate(pools), minlength=200)
    assert hits.max() <= 12  # 3.2 expected


def test_draws_frame_names_factors_and_visibility(stage, factor):
    config = stage(
        population={
            "learning_rate": factor(visible=True, log_uniform=(1e-4, 1e-2)),
            "train_subset": factor(n=16),
        }
    )
    frame = draws_frame(config, [drawn(config, s) for s in range(3)])
    assert frame["seed"].tolist() == [0, 1, 2]
    assert frame["visible"].all()
    assert set(frame["factor"]) == {"learning_rate"}
    assert draws_frame(stage(), [drawn(stage(), 0)]).empty


@pytest.mark.parametrize("classes", [2, 5])
def test_flip_labels_rate_and_evenness(classes):
    labels = np.arange(40_000) % classes
    flipped = flip_labels(labels, 0.3, classes, np.random.default_rng(0))
    assert np.mean(flipped != labels) == pytest.approx(0.3, abs=4 * np.sqrt(0.21 / 40_000))
    shift = (flipped - labels)[flipped != labels] % classes
    counts = np.bincount(shift, minlength=classes)[1:]
    expected = counts.sum() / (classes - 1)
    assert ((counts - expected) ** 2 / expected).sum() < 20
    assert flipped.min() >= 0
    assert flipped.max() < classes


# ------------------------------------------------------------------------------------- outcome
def outcomes(config, correct, runs=4000, classes=2, fork=None):
    loss = np.linspace(0, 1, len(correct))
    return np.array(
        [
            target_outcome(config, s, correct, loss, None, None, classes, fork)["target"]["accuracy"]
            for s in range(runs)
        ]
    )


def test_without_noise_the_outcome_is_the_pools(stage):
    correct, loss = np.array([1.0, 0, 1, 1]), np.array([1.0, 2, 3, 4])
    out = target_outcome(stage(), 0, correct, loss, None, None, 2)
    assert out["target"] == {"accuracy": 0.75, "loss": 2.5, "accuracy_pool": 0.75, "loss_pool": 2.5}


@pytest.mark.parametrize("fork", [None, (8, 1)])
@pytest.mark.parametrize("n", [None, 2, 51])
def test_the_halves_are_disjoint_and_make_up_the_outcome(stage, n, fork):
    config = stage(outcome__target_sample=n, outcome__target_label_noise=0.2)
    rng = np.random.default_rng(0)
    correct, loss = (rng.random(101) < 0.7).astype(float), rng.random(101)
    out = target_outcome(config, 3, correct, loss, None, None, 3, fork)
    if fork:
        assert list(out) == ["target"]
        return
    size = n or 101
    first = (size + 1) // 2
    for name in ("accuracy", "loss"):
        joined = (first * out["target_a"][name] + (size - first) * out["target_b"][name]) / size
        assert joined == pytest.approx(out["target"][name], abs=1e-12)
    if n is None:
        assert out["target_a"]["loss"] == pytest.approx(loss[0::2].mean())
        assert out["target_b"]["loss"] == pytest.approx(loss[1::2].mean())


def test_one_example_has_no_halves(stage):
    config = stage(outcome__target_sample=1)
    assert list(target_outcome(config, 0, np.ones(9), np.ones(9), None, None, 2)) == ["target"]


def test_a_domain_is_scored_on_its_own_rows(stage):
    correct, loss = np.array([1.0, 0, 1, 1]), np.array([1.0, 2, 3, 4])
    out = target_outcome(stage(), 0, correct, loss, np.array([0, 1, 0, 1]), 1, 2)["target"]
    assert out == {"accuracy": 0.5, "loss": 3.0, "accuracy_pool": 0.5, "loss_pool": 3.0}


def test_target_sampling_is_binomial(stage):
    """Mean within 4 standard errors; variance within 10 %, 4.5 standard errors at 4,000 runs."""
    correct = (np.arange(1000) < 700).astype(float)
    got = outcomes(stage(outcome__target_sample=100), correct)
    assert got.mean() == pytest.approx(0.7, abs=4 * np.sqrt(0.21 / 100 / 4000))
    assert got.var() == pytest.approx(0.21 / 100, rel=0.10)


@pytest.mark.parametrize("classes", [2, 5])
def test_target_label_noise_law(stage, classes):
    """E = p (1 - rho) + (1 - p) rho / (C - 1); with C = 2 that is a flip of right and wrong."""
    share, rate, n = 0.8, 0.25, 100
    config = stage(outcome__target_sample=n, outcome__target_label_noise=rate)
    got = outcomes(config, (np.arange(1000) < 1000 * share).astype(float), classes=classes)
    mean = share * (1 - rate) + (1 - share) * rate / (classes - 1)
    assert got.mean() == pytest.approx(mean, abs=4 * np.sqrt(mean * (1 - mean) / n / 4000))
    assert got.var() == pytest.approx(mean * (1 - mean) / n, rel=0.10)


def test_noise_does_not_move_the_sample_and_forks_draw_their_own(stage):
    correct = (np.arange(1000) % 2).astype(float)
    plain = stage(outcome__target_sample=50)
    noisy = stage(outcome__target_sample=50, outcome__target_label_noise=1e-12)
    np.testing.assert_array_equal(outcomes(plain, correct, 20), outcomes(noisy, correct, 20))
    forks = [outcomes(plain, correct, 200, fork=(8, k)) for k in range(2)]
    trunk = outcomes(plain, correct, 200)
    for a, b in [(forks[0], forks[1]), (trunk, forks[0])]:
        assert abs(np.corrcoef(a, b)[0, 1]) * np.sqrt(200) < 4


def test_a_forks_domain_is_the_trunks_where_visible_and_drawn_anew_where_hidden(stage, factor):
    domains = ["a", "b", "c"]
    for visible in (True, False):
        law = {"target_domain": factor(visible=visible, choice=domains)}
        config = stage(population=law)
        draws = [drawn(config, s) for s in range(30)]
        got = [[fork_domain(config, d, (4, k), domains) for k in range(20)] for d in draws]
        same = [all(g == d.target_domain for g in row) for row, d in zip(got, draws, strict=True)]
        assert all(same) if visible else not any(same)
    assert np.bincount(np.ravel(got), minlength=3).min() > 150  # 200 expected of each
    assert fork_domain(stage(), drawn(stage(), 0), (4, 0), []) is None
