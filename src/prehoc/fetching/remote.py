"""The Hub, or a mirror that speaks its API (HF_ENDPOINT): what a repository holds, and its bytes.

The library's own downloads begin again after an interruption (each process writes a file of its own), so
only its listing and its resuming `http_get` are used here.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from prehoc.config.hub import Wanted
from prehoc.errors import InputError, disk_full

_YES = ("1", "true", "yes", "on")


@dataclass(frozen=True)
class Entry:
    """What is known of a file before it is here: bytes, and its sha256 or git's digest of a blob."""

    size: int | None
    sha256: str | None
    blob: str | None = None


@dataclass(frozen=True)
class Listing:
    """A repository at one commit."""

    commit: str
    files: dict[str, Entry]


class Remote:
    """Requests about one model or data set."""

    def __init__(self, item: Wanted) -> None:
        self.item = item
        self.type = "model" if item.kind == "model" else "dataset"
        self.endpoint = (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")

    def listing(self, revision: str | None) -> Listing:
        """The commit that a revision means (None: the main branch's), and its files.

        Raises InputError, saying what to do, where the Hub can't be asked or refuses.
        """
        with self._plain():
            from huggingface_hub import HfApi

            info = HfApi(endpoint=self.endpoint).repo_info(
                self.item.name, revision=revision, repo_type=self.type, files_metadata=True, timeout=30
            )
            files = {}
            for file in getattr(info, "siblings", None) or []:
                sha256 = file.lfs.sha256 if file.lfs else None
                size = file.lfs.size if file.lfs else file.size
                files[file.rfilename] = Entry(size, sha256, None if file.lfs else file.blob_id)
            if not info.sha:
                raise InputError(
                    f"{self.endpoint}: gives no commit of {self.item}; it is no mirror of the Hub"
                )
            return Listing(info.sha, files)

    def take(self, name: str, commit: str, path: Path, size: int | None) -> None:
        """Write a file of a commit to `path`, or what `path` lacks of it.

        Raises InputError, or DiskFullError; what has come is kept.
        """
        there = path.stat().st_size if path.exists() else 0
        if there and there == size:
            return
        with path.open("r+b" if there else "wb") as stream, self._plain():
            from huggingface_hub import hf_hub_url
            from huggingface_hub.file_download import http_get
            from huggingface_hub.utils import build_hf_headers

            stream.seek(there)
            url = hf_hub_url(
                self.item.name, name, repo_type=self.type, revision=commit, endpoint=self.endpoint
            )
            # identity: a packed answer could not be gone on with from the middle
            headers = {**build_hf_headers(), "Accept-Encoding": "identity"}
            try:
                http_get(url, stream, resume_size=there, headers=headers)
                stream.flush()
                os.fsync(stream.fileno())
            except OSError as error:
                raise disk_full(path, error) or error from error

    @contextlib.contextmanager
    def _plain(self) -> Iterator[None]:
        """One line for whatever goes wrong between here and the Hub."""
        if os.environ.get("HF_HUB_OFFLINE", "").lower() in _YES:
            raise InputError(
                f"{self.item}: not whole in the store, and HF_HUB_OFFLINE forbids the network; fetch where "
                "there is internet (snakemake fetch), or bring it there by `prehoc fetch --to` and `--from`"
            )
        try:
            yield
        except InputError:
            raise
        except Exception as error:  # the library and its transport raise two dozen kinds
            raise InputError(self._said(error)) from error

    def _said(self, error: Exception) -> str:
        from huggingface_hub import errors

        where = f"{self.item.kind}.name: {self.item.name}"
        page = f"{self.endpoint}/{'' if self.item.kind == 'model' else 'datasets/'}{self.item.name}"
        status = getattr(getattr(error, "response", None), "status_code", None)
        line = " ".join(str(error).split())[:160]
        if isinstance(error, errors.GatedRepoError) or status == 403:
            return f"{where}: gated: accept the licence at {page}, and set HF_TOKEN to your token"
        if isinstance(error, errors.RevisionNotFoundError):
            asked = f"{self.item.kind}.revision: {self.item.revision}"
            return f"{asked}: {self.item.name} has no such revision; choose from {page}/commits/main"
        if isinstance(error, errors.RepositoryNotFoundError) or status == 401:
            have = f"{where}: no such {self.type} at {self.endpoint}, or a private one"
            return f"{have}: mend the name, or set HF_TOKEN"
        if isinstance(error, errors.HFValidationError):
            return f"{where}: no name of the Hub, and no file or folder: {line}"
        if status is not None:
            return f"{where}: {self.endpoint} answers {status}; try later: what has come is kept ({line})"
        return (
            f"{where}: {self.endpoint} does not answer; check the network, or set HF_ENDPOINT to a mirror; "
            f"what has come is kept ({type(error).__name__}: {line})"
        )
