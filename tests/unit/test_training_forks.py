"""Forks: continuations of a trunk's state with fresh randomness."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest

from prehoc.training import forks, loop, plan, problems

T = 32


def quiet(line):
    """Progress is for people."""


@pytest.fixture
def forked(family):
    """Forks by (seed, metric), and the trunks' outcomes, of a config."""

    def make(config, depth, trunks=6, per_trunk=3, train_first=False):
        config = config | {"forks": {"depths": [depth], "trunks": trunks, "per_trunk": per_trunk}}
        setting = problems.build(config)
        outcomes = {}
        if train_first:
            records, _ = loop.train(config, setting, range(trunks), quiet)
            outcomes = {(s, m): v for s, d, split, m, v, _ in records if (d, split) == (T, "target")}
        found = defaultdict(list)
        for seed, at, k, metric, value in forks.fork(config, setting, depth, quiet):
            assert at == depth
            assert k == len(found[seed, metric])
            found[seed, metric].append(value)
        return dict(found), outcomes

    return make


def test_forks_of_one_trunk_differ_in_their_order_and_all_are_there(family, forked):
    found, _ = forked(family("head"), 4)
    assert set(found) == {(s, m) for s in range(6) for m in ("accuracy", "loss", "f1", "matthews")}
    for seed in range(6):
        assert len(set(found[seed, "loss"])) == 3


def test_the_trunks_checkpoints_do_not_matter(family, forked):
    """With them or without, and whether or not the trunks had other company: the same bits."""
    config = family("top", method__dropout=0.1, outcome__target_sample=20)
    fresh, _ = forked(config, 4)
    after, _ = forked(config | {"store": config["store"] + "-b"}, 4, train_first=True)
    assert repr(fresh) == repr(after)
    more, _ = forked(config | {"store": config["store"] + "-c"}, 4, trunks=8)
    assert all(repr(more[key]) == repr(value) for key, value in fresh.items())


def test_a_forks_number_does_not_depend_on_how_many_there_are(family, forked):
    few, _ = forked(family("head"), 4, per_trunk=2)
    many, _ = forked(family("head"), 4, per_trunk=5)
    assert all(many[key][:2] == value for key, value in few.items())


def test_from_the_horizon_only_the_target_sample_differs(family, forked):
    plain, trunk = forked(family("top"), T, train_first=True)
    for key, values in plain.items():
        assert values == [trunk[key]] * 3
    sampled, _ = forked(family("top", outcome__target_sample=30), T, per_trunk=40)
    spread = [np.var(sampled[s, "accuracy"], ddof=1) for s in range(6)]
    for seed in range(6):
        share = trunk[seed, "accuracy"]
        mean = np.mean(sampled[seed, "accuracy"])
        assert mean == pytest.approx(share, abs=4 * np.sqrt(share * (1 - share) / 30 / 40))
    binomial = np.mean([trunk[s, "accuracy"] * (1 - trunk[s, "accuracy"]) / 30 for s in range(6)])
    assert np.mean(spread) == pytest.approx(binomial, rel=0.4)  # 6 x 39 degrees of freedom: se .09


def test_the_mean_of_forks_from_the_start_is_the_trunks_law(family, forked):
    """Trunk and forks continue one state with exchangeable streams, so R minus the forks' mean has
    mean zero over trunks; here 24 trunks from depth 1, within four standard errors."""
    config = family("head", optimiser__lr=0.05)
    found, trunk = forked(config, 1, trunks=24, per_trunk=4, train_first=True)
    gaps = [trunk[s, "loss"] - np.mean(found[s, "loss"]) for s in range(24)]
    assert abs(np.mean(gaps)) < 4 * np.std(gaps, ddof=1) / np.sqrt(24)
    within = np.mean([np.var(found[s, "loss"], ddof=1) for s in range(24)])
    assert np.var(gaps, ddof=1) == pytest.approx(within * 1.25, rel=0.8)  # Var(R) + Var(mean of 4)
    assert within > 0


def test_forks_narrow_with_depth(family, forked):
    config = family("head", optimiser__lr=0.05)
    spread = []
    for depth in (1, 16, T):
        found, _ = forked(config, depth, trunks=12, per_trunk=4)
        spread.append(np.mean([np.var(found[s, "loss"], ddof=1) for s in range(12)]))
    assert spread[0] > spread[1] > spread[2] == 0


@pytest.mark.parametrize("visible", [True, False])
def test_a_visible_domain_is_kept_and_a_hidden_one_drawn_anew(family, forked, factor, visible):
    law = {"target_domain": factor(choice=["a", "b", "c"], visible=visible)}
    config = family("head", data__domain="domain", data__target=15, population=law)
    found, trunk = forked(config, T, per_trunk=12, train_first=True)
    for seed in range(6):
        losses = set(found[seed, "loss"])
        if visible:
            assert losses == {trunk[seed, "loss"]}
        else:
            assert len(losses) == 3
            assert trunk[seed, "loss"] in losses


def test_a_fork_keeps_its_trunks_labels_rate_and_subset(family, monkeypatch, factor):
    law = {
        "label_noise": factor(choice=[0.1, 0.4]),
        "learning_rate": factor(log_uniform=(1e-3, 1e-1)),
        "train_subset": factor(n=20),
    }
    config = family("head", population=law)
    config["forks"] = {"depths": [4], "trunks": 3, "per_trunk": 2}
    seen = []
    real = loop.advance

    def spy(config, setting, bank, group, start, end):
        if group.origins is not None:
            seen.extend(zip(group.draws, group.origins, strict=True))
        real(config, setting, bank, group, start, end)

    monkeypatch.setattr(loop, "advance", spy)
    setting = problems.build(config)
    forks.fork(config, setting, 4, quiet)
    trunks = plan.drawn(config, setting, range(3))
    pairs = {(d.seed, o): d for d, o in seen}
    assert set(pairs) == {(s, (4, k)) for s in range(3) for k in range(2)}
    for (seed, _), draw in pairs.items():
        assert draw.lr == trunks[seed].lr
        np.testing.assert_array_equal(draw.labels, trunks[seed].labels)
        np.testing.assert_array_equal(draw.pool, trunks[seed].pool)


def test_failed_trunks_are_not_forked_and_failing_forks_are_nan(family, forked, factor):
    law = {"learning_rate": factor(choice=[1e-2, 1e30])}
    config = family("top", population=law)
    draws = plan.drawn(config, problems.build(config), range(8))
    lost = {d.seed for d in draws if d.lr > 1}
    assert 0 < len(lost) < 8
    late, _ = forked(config, 16, trunks=8)
    assert {s for s, _ in late} == set(range(8)) - lost
    assert np.isfinite(list(late.values())).all()
    steep = family("top", optimiser__lr=1e30, optimiser__warmup=0)
    early, _ = forked(steep | {"depths": [1]}, 1, trunks=2)
    assert np.isnan(list(early.values())).all()
