"""The figure intrinsic: its pieces add up, and each case has its picture."""

import numpy as np
import pandas as pd
import pytest

from prehoc.figures import intrinsic

COLUMNS = [
    "task",
    "proxy",
    "information",
    "part",
    "value",
    "low",
    "high",
    "share_of_var_r",
    "how",
    "n",
    "note",
]


def rows(task, proxy, *parts, var_r=2.0):
    known = "state" if proxy == "fork" else "last"
    return [
        (task, proxy, known, part, share * var_r, share, share * 3, share, how, 50, note)
        for part, how, share, note in parts
    ]


@pytest.fixture
def table():
    outside = "fixed target set: the run-by-example interaction; known to the state at T, so no part of this L_int"
    made = rows(
        "drawn", "residual", ("total", "measured", 0.6, ""), ("target_sampling", "binomial", 0.2, ""),
        ("target_sampling", "halves", 0.25, "check"), ("label_noise", "binomial", 0.1, ""),
        ("target_domain", "anova", 0.05, ""), ("remainder", "difference", 0.25, ""),
    )  # fmt: skip
    made += rows(
        "fixed", "fork", ("total", "measured", 0.0, ""), ("target_sampling", "halves", 0.3, outside),
        ("remainder", "difference", 0.0, ""),
    )  # fmt: skip
    made += rows(
        "over", "residual", ("total", "measured", 0.1, ""), ("target_sampling", "halves", 0.15, ""),
        ("remainder", "difference", -0.05, "negative"),
    )  # fmt: skip
    made += rows("unknown", "residual", ("total", "fitted", np.nan, ""))
    made += rows("whole", "residual", ("total", "measured", 0.4, "not split"))
    return pd.DataFrame(made, columns=COLUMNS)


def piece(frame, task, kind):
    found = frame[(frame["task"] == task) & (frame["kind"] == kind)]
    return tuple(found[["low", "high"]].iloc[0]) if len(found) else None


def test_pieces_stand_end_to_end(table):
    frame = intrinsic.collect(table)
    assert piece(frame, "drawn", "target_sampling") == pytest.approx((0.0, 0.2))
    assert piece(frame, "drawn", "other") == pytest.approx((0.2, 0.35))
    assert piece(frame, "drawn", "remainder") == pytest.approx((0.35, 0.6))
    assert piece(frame, "drawn", "reducible") == pytest.approx((0.6, 1.0))
    assert piece(frame, "fixed", "interaction") == pytest.approx((0.0, 0.3))
    assert piece(frame, "fixed", "reducible") == pytest.approx((0.3, 1.0))
    assert piece(frame, "over", "remainder") == pytest.approx((0.15, 0.15))
    over = frame[(frame["task"] == "over") & (frame["kind"] == "remainder")]
    assert over["y"].iloc[0] == pytest.approx(-0.05)
    assert frame.loc[frame["task"] == "unknown", "kind"].tolist() == ["absent"]
    assert piece(frame, "whole", "remainder") == pytest.approx((0.0, 0.4))
    total = frame[(frame["task"] == "drawn") & (frame["kind"] == "total")].iloc[0]
    assert (total["y"], total["low"], total["high"]) == pytest.approx((0.6, 0.3, 0.9))


@pytest.mark.parametrize("column", ["icml", "icml_half"])
def test_every_text_is_on_the_page_and_large_enough(table, column):
    made = intrinsic.draw(table, tasks=["over", "drawn", "fixed", "unknown"], column=column)
    made.canvas.draw()
    page = made.bbox.padded(1)
    axis = made.axes[0]
    texts = [*axis.texts, *axis.get_yticklabels(), axis.xaxis.label, *made.legends[0].get_texts()]
    for text in texts:
        box = text.get_window_extent()
        assert page.x0 <= box.x0, text.get_text()
        assert box.x1 <= page.x1, text.get_text()
        assert page.y0 <= box.y0, text.get_text()
        assert text.get_fontsize() >= 6.0
    assert [t.get_text().split(" (")[0] for t in axis.get_yticklabels()] == [
        "over",
        "drawn",
        "fixed",
        "unknown",
    ]
    foot = made.legends[0].get_window_extent()
    assert not foot.overlaps(axis.xaxis.label.get_window_extent())


def test_files_and_no_tasks(table, tmp_path):
    paths = intrinsic.save(tmp_path, table, formats=["png"])
    assert [p.name for p in paths] == ["intrinsic.png", "intrinsic.csv"]
    assert len(pd.read_csv(paths[1])) == len(intrinsic.collect(table))
    assert intrinsic.draw(table.iloc[:0]).axes is not None
