"""The estimators' benchmark: its truth, its bounds, its sums, and what it finds in miniature."""

import numpy as np
import pandas as pd
import pytest

from prehoc import tables
from prehoc.benchmark.estimators import (
    estimators_table,
    regret_table,
    targets_table,
    truths_of,
)
from prehoc.benchmark.trials import (
    Setting,
    bounds,
    confusion_table,
    reading,
    regret_bound,
    trials,
    truth_of,
)
from prehoc.figures import estimators as figure
from prehoc.risk.regimes import Thresholds
from prehoc.synthetic.instances import INSTANCES

NAMES = ("dynamic_a050", "dynamic_hidden", "control_linear")


def setting(name, price=0.2):
    return Setting(name, 7, price, bootstrap=40)


@pytest.fixture(scope="module")
def tried():
    made = [trials(setting(name), n, 12) for name in NAMES for n in (60, 300)]
    return pd.concat(made, ignore_index=True)


@pytest.fixture(scope="module")
def truths():
    return truths_of(NAMES, 7, 0.2, 0.95)


def test_every_regime_and_three_controls_are_tried():
    names = list(INSTANCES)
    assert sum(INSTANCES[n].power_law for n in names) >= 18
    assert sum(not INSTANCES[n].power_law for n in names) == 3
    assert {reading(INSTANCES[n])[0] for n in names} == {"residual", "fork"}


def test_truth_is_the_process_own(truths):
    t = truths["dynamic_a050"]
    law = 1.0 * (np.array(t.instance.depths, float) ** -0.5 - 1024**-0.5)
    exact = t.instance.build().exact_risk(t.instance.depths, "last")
    assert t.risk == pytest.approx(exact)
    assert t.risk - t.risk[-1] == pytest.approx(law, abs=1e-3)  # the metric's noise is .01
    assert t.fit.alpha == pytest.approx(0.5, abs=1e-3)
    assert t.total[0] == t.var_r
    assert t.c_star == np.argmin(t.total)
    best = (0.5 * t.fit.K / t.rate) ** (1 / 1.5)
    assert t.c_star == pytest.approx(best, abs=1.5)


def test_bounds_fall_with_the_root_of_the_runs(truths):
    one, four = (bounds(truths["dynamic_a050"], n) for n in (100, 400))
    for key, value in one.items():
        assert value == pytest.approx(2 * four[key])
    assert regret_bound(truths["dynamic_a050"], 100) == pytest.approx(
        4 * regret_bound(truths["dynamic_a050"], 400)
    )
    assert np.isnan(bounds(truths["control_linear"], 100)["alpha"])


def test_bound_of_independent_depths_is_the_textbook_one():
    """Forks of a linear process are independent over depths: the information is a plain sum."""
    t = truth_of(setting("dynamic_contract"))
    apart = np.diag(np.diag(t.covariance))
    off = np.abs(t.covariance - apart).max() / np.diag(apart).max()
    assert off < 0.05
    g = t.fit.gradient(t.fit.depth) / t.fit.mu(t.fit.depth)[:, None]
    plain = np.linalg.inv(g.T @ np.linalg.solve(apart[1:, 1:] / 200, g))
    assert bounds(t, 200)["alpha"] == pytest.approx(np.sqrt(plain[2, 2]), rel=0.05)


def test_trials_are_reproducible_and_checked(tried):
    again = trials(setting("dynamic_a050"), 60, 12)
    mask = (tried["instance"] == "dynamic_a050") & (tried["runs"] == 60)
    pd.testing.assert_frame_equal(tried[mask].reset_index(drop=True), again)
    tables.check("trials", tried)
    regret = tried[tried["quantity"].str.startswith("regret:")]["value"]
    assert (regret >= 0).all()


