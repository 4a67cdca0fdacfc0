"""Degenerate input, frame by frame: a clear error, or an honest "not identified"; never a made-up number.

And what must hold for every frame: scale, shift, order of seeds, monotony, signs, schemas.
"""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prehoc import tables
from prehoc.errors import InputError
from prehoc.risk.pipeline import (
    advice_table,
    c_star_table,
    envelope_table,
    intrinsic_table,
    regimes_table,
    variance_table,
    verdict,
)
from prehoc.synthetic.frames import simulate_task

DEPTHS = [1, 2, 4, 8, 16, 32, 64]
T = 128
PRICES = (0.05, 0.2, 1.0)


def simulate(task="t", n=60, process="dynamic_a050", seed=3, forks=None):
    return simulate_task(task, {"process": process, "forks": forks}, n, DEPTHS, T, [seed])[:3]


def made_of(runs, forks=None, draws=None, resamples=20, prices=PRICES, **kw):
    v = variance_table(runs, forks, draws, metric="value", **kw)
    e = envelope_table(v, runs, forks, draws, **kw)
    c = c_star_table(e, v, runs, forks, draws, prices=prices, **kw)
    g = regimes_table(runs, forks, draws, v, e, resamples=resamples, **kw)
    i = intrinsic_table(v, e, runs, forks, draws, **kw)
    a = advice_table(v, runs, forks, draws, **kw)
    for name, table in zip(("variance", "envelope", "c_star", "regimes", "intrinsic", "advice"),
                           (v, e, c, g, i, a), strict=True):  # fmt: skip
        tables.check(name, table)
    return v, e, c, g, i, a


def said(made, task="t"):
    v, e, c, g, i, a = made
    text = verdict(task, v, e, c, g, intrinsic=i, advice=a)
    json.dumps(text, allow_nan=False)
    return text


def val(runs):
    return runs["split"] == "val"


def seeds(runs, count):
    return runs["seed"] < count


def with_value(runs, rows, value):
    return runs.assign(value=runs["value"].where(~rows, value))


RUNS = simulate()[0]
OTHER = simulate("other", seed=4)[0]

