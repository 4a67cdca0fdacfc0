"""The information set `outputs`: what it finds, what it does not invent, and how tables carry it."""

import json

import numpy as np
import pandas as pd
import pytest

from prehoc import tables
from prehoc.errors import InputError
from prehoc.figures import readings
from prehoc.risk import pipeline
from prehoc.risk.curves import measure
from prehoc.risk.data import split_tasks
from prehoc.risk.outputs import (
    Outputs,
    allowed,
    log_odds,
    outputs_risks,
    principal,
    residual_outputs,
)
from prehoc.risk.proxies import residual
from prehoc.risk.resample import resampled, resampled_counts

DEPTHS, HORIZON = (1, 2, 4, 8, 16), 32
LATENTS = 3


def one_depth(n, rng, examples=24):
    """R = w'z + noise; outputs linear in z, the metric blind to it: U = 0.25, Var R = 0.25 + |w|^2."""
    z = rng.normal(size=(n, LATENTS))
    weight = np.array([1.0, -0.7, 0.4])
    outcome = z @ weight + 0.5 * rng.normal(size=n)
    odds = z @ rng.normal(size=(LATENTS, examples)) + 3.0 * rng.normal(size=examples)
    metric = rng.normal(size=(n, 1))
    return metric, odds[:, None], outcome, 0.25, 0.25 + float(weight @ weight)


def test_outputs_find_what_the_metric_hides():
    """Exact risks within the 95 % interval as often as that says; 200 draws: 91 to 98.5 %."""
    rng = np.random.default_rng(0)
    covered, blind, risks = [], [], []
    for _ in range(200):
        metric, odds, outcome, exact, whole = one_depth(200, rng)
        e = residual_outputs(metric, odds, outcome, 8)
        covered.append(bool((e.ci_low <= exact) & (exact <= e.ci_high)))
        risks.append(float(e.risk[0]))
        last = residual(metric, outcome, "last")
        blind.append(bool(last.ci_low[0] <= whole <= last.ci_high[0]))
        assert last.ci_low[0] > 2 * exact
    assert 0.91 < np.mean(covered) < 0.985
    assert 0.91 < np.mean(blind) < 0.985
    assert np.mean(risks) == pytest.approx(0.25, abs=4 * np.std(risks) / np.sqrt(200))


@pytest.mark.parametrize(("n", "examples"), [(60, 64), (300, 64), (40, 200)])
def test_outputs_of_pure_noise_gain_nothing(n, examples):
    """U = Var R = 1 within 3 standard errors, although eight features are made of many."""
    rng = np.random.default_rng(n)
    ratio = []
    for _ in range(300):
        outcome, metric = rng.normal(size=n), rng.normal(size=(n, 1))
        odds = rng.normal(size=(n, 1, examples)) * np.linspace(1, 3, examples)
        ratio.append(float(residual_outputs(metric, odds, outcome, 8).risk[0]))
    assert np.mean(ratio) == pytest.approx(1.0, abs=3 * np.std(ratio) / np.sqrt(300))


def test_components_are_chosen_without_r():
    metric, odds, outcome, *_ = one_depth(100, np.random.default_rng(2))
    one = residual_outputs(metric, odds, outcome, 3).risk
    scaled = residual_outputs(metric, odds, 2 * outcome + 1, 3).risk
    assert scaled == pytest.approx(4 * one)


def test_principal_scores_are_those_of_the_svd():
    rng = np.random.default_rng(3)
    for n, e in ((50, 8), (6, 20)):
        values = rng.normal(size=(n, e)) * np.geomspace(10, 0.1, e) + 5
        u, s, _ = np.linalg.svd(values - values.mean(0), full_matrices=False)
        scores = principal(values, 4)
        np.testing.assert_allclose(np.abs(scores), np.abs(u[:, :4] * s[:4]), rtol=1e-6, atol=1e-9)
    assert principal(np.ones((9, 5)), 3).shape == (9, 0)
    assert principal(np.outer(np.arange(9.0), np.ones(5)), 3).shape == (9, 1)


def test_how_many_components_n_allows():
    assert [allowed(n, 8) for n in (3, 5, 9, 10, 25, 44, 45, 1000)] == [0, 0, 0, 1, 4, 7, 8, 8]


