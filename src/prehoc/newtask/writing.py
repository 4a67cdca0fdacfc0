"""Task blocks of texts to be written: prompts and completions, and code with tests."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from prehoc.errors import InputError
from prehoc.newtask.block import (
    DECODER,
    LONGEST_WRITTEN,
    MIN_ROWS,
    MOST_WRITTEN,
    Asked,
    Draft,
    cut_of,
    data_block,
    finished,
    length_of,
    some,
)
from prehoc.newtask.guess import Guess, Measure
from prehoc.newtask.look import Table, token_counts, tokeniser_file

CHAT = 64  # tokens that a chat template may add

_NUMBER = re.compile(r"[-+]?\$?[\d,]*\.?\d+%?\.?")


def written(asked: Asked, found: Guess, frame: pd.DataFrame, table: Table, store: Path) -> Draft:
    """The block for two columns of texts; raises InputError for more."""
    prompt, answer = found.texts[0], found.label
    if len(found.texts) > 1:
        raise InputError("--text: text_generation takes one; put more columns into generation.prompt")
    completions = frame[answer].astype(str)
    judge = judge_for(completions.tolist())
    long = float(completions.map(lambda t: len(t.split())).mean()) > 12 and judge == "exact"
    why = "the share of texts that are the answer" if judge == "exact" else "the share of right numbers"
    if long:
        why = "loss in nats a token: texts this long are hardly ever written word for word"
    chosen = Measure("loss" if long else "exact_match", None, why)
    generation = {
        "prompt": f"{{{prompt}}}\nAnswer:",
        "completion": f" {{{answer}}}",
        "judge": judge,
    }
    texts = (frame[prompt].astype(str), completions)
    return _generating(asked, table, frame, texts, generation, chosen, store)


def judge_for(completions: list[str]) -> str:
    """`number` where most completions are one, or end in one behind `####`; else `exact`."""
    numbers = [_NUMBER.fullmatch(text.rpartition("####")[2].strip()) is not None for text in completions]
    return "number" if np.mean(numbers) > 0.9 else "exact"


def _generating(
    asked: Asked,
    table: Table,
    frame: pd.DataFrame,
    texts: tuple[pd.Series, pd.Series],
    generation: dict[str, Any],
    chosen: Measure,
    store: Path,
) -> Draft:
    model = asked.model or DECODER
    file = tokeniser_file(model, store)
    asking, counted = token_counts(some(texts[0].tolist()), file)
    answers, _ = token_counts(some(texts[1].tolist()), file)
    # Rows longer than max_length are left out, so it has room to spare; a batch is as wide as its rows.
    room = 1.1 if counted else 1.5
    turns = 8 if generation.get("chat") == "never" else CHAT
    new = length_of(np.ceil(room * answers) + 2, 0.98, 512)
    length = length_of(np.ceil(room * (asking + answers)) + turns, 1.0, LONGEST_WRITTEN)
    fits = float((room * (asking + answers) + turns <= length).mean())
    usable = frame if fits == 1 else frame.iloc[: max(1, int(0.9 * fits * len(frame)))]
    cut = cut_of(usable, table, MOST_WRITTEN)
    data = data_block(asked, {"splits": table.splits} if table.splits is not None else {})
    generation = {**generation, "max_new_tokens": new}
    how = "counted" if counted else "estimated from words"
    comments = {
        "data": f"{len(frame):,} rows",
        "data.splits": "the data's own splits",
        "data.train": "val is decoded at every depth: keep it small",
        "generation.prompt": "columns in braces",
        "generation.judge": "number, exact or tests: when a text is right",
        "generation.max_new_tokens": f"tokens written at most ({how})",
        "model.max_length": f"tokens of prompt and answer ({how}); longer rows are left out",
    }
    remarks = (
        [f"about {1 - fits:.0%} of the rows are over {length} tokens and left out"] if fits < 1 else []
    )
    return finished(
        asked, "text_generation", data, cut, model, length, chosen, comments, remarks, generation
    )


def code_draft(asked: Asked, table: Table, store: Path) -> Draft:
    """A code task: rows with tests, as HumanEval's and MBPP's."""
    from prehoc.tasks.code_data import code_rows

    if asked.kind not in (None, "text_generation"):
        raise InputError(f"--kind {asked.kind}: {asked.data} holds code with tests; leave --kind out")
    frame = table.frame
    rows = code_rows([{str(k): v for k, v in row.items()} for row in frame.to_dict("records")])
    if len(rows) < MIN_ROWS:
        raise InputError(f"--data: {asked.data} has {len(rows)} rows; {MIN_ROWS} are the least")
    texts = pd.Series([r["prompt"] for r in rows]), pd.Series([r["answer"] for r in rows])
    generation = {"prompt": "{prompt}", "completion": "{answer}", "chat": "never", "judge": "tests"}
    chosen = Measure("pass_at_1", None, "the share of written programs that pass their tests")
    made = _generating(asked, table, frame, texts, generation, chosen, store)
    return Draft(
        made.block, made.comments, ["rows hold code and tests: judged by running them", *made.remarks]
    )
