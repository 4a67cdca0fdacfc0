"""One model or data set into the store: pinned to a commit, checked by digest, whole or not at all.

A copy is made in a hidden folder beside its place and renamed when it is whole. One writer at a time holds
a lock (that of training/lock.py, which needs no flock). Should a lost writer wake up all the same, it
writes into a file of its own, since who goes on with an interrupted file goes on with a copy of it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from prehoc.config.hub import Wanted, copy_folder
from prehoc.errors import InputError, disk_full
from prehoc.fetching.choose import Chosen, data_files, model_files
from prehoc.fetching.remote import Entry, Listing, Remote
from prehoc.tables import write_json
from prehoc.tasks.hub import item_of, read_record, sha256_of
from prehoc.training.lock import Hold, Times

MANIFEST = ".fetched.json"  # hidden: `datasets` would take it for data
_COMMIT = re.compile(r"[0-9a-f]{40}")
Report = Callable[[str], None]


class Source(Protocol):
    """Where files come from: the Hub, or a mirror folder."""

    def listing(self, revision: str | None) -> Listing:
        """The commit that a revision means, and its files."""

    def take(self, name: str, commit: str, path: Path, size: int | None) -> None:
        """Write a file to `path`, or what `path` lacks of it."""


class _LostError(Exception):
    """Another writer took this one for gone and made the copy."""


class _FetchHold(Hold):
    def __init__(self, path: Path, words: str, times: Times, report: Report) -> None:
        super().__init__(path.parent, [0], times, report, words)
        self.paths, self.words = [path], words

    def _doing(self, holder: dict[str, Any]) -> str:
        return "fetches it too"


def fetch(
    item: Wanted,
    store: Path,
    out: Path,
    *,
    again: bool = False,
    source: Source | None = None,
    times: Times | None = None,
    report: Report = print,
) -> dict[str, Any]:
    """Have a whole copy of `item` in the store, and write to `out` what it is; returns that record.

    A commit that `out` names already stays, unless `again`; that commit, or a revision that is one, needs
    no network where the store has it whole. Raises InputError, or DiskFullError; what has come is kept.
    """
    made_of: Source = Remote(item) if source is None else source
    commit = None if again else _known(item, out)
    listing: Listing | None = None
    if commit is None:
        listing = made_of.listing(item.revision)
        commit = listing.commit
    place = copy_folder(item, commit)  # of several revisions that mean one commit, too
    final, lock = store / place, store / "hub" / "locks" / f"{'--'.join(place.parts[1:])}.lock"
    for _ in range(3):
        try:
            with _FetchHold(lock, str(item), times or Times(), report) as hold:
                if not _intact(final, report):
                    hold.take()
                    _make(item, commit, final, made_of, listing, hold, report)
            break
        except _LostError:
            report(f"{item}: another process took over")
    else:
        raise InputError(f"{item}: other processes fetch it too and took over three times; run again")
    record = {**json.loads((final / MANIFEST).read_text()), **item.payload()}
    if item.revision is None:
        report(f"{item}: no revision is pinned; this is main's commit now: write `revision: {commit}`")
    write_json(record, out)
    return record


def _known(item: Wanted, out: Path) -> str | None:
    """The commit that needs no asking: of an earlier record, or the revision itself."""
    if out.exists():
        with contextlib.suppress(InputError):
            record = read_record(out)
            if item_of(record) == item:
                return str(record["commit"])
    return item.revision if item.revision and _COMMIT.fullmatch(item.revision) else None


def _blob_of(path: Path) -> str:
    """Git's digest of a file as a blob."""
    sha = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            sha.update(block)
    return sha.hexdigest()


def _fits(path: Path, entry: Entry) -> bool:
    """Whether a file has the bytes and the digest that its source says."""
    if entry.size is not None and path.stat().st_size != entry.size:
        return False
    if entry.sha256 is not None:
        return sha256_of(path) == entry.sha256
    return entry.blob is None or _blob_of(path) == entry.blob


