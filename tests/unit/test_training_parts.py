"""A shard trained in parts, job by job, ends in the bits of one job, and no depth is trained twice."""

from __future__ import annotations

import pytest
from trained import quiet, same, train

from prehoc.errors import InputError
from prehoc.training import loop, parts, problems


def spied(monkeypatch):
    done = []
    real = loop.advance

    def spy(config, setting, bank, group, start, end):
        done.extend([(group.seeds[0], start, end)] if end > start else [])
        real(config, setting, bank, group, start, end)

    monkeypatch.setattr(loop, "advance", spy)
    return done


@pytest.mark.parametrize("name", ["head", "modular"])
def test_parts_and_other_shards_end_in_the_same_bits(family, name, monkeypatch):
    """Depths 1, 4, 16, 32: until 4, until 16, the rest; then cut into other shards, and again in parts."""
    config = family(name, **({"method__dropout": 0.1} if name == "head" else {}))
    whole = train(config, range(8), "whole")
    here = config | {"store": f"{config['store']}-parts"}
    advances = spied(monkeypatch)
    width = config["bank"]
    for until, stretches in ((4, [(0, 1), (1, 4)]), (16, [(4, 16)])):
        advances.clear()
        said = parts.train_until(here, problems.build(here), range(8), until, quiet)
        assert advances == [(a, *s) for a in range(0, 8, width) for s in stretches]
        assert (said["first"], said["end"], said["until"]) == (0, 8, until)
    advances.clear()
    cut = train(here, range(8))
    assert advances == [(a, 16, 32) for a in range(0, 8, width)]
    assert all(same(cut[s], whole[s]) for s in whole)
    advances.clear()
    again = train(here, range(width)) | train(here, range(width, 8))
    parts.train_until(here, problems.build(here), range(4), 16, quiet)
    assert advances == []
    assert all(same(again[s], whole[s]) for s in whole)


def test_a_depth_that_the_task_has_not_is_named(family):
    config = family("head")
    with pytest.raises(InputError, match=r"--until 5: the task's depths are 1, 4, 16, 32"):
        parts.train_until(config, problems.build(config), range(2), 5, quiet)
