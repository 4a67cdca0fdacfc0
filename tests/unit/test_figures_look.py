"""How the figures look: sizes of text, no overlaps, nothing off the page; and degenerate tables."""

import itertools

import numpy as np
import pandas as pd
import pytest
from matplotlib.axis import Axis
from matplotlib.text import Text
from test_figures_factory import FAMILIES, TASKS, make, make_runs, many

from prehoc import tables
from prehoc.figures import curves, fig2_decay, fig3_phase, fig4_c_star, layout, readings, style

CASES = [("icml", TASKS), ("icml", TASKS[:1]), ("icml_half", TASKS[:5]), ("neurips", TASKS)]
CASES.append(("icml", many(25)))
IDS = ["12 tasks", "1 task", "half a column", "neurips", "25 tasks"]


def drawings(tasks, column):
    t = make(tasks)
    groups = FAMILIES if list(tasks) == TASKS else None
    rest = (t["envelope"], t["variance"])
    yield fig2_decay.draw(t["variance"], t["envelope"], t["truth"], groups=groups, column=column)
    yield fig3_phase.draw(t["regimes"], *rest, column=column)
    yield fig4_c_star.draw(t["c_star"], *rest, column=column)
    yield curves.draw(make_runs(tasks, seeds=5), column=column)


def shown(figure):
    """The texts that a reader sees: tick labels outside an axis's range are not drawn."""
    figure.draw_without_rendering()
    hidden = set()
    for axis in figure.findobj(Axis):
        drawn = {id(tick) for tick in axis._update_ticks()}
        for tick in [*axis.majorTicks, *axis.minorTicks]:
            for text in (tick.label1, tick.label2):
                if id(tick) not in drawn or not axis.axes.axison:
                    hidden.add(id(text))
        if not axis.axes.axison:
            hidden.add(id(axis.label))
            hidden.add(id(axis.offsetText))
    texts = [text for text in figure.findobj(Text) if id(text) not in hidden]
    return [text for text in texts if text.get_visible() and text.get_text().strip()]


@pytest.mark.parametrize(("column", "tasks"), CASES, ids=IDS)
def test_text_is_large_enough_apart_and_on_the_page(column, tasks):
    for figure in drawings(tasks, column):
        texts = shown(figure)
        assert min(text.get_fontsize() for text in texts) >= style.SMALL
        boxes = [(text.get_text(), text.get_window_extent()) for text in texts]
        page = figure.bbox
        for words, box in boxes:
            inside = box.x0 >= 0 and box.y0 >= 0 and box.x1 <= page.x1 and box.y1 <= page.y1
            assert inside, f"{words!r} leaves the page"
        for (one, a), (other, b) in itertools.combinations(boxes, 2):
            # A pixel of air that a font's box has around its letters may be shared.
            across = min(a.x1, b.x1) - max(a.x0, b.x0)
            up = min(a.y1, b.y1) - max(a.y0, b.y0)
            assert across <= 1 or up <= 1.5, f"{one!r} covers {other!r}"


def test_every_task_is_named_in_every_figure():
    for figure in drawings(TASKS, "icml"):
        words = "\n".join(text.get_text() for text in shown(figure))
        for task in TASKS:
            assert style.label(task) in words


def test_units_are_named():
    words = [{text.get_text() for text in shown(figure)} for figure in drawings(TASKS[:2], "icml")]
    assert "depth $c$ (optimiser steps)" in words[0] & words[3]
    assert "$U(c)$ / Var $R$  (share)" in words[0]
    assert "accuracy (share)" in words[3]


def broken(kind):
    """Tables with something missing."""
    t = make(TASKS[:3], identified=kind != "none identified", forked=kind != "no forks")
    v, e = t["variance"], t["envelope"]
    if kind == "NaN intervals":
        v[["ci_low", "ci_high", "se"]] = np.nan
        bounds = [f"{name}_{end}" for name in ("alpha", "L_int", "K") for end in ("low", "high")]
        e[bounds] = np.nan
        t["regimes"][["iota_low", "iota_high"]] = np.nan
        t["c_star"][["low", "high"]] = np.nan
    elif kind == "zero risk":
        v[["risk", "ci_low", "ci_high", "robust", "se"]] = 0.0
        e[["L_int", "K"]] = 0.0
    elif kind == "zero Var R":
        v["var_r"] = 0.0
    elif kind == "no fits":
        t["envelope"] = tables.empty("envelope")
    elif kind == "all NaN":
        v["risk"] = np.nan
        e[["L_int", "K", "alpha", "alpha_low", "alpha_high", "onset", "delta_aic"]] = np.nan
        t["regimes"]["iota"] = np.nan
        t["c_star"]["c_star"] = np.nan
    elif kind == "one depth":
        t["variance"] = v[v["depth"] == 256]
    elif kind == "alpha out of bounds":
        e[["alpha", "alpha_low", "alpha_high"]] = (9.0, 8.0, 10.0)
    elif kind == "empty":
        t = {name: tables.empty(name) for name in t}
    return t


