"""GLUE-like tasks: Hub-format folders with pairs, class names, hidden labels and numbers, end to end."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import WORDS
from conftest import _tokeniser as tokeniser
from scipy import stats
from sklearn import metrics as theirs
from trained import quiet, same, train, value

from prehoc.config import resolve
from prehoc.config.loading import load
from prehoc.errors import InputError
from prehoc.tasks import data as data_module
from prehoc.training import forks, loop, plan, problems
from prehoc.training.bank import Bank

SPLITS = {"train": "train", "val": "train", "target": "validation"}
README = """---
configs:
- config_name: mrpc
  data_files: [{split: train, path: data/train-*.parquet}, {split: validation, path: data/validation-*},
               {split: test, path: data/test-*}]
dataset_info:
  config_name: mrpc
  features:
  - {name: sentence1, dtype: string}
  - {name: sentence2, dtype: string}
  - name: label
    dtype: {class_label: {names: {'0': not_equivalent, '1': equivalent}}}
---
"""


def sentences(n, seed):
    rng = np.random.default_rng(seed)
    return [[WORDS[w] for w in rng.integers(len(WORDS), size=rng.integers(3, 6))] for _ in range(n)]


def pairs(n, seed):
    """Sentence pairs, whether they share their first word's half of the vocabulary, and how much: 0 to 5."""
    one, two = sentences(n, seed), sentences(n, seed + 1)
    mean = [np.mean([WORDS.index(w) < 20 for w in a + b]) for a, b in zip(one, two, strict=True)]
    return pd.DataFrame(
        {
            "sentence1": [" ".join(a) for a in one],
            "sentence2": [" ".join(b) for b in two],
            "label": (np.array(mean) > 0.5).astype(int),
            "score": 5 * np.array(mean),
        }
    )


@pytest.fixture(scope="session")
def hub_folder(tmp_path_factory):
    """A folder as on the Hub: a README with the features, parquet files by split; the test labels hidden."""
    folder = tmp_path_factory.mktemp("hub")
    (folder / "data").mkdir()
    (folder / "README.md").write_text(README)
    for i, (split, n) in enumerate({"train": 260, "validation": 90, "test": 30}.items()):
        frame = pairs(n, 10 * i).drop(columns="score")
        if split == "test":
            frame["label"] = -1
        frame.to_parquet(folder / "data" / f"{split}-00000-of-00001.parquet", index=False)
    return str(folder)


@pytest.fixture(scope="session")
def saved_folder(tmp_path_factory):
    """The same by `save_to_disk`, with string labels, numbers, and 10 training rows hidden in `given`."""
    import datasets

    features = datasets.Features(
        {k: datasets.Value("string") for k in ("sentence1", "sentence2", "word")}
        | {"score": datasets.Value("float32"), "given": datasets.ClassLabel(names=["no", "yes"])}
        | {"three": datasets.Value("int64")}
    )
    made = {}
    for i, (split, n) in enumerate({"train": 260, "validation": 90, "test": 30}.items()):
        frame = pairs(n, 10 * i)
        frame["word"] = np.where(frame["label"] == 1, "alike", "other")
        frame["given"] = frame["label"].where(np.arange(n) >= 10 * (split == "train"), -1)
        frame["three"] = np.arange(n) % 3
        if split == "test":
            frame["score"] = -1.0
        columns = frame.drop(columns="label").to_dict("list")
        made[split] = datasets.Dataset.from_dict(columns, features=features)
    folder = tmp_path_factory.mktemp("saved") / "d"
    datasets.DatasetDict(made).save_to_disk(folder)
    return str(folder)


@pytest.fixture
def pair(stage, hub_folder):
    """A stage config of a pair task on a folder in Hub format."""

    def make(name=hub_folder, **over):
        keys = {"data__name": name, "data__text": ["sentence1", "sentence2"], "data__splits": SPLITS}
        config = stage(**keys | {"data__target": 90, "model__max_length": 14} | over)
        if name == hub_folder:
            config["data"]["subset"] = "mrpc"
        return config

    return make


# ------------------------------------------------------------------------------------------ data
def test_a_hub_folder_gives_pairs_and_class_names_in_its_own_order(pair):
    rows, named = data_module.load_rows(pair()["data"])
    assert rows.classes == ["not_equivalent", "equivalent"]
    wanted = pd.concat([pairs(260, 0), pairs(90, 10)], ignore_index=True)
    assert rows.labels.tolist() == wanted["label"].tolist()
    assert rows.texts == list(zip(wanted["sentence1"], wanted["sentence2"], strict=True))
    assert set(named) == {"train+val", "target"}


