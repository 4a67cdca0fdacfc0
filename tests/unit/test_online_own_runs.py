"""`prehoc.online` and the command on a person's own runs, and ProbeCallback with it."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from tiny_trainer import STEPS, trainer, written
from typer.testing import CliRunner

import prehoc
from own_runs import DEPTHS, HORIZON, falling, runs
from prehoc.cli import app
from prehoc.errors import InputError
from prehoc.predictors.online import CONSTANT, stop_depths
from prehoc.training.probe_callback import ProbeCallback


@pytest.fixture(scope="module")
def finished():
    return runs(n=120, seed=1)


def curve_of(frame, seed, upto=HORIZON):
    one = frame[(frame["seed"] == seed) & (frame["depth"] <= upto)]
    return dict(zip(one["depth"], one["metric"], strict=True))


def test_a_run_is_judged_as_it_grows(finished):
    made = prehoc.online(finished, price=0.2)
    new = runs(n=200, seed=2)
    final = new.drop_duplicates("seed").set_index("seed")["final"]
    inside, stopped_at = [], []
    for seed in range(60):
        for depth in DEPTHS:
            told = made.judge(curve_of(new, seed, depth))
            if depth < DEPTHS[3]:
                assert told.answer == "go on"
                assert "4 depths that it needs" in told.why
                assert told.next_depth == 2 * depth
            if told.stop:
                break
        assert told.stop  # at the last measured depth at the latest
        stopped_at.append(told.depth)
        inside.append(told.low <= final[seed] <= told.high)
        assert "stop" in told.in_words()
    # 95 % intervals, 60 runs: fewer than 50 inside has a chance below 1e-3
    assert sum(inside) >= 50
    # by the exact law: .1 + .9 (c^-.4 - T^-.4) + .2 c / T is least at 32 of the measured depths
    assert np.median(stopped_at) == pytest.approx(32, abs=32)


def test_what_it_cannot_tell_it_says(finished):
    made = prehoc.online(finished)
    base = curve_of(runs(n=5, seed=3), 0)
    odd = {d: v + (200 if d == 2 else 0) for d, v in base.items()}
    told = made.judge(odd)
    assert told.answer == "cannot tell"
    assert "unlike the finished runs'" in told.in_words()
    # of such a run nothing is known but the task's own mean and spread
    r = finished.drop_duplicates("seed")["final"]
    assert (told.forecast, told.risk) == (pytest.approx(r.mean()), pytest.approx(r.var()))
    assert told.high - told.low == pytest.approx(2 * 1.959964 * r.std())
    with pytest.raises(InputError, match="no metric at a depth of the finished runs yet"):
        made.judge({3: 1.0})
    few = prehoc.online(finished[finished["seed"] < 8]).judge(base)
    assert few.answer == "cannot tell"
    assert "8 finished runs; 10 are needed" in few.why
    strange = made.judge({d: v for d, v in base.items() if d in (1, 64, 128)})
    assert strange.answer == "cannot tell"
    assert "depths are shared" in strange.why


@pytest.mark.parametrize("lost", [1, 2, 16])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_failed_run_is_stopped(finished, lost, value):
    curve = curve_of(runs(n=5, seed=3), 0, 16) | {lost: value}
    failed = prehoc.online(finished).judge(curve)
    assert (failed.answer, failed.stop, failed.depth) == ("stop", True, 16)
    assert f"the run seems to have failed, as its metric at depth {lost}" in failed.in_words()
    assert np.isnan(failed.forecast)
    json.dumps(failed.as_dict(), allow_nan=False)


def test_where_all_finished_runs_end_alike_nothing_is_told(finished):
    made = prehoc.online(finished.assign(final=0.1))
    told = made.judge(curve_of(finished, 0))
    assert (told.answer, told.stop, told.c_star) == ("cannot tell", False, None)
    assert "R is the same in all finished runs" in told.in_words()
    assert "forecast" not in told.in_words()
    json.dumps(told.as_dict(), allow_nan=False)
    path = finished.pivot_table(index="seed", columns="depth", values="metric")
    stops = stop_depths(made.of().prior, path.columns, path, rate=0.0)
    assert not stops.told.any()
    assert set(stops.note) == {CONSTANT}


def test_a_run_of_another_task_is_refused(tmp_path, finished):
    path, curve = tmp_path / "runs.csv", tmp_path / "new.csv"
    finished.to_csv(path, index=False)
    new = runs(n=1, seed=6, task="other").drop(columns="final")
    new.to_csv(curve, index=False)
    asked = ["online", str(path), "--curve", str(curve)]
    bad = CliRunner().invoke(app, asked)
    assert isinstance(bad.exception, InputError)
    assert "no task 'other'; there are: t; give finished runs of that task" in str(bad.exception)
    run = CliRunner().invoke(app, [*asked, "--task", "t"])
    assert run.exit_code == 0, run.output
    assert "other, run 0 (by the finished runs of t), depth 128 of 128: " in run.stdout
    told = json.loads(CliRunner().invoke(app, [*asked, "--task", "t", "--json"]).stdout)
    assert (told[0]["task"], told[0]["judged_by"]) == ("other", "t")
    new.drop(columns=["task", "seed"]).to_csv(
        curve, index=False
    )  # one that names no task is the only one's
    run = CliRunner().invoke(app, asked)
    assert run.output.startswith("t, run 0, depth 128")


def test_tasks_without_a_rule_and_bad_arguments(finished):
    with pytest.raises(InputError, match=r"price: takes a number above 0, not -0.2"):
        prehoc.online(finished, price=-0.2)
    with pytest.raises(InputError, match="measured at 3 depths before R; 4 are needed"):
        prehoc.online(finished[finished["depth"] <= 4])
    with pytest.raises(InputError, match="steps to a target"):
        prehoc.online(falling(n=60, target=0.4), outcome="to-target")
    both = pd.concat([finished, runs(n=3, seed=4, task="small")])
    made = prehoc.online(both)
    with pytest.raises(InputError, match="'small' has no online rule: 3 runs"):
        made.of("small")
    with pytest.raises(InputError, match="no task 'x'; there are: t, small"):
        made.of("x")


def test_where_r_is_the_metric_at_the_end_that_depth_is_no_probe():
    frame = runs(n=60, seed=5)
    end = frame.drop_duplicates("seed").assign(depth=HORIZON, metric=lambda f: f["final"])
    whole = pd.concat([frame, end]).drop(columns="final")
    made = prehoc.online(whole).of()
    assert made.horizon == HORIZON
    assert made.depths == DEPTHS


def test_a_fit_brings_its_own_runs_and_options(finished):
    fit = prehoc.fit(finished, horizon=512, resamples=50)
    made, same = prehoc.online(fit, price=0.1).of("t"), prehoc.online(finished, horizon=512, price=0.1).of()
    assert made.horizon == same.horizon == 512
    assert made.rate == pytest.approx(0.1 * finished.drop_duplicates("seed")["final"].var() / 512)
    curve = curve_of(runs(n=5, seed=8), 1)
    assert made.judge(curve) == same.judge(curve)


def test_the_command_in_words_and_json(tmp_path, finished):
    path, curve = tmp_path / "runs.csv", tmp_path / "new.csv"
    finished.to_csv(path, index=False)
    new = runs(n=2, seed=6)
    new[new["depth"] <= 4].drop(columns="final").to_csv(curve, index=False)
    run = CliRunner().invoke(app, ["online", str(path), "--curve", str(curve), "--price", ".2"])
    assert run.exit_code == 0, run.output
    assert run.output.splitlines()[0].startswith("t, run 0, depth 4 of 128: go on to depth 8: 3 of the 4")
    one = new[(new["seed"] == 0)][["depth", "metric"]]
    one.to_csv(curve, index=False)
    asked = ["online", str(path), "--curve", str(curve), "--horizon", "256", "--json"]
    told = json.loads(CliRunner().invoke(app, asked).output)
    assert [t["answer"] for t in told] == ["stop"]
    assert told[0]["horizon"] == 256
    same = prehoc.online(finished, horizon=256).judge(curve_of(new, 0))
    assert told[0]["forecast"] == pytest.approx(same.forecast)
    bad = CliRunner().invoke(app, ["online", str(path), "--curve", str(tmp_path / "none.csv")])
    assert isinstance(bad.exception, InputError)
    assert "none.csv: no such file" in str(bad.exception)


def test_the_callback_stops_a_run_by_its_own_curve(tmp_path, caplog):
    rng = np.random.default_rng(7)
    level = 0.7 + 0.05 * rng.standard_normal(40)
    rows = [
        ("tiny", s, d, level[s] + 1e-3 * rng.standard_normal(), level[s])
        for s in range(40)
        for d in (1, 2, 3, 4, 6, 8)
    ]
    past = pd.DataFrame(rows, columns=["task", "seed", "depth", "metric", "final"])
    rule = prehoc.online(past, price=0.2)
    flat = iter(0.7 + 1e-3 * rng.standard_normal(20))
    callback = ProbeCallback(tmp_path / "runs.csv", task="tiny", metric="m", stop_at=rule)
    one = trainer(tmp_path / "out", callback, predictions=lambda _: {"m": next(flat)}, eval_strategy="no")
    one.train()
    # R is known at once: it goes on no further than the least depths
    assert callback.stopped_at == one.state.global_step == 4
    assert "stop: what deeper probing would tell is worth less" in caplog.text
    assert [d for d, _ in written(tmp_path / "runs.probed.csv")] == [1, 2, 3, 4]
    assert not (tmp_path / "runs.csv").exists()

    with pytest.raises(InputError, match=r"price: goes to prehoc.online"):
        ProbeCallback(tmp_path / "r.csv", task="tiny", stop_at=rule, price=0.1)
    with pytest.raises(InputError, match="no task 'other'"):
        ProbeCallback(tmp_path / "r.csv", task="other", stop_at=rule)

    # ... and one that has failed is stopped where any run may be, for that reason
    callback = ProbeCallback(tmp_path / "failed.csv", task="tiny", metric="m", stop_at=rule)
    one = trainer(tmp_path / "o1", callback, predictions=lambda _: {"m": float("nan")}, eval_strategy="no")
    one.train()
    assert callback.stopped_at == 4
    assert "the run seems to have failed" in caplog.text

    # ... and where it is told late, by steps that cost little, not before the end
    late = [
        ("tiny", s, d, (level[s] if d >= 6 else 0.7) + 1e-3 * rng.standard_normal(), level[s])
        for s in range(40)
        for d in (1, 2, 3, 4, 6, 8)
    ]
    past = pd.DataFrame(late, columns=["task", "seed", "depth", "metric", "final"])
    callback = ProbeCallback(
        tmp_path / "late.csv", task="tiny", metric="m", stop_at=prehoc.online(past, price=0.01)
    )
    flat = iter(0.7 + 1e-3 * rng.standard_normal(20))
    one = trainer(tmp_path / "o2", callback, predictions=lambda _: {"m": next(flat)}, eval_strategy="no")
    one.train()
    assert callback.stopped_at in (6, None)
    assert one.state.global_step in (6, STEPS)
