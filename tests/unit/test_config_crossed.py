"""The key `crossed`: what may be crossed, by how many runs, and which stages a crossed task has."""

import copy
from pathlib import Path

import pytest
import yaml

from prehoc import config
from prehoc.config.loading import merge
from prehoc.errors import InputError
from prehoc.tasks.streams import CROSSED

RAW = yaml.safe_load((Path(__file__).parents[2] / "config.yaml").read_text())
NAME = "movie_polarity_sources"


def resolved(change=None, task=NAME, **top):
    made = merge(copy.deepcopy(RAW), top)
    made["tasks"][task] = merge(made["tasks"][task], change or {})
    return config.resolve(made)


def test_names_are_those_that_the_streams_know():
    schema = config.Config.model_json_schema()["$defs"]["Task"]["properties"]["crossed"]
    assert set(schema["items"]["enum"]) == set(CROSSED)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"runs": 2050}, "runs 2050: crossing 4 takes a multiple of 16, 80 or more"),
        ({"runs": 64}, "a multiple of 16, 80 or more"),
        ({"crossed": ["init"]}, "name two or more"),
        ({"crossed": ["init", "order", "init"]}, "has a repeat"),
        ({"crossed": ["init", "decoding"]}, "crossed"),
        ({"method": {"dropout": 0.0}}, "crossed: dropout never varies"),
        ({"outcome": {"target_sample": None}}, "crossed: target never varies"),
        ({"crossed": ["init", "label_noise"]}, "crossed: label_noise never varies"),
        ({"crossed": ["init", "subset"]}, "crossed: subset never varies"),
        ({"crossed": ["init", "population"]}, "crossed: population never varies"),
        ({"forks": {"depths": [1], "trunks": 20, "per_trunk": 3}}, "set forks: null"),
    ],
)
def test_a_fault_is_one_line_that_names_the_remedy(change, line):
    with pytest.raises(InputError) as caught:
        resolved(change)
    assert f"tasks.{NAME}" in str(caught.value)
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


def test_synthetic_tasks_are_not_crossed():
    with pytest.raises(InputError, match="leave it"):
        resolved({"crossed": ["init", "order"]}, task="synthetic_noise")


@pytest.mark.parametrize(
    "known", [{"a": 1.0}, {"a:a": 1.0, "b": 1.0}, {"a": 0.0, "b": 0.0}, {"a": -1.0, "b": 1}]
)
def test_a_known_case_that_is_none_is_refused(known):
    made = copy.deepcopy(RAW)
    made["sources"]["known"] = known
    with pytest.raises(InputError, match=r"sources\.known"):
        config.resolve(made)


@pytest.mark.parametrize(("seeds", "runs"), [(32, 80), (80, 80), (81, 96), (1000, 1008)])
def test_the_seeds_override_makes_whole_blocks(seeds, runs):
    assert resolved(seeds=seeds).tasks[NAME].runs == runs


def test_rest_is_there_where_something_drawn_is_not_crossed():
    def stage(change):
        return config.stage_config(resolved(change), NAME, "decompose")

    assert stage({})["rest"] is False
    assert stage({"crossed": ["init", "order", "dropout"]})["rest"] is True
    assert stage({"population": {"train_subset": {"n": 64, "visible": False}}})["rest"] is True


def test_stages_depend_on_what_is_crossed_and_on_nothing_more():
    def digests(change, stages=("train", "decompose")):
        return [config.digest(config.stage_config(resolved(change), NAME, s)) for s in stages]

    before = digests({})
    assert digests({"runs": 1024}) == before
    assert digests({"optimiser": {"lr": 1.0}})[1] == before[1]
    other = digests({"crossed": ["order", "init", "dropout", "target"]})
    assert other[0] != before[0]
    assert other[1] != before[1]


def test_crossed_tasks_are_run_but_not_analysed():
    whole = resolved()
    assert NAME in whole.enabled()
    assert NAME not in whole.analysed()
    assert NAME not in str(config.figures_config(whole))
