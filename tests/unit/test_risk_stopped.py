"""Runs that stopped early: censored outcomes refused with the reason, whole ones kept with a note."""

import numpy as np
import pandas as pd
import pytest

from prehoc.errors import InputError
from prehoc.risk.pipeline import (
    c_star_table,
    envelope_table,
    regimes_table,
    variance_table,
    verdict,
)
from prehoc.synthetic.frames import simulate_task

DEPTHS = [1, 2, 4, 8, 16, 32, 64, 128]
T = 256


@pytest.fixture(scope="module")
def whole():
    spec = {"process": "dynamic_a050", "forks": None}
    return simulate_task("log", spec, 60, DEPTHS, T, [3])[0]


def stop(runs, seeds, at, splits=("val",)):
    """The runs without the rows of some seeds beyond a depth."""
    return runs[~(runs["seed"].isin(seeds) & (runs["depth"] > at) & runs["split"].isin(splits))]


def moved(runs, seeds, at):
    """The target rows of some seeds read at another depth."""
    here = runs["seed"].isin(seeds) & (runs["split"] != "val")
    return runs.assign(depth=runs["depth"].where(~here, at))


def refused(runs, **kw):
    with pytest.raises(InputError) as error:
        variance_table(runs, metric="value", **kw)
    return str(error.value)


@pytest.mark.parametrize("given", [{}, {"horizons": T}])
def test_an_outcome_read_where_runs_stopped_is_refused(whole, given):
    early = moved(stop(whole, range(12), 32), range(12), 32)
    said = refused(moved(stop(early, range(3), 16), range(3), 16), **given)
    for part in ("'log'", "12 of 60", "16, 32", "stopping rule's", "common horizon", "steps to target"):
        assert part in said
    assert "\n" not in said


@pytest.mark.parametrize("given", [{}, {"horizons": T}])
def test_without_target_rows_ends_must_agree(whole, given):
    logs = whole[whole["split"] == "val"]
    said = refused(stop(logs, range(7), 8), **given)
    assert "7 of 60" in said
    assert "(at 8)" in said
    assert variance_table(logs, metric="value", horizons=T)["n"].min() == 60


def test_an_outcome_that_only_finished_runs_have_is_refused(whole):
    splits = ("val", "target", "target_a", "target_b")
    said = refused(stop(whole, range(9), 64, splits))
    assert "9 of 60" in said


def test_failed_runs_are_no_censoring(whole):
    late = whole["seed"].isin(range(6)) & (whole["depth"] > 32)
    broken = whole.assign(value=whole["value"].where(~late), failure=late)
    assert variance_table(broken, metric="value")["n"].max() == 54
    gone = stop(broken, range(6), 64, ("val", "target", "target_a", "target_b"))
    assert gone["failure"].any()
    assert variance_table(gone, metric="value")["failure_rate"].to_numpy() == pytest.approx(0.1)
    unmarked = broken.assign(failure=False)  # null rows say as much
    assert variance_table(unmarked, metric="value")["n"].max() == 54


def tables_of(runs):
    v = variance_table(runs, metric="value")
    e = envelope_table(v, runs)
    c = c_star_table(e, v, runs, prices=[0.1])
    return v, e, c, regimes_table(runs, None, None, v, e, resamples=20)


def test_a_whole_outcome_keeps_the_depths_that_every_run_has(whole):
    """Steps-to-target and its like: R of every run at T, trajectories that end early."""
    early = stop(stop(whole, range(12), 64), range(3), 32)
    made = tables_of(early)
    kept = made[0][(made[0]["depth"] > 0)]
    assert kept["depth"].max() == 32
    assert (kept["n"] == 60).all()
    assert set(kept["proxy"]) == {"residual", "run_to_run", "change"}
    before = variance_table(whole, metric="value")
    same = before[(before["depth"] <= 32)].reset_index(drop=True)
    risk = made[0].reset_index(drop=True)[["depth", "proxy", "information", "risk", "n"]]
    pd.testing.assert_frame_equal(risk, same[risk.columns])  # se: kurtosis is pooled over fewer depths
    power = made[1][made[1]["model"] == "power"]
    assert power["note"].str.contains("runs stopped early: 12 of 60, the first at depth 32").all()
    said = verdict("log", *made)
    assert any("12 of 60" in note for note in said["caveats"])
    assert "stopped early" not in str(said["alpha"]["because"])


def test_null_rows_after_the_stop_are_a_stop_too(whole):
    late = whole["seed"].isin(range(12)) & (whole["depth"] > 32) & (whole["split"] == "val")
    made = variance_table(whole.assign(value=whole["value"].where(~late)), metric="value")
    assert made["depth"].max() == 32


def test_a_gap_is_plain_missing_data(whole):
    gap = whole[~(whole["seed"].isin(range(10)) & (whole["depth"] == 16) & (whole["split"] == "val"))]
    table = variance_table(gap, metric="value")
    last = table[(table["proxy"] == "residual") & (table["information"] == "last")].set_index("depth")
    assert last.loc[16, "n"] == 50
    assert last.loc[32, "n"] == 60
    assert last.index.max() == T


def test_a_missing_outcome_of_a_run_that_went_all_the_way_is_asked_for(whole):
    """It may be a failure or a stop; taken for a failure, a stopping rule would pick R of the others."""
    part = whole[~(whole["seed"].isin(range(6)) & (whole["split"] != "val"))]
    assert "6 of 60 runs have no outcome" in refused(part)
    marked = part.assign(failure=part["seed"].isin(range(6)))
    assert variance_table(marked, metric="value")["n"].max() == 54


def test_target_read_at_every_depth_asks_for_the_horizon(whole):
    every = whole[whole["split"] == "val"].assign(split="target")
    both = pd.concat([whole[whole["split"] == "val"], every])
    with pytest.raises(InputError, match="give the horizon"):
        variance_table(both, metric="value")
    assert np.isfinite(variance_table(both, metric="value", horizons=T)["risk"]).all()
    cut = both[~(both["seed"].isin(range(4)) & (both["depth"] > 64))]
    assert "4 of 60" in refused(cut, horizons=T)


def test_every_run_may_have_failed_or_none_may_be_read(whole):
    with pytest.raises(InputError, match="0 of 60 runs"):
        variance_table(whole.assign(value=np.nan, failure=True), metric="value")
    with pytest.raises(InputError, match="0 of 60 runs"):
        variance_table(whole, metric="value", horizons=512)
