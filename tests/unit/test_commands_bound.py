"""The benchmark commands: from a stage's config to table, verdict and figure."""

import json
from pathlib import Path

import pytest

from prehoc import config, tables
from prehoc.commands.analysis import gather
from prehoc.commands.bound import benchmark_bound, benchmark_figure, benchmark_rates, benchmark_verdict
from prehoc.errors import InputError

ROOT = Path(__file__).parents[2]


def stage(folder, name, **changes):
    payload = config.benchmark_config(config.load(ROOT / "config.yaml"), name) | changes
    path = folder / f"{name}.json"
    path.write_text(json.dumps(payload))
    return path


@pytest.fixture
def look(tmp_path):
    path = tmp_path / "figures.json"
    path.write_text(json.dumps({"column": "icml", "format": ["pdf"]}))
    return path


def test_the_bound_goes_from_config_to_verdict_and_figure(tmp_path, look):
    tiny = stage(
        tmp_path, "lower_bound", train=20, test=100, replicates=2, predictors=["ols", "last_value"]
    )
    for name in ("noise_urn", "static_visible"):
        benchmark_bound(tiny, name, tmp_path / f"{name}.csv")
    whole = tmp_path / "lower_bound.csv"
    gather("lower_bound", whole, [tmp_path / "noise_urn.csv", tmp_path / "static_visible.csv"])
    benchmark_verdict(whole, tmp_path / "verdict.csv")
    verdict = tables.read("lower_bound_verdict", tmp_path / "verdict.csv")
    assert verdict["scope"].tolist() == ["all", "predictor", "predictor", "regime", "regime"]
    assert verdict["rows"].tolist() == [44, 22, 22, 22, 22]
    benchmark_figure("lower_bound", look, whole, tmp_path)
    assert (tmp_path / "lower_bound.pdf").stat().st_size > 1000
    first = (tmp_path / "noise_urn.csv").read_bytes()
    benchmark_bound(tiny, "noise_urn", tmp_path / "noise_urn.csv")
    assert (tmp_path / "noise_urn.csv").read_bytes() == first


def test_the_rates_go_from_config_to_figure(tmp_path, look):
    tiny = stage(tmp_path, "rates", runs=60, replicates=2, horizon=32, control_runs=[60])
    benchmark_rates(tiny, tmp_path / "rates.csv")
    made = tables.read("rates", tmp_path / "rates.csv")
    asked = json.loads(tiny.read_text())
    assert len(made) == sum(len(asked[key]) for key in ("rho", "curvature", "controls"))
    benchmark_figure("rates", look, tmp_path / "rates.csv", tmp_path)
    assert (tmp_path / "rates.pdf").stat().st_size > 1000


def test_an_unknown_figure_is_one_line(tmp_path, look):
    with pytest.raises(InputError, match="lower_bound or rates"):
        benchmark_figure("fig9", look, tmp_path / "x.csv", tmp_path)
