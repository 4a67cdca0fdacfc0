"""From YAML to a validated config: defaults filled in, faults in one line that names the key."""

from __future__ import annotations

import copy
import functools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from prehoc.config.robustness import expanded, nearest
from prehoc.config.settings import Config
from prehoc.config.task import KINDS, MIN_BLOCKS
from prehoc.errors import InputError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
RESERVED = {"all", "benchmark", "benchmarks", "config", "figures", "known_components", "logs", "report"}
RESERVED |= {"tables"}


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with `over` laid upon it, block by block; lists and `population` are replaced whole."""
    merged = copy.deepcopy(dict(base))
    for key, value in over.items():
        if isinstance(value, Mapping) and isinstance(merged.get(key), Mapping) and key != "population":
            merged[key] = merge(merged[key], value)
        else:
            merged[key] = copy.deepcopy(value)
    return merged


def _nulls(value: Any) -> Any:
    """`value` with None for the text "null": Snakemake's --config reads null inside a block as text."""
    if isinstance(value, Mapping):
        return {key: _nulls(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_nulls(item) for item in value]
    return None if value == "null" else value


def _line(error: ValidationError, source: str) -> str:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    text = str(first["msg"]).removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        text = "unknown key; remove it or mend its spelling"
    elif first["type"] == "missing":
        inside = key.startswith("tasks.")
        text = "missing; add it to the task or to defaults" if inside else "missing; add it"
    elif first["type"] in ("model_type", "model_attributes_type", "dict_type"):
        text = "must be a block of keys, `key: value`"
    elif first["type"] == "list_type":
        text = "must be a list, `[a, b]`"
    return f"{source}: {key}: {text}{more}"


def resolve(given: Mapping[str, Any], source: str = "config.yaml") -> Config:
    """Validate `given`, filling each task's block from `defaults.all` and `defaults.<kind>`.

    Raises InputError with one line that names the key and the remedy.
    """
    raw: dict[str, Any] = _nulls(copy.deepcopy(dict(given)))
    defaults, tasks = raw.get("defaults") or {}, raw.get("tasks") or {}
    if not isinstance(defaults, Mapping) or not isinstance(tasks, Mapping):
        raise InputError(f"{source}: tasks and defaults must be blocks of named blocks")
    unknown = [k for k in defaults if k not in ("all", *KINDS)]
    if unknown:
        raise InputError(f"{source}: defaults.{unknown[0]}: unknown kind; use all, {', '.join(KINDS)}")
    resolved: dict[str, Any] = {}
    cells = expanded(raw.get("robustness"), tasks, source)
    crossed = {name: functools.reduce(merge, blocks) for name, blocks in cells.items()}
    for name, block in {**tasks, **crossed}.items():
        if not isinstance(name, str) or not NAME.fullmatch(name) or name in RESERVED:
            raise InputError(
                f"{source}: tasks: {name!r} is no task name; use letters, digits, '_' and '-', "
                f"at most 64, and none of {sorted(RESERVED)}"
            )
        if not isinstance(block, Mapping):
            raise InputError(f"{source}: tasks.{name}: must be a block of keys; give it at least a kind")
        kind = block.get("kind", (defaults.get("all") or {}).get("kind"))
        if kind not in KINDS:
            raise InputError(f"{source}: tasks.{name}.kind: {kind!r} is none of {', '.join(KINDS)}")
        filled = merge(merge(defaults.get("all") or {}, defaults.get(kind) or {}), block)
        filled["kind"] = kind
        if raw.get("seeds") is not None:
            filled["runs"] = _whole_blocks(raw["seeds"], filled.get("crossed"))
            forks = filled.get("forks")
            if isinstance(forks, dict) and isinstance(raw["seeds"], int):
                forks["trunks"] = min(forks.get("trunks", raw["seeds"]), max(raw["seeds"], 2))
        resolved[name] = filled
    raw["tasks"] = resolved
    try:
        config = Config.model_validate(raw)
    except ValidationError as error:
        raise InputError(_line(error, source)) from None
    for name in config.only or []:
        if name not in config.tasks:
            plain = [task for task in config.tasks if task not in config.cells()]
            near = nearest(name, config.tasks)
            said = f"did you mean {near}? Tasks are" if near else "tasks are"
            raise InputError(f"{source}: only: no task {name!r}; {said} {', '.join(plain)}")
    if not config.enabled():
        raise InputError(f"{source}: tasks: none is switched on; set enabled: true on one")
    return config


def _whole_blocks(seeds: Any, crossed: Any) -> Any:
    """`seeds`, for a crossed task raised to whole blocks of its design, and to enough of them."""
    if not isinstance(seeds, int) or not isinstance(crossed, list) or not crossed:
        return seeds
    cells = 2 ** len(crossed)
    return max(-(-seeds // cells), MIN_BLOCKS) * cells


def load(path: str | Path | Sequence[str | Path], base: Path | None = None) -> Config:
    """Read and validate a YAML config file, or several, each laid over those before it.

    What is not whole in itself, with `seed` and `defaults`, is laid over `base`, if that exists.
    """
    paths = [path] if isinstance(path, str | Path) else list(path)
    raw: Mapping[str, Any] = {}
    for one in paths:
        raw = merge(raw, _read_yaml(one))
    if not {"seed", "defaults"} <= set(raw) and base is not None and base.exists():
        raw = merge(_read_yaml(base), raw)
    return resolve(raw, " + ".join(map(str, paths)))


def load_laid(paths: Sequence[str | Path], base: Path, over: Mapping[str, Any]) -> Config:
    """Read and validate a config as `snakemake --configfile PATHS --config OVER` does.

    Each file is laid over those before it, `base` being the first.  Raises InputError that names the
    files and the key.
    """
    raw = _read_yaml(base)
    for path in paths:
        raw = merge(raw, _read_yaml(path))
    return resolve(merge(raw, over), " + ".join(map(str, [base, *paths])))


def _read_yaml(path: str | Path) -> Mapping[str, Any]:
    try:
        raw = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such config file") from None
    except (UnicodeDecodeError, OSError) as error:
        raise InputError(f"{path}: not a text file in UTF-8: {error}") from None
    except yaml.YAMLError as error:
        raise InputError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(raw, Mapping):
        raise InputError(f"{path}: must hold a block of keys")
    return raw


def json_schema() -> dict[str, Any]:
    """The JSON schema of a raw config file: task blocks may leave to `defaults` what those hold."""
    schema = Config.model_json_schema()
    blocks = "Task Model Data Arithmetic Method Optimiser Outcome Outputs Forks Resources"
    for block in blocks.split():
        schema["$defs"][block].pop("required", None)
    return schema
