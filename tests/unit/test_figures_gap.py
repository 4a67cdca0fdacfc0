"""The figure gap, and the commands behind it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from test_predictors_gap import frames
from typer.testing import CliRunner

from prehoc import tables
from prehoc.cli import app
from prehoc.figures import fig_gap


def table(task: str, forked: bool = True) -> pd.DataFrame:
    rows = []
    for depth in (1, 8, 64):
        shares = {("metric", "ols"): 1.0, ("outputs", "ridge"): 0.7, ("best", "kernel+loss"): 0.55}
        if forked and depth < 64:
            shares["fork", "forks"] = 0.2
        for (features, predictor), share in shares.items():
            ends = (share * 0.09, share * 0.11)
            rows.append(
                (task, "accuracy", depth, features, predictor, share * 0.1, *ends, share, *3 * [np.nan], 50)
            )
    return tables.check("gap", pd.DataFrame(rows, columns=list(tables.SCHEMAS["gap"].columns)), "gap")


def test_drawn_are_shares_with_intervals_and_the_middle_of_the_gap() -> None:
    drawn = fig_gap.collect(table("a"))
    best = drawn[drawn["kind"] == "best"]
    np.testing.assert_allclose(best["y"], 0.55)
    np.testing.assert_allclose(best[["low", "high"]], [[0.495, 0.605]] * 3)
    assert set(best["note"]) == {"kernel+loss"}
    half = drawn[drawn["kind"] == "halfway"]
    assert list(half["x"]) == [1, 8]  # no forks at 64
    np.testing.assert_allclose(half["y"], 0.6)


@pytest.mark.parametrize("column", ["icml", "icml_half", "neurips"])
def test_panels_stand_for_tasks_with_one_scale(column: str) -> None:
    made = fig_gap.draw(pd.concat([table("a"), table("b", forked=False)]), tasks=["b", "a"], column=column)
    assert [axis.get_title() for axis in made.axes] == ["b", "a"]
    assert len({(axis.get_xlim(), axis.get_ylim()) for axis in made.axes}) == 1


@pytest.mark.parametrize("column", ["icml", "icml_half", "neurips"])
def test_the_lowest_panel_of_each_column_has_depths_below_it(column: str) -> None:
    made = fig_gap.draw(pd.concat([table(name) for name in "abcdefg"]), column=column)
    lowest = {round(axis.get_position().x0, 4): axis for axis in made.axes}
    for axis in made.axes:
        shown = [t for t in axis.get_xticklabels() if t.get_text() and t.get_visible()]
        assert bool(shown) == (axis in lowest.values()), axis.get_title()


def test_an_interval_that_leaves_the_axis_has_a_mark_on_its_edge() -> None:
    frame = table("a")
    wide = frame["features"].eq("best") & frame["depth"].eq(8)
    frame.loc[wide, "ci_high"] = 0.4  # four times Var R, of which the axis shows 1.5
    marks = {m.get_color(): m for m in fig_gap.draw(frame).axes[0].get_lines() if m.get_gid() == "over"}
    at = {
        colour: (list(m.get_xdata()), list(m.get_ydata()))
        for colour, m in marks.items()
        if len(m.get_xdata())
    }
    assert at == {fig_gap._LOOK["best"][1]: ([8.0], [1.5])}
    none = [m for m in fig_gap.draw(table("a")).axes[0].get_lines() if m.get_gid() == "over"]
    assert not any(len(m.get_xdata()) for m in none)


def test_no_rows_make_a_figure_that_says_so(tmp_path: Path) -> None:
    paths = fig_gap.save(tmp_path, tables.empty("gap"), formats=("png",))
    assert {p.name for p in paths} == {"gap.png", "gap.csv"}
    assert all(p.stat().st_size for p in paths)


def test_the_commands_go_from_runs_to_a_picture(tmp_path: Path) -> None:
    for name, frame in frames(30).items():
        tables.write(name, frame, tmp_path / f"{name}.parquet")
    tables.write("draws", tables.empty("draws"), tmp_path / "draws.parquet")
    block = {"folds": 3, "rows": 50, "resamples": 200, "auxiliary": "loss",
             "needed": {"runs": [20], "examples": [2], "depth_share": 0.5}}  # fmt: skip
    stage = {"task": "t", "seed": 1, "horizon": 8, "kind": "text_classification", "confidence": 0.95,
             "outcome": {"metric": "accuracy", "scale": "raw"}, "gap": block}  # fmt: skip
    (tmp_path / "gap.json").write_text(json.dumps(stage))
    look = {"groups": {"g": ["t"]}, "column": "icml", "format": ["png"]}
    (tmp_path / "figures.json").write_text(json.dumps(look))
    given = [f"--{n}={tmp_path / n}.parquet" for n in ("runs", "forks", "draws", "outputs", "signals")]
    made, needed = tmp_path / "gap.csv", tmp_path / "needed.csv"
    command = ["gap", f"--config={tmp_path / 'gap.json'}", *given, f"--out={made}", f"--needed={needed}"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    found = tables.read("gap", made)
    assert {"metric", "prefix", "agreement", "outputs", "projections", "landscape", "best", "fork"} == set(
        found["features"]
    )
    assert set(found["depth"]) == {2, 8}
    assert len(tables.read("gap_needed", needed)) == 2  # 20 of 30 runs are all; 2 and 4 examples
    done = CliRunner().invoke(
        app, ["figure-gap", f"--config={tmp_path / 'figures.json'}", f"--table={made}", f"--out={tmp_path}"]
    )
    assert done.exit_code == 0, done.output
    assert (tmp_path / "gap.png").stat().st_size > 10_000
