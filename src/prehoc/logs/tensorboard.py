"""TensorBoard event files, read by tensorboard itself: old `simple_value` and new tensor scalars."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

from prehoc.errors import InputError
from prehoc.logs.files import natural, relative, task_of, walk
from prehoc.logs.run import Notes, Options, Point, Run, seed_of


def read(src: Path, options: Options, notes: Notes) -> list[Run]:
    """One run a folder of event files; one that `add_hparams` alone wrote lends its values to that above.

    Raises InputError naming the extra to install where tensorboard is missing.
    """
    folders: dict[Path, list[Path]] = {}
    for path in walk(src, options.not_read):
        if ".tfevents." in path.name or path == src:
            folders.setdefault(path.parent, []).append(path)
    if not folders:
        return []
    loader = _loader()
    runs: dict[Path, Run] = {}
    settings: dict[Path, dict[str, Any]] = {}
    for folder in sorted(folders, key=natural):
        name = relative(folder, src) if src.is_dir() else src.name
        runs[folder] = Run(name, task_of(folder, src if src.is_dir() else folder))
        for path in sorted(folders[folder], key=natural):
            _read_file(path, runs[folder], settings.setdefault(folder, {}), loader, notes)
    for folder, hp in settings.items():
        lender = folder.parent in runs and folder.parent != folder and hp
        taker = runs[folder.parent] if lender else runs[folder]
        taker.hp.update(hp)
        taker.logged_seed = seed_of(taker.hp)
        if lender and not any(len(points) > 1 for points in runs[folder].series.values()):
            del runs[folder]
    return list(runs.values())


def _loader() -> Any:
    try:
        from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader
    except ImportError:
        raise InputError('event files need tensorboard: pip install "prehoc[logs]"') from None
    return LegacyEventFileLoader


def _read_file(path: Path, run: Run, hp: dict[str, Any], loader: Any, notes: Notes) -> None:
    from google.protobuf.message import DecodeError

    records, whole = _framed(path)
    got = 0
    try:
        for event in loader(str(path)).Load():
            got += 1
            for value in event.summary.value:
                if value.metadata.plugin_data.plugin_name == "hparams":
                    hp.update(_hparams(value))
                elif (number := _number(value)) is not None:
                    point = Point(event.step, number, f"{path}, {value.tag}, event", got)
                    run.series.setdefault(value.tag, []).append(point)
    except DecodeError:
        got = min(got, records - 1)
    if got < records:
        fault = f"a damaged record: {got} of {records} events can be read"
        notes.bad(str(path), fault, "restore the file", "file's end")
    elif not whole:
        where = relative(path, path.parent.parent)
        notes.aside(
            "file", "its last record is cut short (a run killed or still writing); the rest is read", where
        )


def _framed(path: Path) -> tuple[int, bool]:
    """How many whole records (length, checksum, content, checksum) a file has, and if it ends so."""
    content, at, records = path.read_bytes(), 0, 0
    while at + 12 <= len(content):
        end = at + 16 + struct.unpack_from("<Q", content, at)[0]
        if end > len(content):
            break
        at, records = end, records + 1
    if len(content) and not records:
        raise InputError(
            f"{path}: no TensorBoard event file; remove it, or restore it from where it was written"
        )
    return records, at == len(content)


def _number(value: Any) -> float | None:
    """A scalar summary's number; None for histograms, images, texts."""
    if value.HasField("simple_value"):
        return float(value.simple_value)
    if not value.HasField("tensor") or value.tensor.tensor_shape.dim or value.tensor.string_val:
        return None
    from tensorboard.util import tensor_util

    array = tensor_util.make_ndarray(value.tensor)
    return float(array) if array.size == 1 and array.dtype.kind in "fiu" else None


def _hparams(value: Any) -> dict[str, Any]:
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    data = HParamsPluginData.FromString(value.metadata.plugin_data.content)
    made = {}
    for key, held in data.session_start_info.hparams.items():
        kind = held.WhichOneof("kind")
        if kind is not None:
            given = getattr(held, kind)
            made[key] = int(given) if kind == "number_value" and given % 1 == 0 else given
    return made
