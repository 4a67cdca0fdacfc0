"""The check of one task, from its config to findings: data first, then ten steps of two seeds.

The store's models and encodings are used, and made where they are not there yet (a `prepare` job would
make the same); checkpoints, frozen states of the trial's few rows and tables are not kept.
"""

from __future__ import annotations

import math
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from prehoc.checking import labelled, trained, written
from prehoc.checking.findings import Finding, fault, ok
from prehoc.checking.trial import Trial, run
from prehoc.checking.written import Samples
from prehoc.config import Config, Task, stage_config
from prehoc.errors import InputError
from prehoc.tasks import models
from prehoc.tasks.data import cut_splits, load_rows, positive_of
from prehoc.tasks.machine import Machine, machine
from prehoc.training.engine import ran_out
from prehoc.training.problems import build, target_domains
from prehoc.training.width import MIN_WIDTH

SAMPLE = 2000  # texts whose tokens are counted
KEPT = ("models", "encodings")  # of the store: what the check may leave there
Found = list[Finding]
Say = Callable[[Finding], None]


def check(config: Config, name: str, say: Say) -> Samples | None:
    """Tell the findings on the task `name` one by one; samples of what is written, where texts are.

    A fault in the data or the model is told as one, and ends the check.
    """
    task = config.tasks[name]
    if task.kind == "synthetic":
        say(ok("training", "a synthetic task is simulated: there is nothing to train or to check"))
        return None
    with _scratch(Path(config.store), task.kind == "text_classification") as store:
        # Crossed runs share streams by design: here two seeds shall differ in all of them.
        stage = stage_config(config, name, "train") | {"store": str(store), "crossed": []}
        samples: list[Samples] = []
        try:
            place = machine(config.device, task.precision)
            for part in (_data, _training):
                for finding in part(task, stage, place, samples):
                    say(finding)
                    if finding.level == "fault" and finding.topic in ("learning", "completions"):
                        return samples[0] if samples else None
        except InputError as error:
            say(fault("input", str(error)))
        except (MemoryError, RuntimeError) as error:
            if not ran_out(error):
                raise
            say(fault("memory", "memory ran out: lower bank, optimiser.batch_size or model.max_length"))
        return samples[0] if samples else None


@contextmanager
def _scratch(store: Path, keeps: bool) -> Iterator[Path]:
    """A store that goes away; its models, and encodings if it `keeps` them, are the real one's."""
    with tempfile.TemporaryDirectory(prefix="prehoc-check-") as folder:
        made = Path(folder)
        for part in KEPT if keeps else KEPT[:1]:
            real = (store / part).resolve()
            real.mkdir(parents=True, exist_ok=True)
            (made / part).symlink_to(real)
        yield made


def _data(task: Task, stage: dict[str, Any], place: Machine, samples: list[Samples]) -> Iterator[Finding]:
    if task.kind == "text_classification":
        yield from _labelled(task, stage)
    elif task.kind == "text_generation":
        yield from _generated(task, stage)


