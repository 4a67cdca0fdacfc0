"""What the figures write: files, fixed bytes, and a CSV that holds what the tables say."""

import subprocess
import sys

import matplotlib
import numpy as np
import pandas as pd
import pytest
from test_figures_factory import TASKS, make, make_runs

from prehoc.errors import InputError
from prehoc.figures import curves, fig2_decay, fig3_phase, fig4_c_star, style

FEW = TASKS[:3] + TASKS[-1:]


def arguments(tasks=FEW, **options):
    """The save function of each figure with the tables that it reads."""
    t = make(tasks, **options)
    return {
        "fig2_decay": (fig2_decay.save, (t["variance"], t["envelope"], t["truth"])),
        "fig3_phase": (fig3_phase.save, (t["regimes"], t["envelope"], t["variance"])),
        "c_star": (fig4_c_star.save, (t["c_star"], t["envelope"], t["variance"])),
        "curves": (curves.save, (make_runs(tasks, seeds=6),)),
    }


NAMES = list(arguments(FEW[:1]))


@pytest.mark.parametrize("name", NAMES)
def test_files_and_the_same_bytes_twice(name, tmp_path, monkeypatch):
    save, given = arguments()[name]
    formats = ("pdf", "png", "svg")
    first = save(tmp_path / "one", *given, formats=formats)
    assert [p.name for p in first] == [f"{name}.{s}" for s in (*formats, "csv")]
    # Another day, and a user with settings of their own.
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1000000000")
    with matplotlib.rc_context({"font.size": 20, "lines.linewidth": 9, "pdf.fonttype": 3}):
        second = save(tmp_path / "two", *given, formats=formats)
    for one, two in zip(first, second, strict=True):
        assert one.read_bytes() == two.read_bytes(), one.suffix
    assert sorted(p.name for p in (tmp_path / "one").iterdir()) == sorted(p.name for p in first)


@pytest.mark.parametrize("name", NAMES)
def test_pdf_embeds_its_fonts_and_has_no_date(name, tmp_path):
    save, given = arguments(FEW[:1])[name]
    pdf = save(tmp_path, *given, formats=["pdf"])[0].read_bytes()
    assert b"/FontFile2" in pdf
    assert b"/Type3" not in pdf
    assert b"CreationDate" not in pdf


@pytest.mark.parametrize("name", NAMES)
def test_unknown_format_or_column_is_refused_before_any_file(name, tmp_path):
    save, given = arguments(FEW[:1])[name]
    with pytest.raises(InputError, match="gif"):
        save(tmp_path, *given, formats=["pdf", "gif"])
    with pytest.raises(InputError, match="none"):
        save(tmp_path, *given, formats=[])
    with pytest.raises(InputError, match="triple"):
        save(tmp_path, *given, column="triple")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("column", "inches"), [("icml", 6.75), ("icml_half", 3.25), ("neurips", 5.5)])
def test_width_by_name(column, inches):
    t = make(FEW[:1])
    made = fig2_decay.draw(t["variance"], t["envelope"], column=column)
    assert made.get_figwidth() == pytest.approx(inches)
    assert style.width(column) == pytest.approx(inches)


def test_fig2_points_are_the_variance_table(tmp_path):
    t = make()
    save = fig2_decay.save(tmp_path, t["variance"], t["envelope"], t["truth"], formats=["png"])
    csv = pd.read_csv(save[-1], keep_default_na=False, na_values=[""])
    assert list(csv.columns) == style.DRAWN
    points = csv[csv["kind"] == "point"]
    keys = ["task", "proxy", "information", "depth"]
    joined = points.rename(columns={"x": "depth"}).merge(t["variance"], on=keys, how="left")
    assert len(joined) == len(points) > 200
    for drawn, measured in (("y", "risk"), ("low", "ci_low"), ("high", "ci_high")):
        wanted = joined[measured] / joined["var_r"]
        np.testing.assert_allclose(joined[drawn], wanted, rtol=1e-9, atol=1e-12)
    assert set(points.loc[points["panel"] == "a", "proxy"]) == {"run_to_run"}
    assert set(points.loc[points["panel"] == "b", "proxy"]) == {"fork", "residual"}


