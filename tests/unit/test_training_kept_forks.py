"""Forks that were made once are read, not trained again; failed ones and broken files too."""

import math

import pytest

from prehoc.training import kept_forks, problems
from prehoc.training.engine import Engine

DEPTH = 4


def quiet(line):
    """Progress is for people."""


@pytest.fixture
def made(stage, one_thread):
    """A stage config with forks and its setting."""
    config = stage() | {"forks": {"depths": [DEPTH], "trunks": 5, "per_trunk": 2}}
    return config, problems.build(config)


def asked(config, setting):
    engine = Engine(config, setting, 10, quiet)
    return kept_forks.kept_or_forked(config, setting, DEPTH, quiet, engine), engine.record()


def test_the_second_time_they_are_read(made, monkeypatch):
    config, setting = made
    first = asked(config, setting)
    monkeypatch.setattr(kept_forks, "fork", None)
    assert asked(config, setting) == first
    other = config | {"forks": {**config["forks"], "per_trunk": 3}}
    with pytest.raises(TypeError):  # other forks are not those: they would be made
        asked(other, setting)


def test_a_broken_file_is_made_again(made):
    config, setting = made
    first = asked(config, setting)
    path = kept_forks.path_of(config, setting, DEPTH)
    path.write_text(path.read_text()[:40])
    assert asked(config, setting) == first
    assert asked(config, setting) == first


def test_a_failed_fork_keeps_its_nan(made, monkeypatch):
    config, setting = made
    failed = [(0, DEPTH, 0, "accuracy", math.nan), (0, DEPTH, 1, "accuracy", 0.1 + 0.2)]
    monkeypatch.setattr(kept_forks, "fork", lambda *args: failed)
    asked(config, setting)
    monkeypatch.setattr(kept_forks, "fork", None)
    assert repr(asked(config, setting)[0]) == repr(failed)
