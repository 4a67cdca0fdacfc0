"""Labels of a user's file: what counts as missing, how classes are called, what is refused before any job."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prehoc import datafile, labels
from prehoc.checking import labelled
from prehoc.config import resolve
from prehoc.config.loading import merge
from prehoc.errors import InputError
from prehoc.newtask.block import Asked
from prehoc.newtask.draft import draft
from prehoc.preflight import preflight
from prehoc.tasks import data as data_module

ROOT = Path(__file__).parents[2]
BASE = yaml.safe_load((ROOT / "config.yaml").read_text())
READ = {"subset": None, "revision": None, "splits": None, "text": "text", "label": "label", "domain": None,
        "labels": "class", "classes": None, "positive": None, "train_domains": None}  # fmt: skip


def table(path, cells, domains=None):
    """A file of texts with these labels, one a row."""
    made = [{"text": f"text {i}", "label": c} for i, c in enumerate(cells)]
    if domains is not None:
        made = [{**row, "place": d} for row, d in zip(made, domains, strict=True)]
    if path.suffix.lower() == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in made))
    else:
        lines = [",".join(made[0]), *(",".join(f'"{v}"' for v in row.values()) for row in made)]
        path.write_text("\n".join(lines) + "\n")
    return path


def before(path, **over):
    """What is checked before any job."""
    block = {
        "kind": "text_classification",
        "data": {"name": str(path), "train": 20, "val": 8, "target": 8},
        "model": {"name": "packaged:minilm-l3", "max_length": 12},
        "method": {"kind": "head", "pooling": "mean"},
    }
    preflight(resolve({**BASE, "only": ["t"], "tasks": {"t": merge(block, over)}}))


def read(path, **over):
    return data_module.load_rows({**READ, "name": str(path), **over})[0]


CELLS = st.sampled_from(
    ["0", "1", "01", "2.0", "1.5", "1e3", "pos", "neg ", "NA", "", "null", "true", "False", "nan"]
)
VALUES = st.sampled_from([0, 1, 2.0, 1.5, "1", "pos", "NA", "", None, True, False, "true"])


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.one_of(st.lists(CELLS, min_size=2, max_size=6), st.lists(VALUES, min_size=2, max_size=6)),
    st.booleans(),
)
def test_classes_are_called_the_same_before_a_job_and_in_it(tmp_path, cells, csv):
    path = tmp_path / ("mine.csv" if csv else "mine.jsonl")
    cells = [str(c) if csv else c for c in cells]
    made = labels.counts(cells, csv)
    table(path, cells)
    if len(made) < 2:
        with pytest.raises(InputError, match=r"one label only|no rows with text"):
            read(path)
        return
    rows = read(path)
    assert sorted(rows.classes) == sorted(made)
    assert len(rows.labels) == sum(made.values())


@pytest.mark.parametrize("gap", ["", "NA", "None"])
@pytest.mark.parametrize("ending", ["csv", "jsonl", "CSV"])
def test_missing_labels_are_no_class(tmp_path, gap, ending):
    cells = [str(i % 2) for i in range(60)]
    cells[5] = cells[30] = gap if ending != "jsonl" else None
    path = table(tmp_path / f"mine.{ending}", cells)
    over = {"outcome": {"metric": "f1"}, "data": {"classes": 2, "positive": 1}}
    before(path, **over)
    rows = read(path, classes=2, positive=1)
    assert rows.classes == ["0", "1"]
    assert data_module.positive_of({"positive": 1}, rows.classes) == 1
    with pytest.raises(InputError, match=r"has 58 rows with text and label \(2 lack one: .*NA.*lower them"):
        before(path, **merge(over, {"data": {"train": 43}}))


def test_a_positive_label_may_be_written_in_the_files_way():
    assert labels.spelt("1.0", ["0", "1"]) == "1"
    assert labels.spelt("true", ["False", "True"]) == "True"
    assert labels.spelt("2", ["0", "1"]) is None
    assert labels.spelt("1.0", ["1", "1.0"]) == "1.0"


def test_a_row_without_the_key_is_a_row_without_a_label(tmp_path):
    path = tmp_path / "mine.jsonl"
    made = [{"text": f"text {i}", "label": "ab"[i % 2]} for i in range(60)]
    del made[7]["label"]
    path.write_text("".join(json.dumps(row) + "\n" for row in made))
    before(path)
    assert len(read(path).labels) == 59
    with pytest.raises(InputError, match=r"data\.label: .* has no column 'topic'; it has text, label"):
        before(path, data={"label": "topic"})


def test_one_class_beside_na_is_told_so(tmp_path):
    path = table(tmp_path / "mine.csv", ["pos", "NA"] * 30)
    with pytest.raises(
        InputError, match=r"one label 'pos'; need two; 30 rows lack .*NA.* count as missing"
    ):
        before(path)
    with pytest.raises(InputError, match=r"one label only, 'pos'.* \(30 rows lack .*NA"):
        read(path)


def test_domains_that_the_file_has_not_are_refused_before_any_job(tmp_path):
    path = table(tmp_path / "mine.csv", [str(i % 2) for i in range(60)], ["abc"[i % 3] for i in range(60)])
    good = {"data": {"domain": "place", "train_domains": ["a", "b"]},
            "population": {"target_domain": {"choice": ["b", "c"], "visible": True}}}  # fmt: skip
    before(path, **good)
    faults = [
        ({"data": {"domain": "town"}}, r"tasks\.t\.data\.domain: .* has no column 'town'; it has text, label"),
        ({"data": {"domain": None}}, r"tasks\.t\.data\.domain: null, and data\.train_domains .*set data.domain"),
        ({"data": {"domain": None, "train_domains": None}}, r"and population\.target_domain names"),
        ({"data": {"train_domains": ["z"]}}, r"tasks\.t\.data\.train_domains: .* no domain 'z'; it has a, b, c"),
        ({"population": {"target_domain": {"choice": ["z"], "visible": True}}}, r"tasks\.t\.population\.target_domain: .*'z'"),
        ({"population": {"target_domain": {"choice": ["b", "b"], "visible": True}}}, r"choice has 'b' twice"),
    ]  # fmt: skip
    for over, says in faults:
        with pytest.raises(InputError, match=says):
            before(path, **merge(good, over))


def test_integers_with_gaps_are_domains_too(tmp_path):
    places = [str(i % 3) if i != 4 else "" for i in range(60)]
    path = table(tmp_path / "mine.csv", [str(i % 2) for i in range(60)], places)
    before(path, data={"domain": "place", "train_domains": ["0", "1"]})
    assert set(read(path, domain="place").domains.tolist()) == {"0", "1", "2", "nan"}


def test_decimal_commas_are_named(tmp_path):
    path = table(tmp_path / "mine.csv", [f"0,{i + 10}" for i in range(60)])
    for check in (lambda: before(path, data={"labels": "number"}, outcome={"metric": "pearson"}),
                  lambda: read(path, labels="number")):  # fmt: skip
        with pytest.raises(InputError, match=r"label '0,10'.*write a point in place of the comma"):
            check()


# ---- new-task and the file itself ---------------------------------------------------------------------


def test_new_task_asks_no_kind_of_one_class(tmp_path):
    path = table(tmp_path / "mine.csv", ["pos", "NA"] * 40)
    with pytest.raises(InputError, match=r"--label: 'label' holds 'pos' alone.*40 rows have none: .*NA"):
        draft(Asked(str(path)), tmp_path)


def test_new_task_names_decimal_commas_where_no_kind_is_given(tmp_path):
    path = table(tmp_path / "mine.csv", [f"0,{i + 10}" for i in range(80)])
    for kind in (None, "regression"):
        with pytest.raises(
            InputError, match=r"'label' holds numbers with commas \('0,10'\).*write a point"
        ):
            draft(Asked(str(path), kind=kind), tmp_path)
    made = draft(Asked(str(path), kind="text_generation"), tmp_path)
    assert made.block["kind"] == "text_generation"


def test_new_task_says_where_it_goes_against_the_names(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("text,label\n" + "".join(f"{i / 7},a text of number {i}\n" for i in range(80)))
    made = draft(Asked(str(path)), tmp_path)
    assert made.block["data"]["text"] == "label"
    assert any("names say the opposite" in said for said in made.remarks)
    plain = table(tmp_path / "plain.csv", [str(i % 2) for i in range(80)])
    assert not any("opposite" in said for said in draft(Asked(str(plain)), tmp_path).remarks)


def test_labels_that_differ_by_blanks_or_case_are_told(tmp_path):
    assert labels.alike(["pos", "pos ", "neg", "NEG"]) == [("pos", "pos "), ("neg", "NEG")]
    assert labels.alike(["a b", "ab"]) == []
    path = table(tmp_path / "mine.csv", ["pos", "neg", "pos ", "neg"] * 20)
    assert any(
        "labels 'pos' and 'pos ' differ" in said for said in draft(Asked(str(path)), tmp_path).remarks
    )
    rows = read(path)
    found = labelled.classes(rows, rows.labels * 0 + range(len(rows.labels)), "accuracy", 0)
    assert [f.level for f in found if f.topic == "labels"] == ["warning"]


@pytest.mark.parametrize("ending", ["CSV", "Tsv", "JSONL"])
def test_endings_in_upper_case_are_files(tmp_path, ending):
    path = table(tmp_path / f"mine.{ending}", [str(i % 2) for i in range(80)])
    if ending == "Tsv":
        path.write_text(path.read_text().replace(",", "\t"))
    before(path)
    assert len(read(path).labels) == 80
    assert draft(Asked(str(path)), tmp_path).block["kind"] == "text_classification"
    with pytest.raises(InputError, match=r"no column 'topic'"):
        before(path, data={"label": "topic"})


@pytest.mark.parametrize("value", [10**30, -(10**19), 2**64])
def test_an_integer_beyond_64_bits_is_named_with_its_row(tmp_path, value):
    path = table(tmp_path / "mine.jsonl", [0, 1, 0, value, 1])
    with pytest.raises(InputError, match=r"row 4 has in 'label' an integer beyond 64 bits"):
        read(path)
    assert len(read(table(path, [0, 1, 2**63 - 1, -(2**63)])).labels) == 4


@pytest.mark.parametrize(
    ("raw", "code"), [(b"caf\xe9", "latin1"), (b"\x93so\x94 it is", "cp1252"), (b"\x93\x81", "latin1")]
)
def test_the_likelier_encoding_is_advised(tmp_path, raw, code):
    path = tmp_path / "mine.csv"
    path.write_bytes(b"text,label\n" + raw + b",1\n")
    assert f"iconv -f {code} -t utf-8" in str(datafile.encoding_fault(path))


def test_one_noise_of_labels_alone(tmp_path):
    path = table(tmp_path / "mine.csv", [str(i % 2) for i in range(60)])
    noise = {"population": {"label_noise": {"uniform": [0.0, 0.4], "visible": True}}}
    before(path, **noise)
    with pytest.raises(
        InputError, match=r"data\.label_noise 0\.1 would have no effect.*set data\.label_noise to 0"
    ):
        before(path, data={"label_noise": 0.1}, **noise)


@pytest.mark.parametrize(
    ("over", "key"),
    [({"signals": {"projections": 1025}}, r"signals\.projections"), ({"runs": 1_000_001}, r"\.runs")],
)
def test_numbers_beyond_sense_are_refused(tmp_path, over, key):
    path = table(tmp_path / "mine.csv", [str(i % 2) for i in range(60)])
    with pytest.raises(InputError, match=key):
        before(path, **over)