REFUSED = {
    "one seed": (RUNS[seeds(RUNS, 1)], r"task 't': 1 of 1 runs .* at least 5"),
    "four seeds": (RUNS[seeds(RUNS, 4)], r"task 't': 4 of 4 runs .* at least 5"),
    "no rows": (RUNS.iloc[:0], "no rows"),
    "no validation": (RUNS[~val(RUNS)], "task 't': no validation metric at a depth of 1 or more"),
    "depth 0 alone": (
        pd.concat([RUNS[val(RUNS) & (RUNS["depth"] == 1)].assign(depth=0), RUNS[~val(RUNS)]]),
        "task 't': no validation metric at a depth of 1 or more",
    ),
    "negative depth": (RUNS.assign(depth=-RUNS["depth"]), r"'runs' .* greater_than_or_equal_to\(0\)"),
    "fractional depth": (RUNS.assign(depth=RUNS["depth"] + 0.5), "'depth' takes whole numbers, not 1.5"),
    "missing depth": (RUNS.assign(depth=RUNS["depth"].where(RUNS["depth"] != 4)), "depth"),
    "duplicated rows": (pd.concat([RUNS, RUNS.head(3)]), "unique|duplicate"),
    "horizon missing": (RUNS[val(RUNS)], "task 't': no horizon is given"),
    "two horizons": (
        pd.concat([RUNS, RUNS[RUNS["split"] == "target"].assign(depth=64)]), "task 't': .*give the horizon"
    ),
    "all failed": (RUNS.assign(value=np.nan, failure=True), r"task 't': 0 of 60 runs"),
    "all values missing": (RUNS.assign(value=np.nan), r"task 't': 0 of 60 runs"),
    "infinite metric": (
        with_value(RUNS, seeds(RUNS, 1) & val(RUNS), np.inf), r"task 't': .*infinite, the first of seed 0 "
    ),
    "minus infinity in R": (
        with_value(RUNS, (RUNS["seed"] == 7) & ~val(RUNS), -np.inf), r"task 't': .*infinite, the first of seed 7 "
    ),
    "text values": (RUNS.assign(value="good"), "'runs' .*value"),
    "text seeds": (RUNS.assign(seed="a"), "'runs' .*seed"),
    "unknown split": (RUNS.assign(split="test"), "'runs' .*split"),
    "another metric": (RUNS.assign(metric="loss"), "no run has metric 'value'"),
    "lost column": (RUNS.drop(columns="failure"), "failure"),
    "beyond the horizon": (RUNS.assign(depth=RUNS["depth"].where(~val(RUNS), RUNS["depth"] + T)), "beyond"),
    "one good task, one bad": (pd.concat([OTHER, RUNS[seeds(RUNS, 2)]]), r"task 't': 2 of 2 runs"),
    "one good task, one infinite": (
        pd.concat([OTHER, with_value(RUNS, val(RUNS), np.inf)]), r"task 't': .*infinite"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refused_in_one_line_that_names_what_is_wrong(case):
    runs, message = REFUSED[case]
    with pytest.raises(InputError, match=message) as error:
        made_of(runs)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 600


R = RUNS.loc[RUNS["split"] == "target", "value"].mean()
NO_LAW = {
    "constant metric": RUNS.assign(value=0.9),
    "constant R, metric varies": with_value(RUNS, ~val(RUNS), 0.5),
    "R varies, constant metric": with_value(RUNS, val(RUNS), 0.5),
    "one depth": RUNS[~val(RUNS) | (RUNS["depth"] == 8)],
    "one depth, T": RUNS[~val(RUNS) | (RUNS["depth"] == T)],
    "two depths": RUNS[~val(RUNS) | RUNS["depth"].isin([1, 32])],
    "three depths": RUNS[~val(RUNS) | RUNS["depth"].isin([1, 8, 64])],
}


@pytest.mark.parametrize("case", NO_LAW)
def test_no_law_is_no_number(case):
    """No alpha, no K, no closed-form c*; and a verdict that says why."""
    made = made_of(NO_LAW[case])
    power = made[1][made[1]["model"] == "power"]
    driving = power[(power["proxy"] == "residual") & (power["information"] == "last")]
    assert len(driving) == 1
    for _, row in driving.iterrows():
        assert not row["identified"]
        assert np.isnan(row["alpha"])
        assert np.isnan(row["K"])
        assert row["note"]
    closed = made[2][(made[2]["rule"] == "closed_form") & (made[2]["proxy"] == "residual")]
    assert closed.loc[closed["information"] == "last", "c_star"].isna().all()
    text = said(made)
    assert text["alpha"]["value"] is None
    assert text["alpha"]["because"]
    assert made[5].loc[made[5]["option"] == "seeds", "alpha_width_then"].isna().all()


def test_what_does_not_vary_is_settled():
    for case in ("constant metric", "constant R, metric varies"):
        made = made_of(NO_LAW[case])
        assert set(made[3].loc[made[3]["reading"] == "bayes", "regime"]) == {"static_sufficient"}
        assert made[2][made[2]["proxy"] == "residual"].empty
        assert (made[0].loc[made[0]["proxy"] == "residual", "risk"] == 0).all()
        assert "R does not vary over the runs" in said(made)["in_words"]


def test_a_metric_that_says_nothing_leaves_all_of_the_variance():
    made = made_of(NO_LAW["R varies, constant metric"])
    residual = made[0][(made[0]["proxy"] == "residual") & (made[0]["information"] == "last")]
    assert residual["risk"].to_numpy() == pytest.approx(residual["var_r"].to_numpy(), rel=1e-9)
    bayes = made[3][made[3]["reading"] == "bayes"]
    assert set(bayes["regime"]) == {"noise_dominant"}
    best = made[2][(made[2]["recommended"])]
    assert (best["corner"] == "zero").all()
    assert (best["c_star"] == 0).all()


def test_few_depths_name_no_regime_without_the_horizon():
    made = made_of(NO_LAW["one depth"])
    assert set(made[3]["regime"]) == {"undecided"}


def test_five_runs_give_wide_intervals_not_a_law():
    made = made_of(RUNS[seeds(RUNS, 5)])
    assert (made[0].loc[made[0]["proxy"] == "residual", "n"] == 5).all()
    last = made[0][(made[0]["information"] == "last") & (made[0]["proxy"] == "residual")]
    assert (last["ci_high"] > 4 * last["ci_low"]).all()
    power = made[1][(made[1]["model"] == "power") & (made[1]["proxy"] == "residual")]
    assert not power["identified"].any()
    assert power["alpha"].isna().all()
    said(made)


def test_a_degenerate_task_leaves_its_neighbour_alone():
    alone = made_of(OTHER)
    both = made_of(pd.concat([RUNS.assign(value=0.9), OTHER]))
    for one, two in zip(alone, both, strict=True):
        kept = two[two["task"] == "other"].reset_index(drop=True)
        pd.testing.assert_frame_equal(kept, one.reset_index(drop=True))
    assert said(both, "other") == said(alone, "other")


def test_depth_0_and_scattered_missing_values_change_no_other_depth():
    zero = RUNS[val(RUNS) & (RUNS["depth"] == 1)].assign(depth=0)
    for one, two in zip(made_of(RUNS), made_of(pd.concat([zero, RUNS])), strict=True):
        pd.testing.assert_frame_equal(one, two)
    hole = with_value(RUNS, (RUNS["seed"] < 3) & val(RUNS) & (RUNS["depth"] == 8), np.nan)
    last = variance_table(hole, metric="value", proxies=["residual"], information=["last"])
    assert last.set_index(["information", "depth"])["n"].loc["last"].to_dict() == {
        d: 57 if d == 8 else 60 for d in [*DEPTHS, T]
    }


# ---------------------------------------------------------------------------------- properties
quick = settings(max_examples=5, deadline=None, derandomize=True)
POOL = [simulate(n=40, seed=s)[0] for s in range(4)]


def curves(runs, **kw):
    kw = {"proxies": ["residual"], "information": ["last"]} | kw
    v = variance_table(runs, metric="value", **kw)
    return v, envelope_table(v, runs)


def power_of(envelope):
    return envelope[envelope["model"] == "power"].iloc[0]


@quick
@given(st.sampled_from(POOL), st.floats(1e-3, 1e3), st.floats(-100, 100))
def test_scale_and_shift_of_the_metric(runs, scale, shift):
    """x -> s x + a: risks, K and L_int by s^2; alpha, c* at a price, shares and regimes unchanged."""
    moved = runs.assign(value=runs["value"] * scale + shift * scale)
    (v, e), (v2, e2) = curves(runs), curves(moved)
    assert v2["risk"].to_numpy() == pytest.approx(v["risk"].to_numpy() * scale**2, rel=1e-6)
    one, two = power_of(e), power_of(e2)
    assert two["identified"] == one["identified"]
    ends = ["alpha", "alpha_low", "alpha_high", "onset", "lack_of_fit_p"]
    assert two[ends].to_list() == pytest.approx(one[ends].to_list(), rel=1e-3, abs=1e-6, nan_ok=True)
    for name in ("K", "L_int", "L_int_low", "L_int_high"):
        expected = one[name] * scale**2
        assert two[name] == pytest.approx(expected, rel=1e-3, abs=1e-9 * scale**2, nan_ok=True)
    c, c2 = (c_star_table(*pair, runs, prices=PRICES) for pair in ((e, v), (e2, v2)))
    assert c2["c_star"].to_numpy() == pytest.approx(c["c_star"].to_numpy(), rel=5e-3, abs=1.01, nan_ok=True)
    assert c2["gamma"].to_numpy() == pytest.approx(c["gamma"].to_numpy() * scale**2)
    i, i2 = intrinsic_table(v, e, runs), intrinsic_table(v2, e2, moved)
    shares = i["share_of_var_r"].to_numpy()
    assert i2["share_of_var_r"].to_numpy() == pytest.approx(shares, rel=1e-3, abs=1e-6)


@quick
@given(st.sampled_from(POOL), st.integers(0, 10_000))
def test_names_of_seeds_do_not_matter(runs, seed):
    names = np.random.default_rng(seed).permutation(1000)[:40]
    other = runs.assign(seed=names[runs["seed"].to_numpy()]).sample(frac=1, random_state=seed)
    for one, two in zip(curves(runs), curves(other), strict=True):
        pd.testing.assert_frame_equal(one, two, rtol=1e-6)


@quick
@given(st.sampled_from(POOL), st.floats(1.1, 30))
def test_c_star_never_grows_with_gamma_or_lambda_and_only_their_product_counts(runs, more):
    v, e = curves(runs)
    gammas = [1e-4, 1e-2]

    def depths(factor, cost):
        c = c_star_table(e, v, runs, gammas=[g * factor for g in gammas], cost_per_step=cost)
        return c.sort_values(["rule", "gamma"])["c_star"].to_numpy()

    base = depths(1.0, 1.0)
    for dearer in (depths(more, 1.0), depths(1.0, more)):
        known = np.isfinite(base) & np.isfinite(dearer)
        assert known.any()
        assert (dearer[known] <= base[known]).all()
    assert depths(more, 1.0) == pytest.approx(depths(1.0, more), abs=1.01, nan_ok=True)


@quick
@given(st.sampled_from(POOL), st.floats(1.1, 10))
def test_c_star_never_falls_with_k(runs, more):
    """All variances times `more` at the same gamma: K is `more` times as large."""
    v, e = curves(runs)
    larger = runs.assign(value=runs["value"] * np.sqrt(more))
    v2, e2 = curves(larger)
    kw = {"gammas": [1e-4, 1e-2]}
    base = c_star_table(e, v, runs, **kw)["c_star"].to_numpy()
    grown = c_star_table(e2, v2, larger, **kw)["c_star"].to_numpy()
    known = np.isfinite(base) & np.isfinite(grown)
    assert (grown[known] >= base[known] - 1.0).all()


@quick
@given(st.integers(0, 10_000), st.integers(5, 25), st.integers(1, 6), st.booleans())
def test_any_numbers_make_tables_as_declared(seed, n, count, heavy):
    """Noise of any kind, with holes and failures: schemas hold, b and K are never below 0."""
    rng = np.random.default_rng(seed)
    depths = np.sort(rng.choice(np.arange(1, T), count, replace=False))
    rows = []
    for s in range(n):
        failed = s >= 5 and rng.random() < 0.1
        draw = rng.standard_cauchy if heavy else rng.normal
        for split, depth in [*(("val", int(d)) for d in depths), ("target", T)]:
            hole = split == "val" and depth < depths[-1] and rng.random() < 0.05
            value = np.nan if failed or hole else float(draw())
            rows.append(("t", s, depth, split, "value", value, failed))
    runs = pd.DataFrame(rows, columns=list(tables.SCHEMAS["runs"].columns))
    made = made_of(runs, resamples=5, prices=[0.2])
    fits = made[1]
    for name in ("L_int", "K"):
        known = fits.loc[fits["model"].isin(["power", "exponential", "flat", "late"]), name].dropna()
        assert (known >= 0).all()
    quiet = fits[(fits["model"] == "power") & ~fits["identified"]]
    assert quiet[["alpha", "K"]].isna().all().all()
    said(made)


def unread(how):
    seeds = sorted(RUNS["seed"].unique())[:6]
    lost = (RUNS["split"] != "val") & RUNS["seed"].isin(seeds)
    if how == "no row":
        return RUNS[~lost]
    return RUNS.assign(value=RUNS["value"].where(~lost))


@pytest.mark.parametrize("how", ["no row", "null"])
def test_outcomes_that_are_not_there_are_no_failures(how):
    with pytest.raises(InputError, match=r"6 of \d+ runs have no outcome at the horizon .*not marked"):
        made_of(unread(how))


@pytest.mark.parametrize("given", ["64", 64.5, float("nan"), True])
def test_horizons_are_whole_numbers(given):
    with pytest.raises(InputError, match="whole number of steps"):
        variance_table(RUNS, metric=RUNS["metric"].iloc[0], horizons=given)


def test_forks_belong_to_runs():
    forks = pd.DataFrame(
        {"task": RUNS["task"].iloc[0], "seed": 10_000, "depth": 1, "fork": range(4), "metric": RUNS["metric"].iloc[0], "value": 0.5}
    )  # fmt: skip
    with pytest.raises(InputError, match=r"forks of seeds \[10000\], which are in no run"):
        variance_table(RUNS, forks, metric=RUNS["metric"].iloc[0])