def test_two_splits_out_of_one_named_split_share_no_row(pair):
    data = pair()["data"]
    for splits in (SPLITS, {"train": "train", "val": "validation", "target": "validation"}):
        settings = data | {"splits": splits, "val": 30, "target": 60}
        rows, named = data_module.load_rows(settings)
        cut = data_module.cut_splits(settings, rows, named, 1, None)
        assert [len(cut[s]) for s in data_module.SPLITS] == [100, 30, 60]
        assert len(set(np.concatenate(list(cut.values())).tolist())) == 190
        for split, named_split in splits.items():
            assert ((cut[split] < 260) == (named_split == "train")).all()
    settings = data | {"splits": splits, "val": 40, "target": 60}
    rows, named = data_module.load_rows(settings)
    with pytest.raises(InputError, match=r"data\.target: 60 rows wanted, 50 left"):
        data_module.cut_splits(settings, rows, named, 1, None)


def test_a_split_with_hidden_labels_is_refused(pair, saved_folder):
    hidden = {"data__splits": SPLITS | {"target": "test"}}
    with pytest.raises(InputError, match=r"split 'test' .* has no labels \(all are -1\); name another"):
        data_module.load_rows(pair(**hidden)["data"])
    numbers = {"data__labels": "number", "data__label": "score"}
    with pytest.raises(InputError, match=r"split 'test' .* has no labels"):
        data_module.load_rows(pair(saved_folder, **hidden, **numbers)["data"])


def test_rows_without_a_label_are_left_out_and_counted(pair, saved_folder, caplog):
    with caplog.at_level(logging.INFO, "prehoc"):
        rows, named = data_module.load_rows(pair(saved_folder, data__label="given")["data"])
    assert "10 rows of split 'train' have no label" in caplog.text
    assert rows.classes == ["no", "yes"]
    assert (named == "train+val").sum() == 250


def test_minus_one_is_a_label_where_it_is_one(block_of, tmp_path):
    path = tmp_path / "polar.csv"
    path.write_text("text,label\na,-1\nb,1\nc,-1\nd,1\n")
    rows, _ = data_module.load_rows(block_of(name=str(path)))
    assert rows.classes == ["-1", "1"]
    assert rows.labels.tolist() == [0, 1, 0, 1]


@pytest.fixture
def block_of(stage):
    return lambda **over: stage()["data"] | over


def test_numbers_are_kept_as_they_are_and_faults_name_the_row(pair, saved_folder, block_of, tmp_path):
    config = pair(saved_folder, data__label="score", data__labels="number")
    rows, _ = data_module.load_rows(config["data"])
    wanted = np.concatenate([pairs(260, 0)["score"], pairs(90, 10)["score"]])
    np.testing.assert_allclose(rows.labels, wanted, rtol=1e-6)
    assert rows.classes == []
    path = tmp_path / "n.csv"
    path.write_text("text,label\na,1.5\nb,high\n")
    with pytest.raises(InputError, match=r"data\.labels: number, but .* the label 'high' in row 2"):
        data_module.load_rows(block_of(name=str(path), labels="number"))
    path.write_text("text,label\na,1.5\nb,1.5\n")
    with pytest.raises(InputError, match=r"has one label only, 1\.5"):
        data_module.load_rows(block_of(name=str(path), labels="number"))


# ---------------------------------------------------------------------------------- end to end
FAMILIES = {
    "head": {"method__kind": "head", "method__pooling": "mean"},
    "states": {},
    "tokens": {"method__layers": "all", "method__pooling": "mean"},
    "full": {"method__kind": "full", "method__layers": "all", "method__pooling": "mean"},
}


def predictions(config, seed, split="target"):
    """One run's predictions and labels of a split at the horizon, trained alone."""
    setting = problems.build(config)
    group = plan.Group(plan.drawn(config, setting, [seed]), 1)
    bank = Bank(setting.problem.parameters, 1, config["optimiser"])
    bank.initialise(0, config["seed"], config["task"], seed)
    loop.advance(config, setting, bank, group, 0, config["horizon"])
    made = loop.answers(setting, bank, split)
    return made[0, 2].numpy(), setting.problem.truth(split).labels


@pytest.mark.parametrize("cut", FAMILIES)
def test_a_pair_task_is_measured_by_f1_and_matthews(pair, cut, request):
    if cut == "tokens":
        request.getfixturevalue("any_model")
    rate = {"head": 0.1, "states": 0.05, "tokens": 0.02, "full": 0.003}[cut]
    keys = {"optimiser__lr": rate, "optimiser__schedule": "constant", "depths": [4], "horizon": 40}
    config = pair(**FAMILIES[cut], **keys, bank=2)
    records = train(config, range(3))
    guess, labels = predictions(config, 1)
    found = records[1]
    assert value(found, 40, "matthews", "target") == pytest.approx(theirs.matthews_corrcoef(labels, guess))
    assert value(found, 40, "f1", "target") == pytest.approx(theirs.f1_score(labels, guess))
    assert value(found, 40, "accuracy", "target") == pytest.approx((labels == guess).mean())
    assert any(value(records[s], 40, "matthews", "target") != 0 for s in range(3))


