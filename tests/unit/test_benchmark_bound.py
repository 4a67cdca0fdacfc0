"""The lower bound: honest predictors keep above it, a cheat is caught, and the table says so."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from prehoc import tables
from prehoc.benchmark.bound import (
    bound_table,
    envelope_bound,
    exact,
    expected,
    holm,
    makers,
    measure,
    verdict,
)
from prehoc.errors import InputError
from prehoc.figures import lower_bound
from prehoc.synthetic.instances import INSTANCES, instances
from prehoc.synthetic.linear_gaussian import PowerLaw

SIZES = {"train": 200, "test": 1000, "replicates": 2, "seed": 5}
CHEAP = ("ols", "knn", "extrapolation", "last_value")


@pytest.fixture(scope="module")
def table():
    names = ("dynamic_a050", "static_visible", "noise_urn", "control_linear")
    parts = [bound_table(name, makers(CHEAP, gp_rows=50), **SIZES) for name in names]
    return pd.concat(parts, ignore_index=True)


def test_no_predictor_lies_below_the_exact_risk(table):
    whole = verdict(table).set_index(["scope", "name"]).loc["all", "all"]
    assert whole["rows"] == 4 * 4 * 11
    assert whole["verdict"] == "holds"
    assert whole["min_z"] > whole["critical_z"]
    assert whole["below_minus_2"] < 16  # of 176 rows that share their test runs
    assert table["information"].isin(["prefix", "static+prefix"]).all()
    assert set(table.loc[table["instance"] == "static_visible", "information"]) == {"static+prefix"}


@dataclass(frozen=True)
class Leak(PowerLaw):
    """A process whose metrics know the noise that R will get: what a leak in a benchmark does."""

    def simulate(self, n, depths, rng):
        s = super().simulate(n, depths, rng)
        return replace(s, metric=s.metric + (s.outcome - s.state[:, -1])[:, None])


def test_a_cheat_is_flagged(table):
    """The metric carries R's noise; the exact risk does not know it, so OLS goes below the bound."""
    cheat = Leak(1024, **INSTANCES["noise_a050"].parameters)
    leaky = bound_table("noise_a050", makers(["ols"], gp_rows=50), process=cheat, **SIZES)
    assert (leaky["risk"] < 0.5 * leaky["exact"]).any()
    both = verdict(pd.concat([table, leaky], ignore_index=True)).set_index(["scope", "name"])
    assert both.loc[("all", "all"), "verdict"] == "violated"
    assert both.loc[("all", "all"), "violations"] >= 5
    assert both.loc[("predictor", "ols"), "verdict"] == "violated"
    assert both.loc[("predictor", "knn"), "verdict"] == "holds"


def test_ols_reaches_the_exact_risk_with_much_data():
    """Linear and Gaussian: the Bayes predictor is linear.  Five standard errors of the risk are 3 %."""
    process, rng = INSTANCES["dynamic_a050"].build(), np.random.default_rng(0)
    depths = (1, 8, 64, 512)
    mean, _ = measure(process, depths, makers(["ols"], gp_rows=50), train=4000, test=60_000, rng=rng)
    assert mean[0] == pytest.approx(exact(process, depths)[1], rel=0.03)


def test_expected_risk_covers_both_spreads():
    rng = np.random.default_rng(1)
    means = 2.0 + 0.1 * rng.standard_normal((400, 1, 1))
    risk, se = expected(means, np.full((400, 1, 1), 1e-6))
    assert risk == pytest.approx(2.0, abs=0.02)
    assert se == pytest.approx(0.1 / 20, rel=0.15)
    _, least = expected(np.full((4, 1, 1), 2.0), np.full((4, 1, 1), 0.04))
    assert least == pytest.approx(0.1)


def test_z_is_standard_where_the_predictor_is_the_bayes_predictor():
    """The exact conditional mean known: z must be N(0, 1) or narrower, not shifted."""

    class Bayes:
        def fit(self, prefix, outcome, static=None):
            return self

        def predict(self, prefix, static=None):
            return prefix[:, -1]

    process = PowerLaw(64, alpha=0.5, target_noise=0.5, metric_noise=0.0)
    depths, rng = (1, 8, 64), np.random.default_rng(2)
    truth, z = exact(process, depths)[1], []
    for _ in range(100):
        parts = [measure(process, depths, {"bayes": lambda d, t: Bayes()}, train=10, test=300, rng=rng)
                 for _ in range(3)]  # fmt: skip
        risk, se = expected(np.array([p[0] for p in parts]), np.array([p[1] for p in parts]))
        z.append(((risk - truth) / se)[0])
    z = np.array(z)
    assert abs(z.mean()) < 0.25
    assert 0.7 < z.std() < 1.15


