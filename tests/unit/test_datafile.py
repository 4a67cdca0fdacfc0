"""A user's file as it stands there: cells a row, columns' names, encoding; row 1 is behind the header."""

import warnings
from pathlib import Path

import pytest

from prehoc import datafile
from prehoc.config.blocks import Data
from prehoc.errors import InputError
from prehoc.newtask.block import Asked
from prehoc.newtask.draft import draft
from prehoc.newtask.look import look
from prehoc.tasks import data as data_module
from prehoc.tasks.prompts import read_rows

ROWS = [f"good text {i},{i % 2}" for i in range(60)]


def write(path: Path, lines: list[str], encoding: str = "utf-8") -> Path:
    path.write_bytes(("\n".join(lines) + "\n").encode(encoding))
    return path


def faults(path: Path) -> list[str]:
    """What each reader of a file says of it: new-task's, training's of labels and of texts to write."""
    block = {
        "name": str(path), "subset": None, "revision": None, "splits": None, "label": "label",
        "text": "text", "domain": None, "labels": "class", "classes": None,
    }  # fmt: skip
    said = []
    for read in (look, lambda _: data_module.load_rows(block), lambda _: read_rows(block)):
        with pytest.raises(InputError) as caught:
            read(str(path))
        assert "\n" not in str(caught.value)
        said.append(str(caught.value))
    return said


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (
            [*ROWS[:6], "odd, text,1", *ROWS[6:]],
            "row 7 (line 8) has 3 cells, and the header has 2; put a text",
        ),
        ([f"{r}," for r in ROWS], "row 1 (line 2) has 3 cells, and the header has 2; take the commas"),
        ([*ROWS, "alone"], "row 61 (line 62) has 1 cell, and the header has 2; write the missing"),
        (['"two\nlines",1', "", "a,b,c"], "row 2 (line 5) has 3 cells"),
        ([*ROWS[:3], '"open,1', *ROWS], "row 4 (line 5) has 1 cell, and the header has 2; it runs over"),
    ],
)
def test_rows_of_other_lengths_are_named_with_a_remedy(tmp_path, rows, words):
    for said in faults(write(tmp_path / "mine.csv", ["text,label", *rows])):
        assert words in said
        assert "mine.csv" in said


def test_tabs_are_named_in_a_tsv(tmp_path):
    path = write(tmp_path / "mine.tsv", ["text\tlabel", "a\t1\t"])
    assert all("take the tabs at its end away" in said for said in faults(path))


def test_two_columns_of_one_name_are_refused(tmp_path):
    for said in faults(write(tmp_path / "mine.csv", ["text,text,label", "a,b,1"])):
        assert "two columns have the name 'text'; rename one" in said
    with pytest.raises(ValueError, match="'a' stands there twice"):
        Data(
            name="x.csv", revision=None, subset=None, text=["a", "a"], label="l", labels="class",
            positive=None, classes=None, domain=None, splits=None, train=1, val=1, target=1,
            train_domains=None, label_noise=0.0,
        )  # fmt: skip
    path = write(tmp_path / "good.csv", ["text,label", *ROWS])
    with pytest.raises(InputError, match=r"--text: 'text' stands there twice"):
        draft(Asked(str(path), text=("text", "text"), label="label"), tmp_path)


def test_a_header_that_ends_in_a_comma_with_its_rows_is_read(tmp_path):
    made = look(str(write(tmp_path / "mine.csv", ["text,label,", *(f"{r}," for r in ROWS)])))
    assert list(made.columns) == ["text", "label"]
    assert len(made.frame) == 60


@pytest.mark.parametrize(
    ("encoding", "words"),
    [
        ("utf-16", "not UTF-8 but UTF-16; `iconv -f utf-16 -t utf-8"),
        ("utf-16-le", "not UTF-8 but UTF-16; `iconv -f utf-16le -t utf-8"),
        ("utf-16-be", "not UTF-8 but UTF-16; `iconv -f utf-16be -t utf-8"),
        ("utf-32", "not UTF-8 but UTF-32; `iconv -f utf-32"),
        ("latin-1", "not UTF-8; if it is Latin-1, `iconv -f latin1"),
    ],
)
@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_another_encoding_is_named(tmp_path, encoding, words, ending):
    lines = ["text,label", *ROWS, "caf\xe9,1"]
    if ending == "jsonl":
        lines = [f'{{"text": "caf\xe9 {i}", "label": {i % 2}}}' for i in range(60)]
    for said in faults(write(tmp_path / f"mine.{ending}", lines, encoding)):
        assert words in said


def test_no_row_is_lost_and_a_mark_is_read_over(tmp_path):
    path = write(tmp_path / "mine.csv", ["text,label", *ROWS[:3], "", *ROWS[3:]], "utf-8-sig")
    assert [r["text"] for r in datafile.rows_of(path)] == [f"good text {i}" for i in range(60)]
    assert datafile.encoding_fault(path) is None


def test_infinite_numbers_are_told_without_a_warning_of_numpy(tmp_path):
    lines = ["text,label,score", *(f"text {i},{i % 2},{'inf' if i == 3 else i / 7}" for i in range(60))]
    path = write(tmp_path / "mine.csv", lines)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = draft(Asked(str(path)), tmp_path).block
        assert made["data"]["label"] == "label"
        assert not look(str(path)).columns["score"].whole
        block = {**made["data"], "labels": "number", "label": "score"}
        block = {"subset": None, "revision": None, "splits": None, "domain": None, "classes": None} | block
        with pytest.raises(InputError, match="has the label inf in row 4; mend it"):
            data_module.load_rows(block)
        write(path, [line.replace("inf", "1e300") for line in lines])
        with pytest.raises(InputError, match=r"has the label 1e\+300 in row 4; mend it"):
            data_module.load_rows(block)


def test_a_rows_number_is_the_files_though_rows_before_it_are_left_out(tmp_path):
    path = write(tmp_path / "mine.csv", ["text,label", "a,1", ",2", "c,3", "d,high", "e,4"])
    block = {
        "name": str(path), "subset": None, "revision": None, "splits": None, "domain": None,
        "text": "text", "label": "label", "labels": "number", "classes": None,
    }  # fmt: skip
    with pytest.raises(InputError, match="the label 'high' in row 4"):
        data_module.load_rows(block)
