"""`prehoc check-task`: a good tiny task passes, and made faults are each named."""

from __future__ import annotations

import csv
import json
import random
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from typer.testing import CliRunner

import prehoc.cli  # noqa: F401  # all commands
from prehoc.checking import labelled, trained, written
from prehoc.checking.check import check
from prehoc.checking.trial import Trial
from prehoc.commands.app import app
from prehoc.config import resolve
from prehoc.config.loading import merge
from prehoc.errors import InputError
from prehoc.preflight import preflight
from prehoc.tasks.data import Rows
from prehoc.tasks.models import load_causal

ROOT = Path(__file__).parents[2]
WORDS = [f"w{i:02d}" for i in range(40)]  # those of the tests' tiny encoder


def write(path, made):
    with Path(path).open("w", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["text", "label"])
        table.writerows(made)


def good(count=200, seed=0):
    """Distinct texts of 6-9 words; the label is which half of the vocabulary prevails."""
    rng = random.Random(seed)
    made = []
    for _ in range(count):
        picked = [rng.randrange(40) for _ in range(rng.randint(6, 9))]
        made.append((" ".join(WORDS[w] for w in picked), int(np.mean(picked) > 19.5)))
    return made


@pytest.fixture
def findings(tiny_encoder, tmp_path):
    """The findings on a tiny task, by topic: (level, text)."""

    def find(made, **over):
        torch.manual_seed(0)
        write(tmp_path / "mine.csv", made)
        block = {
            "kind": "text_classification",
            "data": {"name": str(tmp_path / "mine.csv"), "train": 100, "val": 40, "target": 50},
            "model": {"name": tiny_encoder, "max_length": 12},
            "method": {"kind": "head", "pooling": "mean"},
            "optimiser": {"name": "adamw", "lr": 0.02, "clip": None},
            "bank": 4,
            "depths": [1, 4, 16],
            "horizon": 32,
        }
        base = yaml.safe_load((ROOT / "config.yaml").read_text())
        raw = {**base, "only": ["t"], "store": str(tmp_path / "store"), "device": "cpu"}
        raw["tasks"] = {"t": merge(block, over)}
        said = []
        samples = check(resolve(raw), "t", said.append)
        return {f.topic: (f.level, f.text) for f in said}, samples

    return find


def test_a_good_task_passes_and_leaves_no_results(findings, tmp_path):
    said, _ = findings(good())
    assert {level for level, _ in said.values()} == {"OK"}, said
    assert set(said) >= {"rows", "classes", "leak", "duplicates", "lengths", "start", "learning", "seeds", "horizon", "time", "memory"}  # fmt: skip
    left = sorted(p.name for p in (tmp_path / "store").iterdir())
    assert left == ["encodings", "models"]
    assert re.search(r"step_ms: [0-9.e-]+", said["time"][1])


def test_no_temporary_path_stays_in_the_store(findings, tmp_path):
    """The check's own store is gone afterwards, and training reads what it left."""
    over = {"model": {"name": "packaged:minilm-l3"}, "method": {"kind": "full", "layers": "top-1"}}
    said, _ = findings(good(), **over)
    assert "fault" not in {level for level, _ in said.values()}, said
    left = [p for p in (tmp_path / "store").rglob("*") if p.is_file()]
    assert {p.suffix for p in left} >= {".safetensors"}
    assert not [p for p in left if b"prehoc-check-" in p.read_bytes()]


def test_the_same_check_says_the_same(findings):
    first, second = findings(good())[0], findings(good())[0]
    assert first["learning"] == second["learning"]
    assert first["seeds"] == second["seeds"]


def test_fault_labels_of_one_value(findings):
    said, _ = findings([(t, 1) for t, _ in good()])
    assert said["input"][0] == "fault"
    assert "one label only" in said["input"][1]


def test_fault_label_in_the_text(findings):
    said, _ = findings([(f"{t} {'spam' if k else 'ham'}", k) for t, k in good()])
    assert said["leak"][0] == "fault"
    assert "alone tells label" in said["leak"][1]


def test_fault_the_target_stands_in_training(findings):
    said, _ = findings(good(25) * 8)
    assert said["duplicates"][0] == "fault"