def test_f1_is_of_the_class_that_is_asked_for(pair):
    config = pair(**FAMILIES["head"], data__positive="not_equivalent", bank=2, depths=[4], horizon=16)
    records = train(config, range(2))
    guess, labels = predictions(config, 1)
    wanted = theirs.f1_score(labels == 0, guess == 0)
    assert value(records[1], 16, "f1", "target") == pytest.approx(wanted)
    with pytest.raises(InputError, match=r"data\.positive: no label 'alike'; the labels are not_eq"):
        problems.build(pair(**FAMILIES["head"], data__positive="alike"))


@pytest.mark.parametrize("cut", ["head", "states", "tokens"])
def test_numbers_are_learnt_and_measured_by_correlations(pair, saved_folder, cut, request):
    if cut == "tokens":
        request.getfixturevalue("any_model")
    keys = {"data__label": "score", "data__labels": "number", "outcome__metric": "pearson_spearman"}
    keys |= {"optimiser__lr": 0.03, "optimiser__schedule": "constant", "depths": [1, 8], "horizon": 100}
    config = pair(saved_folder, **FAMILIES[cut], **keys, bank=4)
    records = train(config, range(4), "whole")
    learnt = predictions(config, 2, "train")
    assert stats.pearsonr(*learnt).statistic > 0.3
    guess, labels = predictions(config, 2)
    for seed, found in records.items():
        assert {m for _, s, m, *_ in found if s == "val"} == {
            "loss",
            "pearson",
            "spearman",
            "pearson_spearman",
        }
        assert value(found, 100, "loss") < 0.5 * value(found, 1, "loss")
        if seed == 2:
            r, rho = stats.pearsonr(guess, labels).statistic, stats.spearmanr(guess, labels).statistic
            assert value(found, 100, "pearson", "target") == pytest.approx(r, abs=1e-6)
            assert value(found, 100, "spearman", "target") == pytest.approx(rho, abs=1e-6)
            squared = float(((guess - labels) ** 2).mean())
            assert value(found, 100, "loss", "target") == pytest.approx(squared, rel=1e-5)
    assert same(train(config, [3], "alone")[3], records[3])


def test_forks_carry_the_metrics_too(pair):
    block = {"depths": [4], "trunks": 2, "per_trunk": 2}
    config = pair(**FAMILIES["head"], bank=2, depths=[4], horizon=8, forks=block)
    made = forks.fork(config, problems.build(config), 4, quiet)
    assert len(made) == 2 * 2 * 4
    assert {row[3] for row in made} == {"accuracy", "loss", "f1", "matthews"}
    assert all(np.isfinite(row[4]) for row in made)


def test_three_classes_have_no_f1(pair, saved_folder):
    keys = {**FAMILIES["head"], "data__label": "three", "bank": 2, "depths": [4], "horizon": 8}
    records = train(pair(saved_folder, **keys), range(2))
    assert {m for _, s, m, *_ in records[0] if s == "val"} == {"accuracy", "loss", "matthews"}
    with pytest.raises(InputError, match=r"outcome\.metric: f1 is of two classes, .* has 3"):
        problems.build(pair(saved_folder, **keys, outcome__metric="f1"))


def test_static_features_of_numbers_have_no_classes(pair, saved_folder):
    config = pair(saved_folder, **FAMILIES["head"], data__label="score", data__labels="number")
    setting = problems.build(config)
    assert setting.problem.labels.dtype == torch.float32
    assert setting.static["label_sd"] == pytest.approx(float(setting.problem.labels.std(correction=0)))
    assert "classes" not in setting.static


# ---------------------------------------------------------------------------------------- models
TINY = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 40,
    "initializer_range": 0.3,
    "pad_token_id": 0,
}


