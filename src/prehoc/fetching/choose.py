"""Which files of a Hub repository are needed; the rest is never downloaded.

Of a model: config, tokeniser and safetensors weights, no pickles, no code. Of data: the files of the wanted
subset, as the README's `configs` or the folders tell, no loading scripts.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from prehoc.errors import InputError

_MODEL = (
    "config.json", "generation_config.json", "tokenizer*", "vocab*", "merges*", "special_tokens*",
    "added_tokens*", "chat_template*", "*.model", "*.tiktoken", "model.safetensors.index.json",
)  # fmt: skip
_NEVER = (".py", ".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".h5", ".msgpack", ".onnx", ".gguf")
_SHARD = re.compile(r"model-\d+-of-\d+\.safetensors")
_DATA = re.compile(r"\.(parquet|jsonl?|csv|tsv|txt|arrow)(\.(gz|bz2|xz|zst|zip))?$")
_ASIDE = ("dataset_infos.json", "requirements.txt", "license.txt")
_OPTIONS = (
    "sep",
    "delimiter",
    "header",
    "names",
    "column_names",
    "quotechar",
    "encoding",
    "field",
)


@dataclass(frozen=True)
class Chosen:
    """The files to take; of data its splits (None: by their names) under `root`, and reader options."""

    files: list[str]
    splits: dict[str, list[str]] | None = None
    root: str | None = None
    options: dict[str, Any] = field(default_factory=dict)


def inside(name: str) -> bool:
    """Whether a file's name stays within its folder and is not hidden: a mirror may list anything."""
    parts = PurePosixPath(name).parts
    return bool(parts) and not name.startswith("/") and not any(p.startswith(".") for p in parts)


def model_files(names: Sequence[str], repo: str) -> Chosen:
    """The files of a model; `names` are all of the repository's.

    Raises InputError without config.json or safetensors weights.
    """
    top = [n for n in names if inside(n) and "/" not in n]
    if "config.json" not in top:
        raise InputError(f"model.name: {repo} has no config.json, so it is no model; name another")
    weights = [n for n in top if n.endswith(".safetensors")]
    shards = [n for n in weights if _SHARD.fullmatch(n)]
    if "model.safetensors" in weights:
        weights = ["model.safetensors"]
    elif "model.safetensors.index.json" in top and shards:
        weights = shards
    if not weights:
        raise InputError(
            f"model.name: {repo} has no *.safetensors weights, and pickled ones are never loaded; name a "
            "revision that has them, or convert it with save_pretrained and give the folder"
        )
    rest = [n for n in top if any(fnmatch.fnmatchcase(n, p) for p in _MODEL) and not n.endswith(_NEVER)]
    if "model.safetensors" in weights:
        rest = [n for n in rest if n != "model.safetensors.index.json"]
    return Chosen(sorted({*rest, *weights}))


def card_configs(readme: str) -> list[dict[str, Any]]:
    """The `configs` of a data card's YAML head; [] without one."""
    import yaml

    head = re.match(r"---\s*\n(.*?)\n---\s*(\n|$)", readme, re.DOTALL)
    if head is None:
        return []
    try:
        found = yaml.safe_load(head.group(1))
    except yaml.YAMLError:
        return []
    configs = found.get("configs") if isinstance(found, dict) else None
    return [c for c in configs or [] if isinstance(c, dict) and "config_name" in c]


def data_files(names: Sequence[str], readme: str, subset: str | None, repo: str) -> Chosen:
    """The files of a data set; `names` are all of the repository's, `readme` its card or "".

    Raises InputError if there are none, or the subset is unknown or must be named.
    """
    data = sorted(n for n in names if inside(n) and _DATA.search(n) and n.lower() not in _ASIDE)
    if not data:
        raise InputError(
            f"data.name: {repo} has no parquet, JSON, CSV or text files (a loading script is never run); "
            "try revision: refs/convert/parquet, or give a file"
        )
    card = ["README.md"] if "README.md" in names else []
    configs = card_configs(readme)
    if configs:
        chosen = _config(configs, subset, repo)
        return _of_config(chosen, data, card, repo)
    if subset is None or (subset == "default" and not any(n.startswith("default/") for n in data)):
        return Chosen(sorted({*card, *data}))
    under = [n for n in data if n.startswith(f"{subset}/")]
    if not under:
        folders = sorted({n.split("/")[0] for n in data if "/" in n})
        have = f"its folders are {', '.join(folders)}" if folders else "set subset: null"
        raise InputError(f"data.subset: {repo} has no configuration or folder {subset!r}; {have}")
    return Chosen(sorted({*card, *under}), root=subset)


def _config(configs: list[dict[str, Any]], subset: str | None, repo: str) -> dict[str, Any]:
    names = [str(c["config_name"]) for c in configs]
    by_name = dict(zip(names, configs, strict=True))
    if subset is not None:
        if subset not in by_name:
            raise InputError(f"data.subset: {repo} has no subset {subset!r}; it has {', '.join(names)}")
        return by_name[subset]
    marked = [c for c in configs if c.get("default")]
    if marked or "default" in by_name or len(configs) == 1:
        return (marked or [by_name.get("default", configs[0])])[0]
    raise InputError(f"data.subset: {repo} has several subsets; name one of {', '.join(names)}")


def _of_config(config: Mapping[str, Any], data: list[str], card: list[str], repo: str) -> Chosen:
    base = str(config.get("data_dir") or "").removeprefix("./").strip("/")
    options = {k: config[k] for k in _OPTIONS if k in config}
    if "data_files" not in config:
        under = [n for n in data if not base or n.startswith(f"{base}/")]
        if not under:
            raise InputError(f"data.name: {repo}: its card names the folder {base!r}, which holds no data")
        return Chosen(sorted({*card, *under}), root=base or None, options=options)
    splits: dict[str, list[str]] = {}
    for split, patterns in _patterns(config["data_files"]).items():
        found: list[str] = []
        for pattern in patterns:
            found += [n for n in matching(pattern, base, data) if n not in found]
        if not found:
            raise InputError(f"data.name: {repo}: its card names {patterns} for {split!r}; it has none")
        splits[split] = found
    every = {n for part in splits.values() for n in part}
    return Chosen(sorted({*card, *every}), splits, None, options)


def _patterns(given: Any) -> dict[str, list[str]]:
    """Patterns by split out of a card's `data_files`: a pattern, a list, a mapping, or split-path pairs."""

    def many(value: Any) -> list[str]:
        return [str(v) for v in value] if isinstance(value, list) else [str(value)]

    if isinstance(given, dict):
        return {str(k): many(v) for k, v in given.items()}
    if isinstance(given, list) and given and all(isinstance(v, dict) for v in given):
        made: dict[str, list[str]] = {}
        for entry in given:
            made.setdefault(str(entry.get("split", "train")), []).extend(many(entry.get("path")))
        return made
    return {"train": many(given)}


def matching(pattern: str, base: str, names: Sequence[str]) -> list[str]:
    """The names that a glob pattern means: ** crosses folders, * does not; a folder means all in it."""
    whole = "/".join(p for p in (base, pattern.removeprefix("./").strip("/")) if p)
    if whole in names:
        return [whole]
    text = ""
    for piece in re.split(r"(\*\*/|\*\*|\*|\?|\[[^\]]+\])", whole):
        if piece.startswith("["):
            text += piece.replace("[!", "[^")
        else:
            known = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
            text += known.get(piece, re.escape(piece))
    rule = re.compile(f"{text}(?:/.*)?")
    return [n for n in names if rule.fullmatch(n)]