def test_fault_step_size(findings):
    said, _ = findings(good(), optimiser={"lr": 1e3})
    assert said["learning"][0] == "fault"
    assert "lower optimiser.lr" in said["learning"][1]
    assert "time" not in said  # nothing is measured of a run that is lost


def test_fault_too_few_rows(findings):
    said, _ = findings(good(100))
    assert said["input"][0] == "fault"
    assert "lower data.val" in said["input"][1]


def test_warnings(findings):
    rare = [(t, int(i % 12 == 0)) for i, (t, _) in enumerate(good())]
    said, _ = findings(rare, model={"max_length": 4}, optimiser={"lr": 1e-9}, horizon=2000)
    assert [said[k][0] for k in ("classes", "lengths", "learning", "horizon")] == ["warning"] * 4
    assert "f1 or matthews" in said["classes"][1]
    assert "epochs" in said["horizon"][1]


def test_crossed_runs_are_told_apart(findings):
    """In a crossed design seeds 0 and 1 share initial weights and data order."""
    over = {"crossed": ["init", "target"], "outcome": {"target_sample": 40}, "runs": 32, "outputs": None}
    said, _ = findings(good(), **over)
    assert said["seeds"][0] == "OK"


def test_modular_sums_and_synthetic_tasks(findings, tmp_path):
    base = yaml.safe_load((ROOT / "config.yaml").read_text())
    blocks = {
        "sums": {"kind": "modular_arithmetic", "arithmetic": {"modulus": 11, "train": 0.6, "val": 15, "target": 15}, "method": {"width": 16, "heads": 2}, "optimiser": {"batch_size": 32}, "bank": 4},
        "exact": {"kind": "synthetic", "synthetic": {"process": "power_law"}},
    }  # fmt: skip
    config = resolve({**base, "only": None, "store": str(tmp_path), "tasks": blocks, "device": "cpu"})
    said = []
    check(config, "sums", said.append)
    assert {f.level for f in said} == {"OK"}
    assert "start" in {f.topic for f in said}
    said.clear()
    check(config, "exact", said.append)
    assert "nothing to train" in said[0].text


GENERATION = {
    "kind": "text_generation",
    "generation": {"prompt": "{a}+{b}=", "completion": "{sum}", "chat": "never", "judge": "exact", "max_new_tokens": 4},
    "bank": 2, "depths": [1, 4], "horizon": 8, "runs": 8,
}  # fmt: skip


def generating(tiny_decoder, tmp_path, max_length=12, **generation):
    base = yaml.safe_load((ROOT / "config.yaml").read_text())
    data = {"name": "packaged:addition", "subset": "1", "train": 25, "val": 10, "target": 15}
    data |= generation.pop("data", {})
    model = {"name": tiny_decoder, "max_length": max_length}
    block = merge(GENERATION, {"data": data, "model": model, "generation": generation})
    raw = {**base, "only": ["g"], "store": str(tmp_path), "tasks": {"g": block}, "device": "cpu"}
    said = []
    samples = check(resolve(raw), "g", said.append)
    return {f.topic: (f.level, f.text) for f in said}, samples


def test_generation_shows_prompts_texts_and_verdicts(tiny_decoder, tmp_path):
    said, samples = generating(tiny_decoder, tmp_path)
    assert "fault" not in {level for level, _ in said.values()}, said
    assert said["judge"][0] == "OK"
    assert len(samples.prompts) == len(samples.texts) == len(samples.verdicts) == 2
    assert "+" in samples.prompts[0]
    assert samples.completions[0].rstrip("[SEP] ").isdigit()


def test_generation_sampled(tiny_decoder, tmp_path):
    said, samples = generating(tiny_decoder, tmp_path, decoding={"kind": "sample"})
    assert said["judge"][0] == "OK"
    assert len(samples.texts) == 2


def test_rows_that_are_left_out_are_counted(tiny_decoder, tmp_path):
    """a+b= and a one-digit sum with its end are 6 tokens, a two-digit sum 7: 45 of 100 rows."""
    path = tmp_path / "sums.csv"
    pairs = [(a, b) for a in range(10) for b in range(10)]
    path.write_text("a,b,sum\n" + "".join(f"{a},{b},{a + b}\n" for a, b in pairs))
    data = {"name": str(path), "subset": None, "train": 35, "val": 5, "target": 10}
    said, _ = generating(tiny_decoder, tmp_path, max_length=6, data=data)
    assert said["lengths"][0] == "warning"
    assert "98% take 7 or fewer" in said["lengths"][1]
    share = float(re.match(r"(\d+)% of 100 rows", said["lengths"][1])[1])
    assert share == pytest.approx(45, abs=15)  # 50 rows drawn without replacement: sd 5


