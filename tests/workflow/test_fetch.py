"""Models and data of a Hub: fetched by one rule, read offline by all others."""

import csv
import json
import subprocess
import sys

import numpy as np
import pytest
from hub_server import folder_bytes, serving
from project import copy_project

WORDS = [f"w{i:02d}" for i in range(20)]
CONFIG = """
only: [first, second]
tasks:
  first: &task
    kind: text_classification
    data: {name: acme/texts, subset: small, splits: {train: train, val: validation, target: test},
           train: 60, val: 30, target: 40}
    model: {name: acme/tiny, revision: null, max_length: 8}
    method: {kind: lora, rank: 2, layers: top-1}
    outcome: {target_sample: 20}
    outputs: null
    bank: 4
    shard: 8
    runs: 8
    depths: [1, 2, 4]
    horizon: 8
  second:
    <<: *task
    method: {kind: head, pooling: mean}
"""
CARD = """---
configs:
- config_name: small
  data_files: [{split: train, path: train.csv}, {split: validation, path: val.csv}, {split: test, path: test.csv}]
- config_name: large
  data_files: large.csv
---
"""


def model_files(folder):
    """A random BERT of one layer of width 16, as files."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    vocabulary = {w: i for i, w in enumerate(["[PAD]", "[CLS]", "[SEP]", "[UNK]", *WORDS])}
    rule = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    rule.pre_tokenizer = pre_tokenizers.Whitespace()
    rule.post_processor = processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))
    names = {"pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]", "unk_token": "[UNK]"}
    PreTrainedTokenizerFast(tokenizer_object=rule, **names).save_pretrained(folder)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        size = {
            "hidden_size": 16,
            "num_attention_heads": 2,
            "intermediate_size": 32,
            "num_hidden_layers": 1,
        }
        BertModel(BertConfig(vocab_size=len(vocabulary), **size)).save_pretrained(folder)
    return folder_bytes(folder)


def rows(count, seed, folder):
    rng = np.random.default_rng(seed)
    path = folder / f"{seed}.csv"
    with path.open("w", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["text", "label"])
        for _ in range(count):
            words = rng.integers(len(WORDS), size=5)
            table.writerow([" ".join(WORDS[w] for w in words), int(words.mean() > 9.5)])
    return path.read_bytes()


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A project with two tasks on one model and one data set of a Hub, a Hub, and a place for caches."""
    base = tmp_path_factory.mktemp("fetch")
    project = copy_project(base / "project")
    (project.folder / "hub.yaml").write_text(CONFIG)
    patch = pytest.MonkeyPatch()
    with serving() as hub:
        hub.commit = hub.push("models", "acme/tiny", model_files(base / "model"))
        hub.push("datasets", "acme/texts", {
            "README.md": CARD, "train.csv": rows(80, 1, base), "val.csv": rows(40, 2, base),
            "test.csv": rows(60, 3, base), "large.csv": rows(9, 4, base)})  # fmt: skip
        patch.setenv("HF_ENDPOINT", hub.endpoint)
        patch.setenv("HF_HOME", str(base / "home"))
        patch.delenv("HF_HUB_OFFLINE", raising=False)
        yield project, hub
        patch.undo()


HUB = ("--configfile", "hub.yaml")


def test_one_job_a_model_or_data_set_however_many_tasks(site):
    project, hub = site
    plan = project.plan("tables", *HUB)
    assert len([1 for rule, _ in plan if rule == "fetch"]) == 2
    assert hub.requests == []


def test_a_config_of_packaged_things_fetches_nothing(site):
    project, _ = site
    plan = project.run("-n", "fetch", "--configfile", "config/ci.yaml")
    assert "fetch_one" not in plan.stdout + plan.stderr


def test_fetch_then_all_else_offline(site):
    project, hub = site
    project.run("fetch", *HUB)
    records = [
        json.loads(p.read_text()) for p in sorted((project.folder / "results/fetched").glob("*.json"))
    ]
    assert {r["kind"]: len(r["files"]) for r in records} == {
        "data": 4,
        "model": len(hub.repos["models", "acme/tiny"][hub.commit]),
    }
    hub.requests.clear()
    # no HF_HUB_OFFLINE here: jobs forbid themselves the network, where all that they need is in the store
    project.run("results/first/adapters/seed_000003", *HUB)
    assert hub.requests == []
    sources = json.loads((project.folder / "results/first/sources.json").read_text())
    assert sources["commits"] == {r["kind"]: r["commit"] for r in records}
    adapter = json.loads(
        (project.folder / "results/first/adapters/seed_000003/adapter_config.json").read_text()
    )
    assert (adapter["base_model_name_or_path"], adapter["revision"]) == ("acme/tiny", hub.commit)


def test_another_commit_runs_prepare_and_training_again(site):
    """Only when it is asked for: the record is an input of the jobs that read the copy."""
    project, hub = site
    old = hub.repos["models", "acme/tiny"][hub.commit]
    other = hub.push("models", "acme/tiny", {**old, "special_tokens_map.json": "{}"})
    target = "results/first/adapters/seed_000003"
    assert project.plan(target, *HUB) == set()
    again = [sys.executable, "-m", "prehoc.cli", "fetch", "hub.yaml", "--again"]
    done = subprocess.run(again, cwd=project.folder, env=project.env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"revision: {other}" in done.stderr
    (record,) = (project.folder / "results/fetched").glob("model-*.json")
    assert json.loads(record.read_text())["commit"] == other
    assert {rule for rule, _ in project.plan(target, *HUB)} == {"prepare", "train", "export"}


def test_a_machine_without_internet(site, tmp_path, monkeypatch):
    """A mirror folder made where there is internet is all that another machine needs."""
    project, hub = site
    command = [sys.executable, "-m", "prehoc.cli", "fetch", "hub.yaml"]

    def fetch(folder, *args):
        run = subprocess.run([*command, *args], cwd=folder, env=project.env, capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
        return run.stderr

    fetch(project.folder, "--to", str(tmp_path / "mirror"))
    other = copy_project(tmp_path / "other")
    (other.folder / "hub.yaml").write_text(CONFIG)
    hub.requests.clear()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    fetch(other.folder, "--from", str(tmp_path / "mirror"))
    other.run("fetch", *HUB)
    assert hub.requests == []
    records = [json.loads(p.read_text()) for p in sorted((other.folder / "results/fetched").glob("*.json"))]
    assert [r["kind"] for r in records] == ["data", "model"]
    check = subprocess.run(
        [*command[:3], "check", "hub.yaml"],
        cwd=other.folder,
        env=project.env,
        capture_output=True,
        text=True,
    )
    assert check.returncode == 0
    assert check.stderr.count("no revision") == 2
