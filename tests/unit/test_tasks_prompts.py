"""From rows of data to tokens: templates, chat turns, files, generated rows; and the judges of texts."""

from __future__ import annotations

import importlib.util
import json
import sys
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from prehoc.config.generation import fields_of
from prehoc.errors import InputError
from prehoc.tasks.generated_data import generated
from prehoc.tasks.judges import ExactMatchJudge, NumberJudge, final_number, judge_of
from prehoc.tasks.prompts import examples, read_rows, rendered

TEMPLATE = (
    "{% for m in messages %}{% if m.role == 'user' %}={{ m.content }}={% else %}{{ m.content }}[SEP]+{% endif %}"
    "{% endfor %}"
)


@pytest.fixture
def tokeniser(tiny_decoder):
    return AutoTokenizer.from_pretrained(tiny_decoder)


def config(path, **over):
    blank = dict.fromkeys(("revision", "subset", "splits", "train_domains"))
    made = {
        "seed": 1,
        "model": {"max_length": 20},
        "data": {**blank, "name": str(path), "train": 3, "val": 1, "target": 1},
        "generation": {"prompt": "{q}=", "completion": "{a}", "chat": "never"},
    }
    for key, value in over.items():
        block, _, name = key.rpartition("__")
        made[block][name] = value
    return made


ROWS = [{"q": f"{i}+{i}", "a": str(2 * i)} for i in range(5)]


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_prompts_and_completions_are_their_templates_tokens(tokeniser, tmp_path):
    made = examples(config(write(tmp_path / "d.jsonl", ROWS)), tokeniser, [2])
    assert {s: len(x) for s, x in made.items()} == {"train": 3, "val": 1, "target": 1}
    every = [e for split in made.values() for e in split]
    assert sorted(e.row["q"] for e in every) == [r["q"] for r in ROWS]
    for e in every:
        assert e.prompt == tokeniser(f"{e.row['q']}=")["input_ids"]
        assert e.completion == [*tokeniser(e.row["a"])["input_ids"], 2]


def test_chat_turns_end_with_the_first_end_token(tokeniser, tmp_path):
    tokeniser.chat_template = TEMPLATE
    path = write(tmp_path / "d.jsonl", ROWS)
    for how in ("auto", "always"):
        made = examples(config(path, generation__chat=how), tokeniser, [2])["train"]
        for e in made:
            assert e.prompt == tokeniser(f"={e.row['q']}==")["input_ids"]
            assert e.completion == [*tokeniser(e.row["a"])["input_ids"], 2]  # and no "+" behind it
    never = examples(config(path), tokeniser, [2])["train"]
    assert [len(e.prompt) + 2 for e in never] == [len(e.prompt) for e in made]
    tokeniser.chat_template = "{{ messages | length }}"
    with pytest.raises(InputError, match="does not put the answer behind the prompt"):
        examples(config(path, generation__chat="auto"), tokeniser, [2])
    tokeniser.chat_template = "{{ raise_exception('no turns') }}"
    with pytest.raises(InputError, match="the chat template fails: no turns"):
        examples(config(path, generation__chat="auto"), tokeniser, [2])


def test_long_rows_and_rows_without_a_value_are_left_out_and_said(tokeniser, tmp_path, caplog):
    rows = [*ROWS, {"q": "1" * 30, "a": "1"}, {"q": "1", "a": None}]
    with caplog.at_level("INFO", "prehoc"):
        made = examples(config(write(tmp_path / "d.jsonl", rows)), tokeniser, [2])
    assert "of 7 rows, 1 lack a column's value and 1 take more than model.max_length = 20" in caplog.text
    every = [e for split in made.values() for e in split]
    assert len(every) == 5
    assert all(rows[e.number - 1] == e.row for e in every)  # a row's number is the data's


def test_files_keep_their_cells_as_they_are_written(tmp_path):
    lines = "q\ta\n007\t1.0\nNA\t\n"
    (tmp_path / "d.tsv").write_text(lines)
    (tmp_path / "d.csv").write_text(lines.replace("\t", ","))
    write(tmp_path / "d.jsonl", [{"q": "007", "a": "1.0"}, {"q": "NA", "a": ""}])
    for name in ("d.tsv", "d.csv", "d.jsonl"):
        rows, split = read_rows({"name": str(tmp_path / name)})
        assert rows == [{"q": "007", "a": "1.0"}, {"q": "NA", "a": ""}]
        assert split.tolist() == ["", ""]


