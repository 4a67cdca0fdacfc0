"""Runs of transformers' Trainer: `trainer_state.json`, in a run's folder or in its checkpoints."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from prehoc.logs.files import natural, read_json, relative, task_of, walk
from prehoc.logs.run import Notes, Options, Run, flat, scalar, seed_of

# Settings that people write beside a run.  training_args.bin is a pickle, which can run code: never read.
_BESIDE = ("training_args.json", "args.json", "hparams.json", "hyperparameters.json", "run_config.json")
_STATE = ("train_batch_size", "max_steps", "num_train_epochs", "eval_steps")
_PEFT = {"r": "lora_rank", "lora_alpha": "lora_alpha", "lora_dropout": "lora_dropout"}


def read(src: Path, options: Options, notes: Notes) -> list[Run]:
    """One run a folder above checkpoints, from its state of the highest global_step, in order of paths."""
    states: dict[Path, list[Path]] = {}
    for path in walk(src, options.not_read):
        if path.name == "trainer_state.json" or path == src:
            above = path.parent
            states.setdefault(above.parent if _is_checkpoint(above) else above, []).append(path)
    runs = []
    for folder in sorted(states, key=natural):
        read_ones = [(path, state) for path in states[folder] if (state := _state(path, notes)) is not None]
        if not read_ones:
            continue
        # Of two at the same step the run's own stands: it has the last evaluation.
        path, state = max(read_ones, key=lambda s: (s[1]["global_step"], not _is_checkpoint(s[0].parent)))
        runs.append(_run(folder, path, state, src, notes))
    return runs


def _is_checkpoint(folder: Path) -> bool:
    return re.fullmatch(r"checkpoint-\d+", folder.name) is not None


def _state(path: Path, notes: Notes) -> dict[str, Any] | None:
    state = read_json(path, notes)
    if state is None:
        return None
    if not isinstance(state, dict) or not isinstance(state.get("log_history"), list):
        notes.bad(
            str(path), "no Trainer state: it has no log_history", "give the file Trainer wrote", "file"
        )
        return None
    if not isinstance(state.get("global_step"), int):
        notes.bad(
            str(path), "no Trainer state: it has no global_step", "give the file Trainer wrote", "file"
        )
        return None
    return state


def _run(folder: Path, path: Path, state: dict[str, Any], src: Path, notes: Notes) -> Run:
    below = src if src.is_dir() else folder
    run = Run(relative(path, src), task_of(folder, below))
    run.hp = {key: state[key] for key in _STATE if state.get(key) is not None}
    for near in (folder, path.parent):
        for name in _BESIDE:
            if (near / name).is_file() and isinstance(beside := read_json(near / name, notes), dict):
                run.hp.update(flat(beside))
        adapter = near / "adapter_config.json"
        if adapter.is_file() and isinstance(peft := read_json(adapter, notes), dict):
            run.hp.update({ours: peft[key] for key, ours in _PEFT.items() if peft.get(key) is not None})
    if (folder / "training_args.bin").is_file() or (path.parent / "training_args.bin").is_file():
        notes.say(
            "training_args.bin is not read (a pickle can run code): put args.to_json_string() beside it"
        )
    run.hp = {key: scalar(value) for key, value in run.hp.items()}
    run.logged_seed = seed_of(run.hp)
    steps, most = state["global_step"], state.get("max_steps")
    if isinstance(most, int) and most > 0:
        run.status = "finished" if steps >= most else "aborted"
    for i, entry in enumerate(state["log_history"]):
        if isinstance(entry, dict) and "step" in entry:
            row = {k: v for k, v in entry.items() if k not in ("step", "epoch")}
            run.log_row(row, entry["step"], f"{path}, log_history", i + 1)
        else:
            notes.bad(f"{path}, log_history {i + 1}", "an entry without a step", "mend the file", "entry")
    return run
