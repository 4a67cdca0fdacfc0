"""Frames to tables to verdict: schemas, construction rules, degenerate input."""

import json

import numpy as np
import pandas as pd
import pytest

from prehoc import tables
from prehoc.errors import InputError
from prehoc.risk.pipeline import (
    c_star_table,
    driving_curve,
    envelope_table,
    regimes_table,
    summary,
    variance_table,
    verdict,
)
from prehoc.synthetic.frames import simulate_task

DEPTHS = [1, 2, 4, 8, 16, 32, 64, 128]
FORKS = {"depths": [1, 8, 64, 256], "trunks": 30, "per_trunk": 4}


def simulate(name="synthetic_dynamic", n=120, forks=FORKS, **extra):
    spec = {"process": name, "forks": forks, **extra}
    return simulate_task(name, spec, n, DEPTHS, 256, [11])[:3]


def every_table(runs, forks, draws, **kw):
    v = variance_table(runs, forks, draws, metric="value", **kw)
    e = envelope_table(v, runs, forks, draws, **kw)
    c = c_star_table(e, v, runs, forks, draws, prices=[0.05, 0.5], **kw)
    g = regimes_table(runs, forks, draws, v, e, resamples=30, **kw)
    return v, e, c, g


@pytest.fixture(scope="module")
def frames():
    parts = [simulate(n) for n in ("synthetic_static", "synthetic_dynamic", "synthetic_noise")]
    return tuple(pd.concat(p, ignore_index=True) for p in zip(*parts, strict=True))


@pytest.fixture(scope="module")
def made(frames):
    return every_table(*frames)


def test_every_table_is_as_declared(made):
    for name, frame in zip(("variance", "envelope", "c_star", "regimes"), made, strict=True):
        assert len(frame)
        pd.testing.assert_frame_equal(tables.check(name, frame), frame.reset_index(drop=True))


def test_tables_survive_a_file(made, tmp_path):
    for name, frame in zip(("variance", "envelope", "c_star", "regimes"), made, strict=True):
        tables.write(name, frame, tmp_path / f"{name}.csv")
        assert len(tables.read(name, tmp_path / f"{name}.csv")) == len(frame)


def test_same_input_same_tables(frames, made):
    for first, again in zip(made, every_table(*frames), strict=True):
        pd.testing.assert_frame_equal(first, again, check_exact=True)


def test_order_of_rows_does_not_matter(frames, made):
    shuffled = [f.sample(frac=1, random_state=1) for f in frames]
    for first, again in zip(made, every_table(*shuffled), strict=True):
        pd.testing.assert_frame_equal(first, again, rtol=1e-9)


def test_variance_rows(made):
    v = made[0]
    static = v[v["task"] == "synthetic_static"]
    kinds = set(zip(static["proxy"], static["information"], strict=True))
    residuals = {"none", "last", "prefix", "static", "static+prefix"}
    assert {i for p, i in kinds if p == "residual"} == residuals
    assert {i for p, i in kinds if p == "fork"} == {"none", "state"}
    none = static[static["information"] == "none"]
    assert (none["depth"] == 0).all()
    assert (none["risk"] == none["var_r"]).all()
    dynamic = v[v["task"] == "synthetic_dynamic"]
    assert not dynamic["information"].str.contains("static").any()
    assert set(dynamic[dynamic["proxy"] == "fork"]["depth"]) == {0, 1, 8, 64, 256}


def test_envelope_of_the_dynamic_task(made):
    e = made[1].set_index(["task", "proxy", "information", "model"])
    power = e.loc[("synthetic_dynamic", "residual", "last", "power")]
    assert power["identified"]
    assert power["alpha_low"] < 0.5 < power["alpha_high"]
    assert power["horizon"] == 256
    assert set(made[1]["model"]) == {"power", "loglog", "exponential", "flat", "late"}
    hidden = made[1][(made[1]["model"] == "power") & ~made[1]["identified"]]
    assert len(hidden)
    assert hidden[["alpha", "K"]].isna().all().all()
    assert hidden["note"].str.contains("not identified|no power law").all()