def _labelled(task: Task, stage: dict[str, Any]) -> Iterator[Finding]:
    data = stage["data"]
    rows, named = load_rows(data)
    cut = cut_splits(data, rows, named, stage["seed"], target_domains(stage))
    sizes = ", ".join(f"{s} {len(i)}" for s, i in cut.items())
    yield ok("rows", f"{len(rows.labels):,} rows with text and label: {sizes}")
    if rows.classes:
        positive = positive_of(data, rows.classes)
        yield from labelled.classes(rows, cut["target"], task.outcome.metric, positive)
    else:
        yield from labelled.numbers(rows.labels)
        if task.outputs is not None:
            yield ok("outputs", "not recorded, as labels are numbers: `outputs` has no effect here")
    yield from labelled.leaks(rows)
    yield from labelled.duplicates(rows.texts, cut, rows.labels if rows.classes else None)
    folder = models.model_folder(stage["model"], Path(stage["store"]))
    tokeniser = _tokeniser(folder, stage["model"])
    some: list[Any] = rows.texts[:: max(1, len(rows.texts) // SAMPLE)]
    columns = list(zip(*some, strict=True)) if isinstance(some[0], tuple) else [some]
    ids = tokeniser(*[list(c) for c in columns], truncation=False, verbose=False)["input_ids"]
    yield from labelled.lengths(np.array([len(i) for i in ids]), stage["model"]["max_length"])


def _tokeniser(folder: str, model: dict[str, Any]) -> Any:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder, revision=model["revision"])
    except (OSError, ValueError) as error:
        line = " ".join(str(error).split())[:200]
        raise InputError(f"model.name: {model['name']}: cannot be loaded: {line}") from error


def _generated(task: Task, stage: dict[str, Any]) -> Iterator[Finding]:
    """The rows as the whole task would use them; the trial's are a few of them."""
    from prehoc.tasks.prompts import examples, read_rows, rendered

    folder = models.model_folder(stage["model"], Path(stage["store"]))
    tokeniser = models.causal_tokeniser(folder, stage["model"]["revision"], stage["model"]["name"])
    block, most = stage["generation"], stage["model"]["max_length"]
    ends = [tokeniser.eos_token_id]
    splits = examples(stage, tokeniser, ends)
    boundless = stage | {"model": stage["model"] | {"max_length": sys.maxsize}}
    every = [e for split in examples(boundless, tokeniser, ends).values() for e in split]
    counts = np.array([len(e.prompt) + len(e.completion) for e in every])
    yield from written.lengths(counts, len(read_rows(stage["data"])[0]), most)
    _places(folder, stage, splits)
    yield from written.rows(splits, block["prompt"], block["max_new_tokens"])
    if block["judge"] != "tests":
        target = [rendered(block["completion"], e.row) for e in splits["target"]]
        yield from written.answers(target)
    for split, count in written.TRIAL.items():
        stage["data"][split] = min(count, stage["data"][split])


def _places(folder: str, stage: dict[str, Any], splits: dict[str, list[Any]]) -> None:
    """Raise InputError where the longest text has no place in the model: the trial's few rows may have."""
    from transformers import AutoConfig

    from prehoc.tasks.text_generation import room

    settings = AutoConfig.from_pretrained(folder, revision=stage["model"]["revision"])
    room(settings, splits, stage["generation"]["max_new_tokens"])


def _chance(stage: dict[str, Any], classes: int) -> float | None:
    """The loss of an even guess in nats; None where labels are numbers or texts are written."""
    kind = stage["kind"]
    if kind == "modular_arithmetic" or (
        kind == "text_classification" and stage["data"]["labels"] == "class"
    ):
        return math.log(classes)
    return None


def _training(
    task: Task, stage: dict[str, Any], place: Machine, samples: list[Samples]
) -> Iterator[Finding]:
    whole = {s: int(stage["data"][s]) for s in ("train", "val", "target")} if stage["data"] else {}
    if task.kind == "text_generation" and task.data is not None:
        whole = {s: int(getattr(task.data, s)) for s in whole}
        stage["bank"] = MIN_WIDTH if stage["bank"] == "auto" else stage["bank"]
    setting = build(stage, place)
    problem: Any = setting.problem
    whole = whole or {s: setting.problem.rows(s) for s in ("train", "val", "target")}
    texts = task.kind == "text_generation"
    made: Trial = run(stage, setting, texts)
    yield from trained.start(made, _chance(stage, setting.problem.classes))
    yield from trained.learning(made, float(stage["optimiser"]["lr"]))
    yield from trained.variety(made)
    yield from trained.passes(task, whole["train"])
    if texts:
        yield from written.references(problem)
        if stage["generation"]["judge"] == "tests":
            yield from written.empty_programs(problem)
        sampled = stage["generation"]["decoding"]["kind"] == "sample"
        samples.append(written.written(problem, made.bank.theta, sampled))
        new = stage["generation"]["max_new_tokens"]
        made = replace(made, example_ms=samples[0].token_ms * new)
    yield from trained.cost(task, made, whole, str(place.device))
