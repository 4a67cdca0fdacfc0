"""The theory's rates: fits of exact curves, intervals that cover, and schedules without a power law."""

from pathlib import Path

import numpy as np
import pytest

from prehoc import tables
from prehoc.benchmark.rates import (
    Schedule,
    depths_of,
    exact_alpha,
    rates_table,
    replicate,
    schedules,
    winner,
)
from prehoc.config import load
from prehoc.errors import InputError
from prehoc.figures import rates as figure
from prehoc.synthetic.linear_gaussian import LinearGaussian

T = 1024
CONTROLS = [
    {"schedule": "constant", "rho": None, "h": 0.0, "eta_0": 0.03, "sigma": 1.0},
    {"schedule": "cosine", "rho": None, "h": 0.0, "eta_0": 0.05, "sigma": 1.0},
    {"schedule": "rho", "rho": 0.75, "h": 0.5, "eta_0": 0.5, "sigma": 1.0},
]


def fits(case, n, count, seed=0):
    process, rng = case.build(T, 0.1), np.random.default_rng(seed)
    return [replicate(process, n, 0.95, rng) for _ in range(count)]


@pytest.fixture(scope="module")
def table():
    return rates_table(
        runs=300, replicates=5, horizon=64, target_noise=0.1, rho=[0.75, 1.0], eta_0=0.5,
        curvature=[0.25], controls=CONTROLS, control_runs=[50, 300], confidence=0.95, seed=3,
    )  # fmt: skip


def test_cosine_goes_from_eta_0_to_nothing():
    eta = LinearGaussian(100, schedule="cosine", eta_0=0.4).rates()
    assert eta[0] == pytest.approx(0.4)
    assert eta[50] == pytest.approx(0.2)
    assert eta[-1] == pytest.approx(0.4 * np.sin(np.pi / 200) ** 2)
    assert np.all(np.diff(eta) < 0)
    with pytest.raises(InputError, match="cosine"):
        LinearGaussian(100, schedule="cosin")


@pytest.mark.parametrize("rho", [0.55, 0.6, 0.75, 0.9, 1.0])
def test_exact_curve_of_a_flat_direction_has_alpha_2_rho_minus_1(rho):
    """Within .015: sums over steps are not integrals, which the first depths show."""
    case = schedules([rho], 0.5, [], [])[0]
    assert case.theory == pytest.approx(2 * rho - 1)
    assert exact_alpha(case.build(T, 0.1)) == pytest.approx(case.theory, abs=0.015)


@pytest.mark.parametrize("product", [0.05, 0.15, 0.25, 0.35, 0.45])
def test_exact_curve_at_rho_one_has_alpha_1_minus_2_h_eta(product):
    case = schedules([], 0.5, [product], [])[0]
    assert (case.h * case.eta_0, case.theory) == pytest.approx((product, 1 - 2 * product))
    assert exact_alpha(case.build(T, 0.1)) == pytest.approx(case.theory, abs=0.02)
    doubled = Schedule("curvature", "rho", 1.0, product / 0.25, 0.25, case.theory)
    assert exact_alpha(doubled.build(T, 0.1)) == pytest.approx(
        case.theory, abs=0.02
    )  # h eta_0 alone counts


@pytest.mark.parametrize(
    "case", schedules([0.55, 0.75, 1.0], 0.5, [0.05, 0.25, 0.45], []), ids=lambda c: c.name
)
def test_the_bias_is_that_of_the_first_steps(case):
    """From depth 16 on the exact curve has the theory's alpha within .003, at no longer a horizon."""
    assert exact_alpha(case.build(T, 0.1), 16) == pytest.approx(case.theory, abs=0.003)


@pytest.mark.parametrize("case", schedules([0.6, 0.75, 0.9], 0.5, [0.15], []), ids=lambda c: c.name)
def test_intervals_cover_the_theory(case):
    """60 experiments: a true 95 % gives under 51 hits once in 1,000."""
    made = fits(case, 500, 60)
    assert sum(f.alpha_low <= case.theory <= f.alpha_high for f in made) >= 51
    assert sum(f.lack_of_fit_p < 0.01 for f in made) <= 4  # once in 1,000 at level .01
    assert sum(winner(f) == "power" for f in made) > 45


@pytest.mark.parametrize("block", CONTROLS, ids=lambda b: f"{b['schedule']} {b['h']}")
def test_schedules_without_a_power_law_are_rejected(block):
    case = schedules([], 0.5, [], [block])[0]
    assert np.isnan(case.theory)
    made = fits(case, 500, 10)
    assert all(f.lack_of_fit_p < 0.01 for f in made)
    assert not any(f.identified for f in made)
    assert all(winner(f) != "power" for f in made)


def test_depths_end_at_the_horizon():
    assert depths_of(16).tolist() == [1, 2, 4, 8, 16]
    assert depths_of(20).tolist() == [1, 2, 4, 8, 16, 20]


def test_table_has_a_row_a_schedule_and_number_of_runs(tmp_path, table):
    assert table.groupby("family").size().to_dict() == {"control": 6, "curvature": 1, "rho": 2}
    regular = table[table["family"] != "control"]
    assert regular["theory"].tolist() == pytest.approx([0.5, 1.0, 0.5])
    assert table.loc[table["family"] == "control", ["theory", "coverage"]].isna().all(axis=None)
    for row in regular.itertuples():
        assert abs(row.alpha_mean - row.alpha_exact) < 5 * row.alpha_se + 0.05
    tables.write("rates", table, tmp_path / "rates.csv")
    again = tables.read("rates", tmp_path / "rates.csv")
    assert again["n"].tolist() == table["n"].tolist()


def test_rows_do_not_depend_on_each_other(table):
    alone = rates_table(
        runs=300, replicates=5, horizon=64, target_noise=0.1, rho=[1.0], eta_0=0.5,
        curvature=[], controls=[], control_runs=[50], confidence=0.95, seed=3,
    )  # fmt: skip
    np.testing.assert_allclose(
        alone["alpha_mean"], table.loc[table["rho"].eq(1) & table["h"].eq(0), "alpha_mean"]
    )


def test_the_shipped_controls_are_no_power_law():

    block = load(Path(__file__).parents[2] / "config.yaml").benchmark.rates
    for case in schedules([], block.eta_0, [], [c.model_dump() for c in block.controls]):
        process = case.build(block.horizon, block.target_noise)
        risk = process.exact_risk(depths_of(block.horizon), "state")
        assert risk[0] > 3 * risk[-1]  # there is something to fit
        assert exact_alpha(process) < 0.021  # at the bound of the search: no exponent fits


@pytest.mark.parametrize("column", ["icml", "icml_half"])
def test_the_figure_shows_every_row(tmp_path, table, column):
    frame = figure.collect(table)
    kinds = frame.groupby(["panel", "kind"]).size().to_dict()
    assert kinds == {
        ("alpha", "exact"): 3,
        ("alpha", "mean"): 3,
        ("alpha", "one"): 3,
        ("fit", "rejected"): 6,
    }
    paths = figure.save(tmp_path, table, column=column, formats=["pdf"])
    first = paths[0].read_bytes()
    figure.save(tmp_path, table, column=column, formats=["pdf"])
    assert paths[0].read_bytes() == first
    figure.draw(table[table["family"] == "control"], column=column)
    figure.draw(table.iloc[:0], column=column)
