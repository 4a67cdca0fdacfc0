"""What is wrong with a text generation task: completions that cannot be written, or judged."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from prehoc.checking.findings import Finding, fault, ok, warning
from prehoc.checking.labelled import CONSTANT, duplicates
from prehoc.tasks.decode import Noise
from prehoc.tasks.prompts import Example, rendered
from prehoc.tasks.text_generation import TextGeneration

SHOWN = 2  # prompts that are shown and decoded
JUDGED = 24  # reference completions that the judge is asked about
LEFT_OUT = 0.1  # share of rows over max_length
ROOM = 0.05  # share of completions over max_new_tokens
TRIAL = {"train": 64, "val": 8, "target": 8}  # rows of the trial: what is decoded is slow


@dataclass
class Samples:
    """Prompts with completions as the model sees them, and what seed 0 wrote, with verdicts."""

    prompts: list[str] = field(default_factory=list)
    completions: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    verdicts: list[bool] = field(default_factory=list)
    token_ms: float = 0.0  # of a run, to write a token


def lengths(counts: np.ndarray, total: int, most: int) -> list[Finding]:
    """Rows of `counts` tokens [n], out of all `total` at random, against model.max_length."""
    share, p98 = float((counts > most).mean()), int(np.quantile(counts, 0.98))
    said = f"{share:.0%} of {total:,} rows take more than model.max_length = {most} tokens and are left out"
    if share > LEFT_OUT:
        return [warning("lengths", f"{said}; 98% take {p98} or fewer")]
    return [ok("lengths", said)]


def rows(examples: dict[str, list[Example]], prompt: str, new: int) -> list[Finding]:
    """Texts that stand in training and in the target, and completions over `new` tokens."""
    every = [e for split in examples.values() for e in split]
    ends = np.cumsum([0, *[len(s) for s in examples.values()]]).tolist()
    cut = {name: np.arange(a, b) for name, a, b in zip(examples, ends, ends[1:], strict=False)}
    texts = [rendered(prompt, e.row) for e in every]
    found = duplicates(texts, cut, None)
    long = float(np.mean([len(e.completion) > new for e in every]))
    said = f"{long:.0%} of the true completions are over generation.max_new_tokens = {new}"
    need = int(np.quantile([len(e.completion) for e in every], 0.98))
    if long > 0.5:
        found.append(fault("completions", f"{said}: they could never be written; raise it to {need}"))
    elif long > ROOM:
        found.append(warning("completions", f"{said}; 98% have {need} or fewer"))
    else:
        found.append(ok("completions", said))
    return found


def answers(completions: list[str]) -> list[Finding]:
    """How far one and the same text would do: the commonest of the true completions, blanks aside."""
    counts = Counter(text.strip() for text in completions)
    text, often = counts.most_common(1)[0]
    share = often / len(completions)
    shown = repr(text) if len(text) < 40 else repr(text[:37] + "...")
    if len(counts) == 1:
        said = f"all {often:,} true completions are {shown}: there is nothing to learn; "
        return [fault("answers", f"{said}does generation.completion name the right column?")]
    said = f"{len(counts):,} different completions; always writing {shown} is right in {share:.0%}"
    return [(warning if share >= CONSTANT else ok)("answers", said)]


def empty_programs(problem: TextGeneration) -> list[Finding]:
    """Whether tests pass a function that does nothing: such rows say nothing of a run."""
    some = [e for split in problem.examples.values() for e in split][:JUDGED]
    blank = [f"def {e.row['entry_point']}(*args, **kwargs):\n    pass\n" for e in some]
    passed = np.asarray(problem.judge([e.row for e in some], blank), bool)
    said = f"{passed.sum()} of {len(some)} rows' tests pass a function that does nothing"
    if not passed.any():
        return [ok("tests", said)]
    number = some[int(np.flatnonzero(passed)[0])].number
    remedy = f"{said}, as row {number}'s do: mend or drop them, or R is too high"
    return [(fault if passed.mean() >= 0.5 else warning)("tests", remedy)]


def references(problem: TextGeneration) -> list[Finding]:
    """Whether the true completions, written token by token and read back, pass their own judge."""
    some = [e for split in problem.examples.values() for e in split][:JUDGED]
    decode = problem.decoder.text
    new = problem.decoder.rules.new
    texts = [decode(e.prompt, e.completion[:new]) for e in some]
    right = np.asarray(problem.judge([e.row for e in some], texts), bool)
    said = f"{right.sum()} of {len(some)} true completions pass the judge"
    if right.all():
        return [ok("judge", said)]
    first = int(np.flatnonzero(~right)[0])
    shown = texts[first] if len(texts[first]) < 60 else texts[first][:57] + "..."
    remedy = (
        f"{said}; read back as {shown!r}: mend generation.completion, stop, max_new_tokens or the judge"
    )
    return [(fault if right.mean() < 0.5 else warning)("judge", remedy)]


def written(problem: TextGeneration, theta: dict[str, Any], sample: bool) -> Samples:
    """The first prompts of val with their completions, and what seed 0 of `theta` writes to them."""
    some = problem.examples["val"][:SHOWN]
    tokeniser = problem.decoder.tokeniser
    one = {name: value[:2].detach() for name, value in theta.items()}
    import torch

    noise = Noise(torch.arange(2), 1) if sample else None
    begun = time.perf_counter()
    tokens = problem.decoder.tokens(one, [e.prompt for e in some], noise)
    spent = 1000 * (time.perf_counter() - begun)
    texts = [problem.decoder.text(e.prompt, t) for e, t in zip(some, tokens[0], strict=True)]
    made = Samples(
        [tokeniser.decode(e.prompt) for e in some],
        [tokeniser.decode(e.completion) for e in some],
        texts,
        np.asarray(problem.judge([e.row for e in some], texts), bool).tolist(),
    )
    made.token_ms = spent / max(1, sum(len(t) for run in tokens for t in run))
    return made
