"""Copies of Hub models and data in the store, made by `prehoc fetch`: read from there, without a network.

A command says once which copies it uses (`use`); the readers of models and data ask for them by the block
that names them. What a run's numbers depend on is a copy's content, never where it lies.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prehoc.config.hub import Kind, Wanted, asked, copy_folder
from prehoc.errors import InputError

_BUILDERS = {".parquet": "parquet", ".csv": "csv", ".tsv": "csv", ".txt": "text", ".arrow": "arrow"}
PACKED = (".gz", ".bz2", ".xz", ".zst", ".zip")


@dataclass(frozen=True)
class Copy:
    """A copy in the store: its folder, and what the fetch wrote of it."""

    folder: Path
    record: Mapping[str, Any]

    @property
    def commit(self) -> str:
        """The Hub's commit."""
        return str(self.record["commit"])

    @property
    def digest(self) -> str:
        """A digest of the files' names and contents."""
        return str(self.record["digest"])


_COPIES: dict[Wanted, Copy] = {}


def read_record(path: Path) -> dict[str, Any]:
    """What `prehoc fetch` wrote; InputError naming the file if it is no such thing."""
    try:
        record = dict(json.loads(path.read_text()))
        for key in ("kind", "name", "revision", "subset", "commit", "digest", "files"):
            record[key]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(
            f"{path}: not written by prehoc fetch ({error}); delete it and fetch again"
        ) from None
    return record


def sha256_of(path: Path) -> str:
    """A file's sha256 in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def item_of(record: Mapping[str, Any]) -> Wanted:
    """What a record is of."""
    return Wanted(record["kind"], record["name"], record["revision"], record["subset"])


def use(files: Iterable[Path], store: Path, thoroughly: bool = False) -> None:
    """Read the models and data of these records from the store from now on, and no others.

    Raises InputError if the store lacks one of them, whole or in part: by size, or by digest where
    `thoroughly`.
    """
    _COPIES.clear()
    for path in files:
        record = read_record(path)
        item = item_of(record)
        folder = store / copy_folder(item, record["commit"])
        for name, known in record["files"].items():
            try:
                size = (folder / name).stat().st_size
            except OSError:
                size = -1
            whole = size == known["size"]
            if not whole or (thoroughly and sha256_of(folder / name) != known["sha256"]):
                state = "missing" if size < 0 else "damaged" if whole else "of another size"
                raise InputError(
                    f"{folder / name}: {state}, though {path} says that {item} was fetched; run "
                    "`snakemake fetch --forcerun fetch_one`, which takes what lacks"
                )
        _COPIES[item] = Copy(folder, record)


def copy_of(kind: Kind, block: Mapping[str, Any]) -> Copy | None:
    """The copy of what a `model` or `data` block names; None for names not of the Hub, or not fetched."""
    item = asked(kind, block)
    return None if item is None else _COPIES.get(item)


def go_offline(stage: Mapping[str, Any]) -> bool:
    """Forbid the Hub's library any request, where all that the stage asks of the Hub has a copy.

    To be called before that library is imported. Returns whether it did.
    """
    blocks: tuple[tuple[Kind, Any], ...] = (("model", stage.get("model")), ("data", stage.get("data")))
    items = [item for kind, block in blocks if (item := asked(kind, block)) is not None]
    if not all(item in _COPIES for item in items):
        return False
    os.environ["HF_HUB_OFFLINE"] = "1"
    return True


def pin(stage: Mapping[str, Any], known: Mapping[Wanted, str]) -> dict[str, Any]:
    """The stage's `model` and `data` blocks with the commit as revision, where `known` has one for them.

    So `revision: null`, a branch, and the commit that they mean are the same thing to what is kept of runs.
    """
    kinds: tuple[Kind, ...] = ("model", "data")
    items = {kind: asked(kind, stage.get(kind)) for kind in kinds}
    return {
        kind: {**stage[kind], "revision": known[item]}
        for kind, item in items.items()
        if item is not None and item in known
    }


def pinned(stage: Mapping[str, Any]) -> dict[str, Any]:
    """As `pin`, by the copies in use."""
    return pin(stage, {item: copy.commit for item, copy in _COPIES.items()})


def fetched_commits(results: Path) -> dict[Wanted, str]:
    """The commits that the records under `results` name; broken records are passed by."""
    found = {}
    for path in sorted((results / "fetched").glob("*.json")):
        with contextlib.suppress(InputError):
            record = read_record(path)
            found[item_of(record)] = str(record["commit"])
    return found


def commits(stage: Mapping[str, Any]) -> dict[str, str]:
    """The commits of the stage's model and data, where they are copies."""
    kinds: tuple[Kind, ...] = ("model", "data")
    found = {kind: copy_of(kind, stage[kind]) for kind in kinds if stage.get(kind)}
    return {kind: copy.commit for kind, copy in found.items() if copy is not None}


def builder_of(name: str) -> str:
    """The `datasets` builder of a data file: parquet, csv, text, arrow or json."""
    path = Path(name)
    path = Path(path.stem) if path.suffix in PACKED else path
    return _BUILDERS.get(path.suffix, "json")


def load_data(copy: Copy) -> Any:
    """A copy's splits as a DatasetDict; errors are the library's."""
    import datasets

    splits = copy.record["splits"]
    if splits is None:
        root = copy.folder / (copy.record["root"] or "")
        if (root / "dataset_dict.json").exists():
            return datasets.load_from_disk(str(root))
        return datasets.load_dataset(str(root))
    files = {split: [str(copy.folder / name) for name in names] for split, names in splits.items()}
    first = next(iter(splits.values()))[0]
    return datasets.load_dataset(builder_of(first), data_files=files, **copy.record["options"])
