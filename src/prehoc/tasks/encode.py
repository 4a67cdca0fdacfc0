"""The frozen part of a model, computed once an example and kept in the store.

What trains sits above; the activations below it are the same for every seed, step and depth. Kept
are pooled features (head alone), the hidden states that enter the last layer (LoRA on the top
layer), or the token ids (LoRA on deeper layers). The key is the model's weights, the data and the cut.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from prehoc.config import digest
from prehoc.errors import InputError
from prehoc.tables import atomic
from prehoc.tasks import data as data_module
from prehoc.tasks import models

FORMAT = 2  # raise it when what is kept changes


@dataclass(frozen=True)
class Encoding:
    """An encoded task: tensors by name, and what is known of the data and the model."""

    tensors: dict[str, torch.Tensor]
    meta: dict[str, Any]

    def rows(self, split: str) -> tuple[int, int]:
        """First row and end of a split in the tensors."""
        first, end = self.meta["splits"][split]
        return int(first), int(end)


def cut_of(method: dict[str, Any]) -> str:
    """Where the model is cut: `features`, `top` (before the last layer), or `tokens`."""
    if method["kind"] == "head":
        return "features"
    plain = set(method["targets"]) <= {"query", "value"}
    top = method["layers"] == "top-1" and method["pooling"] == "cls" and plain
    return "top" if top else "tokens"


def kept(path: Path, build: Callable[[], tuple[dict[str, torch.Tensor], dict[str, Any]]]) -> Encoding:
    """Read `path`, or build it, write it atomically, and read it.

    Of two processes that want it at once, one builds and the other waits. A file that cannot be
    read as safetensors is built again.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # released by the system when the process ends, however
        if path.exists():
            try:
                return _read(path)
            except (SafetensorError, OSError):  # truncated by a full disk or a foreign hand
                path.unlink(missing_ok=True)
        tensors, meta = build()
        with atomic(path) as temporary:
            save_file(
                {k: v.contiguous() for k, v in tensors.items()},
                temporary,
                metadata={"meta": json.dumps(meta, sort_keys=True)},
            )
        return _read(path)


def _read(path: Path) -> Encoding:
    with safe_open(path, framework="pt") as stream:
        meta = json.loads(stream.metadata()["meta"])
        return Encoding({k: stream.get_tensor(k) for k in stream.keys()}, meta)  # noqa: SIM118


def encode(config: dict[str, Any], target_domains: list[str] | None) -> Encoding:
    """The encoding of a text-classification task, from the store or made now.

    `config` is the task's `prepare` stage config. Raises InputError for data or models at fault.
    """
    store = Path(config["store"])
    folder = models.model_folder(config["model"], store)
    cut = cut_of(config["method"])
    data = {k: v for k, v in config["data"].items() if k != "label_noise"}
    key: dict[str, Any] = {
        "format": FORMAT,
        "root": config["seed"],
        "weights": models.revision_of(config["model"], folder),
        "model": config["model"],
        "data": data,
        "file": _file_digest(data["name"]),
        "domains": target_domains,
        "cut": cut,
        "pooling": config["method"]["pooling"] if cut == "features" else None,
    }

    def build() -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        return _encode(config, folder, cut, target_domains, key)

    return kept(store / "encodings" / f"{digest(key)}.safetensors", build)


def _file_digest(name: str) -> str | None:
    """What pins local data: a digest of a file, or of a folder's files; None for other names."""
    path = Path(name)
    if name.startswith("packaged:") or not path.exists():
        return None
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    sha = hashlib.sha256()
    for file in files:
        sha.update(f"{file.relative_to(path)}:{file.stat().st_size}:".encode())
        sha.update(file.read_bytes())
    return sha.hexdigest()[:16]