def test_sums_are_right_on_made_up_trials(truths):
    t = truths["dynamic_a050"]
    rows = []
    for trial, off in enumerate((-0.1, 0.3)):
        alpha = t.fit.alpha + off
        rows.append(("alpha", alpha, alpha - 0.2, alpha + 0.2))
        rows += [("L_int", t.risk[-1], 0.0, 1.0), ("identified", 1.0, np.nan, np.nan)]
        rows += [("U", t.risk[0], 0.0, 99.0), ("c_star:guarded", t.c_star * np.e, 0.0, t.c_star)]
        rows += [
            ("lack_of_fit_p", 0.5 - 0.495 * trial, np.nan, np.nan),
            ("power_wins", 1.0, np.nan, np.nan),
        ]
        rows += [
            (f"regret:{r}", 0.01, np.nan, np.nan)
            for r in ("guarded", "argmin", "closed_form", "grid", "loglog")
        ]
    frame = pd.DataFrame(rows, columns=["quantity", "value", "low", "high"])
    frame = frame.assign(
        instance="dynamic_a050", runs=300, depth=1, trial=np.repeat([0, 1], len(rows) // 2)
    )
    made = estimators_table(frame, truths).set_index("quantity")
    assert made.loc["alpha", "bias"] == pytest.approx(0.1)
    assert made.loc["alpha", "rmse"] == pytest.approx(np.sqrt((0.01 + 0.09) / 2))
    assert made.loc["alpha", "coverage"] == 0.5
    assert made.loc["alpha", "ratio"] == pytest.approx(np.sqrt(0.05) / bounds(t, 300)["alpha"])
    assert made.loc["log_c_star", "bias"] == pytest.approx(1.0)
    assert made.loc["log_c_star", "coverage"] == 1.0
    assert made.loc["U", "truth"] == 1.0
    regret = regret_table(frame, truths).iloc[0]
    assert regret["lack_of_fit"] == 0.5
    assert regret["regret_guarded"] == pytest.approx(0.01)


def test_the_miniature_finds_what_the_benchmark_finds(tried, truths):
    made = estimators_table(tried, truths)
    at = made[(made["instance"] != "control_linear") & (made["runs"] == 300)]
    alpha = at[at["quantity"] == "alpha"]
    assert (alpha["ratio"] < 1.8).all()  # 12 trials: a ratio of 1 is below 1.6 with probability .999
    assert (at["coverage"] >= 0.6).all()
    assert (at["bias"].abs() <= 4 * at["rmse"] / np.sqrt(12) + 1e-12).all()
    regret = regret_table(tried, truths).set_index(["instance", "runs"])
    assert regret.loc[("control_linear", 300), "lack_of_fit"] == 1.0
    assert regret.loc[("dynamic_a050", 300), "regret_guarded"] < 0.002
    assert regret.loc[("control_linear", 300), "regret_guarded"] < 0.03


def test_confusion():
    made = confusion_table(setting("noise_a050"), 100, 6, Thresholds())
    assert made["share"].sum() == pytest.approx(1.0)
    assert (made["truth"] == "noise_dominant").all()
    assert made.set_index("named").loc["noise_dominant", "share"] >= 5 / 6
    assert confusion_table(setting("control_linear"), 100, 2, Thresholds()).empty


def test_a_missed_target_is_called_missed(tried, truths):
    made, regret = estimators_table(tried, truths), regret_table(tried, truths)
    confusion = confusion_table(setting("dynamic_a050"), 100, 4, Thresholds())
    reached = targets_table(made, regret, confusion).set_index(["criterion", "runs"])
    assert reached.loc[("regime accuracy", 100), "met"]
    assert reached.loc[("lack-of-fit power on controls", 300), "met"]
    worse = regret.assign(regret_guarded=0.5, lack_of_fit=0.9)
    missed = targets_table(made.assign(coverage=0.5), worse, confusion.assign(named="noise_dominant"))
    for row in missed.to_dict("records"):
        if "RMSE" not in row["criterion"]:
            assert not row["met"], row["criterion"]
            assert row["share_met"] == 0.0
            assert not row["mean_met"]


def test_one_instance_that_misses_is_a_miss(tried, truths):
    regret = regret_table(tried, truths)
    law = regret["power_law"] & (regret["runs"] == 300)
    two = regret.copy()
    two.loc[law & (regret["instance"] == "dynamic_a050"), "regret_guarded"] = 0.0015
    two.loc[law & (regret["instance"] == "dynamic_hidden"), "regret_guarded"] = 0.0
    confusion = confusion_table(setting("dynamic_a050"), 100, 2, Thresholds())
    made = targets_table(estimators_table(tried, truths), two, confusion)
    row = made[made["criterion"] == "guarded regret on power laws"].iloc[0]
    assert (row["met"], row["mean_met"], row["share_met"]) == (False, True, 0.5)


def test_figure_shows_each_number(tried, truths, tmp_path):
    made, regret = estimators_table(tried, truths), regret_table(tried, truths)
    confusion = confusion_table(setting("dynamic_a050"), 100, 4, Thresholds())
    paths = figure.save(tmp_path, made, regret, confusion, formats=["png"])
    shown = pd.read_csv(paths[-1])
    row = made[(made["quantity"] == "alpha") & (made["runs"] == 300)].iloc[0]
    at = shown[(shown["task"] == row["instance"]) & (shown["note"].astype(str) == "300")]
    assert at[at["panel"] == "alpha"]["x"].iloc[0] == pytest.approx(row["coverage"])
    assert at[at["panel"] == "ratio"]["x"].iloc[0] == pytest.approx(row["ratio"])
    assert set(shown["panel"]) == {*figure.PANELS}
