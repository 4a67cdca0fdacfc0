"""The paths to be compared, as `train` stage configs, and what the machine is."""

from __future__ import annotations

import copy
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from prehoc.config import load, stage_config
from prehoc.tasks.machine import bf16_units
from trainers import place

ROOT = Path(__file__).parents[2]


def stages(path: Path, names: list[str] | None, store: Path) -> dict[str, dict[str, Any]]:
    """The `train` stage configs of a config's tasks by name; `names` None: all that the file itself has.

    A file without `defaults` is laid over the repository's config.yaml. Frozen activations go to `store`.
    """
    import yaml

    own = list(yaml.safe_load(path.read_text())["tasks"])
    config = load(path, ROOT / "config.yaml")
    unknown = set(names or []) - set(own)
    if unknown:
        raise SystemExit(f"--paths: {sorted(unknown)} unknown; {path} has {own}")
    made = {n: stage_config(config, n, "train") for n in own if not names or n in names}
    return {n: {**stage, "store": str(store)} for n, stage in made.items()}


def varied(stage: dict[str, Any], **over: Any) -> dict[str, Any]:
    """A copy of a stage config with keys set: `method__lora_dropout=0.1` sets one of a block."""
    made = copy.deepcopy(stage)
    for key, value in over.items():
        block, _, name = key.rpartition("__")
        (made[block] if block else made)[name] = value
    return made


def kind_of(stage: dict[str, Any]) -> str:
    """What of a task is trained: lora, head or full."""
    return str(stage["method"]["kind"])


def precisions(stage: dict[str, Any]) -> list[str]:
    """fp32, and bf16 where a frozen base runs at every step and the device has arithmetic for it."""
    units = bf16_units(place.device()) if kind_of(stage) == "lora" else []
    return ["fp32", "bf16"] if units else ["fp32"]


def machine_facts() -> dict[str, Any]:
    """The processor, its bf16 units, the GPU that is timed, and the versions that speeds depend on."""
    name = platform.processor()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = [x for x in info.read_text().splitlines() if x.startswith("model name")]
        name = lines[0].split(":", 1)[1].strip() if lines else name
    units = bf16_units(torch.device("cpu"))
    packages = ("prehoc", "torch", "transformers", "peft", "accelerate", "numpy")
    return {
        "processor": name,
        "bf16_units": units,
        "amx": "amx_bf16" in units,
        "threads": torch.get_num_threads(),
        "versions": {
            "python": platform.python_version(),
            **{p: metadata.version(p) for p in packages},
        },
        **place.facts(),
    }