def _encode(
    config: dict[str, Any],
    folder: str,
    cut: str,
    target_domains: list[str] | None,
    key: dict[str, Any],
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    rows, named = data_module.load_rows(config["data"])
    splits = data_module.cut_splits(config["data"], rows, named, config["seed"], target_domains)
    tokeniser, model = models.load_encoder(folder, config["model"]["revision"])
    order = np.concatenate([splits[s] for s in data_module.SPLITS])
    texts: list[Any] = [rows.texts[i] for i in order]
    length = config["model"]["max_length"]
    pairs = isinstance(texts[0], tuple)
    columns = list(zip(*texts, strict=True)) if pairs else [texts]
    tokens = tokeniser(
        *[list(c) for c in columns],
        truncation=True,
        max_length=length,
        padding="max_length",
        return_tensors="pt",
    )
    tensors: dict[str, torch.Tensor] = {"labels": torch.from_numpy(rows.labels[order])}
    mask = tokens["attention_mask"].bool()
    if cut == "tokens":
        tensors |= {"ids": tokens["input_ids"], "mask": mask}
        if "token_type_ids" in tokens:
            tensors["types"] = tokens["token_type_ids"]
    else:
        tensors |= _activations(model, tokens, mask, cut, config["method"]["pooling"])
    domains = target_domains or []
    places = {d: i for i, d in enumerate(domains)}
    tensors["domain"] = torch.tensor([places.get(d, -1) for d in rows.domains[order]])
    ends = np.cumsum([len(splits[s]) for s in data_module.SPLITS]).tolist()
    counts = np.bincount(rows.labels[splits["train"]], minlength=len(rows.classes))
    meta = {
        "splits": {s: [e - len(splits[s]), e] for s, e in zip(data_module.SPLITS, ends, strict=True)},
        "classes": rows.classes,
        "domains": domains,
        "cut": cut,
        "folder": folder,
        "hidden": int(model.config.hidden_size),
        "attention_heads": int(getattr(model.config, "num_attention_heads", 0)),
        "activation": getattr(model.config, "hidden_act", None),
        "norm_eps": getattr(model.config, "layer_norm_eps", None),
        "weights": key["weights"],
        "data_digest": digest([texts, rows.labels[order].tolist()]),
        "train_counts": counts.tolist(),
        "mean_tokens": float(mask.sum(1).double().mean()),
        "parameters": sum(p.numel() for p in model.parameters()),
    }
    return tensors, meta


@torch.inference_mode()
def _activations(
    model: Any, tokens: Any, mask: torch.Tensor, cut: str, pooling: str
) -> dict[str, torch.Tensor]:
    """Pooled last states [n, H], or the states entering the last layer [n, L, H] and its weights."""
    chunks = []
    order = torch.argsort(mask.sum(1), stable=True)
    width = 128
    for first in range(0, len(order), width):
        rows = order[first : first + width]
        longest = int(mask[rows].sum(1).max())
        part = {k: v[rows][:, :longest] for k, v in tokens.items()}
        states = model(**part, output_hidden_states=cut == "top")
        if cut == "top":
            hidden = torch.zeros(len(rows), mask.shape[1], states.last_hidden_state.shape[-1])
            hidden[:, :longest] = states.hidden_states[-2] * part["attention_mask"][..., None]
            chunks.append(hidden)
        else:
            chunks.append(pool(states.last_hidden_state, part["attention_mask"].bool(), pooling))
    back = torch.argsort(order)
    joined = torch.cat(chunks)[back]
    if cut == "features":
        return {"features": joined}
    layer = last_layer(model)
    weights = {f"layer.{k}": v for k, v in layer.state_dict().items()}
    return {"states": joined, "mask": mask, **weights}


def pool(states: torch.Tensor, mask: torch.Tensor, pooling: str) -> torch.Tensor:
    """[n, L, H] and mask [n, L] -> [n, H]: the first position, or the mean of the real ones."""
    if pooling == "cls":
        return states[:, 0]
    weight = mask[..., None].to(states.dtype)
    return (states * weight).sum(1) / weight.sum(1).clamp(min=1)


def last_layer(model: Any) -> Any:
    """The last layer of a BERT-like encoder (bert, roberta, electra and kin).

    Raises InputError for another architecture, naming the settings that work with it.
    """
    layers: Any = getattr(getattr(model, "encoder", None), "layer", None)
    inner = getattr(getattr(layers[-1], "attention", None), "self", None) if layers else None
    if inner is None or not hasattr(inner, "query") or not hasattr(layers[-1], "intermediate"):
        raise InputError(
            f"method.layers: top-1 with cls pooling needs a BERT-like encoder, not "
            f"{type(model).__name__}; set layers: all"
        )
    return layers[-1]
