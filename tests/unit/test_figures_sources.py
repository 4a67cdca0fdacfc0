"""The figure of variance by source: what it draws, and that it can be read."""

import itertools

import numpy as np
import pandas as pd
import pytest
from test_figures_look import shown

from prehoc.errors import InputError
from prehoc.figures import fig_sources, style
from prehoc.risk import sources
from prehoc.risk.sources_frame import sources_table
from prehoc.synthetic.crossed import names_of, outcomes

KNOWN = {"init": 0.5, "order": 0.1, "dropout": 0.0, "target": 0.2, "init:order": 0.2}


def table(tasks=("one_task",), known=KNOWN, blocks=40):
    frames = []
    for seed, task in enumerate(tasks):
        names = names_of(known)
        rest = "rest" in known
        made = sources.decompose(
            outcomes(known, blocks, np.random.default_rng(seed)), names, rest=rest, resamples=200
        )
        truth, effects = sources.known_sources(known, names, rest)
        given = {} if seed % 2 else {"truth": truth, "effects": effects}
        frames.append(sources_table(task, made, rest=rest, **given))
    return pd.concat(frames, ignore_index=True)


def test_the_csv_holds_the_shares_of_the_table_unclipped(tmp_path):
    frame = table(("known", "real"), {**KNOWN, "rest": 0.1})
    paths = fig_sources.save(tmp_path, frame, formats=["png", "svg"])
    assert [p.name for p in paths] == ["sources.png", "sources.svg", "sources.csv"]
    drawn = pd.read_csv(paths[-1])
    for task in ("known", "real"):
        of = frame[(frame["task"] == task) & (frame["source"] != "total")].set_index("source")
        bars = drawn[(drawn["task"] == task) & drawn["kind"].isin(["single", "joint", "rest"])]
        bars = bars.set_index("note")
        assert list(bars.index) == list(of.index)
        assert bars["x"].to_numpy() == pytest.approx(of["share"].to_numpy())
        assert bars["x_low"].to_numpy() == pytest.approx(of["share_low"].to_numpy())
        assert (bars["x"] < 0).any()
        marks = drawn[(drawn["task"] == task) & (drawn["kind"] == "total_effect")]
        assert list(marks["note"]) == ["init", "order", "dropout", "target"]
    truth = drawn[drawn["kind"] == "truth"]
    assert set(truth["task"]) == {"known"}
    assert truth["x"].sum() == pytest.approx(1.0)
    assert bars.loc["rest", "kind"] == "rest"


@pytest.mark.parametrize("column", ["icml", "icml_half", "neurips"])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_text_is_large_enough_apart_and_on_the_page(column, count):
    names = ["movie_polarity_sources", *(f"a_task_with_quite_a_long_name_{i}" for i in range(4))]
    figure = fig_sources.draw(table(names[:count]), column=column)
    texts = shown(figure)
    assert min(text.get_fontsize() for text in texts) >= style.SMALL
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts]
    for words, box in boxes:
        inside = box.x0 >= 0 and box.y0 >= 0 and box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1
        assert inside, f"{words!r} leaves the page"
    for (one, a), (other, b) in itertools.combinations(boxes, 2):
        across = min(a.x1, b.x1) - max(a.x0, b.x0)
        up = min(a.y1, b.y1) - max(a.y0, b.y0)
        assert across < 2 or up < 3, f"{one!r} covers {other!r}"


def test_lost_tasks_and_empty_tables_are_drawn(tmp_path):
    lost = sources.decompose(np.full(32, np.nan), ["init", "order"], rest=False)
    fig_sources.save(tmp_path, sources_table("lost", lost, rest=False), formats=["png"])
    few = sources.decompose(np.arange(32.0), ["init", "order"], rest=False)
    fig_sources.save(tmp_path, sources_table("few", few, rest=False), formats=["png"])
    with pytest.raises(InputError, match="gif"):
        fig_sources.save(tmp_path / "none", table(), formats=["gif"])
    assert not (tmp_path / "none").exists()