def test_fig2_lines_are_the_envelope_table():
    t = make(TASKS[:1])
    frame = fig2_decay.collect(t["variance"], t["envelope"], shift=0.5)
    line = frame[(frame["kind"] == "line") & (frame["panel"] == "a")]
    fit = t["envelope"].query("proxy == 'run_to_run' and model == 'power'").iloc[0]
    law = (line["x"] + 0.5) ** -fit.alpha - (fit.horizon + 0.5) ** -fit.alpha
    np.testing.assert_allclose(line["y"], (fit.L_int + fit.K * law) / fit.var_r, rtol=1e-12)
    assert (line["low"] <= line["y"] * (1 + 1e-9)).all()
    assert (line["high"] >= line["y"] * (1 - 1e-9)).all()
    at_horizon = line.iloc[-1]
    assert at_horizon["low"] == pytest.approx(fit.L_int_low / fit.var_r)
    assert at_horizon["high"] == pytest.approx(fit.L_int_high / fit.var_r)
    slope = frame[(frame["kind"] == "slope") & (frame["panel"] == "a")].iloc[0]
    assert tuple(slope[["y", "low", "high"]]) == (fit.alpha, fit.alpha_low, fit.alpha_high)


def test_fig2_lines_begin_at_the_onset_and_have_no_band_where_not_identified():
    t = make()
    frame = fig2_decay.collect(t["variance"], t["envelope"])
    line = frame[(frame["kind"] == "line") & (frame["task"] == "bbc_topics")]
    assert line["x"].min() == 4.0
    assert (line["note"] == "rival: exponential").all()
    early = frame[(frame["kind"] == "point") & (frame["task"] == "bbc_topics") & (frame["x"] < 4)]
    assert (early["note"] == "before onset").all()
    lost = frame[(frame["kind"] == "line") & (frame["task"] == "movie_polarity_flipped")]
    assert (lost["note"] == "not identified").all()
    assert lost["low"].isna().all()


def test_fig2_truth_is_of_the_information_set_that_is_drawn():
    t = make()
    frame = fig2_decay.collect(t["variance"], t["envelope"], t["truth"])
    exact = frame[frame["kind"] == "truth"]
    assert set(exact["task"]) == {task for task in TASKS if task.startswith("synthetic")}
    assert set(exact["panel"]) == {"b"}
    points = frame[(frame["kind"] == "point") & (frame["panel"] == "b")]
    for task, rows in exact.groupby("task"):
        assert set(rows["information"]) == set(points.loc[points["task"] == task, "information"])


def test_fork_stands_for_the_theory_only_from_four_depths_on():
    t = make(TASKS[:1])
    assert "fork" in set(t["variance"]["proxy"])
    few = t["variance"][(t["variance"]["proxy"] != "fork") | (t["variance"]["depth"] <= 4)]
    for variance, proxy in ((t["variance"], "fork"), (few, "residual")):
        frame = fig2_decay.collect(variance, t["envelope"])
        assert set(frame.loc[frame["panel"] == "b", "proxy"]) == {proxy}
        phase = fig3_phase.collect(t["regimes"], t["envelope"], variance)
        assert set(phase.loc[phase["panel"] == "b", "proxy"]) == {proxy}
        depth = fig4_c_star.collect(t["c_star"], t["envelope"], variance)
        assert set(depth.loc[depth["panel"] == "b", "proxy"]) == {proxy}


