"""Tables: checked on write and on read, atomic, and the same after a round trip."""

import json

import numpy as np
import pandas as pd
import pytest

from prehoc import tables
from prehoc.errors import InputError


def runs(n=3):
    return pd.DataFrame(
        {
            "task": "t",
            "seed": range(n),
            "depth": 1,
            "split": "val",
            "metric": "accuracy",
            "value": np.linspace(0, 1, n),
            "failure": False,
        }
    )


@pytest.mark.parametrize("name", list(tables.SCHEMAS))
@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_empty_tables_survive_a_round_trip(tmp_path, name, ending):
    path = tmp_path / f"t.{ending}"
    tables.write(name, tables.empty(name), path)
    again = tables.read(name, path)
    assert list(again.columns) == list(tables.SCHEMAS[name].columns)
    assert again.empty


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_values_survive_a_round_trip(tmp_path, ending):
    path = tmp_path / f"t.{ending}"
    frame = runs()
    frame.loc[1, ["value", "failure"]] = [np.nan, True]
    tables.write("runs", frame, path)
    again = tables.read("runs", path)
    assert again["value"].isna().tolist() == [False, True, False]
    assert again["failure"].tolist() == [False, True, False]
    np.testing.assert_allclose(again["value"].dropna(), [0.0, 1.0], rtol=1e-9)


def test_names_that_look_like_numbers_stay_text(tmp_path):
    frame = runs().assign(task="007")
    tables.write("runs", frame, tmp_path / "t.csv")
    assert tables.read("runs", tmp_path / "t.csv")["task"].tolist() == ["007"] * 3


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: f.drop(columns="seed"), "lacks the column"),
        (lambda f: f.assign(extra=1), "unknown column"),
        (lambda f: f.assign(split="test"), "split"),
        (lambda f: f.assign(depth=-1), "depth"),
        (lambda f: pd.concat([f, f]), "unique"),
        (lambda f: f.assign(value="high"), "value"),
    ],
)
def test_bad_tables_are_refused_and_nothing_is_written(tmp_path, spoil, message):
    path = tmp_path / "t.csv"
    with pytest.raises(InputError, match=message):
        tables.write("runs", spoil(runs()), path)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_keeps_the_old_file(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("old")

    def break_off():
        with tables.atomic(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        break_off()
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["t.csv"]


def test_reading_nothing_and_nonsense(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        tables.read("runs", tmp_path / "absent.csv")
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 nonsense")
    with pytest.raises(InputError, match=r"bad\.parquet"):
        tables.read("runs", tmp_path / "bad.parquet")


def test_json_refuses_nan(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        tables.write_json({"a": float("nan")}, tmp_path / "a.json")
    assert not (tmp_path / "a.json").exists()
    tables.write_json({"a": None}, tmp_path / "a.json")
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": None}


@pytest.mark.parametrize("word", ["no", "", "2", None, float("nan")])
def test_what_is_neither_true_nor_false_is_refused_with_its_row(word):
    frame = pd.DataFrame(
        {"task": "t", "seed": [0, 1], "depth": 1, "split": "val", "metric": "m", "value": 0.5}
    ).assign(failure=pd.Series([False, word], dtype=object))
    with pytest.raises(InputError, match=r"'failure' takes true or false.*row 2"):
        tables.check("runs", frame)


def test_words_for_true_and_false_are_taken_for_what_they_say():
    frame = pd.DataFrame(
        {"task": "t", "seed": [0, 1, 2], "depth": 1, "split": "val", "metric": "m", "value": 0.5}
    ).assign(failure=["False", "true", "0"])
    assert tables.check("runs", frame)["failure"].tolist() == [False, True, False]
