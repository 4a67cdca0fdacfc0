"""The frozen part of a model, computed once an example and kept in the store.

What trains sits above; the activations below it are the same for every seed, step and depth. Kept
are pooled features (head alone), the states that enter the lowest layer with adapters, token by token
without padding, with that layer's frozen projections and the weights above (LoRA on a BERT-like encoder),
or the token ids (LoRA on other models). The file is memory-mapped where it is read; its key is the
model's weights, the data, the cut and the precision.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from prehoc.config import digest
from prehoc.tables import atomic
from prehoc.tasks import data as data_module
from prehoc.tasks import encoder, hub, models, suitability
from prehoc.tasks.fitness import agrees, fits, sees_ahead
from prehoc.tasks.machine import CPU, PRECISIONS, Machine
from prehoc.tasks.prefix import entering_block

FORMAT = 5  # raise it when what is kept changes
PROJECTED = 4 << 30  # bytes on disk up to which the lowest layer's projections are kept beside its states


@dataclass(frozen=True)
class Encoding:
    """An encoded task: tensors by name, and what is known of the data and the model."""

    tensors: dict[str, torch.Tensor]
    meta: dict[str, Any]

    def rows(self, split: str) -> tuple[int, int]:
        """First row and end of a split in the tensors; of `val:64` those of its first 64 examples."""
        name, _, most = split.partition(":")
        first, end = (int(n) for n in self.meta["splits"][name])
        return first, min(end, first + int(most)) if most else end


def cut_of(method: dict[str, Any], settings: dict[str, Any], machine: Machine = CPU) -> str:
    """What is kept of a model of these settings (its config.json): features, states or tokens.

    On a GPU adapters take padded tokens, by the way of any model, whose step is recorded and replayed:
    packed ones save arithmetic, but are laid out on the host, run by run.
    """
    if method["kind"] == "head":
        return "features"
    if method["kind"] == "full":
        return "tokens"
    if machine.device.type == "cuda" or not encoder.known(settings):
        return "tokens"
    lowest = lowest_layer(method, settings["num_hidden_layers"])
    if lowest < 0 or not encoder.adapted_modules(settings, lowest, method["targets"]):
        return "tokens"  # the generic way names what is wrong with the targets or the layers
    return "states"


def lowest_layer(method: dict[str, Any], depth: int) -> int:
    """The lowest of `depth` layers that trains; below 0 where more layers are asked for than there are."""
    return 0 if method["layers"] == "all" else depth - int(method["layers"].removeprefix("top-"))


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
            except (
                SafetensorError,
                OSError,
                KeyError,
                TypeError,
                ValueError,
            ):  # a foreign hand's, or cut off
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


def encode(config: dict[str, Any], target_domains: list[str] | None, machine: Machine = CPU) -> Encoding:
    """The encoding of a text-classification task, from the store or made now on the machine's device.

    `config` is the task's `prepare` stage config. Raises InputError for data or models at fault.
    """
    store = Path(config["store"])
    folder = models.model_folder(config["model"], store)
    settings = models.settings_of(folder, config["model"]["revision"])
    method = config["method"]
    cut = cut_of(method, settings, machine)
    copy = hub.copy_of("data", config["data"])
    blocks = {"model": config["model"], "data": config["data"]} | hub.pinned(config)
    data = {k: v for k, v in blocks["data"].items() if k != "label_noise"}
    data = {"labels": "class", "positive": None} | data
    key: dict[str, Any] = {
        "format": FORMAT,
        "root": config["seed"],
        "weights": models.revision_of(config["model"], folder),
        "model": blocks["model"],
        "data": data,
        "file": copy.digest[:16] if copy else _file_digest(data["name"]),
        "domains": target_domains,
        "cut": cut,
        "pooling": method["pooling"] if cut == "features" else None,
        "precision": config["precision"] if cut != "tokens" else None,
    }
    if cut == "states":
        depth = settings["num_hidden_layers"]
        key["layer"] = lowest_layer(method, depth)
        # Read at the first position, the last layer needs no projection of any other position.
        key["projected"] = key["layer"] < depth - 1 or method["pooling"] == "mean"

    def build() -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        return _encode(config, folder, cut, target_domains, key, machine)

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
    machine: Machine,
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    rows, named = data_module.load_rows(config["data"])
    splits = data_module.cut_splits(config["data"], rows, named, config["seed"], target_domains)
    tokeniser, model = models.load_encoder(folder, config["model"]["revision"])
    order = np.concatenate([splits[s] for s in data_module.SPLITS])
    texts: list[Any] = [rows.texts[i] for i in order]
    tokeniser.padding_side = "right"  # some pad on the left; what is cut off or read first is real here
    length = config["model"]["max_length"]
    fits(length, tokeniser, model)
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
    if config["method"]["pooling"] == "cls":
        sees_ahead(model, tokens)
    if cut == "tokens":
        tensors |= {"ids": tokens["input_ids"], "mask": mask}
        if "token_type_ids" in tokens:
            tensors["types"] = tokens["token_type_ids"]
    else:
        model = model.to(machine.device)
        dtype = PRECISIONS[config["precision"]]
        if cut == "features":
            tensors["features"] = (
                features(model, tokens, mask, config["method"]["pooling"]).to(dtype).float()
            )
        else:
            tensors |= _states(model, tokens, mask, key, dtype)
    domains = target_domains or []
    places = {d: i for i, d in enumerate(domains)}
    tensors["domain"] = torch.tensor([places.get(d, -1) for d in rows.domains[order]])
    ends = np.cumsum([len(splits[s]) for s in data_module.SPLITS]).tolist()
    number = not rows.classes
    trained = rows.labels[splits["train"]]
    first = {k: v[: len(trained)] for k, v in tokens.items()}  # the training split stands first
    lengths = mask[: len(trained)].sum(1).double()
    own = suitability.own_classifier(folder, config["model"]["revision"], machine.device)
    there = {config["method"]["pooling"]: tensors["features"]} if cut == "features" else None
    given = (first, trained, len(rows.classes), list(there or ("cls", "mean")))
    fit = suitability.scores(model.to(machine.device), *given, pool, own, there)
    counts = np.array([]) if number else np.bincount(trained, minlength=len(rows.classes))
    meta = {
        "splits": {s: [e - len(splits[s]), e] for s, e in zip(data_module.SPLITS, ends, strict=True)},
        "classes": rows.classes,
        "positive": 0 if number else data_module.positive_of(config["data"], rows.classes),
        "label_sd": float(trained.std()) if number else None,
        "domains": domains,
        "cut": cut,
        "hidden": int(model.config.hidden_size),
        "attention_heads": int(getattr(model.config, "num_attention_heads", 0)),
        "activation": getattr(model.config, "hidden_act", None),
        "norm_eps": getattr(model.config, "layer_norm_eps", None),
        "layer": key.get("layer"),
        "depth": int(getattr(model.config, "num_hidden_layers", 0)),
        "weights": key["weights"],
        "data_digest": digest([texts, rows.labels[order].tolist()]),
        "train_counts": counts.tolist(),
        "mean_tokens": float(mask.sum(1).double().mean()),
        "length_mean": float(lengths.mean()),
        "length_sd": float(lengths.std(correction=0)),
        **fit,
        "parameters": sum(p.numel() for p in model.parameters()),
    }
    if cut == "states":
        agrees(model.cpu(), tokens, tensors, meta)
    return tensors, meta


def _chunks(
    model: Any, mask: torch.Tensor, tokens: Any
) -> Iterator[tuple[torch.Tensor, dict[str, torch.Tensor]]]:
    """Rows and their tokens on the model's device, 128 of similar length at a time."""
    for rows in torch.argsort(mask.sum(1), stable=True).split(128):
        longest = int(mask[rows].sum(1).max())
        yield rows, {k: v[rows][:, :longest].to(model.device) for k, v in tokens.items()}


