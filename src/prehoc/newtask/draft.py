"""From columns and lengths to a task block: splits, lengths, metric, method, depths and horizon."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from prehoc.errors import InputError
from prehoc.newtask.adapt import Way, way
from prehoc.newtask.guess import Guess, Measure, guess, measure
from prehoc.newtask.look import SAMPLE, Table, look, on_the_hub, token_counts, tokeniser_file
from prehoc.tasks.judges import final_number

MIN_ROWS = 40  # fewer leave too little to measure on
MOST = {"train": 4000, "val": 500, "target": 1000}
MOST_WRITTEN = {"train": 1000, "val": 32, "target": 100}  # texts are decoded at every depth
LONGEST, LONGEST_WRITTEN = 256, 1024  # tokens
EPOCHS = 3  # that a run trains, if the bounds of the horizon allow
HORIZON = (64, 256)
BATCH, BATCH_WRITTEN = 16, 8  # defaults in config.yaml
CODE = ({"prompt", "test", "entry_point"}, {"test_list"})  # columns of HumanEval, MBPP
ENCODER, DECODER = "packaged:minilm-l3", "packaged:smollm2"
Line = tuple[int, str, str]  # depth of indentation, YAML, comment


@dataclass(frozen=True)
class Asked:
    """What the user gave: names of data and model, columns, kind, what of the data's own is named."""

    data: str
    model: str | None = None
    text: tuple[str, ...] = ()
    label: str | None = None
    kind: str | None = None
    subset: str | None = None
    revision: str | None = None


@dataclass(frozen=True)
class Draft:
    """A task block with comments, and what a person should know of how it came about."""

    block: dict[str, Any]
    comments: dict[str, str]  # by dotted key
    remarks: list[str]


def draft(asked: Asked, store: Path) -> Draft:
    """The block for what is asked.  Raises InputError with one line where the data forbid one."""
    if on_the_hub(asked.data):
        return _unseen(asked)
    table = look(asked.data, asked.subset)
    if any(names <= set(table.columns) for names in CODE) and not asked.text and asked.label is None:
        return _code(asked, table, store)
    found = guess(table, list(asked.text), asked.label, asked.kind)
    frame = table.filled([*found.texts, found.label])
    if len(frame) < MIN_ROWS:
        raise InputError(
            f"--data: {asked.data} has {len(frame)} rows with {', '.join(found.texts)} and {found.label}; "
            f"{MIN_ROWS} are the least, and some thousands are better"
        )
    remarks = [*table.remarks, *_lost(table, frame), *_doubled(frame, found)]
    if found.reasons:
        remarks.insert(0, f"guessed: {'; '.join(found.reasons)}")
    maker = _written if found.kind == "text_generation" else _labelled
    made = maker(asked, found, frame, table, store)
    return Draft(made.block, made.comments, remarks + made.remarks)


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


def sizes(rows: int, most: dict[str, int]) -> dict[str, int]:
    """Rows of train, val and target out of one pool of `rows`: a tenth, a quarter, and the rest."""
    val = min(most["val"], max(8, round(0.1 * rows)))
    target = min(most["target"], max(8, round(0.25 * rows)))
    return {"train": min(most["train"], rows - val - target), "val": val, "target": target}