def test_c_star_prices_and_recommendation(made):
    c = made[2]
    assert c.groupby(["task", "price"])["recommended"].sum().eq(1).all()
    assert (c.loc[c["recommended"], "proxy"] == "fork").all()
    v = made[0].drop_duplicates("task").set_index("task")["var_r"]
    price = c["gamma"] * c["lambda"] * 256 / c["task"].map(v).astype(float)
    assert price.to_numpy() == pytest.approx(c["price"].to_numpy())
    inside = c.dropna(subset=["c_star"])
    assert (inside["c_star"] <= 256).all()


def test_cost_and_gamma(made):
    v, e = made[:2]
    cheap = c_star_table(e, v, gammas=[0.01], cost_per_step=0.1)
    assert cheap["gamma"].to_numpy() == pytest.approx(0.01)
    assert (cheap["lambda"] == 0.1).all()
    costs = dict.fromkeys(v["task"].unique(), 0.1)
    pd.testing.assert_frame_equal(cheap, c_star_table(e, v, gammas=[0.01], cost_per_step=costs))
    for bad in ({}, {"prices": [0.0]}, {"prices": [-1.0]}, {"prices": [0.1], "cost_per_step": 0.0}):
        with pytest.raises(InputError):
            c_star_table(e, v, **bad)


def test_verdict_is_json_and_says_it(made):
    for task in ("synthetic_static", "synthetic_dynamic", "synthetic_noise"):
        said = verdict(task, *made)
        json.dumps(said, allow_nan=False)
        assert said["driving_proxy"]["proxy"] == "fork"
        assert said["regime"].replace("_", "-") in said["in_words"]
        assert any("not any single run" in c for c in said["caveats"])
        if not said["alpha"]["identified"]:
            assert said["alpha"]["value"] is None
            assert said["alpha"]["because"]
        for stop in said["c_star"]:
            assert stop["share_of_horizon"] == pytest.approx(stop["c_star"] / 256)
    with pytest.raises(InputError, match="'absent'"):
        verdict("absent", *made)


def test_residual_drives_without_four_fork_depths(frames):
    runs, forks, draws = simulate(forks={"depths": [1, 64], "trunks": 20, "per_trunk": 3})
    v = variance_table(runs, forks, draws, metric="value")
    proxy, information, why = driving_curve(v, "synthetic_dynamic", "prefix")
    assert (proxy, information) == ("residual", "prefix")
    assert "2 depths" in why


def test_imported_logs_without_a_target_split():
    runs, _, _ = simulate()
    logs = runs[runs["split"] == "val"]
    with pytest.raises(InputError, match="no horizon"):
        variance_table(logs, metric="value")
    v, e, c, g = every_table(logs, None, None, horizons=256)
    residual = v[(v["proxy"] == "residual") & (v["information"] == "last")]
    assert residual["depth"].max() == 128
    assert v[v["proxy"] == "run_to_run"]["depth"].max() == 256
    said = verdict("synthetic_dynamic", v, e, c, g)
    assert any("zero by construction" in note for note in said["caveats"])


def test_noiseless_outcome_drops_the_horizon_for_forks():
    runs, forks, draws = simulate("power_law", target_noise=0.0, metric_noise=0.1)
    v, e, c, g = every_table(runs, forks, draws)
    fork = v[(v["proxy"] == "fork") & (v["depth"] > 0)]
    assert fork["depth"].tolist() == [1, 8, 64]
    row = g[g["proxy"] == "fork"].iloc[0]
    assert row["iota"] == 0.0
    assert any("by construction" in n for n in verdict("power_law", v, e, c, g)["caveats"])


def test_failed_runs_are_counted():
    runs, forks, draws = simulate()
    broken = runs["seed"].isin(range(12)) & (runs["depth"] >= 16)
    runs.loc[broken, "value"] = np.nan
    runs.loc[broken, "failure"] = True
    v = variance_table(runs, forks, draws, metric="value")
    residual = v[v["proxy"] == "residual"]
    assert residual["failure_rate"].to_numpy() == pytest.approx(0.1)
    assert (residual["n"] == 108).all()
    said = verdict("synthetic_dynamic", *every_table(runs, forks, draws))
    assert said["failure_rate"] == pytest.approx(0.1)
    assert any("10.0% of runs" in c for c in said["caveats"])