def test_fault_completions_that_do_not_fit(tiny_decoder, tmp_path):
    said, _ = generating(tiny_decoder, tmp_path, completion="{sum}+{a}+{b}", max_new_tokens=2)
    assert said["completions"][0] == "fault"
    assert "raise it to" in said["completions"][1]


def test_fault_a_reference_fails_its_own_judge(tiny_decoder, tmp_path):
    said, _ = generating(tiny_decoder, tmp_path, completion="={sum}", stop=["="])
    assert said["judge"][0] == "fault"
    assert said["judge"][1].startswith("0 of")


def test_one_completion_for_all_rows_is_a_fault_and_for_most_a_warning(tiny_decoder, tmp_path):
    said, _ = generating(tiny_decoder, tmp_path, completion="7")
    assert said["answers"][0] == "fault"
    assert "are '7': there is nothing to learn" in said["answers"][1]
    assert written.answers(["a"] * 8 + ["b", "c"])[0].level == "warning"
    assert written.answers(["a"] * 7 + ["b", "c", "d"])[0].level == "OK"


def test_a_text_that_has_no_place_in_the_model_is_found_in_any_row(tiny_decoder, tmp_path):
    rows = [{"a": "1", "b": str(i % 9), "sum": str(i % 7)} for i in range(399)]
    rows.insert(200, {"a": "1" * 26, "b": "1", "sum": "2"})  # 28 tokens, and places for 32
    path = tmp_path / "mine.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = {"name": str(path), "subset": None, "train": 380, "val": 10, "target": 10}
    said, _ = generating(tiny_decoder, tmp_path, max_length=32, data=data, max_new_tokens=8)
    assert said["input"][0] == "fault"
    assert "max_new_tokens: 8 behind a prompt of" in said["input"][1]
    assert "places for 32; lower it" in said["input"][1]


@pytest.mark.parametrize("kind", ["text_generation", "causal_arithmetic"])
def test_an_encoder_that_shall_write_is_named_as_the_config_does(tiny_encoder, tmp_path, kind):
    base = yaml.safe_load((ROOT / "config.yaml").read_text())
    block = {"kind": kind, "model": {"name": "packaged:minilm-l3"}}
    if kind == "text_generation":
        block["data"] = {"name": "packaged:addition"}
    raw = {**base, "only": ["g"], "store": str(tmp_path), "tasks": {"g": block}, "device": "cpu"}
    words = "packaged:minilm-l3 is an encoder \\(bert\\) and writes no text; name a causal"
    with pytest.raises(InputError, match=r"tasks\.g\.model\.name: " + words):
        preflight(resolve(raw))
    with pytest.raises(InputError, match=r"model\.name: " + words):
        load_causal(tiny_encoder, None, "packaged:minilm-l3")
    block["model"]["name"] = tiny_encoder
    with pytest.raises(InputError, match="is an encoder"):
        preflight(resolve(raw))


def test_more_new_tokens_than_places_are_refused_before_any_job(tiny_decoder, tmp_path):
    base = yaml.safe_load((ROOT / "config.yaml").read_text())
    data = {"name": "packaged:addition", "subset": "1", "train": 25, "val": 10, "target": 15}
    block = merge(GENERATION, {"data": data, "model": {"name": tiny_decoder}})
    for new in (31, 32):
        raw = {**base, "only": ["g"], "tasks": {"g": merge(block, {"generation": {"max_new_tokens": new}})}}
        if new == 31:
            preflight(resolve(raw))
            continue
        with pytest.raises(
            InputError, match=r"tasks\.g\.generation\.max_new_tokens: 32, and .* places for 32"
        ):
            preflight(resolve(raw))


