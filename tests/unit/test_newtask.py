"""`prehoc new-task`: guesses of columns, kinds and measures; what it writes passes `prehoc check`."""

from __future__ import annotations

import csv
import itertools
import json
import random
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import prehoc.cli  # noqa: F401  # all commands
from prehoc.commands.app import app
from prehoc.config import load
from prehoc.errors import InputError
from prehoc.newtask.adapt import way
from prehoc.newtask.block import HORIZON, MOST, schedule, sizes
from prehoc.newtask.guess import guess, measure
from prehoc.newtask.look import Table, _column, look
from prehoc.newtask.write import scalar, task_lines, whole
from prehoc.preflight import preflight

ROOT = Path(__file__).parents[2]
WORDS = ["tap", "leak", "bill", "card", "wifi", "slow", "car", "road", "red", "blue"]


def words(rng, count=8):
    return " ".join(rng.choice(WORDS) for _ in range(count))


def rows(count=80, **columns):
    """Rows of distinct texts, and columns made by functions of (rng, i)."""
    rng = random.Random(0)
    base = {"text": lambda r, i: f"{words(r)} {i}"} if "text" not in columns else {}
    return [{k: f(rng, i) for k, f in {**base, **columns}.items() if f} for i in range(count)]


def table_of(made):
    frame = pd.DataFrame(made)
    return Table(frame, {c: _column(frame[c], c) for c in frame}, None, [])


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with config.yaml, as a user stands in it."""
    (tmp_path / "config.yaml").write_text((ROOT / "config.yaml").read_text())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(path, made):
    path = Path(path)
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(r) + "\n" for r in made))
    else:
        with path.open("w", newline="") as stream:
            table = csv.DictWriter(stream, list(made[0]), delimiter="\t" if path.suffix == ".tsv" else ",")
            table.writeheader()
            table.writerows(made)
    return str(path)


def new(*args):
    done = CliRunner().invoke(app, ["new-task", *map(str, args)])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


def checked(path, name):
    """The task as `prehoc check` resolves it."""
    config = load(path, Path("config.yaml"))
    preflight(config)
    return config.tasks[name]


CLASS = {"label": lambda r, i: ["a", "b", "c"][i % 3]}


# ---- what it writes passes check --------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl"])
def test_texts_and_labels(project, ending):
    write(f"mine.{ending}", rows(**CLASS))
    said = new("mine", "--data", f"mine.{ending}")
    task = checked("mine.yaml", "mine")
    assert (task.kind, task.data.text, task.data.label) == ("text_classification", "text", "label")
    assert task.data.train + task.data.val + task.data.target == 80
    assert task.outcome.metric == "accuracy"
    assert task.model.name == "packaged:minilm-l3"
    assert "prehoc check-task mine --configfile mine.yaml" in said
    assert load("mine.yaml", Path("config.yaml")).only == ["mine"]
    assert len(Path("mine.yaml").read_text().splitlines()) <= 18


def test_pairs(project):
    write(
        "p.csv",
        rows(
            text=None, premise=lambda r, i: f"{words(r)} {i}", hypothesis=lambda r, i: words(r, 4), **CLASS
        ),
    )
    new("p", "--data", "p.csv", "--model", "distilbert/distilbert-base-uncased")
    task = checked("p.yaml", "p")
    assert task.data.text == ["premise", "hypothesis"]
    assert task.method.targets == ["q_lin", "v_lin"]


def test_regression(project):
    write("r.jsonl", rows(score=lambda r, i: r.random()))
    new("r", "--data", "r.jsonl")
    task = checked("r.yaml", "r")
    assert (task.data.labels, task.outcome.metric) == ("number", "pearson_spearman")


def test_generation_of_numbers_and_of_words(project):
    sums = rows(text=None, question=lambda r, i: f"What is {i} + {i}?", answer=lambda r, i: f"#### {2 * i}")
    write("g.jsonl", sums)
    new("g", "--data", "g.jsonl")
    task = checked("g.yaml", "g")
    assert (task.kind, task.generation.judge) == ("text_generation", "number")
    assert "{question}" in task.generation.prompt
    short = rows(text=None, source=lambda r, i: words(r), target=lambda r, i: f"{i} {words(r, 3)}")
    write("h.csv", short)
    new("h", "--data", "h.csv")
    assert checked("h.yaml", "h").generation.judge == "exact"


def test_a_written_blocks_depths_may_be_a_ratio(project):
    write("a.csv", rows(400, **CLASS))
    new("a", "--data", "a.csv")
    text = Path("a.yaml").read_text()
    line = next(x for x in text.splitlines() if "depths:" in x)
    Path("a.yaml").write_text(text.replace(line, "    depths: {first: 1, ratio: 1.4142}  # dense"))
    task = checked("a.yaml", "a")
    assert task.depths[:6] == [1, 2, 3, 4, 6, 8]
    assert task.depths[-1] < task.horizon
    assert all(b / a <= 2 for a, b in itertools.pairwise(task.depths))
    write("b.csv", rows(400, **CLASS))
    new("b", "--data", "b.csv", "--out", "a.yaml")  # a second task beside it leaves it as it is
    assert checked("a.yaml", "a").depths == task.depths


@pytest.mark.parametrize("kind", [[], ["--kind", "text_generation"]])
def test_answers_that_are_all_one_are_refused(project, kind):
    write(
        "g.jsonl",
        rows(text=None, question=lambda r, i: f"What is {words(r)} {i}?", answer=lambda r, i: "so it is"),
    )
    with pytest.raises(
        InputError, match="'answer' holds 'so it is' alone; two texts to be written are needed"
    ):
        new(
            "g", "--data", "g.jsonl", "--label", "answer", "--text", "question", "--kind", "text_generation"
        )
    with pytest.raises(InputError, match="alone"):
        new("g", "--data", "g.jsonl", *kind)


def test_long_answers_are_measured_by_their_loss(project):
    write(
        "s.jsonl",
        rows(text=None, instruction=lambda r, i: f"{words(r)} {i}", output=lambda r, i: words(r, 40)),
    )
    new("s", "--data", "s.jsonl")
    assert checked("s.yaml", "s").outcome.metric == "loss"


def test_code_with_tests(project):
    made = rows(60, text=lambda r, i: f"Double {i}.", code=lambda r, i: f"def f{i}(x):\n    return 2 * x",
                test_list=lambda r, i: [f"assert f{i}(2) == 4"])  # fmt: skip
    write("c.jsonl", made)
    new("c", "--data", "c.jsonl")
    task = checked("c.yaml", "c")
    assert (task.generation.judge, task.outcome.metric) == ("tests", "pass_at_1")


def test_packaged_data_and_head(project):
    new("b", "--data", "packaged:bbc-news", "--model", "packaged:minilm-l6")
    task = checked("b.yaml", "b")
    assert task.method.kind == "head"
    assert task.data.train > 1000


def test_hub_names_need_columns_and_ask_nobody(project):
    with pytest.raises(InputError, match=r"--text and --label"):
        new("q", "--data", "nyu-mll/glue")
    said = new(
        "q",
        "--data",
        "nyu-mll/glue",
        "--subset",
        "rte",
        "--text",
        "sentence1",
        "--text",
        "sentence2",
        "--label",
        "label",
    )
    assert "not looked at" in said
    assert checked("q.yaml", "q").data.subset == "rte"


def test_uneven_classes_are_measured_by_f1_of_the_rare_one(project):
    write("u.csv", rows(200, label=lambda r, i: "spam" if i % 10 == 0 else "ham"))
    said = new("u", "--data", "u.csv")
    task = checked("u.yaml", "u")
    assert (task.outcome.metric, task.data.positive) == ("f1", "spam")
    assert "90%" in said


@pytest.mark.parametrize("values", [("true", "false"), ("1.0", "0.0"), ("1", "")])
def test_uneven_labels_that_f1_could_not_name(project, values):
    """CSV cells that pandas reads as other values than they are written: booleans, floats, with holes."""
    rare, most = values
    made = rows(200, label=lambda r, i: rare if i % 10 == 0 else most or ("" if i % 10 == 1 else "0"))
    write("u.csv", made)
    new("u", "--data", "u.csv")
    assert checked("u.yaml", "u").outcome.metric == "matthews"


def test_a_saved_data_set_keeps_its_splits(project):
    import datasets

    made = rows(200, **CLASS)
    parts = {"train": made[:140], "validation": made[140:160], "test": made[160:]}
    datasets.DatasetDict({k: datasets.Dataset.from_list(v) for k, v in parts.items()}).save_to_disk("saved")
    new("d", "--data", "./saved")
    task = checked("d.yaml", "d")
    assert task.data.splits == {"train": "train", "val": "validation", "target": "test"}
    assert (task.data.train, task.data.val, task.data.target) == (140, 20, 40)


# ---- files --------------------------------------------------------------------------------------------


def test_an_overlay_file_is_added_to_and_never_replaced(project):
    write("mine.csv", rows(**CLASS))
    new("one", "--data", "mine.csv", "--out", "both.yaml")
    Path("both.yaml").write_text("# my own words\n" + Path("both.yaml").read_text())
    new("two", "--data", "mine.csv", "--out", "both.yaml")
    config = load("both.yaml", Path("config.yaml"))
    assert config.only == ["one", "two"]
    assert "# my own words" in Path("both.yaml").read_text()
    before = Path("both.yaml").read_text()
    with pytest.raises(InputError, match=r"has a task 'two' already; --force"):
        new("two", "--data", "mine.csv", "--out", "both.yaml")
    with pytest.raises(InputError, match=r"holds one too"):
        new("two", "--data", "mine.csv", "--out", "both.yaml", "--force")
    assert Path("both.yaml").read_text() == before
    new("alone", "--data", "mine.csv")
    new("alone", "--data", "mine.csv", "--force")


@pytest.mark.parametrize("text", ["tasks: {a: {kind: synthetic}}\n", "only: null\n", "- a\n", "a: [\n"])
def test_other_files_are_left_alone(project, text):
    write("mine.csv", rows(**CLASS))
    Path("x.yaml").write_text(text)
    with pytest.raises(InputError, match=r"x\.yaml"):
        new("mine", "--data", "mine.csv", "--out", "x.yaml")
    assert Path("x.yaml").read_text() == text


@pytest.mark.parametrize("name", ["a b", "../x", "all", "-", "é", "movie_polarity"])
def test_odd_names(project, name):
    write("mine.csv", rows(**CLASS))
    with pytest.raises((InputError, AssertionError)):
        new("--data", "mine.csv", "--", name)
    assert sorted(p.name for p in project.iterdir()) == ["config.yaml", "mine.csv"]


def test_outside_a_project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write("mine.csv", rows(**CLASS))
    with pytest.raises(InputError, match=r"config\.yaml: not here"):
        new("mine", "--data", "mine.csv")


# ---- hostile files -------------------------------------------------------------------------------------

HOSTILE = {
    "empty.csv": (b"", "is empty"),
    "head.csv": (b"text,label\n", "no rows"),
    "one_column.csv": (b"text\nhello\n", "one column 'text'"),
    "semicolons.csv": (b"text;label\n" + b"hi there;1\n" * 50, "semicolons"),
    "latin.csv": ("text,label\n" + "caf\xe9 au lait,1\n" * 50).encode("latin1") and (
        ("text,label\n" + "caf\xe9 au lait,1\n" * 50).encode("latin1"), "not UTF-8"),
    "one_row.csv": (b"text,label\nhello you,1\n", "40 are the least"),
    "few.csv": (b"text,label\nhello you,1\nhello me,0\n", "40 are the least"),
    "constant.csv": (b"text,label\n" + b"".join(b"hello %d,1\n" % i for i in range(60)), "holds '1' alone"),
    "broken.jsonl": (b'{"text": "a", \n', "cannot be read"),
    "list.jsonl": (b"[1, 2]\n[3, 4]\n", ""),
    "mine.docx": (b"PK", "unknown kind"),
    "ragged.csv": (b"text,label\n" + b"a b,1\na c,0\n" * 40 + b"a,b,c,d\n", "cannot be read"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_end_in_one_line(project, name):
    content, words_ = HOSTILE[name]
    Path(name).write_bytes(content)
    with pytest.raises(InputError) as caught:
        new("t", "--data", name)
    assert words_ in str(caught.value)
    assert "\n" not in str(caught.value).strip()
    assert not Path("t.yaml").exists()


def test_a_folder_without_data(project):
    Path("nothing").mkdir()
    with pytest.raises(InputError, match="folder without data"):
        new("t", "--data", "./nothing")


def test_labels_that_are_all_unlike(project):
    write("ids.csv", rows(label=lambda r, i: f"x{i}"))
    with pytest.raises(InputError, match=r"no classes; say --kind"):
        new("t", "--data", "ids.csv", "--kind", "classification")


def test_a_class_with_one_row_that_training_would_lack(project):
    write("rare.csv", rows(400, label=lambda r, i: "odd" if i == 3 else "ab"[i % 2]))
    outcome = ""
    try:
        outcome = new("t", "--data", "rare.csv")
    except InputError as error:
        outcome = str(error)
    assert "fewer than 10 rows" in outcome or "no training row has the label 'odd'" in outcome


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_a_mark_of_byte_order_is_read_over(project, ending):
    made = rows(
        text=None, prompt=lambda r, i: f"{words(r)} {i}", completion=lambda r, i: f"{words(r, 2)} {i}"
    )
    for name, some in (("k", rows(**CLASS)), ("g", made)):
        path = Path(write(f"{name}.{ending}", some))
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
        new(name, "--data", path)
        assert checked(f"{name}.yaml", name).data.train > 0


def test_quotes_line_ends_and_holes(project):
    made = rows(120, text=lambda r, i: f'she said "{words(r)}",\nthen {i}', **CLASS)
    for i in range(0, 20, 2):
        made[i]["label"] = ""
    write("q.csv", made)
    said = new("q", "--data", "q.csv")
    task = checked("q.yaml", "q")
    assert "10 of 120 rows lack" in said
    assert task.data.train + task.data.val + task.data.target == 110


def test_a_huge_cell_is_named(project):
    made = rows(**CLASS)
    made[7]["text"] = "x " * 30_000
    write("h.csv", made)
    assert "60,000 characters" in new("h", "--data", "h.csv")


def test_columns_with_odd_names(project):
    odd = "my: label, {really} #1"
    write("o.csv", [{"some text": r["text"], odd: r["label"]} for r in rows(**CLASS)])
    new("o", "--data", "o.csv")
    assert checked("o.yaml", "o").data.label == odd


# ---- guesses --------------------------------------------------------------------------------------------


def test_a_column_of_numbers_of_rows_is_no_label():
    made = table_of(rows(id=lambda r, i: i, queue=lambda r, i: "xyz"[i % 3]))
    assert guess(made, [], None, None).label == "queue"


@pytest.mark.parametrize(
    ("columns", "option"),
    [
        ({"one": lambda r, i: "ab"[i % 2], "two": lambda r, i: "cd"[i // 2 % 2]}, "--label"),
        (
            {
                "text": None,
                "a": lambda r, i: words(r, 9),
                "b": lambda r, i: words(r, 8),
                "label": lambda r, i: i % 2,
            },
            "--text",
        ),
        ({}, "--label"),
    ],
)
def test_what_cannot_be_told_is_asked_in_one_line(columns, option):
    with pytest.raises(InputError, match=rf"{option} COLUMN"):
        guess(table_of(rows(**columns)), [], None, None)


def test_given_columns_are_taken_and_missing_ones_refused():
    made = table_of(rows(other=lambda r, i: words(r), **CLASS))
    assert guess(made, ["other"], "label", None).texts == ["other"]
    with pytest.raises(InputError, match="no column 'nope'"):
        guess(made, ["nope"], None, None)
    with pytest.raises(InputError, match="text column too"):
        guess(made, ["label"], "label", None)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=2, max_size=60))
def test_accuracy_unless_one_class_is_most_of_them(labels):
    found = measure(pd.Series(labels), number=False)
    share = max(labels.count(v) for v in labels) / len(labels)
    assert (found.metric == "accuracy") == (share < 0.75)
    if found.metric == "f1":
        assert labels.count(found.positive) <= labels.count(next(v for v in labels if v != found.positive))


@settings(max_examples=100, deadline=None)
@given(st.integers(40, 100_000))
def test_splits_use_no_row_twice_and_leave_none_empty(count):
    cut = sizes(count, MOST)
    assert min(cut.values()) >= 8
    assert sum(cut.values()) <= count
    assert all(cut[s] <= MOST[s] for s in cut)
    depths, horizon = schedule(cut["train"], 16)
    assert HORIZON[0] <= horizon <= HORIZON[1]
    assert depths == sorted(set(depths))
    assert depths[-1] < horizon


plain = st.one_of(
    st.text(max_size=20), st.integers(-5, 5), st.booleans(), st.lists(st.text(max_size=5), max_size=3)
)


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["data", "model", "kind", "runs"]),
        st.one_of(plain, st.dictionaries(st.text(min_size=1, max_size=9), plain, max_size=5)),
        min_size=1,
    )
)
def test_what_is_written_is_read_back(block):
    block = {k: v for k, v in block.items() if not (isinstance(v, dict) and not v)}
    text = whole("t", task_lines("t", block, {"data": "a comment", "model.name": "another"}))
    assert yaml.safe_load(text)["tasks"]["t"] == (block or None)


@pytest.mark.parametrize("value", ["a: b", "no", "1e3", "", " x ", "# y", "a\nb", "{c}", "é", "x" * 300])
def test_a_scalar_stays_on_its_line(value):
    assert "\n" not in scalar(value)
    assert yaml.safe_load(scalar(value)) == value


def test_methods_by_model(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "mpnet"}')
    assert way(str(tmp_path), False).method["targets"] == ["q", "v"]
    assert way("packaged:minilm-l3", False).method is None
    assert way("someone/unheard-of", False).method["kind"] == "head"
    assert way("Qwen/Qwen2.5-0.5B", True).method["targets"] == ["q_proj", "v_proj"]
    with pytest.raises(InputError, match="writes no text"):
        way("google-bert/bert-base-uncased", True)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(InputError, match=r"config\.json"):
        way(str(tmp_path), False)


def test_lengths_are_counted_where_a_tokeniser_lies_near(project):
    write("n.csv", rows(**CLASS))
    assert "counted" in new("n", "--data", "n.csv")
    assert "estimated" in new("e", "--data", "n.csv", "--model", "google-bert/bert-base-uncased")
    assert look("n.csv").columns["text"].words == pytest.approx(9)
    assert np.isfinite(look("n.csv").columns["text"].characters)
