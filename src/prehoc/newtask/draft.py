"""From data to a task block: of labelled texts here, of texts to be written in `writing.py`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from prehoc.errors import InputError
from prehoc.labels import alike, name_of
from prehoc.newtask.block import (
    CODE,
    DECODER,
    ENCODER,
    LONGEST,
    MIN_ROWS,
    MOST,
    MOST_WRITTEN,
    Asked,
    Draft,
    cut_of,
    data_block,
    finished,
    length_of,
    some,
)
from prehoc.newtask.guess import Guess, Measure, guess, measure
from prehoc.newtask.look import TOKENS_A_WORD, Table, look, on_the_hub, token_counts, tokeniser_file
from prehoc.newtask.writing import code_draft, written


def draft(asked: Asked, store: Path) -> Draft:
    """The block for what is asked.  Raises InputError with one line where the data forbid one."""
    if on_the_hub(asked.data):
        return _unseen(asked)
    table = look(asked.data, asked.subset)
    if any(names <= set(table.columns) for names in CODE) and not asked.text and asked.label is None:
        return code_draft(asked, table, store)
    _enough(asked.data, len(table.frame), "")
    found = guess(table, list(asked.text), asked.label, asked.kind)
    frame = table.filled([*found.texts, found.label])
    _enough(asked.data, len(frame), f" with {', '.join(found.texts)} and {found.label}")
    remarks = [*table.remarks, *_lost(table, frame), *_doubled(frame, found)]
    if found.reasons:
        remarks.insert(0, f"guessed: {'; '.join(found.reasons)}")
    maker = written if found.kind == "text_generation" else _labelled
    made = maker(asked, found, frame, table, store)
    return Draft(made.block, made.comments, remarks + made.remarks)


def _enough(name: str, rows: int, which: str) -> None:
    if rows < MIN_ROWS:
        raise InputError(
            f"--data: {name} has {rows} rows{which}; {MIN_ROWS} are the least; thousands are better"
        )


def _lost(table: Table, frame: pd.DataFrame) -> list[str]:
    lost = len(table.frame) - len(frame)
    if not lost:
        return []
    return [f"{lost} of {len(table.frame)} rows lack a text or a label (NA, null and None count): left out"]


def _doubled(frame: pd.DataFrame, found: Guess) -> list[str]:
    texts = frame[found.texts].astype(str)
    doubled = int(texts.duplicated().sum())
    if not doubled:
        return []
    return [f"{doubled} of {len(frame)} texts occur before: some may be in training and in the target"]


def _labelled(asked: Asked, found: Guess, frame: pd.DataFrame, table: Table, store: Path) -> Draft:
    model = asked.model or ENCODER
    texts = [" ".join(row) for row in frame[found.texts].astype(str).itertuples(index=False)]
    counts, counted = token_counts(some(texts), tokeniser_file(model, store))
    length = length_of(counts, 0.95, LONGEST)
    cut, chosen = cut_of(frame, table, MOST), measure(frame[found.label], found.number)
    text: Any = found.texts[0] if len(found.texts) == 1 else found.texts
    data = data_block(asked, {"text": text, "label": found.label})
    if found.number:
        data["labels"] = "number"
    if chosen.positive is not None:
        data["positive"] = chosen.positive
    if table.splits is not None:
        data["splits"] = table.splits
    remarks, few = [], 0
    if found.number:
        scale = float(frame[found.label].abs().max())
        if scale > 10:
            remarks.append(f"labels reach {scale:g}: bring them near 0 to 1, or losses and steps are huge")
    else:
        few = int((frame[found.label].value_counts() < 10).sum())
        remarks += [f"{said}: one class or two?" for said in _alike(frame[found.label])]
    if few:
        remarks.append(f"{few} labels have fewer than 10 rows; their part of R is a matter of luck")
    cutting = float((counts > length).mean())
    how = "counted" if counted else f"estimated, words x {TOKENS_A_WORD:g}"
    comments = {
        "data": f"{len(frame):,} rows; {chosen.why}",
        "data.splits": "the data's own splits",
        "data.train": "one pool, shuffled and cut; lower them to leave rows out",
        "data.positive": "the rarer label: what F1 is of",
        "data.labels": "a number to be predicted",
        "model.max_length": f"tokens ({how}); it cuts {cutting:.0%} of the texts",
    }
    return finished(asked, "text_classification", data, cut, model, length, chosen, comments, remarks)


def _alike(labels: pd.Series) -> list[str]:
    """Pairs of labels that differ by blanks or case alone."""
    pairs = alike(labels.map(name_of).unique().tolist())
    return [f"labels {a!r} and {b!r} differ by blanks or case alone" for a, b in pairs[:3]]


def _unseen(asked: Asked) -> Draft:
    """A block for data of the Hub, which are not looked at: columns have to be named."""
    if not asked.text or asked.label is None:
        raise InputError(
            f"--data: {asked.data} is a name of the Hub (no such file here), which new-task does not ask: "
            "name its columns with --text and --label"
        )
    remarks = [f"{asked.data} was not looked at: check-task says what is wrong, once it is fetched"]
    if asked.revision is None:
        remarks.append("no --revision: `prehoc fetch` says which commit to write")
    unseen = "not looked at: the Hub's; all its splits are pooled, shuffled and cut"
    if asked.kind == "text_generation":
        generation = {
            "prompt": f"{{{asked.text[0]}}}\nAnswer:",
            "completion": f" {{{asked.label}}}",
            "judge": "exact",
        }
        chosen = Measure("exact_match", None, "")
        comments = {"data": unseen, "generation.judge": "number, exact or tests: when a text is right"}
        model = asked.model or DECODER
        cut, data = MOST_WRITTEN, data_block(asked, {})
        return finished(
            asked, "text_generation", data, cut, model, None, chosen, comments, remarks, generation
        )
    number = asked.kind == "regression"
    text: Any = asked.text[0] if len(asked.text) == 1 else list(asked.text)
    data = data_block(
        asked, {"text": text, "label": asked.label, **({"labels": "number"} if number else {})}
    )
    chosen = Measure("pearson_spearman" if number else "accuracy", None, "mean of both correlations")
    return finished(
        asked, "text_classification", data, MOST, asked.model or ENCODER, None, chosen, {"data": unseen},
        remarks,
    )  # fmt: skip
