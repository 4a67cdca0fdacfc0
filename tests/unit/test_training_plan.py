"""What runs are trained on: batches, and which stream moves what."""

from __future__ import annotations

import numpy as np
import pytest
from trained import same, train, value

from prehoc.training import plan, problems
from prehoc.training.bank import Bank


def test_batches_are_epochs_of_the_pool_and_do_not_depend_on_where_one_resumes(stage, factor):
    config = stage(population={"train_subset": factor(n=20)})
    draw = plan.drawn(config, problems.build(config), [5])[0]
    rows = plan.batches(config, draw, None, 0, 25)
    assert rows.shape == (25, 8)
    for epoch in rows.ravel().reshape(10, 20):
        assert sorted(epoch) == draw.pool.tolist()
    pieces = [plan.batches(config, draw, None, a, b) for a, b in [(0, 1), (1, 4), (4, 25)]]
    np.testing.assert_array_equal(np.concatenate(pieces), rows)
    fork = plan.batches(config, draw, (4, 0), 4, 25)
    parts = [plan.batches(config, draw, (4, 0), a, b) for a, b in [(4, 9), (9, 25)]]
    np.testing.assert_array_equal(np.concatenate(parts), fork)
    assert not np.array_equal(fork, rows[4:])
    assert set(fork.ravel()) == set(draw.pool)  # a fork keeps its trunk's data


def test_a_batch_wider_than_the_pool_repeats_it(stage, factor):
    config = stage(population={"train_subset": factor(n=3)})
    draw = plan.drawn(config, problems.build(config), [0])[0]
    batch = plan.batches(config, draw, None, 0, 3)
    assert np.bincount(batch.ravel(), minlength=100)[draw.pool].tolist() == [8, 8, 8]


# ------------------------------------------------------------- each stream names what it changes
@pytest.mark.parametrize("stream", ["init", "order", "dropout", "label_noise", "subset"])
def test_a_stream_changes_what_it_names_and_nothing_else(family, factor, monkeypatch, stream):
    """One stream is given other numbers; all that a run draws is looked at."""
    config = family(
        "head",
        method__dropout=0.2,
        data__label_noise=0.3,
        population={"train_subset": factor(n=40), "learning_rate": factor(uniform=(1e-3, 1e-2))},
    )
    setting = problems.build(config)

    def look():
        group = plan.Group(plan.drawn(config, setting, range(4)), 4)
        bank = Bank(setting.problem.parameters, 4, config["optimiser"])
        for i, draw in enumerate(group.draws):
            bank.initialise(i, config["seed"], config["task"], draw.seed)
        return {
            "init": bank.values.numpy().copy(),
            "dropout": plan.dropout_keys(config, group).numpy(),
            "label_noise": np.stack([d.labels for d in group.draws]),
            "subset": np.stack([d.pool for d in group.draws]),
            "order": np.stack(  # as places within the pool, whatever the pool
                [np.searchsorted(d.pool, plan.batches(config, d, None, 0, 9)) for d in group.draws]
            ),
            "population": np.array([d.lr for d in group.draws]),
        }

    before = look()
    for module in ("training.plan", "training.bank", "tasks.population"):
        path = f"prehoc.{module}.generator"
        real = __import__(f"prehoc.{module}", fromlist=["generator"]).generator

        def moved(root, task, seed, name, *more, real=real, **options):
            return real(root + (name == stream), task, seed, name, *more, **options)

        monkeypatch.setattr(path, moved)
    after = look()
    changed = [name for name in before if not np.array_equal(before[name], after[name])]
    assert changed == [stream]


def test_population_factors_leave_each_others_numbers_alone(family, factor):
    """A visible factor that draws one value only is no factor: the run is the plain one."""
    plain = train(family("head"), range(4), "plain")
    law = {
        "learning_rate": factor(choice=[1e-2], visible=True),
        "batch_size": factor(choice=[8]),
        "label_noise": factor(choice=[0.0]),
        "train_subset": factor(n=100),
    }
    drawn = train(family("head", population=law), range(4), "drawn")
    assert all(same(drawn[s], plain[s]) for s in plain)


def test_dropout_off_and_on_share_their_start_and_order(family):
    dry = train(family("head", method__dropout=0.0), range(4), "dry")
    wet = train(family("head", method__dropout=0.5), range(4), "wet")
    for seed in range(4):
        first = abs(value(dry[seed], 1, "loss") - value(wet[seed], 1, "loss"))
        last = abs(value(dry[seed], 32, "loss") - value(wet[seed], 32, "loss"))
        assert 0 < first < 0.1
        assert last > 0
