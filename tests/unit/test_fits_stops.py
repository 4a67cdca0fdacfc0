"""Why runs end, and what R may then be."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from own_runs import falling, runs
from prehoc.errors import InputError
from prehoc.fits.curves import curves_of, direction_of, on_one_grid, thinned
from prehoc.fits.outcome import choose, parse
from prehoc.fits.refused import RefusedError
from prehoc.fits.stops import find_stops


def curves(frame):
    full = frame.rename(columns={"metric": "value"})
    full = pd.DataFrame({"final": np.nan, "group": "", "split": "val"}, index=full.index).assign(
        **{c: full[c] for c in full}
    )
    return curves_of("t", full)[0]


def ends(frame, direction="lower"):
    return find_stops(curves(frame), direction)


def chosen(frame, asked="auto", direction="lower", horizon=None):
    cut, found, _ = ends(frame, direction)
    return choose(cut, found, direction, asked, horizon)


def test_whole_runs_have_no_stop():
    assert ends(falling())[1].kind == "none"


@pytest.mark.parametrize("sign", [1, -1])
def test_a_target_is_found_with_its_value(sign):
    frame = falling(target=0.4)
    frame["metric"] *= sign
    _, found, _ = ends(frame, "lower" if sign > 0 else "higher")
    assert found.kind == "target"
    low, high = sorted(found.span)
    assert low <= sign * 0.4 <= high
    assert high - low < 0.02
    assert found.first == frame.groupby("seed")["depth"].max().min()


def test_aborted_runs_and_runs_out_of_patience_are_told_from_a_target():
    frame = falling()
    cut = np.random.default_rng(1).integers(5, 21, 100) * 50
    aborted = frame[frame["depth"] <= cut[frame["seed"]]]
    assert ends(aborted)[1].kind == "aborted"
    best = frame.assign(turn=50 * (4 + frame["seed"] % 7))
    best["metric"] = (best["depth"] - best["turn"]).abs() / 1000 + best["seed"] / 1e4
    waited = best[best["depth"] <= best["turn"] + 150]
    _, found, _ = ends(waited)
    assert (found.kind, found.patience) == ("patience", 3)


def test_a_last_value_carried_forward_is_found_and_taken_out():
    stopped = falling(target=0.4)
    last = stopped.groupby("seed").tail(1)
    fill = [
        (t, s, d, m)
        for t, s, end, m in last.itertuples(index=False)
        for d in range(end + 50, 1001, 50)
    ]  # fmt: skip
    whole = pd.concat([stopped, pd.DataFrame(fill, columns=stopped.columns)])
    cut, found, aside = ends(whole)
    assert found.carried
    assert found.kind == "target"
    assert found.as_dict()["kind"] == "carried_forward"
    assert aside[0].count == len(fill)
    np.testing.assert_array_equal(cut.value, ends(stopped)[0].value)


@pytest.mark.parametrize("plateau", ["bound", "coarse"])
def test_a_plateau_is_no_value_carried_forward(plateau):
    rng = np.random.default_rng(5)
    start = rng.integers(3, 15, 60)
    rows = []
    for s in range(60):
        level = 1.0 if plateau == "bound" else rng.integers(80, 84) / 100
        for d in range(1, 21):
            value = level if d >= start[s] else min(level, 0.05 * d + 0.001 * rng.integers(0, 9))
            rows.append(("t", s, d, value))
    frame = pd.DataFrame(rows, columns=["task", "seed", "depth", "metric"])
    assert not ends(frame, "higher")[1].carried


def test_r_is_steps_to_target_where_nine_in_ten_met_it():
    frame = falling(target=0.55)
    outcome = chosen(frame)
    stops = frame.groupby("seed")["depth"].max()
    assert outcome.kind == "to_target"
    met = ~outcome.failed
    np.testing.assert_array_equal(outcome.value[met], stops.to_numpy()[met])
    assert outcome.settled[met].sum() == sum(outcome.horizon // 50 - s // 50 + 1 for s in stops[met])
    assert not np.isfinite(outcome.curves.value[outcome.settled]).any()
    first = stops[met].min()
    assert outcome.first_stop == first - 50


def test_last_and_deep_depths_are_refused_where_stopped_runs_lack_them():
    frame = falling(target=0.4)
    with pytest.raises(RefusedError, match="no value at depth 1000") as error:
        chosen(frame, "last")
    assert "to-target" in error.value.remedy
    deep = int(error.value.remedy.split("depth:")[1].split(",")[0])
    ok = chosen(frame, f"depth:{deep}")
    assert ok.horizon == deep
    assert np.isfinite(ok.value).mean() >= 0.9
    with pytest.raises(RefusedError):
        chosen(frame, f"depth:{deep + 50}")


def test_aborted_runs_leave_r_at_a_depth_that_nine_in_ten_reach_or_nothing():
    frame = falling()
    few = frame[(frame["seed"] >= 4) | (frame["depth"] <= 300)]
    assert chosen(few).kind == "last"
    assert sum(a.count for a in chosen(few).aside if a.what == "runs") == 4
    many = frame[(frame["seed"] >= 30) | (frame["depth"] <= 300 + 10 * frame["seed"])]
    outcome = chosen(many)
    assert (outcome.kind, outcome.depth) == ("depth", 400)
    none = frame[(frame["seed"] >= 30) | (frame["depth"] <= 50)]
    with pytest.raises(RefusedError, match="what stopping left"):
        chosen(none)


def test_a_named_target_is_met_at_its_first_value_even_where_runs_go_on():
    frame = falling()
    outcome = chosen(frame, "to-target:0.5")
    first = frame[frame["metric"] <= 0.5].groupby("seed")["depth"].min()
    np.testing.assert_array_equal(outcome.value[first.index], first)
    with pytest.raises(RefusedError, match="did not meet the target"):
        chosen(frame, "to-target:0.01")
    with pytest.raises(RefusedError, match="none shows"):
        chosen(frame, "to-target")


def test_a_final_value_stands_where_given_and_its_lack_is_a_selection():
    frame = runs(n=40)
    assert chosen(frame).kind == "final"
    lacking = frame.assign(final=frame["final"].where(frame["seed"] >= 10))
    with pytest.raises(RefusedError, match="10 of 40 runs have no final value"):
        chosen(lacking)
    assert chosen(frame, horizon=64).aside[0].why == "measured beyond the horizon 64"


@pytest.mark.parametrize(
    "asked", ["", "best", "depth", "depth:x", "depth:1.5", "depth:0", "last:3", "to-target:x"]
)
def test_unknown_outcomes_are_refused(asked):
    with pytest.raises(InputError, match="is none of"):
        parse(asked)


def test_direction_by_name_by_trend_and_as_asked():
    down = curves(falling())
    assert direction_of(down, "", "auto")[0] == "lower"
    assert direction_of(down, "eval_accuracy", "auto")[0] == "higher"
    assert direction_of(down, "val/loss", "auto")[0] == "lower"
    assert direction_of(down, "eval_accuracy", "lower")[0] == "lower"
    with pytest.raises(InputError, match="direction"):
        direction_of(down, "", "up")


def test_runs_on_another_grid_are_left_out_and_counted():
    frame = falling()
    other = frame["seed"] < 5
    moved = frame.assign(depth=frame["depth"] + 25 * other)
    kept, aside = on_one_grid(curves(moved))
    assert len(kept.seed) == 95
    assert [(a.what, a.count) for a in aside] == [("runs", 5)]
    assert list(kept.depth) == list(range(50, 1001, 50))
    alone = frame.assign(depth=frame["depth"] * 1000 + frame["seed"])
    with pytest.raises(RefusedError, match="depths of their own"):
        on_one_grid(curves(alone))


def test_late_depths_that_few_stopped_runs_reach_stay():
    frame = falling(target=0.4)
    assert on_one_grid(curves(frame))[1] == []


def test_many_depths_are_thinned_evenly_in_log_depth():
    kept, aside = thinned(curves(falling(n=6, evaluations=400)), keep_last=True)
    assert len(kept.depth) <= 33
    assert (kept.depth[0], kept.depth[-1]) == (50, 20000)
    assert aside[0].count == 400 - len(kept.depth)