def test_named_splits_of_a_saved_data_set(tokeniser, tmp_path):
    from datasets import Dataset, DatasetDict

    parts = {"train": Dataset.from_list(ROWS[:3]), "test": Dataset.from_list(ROWS[3:])}
    DatasetDict(parts).save_to_disk(tmp_path / "saved")
    names = {"train": "train", "val": "test", "target": "test"}
    with pytest.raises(InputError, match=r"data\.target"):
        examples(config(tmp_path / "saved", data__splits=names, data__target=3), tokeniser, [2])
    names = {"train": "train", "target": "test"}
    rows, split = read_rows({**config(tmp_path / "saved")["data"], "splits": names})
    assert [r["q"] for r in rows] == [r["q"] for r in ROWS]
    assert split.tolist() == ["train"] * 3 + ["target"] * 2


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ('{"q": "1", "a": "2"}\n[1]\n', "row 2: is no object"),
        ('{"q": "1", "a": "2"}\n{"q"\n', "cannot be read"),
        ('{"q": "1", "b": "2"}\n', "completion: .* no column 'a'; it has q, b"),
        ("", "holds no rows"),
    ],
)
def test_faults_of_a_file_are_one_line(tokeniser, tmp_path, lines, says):
    (tmp_path / "d.jsonl").write_text(lines)
    with pytest.raises(InputError, match=says):
        examples(config(tmp_path / "d.jsonl"), tokeniser, [2])


def test_templates_name_columns_and_nothing_else():
    assert fields_of("{b} {{x}} {a}{b}") == ["b", "a"]
    assert rendered("{b} {{x}} {a}", {"a": 1, "b": "{a}"}) == "{a} {x} 1"
    for bad in ("{a.__class__}", "{a[0]}", "{a!r}", "{a:>9}", "{}", "{a", "a}"):
        with pytest.raises(ValueError, match="template"):
            fields_of(bad)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("16 - 3 = 13, so\n#### 1,234", 1234),
        ("it is $5.50.", "5.5"),
        ("so -3", -3),
        ("5-3", 3),
        ("#### -$12", -12),
        ("#### $-12", -12),
        ("4\n#### 18.00 dollars of 20", 18),
        ("first #### 3 then #### 4", 4),
        ("7 #### none", None),
        ("....", None),
        ("", None),
    ],
)
def test_the_final_number_is_read_as_gsm8k_does(text, number):
    assert final_number(text) == (None if number is None else Decimal(str(number)))


@given(st.integers(-(10**9), 10**9), st.text(st.characters(exclude_characters="#")))
def test_any_number_behind_the_mark_is_found(number, before):
    for written in (f"{number}", f"{number:,}", f" {number}.", f"{number}.00"):
        assert final_number(f"{before}\n#### {written}") == number


def test_judges_compare_with_the_completion():
    rows = [{"a": "x #### 5"}, {"a": "#### 5"}, {"a": "#### 5"}]
    texts = ["so 5.0", "so 6", "nothing"]
    assert judge_of("number", lambda r: r["a"])(rows, texts).tolist() == [True, False, False]
    exact = ExactMatchJudge(lambda r: r["a"])
    assert exact(rows, [" x #### 5\n", "####5", "#### 5"]).tolist() == [True, False, True]
    assert exact([], []).dtype == np.bool_
    with pytest.raises(InputError, match=r"generation\.judge: number, but the completion of row 2"):
        NumberJudge(lambda r: r["a"]).check([{"a": "3"}, {"a": "three"}])
    with pytest.raises(InputError, match=r"the completion of row 40, 'three'"):
        NumberJudge(lambda r: r["a"]).check([{"a": "3"}, {"a": "three"}], [7, 40])


def test_sums_are_generated_without_a_repeat():
    rows = generated("addition", "1", 55)
    assert {(min(r["a"], r["b"]), max(r["a"], r["b"])) for r in rows} == {
        (a, b) for b in range(10) for a in range(b + 1)
    }
    assert all(r["sum"] == r["a"] + r["b"] for r in rows)
    assert generated("addition", "1", 20) == rows[:20]
    assert all(10 <= r["a"] <= 99 for r in generated("addition", None, 500))


@pytest.mark.skipif(
    importlib.util.find_spec("reasoning_gym") is None, reason="reasoning-gym is not installed"
)
def test_word_problems_are_generated_and_end_with_their_number():
    rows = generated("gsm-symbolic", None, 300)
    assert rows[:40] == generated("gsm-symbolic", None, 40)
    assert len({r["question"] for r in rows}) == 300
    assert len({r["template"] for r in rows}) > 60
    for row in rows:
        assert final_number(row["answer"]) == final_number(row["number"])
    assert "reasoning_gym" not in sys.modules  # its own __init__ may still be imported by who wants it