@torch.inference_mode()
def features(model: Any, tokens: Any, mask: torch.Tensor, pooling: str) -> torch.Tensor:
    """Pooled last states [n, H]."""
    kept: torch.Tensor | None = None
    for rows, part in _chunks(model, mask, tokens):
        made = pool(model(**part).last_hidden_state, part["attention_mask"].bool(), pooling).cpu()
        kept = made.new_zeros(len(mask), made.shape[1]) if kept is None else kept
        kept[rows] = made
    assert kept is not None
    return kept


@torch.inference_mode()
def _states(
    model: Any, tokens: Any, mask: torch.Tensor, key: dict[str, Any], dtype: torch.dtype
) -> dict[str, torch.Tensor]:
    """States [tokens, H] that enter layer `key["layer"]`, where each example begins, and weights above.

    With `key["projected"]` that layer's frozen query, key and value rows [tokens, 3H] too. What is
    computed is fp32, rounded to `dtype` where it is kept.
    """
    layers, hidden = model.encoder.layer, model.config.hidden_size
    lengths = mask.sum(1)
    starts = torch.cumsum(lengths, 0) - lengths
    total = int(lengths.sum())
    made = {"states": torch.empty(total, hidden, dtype=dtype)}
    lowest = layers[key["layer"]]
    if key["projected"] and 3 * total * hidden * dtype.itemsize <= PROJECTED:
        made["qkv"] = torch.empty(total, 3 * hidden, dtype=dtype)
    own = lowest.attention.self
    for rows, part in _chunks(model, mask, tokens):
        real = part["attention_mask"].bool()
        states = entering_block(model, lowest, part)[real]
        place = torch.cat([torch.arange(int(lengths[r])) + starts[r] for r in rows])
        made["states"][place] = states.to("cpu", dtype)
        if "qkv" in made:
            parts = [m(states) for m in (own.query, own.key, own.value)]
            made["qkv"][place] = torch.cat(parts, 1).to("cpu", dtype)
    for i in range(key["layer"], len(layers)):
        made |= {f"layer.{i}.{k}": v.cpu() for k, v in layers[i].state_dict().items()}
    return {**made, "starts": starts, "lengths": lengths}


def pool(states: torch.Tensor, mask: torch.Tensor, pooling: str) -> torch.Tensor:
    """[n, L, H] and mask [n, L] -> [n, H]: the first position, or the mean of the real ones."""
    if pooling == "cls":
        return states[:, 0]
    weight = mask[..., None].to(states.dtype)
    return (states * weight).sum(1) / weight.sum(1).clamp(min=1)
