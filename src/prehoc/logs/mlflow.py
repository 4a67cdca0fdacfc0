"""MLflow's file store: mlruns/EXPERIMENT_ID/RUN_ID/{meta.yaml,metrics/NAME,params/NAME,tags/NAME}."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from prehoc.errors import InputError
from prehoc.logs.files import natural, read_text, read_yaml, relative
from prehoc.logs.run import Notes, Options, Point, Run, scalar, seed_of

# mlflow.entities.RunStatus; old stores write the number, new ones may write the name.
_STATUS = {
    "1": "running",
    "2": "running",
    "3": "finished",
    "4": "failed",
    "5": "aborted",
    "RUNNING": "running",
    "SCHEDULED": "running",
    "FINISHED": "finished",
    "FAILED": "failed",
    "KILLED": "aborted",
}


def read(src: Path, options: Options, notes: Notes) -> list[Run]:
    """The runs of a store, an experiment or one run, in the order started; deleted ones are set aside."""
    if not src.exists():
        raise InputError(f"{src}: no such file or folder; check the path")
    databases = [
        p for p in ([src] if src.is_file() else [src / "mlflow.db"]) if p.suffix == ".db" and p.is_file()
    ]
    if databases and not (src / "mlruns").is_dir():
        raise InputError(
            f"{databases[0]}: MLflow's database; only file stores are read; write "
            "client.get_metric_history() of the runs to a CSV, then prehoc import csv"
        )
    if src.is_file():
        return []
    if src.name != "mlruns" and not (src / "meta.yaml").is_file() and (src / "mlruns").is_dir():
        src = src / "mlruns"
    if _is_run(src):
        experiments = [(src.parent, [src])]
    elif (src / "meta.yaml").is_file():
        experiments = [(src, _runs_of(src))]
    else:
        folders = [f for f in _folders(src) if (f / "meta.yaml").is_file() or _runs_of(f)]
        experiments = [(f, _runs_of(f)) for f in folders]
        if (src / ".trash").is_dir() and (n := len(_folders(src / ".trash"))):
            notes.aside("experiment", "deleted (.trash)", ".trash", n)
    runs = []
    for folder, found in experiments:
        meta = read_yaml(folder / "meta.yaml", notes) if (folder / "meta.yaml").is_file() else None
        task = str(meta.get("name") or folder.name) if isinstance(meta, dict) else folder.name
        made = [_run(path, task, src, notes) for path in found]
        runs += [run for _, run in sorted((m for m in made if m is not None), key=lambda m: m[0])]
    return runs


def _folders(folder: Path) -> list[Path]:
    return sorted((f for f in folder.iterdir() if f.is_dir() and not f.name.startswith(".")), key=natural)


def _is_run(folder: Path) -> bool:
    return (folder / "meta.yaml").is_file() and any(
        (folder / d).is_dir() for d in ("metrics", "params", "tags")
    )


def _runs_of(folder: Path) -> list[Path]:
    return [f for f in _folders(folder) if _is_run(f)]


def _run(folder: Path, task: str, src: Path, notes: Notes) -> tuple[tuple[int, str], Run] | None:
    meta = read_yaml(folder / "meta.yaml", notes)
    if not isinstance(meta, dict):
        notes.bad(str(folder / "meta.yaml"), "no run's meta.yaml", "restore it", "run")
        return None
    name = relative(folder, src)
    if meta.get("lifecycle_stage") == "deleted":
        notes.aside("run", "deleted in MLflow", name)
        return None
    run = Run(name, task, status=_STATUS.get(str(meta.get("status")), "unknown"))
    run.hp = {key: scalar(text) for key, text in _texts(folder / "params")}
    tags = dict(_texts(folder / "tags"))
    run.hp |= {f"tags.{key}": scalar(text) for key, text in tags.items() if not key.startswith("mlflow.")}
    run.logged_seed = seed_of(run.hp)
    for metric, path in _files(folder / "metrics"):
        for line, text in enumerate(read_text(path).split("\n"), start=1):
            words = text.split()
            if len(words) in (2, 3, 5):  # timestamp value [step [dataset digest]]
                depth: Any = words[2] if len(words) > 2 else 0
                run.series.setdefault(metric, []).append(Point(depth, words[1], str(path), line))
            elif words:
                fault = "not `timestamp value step`"
                notes.bad(f"{path}, line {line}", fault, "mend or remove the line")
    started = meta.get("start_time")
    return (started if isinstance(started, int) else 0, folder.name), run


def _files(folder: Path) -> list[tuple[str, Path]]:
    """(name, path) of every file below; a name with slashes is nested folders."""
    found = []
    for above, below, names in os.walk(folder):
        below.sort()
        found += [Path(above, n) for n in sorted(names) if not n.startswith(".")]
    return [(path.relative_to(folder).as_posix(), path) for path in found]


def _texts(folder: Path) -> list[tuple[str, str]]:
    return [(name, read_text(path).strip()) for name, path in _files(folder)]
