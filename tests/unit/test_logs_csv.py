"""Any CSV by a map of its columns."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from logged import curve, imported

from prehoc.errors import InputError
from prehoc.logs.generic import parse_map

TEXT = """exp_name,run_id,global_step,val_acc,test_acc,host,lr
lora,a7,10,0.5,,n1,0.1
lora,a7,20,0.6,0.61,n1,0.1
lora,b2,10,0.4,,n2,0.1
lora,b2,20,nan,,n2,0.1
full,a7,10,0.3,0.5,n1,0.2
"""
MAP = {"task": "exp_name", "seed": "run_id", "depth": "global_step", "metric": "val_acc"}


def table(path, text=TEXT):
    path.write_text(text)
    return path


def test_a_map_names_every_column(tmp_path):
    src = table(tmp_path / "x.csv")
    runs, index, _ = imported("csv", src, columns=MAP | {"final": "test_acc", "group": "host"})
    assert list(runs.columns) == ["task", "seed", "depth", "metric", "final", "group"]
    assert index[["task", "seed", "logged_seed", "group"]].to_numpy().tolist() == [
        ["lora", 0, "a7", "n1"],
        ["lora", 1, "b2", "n2"],
        ["full", 0, "a7", "n1"],
    ]
    assert curve(runs, "lora", 0) == [(10, 0.5), (20, 0.6)]
    assert runs["final"].tolist()[:2] == [0.61, 0.61]
    assert np.isnan(curve(runs, "lora", 1)[1][1])
    assert index["hp.lr"].tolist() == [0.1, 0.1, 0.2]


def test_constants_separators_and_a_byte_order_mark(tmp_path):
    src = tmp_path / "x.csv"
    src.write_bytes(b"\xef\xbb\xbf" + TEXT.replace(",", ";").encode())
    columns, constants = parse_map(["seed=run_id", "step=global_step", "metric=val_acc", "task==lora r16"])
    runs, _, lines = imported("csv", src, columns=columns, constants=constants)
    assert set(runs["task"]) == {"lora r16"}
    assert any("logged again" in said for said in lines)  # two a7 are one run now


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_every_kind_of_line_ending_and_odd_characters_in_cells(tmp_path, ending):
    rows = ["seed,depth,metric,note", "0,1,0.5,a\u2028b\x0cc", "", "0,2,0.4,"]
    (tmp_path / "x.csv").write_bytes(ending.join(rows).encode())
    runs, _, _ = imported("csv", tmp_path / "x.csv")
    assert runs["metric"].tolist() == [0.5, 0.4]


def test_columns_of_our_own_names_need_no_map_and_splits_are_kept(tmp_path):
    src = table(tmp_path / "x.csv", "seed,step,metric,split\n0,1,0.5,val\n0,1,0.4,target\n1,1,0.6,\n")
    runs, index, _ = imported("csv", src)
    assert runs["split"].tolist() == ["val", "target", "val"]
    assert index["rows"].tolist() == [1, 1]
    assert set(runs["task"]) == {"x"}


def test_empty_cells_are_failures_unless_numbers_follow_or_the_user_says(tmp_path):
    head = "seed,depth,metric\n"
    died = table(tmp_path / "died.csv", head + "0,1,0.5\n0,2,\n1,1,0.4\n1,2,0.3\n")
    runs, _, lines = imported("csv", died)
    assert runs["metric"].isna().tolist() == [False, True, False, False]
    assert any("1 empty metric cell read as failures" in said for said in lines)
    assert len(imported("csv", died, empty="skip")[0]) == 3
    sparse = table(tmp_path / "sparse.csv", head + "0,1,\n0,2,0.5\n0,3,\n")
    runs, _, lines = imported("csv", sparse)
    assert runs["depth"].tolist() == [2]
    assert any("rows without an evaluation" in said for said in lines)
    assert len(imported("csv", sparse, empty="failed")[0]) == 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("seed,depth,metric\n0,1,0.5\n0,2,good\n", "x.csv, line 3: metric 'good' is no number"),
        ("seed,depth,metric\n0,1,0.5\n0,x,0.5\n", "x.csv, line 3: depth 'x' is no whole number"),
        ("seed,depth,metric\n0,1,0.5\n0,2\n", "x.csv, line 3: 2 cells where the header has 3"),
        ("seed,depth,metric\n0,1,0.5\n,2,0.5\n", "x.csv, line 3: an empty seed"),
        ('seed,depth,metric,note\n0,1,0.5,"two\nlines"\n0,2,bad,\n', "x.csv, line 4: metric 'bad'"),
        (
            "seed,depth,metric,final\n0,1,0.5,0.1\n0,2,0.4,0.2\n",
            "x.csv, line 3: final 0.2 differs from 0.1",
        ),
        (
            "seed,depth,metric,group\n0,1,0.5,a\n0,2,0.4,b\n",
            "x.csv, line 3: run 0 is of two groups: a and b",
        ),
    ],
)
def test_bad_rows_name_file_line_and_column_or_are_set_aside(tmp_path, text, said):
    src = table(tmp_path / "x.csv", text)
    with pytest.raises(InputError, match=said):
        imported("csv", src)
    runs, _, lines = imported("csv", src, skip_bad=True)
    assert runs["metric"].iloc[0] == 0.5
    assert any(said.startswith("set aside: 1 ") for said in lines)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("a,a\n1,2\n", r"column\(s\) \['a'\] twice"),
        (
            "run,depth,metric\n1,2,3\n",
            "no column for seed among run, depth, metric: name it, as --map seed=COLUMN",
        ),
        ('seed,depth,metric\n0,1,"0.5\n', "line 2"),
    ],
)
def test_a_table_that_cannot_be_read_says_why(tmp_path, text, said):
    with pytest.raises(InputError, match=said):
        imported("csv", table(tmp_path / "x.csv", text))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["seed"], "write FIELD=COLUMN"),
        (["colour=x"], "FIELD one of task, seed"),
        (["seed=a", "seed=b"], "mapped twice"),
        (["depth=a", "step=b"], "mapped twice"),
        (["seed==3"], "seed must be a column"),
        (["task="], "write FIELD=COLUMN"),
    ],
)
def test_a_malformed_map_is_refused(words, said):
    with pytest.raises(InputError, match=said):
        parse_map(words)


ROWS = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 40), st.floats(-1e6, 1e6)), min_size=1, max_size=40
)


@given(ROWS)
@settings(max_examples=40, deadline=None)
def test_every_run_keeps_the_last_value_of_each_depth(tmp_path_factory, rows):
    src = tmp_path_factory.mktemp("rows") / "x.csv"
    src.write_text("seed,depth,metric\n" + "".join(f"{s},{d},{v!r}\n" for s, d, v in rows))
    runs, index, _ = imported("csv", src)
    wanted = {(s, d): v for s, d, v in rows}
    names = dict(zip(index["seed"], index["logged_seed"], strict=True))
    got = {(names[s], d): v for s, d, v in zip(runs["seed"], runs["depth"], runs["metric"], strict=True)}
    assert got == wanted
    assert index["repeated"].sum() == len(rows) - len(wanted)


def test_files_of_a_folder_without_a_seed_column_are_one_run_each(tmp_path):
    for i in (2, 10):
        table(tmp_path / f"run_{i}.csv", f"step,acc\n1,0.{i}\n2,0.5\n")
    runs, index, lines = imported("csv", tmp_path, metric="acc", task="t")
    assert index["source"].tolist() == ["run_2.csv", "run_10.csv"]
    assert runs["metric"].tolist() == [0.2, 0.5, 0.1, 0.5]
    assert any("each file is one run" in said for said in lines)


def test_final_and_settings_are_columns_too(tmp_path):
    src = table(tmp_path / "x.csv")
    runs, index, lines = imported(
        "csv", src, columns=MAP, final="test_acc", task_by=("lr",), group_by="host"
    )
    assert index["task"].tolist() == ["lora.lr=0.1", "lora.lr=0.1", "full.lr=0.2"]
    assert index["group"].tolist() == ["n1", "n2", "n1"]
    assert runs["final"].tolist()[0] == 0.61
    assert not any("differ" in said and " lr " in said for said in lines)