def manifest_of(folder: Path) -> dict[str, Any] | None:
    """What the maker of a copy wrote into it; None where there is none, or it is broken."""
    try:
        made = dict(json.loads((folder / MANIFEST).read_text()))
        return made if made["files"] and made["commit"] else None
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _wrong(folder: Path, files: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The files of a copy that are missing or not what its manifest says."""
    return [
        name
        for name, known in files.items()
        if not (folder / name).is_file() or not _fits(folder / name, Entry(known["size"], known["sha256"]))
    ]


def _intact(final: Path, report: Report) -> bool:
    made = manifest_of(final)
    wrong = _wrong(final, made["files"]) if made else []
    for name in wrong:
        report(f"{final / name}: missing or damaged; it is fetched again")
    return made is not None and not wrong


def _make(
    item: Wanted,
    commit: str,
    final: Path,
    source: Source,
    listing: Listing | None,
    hold: Hold,
    report: Report,
) -> None:
    """Make the copy whole: damaged files of a whole one in place, all else in a hidden folder."""
    made = manifest_of(final)
    if made:  # another has made it while this one waited, or files of it are damaged
        for name in _wrong(final, made["files"]):
            known = made["files"][name]
            _file(source, name, commit, final, Entry(known["size"], known["sha256"]), report)
        return
    partial = final.with_name(f".{final.name}.partial")
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        if final.exists() and not partial.exists():  # a foreign hand's: its good files are used
            final.rename(partial)
        partial.mkdir(exist_ok=True)
    except OSError as error:
        raise disk_full(partial, error) or error from error
    listing = listing or source.listing(commit)
    chosen = _chosen(item, listing, source, partial, report)
    size = sum(listing.files[n].size or 0 for n in chosen.files)
    report(f"{item} at {commit[:12]}: {len(chosen.files)} files, {size / 1e6:.1f} MB")
    for name in chosen.files:
        _file(source, name, commit, partial, listing.files[name], report)
    files: dict[str, dict[str, Any]] = {
        name: {"size": (partial / name).stat().st_size, "sha256": sha256_of(partial / name)}
        for name in chosen.files
    }
    sums = "".join(f"{known['sha256']}  {name}\n" for name, known in sorted(files.items()))
    record = {
        **item.payload(),
        "commit": commit,
        "digest": hashlib.sha256(sums.encode()).hexdigest(),
        "bytes": sum(known["size"] for known in files.values()),
        "root": chosen.root,
        "splits": chosen.splits,
        "options": chosen.options,
        "files": files,
    }
    if not hold.held:
        raise _LostError
    write_json(record, partial / MANIFEST)
    try:
        for path in (p for p in partial.rglob("*") if p.is_file() and p.name != MANIFEST):
            if path.relative_to(partial).as_posix() not in files:
                path.unlink()
        partial.rename(final)
    except OSError as error:
        if manifest_of(final) is None:
            raise disk_full(final, error) or error from error
        shutil.rmtree(partial, ignore_errors=True)  # another writer was faster


def _chosen(item: Wanted, listing: Listing, source: Source, partial: Path, report: Report) -> Chosen:
    names = sorted(listing.files)
    if item.kind == "model":
        return model_files(names, item.name)
    readme = ""
    if "README.md" in names:
        _file(source, "README.md", listing.commit, partial, listing.files["README.md"], report)
        readme = (partial / "README.md").read_text(errors="replace")
    return data_files(names, readme, item.subset, item.name)


def _file(source: Source, name: str, commit: str, folder: Path, entry: Entry, report: Report) -> None:
    """Have file `name` in the folder, right by its digest; a wrong one is set aside and taken once more."""
    target = folder / name
    if target.is_file() and _fits(target, entry):
        return
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        for turn in range(2):
            own = _begun(target, entry)
            source.take(name, commit, own, entry.size)
            if _fits(own, entry):
                own.replace(target)
                return
            aside = target.with_name(f".{target.name}.wrong")
            own.replace(aside)
            if turn == 0:
                report(f"{name}: not what its digest says; it is set aside as {aside} and fetched again")
    except FileNotFoundError as error:
        raise _LostError from error
    except OSError as error:
        raise disk_full(target, error) or error from error
    raise InputError(
        f"{name} at {commit[:12]}: came twice with another digest than is said of it; the last is {aside}: "
        "try another HF_ENDPOINT or mirror, or later"
    )


def _begun(target: Path, entry: Entry) -> Path:
    """A file of this process's own that holds what an interrupted one has got of `target`."""
    own = target.with_name(f".{target.name}.{os.getpid()}-{secrets.token_hex(4)}.part")
    left = sorted(target.parent.glob(f".{target.name}.*.part"), key=lambda p: p.stat().st_size)
    if left and (entry.size is None or left[-1].stat().st_size <= entry.size):
        shutil.copyfile(left[-1], own)
    for path in left:
        path.unlink(missing_ok=True)
    return own