def test_log_odds_are_the_margin_of_two_classes_and_finite_at_both_ends():
    margin = np.array([-40.0, -3.0, 0.0, 2.0, 15.0])
    value = (-np.logaddexp(0, -margin)).astype(np.float32)
    assert log_odds(value)[:4] == pytest.approx(margin[:4], rel=1e-5, abs=1e-6)
    assert log_odds(value)[4] == pytest.approx(15, abs=0.2)
    assert np.isfinite(log_odds(np.array([0.0, -0.0, -1e4]))).all()
    assert np.isnan(log_odds(np.array([np.nan]))).all()


def test_a_missing_run_is_left_out_at_its_depth_alone():
    rng = np.random.default_rng(4)
    metric, odds, outcome, *_ = one_depth(80, rng)
    metric, odds = np.repeat(metric, 2, 1), np.repeat(odds, 2, 1)
    whole = residual_outputs(metric, odds, outcome, 4)
    odds[7, 1, 3] = np.nan
    holed = residual_outputs(metric, odds, outcome, 4)
    assert holed.n.tolist() == [80, 79]
    assert holed.risk[0] == whole.risk[0]
    alone = residual_outputs(*(np.delete(x, 7, 0) for x in (metric, odds, outcome)), 4)
    assert holed.risk[1] == alone.risk[1]


# ---------------------------------------------------------------------------------------- tables
def frames(n=150, seed=5, examples=12):
    """A task of five depths whose outputs tell more of R with depth; exact risks by depth."""
    rng = np.random.default_rng(seed)
    weight = np.array([1.0, -0.7, 0.4])
    share = 1 - np.array(DEPTHS, float) ** -0.6 * 0.8
    made = [rng.normal(size=(n, LATENTS)) * np.sqrt(s) for s in np.diff(share, prepend=0)]
    z = np.cumsum(made, axis=0)  # [D, n, latents]: what the run has settled by each depth
    rest = rng.normal(size=(n, LATENTS)) * np.sqrt(1 - share[-1])
    outcome = (z[-1] + rest) @ weight + 0.3 * rng.normal(size=n)
    exact = (1 - share) * (weight @ weight) + 0.09
    odds = z @ (2 * rng.normal(size=(LATENTS, examples)))
    said = pd.DataFrame(
        [
            ("t", s, c, e, -np.logaddexp(0, -odds[j, s, e]))
            for j, c in enumerate(DEPTHS) for s in range(n) for e in range(examples)
        ],
        columns=["task", "seed", "depth", "example", "value"],
    )  # fmt: skip
    rows = [("t", s, c, "val", "m", v, False) for c in DEPTHS for s, v in enumerate(rng.normal(size=n))]
    rows += [("t", s, HORIZON, "target", "m", r, False) for s, r in enumerate(outcome)]
    runs = pd.DataFrame(rows, columns=list(tables.SCHEMAS["runs"].columns))
    return runs, said, exact


@pytest.fixture(scope="module")
def given():
    return frames()


def test_variance_table_has_outputs_where_they_are_recorded(given):
    runs, said, exact = given
    u = pipeline.variance_table(runs, metric="m", outputs=Outputs.of_table(said, 8))
    rows = u[u["information"] == "outputs"].set_index("depth")
    assert (rows["proxy"] == "residual").all()
    assert list(rows.index) == list(DEPTHS)
    inside = (rows["ci_low"] <= exact) & (exact <= rows["ci_high"])
    assert inside.sum() >= 4
    last = u[(u["proxy"] == "residual") & (u["information"] == "last")].set_index("depth")
    assert (last["ci_low"] > rows["ci_high"])[1:].all()  # at depth 1 the outputs tell little
    without = pipeline.variance_table(runs, metric="m")
    pd.testing.assert_frame_equal(
        without, u[u["information"] != "outputs"].reset_index(drop=True), check_exact=True
    )


