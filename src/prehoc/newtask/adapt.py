"""What of a model is trained, by its family: which linear modules LoRA adapts, or the head alone."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prehoc.errors import InputError

# model_type of transformers -> the linear modules of its attention (docs/tasks.md)
_BERTS = ("bert", "roberta", "xlm-roberta", "electra", "camembert", "albert")
ENCODERS: dict[str, list[str]] = {
    **{kind: ["query", "value"] for kind in _BERTS},
    "distilbert": ["q_lin", "v_lin"],
    "mpnet": ["q", "v"],
    "modernbert": ["Wqkv"],
    "deberta": ["in_proj"],
    "deberta-v2": ["value_proj"],
}
_LLAMAS = (
    "llama",
    "mistral",
    "qwen2",
    "qwen3",
    "gemma",
    "gemma2",
    "gemma3_text",
    "opt",
    "smollm3",
    "olmo2",
)
DECODERS: dict[str, list[str]] = {
    **{kind: ["q_proj", "v_proj"] for kind in (*_LLAMAS, "gpt_neo")},
    "gpt2": ["c_attn"],
    "gpt_neox": ["query_key_value"],
    "phi3": ["qkv_proj"],
}
# What a Hub name says of a model that is not here, the longer words first.
WORDS = (
    ("distilbert", "distilbert"), ("modernbert", "modernbert"), ("deberta-v3", "deberta-v2"),
    ("deberta-v2", "deberta-v2"), ("deberta", "deberta"), ("xlm-roberta", "xlm-roberta"),
    ("roberta", "roberta"), ("albert", "albert"), ("electra", "electra"), ("mpnet", "mpnet"),
    ("camembert", "camembert"), ("minilm", "bert"), ("bert", "bert"),
    ("smollm", "llama"), ("llama", "llama"), ("qwen3", "qwen3"), ("qwen", "qwen2"), ("mistral", "mistral"),
    ("gemma", "gemma2"), ("gpt2", "gpt2"), ("pythia", "gpt_neox"), ("opt-", "opt"),
)  # fmt: skip


@dataclass(frozen=True)
class Way:
    """The `method` block beyond the defaults (None: the defaults do), the optimiser's, and why."""

    method: dict[str, Any] | None
    optimiser: dict[str, Any] | None
    why: str


HEAD = {"kind": "head", "pooling": "mean"}
HEAD_OPTIMISER = {"name": "sgd", "lr": 2.0, "clip": None}


def family(model: str) -> str | None:
    """A model's model_type, from its folder or guessed from its name; None where neither tells.

    Raises InputError for a folder without a readable config.json.
    """
    folder = Path(model)
    if folder.is_dir():
        try:
            return str(json.loads((folder / "config.json").read_text())["model_type"])
        except (OSError, ValueError, KeyError, TypeError):
            raise InputError(
                f"--model: {model} holds no config.json that names a model_type; save it with "
                "save_pretrained"
            ) from None
    short = model.rpartition("/")[2].lower()
    return next((kind for word, kind in WORDS if word in short), None)


def way(model: str, generation: bool) -> Way:
    """How a model is trained. Raises InputError for an encoder that shall write."""
    if generation:
        if model == "packaged:smollm2":
            return Way({"layers": "top-6"}, None, "LoRA on the top 6 of 30 blocks; `all` is slower")
        kind = family(model)
        if kind in ENCODERS:
            raise InputError(f"--model: {model} is an encoder and writes no text; name a causal model")
        if kind in DECODERS:
            return Way({"targets": DECODERS[kind]}, None, f"LoRA on the {kind} attention, all layers")
        return Way({"targets": ["q_proj", "v_proj"]}, None, "LoRA; do its modules have these names?")
    if model == "packaged:minilm-l3":
        return Way(None, None, "")
    if model == "packaged:minilm-l6":
        return Way(HEAD, HEAD_OPTIMISER, "the head alone: the cheapest")
    kind = family(model)
    if kind in DECODERS:
        return Way({**HEAD}, HEAD_OPTIMISER, f"the head alone, on a {kind} decoder")
    if kind not in ENCODERS:
        return Way(HEAD, HEAD_OPTIMISER, "the head alone: how this model's modules are called is not known")
    layers = "all" if kind == "albert" else "top-2"
    made = {"targets": ENCODERS[kind], "layers": layers}
    return Way(made, {"lr": 2.0e-3}, f"LoRA on the {kind} attention, {layers} layers")
