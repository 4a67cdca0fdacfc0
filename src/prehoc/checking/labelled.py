"""What is wrong with labelled texts, seen without a model: classes, leaks, duplicates, lengths."""

from __future__ import annotations

from typing import Any

import numpy as np

from prehoc.checking.findings import Finding, fault, ok, warning
from prehoc.labels import alike
from prehoc.tasks.data import Rows

CONSTANT = 0.8  # accuracy of a constant guess from which on the metric says little
LEAK, SPARE = 0.98, 0.02  # share of a class's texts that hold a word, and of the others' that do
LEAK_ROWS = 20  # rows of a class below which a word that tells it may be chance
DOUBLED = 0.02  # share of target texts seen in training that is worth a warning
GRAVE = 0.5  # ... that makes R a measure of memory
CUT = 0.1  # share of texts cut by max_length
LOOKED = 4000  # texts whose words are looked at


def words_of(text: Any) -> set[str]:
    """The words of a text, or of both texts of a pair, in lower case."""
    whole = " ".join(text) if isinstance(text, tuple) else str(text)
    return set(whole.lower().split())


def classes(rows: Rows, target: np.ndarray, metric: str, positive: int) -> list[Finding]:
    """How even the classes are, and what a constant guess scores on the target rows."""
    counts = np.bincount(rows.labels[target], minlength=len(rows.classes))
    share = float(counts.max() / counts.sum())
    most = rows.classes[int(counts.argmax())]
    said = f"{len(rows.classes)} classes; always guessing {most!r} has accuracy {share:.2f} on the target"
    found = []
    absent = [rows.classes[i] for i in np.flatnonzero(counts == 0)]
    if share == 1:
        found.append(fault("classes", f"{said}: the target holds one class alone; raise data.target"))
    elif metric == "accuracy" and share >= CONSTANT:
        other = "f1 or matthews" if len(rows.classes) == 2 else "matthews"
        found.append(warning("classes", f"{said}: set outcome.metric to {other}"))
    elif metric == "f1":
        p = float(counts[positive] / counts.sum())
        said += f", and always {rows.classes[positive]!r} F1 {2 * p / (1 + p):.2f}"
        found.append(ok("classes", said))
    else:
        found.append(ok("classes", said))
    for a, b in alike(rows.classes)[:3]:
        text = f"{a!r} and {b!r} differ by blanks or case alone: if they are one class, write them alike"
        found.append(warning("labels", text))
    if absent and share < 1:
        found.append(warning("classes", f"no target row has {', '.join(absent[:5])}; raise data.target"))
    return found


def leaks(rows: Rows) -> list[Finding]:
    """A word that alone tells a label, in almost all texts of the label and almost none of the others."""
    step = max(1, len(rows.texts) // LOOKED)
    labels = rows.labels[::step]
    words = [words_of(t) for t in rows.texts[::step]]
    if not rows.classes:
        held = [f"{v:g}" in w for v, w in zip(labels, words, strict=True)]
        if np.mean(held) > LEAK:
            return [fault("leak", "texts hold their own number: take the label out of data.text")]
        return [ok("leak", "texts do not hold their numbers")]
    told = []
    for label, name in enumerate(rows.classes):
        mine = labels == label
        if mine.sum() < LEAK_ROWS or (~mine).sum() < LEAK_ROWS:
            continue
        counts: dict[str, int] = {}
        for own in (w for w, m in zip(words, mine, strict=True) if m):
            for word in own:
                counts[word] = counts.get(word, 0) + 1
        often = [w for w, n in counts.items() if n >= LEAK * mine.sum()]
        others = [w for w, m in zip(words, mine, strict=True) if not m]
        for word in often:
            if sum(word in w for w in others) <= SPARE * len(others):
                told.append((name, word))
                break
    if not told:
        return [ok("leak", "no single word tells a label")]
    name, word = told[0]
    said = f"the word {word!r} alone tells label {name!r}: does data.text hold the label? Take it out"
    return [fault("leak", said)]


def keys_of(texts: list[Any]) -> list[Any]:
    """Texts as they are compared: blanks at both ends aside."""
    return [tuple(p.strip() for p in t) if isinstance(t, tuple) else str(t).strip() for t in texts]


def duplicates(texts: list[Any], cut: dict[str, np.ndarray], labels: np.ndarray | None) -> list[Finding]:
    """Texts that stand in training and in the target too; and equal texts with unlike labels."""
    keys = keys_of(texts)
    train = {keys[i] for i in cut["train"]}
    shared = {s: float(np.mean([keys[i] in train for i in cut[s]])) for s in ("val", "target")}
    said = (
        f"{shared['target']:.1%} of the target's texts, and {shared['val']:.1%} of val's, are in training"
    )
    found = []
    if shared["target"] >= GRAVE:
        found.append(fault("duplicates", f"{said}: R would be a measure of memory; drop repeated rows"))
    elif max(shared.values()) >= DOUBLED:
        found.append(warning("duplicates", f"{said}: drop repeated rows, or R is too high"))
    else:
        found.append(ok("duplicates", said))
    if labels is not None:
        first: dict[Any, Any] = {}
        clash = sum(first.setdefault(k, v) != v for k, v in zip(keys, labels.tolist(), strict=True))
        if clash > DOUBLED * len(keys):
            found.append(
                warning("labels", f"{clash} rows repeat a text with another label: noise that stays in R")
            )
    return found


def lengths(counts: np.ndarray, most: int) -> list[Finding]:
    """Texts of `counts` tokens [n] against model.max_length."""
    share, p95 = float((counts > most).mean()), int(np.quantile(counts, 0.95))
    said = f"{share:.0%} of the texts are cut at model.max_length = {most} tokens"
    if share > CUT:
        return [warning("lengths", f"{said}; 95% of them have {p95} or fewer")]
    return [ok("lengths", said)]


def numbers(labels: np.ndarray) -> list[Finding]:
    """Labels that are numbers [n]: their spread, and whether their size makes steps huge."""
    mean, sd = float(np.mean(labels)), float(np.std(labels))
    said = f"labels have mean {mean:.3g} and sd {sd:.3g}"
    if abs(mean) + sd > 10:
        return [warning("labels", f"{said}: bring them near 0 to 1, as squared errors make huge steps")]
    return [ok("labels", said)]
