"""What of a config comes from the Hub: names, the digest that keys a fetch, where a copy lies."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from prehoc.config.settings import Config
from prehoc.config.stages import digest

Kind = Literal["model", "data"]
FILES = (".csv", ".tsv", ".json", ".jsonl", ".parquet")


@dataclass(frozen=True)
class Wanted:
    """A model or a data set of the Hub, as the config asks for it."""

    kind: Kind
    name: str
    revision: str | None
    subset: str | None

    @property
    def key(self) -> str:
        """The name of its files: the kind and a digest of what is asked for."""
        return f"{self.kind}-{digest([self.kind, self.name, self.revision, self.subset])}"

    def payload(self) -> dict[str, Any]:
        """It as plain data."""
        return asdict(self)

    def __str__(self) -> str:
        subset = f" ({self.subset})" if self.subset else ""
        return f"{self.kind} {self.name}{subset}"


def is_path(name: str) -> bool:
    """Whether a name means a file or folder rather than something on the Hub (NAME or OWNER/NAME)."""
    ending = Path(name).suffix.lower() in FILES
    return name.startswith((".", "/", "~")) or ending or name.count("/") > 1 or Path(name).exists()


def asked(kind: Kind, block: Any) -> Wanted | None:
    """What a `model` or `data` block asks the Hub for; None for packaged and local names."""
    if block is None:
        return None
    given = dict(block)
    name = given["name"]
    if name.startswith("packaged:") or is_path(name):
        return None
    return Wanted(kind, name, given.get("revision"), given.get("subset") if kind == "data" else None)


def wanted(config: Config, task: str) -> list[Wanted]:
    """What one task needs of the Hub: its model, its data, or nothing."""
    block = config.tasks[task]
    if block.kind == "synthetic":
        return []
    found = [asked("model", block.model), asked("data", block.data)]
    return [item for item in found if item is not None]


def all_wanted(config: Config, tasks: Sequence[str] | None = None) -> dict[str, Wanted]:
    """What `tasks`, or the enabled ones, need of the Hub, by key: each thing once."""
    names = config.enabled() if tasks is None else tasks
    return {item.key: item for task in names for item in wanted(config, task)}


def copy_folder(item: Wanted, commit: str) -> Path:
    """Where a copy lies, relative to the store: one folder a commit, and one a subset of data."""
    where = "models" if item.kind == "model" else "data"
    owner = item.name.replace("/", "--")
    part = "".join(c if c.isalnum() or c in "-_." else "_" for c in item.subset) if item.subset else ""
    if item.subset and part != item.subset:  # two names must not share a folder
        part += "-" + hashlib.sha256(item.subset.encode()).hexdigest()[:8]
    return Path("hub") / where / owner / (f"{commit}-{part}" if part else commit)
