"""How fast many seeds of one task are trained (python benchmarks/training.py, or make bench).

transformers' Trainer with peft a seed, a plain loop, and prehoc at several widths, in interleaved
rounds on one thread, or on a GPU (--device cuda); the matrix products of prehoc's step on their own;
whole processes end to end; and peak memory. Prints tables and writes all rounds to a JSON file.
"""

import os
import sys

if __name__ == "__main__":  # before torch is there
    if {"cuda", "--device=cuda"} & set(sys.argv):  # one GPU, as the Trainer takes all that it sees
        os.environ["CUDA_VISIBLE_DEVICES"] = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
    else:
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
GPU_WIDTHS = {"lora": [1, 16, 64, 256, 1024], "full": [1, 16, 64, 256, 1024], "head": [1, 64, 512, 4096]}
GPU_MAIN = {"lora": 256, "full": 256, "head": 4096}
MEMORY_FACTS = ("path", "tool", "precision", "dropout", "seeds", "peak_bytes")  # of a GPU's turns
PARTS = ("speed", "end-to-end", "memory")


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--config", type=Path, default=HERE / "training.yaml", help="tasks to time")
    parser.add_argument("--paths", nargs="+", help="some of its tasks; all if left out")
    parser.add_argument("--part", nargs="+", choices=[*PARTS, "all"], default=["speed", "memory"])
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="what all train on")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.5, help="of a contender's turn in a round")
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall", help="cpu on a busy machine")
    parser.add_argument("--seeds", type=int, default=64, help="of end to end, all of them run by prehoc")
    parser.add_argument("--quick", action="store_true", help="tiny settings, to see that it runs")
    parser.add_argument("--out", type=Path, default=HERE / "out" / "training.json")
    parser.add_argument("--worker", choices=["hf", "memory"], help=argparse.SUPPRESS)
    parser.add_argument("--stage", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--depth", type=int, default=1, help=argparse.SUPPRESS)
    asked = parser.parse_args(given)
    if asked.device == "cuda" and asked.clock == "cpu":
        parser.error("--clock cpu says nothing of a GPU's time; leave it out with --device cuda")
    return asked


def measure(asked: argparse.Namespace, store: Path) -> dict[str, Any]:
    """The record: machine, settings, and a list of rows a part; written anew after each path."""
    from speed import paths, processes
    from trainers import clock, place
    from trainers.cases import kind_of, machine_facts, stages

    begun = time.monotonic()
    found = stages(asked.config, asked.paths, store)
    parts = PARTS if "all" in asked.part else asked.part
    rounds, seconds, most = (2, 0.02, 2) if asked.quick else (asked.rounds, asked.seconds, 400)
    settings = {"rounds": rounds, "seconds": seconds, "seeds": asked.seeds, "quick": asked.quick}
    settings |= {"clock": asked.clock, "device": asked.device}
    wide, mains = (GPU_WIDTHS, GPU_MAIN) if place.on_gpu() else (WIDTHS, MAIN)
    clock.use(asked.clock)
    record: dict[str, Any] = {"machine": machine_facts(), "settings": settings, "stages": found}
    record |= {"speed": [], "shares": [], "end_to_end": [], "memory": [], "left_out": []}
    if place.on_gpu() and "speed" in parts:
        paths.say("a GPU's products are not timed on their own: the recorder of products is a CPU's")
    for name, stage in found.items():
        kind = kind_of(stage)
        widths, main = ([1, 4], 4) if asked.quick else (wide[kind], mains[kind])
        if "speed" in parts or ("memory" in parts and place.on_gpu()):
            turns = (rounds, seconds, most) if "speed" in parts else (1, seconds, 1)
            rows, left = paths.measure(name, stage, widths, main, *turns)
            record["speed"] += rows if "speed" in parts else []
            record["left_out"] += left
            if "memory" in parts and place.on_gpu():  # of the same turns
                record["memory"] += [{k: v for k, v in r.items() if k in MEMORY_FACTS} for r in rows]
        if "speed" in parts and not place.on_gpu():
            record["shares"] += paths.shares(name, stage, main, rounds, seconds, most)
        if "memory" in parts and kind != "full" and not place.on_gpu():
            record["memory"] += processes.memory(name, stage, 4 if asked.quick else None)
        if "end-to-end" in parts and kind == "lora":
            record["end_to_end"] += processes.end_to_end(name, stage, asked.seeds)
        record["minutes"] = (time.monotonic() - begun) / 60
        keep(record, asked.out)  # so that a run that is cut off leaves the paths that it finished
    return record


def keep(record: dict[str, Any], out: Path) -> None:
    """Write a record and its tables."""
    from speed.report import written

    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(record, indent=1) + "\n")
    out.with_suffix(".md").write_text(written(record))


def main(given: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure, print the tables, write the record."""
    import torch

    from trainers import place

    warnings.filterwarnings("ignore")
    asked = arguments(given)
    place.use(asked.device)
    if asked.device == "cpu":
        torch.set_num_threads(1)
    if asked.worker:
        from speed.worker import worker

        stage = json.loads(asked.stage.read_text())
        print(json.dumps(worker(asked.worker, stage, asked.depth, asked.seeds)))
        return {}
    from speed.report import written

    with tempfile.TemporaryDirectory() as store:
        record = measure(asked, Path(store))
    print(written(record))
    return record


if __name__ == "__main__":
    main()