@pytest.mark.parametrize("instance", instances(power_law=True), ids=lambda i: i.name)
def test_the_envelope_bounds_every_information_set(instance):
    process, lower = instance.build(), envelope_bound(instance, instance.depths)
    for information in ("state", *process.information()):
        assert np.all(lower <= process.exact_risk(instance.depths, information) * (1 + 1e-9))
    state = process.exact_risk(instance.depths, "state")
    assert np.any(np.isclose(lower[:-1], state[:-1], rtol=1e-9))  # it touches: K is the largest
    if instance.process == "power_law":
        np.testing.assert_allclose(lower, state, rtol=1e-9)


def test_there_is_no_envelope_without_a_power_law():
    assert np.isnan(envelope_bound(INSTANCES["control_linear"], (1, 2, 1024))).all()
    shallow = envelope_bound(INSTANCES["dynamic_a050"], (1024,))
    assert shallow == pytest.approx(INSTANCES["dynamic_a050"].parameters["target_noise"] ** 2)


def test_state_stands_in_where_nothing_else_is_exact():
    class Blind(PowerLaw):
        def exact_risk(self, depths, information):
            if information == "prefix":
                raise InputError("no exact risk")
            return super().exact_risk(depths, information)

    information, risk, last = exact(Blind(64, target_noise=0.1), (1, 8))
    assert information == "state"
    np.testing.assert_allclose(risk, PowerLaw(64, target_noise=0.1).exact_risk((1, 8), "state"))
    assert last == pytest.approx(0.01)


def test_holm_is_bonferroni_at_the_first_step():
    z = np.array([-3.0, -0.5, 1.0, 2.0])
    count, p = holm(z, 0.01)
    assert (count, p) == (1, pytest.approx(4 * norm.cdf(-3.0)))
    assert holm(np.array([-2.5, 0.0, 0.0, 0.0]), 0.01)[0] == 0
    assert holm(np.full(3, -9.0), 0.01)[0] == 3


def test_table_and_verdict_survive_files(tmp_path, table):
    for name, frame in (("lower_bound", table), ("lower_bound_verdict", verdict(table))):
        tables.write(name, frame, tmp_path / f"{name}.csv")
        again = tables.read(name, tmp_path / f"{name}.csv")
        assert len(again) == len(frame)
    assert table.groupby("instance")["bound"].count()["control_linear"] == 0
    np.testing.assert_allclose(table["excess"], table["risk"] / table["exact"] - 1)
    at_end = table[table["depth"] == 1024]
    np.testing.assert_allclose(at_end["v_opt"], 0, atol=1e-12)


def test_bad_input_is_one_line():
    with pytest.raises(InputError, match=r"'nothing' is unknown.*dynamic_a050"):
        bound_table("nothing", makers(["ols"], gp_rows=50), **SIZES)
    with pytest.raises(InputError, match="'oracle' is unknown"):
        makers(["oracle"], gp_rows=50)
    with pytest.raises(InputError, match="empty"):
        verdict(tables.empty("lower_bound"))


def test_the_figure_shows_every_row(tmp_path, table):
    frame = lower_bound.collect(table)
    assert (frame["kind"] == "predictor").sum() == len(table)
    assert (frame["kind"] == "exact").sum() == 4 * 11
    assert (frame["kind"] == "bound").sum() == 3 * 11
    one = table.iloc[0]
    drawn = frame[(frame["task"] == one["instance"]) & (frame["proxy"] == one["predictor"])].iloc[0]
    assert drawn["y"] == pytest.approx(one["risk"] / one["var_r"])
    paths = lower_bound.save(tmp_path, table, formats=["pdf"])
    assert [p.name for p in paths] == ["lower_bound.pdf", "lower_bound.csv"]
    first = paths[0].read_bytes()
    lower_bound.save(tmp_path, table, formats=["pdf"])
    assert paths[0].read_bytes() == first