def test_outputs_of_a_regression_are_said_not_to_be_recorded(findings):
    numbers = [(t, (i % 7) / 7) for i, (t, _) in enumerate(good())]
    said, _ = findings(numbers, data={"labels": "number"}, outcome={"metric": "pearson"})
    assert said["outputs"] == ("OK", "not recorded, as labels are numbers: `outputs` has no effect here")


# ---- findings on made trials ---------------------------------------------------------------------------


def trial(before=0.7, after=0.6, failed=(-1, -1), apart=0.1, answers=None, ms=1.0):
    seen = np.array([[[1, 0.5, 1.0], [0, 0.5, 0.0]], [[0, 0.5, 1.0], [1, 0.5, 1.0]]]).transpose(0, 2, 1)
    return Trial(
        np.full(2, before), np.full(2, after), list(failed), apart, seen if answers is None else answers,
        4, ms, 0.1, 500.0, None, None,
    )  # fmt: skip


def test_learning_by_level():
    def level(**over):
        return trained.learning(trial(**over), 0.1)[0].level

    assert level() == "OK"
    assert level(after=0.7001) == "warning"
    assert level(after=0.8) == "warning"
    assert level(after=2.0) == "fault"
    assert level(after=float("nan")) == "fault"
    assert level(failed=(3, -1)) == "fault"
    assert "at step 4" in trained.learning(trial(failed=(3, -1)), 0.1)[0].text


def test_two_equal_seeds_and_equal_answers():
    assert trained.variety(trial(apart=0.0))[0].level == "fault"
    same = np.zeros((2, 3, 5))
    assert "one and the same" in trained.variety(trial(answers=same))[0].text
    same[:, 2] = [0, 1, 0, 1, 1]
    assert "R may not vary" in trained.variety(trial(answers=same))[0].text
    assert trained.variety(trial())[0].level == "OK"


def test_first_loss_against_chance():
    assert trained.start(trial(0.7), np.log(2))[0].level == "OK"
    assert trained.start(trial(2.0), np.log(2))[0].level == "warning"
    assert trained.start(trial(0.1), np.log(2))[0].level == "warning"
    assert trained.start(trial(0.7), None) == []


def test_constant_guess_and_clashing_labels():
    texts = [f"text {i}" for i in range(100)]
    rows = Rows(texts, np.array([0] * 90 + [1] * 10), ["a", "b"], np.full(100, "all"))
    found = labelled.classes(rows, np.arange(100), "f1", 1)[0]
    assert found.level == "OK"
    assert "F1 0.18" in found.text  # 2p/(1 + p), p = .1
    assert labelled.classes(rows, np.arange(90), "accuracy", 1)[0].level == "fault"
    cut = {"train": np.arange(50), "val": np.arange(50, 60), "target": np.arange(60, 100)}
    doubled = labelled.duplicates(["same"] * 10 + texts[10:], cut, np.array([0, 1] * 50))
    assert [f.topic for f in doubled] == ["duplicates", "labels"]


def test_numbers_far_from_one():
    assert labelled.numbers(np.array([0.1, 0.9]))[0].level == "OK"
    assert labelled.numbers(np.array([100.0, 900.0]))[0].level == "warning"


def test_the_command_ends_with_1_on_a_fault_and_0_without(tiny_encoder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("config.yaml").write_text((ROOT / "config.yaml").read_text())
    write("mine.csv", good())
    over = {"only": ["t"], "store": "s", "tasks": {"t": {
        "kind": "text_classification", "data": {"name": "mine.csv", "train": 100, "val": 40, "target": 50},
        "model": {"name": tiny_encoder, "max_length": 12}, "method": {"kind": "head", "pooling": "mean"},
        "optimiser": {"name": "adamw", "lr": 0.02, "clip": None}, "bank": 4}}}  # fmt: skip
    Path("t.yaml").write_text(yaml.safe_dump(over))
    done = CliRunner().invoke(app, ["check-task", "t", "--configfile", "t.yaml"])
    assert done.exit_code == 0, done.output
    assert "t: 0 faults" in done.output
    assert not Path("results").exists()
    over["tasks"]["t"]["data"]["name"] = "other.csv"
    Path("t.yaml").write_text(yaml.safe_dump(over))
    done = CliRunner().invoke(app, ["check-task", "t", "--configfile", "t.yaml"])
    assert done.exit_code == 1
    assert "no file other.csv" in done.output