def test_information_that_was_fitted_is_preferred():
    t = make(TASKS[:1], forked=False)
    prefix = t["variance"][t["variance"]["proxy"] == "residual"].assign(information="prefix")
    variance = pd.concat([t["variance"], prefix], ignore_index=True)
    envelope = t["envelope"].replace({"information": {"last": "prefix"}})
    for fits, wanted in ((t["envelope"], "last"), (envelope, "prefix")):
        frame = fig2_decay.collect(variance, fits)
        assert set(frame.loc[frame["panel"] == "b", "information"]) == {wanted}
        assert (frame["kind"] == "line").any()


def test_fig3_has_both_intervals_and_leaves_out_an_alpha_that_is_not_identified():
    t = make()
    frame = fig3_phase.collect(t["regimes"], t["envelope"], t["variance"])
    assert len(frame) == 2 * len(TASKS)
    lost = frame["task"].isin([task for i, task in enumerate(TASKS) if i % 5 == 2])
    assert (frame.loc[lost, "kind"] == "interval").all()
    assert frame.loc[lost, "y"].isna().all()
    assert (frame.loc[~lost, "kind"] == "point").all()
    keys = ["task", "proxy", "information"]
    joined = frame.merge(t["regimes"], on=keys).merge(t["envelope"].query("model == 'power'"), on=keys)
    for drawn, wanted in (
        ("x", "iota"), ("x_low", "iota_low"), ("x_high", "iota_high"),
        ("low", "alpha_low"), ("high", "alpha_high"), ("note_x", "regime"),
    ):  # fmt: skip
        assert (joined[drawn] == joined[wanted]).all(), drawn


def test_c_star_is_a_share_of_the_horizon_by_the_recommended_rule():
    t = make(TASKS[:2])
    other = t["c_star"].assign(rule="guarded", recommended=False, c_star=1.0)
    both = pd.concat([other, t["c_star"]], ignore_index=True)
    frame = fig4_c_star.collect(both, t["envelope"], t["variance"])
    wanted = t["c_star"].assign(share=t["c_star"]["c_star"] / 256)
    joined = frame.rename(columns={"x": "price"}).merge(wanted, on=["task", "proxy", "price"])
    assert len(joined) == len(frame) == 20
    np.testing.assert_allclose(joined["y"], joined["share"])
    assert (joined["note"] == joined["corner"]).all()


@pytest.mark.parametrize(
    ("beside", "unit"),
    [
        ("accuracy", "loss (nats)"),
        ("pearson", "loss (label squared)"),
        ("exact_match", "loss (nats a token)"),
    ],
)
def test_a_loss_has_the_unit_of_what_it_is_of(beside, unit):
    rows = [("t", s, d, split, m, 0.1 * s + d, False) for s in range(5) for m in (beside, "loss")
            for split, d in (("val", 1), ("val", 2), ("target", 4))]  # fmt: skip
    runs = pd.DataFrame(rows, columns=["task", "seed", "depth", "split", "metric", "value", "failure"])
    made = curves.draw({"t": runs}, metrics={"t": "loss"})
    assert made.axes[0].get_ylabel() == unit


def test_curves_leave_failed_runs_out_and_count_them():
    runs = make_runs(TASKS[:1], seeds=11)
    frame = curves.collect(runs)
    table = runs[TASKS[0]]
    good = table[(table["seed"] != 0) & (table["split"] == "val")].groupby("depth")["value"]
    line = frame[frame["kind"] == "line"]
    np.testing.assert_allclose(line["y"], good.mean())
    np.testing.assert_allclose(line["low"], good.quantile(0.1))
    np.testing.assert_allclose(line["high"], good.quantile(0.9))
    assert (frame["note"] == "11 seeds, 1 failed").all()
    assert (frame["kind"] == "point").sum() == 1


def test_no_import_of_torch_and_no_trace_in_the_settings(tmp_path):
    code = (
        "import sys, matplotlib as m; before = dict(m.rcParams); "
        "from prehoc.figures import fig2_decay, fig3_phase, fig4_c_star, curves; "
        "curves.draw({}); "
        "assert not {'torch', 'prehoc.risk', 'prehoc.training'} & set(sys.modules); "
        "assert dict(m.rcParams) == before"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)
