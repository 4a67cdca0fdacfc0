"""Synthetic tasks as tables: schema, identity of runs, agreement with the exact risk."""

import numpy as np
import pandas as pd
import pytest

from prehoc import tables
from prehoc.errors import InputError
from prehoc.synthetic.frames import simulate_task

FORKS = {"depths": [1, 8, 64], "trunks": 6, "per_trunk": 3}
SPEC = {"process": "synthetic_static", "forks": FORKS}


def make(n=12, depths=(1, 2, 8), spec=SPEC, **kw):
    return simulate_task("t", spec, n, depths, 64, [5, 9], **kw)


def test_schemas_and_rows():
    runs, forks, draws, truth = make()
    for name, frame in zip(("runs", "forks", "draws", "truth"), make(), strict=True):
        assert list(tables.check(name, frame).columns) == list(frame.columns)
    assert len(runs) == 12 * (4 + 3)
    assert set(runs[runs["split"] == "val"]["depth"]) == {1, 2, 8, 64}
    assert set(runs[runs["split"] == "target"]["depth"]) == {64}
    assert len(forks) == 3 * 6 * 3
    assert draws["visible"].all()
    assert {"none", "static", "state", "last", "prefix", "static+prefix"} == set(truth["information"])


def test_a_run_does_not_depend_on_its_company():
    runs, forks, draws, _ = make()
    more, more_forks, more_draws, _ = make(
        seeds=[7, 3, 40], depths=(1, 8), spec=SPEC | {"forks": FORKS | {"per_trunk": 5}}
    )
    keys = ["task", "seed", "depth", "split", "metric"]
    both = runs.merge(more, on=keys)
    assert len(both) == 2 * 6
    assert (both["value_x"] == both["value_y"]).all()
    both = forks.merge(more_forks, on=["task", "seed", "depth", "fork", "metric"])
    assert len(both) == 3 * 3
    assert (both["value_x"] == both["value_y"]).all()
    both = draws.merge(more_draws, on=["task", "seed", "factor"])
    assert (both["value_x"] == both["value_y"]).all()


def test_same_input_same_bytes_and_other_root_other_numbers():
    first, again = make()[0], make()[0]
    pd.testing.assert_frame_equal(first, again, check_exact=True)
    other = simulate_task("t", SPEC, 12, (1, 2, 8), 64, [6, 9])[0]
    assert (first["value"] != other["value"]).all()


def test_chunks_do_not_change_numbers(monkeypatch):
    whole = make()[0]
    monkeypatch.setattr("prehoc.synthetic.frames._CHUNK", 200)
    pd.testing.assert_frame_equal(whole, make()[0], check_exact=True)


def test_frames_follow_the_exact_risk():
    spec = {"process": "power_law", "alpha": 0.5, "target_noise": 0.3, "metric_noise": 0.2}
    runs, _, _, truth = simulate_task("t", spec, 4000, [1, 8], 64, [1])
    wide = runs.pivot_table(index="seed", columns=["split", "depth"], values="value")
    exact = truth[truth["information"] == "last"].set_index("depth")["risk"]
    r = wide["target", 64]
    for depth in (1, 8, 64):
        share = np.corrcoef(wide["val", depth], r)[0, 1] ** 2
        assert r.var() * (1 - share) == pytest.approx(exact[depth], rel=0.1)


def test_forks_at_the_horizon_redraw_target_noise_alone():
    quiet = {"process": "power_law", "target_noise": 0.0}
    spec = quiet | {"forks": {"depths": [64], "trunks": 5, "per_trunk": 4}}
    forks = simulate_task("t", spec, 5, [1], 64, [1])[1]
    assert forks.groupby("seed")["value"].nunique().eq(1).all()


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({}, "process"),
        ({"process": "power_law", "beta": 1}, "'beta'"),
        ({"process": "power_law", "forks": {"depths": [1], "trunks": 3}}, "per_trunk"),
        ({"process": "power_law", "forks": FORKS | {"fork": 3}}, "'fork'"),
        ({"process": "power_law", "forks": FORKS | {"depths": [65]}}, "horizon"),
        ({"process": "power_law", "forks": FORKS | {"per_trunk": 1}}, "per_trunk"),
    ],
)
def test_bad_specs_are_refused_in_one_line(spec, message):
    with pytest.raises(InputError, match=message) as error:
        make(spec=spec)
    assert "\n" not in str(error.value)
