"""Rows of data as prompts and completions in tokens, cut into splits.

Columns are put into templates; where the tokeniser has a chat template the prompt is the user's turn
and the completion the assistant's. Rows that take more than model.max_length tokens are left out.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from prehoc.config.generation import fields_of
from prehoc.datafile import ENDINGS, ending, rows_of
from prehoc.errors import InputError
from prehoc.tasks import data as data_module
from prehoc.tasks.code_data import READERS as CODE
from prehoc.tasks.code_data import code_rows
from prehoc.tasks.generated_data import NAMES, generated
from prehoc.tasks.judges import Row

SPARE = {"gsm-symbolic": 4}  # rows generated for each that is wanted, as long ones are left out
log = logging.getLogger("prehoc")
Chat = Callable[[str, str], tuple[str, str]]


@dataclass(frozen=True)
class Example:
    """One row of the data, its number there from 1, its prompt and its completion in tokens.

    An end token is a completion's last.
    """

    row: Row
    prompt: list[int]
    completion: list[int]
    number: int


def rendered(template: str, row: Row) -> str:
    """A template with a row's columns in it."""
    return template.format_map({k: row[k] for k in fields_of(template)})


def read_rows(data: dict[str, Any]) -> tuple[list[dict[str, Any]], np.ndarray]:
    """All rows of a `data` block as dicts, and each one's named split ("" where there is one pool).

    Files keep their cells as they are written: no text becomes a number. Raises InputError.
    """
    name = data["name"]
    short = name.removeprefix("packaged:")
    path = Path(name)
    if name.startswith("packaged:") and short in NAMES:
        wanted = data["train"] + data["val"] + data["target"]
        rows = generated(short, data["subset"], wanted * SPARE.get(short, 1))
        return rows, np.full(len(rows), "")
    if name.startswith("packaged:") and short in CODE:
        rows = [{str(k): v for k, v in row.items()} for row in CODE[short]().to_dict("records")]
        return rows, np.full(len(rows), "")
    if path.is_file() and ending(path) in ENDINGS:
        rows = _file_rows(path)
        return rows, np.full(len(rows), "")
    frame = data_module.frame_of(data)
    split = frame["__split__"].to_numpy(str) if "__split__" in frame else np.full(len(frame), "")
    records = frame.drop(columns="__split__", errors="ignore").to_dict("records")
    return [{str(k): v for k, v in row.items()} for row in records], split


def _file_rows(path: Path) -> list[dict[str, Any]]:
    try:
        return list(rows_of(path))
    except InputError as error:
        raise InputError(f"data.name: {error}") from None
    except OSError as error:
        raise InputError(
            f"data.name: {path}: cannot be read: {' '.join(str(error).split())[:200]}"
        ) from error


def examples(config: dict[str, Any], tokeniser: Any, ends: Sequence[int]) -> dict[str, list[Example]]:
    """The examples of each split, from a stage config; `ends` are the tokens that end a text.

    Raises InputError for columns that are not there, too few rows, or a chat template that is not
    there or does not put the answer behind the prompt.
    """
    data, block, most = config["data"], config["generation"], config["model"]["max_length"]
    rows, named = read_rows(data)
    if block.get("judge") == "tests":
        rows = code_rows(rows)
    _columns(data["name"], block, rows)
    needed = [n for key in ("prompt", "completion") for n in fields_of(block[key])]
    whole = np.array([all(not _missing(row[n]) for n in needed) for row in rows], bool)
    chat = _chat(block["chat"], tokeniser)
    texts = [
        chat(rendered(block["prompt"], r), rendered(block["completion"], r))
        for r, ok in zip(rows, whole, strict=True)
        if ok
    ]
    prompts, completions = _tokens(tokeniser, texts, block["chat"] != "never" and chat is not _plain, ends)
    kept = [(i, r) for i, (r, ok) in enumerate(zip(rows, whole, strict=True), start=1) if ok]
    made = [Example(r, p, c, i) for (i, r), p, c in zip(kept, prompts, completions, strict=True)]
    fits = np.array([len(e.prompt) + len(e.completion) <= most for e in made], bool)
    if not fits.all() or not whole.all():
        log.info(
            f"{data['name']}: of {len(rows)} rows, {int((~whole).sum())} lack a column's value and "
            f"{int((~fits).sum())} take more than model.max_length = {most} tokens; they are left out"
        )
    made = [e for e, ok in zip(made, fits, strict=True) if ok]
    pool = data_module.Rows(
        [""] * len(made), np.zeros(len(made), np.int64), ["all"], np.full(len(made), "all")
    )
    try:
        splits = data_module.cut_splits(data, pool, named[whole][fits], config["seed"], None)
    except InputError as error:
        if fits.all():
            raise
        raise InputError(
            f"{error}, or raise model.max_length: {most} leaves {int((~fits).sum())} rows out"
        ) from None
    return {split: [made[i] for i in chosen] for split, chosen in splits.items()}


def _missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and bool(pd.isna(value)))


def _columns(name: str, block: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    if not rows:
        raise InputError(f"data.name: {name} holds no rows; give data")
    for key in ("prompt", "completion"):
        for column in fields_of(block[key]):
            lacking = next((row for row in rows if column not in row), None)
            if lacking is not None:
                have = ", ".join(map(str, lacking))
                raise InputError(f"generation.{key}: {name} has no column {column!r}; it has {have}")


def _plain(prompt: str, completion: str) -> tuple[str, str]:
    return prompt, completion


def _chat(wanted: str, tokeniser: Any) -> Chat:
    has = bool(getattr(tokeniser, "chat_template", None))
    if wanted == "never" or (wanted == "auto" and not has):
        return _plain
    if not has:
        raise InputError("generation.chat: always, but the tokeniser has no chat template; set never")

    def turns(prompt: str, completion: str) -> tuple[str, str]:
        user = [{"role": "user", "content": prompt}]
        both = [*user, {"role": "assistant", "content": completion}]
        try:
            asked = tokeniser.apply_chat_template(user, tokenize=False, add_generation_prompt=True)
            full = tokeniser.apply_chat_template(both, tokenize=False)
        except Exception as error:  # a template is a program, and raises what it likes
            line = " ".join(str(error).split())[:120]
            raise InputError(f"generation.chat: the chat template fails: {line}; set never") from error
        if not full.startswith(asked):
            raise InputError(
                "generation.chat: the chat template does not put the answer behind the prompt; set never"
            )
        return asked, full[len(asked) :]

    return turns


def _tokens(
    tokeniser: Any, texts: list[tuple[str, str]], chat: bool, ends: Sequence[int]
) -> tuple[list[list[int]], list[list[int]]]:
    """Prompts and completions in tokens; a completion is cut behind its first end token, or given one."""
    if not texts:
        return [], []
    asked = tokeniser([p for p, _ in texts], add_special_tokens=not chat)["input_ids"]
    given = tokeniser([c for _, c in texts], add_special_tokens=False)["input_ids"]
    end = ends[0]
    if asked[0] and asked[0][-1] == end and not chat:  # tokenisers that close every text
        asked = [ids[:-1] for ids in asked]
    if not all(asked):
        raise InputError("generation.prompt: a prompt holds no token; write some text before the columns")
    done = []
    for ids in given:
        stop = next((i for i, token in enumerate(ids) if token in ends), None)
        done.append([*ids, end] if stop is None else ids[: stop + 1])
    return asked, done
