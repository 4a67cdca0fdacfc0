"""Reading, checking and writing tables, atomically."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa

from prehoc.errors import InputError, disk_full
from prehoc.tables.decisions import DECISIONS
from prehoc.tables.exact import EXACT
from prehoc.tables.results import RESULTS

SCHEMAS: dict[str, pa.DataFrameSchema] = RESULTS | DECISIONS | EXACT


def check(name: str, frame: pd.DataFrame, source: str | Path = "") -> pd.DataFrame:
    """Return `frame` with the dtypes of table `name`; raise InputError naming the column at fault."""
    schema = SCHEMAS[name]
    columns = list(schema.columns)
    where = f"{source}: " if source else ""
    missing = [c for c in columns if c not in frame.columns]
    if missing:
        raise InputError(f"{where}table {name!r} lacks the column(s) {missing}; it needs {columns}")
    extra = [c for c in frame.columns if c not in columns]
    if extra:
        raise InputError(f"{where}table {name!r} has unknown column(s) {extra}; remove them")
    for column, spec in schema.columns.items():
        given = frame[column]
        if str(spec.dtype) == "int64" and given.dtype.kind == "f":
            odd = given[~(given % 1 == 0)]
            if len(odd):
                raise InputError(
                    f"{where}table {name!r}: column {column!r} takes whole numbers, not {odd.iloc[0]}"
                )
        if str(spec.dtype) == "bool":
            frame = frame.assign(**{column: _flags(given, f"{where}table {name!r}: column {column!r}")})
    try:
        text = {c: "str" for c, spec in schema.columns.items() if str(spec.dtype).startswith("str")}
        kept = frame[columns].reset_index(drop=True)
        return schema.validate(kept.astype(text) if kept.empty else kept)
    except (pa.errors.SchemaError, pa.errors.SchemaErrors) as error:
        line = " ".join(str(error).split())
        raise InputError(f"{where}table {name!r} is not as declared: {line[:300]}") from error


_FLAGS = {"true": True, "false": False, "1": True, "0": False, "1.0": True, "0.0": False}


def _flags(given: pd.Series, what: str) -> pd.Series:
    """A column of true and false; 0, 1 and the words are taken, anything else is an InputError."""
    if given.dtype == bool:
        return given
    made = given.astype(str).str.strip().str.lower().map(_FLAGS)
    if made.isna().any():
        row = int(np.flatnonzero(made.isna())[0])
        raise InputError(f"{what} takes true or false, not {given.iloc[row]!r} (row {row + 1}); mend it")
    return made.astype(bool)


def in_order(name: str, frame: pd.DataFrame) -> pd.DataFrame:
    """`frame` sorted by the key of table `name`: the same rows in the same order, however sharded."""
    return frame.sort_values(list(SCHEMAS[name].unique or []), kind="stable", ignore_index=True)


def empty(name: str) -> pd.DataFrame:
    """An empty table `name` with its columns and dtypes."""
    columns = {c: pd.Series(dtype=str(spec.dtype)) for c, spec in SCHEMAS[name].columns.items()}
    return pd.DataFrame(columns)


def joined(name: str, parts: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Parts of table `name` one below the other; an empty table where none has rows."""
    full = [part for part in parts if len(part)]
    return pd.concat(full, ignore_index=True) if full else empty(name)


@contextlib.contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is flushed to disk and renamed to `path`.

    Raises DiskFullError, naming `path`, where there is no space for it; `path` is then as it was.
    """
    target = Path(path)
    temporary: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{target.stem}.", suffix=target.suffix, dir=target.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        with temporary.open("rb+") as stream:
            os.fsync(stream.fileno())
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(target)
    except Exception as error:
        full = disk_full(target, error)
        if full is None:
            raise
        raise full from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def write(name: str, frame: pd.DataFrame, path: str | Path) -> None:
    """Check `frame` as table `name`, then write it as Parquet or CSV, by the ending of `path`."""
    checked = check(name, frame, path)
    with atomic(path) as temporary:
        if Path(path).suffix == ".parquet":
            checked.to_parquet(temporary, index=False)
        else:
            checked.to_csv(temporary, index=False, float_format="%.10g")


def read(name: str, path: str | Path) -> pd.DataFrame:
    """Read table `name` and check it.

    Raises InputError if the file is missing, unreadable, or not as declared.
    """
    try:
        if Path(path).suffix == ".parquet":
            frame = pd.read_parquet(path)
        else:
            text = {c: "str" for c, s in SCHEMAS[name].columns.items() if str(s.dtype).startswith("str")}
            frame = pd.read_csv(path, dtype=text, keep_default_na=True)
            for column in text:
                if column in frame:
                    frame[column] = frame[column].fillna("")
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except (ValueError, OSError) as error:
        raise InputError(f"{path}: cannot be read as a table ({error}); delete it and run again") from error
    return check(name, frame, path)


def write_json(payload: Mapping[str, Any], path: str | Path) -> None:
    """Write a JSON object atomically, keys in the order given, NaN refused."""
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(payload, indent=2, allow_nan=False, ensure_ascii=False) + "\n")
