"""Reading runs: each bad cell is named with its file, line and column; nothing goes in silence."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prehoc.errors import InputError
from prehoc.fits.rows import read_rows
from prehoc.logs.kinds import import_runs
from prehoc.logs.run import Options
from prehoc.logs.write import write as write_import

GOOD = "task,seed,depth,metric\na,0,1,0.5\na,0,2,0.6\na,1,1,0.4\n"


def write(path, text):
    path.write_text(text)
    return path


def test_a_plain_file(tmp_path):
    rows = read_rows(write(tmp_path / "r.csv", GOOD))
    assert rows.read == 3
    assert rows.set_aside == []
    assert list(rows.frame["depth"]) == [1, 2, 1]
    assert list(rows.frame["split"]) == ["val"] * 3


@pytest.mark.parametrize(
    ("line", "column", "cell"),
    [
        ("a,0,3,half", "metric", "'half'"),
        ("a,0,3.5,0.5", "depth", "'3.5'"),
        ("a,0,-3,0.5", "depth", "'-3'"),
        ("a,0,,0.5", "depth", "''"),
        ("a,0,1e400,0.5", "depth", "'1e400'"),
        (",0,3,0.5", "task", "''"),
        ("a,,3,0.5", "seed", "empty"),
    ],
)
def test_a_bad_cell_is_named_with_file_line_and_column(tmp_path, line, column, cell):
    path = write(tmp_path / "r.csv", GOOD + line + "\n")
    with pytest.raises(InputError) as error:
        read_rows(path)
    said = str(error.value)
    assert str(path) in said
    assert "line 5" in said
    assert column in said
    assert cell in said
    assert "\n" not in said


def test_bad_rows_may_be_set_aside_and_are_counted(tmp_path):
    path = write(tmp_path / "r.csv", GOOD + "a,0,3,half\na,0,x,1\n,0,9,1\na,,9,1\na,1,2,0.3\n")
    rows = read_rows(path, bad_rows="skip")
    assert len(rows.frame) == 4
    assert rows.read == 8
    assert [(a.what, a.count) for a in rows.set_aside] == [("rows", 4)]


def test_the_line_is_right_after_a_quoted_line_break_and_empty_lines(tmp_path):
    path = write(tmp_path / "r.csv", 'task,seed,depth,metric,note\na,0,1,.5,"two\nlines"\n\na,0,2,bad,x\n')
    with pytest.raises(InputError, match="line 5, column metric"):
        read_rows(path)


def test_empty_and_nan_metrics_are_failures_and_infinities_are_counted(tmp_path):
    text = "seed,step,metric\n0,1,\n0,2,NaN\n1,1,-1e160\n1,2,null\n2,1,1e3\n"
    rows = read_rows(write(tmp_path / "r.csv", text))
    assert rows.frame["value"].isna().sum() == 4
    assert [(a.what, a.count) for a in rows.set_aside] == [("values", 1)]
    assert set(rows.frame["task"]) == {"r"}  # named after the file


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("task,seed,depth,metric\n", "no rows"),
        ("task,seed,metric\na,1,2\n", "no column depth"),
        ("seed,depth,step,metric\n0,1,1,2\n", "both give depth"),
        ("seed,seed,depth,metric\n0,0,1,2\n", "twice"),
        ("seed,depth,metric\n0,1\n", "line 2: 2 fields where the header has 3"),
        ("seed,depth,metric,split\n0,1,2,dev\n", "column split: 'dev'"),
        ("seed,depth,metric,final\n0,1,2,3\n0,2,2,4\n", "column final"),
        ("seed,depth,metric,group\n0,1,2,x\n0,2,2,y\n", "column group"),
        ("seed,depth,metric\n0,1,2\n0,1,3\n", "measured before in line 2 with another value"),
        ("seed,depth,metric,value\n0,1,loss,3\n0,1,acc,3\n", "choose one with --metric"),
    ],
)
def test_what_is_no_table_of_runs_is_refused_in_one_line(tmp_path, text, said):
    with pytest.raises(InputError) as error:
        read_rows(write(tmp_path / "r.csv", text))
    assert said in " ".join(str(error.value).split())
    assert "r.csv" in str(error.value)


def test_missing_files_folders_and_bytes_that_are_no_text(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_rows(tmp_path / "none.csv")
    with pytest.raises(InputError, match="is a folder"):
        read_rows(tmp_path)
    (tmp_path / "b.csv").write_bytes(b"seed,depth,metric\n\xff\xfe,1,2\n")
    with pytest.raises(InputError, match="UTF-8"):
        read_rows(tmp_path / "b.csv")
    (tmp_path / "z.csv").write_bytes(b"seed,depth,metric\n0,1,\x002\n")
    with pytest.raises(InputError, match="line 2"):
        read_rows(tmp_path / "z.csv")
    (tmp_path / "p.parquet").write_text("no parquet")
    with pytest.raises(InputError, match=r"p\.parquet: cannot be read"):
        read_rows(tmp_path / "p.parquet")


def test_names_of_seeds_other_columns_semicolons_and_a_byte_order_mark(tmp_path):
    path = tmp_path / "r.csv"
    path.write_bytes(b"\xef\xbb\xbfTask;Seed;Step;Metric;host\na;run-7;1;.5;h\na;run-3;1;.6;h\n")
    rows = read_rows(path)
    assert list(rows.frame["seed"]) == [0, 1]
    assert rows.names == {"a": {"run-7": 0, "run-3": 1}}
    assert rows.set_aside[0].what == "columns"
    assert "host" in rows.set_aside[0].why


def test_the_same_measurement_twice_is_counted_and_of_two_different_ones_the_last_stands(tmp_path):
    rows = read_rows(write(tmp_path / "r.csv", GOOD + "a,0,1,0.5\n"))
    assert [(a.what, a.count) for a in rows.set_aside] == [("rows", 1)]
    rows = read_rows(write(tmp_path / "r.csv", GOOD + "a,0,1,0.9\n"), bad_rows="skip")
    assert rows.frame.set_index(["seed", "depth"]).loc[(0, 1), "value"] == 0.9
    assert "the last stands" in rows.set_aside[0].why


def test_final_and_group_told_once_hold_for_the_run(tmp_path):
    text = "seed,depth,metric,final,group\n0,1,2,,\n0,2,2,7,x\n1,1,2,8,y\n"
    frame = read_rows(write(tmp_path / "r.csv", text)).frame
    assert list(frame["final"]) == [7, 7, 8]
    assert list(frame["group"]) == ["x", "x", "y"]


def test_a_long_table_with_names_of_metrics(tmp_path):
    text = "task,seed,depth,split,metric,value,failure\na,0,1,val,loss,2,False\na,0,1,val,acc,.5,False\n"
    rows = read_rows(write(tmp_path / "r.csv", text), metric="acc")
    assert rows.metric == "acc"
    assert list(rows.frame["value"]) == [0.5]
    assert (rows.set_aside[0].count, rows.set_aside[0].what) == (1, "rows")
    with pytest.raises(InputError, match="no row has metric 'f1'"):
        read_rows(tmp_path / "r.csv", metric="f1")


def test_a_frame_and_parquet_give_what_the_csv_gives(tmp_path):
    frame = pd.read_csv(write(tmp_path / "r.csv", GOOD))
    frame.to_parquet(tmp_path / "r.parquet")
    for source in (frame, tmp_path / "r.parquet"):
        pd.testing.assert_frame_equal(read_rows(source).frame, read_rows(tmp_path / "r.csv").frame)
    broken = frame.astype({"metric": object})
    broken.loc[1, "metric"] = "?"
    with pytest.raises(InputError, match="the frame, row 2, column metric: '\\?'"):
        read_rows(broken)


@settings(max_examples=30, deadline=None)
@given(st.text(max_size=200))
def test_any_text_is_read_or_refused_in_a_line(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("any") / "r.csv"
    path.write_text("seed,depth,metric\n" + text, encoding="utf-8", newline="")
    said = ""
    depths = np.zeros(0)
    try:
        depths = read_rows(path).frame["depth"]
    except InputError as error:
        said = str(error)
    assert len(depths) or str(path) in said
    assert np.all(depths >= 0)


def test_what_an_import_set_aside_is_told_of_that_very_file(tmp_path):
    logs = tmp_path / "logs.csv"
    logs.write_text("run,step,val_loss\n" + "".join(f"r{i},1,0.{i}\nr{i},1,0.{i}5\n" for i in range(1, 4)))
    out = tmp_path / "runs.csv"
    options = Options(columns={"seed": "run", "depth": "step", "metric": "val_loss"})
    write_import(import_runs("csv", logs, options), out, "csv")
    rows = read_rows(out)
    assert rows.metric == "val_loss"
    assert [(a.what, a.count) for a in rows.set_aside] == [("value", 3)]
    assert rows.set_aside[0].why.startswith("on import: logged again")
    out.write_text(out.read_text() + "logs,9,1,0.5\n")
    assert read_rows(out).set_aside == []  # another file than the one that was imported