def test_constant_metric_is_settled_without_a_number():
    runs, _, _ = simulate(forks=None)
    runs["value"] = 0.9
    v, e, c, g = every_table(runs, None, None)
    assert (v["risk"] == 0).all()
    assert not e["identified"].any()
    assert e["alpha"].isna().all()
    assert e["note"].str.contains("constant").all()
    assert c.empty
    assert set(g["regime"]) == {"static_sufficient"}
    json.dumps(verdict("synthetic_dynamic", v, e, c, g), allow_nan=False)


def test_one_depth_is_not_identified():
    runs, _, _ = simulate(forks=None)
    runs = runs[(runs["split"] == "target") | (runs["depth"] == 8)]
    v, e, c, g = every_table(runs, None, None)
    assert not e["identified"].any()
    assert e["note"].str.contains("at least 4").all()
    assert set(g["regime"]) == {"undecided"}
    json.dumps(verdict("synthetic_dynamic", v, e, c, g), allow_nan=False)


def broken_frames():
    runs, _, _ = simulate(forks=None)
    yield runs[runs["seed"] == 0], "at least 5"
    yield pd.concat([runs, runs.head(1)]), "not as declared"
    yield runs.assign(depth=runs["depth"] - 2), "not as declared"
    yield runs.assign(metric="loss"), "'value'"
    yield runs.drop(columns="failure"), "failure"
    yield runs[runs["split"] == "target"], "validation"
    yield runs.iloc[:0], "no rows"


@pytest.mark.parametrize("case", range(7))
def test_bad_frames_are_refused_in_one_line(case):
    runs, message = list(broken_frames())[case]
    with pytest.raises(InputError, match=message) as error:
        variance_table(runs, metric="value")
    assert "\n" not in str(error.value)


def test_unknown_names_are_refused():
    runs, _, _ = simulate(forks=None)
    with pytest.raises(InputError, match="'resid'"):
        variance_table(runs, metric="value", proxies=["resid"])
    with pytest.raises(InputError, match="'weights'"):
        variance_table(runs, metric="value", information=["weights"])


def test_depth_zero_is_no_part_of_an_envelope():
    runs, forks, draws, _ = simulate_task("t", {"process": "synthetic_dynamic"}, 60, [0, *DEPTHS], 256, [3])
    v, e, _, _ = every_table(runs, forks, draws)
    assert not ((v["depth"] == 0) & (v["information"] == "last")).any()
    assert (e["depths"] == 9).all()


def test_scale_of_the_metric(frames):
    runs, forks, draws = simulate()
    big = [f.assign(value=f["value"] * 100 + 7) for f in (runs, forks)]
    v, e, c, g = every_table(runs, forks, draws)
    v2, e2, c2, g2 = every_table(*big, draws)
    assert v2["risk"].to_numpy() == pytest.approx(v["risk"].to_numpy() * 1e4, rel=1e-6)
    power, power2 = (t[t["model"] == "power"] for t in (e, e2))
    for column, factor in (("alpha", 1.0), ("K", 1e4), ("L_int", 1e4)):
        expected = power[column].to_numpy() * factor
        assert power2[column].to_numpy() == pytest.approx(expected, rel=1e-3, nan_ok=True)
    assert c2["c_star"].to_numpy() == pytest.approx(c["c_star"].to_numpy(), abs=1.01, nan_ok=True)
    assert g2["regime"].tolist() == g["regime"].tolist()


def test_summary_tells_each_verdict(made):
    v, e, c, g = made
    page = summary([verdict("synthetic_dynamic", v, e, c, g)], v)
    row = next(line for line in page.splitlines() if line.startswith("| synthetic_dynamic | "))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    power = e[(e["model"] == "power") & (e["proxy"] == "fork") & (e["task"] == "synthetic_dynamic")].iloc[0]
    assert cells[3] == "fork (state)"
    assert cells[5].startswith(f"{power['alpha']:.2g} [")
    v = v[v["task"] == "synthetic_dynamic"]
    at = v[(v["proxy"] == "residual") & (v["information"] == "last") & (v["depth"] == 1)].iloc[0]
    assert f"residual (last) | 1: {at['risk'] / at['var_r']:.2g}," in page
    lost = {"task": "t", "in_words": "t is undecided: 100% of its runs failed."}
    assert "**t**: t is undecided" in summary([lost], v)
