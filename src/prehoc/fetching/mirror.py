"""A mirror folder: what `prehoc fetch --to` made on a machine with internet, for one without."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from prehoc.config.hub import Wanted, copy_folder
from prehoc.errors import InputError
from prehoc.fetching.remote import Entry, Listing
from prehoc.tasks.hub import read_record


def record_file(folder: Path, item: Wanted) -> Path:
    """The record of an item in a mirror folder or under results/."""
    return folder / "fetched" / f"{item.key}.json"


class MirrorFolder:
    """A mirror folder as the source of one item: a store, with the records of what it holds beside it."""

    def __init__(self, folder: Path, item: Wanted) -> None:
        self.folder, self.item = folder, item
        path = record_file(folder, item)
        if not path.is_file():
            at = f" at revision {item.revision}" if item.revision else ""
            raise InputError(
                f"--from {folder}: holds no {item}{at}; run "
                "`prehoc fetch CONFIG --to FOLDER` with this config where there is internet"
            )
        self.record: dict[str, Any] = read_record(path)

    def listing(self, revision: str | None) -> Listing:
        """What the mirror has; another commit than its own is none of its."""
        commit = str(self.record["commit"])
        if revision not in (None, self.item.revision, commit):
            raise InputError(
                f"--from {self.folder}: {self.item} is at {commit} there, {revision} is wanted; "
                "add --again to change"
            )
        known = self.record["files"].items()
        return Listing(commit, {name: Entry(file["size"], file["sha256"]) for name, file in known})

    def take(self, name: str, commit: str, path: Path, size: int | None) -> None:
        """Copy a file."""
        found = self.folder / copy_folder(self.item, commit) / name
        if not found.is_file():
            raise InputError(f"--from {self.folder}: {found} is missing; copy the whole folder again")
        shutil.copyfile(found, path)
