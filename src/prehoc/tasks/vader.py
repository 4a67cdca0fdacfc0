"""Sentences of four domains with their mean sentiment, out of the source archive of vaderSentiment 0.5.

Hutto and Gilbert 2014, ICWSM-14 (MIT licence): 10,605 movie-review, 3,708 product-review, 5,190 editorial
and 4,200 tweet snippets, each rated by 20 people from -4 to 4. The archive on the package index has
them; the installed package has not, so `make env` keeps the archive under the environment's `share/prehoc`.
"""

from __future__ import annotations

import hashlib
import io
import sys
import tarfile
import zipfile
from pathlib import Path

import pandas as pd

from prehoc.errors import InputError

ARCHIVE = "vaderSentiment-0.5.zip"
SHA256 = "5d97c37f3ef6e24eef331122e055dbedafeb6a56abfce0608b326701116ea49a"
DOMAINS = {
    "movies": "movieReviewSnippets",
    "products": "amazonReviewSnippets",
    "editorials": "nytEditorialSnippets",
    "tweets": "tweets",
}
_INNER = "vaderSentiment-0.5/additional_resources/hutto_ICWSM_2014.tar.gz"


def archive() -> Path:
    """Where the archive is kept: share/prehoc of this environment."""
    return Path(sys.prefix) / "share" / "prehoc" / ARCHIVE


def vader_domains() -> pd.DataFrame:
    """Columns text, score (mean rating), label (1 where that is above 0), domain; without snippets rated 0.

    Raises InputError where the archive is missing or is another.
    """
    path = archive()
    if not path.is_file():
        raise InputError(
            f"packaged:vader-domains: no {path}; `make env` puts it there, or pip download --no-deps "
            f"--no-binary :all: vaderSentiment==0.5 -d {path.parent}"
        )
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != SHA256:
        raise InputError(f"packaged:vader-domains: {path} is not that of 0.5; delete it and make env")
    frames = []
    with zipfile.ZipFile(io.BytesIO(content)) as outer:
        inner = io.BytesIO(outer.read(_INNER))
    with tarfile.open(fileobj=inner) as files:
        for domain, name in DOMAINS.items():
            file = files.extractfile(f"hutto_ICWSM_2014/{name}_GroundTruth.txt")
            assert file is not None
            frames.append(_read(file.read().decode("utf-8", errors="replace"), domain))
    made = pd.concat(frames, ignore_index=True)
    made = made[made["score"] != 0].reset_index(drop=True)
    return made.assign(label=(made["score"] > 0).astype(int))[["text", "score", "label", "domain"]]


def _read(text: str, domain: str) -> pd.DataFrame:
    """Lines of id, score and text, parted by tabs."""
    rows = [line.split("\t", 2) for line in text.split("\n") if line.count("\t") >= 2]
    texts = [row[2].strip() for row in rows]
    return pd.DataFrame({"text": texts, "score": [float(row[1]) for row in rows], "domain": domain})