KINDS = ["none identified", "no forks", "NaN intervals", "zero risk", "zero Var R", "no fits"]
KINDS += ["all NaN", "one depth", "alpha out of bounds", "empty"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("error")
def test_degenerate_tables_draw(kind, tmp_path):
    t = broken(kind)
    rest = (t["envelope"], t["variance"])
    for column in ("icml", "icml_half"):
        options = {"formats": ["pdf"], "column": column}
        fig2_decay.save(tmp_path, t["variance"], t["envelope"], None, **options)
        fig3_phase.save(tmp_path, t["regimes"], *rest, **options)
        fig4_c_star.save(tmp_path, t["c_star"], *rest, **options)
    for name in ("fig2_decay", "fig3_phase", "c_star"):
        csv = pd.read_csv(tmp_path / f"{name}.csv", keep_default_na=False)
        assert list(csv.columns) == style.DRAWN


@pytest.mark.filterwarnings("error")
def test_degenerate_runs_draw():
    runs = make_runs(TASKS[:2], seeds=3)
    one, two = TASKS[:2]
    runs[one] = runs[one].assign(value=np.nan, failure=True)
    figure = curves.draw(runs)
    assert any("3 failed" in text.get_text() for text in shown(figure))
    curves.draw({two: runs[two][runs[two]["split"] == "val"]})
    curves.draw({two: runs[two][runs[two]["depth"] == 0]})
    curves.draw({two: runs[two][runs[two]["depth"] == 8]})
    curves.draw({two: tables.empty("runs")})
    curves.draw({})


@pytest.mark.filterwarnings("error")
def test_odd_names_draw():
    odd = ["cost_in_$_and_$", "a_name_" * 9, "<&>%\\frac"]
    for figure in drawings(odd, "icml"):
        for text in shown(figure):
            box = text.get_window_extent()
            assert box.x1 <= figure.bbox.x1


def test_tasks_pick_and_order_and_groups_split():
    t = make()
    picked = fig2_decay.collect(t["variance"], t["envelope"], tasks=TASKS[2:0:-1])
    assert list(dict.fromkeys(picked["task"])) == TASKS[2:0:-1]
    frame = fig2_decay.collect(t["variance"], t["envelope"], t["truth"])
    rows = fig2_decay.grouped(frame, None)
    assert [len(members) for _, members in rows] == [3, 3, 3, 3]
    assert rows[-1][0] == "synthetic"
    rows = fig2_decay.grouped(frame, {"some": TASKS[:5], "none": ["unknown"]})
    assert [name for name, _ in rows] == ["some (1/2)", "some (2/2)", "other (1/2)", "other (2/2)"]
    assert [task for _, members in rows for task in members] == TASKS


def test_paper_regression_is_no_rival_by_aic():
    t = make(TASKS[:1])
    chosen = readings.Source("run_to_run", "none")
    envelope = t["envelope"].replace({"model": {"exponential": "loglog"}})
    assert readings.verdict(envelope, TASKS[0], chosen) == ""
    worse = envelope.assign(delta_aic=2.0)
    assert readings.verdict(worse, TASKS[0], chosen) == "rival: unnamed"
    paper = worse.assign(delta_aic=worse["delta_aic"].where(worse["model"] != "loglog", 0.0))
    assert readings.verdict(paper, TASKS[0], chosen) == ""


@pytest.mark.parametrize(
    ("task", "length", "wanted"),
    [("movie_polarity", 40, "movie polarity"), ("abcdefghij", 7, "abc…hij"), ("__", 9, "__")],
)
def test_label(task, length, wanted):
    assert style.label(task, length) == wanted


@pytest.mark.parametrize(("value", "wanted"), [(0.01, "0.01"), (1000.0, "1000"), (20000, "20k")])
def test_tick_numbers(value, wanted):
    assert layout.number(value) == wanted