def _cut(frame: pd.DataFrame, table: Table, most: dict[str, int]) -> dict[str, int]:
    """Rows of each split, where the data name their own too.  Raises InputError for an empty split."""
    if table.splits is None:
        return sizes(len(frame), most)
    counts = frame["__split__"].value_counts()
    have = {ours: sum(int(n) for key, n in counts.items() if ours in str(key).split("+")) for ours in most}
    made = {ours: min(most[ours], have[ours]) for ours in most}
    if table.splits["val"] == table.splits["train"]:
        made["val"] = min(most["val"], max(1, have["train"] // 8))
        made["train"] = min(most["train"], have["train"] - made["val"])
    empty = [ours for ours, n in made.items() if n < 1]
    if empty:
        raise InputError(f"--data: split {table.splits[empty[0]]!r} has no rows with text and label")
    return made


def schedule(train: int, batch: int) -> tuple[list[int], int]:
    """Depths, doubling, and the horizon: a power of two of about EPOCHS epochs, within HORIZON."""
    wanted = max(1, EPOCHS * train // batch)
    horizon = int(min(max(2 ** math.ceil(math.log2(wanted)), HORIZON[0]), HORIZON[1]))
    return [2**i for i in range(int(math.log2(horizon)))], horizon


def _length(counts: np.ndarray, quantile: float, most: int) -> int:
    """Tokens that hold this share of the texts, rounded up to 8."""
    need = float(np.quantile(counts, quantile))
    return int(min(max(8 * math.ceil(need / 8), 16), most))


def _some(texts: list[str]) -> list[str]:
    return texts[:: max(1, len(texts) // SAMPLE)]


def _data(asked: Asked, more: dict[str, Any]) -> dict[str, Any]:
    own = {"subset": asked.subset, "revision": asked.revision}
    return {"name": asked.data, **{k: v for k, v in own.items() if v is not None}, **more}


def _model(name: str, length: int | None) -> dict[str, Any]:
    return {"name": name} if length is None else {"name": name, "max_length": length}


def _labelled(asked: Asked, found: Guess, frame: pd.DataFrame, table: Table, store: Path) -> Draft:
    model = asked.model or ENCODER
    texts = [" ".join(row) for row in frame[found.texts].astype(str).itertuples(index=False)]
    counts, counted = token_counts(_some(texts), tokeniser_file(model, store))
    length = _length(counts, 0.95, LONGEST)
    cut, chosen = _cut(frame, table, MOST), measure(frame[found.label], found.number)
    text: Any = found.texts[0] if len(found.texts) == 1 else found.texts
    data = _data(asked, {"text": text, "label": found.label})
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
    if few:
        remarks.append(f"{few} labels have fewer than 10 rows; their part of R is a matter of luck")
    cutting = float((counts > length).mean())
    how = "counted" if counted else f"estimated, words x {1.4:g}"
    comments = {
        "data": f"{len(frame):,} rows; {chosen.why}",
        "data.splits": "the data's own splits",
        "data.train": "one pool, shuffled and cut; lower them to leave rows out",
        "data.positive": "the rarer label: what F1 is of",
        "data.labels": "a number to be predicted",
        "model.max_length": f"tokens ({how}); it cuts {cutting:.0%} of the texts",
    }
    return _finished(asked, "text_classification", data, cut, model, length, chosen, comments, remarks)


def _finished(
    asked: Asked,
    kind: str,
    data: dict[str, Any],
    cut: dict[str, int],
    model: str,
    length: int | None,
    chosen: Measure,
    comments: dict[str, str],
    remarks: list[str],
    generation: dict[str, Any] | None = None,
) -> Draft:
    """The block whole: method by model, depths and horizon by the rows, runs."""
    how: Way = way(model, generation is not None)
    batch = BATCH if generation is None else BATCH_WRITTEN
    depths, horizon = schedule(cut["train"], batch)
    block: dict[str, Any] = {"kind": kind, "data": {**data, **cut}, "model": _model(model, length)}
    if generation is not None:
        block["generation"] = generation
    if how.method is not None:
        block["method"] = how.method
    if how.optimiser is not None:
        block["optimiser"] = how.optimiser
    if chosen.metric != ("accuracy" if generation is None else "exact_match"):
        block["outcome"] = {"metric": chosen.metric}
    block |= {"runs": 64, "depths": depths, "horizon": horizon}
    comments = {
        **comments,
        "method": how.why,
        "optimiser": "a rate to begin with; check-task says whether it learns",
        "outcome": f"what R is: {chosen.why}",
        "runs": "seeds; more make the intervals narrower",
        "depths": "steps at which runs are measured",
        "horizon": f"steps; {horizon * batch / cut['train']:.1f} epochs of batches of {batch}",
    }
    if model != asked.model:
        remarks = [*remarks, f"model {model}, as none was named"]
    return Draft(block, comments, remarks)


def _written(asked: Asked, found: Guess, frame: pd.DataFrame, table: Table, store: Path) -> Draft:
    prompt, answer = found.texts[0], found.label
    if len(found.texts) > 1:
        raise InputError("--text: text_generation takes one; put more columns into generation.prompt")
    completions = frame[answer].astype(str)
    judge = _judge(completions.tolist())
    long = float(completions.str.split().str.len().mean()) > 12 and judge == "exact"
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


def _judge(completions: list[str]) -> str:
    """`number` where every completion has one and most end in it; else `exact`."""
    if not all(final_number(text) is not None for text in completions):
        return "exact"
    ends = [("####" in t) or t.strip()[-1:].isdigit() for t in completions]
    return "number" if np.mean(ends) > 0.9 else "exact"


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
    asking, counted = token_counts(_some(texts[0].tolist()), file)
    answers, _ = token_counts(_some(texts[1].tolist()), file)
    # Rows longer than max_length are left out, so it has room to spare; a batch is as wide as its rows.
    room = 1.1 if counted else 1.5
    new = _length(np.ceil(room * answers) + 2, 0.98, 512)
    length = _length(np.ceil(room * (asking + answers)) + 8, 1.0, LONGEST_WRITTEN)
    fits = float((room * (asking + answers) + 8 <= length).mean())
    usable = frame if fits == 1 else frame.iloc[: max(1, int(0.9 * fits * len(frame)))]
    cut = _cut(usable, table, MOST_WRITTEN)
    data = _data(asked, {"splits": table.splits} if table.splits is not None else {})
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
    return _finished(
        asked, "text_generation", data, cut, model, length, chosen, comments, remarks, generation
    )


def _code(asked: Asked, table: Table, store: Path) -> Draft:
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
        return _finished(
            asked, "text_generation", _data(asked, {}), MOST_WRITTEN, model, None, chosen, comments, remarks,
            generation,
        )  # fmt: skip
    number = asked.kind == "regression"
    text: Any = asked.text[0] if len(asked.text) == 1 else list(asked.text)
    data = _data(asked, {"text": text, "label": asked.label, **({"labels": "number"} if number else {})})
    chosen = Measure("pearson_spearman" if number else "accuracy", None, "mean of both correlations")
    return _finished(
        asked, "text_classification", data, MOST, asked.model or ENCODER, None, chosen, {"data": unseen},
        remarks,
    )  # fmt: skip