def test_rows_may_come_in_any_order_and_of_other_runs(given):
    said = given[1]
    one = Outputs.of_table(said, 4)
    more = pd.concat([said.sample(frac=1, random_state=1), said.assign(seed=said["seed"] + 1000)])
    other = Outputs.of_table(more, 4)
    seeds, depth = np.arange(150), np.array(DEPTHS)
    np.testing.assert_array_equal(one.aligned("t", seeds, depth), other.aligned("t", seeds, depth))
    assert one.aligned("absent", seeds, depth) is None
    lacking = one.aligned("t", np.array([3, 999]), np.array([2, 3]))
    assert np.isfinite(lacking[0, 0]).all()
    assert np.isnan(lacking[1]).all()
    assert np.isnan(lacking[0, 1]).all()
    with pytest.raises(InputError, match="outputs"):
        Outputs.of_table(pd.concat([said, said]), 4)


def test_outputs_drive_where_they_are_asked_to(given):
    runs, said, _ = given
    asked = {"outputs": Outputs.of_table(said, 8), "horizons": HORIZON}
    u = pipeline.variance_table(runs, metric="m", **asked)
    fits = pipeline.envelope_table(u, runs, **asked)
    stops = pipeline.c_star_table(fits, u, runs, prices=[0.1], information="outputs", **asked)
    places = pipeline.regimes_table(runs, None, None, u, fits, resamples=40, information="outputs", **asked)
    text = pipeline.verdict("t", u, fits, stops, places, information="outputs")
    json.dumps(text, allow_nan=False)
    assert text["driving_proxy"]["information"] == "outputs"
    assert set(stops.loc[stops["recommended"], "information"]) == {"outputs"}
    bayes = places[places["reading"] == "bayes"].iloc[0]
    assert bayes["information"] == "outputs"
    assert bayes["iota_low"] < bayes["iota"] < bayes["iota_high"]
    shown = readings.driving(u, [], "outputs")
    assert readings.source(shown, "t", "bayes", fits) == ("residual", "outputs")
    assert readings.source(readings.driving(u, [], "last"), "t", "bayes", fits) == ("residual", "last")


def test_a_resample_is_reduced_anew(given):
    """The bootstrap of a resample is the estimate on its rows, components and all."""
    runs, said, _ = given
    (data,) = split_tasks(runs, None, None, metric="m", outputs=Outputs.of_table(said, 4))
    curve = measure(data, "residual", "outputs")
    counts = resampled_counts(150, 3, 7)
    made = resampled(data, curve, counts)
    for held, risks in zip(counts.astype(int), made, strict=True):
        i = np.repeat(np.arange(150), held)
        again = residual_outputs(data.metric[i], data.outputs[i], data.outcome[i], 4).risk
        assert risks == pytest.approx(again, rel=1e-9)
    whole = outputs_risks(data.metric, data.outputs, data.outcome, 4)
    assert whole == pytest.approx(curve.estimate.risk, rel=1e-12)
    assert np.ptp(made, axis=0).min() > 0


def test_gap_has_the_middle_number(given):
    runs, said, _ = given
    rng = np.random.default_rng(0)
    rows = [("t", s, c, k, "m", rng.normal()) for c in (2, 8) for s in range(20) for k in range(3)]
    forks = pd.DataFrame(rows, columns=["task", "seed", "depth", "fork", "metric", "value"])
    for outputs in (Outputs.of_table(said, 8), None):
        asked = {"outputs": outputs, "horizons": HORIZON}
        u = pipeline.variance_table(runs, forks, metric="m", **asked)
        fits = pipeline.envelope_table(u, runs, forks, **asked)
        stops = pipeline.c_star_table(fits, u, runs, forks, prices=[0.1], **asked)
        places = pipeline.regimes_table(runs, forks, None, u, fits, resamples=20, **asked)
        gap = pipeline.verdict("t", u, fits, stops, places)["gap_fork_residual"]
        assert [g["depth"] for g in gap] == [2, 8]
        for one in gap:
            assert one["gap"] == pytest.approx(one["last"] - one["fork"])
            assert (one["outputs"] is None) == (outputs is None)
            assert outputs is None or 0 < one["outputs"] < one["last"]


def test_too_few_runs_for_a_component_measure_nothing(given):
    runs, said, _ = given
    few = runs[runs["seed"] < 9]
    u = pipeline.variance_table(few, metric="m", outputs=Outputs.of_table(said, 8))
    assert set(u["information"]) == {"none", "last", "prefix"}