@pytest.fixture(scope="session")
def other_encoder(tmp_path_factory, one_thread):
    """Makes a random 2-layer encoder of another family, and tells its adapters' modules."""
    import transformers as tf

    marks = {"cls_token_id": 1, "sep_token_id": 2, "bos_token_id": 1, "eos_token_id": 2}
    distil = {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64, "max_position_embeddings": 40}
    shared = {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "share_att_key": True}
    makers = {
        "distilbert": (
            lambda n: tf.DistilBertModel(tf.DistilBertConfig(vocab_size=n, **distil)),
            ["q_lin", "v_lin"],
        ),
        "modernbert": (
            lambda n: tf.ModernBertModel(tf.ModernBertConfig(vocab_size=n, **TINY, **marks)),
            ["Wqkv"],
        ),
        "albert": (
            lambda n: tf.AlbertModel(tf.AlbertConfig(vocab_size=n, embedding_size=16, **TINY)),
            ["query", "value"],
        ),
        "deberta": (
            lambda n: tf.DebertaV2Model(
                tf.DebertaV2Config(vocab_size=n, **TINY, **shared, position_buckets=8)
            ),
            ["value_proj"],
        ),
        "xlnet": (
            lambda n: tf.XLNetModel(
                tf.XLNetConfig(vocab_size=n, d_model=32, n_layer=2, n_head=4, d_inner=64)
            ),
            ["layer_1"],
        ),
    }

    def make(name):
        maker, targets = makers[name]
        folder = tmp_path_factory.mktemp(name)
        size = tokeniser(folder, WORDS, "words", end=False)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            maker(size).save_pretrained(folder)
        return {"model__name": str(folder), "method__targets": targets}

    def whole(name, **over):
        made = make(name)
        model = {"name": made["model__name"], "revision": None, "max_length": 14}
        return {"model": model, "method__targets": made["method__targets"]} | over

    return whole


@pytest.mark.parametrize("name", ["distilbert", "modernbert", "albert", "deberta"])
@pytest.mark.parametrize("kind", ["head", "lora"])
def test_other_encoders_train_with_the_bits_of_a_run_alone(pair, other_encoder, name, kind):
    """No token types, no pooler, local attention, layers that share weights, relative positions."""
    keys = {"method__kind": kind, "method__layers": "all", "method__pooling": "mean"}
    config = pair(bank=2, depths=[2], horizon=6)
    for key, value_ in other_encoder(name, **keys).items():
        block, _, inner = key.rpartition("__")
        (config[block] if block else config)[inner] = value_
    records = train(config, range(3), "whole")
    assert same(train(config, [1], "alone")[1], records[1])
    assert not any(bad for *_, bad in records[1])
    assert value(records[0], 6, "loss") != value(records[1], 6, "loss")


@pytest.mark.parametrize(
    ("name", "over"), [("deberta", {"method__targets": ["query_proj", "value_proj"]}), ("xlnet", {})]
)
def test_a_model_that_does_not_keep_runs_apart_is_refused(stage, other_encoder, name, over):
    keys = {"method__layers": "all", "method__pooling": "mean"}
    config = stage(**other_encoder(name, **keys | over))
    with pytest.raises(InputError, match=r"method\.targets: in .* not each run's examples alone"):
        problems.build(config)


# ---------------------------------------------------------------------------------------- config
@pytest.fixture(scope="session")
def raw():
    import yaml

    return yaml.safe_load((data_module.Path(__file__).parents[2] / "config.yaml").read_text())


@pytest.mark.parametrize(
    ("over", "line"),
    [
        (
            {"outcome": {"metric": "pearson"}},
            "pearson is not measured by kind text_classification; set one of",
        ),
        (
            {"data": {"labels": "number"}},
            "accuracy is not measured .* with labels: number; set one of pearson",
        ),
        (
            {"data": {"labels": "number", "label_noise": 0.1}, "outcome": {"metric": "pearson"}},
            "label_noise is for classes",
        ),
        ({"data": {"classes": 3}, "outcome": {"metric": "f1"}}, "f1 is not measured"),
        ({"outcome": {"metric": "loss", "scale": "stabilised"}}, "loss has no variance-stabilising scale"),
        (
            {"outcome": {"metric": "loss", "target_label_noise": 0.2}},
            "target_label_noise does not act on loss",
        ),
    ],
)
def test_a_metric_that_is_not_measured_is_refused(raw, over, line):
    block = {"kind": "text_classification", "data": {"name": "packaged:tweets"} | over.get("data", {})}
    with pytest.raises(InputError, match=line):
        resolve(raw | {"tasks": {"t": over | block}, "only": ["t"]})


def test_the_shipped_glue_config_holds_its_eight_tasks():
    folder = data_module.Path(__file__).parents[2]
    config = load(folder / "config" / "glue.yaml", folder / "config.yaml")
    metrics = {name: config.tasks[name].outcome.metric for name in config.enabled()}
    assert metrics == {
        "cola": "matthews", "sst2": "accuracy", "mrpc": "f1", "qqp": "f1", "mnli": "accuracy",
        "qnli": "accuracy", "rte": "accuracy", "stsb": "pearson_spearman",
    }  # fmt: skip
    for name in metrics:
        data = config.tasks[name].data
        assert data.splits["val"] == "train" != data.splits["target"]
        assert (data.labels == "number") == (name == "stsb")
