"""The command `policies`, and the figure of its table."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from prehoc import tables
from prehoc.cli import app
from prehoc.config import load, policies_config
from prehoc.errors import InputError
from prehoc.figures import frontier, frontier_tasks, style
from prehoc.synthetic.frames import simulate_task

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def stage():
    config = load([ROOT / "config.yaml", ROOT / "config/ci.yaml"])
    return policies_config(config, "tiny_synthetic")


def written(folder, stage, runs):
    spec = {"process": "linear_gaussian", "rho": 0.75, "initial_sd": 0.2, "target_noise": 0.1}
    frames = simulate_task("tiny_synthetic", spec, runs, [1, 2, 4, 8, 16, 32], 64, [1])
    tables.write("runs", frames[0], folder / "runs.parquet")
    tables.write("draws", frames[2], folder / "draws.parquet")
    row = dict.fromkeys(tables.SCHEMAS["regimes"].columns, 0.5) | {"task": "tiny_synthetic"}
    rows = [
        row | {"reading": "bayes", "proxy": "fork", "information": "state", "regime": "noise_dominant"},
        row
        | {"reading": "bayes", "proxy": "residual", "information": "last", "regime": "dynamic_critical"},
    ]
    tables.write("regimes", pd.DataFrame(rows), folder / "regimes.csv")
    (folder / "stage.json").write_text(json.dumps(stage))


def run(folder):
    args = {
        "config": "stage.json",
        "runs": "runs.parquet",
        "draws": "draws.parquet",
        "regimes": "regimes.csv",
    }
    given = [x for name, file in args.items() for x in (f"--{name}", str(folder / file))]
    return CliRunner().invoke(
        app,
        [
            "policies",
            *given,
            "--out",
            str(folder / "policies.csv"),
            "--against",
            str(folder / "against.csv"),
        ],
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory, stage):
    folder = tmp_path_factory.mktemp("policies")
    written(folder, stage, 60)
    done = run(folder)
    assert done.exit_code == 0, done.output
    return folder


def test_the_command_writes_every_policy_at_every_price(made, stage):
    table = tables.read("policies", made / "policies.csv")
    assert sorted(table["price"].unique()) == sorted({*stage["prices"], *stage["policies"]["sweep"]})
    assert table.groupby("price")["policy"].nunique().tolist() == [12] * table["price"].nunique()
    assert set(table["regime"]) == {"noise_dominant"}  # of the curve that drives the verdict: the forks'
    assert (table["n"] == 60).all()
    pairs = tables.read("policies_against", made / "against.csv")
    assert len(pairs) == 5 * 5 * table["price"].nunique()


def test_the_regime_is_that_of_the_curve_that_drives_the_verdict(tmp_path, stage):
    for driver, regime in (("residual", "dynamic_critical"), ("auto", "noise_dominant")):
        written(tmp_path, stage | {"driver": driver}, 30)
        assert run(tmp_path).exit_code == 0
        assert set(tables.read("policies", tmp_path / "policies.csv")["regime"]) == {regime}


def test_the_same_config_gives_the_same_bytes(made):
    before = (made / "policies.csv").read_bytes()
    assert run(made).exit_code == 0
    assert (made / "policies.csv").read_bytes() == before


def test_an_absolute_gamma_is_a_price(tmp_path, stage):
    written(tmp_path, stage | {"prices": [0.1], "gamma": [1e-4], "cost_per_step": 2.0}, 60)
    assert run(tmp_path).exit_code == 0
    table = tables.read("policies", tmp_path / "policies.csv")
    price = 1e-4 * 2.0 * 64 / table["var_r"].iloc[0]
    assert np.isclose(table["price"].unique(), price).any()
    row = table[np.isclose(table["price"], price) & (table["policy"] == "full")].iloc[0]
    assert row["total_risk"] == pytest.approx(row["risk"] + 2e-4 * 64)


@pytest.mark.parametrize("runs", [5, 19])
def test_too_few_runs_leave_an_empty_table_and_a_line(tmp_path, stage, runs):
    written(tmp_path, stage, runs)
    done = run(tmp_path)
    assert done.exit_code == 0
    assert tables.read("policies", tmp_path / "policies.csv").empty
    assert tables.read("policies_against", tmp_path / "against.csv").empty
    assert f"{runs} runs" in done.output
    assert "min_runs" in done.output


def two(made):
    one = tables.read("policies", made / "policies.csv")
    other = one.assign(task="other", risk=2 * one["risk"], steps_share=0.5 * one["steps_share"])
    return pd.concat([one, other], ignore_index=True)


def test_the_figure_pools_tasks_of_a_regime(made):
    table = two(made)
    frame = frontier.collect(table)
    pooled = frame[(frame["kind"] == "regime") & (frame["panel"] == "risk")]
    own = table[(table["task"] == "tiny_synthetic")].set_index(["policy", "price"])
    for row in pooled.to_dict("records"):
        of = own.loc[(row["proxy"], float(row["note"]))]
        assert row["y"] == pytest.approx(1.5 * of["risk"] / of["var_r"])
        assert row["x"] == pytest.approx(0.75 * of["steps_share"])
        width = (of["risk_high"] - of["risk_low"]) / of["var_r"]
        assert row["high"] - row["y"] == pytest.approx(width / 2 / 2**0.5)
    assert set(frame.loc[frame["kind"] == "task", "task"]) == {"tiny_synthetic", "other"}


def test_prices_that_a_task_lacks_are_not_pooled(made):
    table = two(made)
    lacks = table[~((table["task"] == "other") & (table["price"] == 0.2))]
    frame = frontier.collect(lacks)
    assert "0.2" not in set(frame.loc[frame["kind"] == "regime", "note"])
    assert "0.2" in set(frame.loc[frame["kind"] == "task", "note"])


@pytest.mark.parametrize("column", ["icml", "icml_half", "neurips"])
def test_the_figure_is_saved_with_its_numbers(made, tmp_path, column):
    table = two(made)
    table.loc[table["task"] == "other", "regime"] = "dynamic_critical"
    paths = frontier.save(tmp_path, table, column=column, formats=["png", "pdf"])
    assert [p.name for p in paths] == ["frontier.png", "frontier.pdf", "frontier.csv"]
    assert all(p.stat().st_size > 1000 for p in paths)
    assert list(pd.read_csv(paths[-1]).columns) == style.DRAWN
    figure = frontier.draw(table, column=column)
    sizes = [t.get_fontsize() for t in figure.findobj(lambda a: hasattr(a, "get_fontsize")) if t.get_text()]
    assert min(sizes) >= 6.0
    assert len(figure.axes) == 6


@pytest.mark.parametrize("column", ["icml", "icml_half"])
def test_each_task_has_a_panel_with_its_own_numbers(made, tmp_path, column):
    table = two(made).assign(regime="static_sufficient")
    paths = frontier_tasks.save(tmp_path, table, column=column, tasks=["other", "tiny_synthetic"])
    assert [p.name for p in paths] == ["frontier_tasks.pdf", "frontier_tasks.png", "frontier_tasks.csv"]
    frame = pd.read_csv(paths[-1])
    assert list(dict.fromkeys(frame["task"])) == ["other", "tiny_synthetic"]
    assert len(frame) == len(table)
    at = table[(table["task"] == "other") & (table["policy"] == "deep") & (table["price"] == 0.2)].iloc[0]
    row = frame[(frame["task"] == "other") & (frame["proxy"] == "deep") & (frame["note"] == 0.2)].iloc[0]
    assert row["y"] == pytest.approx(at["risk"] / at["var_r"])
    assert row["x"] == pytest.approx(at["steps_share"])
    figure = frontier_tasks.draw(table, column=column)
    assert [a.get_title() for a in figure.axes] == [
        "tiny synthetic\nStatic-Sufficient", "other\nStatic-Sufficient",
    ]  # fmt: skip
    sizes = [t.get_fontsize() for t in figure.findobj(lambda a: hasattr(a, "get_fontsize")) if t.get_text()]
    assert min(sizes) >= 6.0


def test_the_command_draws_each_task(made, tmp_path):
    stage = {"column": "icml", "format": ["png"], "groups": {"a": ["tiny_synthetic"]}}
    (tmp_path / "figures.json").write_text(json.dumps(stage))
    given = ["--config", str(tmp_path / "figures.json"), "--table", str(made / "policies.csv")]
    for name in ("frontier", "frontier-tasks"):
        done = CliRunner().invoke(app, [f"figure-{name}", *given, "--out", str(tmp_path)])
        assert done.exit_code == 0, done.output
        assert (tmp_path / f"{name.replace('-', '_')}.png").stat().st_size > 1000


def test_nothing_to_draw_is_said(tmp_path):
    assert frontier_tasks.save(tmp_path, tables.empty("policies"), formats=["png"])
    assert frontier.save(tmp_path, tables.empty("policies"), formats=["png"])
    with pytest.raises(InputError, match="format"):
        frontier.save(tmp_path, tables.empty("policies"), formats=["bmp"])
