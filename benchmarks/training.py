"""How fast many seeds of one task are trained (python benchmarks/training.py, or make bench).

transformers' Trainer with peft a seed, a plain loop, and prehoc at several widths, in interleaved
rounds on one thread; the matrix products of prehoc's step on their own; whole processes end to end;
and peak memory. Prints tables and writes all rounds to a JSON file.
"""

import os

if __name__ == "__main__":  # before torch is there
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    os.environ |= {"TRANSFORMERS_VERBOSITY": "error", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    os.environ |= {"TQDM_DISABLE": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}

import argparse
import json
import tempfile
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
WIDTHS = {"lora": [1, 4, 16, 64], "full": [1, 4, 16, 64], "head": [1, 4, 16, 64, 512, 1500]}
MAIN = {"lora": 16, "full": 16, "head": 512}  # the width at which precision, dropout and shares are told
PARTS = ("speed", "end-to-end", "memory")


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--config", type=Path, default=HERE / "training.yaml", help="tasks to time")
    parser.add_argument("--paths", nargs="+", help="some of its tasks; all if left out")
    parser.add_argument("--part", nargs="+", choices=[*PARTS, "all"], default=["speed", "memory"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.5, help="of a contender's turn in a round")
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall", help="cpu on a busy machine")
    parser.add_argument("--seeds", type=int, default=64, help="of end to end, all of them run by prehoc")
    parser.add_argument("--quick", action="store_true", help="tiny settings, to see that it runs")
    parser.add_argument("--out", type=Path, default=HERE / "out" / "training.json")
    parser.add_argument("--worker", choices=["hf", "memory"], help=argparse.SUPPRESS)
    parser.add_argument("--stage", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--depth", type=int, default=1, help=argparse.SUPPRESS)
    return parser.parse_args(given)


def measure(asked: argparse.Namespace, store: Path) -> dict[str, Any]:
    """The record: machine, settings, and a list of rows a part."""
    from speed import paths, processes
    from trainers import clock
    from trainers.cases import kind_of, machine_facts, stages

    begun = time.monotonic()
    found = stages(asked.config, asked.paths, store)
    parts = PARTS if "all" in asked.part else asked.part
    rounds, seconds, most = (2, 0.02, 2) if asked.quick else (asked.rounds, asked.seconds, 400)
    settings = {"rounds": rounds, "seconds": seconds, "seeds": asked.seeds, "quick": asked.quick}
    settings["clock"] = asked.clock
    clock.use(asked.clock)
    record: dict[str, Any] = {"machine": machine_facts(), "settings": settings, "stages": found}
    record |= {"speed": [], "shares": [], "end_to_end": [], "memory": []}
    for name, stage in found.items():
        kind = kind_of(stage)
        widths, main = ([1, 4], 4) if asked.quick else (WIDTHS[kind], MAIN[kind])
        if "speed" in parts:
            record["speed"] += paths.measure(name, stage, widths, main, rounds, seconds, most)
            record["shares"] += paths.shares(name, stage, main, rounds, seconds, most)
        if "memory" in parts and kind != "full":
            record["memory"] += processes.memory(name, stage, 4 if asked.quick else None)
        if "end-to-end" in parts and kind == "lora":
            record["end_to_end"] += processes.end_to_end(name, stage, asked.seeds)
    record["minutes"] = (time.monotonic() - begun) / 60
    return record


def main(given: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure, print the tables, write the record."""
    import torch

    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    asked = arguments(given)
    if asked.worker:
        from speed.worker import worker

        stage = json.loads(asked.stage.read_text())
        print(json.dumps(worker(asked.worker, stage, asked.depth, asked.seeds)))
        return {}
    from speed.report import written

    with tempfile.TemporaryDirectory() as store:
        record = measure(asked, Path(store))
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text(json.dumps(record, indent=1) + "\n")
    asked.out.with_suffix(".md").write_text(written(record))
    print(written(record))
    return record


if __name__ == "__main__":
    main()
