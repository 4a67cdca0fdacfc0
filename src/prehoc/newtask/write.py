"""A task block as YAML with comments, in a file of its own or added to an overlay file."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from prehoc.config import Config, resolve
from prehoc.config.hub import asked
from prehoc.config.loading import merge
from prehoc.errors import InputError
from prehoc.preflight import preflight
from prehoc.tables import atomic
from prehoc.tasks.data import cut_splits, load_rows

COMMENT = 52  # column at which comments begin, where the line is shorter
WIDE = 100  # columns beyond which a block is written one key a line


def scalar(value: Any) -> str:
    """A value as YAML on one line."""
    texts = [v for v in (value if isinstance(value, list) else [value]) if isinstance(v, str)]
    plain = all(text.isprintable() for text in texts)
    style = {"default_flow_style": True} if plain else {"default_flow_style": True, "default_style": '"'}
    text = yaml.safe_dump([value], allow_unicode=plain, width=1 << 20, **style)
    return str(text).strip()[1:-1]


def _braces(block: Mapping[str, Any]) -> str:
    return "{" + ", ".join(f"{scalar(k)}: {scalar(v)}" for k, v in block.items()) + "}"


def _line(indent: int, text: str, comment: str = "") -> str:
    made = "  " * indent + text
    return f"{made.ljust(COMMENT)}  # {comment}".rstrip() if comment else made


def task_lines(name: str, block: Mapping[str, Any], comments: Mapping[str, str]) -> list[str]:
    """The block as lines of YAML, the task's name first and not indented; a short one stays in braces."""
    lines = [f"{name}:"]
    for key, value in block.items():
        own = comments.get(key, "")
        if not isinstance(value, Mapping):
            lines.append(_line(1, f"{key}: {scalar(value)}", own))
            continue
        inner = {c.partition(".")[2]: t for c, t in comments.items() if c.startswith(f"{key}.")}
        inner = {k: t for k, t in inner.items() if k in value}
        if len(key) + len(_braces(value)) < WIDE:
            said = "; ".join(t for t in (own, *inner.values()) if t)
            lines.append(_line(1, f"{key}: {_braces(value)}", said))
            continue
        lines.append(_line(1, f"{key}:", own))
        lines += [_line(2, f"{scalar(k)}: {scalar(v)}", inner.get(k, "")) for k, v in value.items()]
    return lines


def whole(name: str, lines: list[str]) -> str:
    """An overlay file with one task."""
    head = "# Written by prehoc new-task. What is left out stands in config.yaml, under defaults.\n"
    return f"{head}only: [{name}]\ntasks:\n{textwrap.indent(chr(10).join(lines), '  ')}\n"


def added(text: str, name: str, lines: list[str], source: str) -> str:
    """An overlay file's text with one more task, its own lines and comments kept.

    Raises InputError where the file is not laid out so that a task can be put in.
    """
    refuse = InputError(f"{source}: a task cannot be put in there; name another file with --out")
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise InputError(f"{source}: not YAML: {' '.join(str(error).split())[:160]}") from None
    if not isinstance(node, yaml.MappingNode):
        raise refuse
    parts = {key.value: value for key, value in node.value}
    tasks, only = parts.get("tasks"), parts.get("only")
    if (
        not isinstance(tasks, yaml.MappingNode)
        or tasks.flow_style
        or not tasks.value
        or "defaults" in parts
    ):
        raise refuse
    first = tasks.value[0][0].start_mark
    edits = [(first.index - first.column, first.index - first.column,
              textwrap.indent("\n".join(lines) + "\n", " " * first.column))]  # fmt: skip
    if only is not None and only.tag != "tag:yaml.org,2002:null":
        if not isinstance(only, yaml.SequenceNode) or not only.flow_style:
            raise refuse
        names = [*(item.value for item in only.value), name]
        edits.append((only.start_mark.index, only.end_mark.index, f"[{', '.join(names)}]"))
    for start, end, new in sorted(edits, reverse=True):
        text = text[:start] + new + text[end:]
    return text


def text_for(name: str, lines: list[str], out: Path, force: bool) -> str:
    """What `out` is to hold: the task alone, or added to the tasks that it has.

    Raises InputError where `out` has the task (unless `force`), or others that `force` would lose.
    """
    if not out.exists():
        return whole(name, lines)
    try:
        text = out.read_text(encoding="utf-8")
        raw = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{out}: no config file: {' '.join(str(error).split())[:120]}") from None
    tasks = raw.get("tasks") if isinstance(raw, Mapping) else None
    if not isinstance(tasks, Mapping):
        if force:
            return whole(name, lines)
        raise InputError(f"{out}: exists and holds no tasks; name another --out, or --force to replace it")
    if name not in tasks:
        return added(text, name, lines, str(out))
    if not force:
        raise InputError(
            f"{out}: has a task {name!r} already; --force replaces it, --out names another file"
        )
    if len(tasks) > 1:
        others = ", ".join(str(t) for t in tasks if t != name)
        raise InputError(f"{out}: holds {others} too; remove {name!r} there, or name another --out")
    return whole(name, lines)


def _cuts(config: Config, name: str) -> None:
    """Cut local data into splits as training will; InputError where a class or a row is lacking."""
    task = config.tasks[name]
    if task.kind == "text_classification" and task.data is not None and asked("data", task.data) is None:
        data = task.data.model_dump(mode="json")
        rows, named = load_rows(data)
        cut_splits(data, rows, named, config.seed, None)


def save(name: str, lines: list[str], block: Mapping[str, Any], out: Path, base: Path, force: bool) -> None:
    """Write the task into `out`, after checking it as `prehoc check` does.

    Raises InputError, and writes nothing, for a fault.
    """
    if not base.is_file():
        raise InputError(f"{base}: not here; run this in the project's folder, where config.yaml lies")
    default = yaml.safe_load(base.read_text())
    if name in (default.get("tasks") or {}):
        raise InputError(f"{name}: config.yaml has a task of that name; choose another")
    text = text_for(name, lines, out, force)
    try:
        raw = yaml.safe_load(text)
    except yaml.YAMLError:
        raw = None
    if not isinstance(raw, Mapping) or (raw.get("tasks") or {}).get(name) != dict(block):
        raise InputError(f"{out}: the block cannot be written as YAML there; name another --out")
    merged = merge(default, raw)
    alone = resolve({**merged, "only": [name]}, str(out))
    preflight(alone)
    _cuts(alone, name)
    resolve(merged, str(out))
    out.parent.mkdir(parents=True, exist_ok=True)
    with atomic(out) as temporary:
        temporary.write_text(text, encoding="utf-8")
