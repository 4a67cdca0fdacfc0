"""Small models and data made on the spot, and stage configs on them."""

from __future__ import annotations

import copy
import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

WORDS = [f"w{i:02d}" for i in range(40)]
Stage = Callable[..., dict[str, Any]]


@pytest.fixture(scope="session")
def one_thread() -> None:
    """Torch on one thread: the setting in which the engine's bits are promised."""
    import torch

    torch.set_num_threads(1)


def _tokeniser(folder: Path, words: list[str], split: str, end: bool) -> int:
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary = {w: i for i, w in enumerate(["[PAD]", "[CLS]", "[SEP]", "[UNK]", *words])}
    tokeniser = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokeniser.pre_tokenizer = (
        pre_tokenizers.Whitespace()
        if split == "words"
        else pre_tokenizers.Split(Regex("."), behavior="isolated")
    )
    if split == "characters":
        tokeniser.decoder = decoders.Fuse()  # else a decoded text has blanks between its characters
    if not end:
        tokeniser.post_processor = processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))
    PreTrainedTokenizerFast(
        tokenizer_object=tokeniser,
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        unk_token="[UNK]",
        eos_token="[SEP]" if end else None,
        model_input_names=["input_ids", "attention_mask"]
        if end
        else ["input_ids", "token_type_ids", "attention_mask"],
    ).save_pretrained(folder)
    return len(vocabulary)


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory, one_thread: None) -> str:
    """A random 2-layer BERT of width 32 in a Hub-format folder."""
    import torch
    from transformers import BertConfig, BertModel

    folder = tmp_path_factory.mktemp("encoder")
    size = _tokeniser(folder, WORDS, "words", end=False)
    settings = BertConfig(
        vocab_size=size,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=32,
        initializer_range=0.3,
        layer_norm_eps=1e-2,  # neither is BERT's own: code that assumes it is found out
        hidden_act="relu",
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = BertModel(settings)
        for name, value in model.named_parameters():
            if name.endswith("bias"):  # zero in a fresh model: a lost bias would go unseen
                torch.nn.init.normal_(value, std=0.3)
    model.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="session")
def tiny_decoder(tmp_path_factory: pytest.TempPathFactory, one_thread: None) -> str:
    """A random 2-layer Llama of width 32 in a Hub-format folder, one token a character."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("decoder")
    size = _tokeniser(folder, list("0123456789+="), "characters", end=True)
    settings = LlamaConfig(
        vocab_size=size,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=64,
        max_position_embeddings=32,
        initializer_range=0.3,
        eos_token_id=2,
        pad_token_id=0,
        bos_token_id=1,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        LlamaForCausalLM(settings).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="session")
def texts_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    """300 texts of 3-9 words, labelled by which half of the vocabulary prevails; three domains."""
    path = tmp_path_factory.mktemp("texts") / "texts.csv"
    rng = np.random.default_rng(0)
    with path.open("w", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["text", "second", "label", "topic", "domain"])
        for i in range(300):
            words = rng.integers(len(WORDS), size=rng.integers(3, 10))
            text = " ".join(WORDS[w] for w in words)
            label = int(np.mean(words < 20) > 0.5)
            table.writerow([text, WORDS[words[0]], label, i % 5, "abc"[i % 3]])
    return str(path)


@pytest.fixture
def stage(tiny_encoder: str, texts_file: str, tmp_path: Path) -> Stage:
    """Makes `train` stage configs: `method__kind="head"` sets a key of a block."""

    def make(**over: Any) -> dict[str, Any]:
        config: dict[str, Any] = {
            "task": "tiny",
            "seed": 1,
            "store": str(tmp_path / "store"),
            "kind": "text_classification",
            "model": {"name": tiny_encoder, "revision": None, "max_length": 12},
            "data": {
                "name": texts_file,
                "revision": None,
                "subset": None,
                "text": "text",
                "label": "label",
                "labels": "class",
                "positive": None,
                "classes": None,
                "domain": None,
                "splits": None,
                "train": 100,
                "val": 50,
                "target": 60,
                "train_domains": None,
                "label_noise": 0.0,
            },
            "arithmetic": {"modulus": 11, "digits": 1, "train": 0.5, "val": 12, "target": 20},
            "method": {
                "kind": "lora",
                "rank": 2,
                "alpha": 4.0,
                "targets": ["query", "value"],
                "layers": "top-1",
                "pooling": "cls",
                "dropout": 0.0,
                "lora_dropout": 0.0,
                "width": 16,
                "heads": 2,
                "depth": 2,
            },
            "optimiser": {
                "name": "adamw",
                "lr": 1e-2,
                "schedule": "rho",
                "rho": 0.5,
                "warmup": 2,
                "batch_size": 8,
                "weight_decay": 0.01,
                "momentum": 0.0,
                "betas": [0.9, 0.999],
                "clip": 1.0,
            },
            "precision": "fp32",
            "bank": 4,
            "population": {},
            "depths": [1, 4, 16],
            "horizon": 32,
            "outcome": {"metric": "accuracy", "target_sample": None, "target_label_noise": 0.0},
            "outputs": None,
            "forks": None,
            "crossed": [],
        }
        config = copy.deepcopy(config)
        for key, value in over.items():
            block, _, name = key.rpartition("__")
            (config[block] if block else config)[name] = value
        return config

    return make


FAMILIES = {
    "head": {"method__kind": "head"},
    "top": {},
    "lora": {"method__layers": "all", "method__pooling": "mean"},
    "any": {"method__layers": "all", "method__pooling": "mean"},
    "modular": {"kind": "modular_arithmetic", "method__kind": "full"},
    "causal": {"kind": "causal_arithmetic", "method__layers": "all"},
}


@pytest.fixture
def any_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """The way of any transformers model, for models that the packed encoder would take otherwise."""
    monkeypatch.setattr("prehoc.tasks.encoder.known", lambda settings: False)


@pytest.fixture
def family(stage: Stage, tiny_decoder: str, request: pytest.FixtureRequest) -> Stage:
    """Like `stage`, of the family of problems that its first argument names."""

    def make(name: str, **over: Any) -> dict[str, Any]:
        if name == "any":
            request.getfixturevalue("any_model")
        config = stage(**FAMILIES[name], **over)
        if name == "causal":
            config["model"] = {"name": tiny_decoder, "revision": None, "max_length": 12}
            config["arithmetic"] |= {"train": 25.0, "val": 10, "target": 15}
            config["method"]["targets"] = ["q_proj", "v_proj"]
        if name in ("modular", "causal"):
            config["data"] = None
        return config

    return make


@pytest.fixture
def factor() -> Stage:
    """Makes a factor of a population, whole as the typed config writes it."""

    def make(visible: bool = False, **law: Any) -> dict[str, Any]:
        blank = {"uniform": None, "log_uniform": None, "choice": None, "n": None}
        return {**blank, **law, "visible": visible}

    return make
