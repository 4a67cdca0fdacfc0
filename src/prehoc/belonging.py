"""Which files under results are of a config: by the digest that jobs write, else by their times."""

from __future__ import annotations

import json
from pathlib import Path

from prehoc.config import Config, digest, stage_config


def written(results: Path, config: Config, task: str, stage: str) -> Path:
    """The file of a stage's config: its time is that of the config's first use."""
    return results / "config" / task / f"{stage}-{digest(stage_config(config, task, stage))}.json"


def is_newer(path: Path, begun: Path) -> bool:
    """Whether a file is there and was made under the stage's config, as far as times can tell."""
    try:
        return path.stat().st_mtime_ns >= begun.stat().st_mtime_ns
    except OSError:
        return False


def ours(paths: list[Path], kind: str, begun: Path, what: str, notes: list[str]) -> list[Path]:
    """Those of a task's tables that are there and of the stage config `begun`; `notes` tell of the others.

    The JSON that a job writes beside its table names the stage config by its digest; where it does not,
    as in older versions, times must do.
    """
    kept, other, old = [], 0, 0
    for path in paths:
        named = _stage_of(path.with_name(path.name.replace(kind, "engine_", 1)).with_suffix(".json"))
        if named is None and is_newer(path, begun):
            kept.append(path)
        elif path.exists():
            if named is None:
                old += 1
            elif begun.stem.endswith(f"-{named}"):
                kept.append(path)
            else:
                other += 1
    for count, why in ((other, "of another config"), (old, "older than this config")):
        if count:
            notes.append(f"{what % count} {why}: not counted")
    return kept


def _stage_of(path: Path) -> str | None:
    """The digest of the stage config under which a job worked, as its JSON says; None where it does not."""
    try:
        said = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    stage = said.get("stage") if isinstance(said, dict) else None
    return stage if isinstance(stage, str) else None
