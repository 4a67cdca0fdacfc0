"""Whether prehoc's curves are the Trainer's (python benchmarks/curves.py).

Independent seeds of transformers' Trainer with peft against as many of prehoc, on the same task,
optimiser and schedule: loss and accuracy on the validation split at several depths, their means and
their variances. A control that is wrong on purpose, a learning rate 1.5 times too large, shows that the
test would notice. Prints tables; writes a JSON file and a figure.
"""

import os

if __name__ == "__main__":  # before torch is there
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    os.environ |= {"TRANSFORMERS_VERBOSITY": "error", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    os.environ |= {"TQDM_DISABLE": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}

import argparse
import json
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
WRONG = 1.5  # the control's factor on the learning rate


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--config", type=Path, default=HERE / "curves.yaml", help="tasks to compare")
    parser.add_argument("--paths", nargs="+", help="some of its tasks; all if left out")
    parser.add_argument("--seeds", type=int, default=32)
    parser.add_argument("--alpha", type=float, default=0.01, help="level of Holm's test over all")
    parser.add_argument("--permutations", type=int, default=2000)
    parser.add_argument("--out", type=Path, default=HERE / "out" / "curves.json")
    return parser.parse_args(given)


def compare(asked: argparse.Namespace, store: Path) -> dict[str, Any]:
    """The record: curves of every path, the tests' rows, and a verdict."""
    from fidelity import compare as tests
    from fidelity.collect import prehoc_curves, trainer_curves
    from trainers import engine
    from trainers.cases import machine_facts, stages, varied

    begun, made, controls, curves = time.monotonic(), [], [], {}
    for name, stage in stages(asked.config, asked.paths, store).items():
        print(f"{name}: {asked.seeds} seeds by the Trainer", file=sys.stderr, flush=True)
        theirs = trainer_curves(stage, asked.seeds)
        curves[name] = {"depths": stage["depths"], "HF Trainer": _plain(theirs)}
        for precision, (exact, setting) in engine.settings_of(stage).items():
            ours = prehoc_curves(exact, asked.seeds, setting)
            curves[name][f"prehoc, {precision}"] = _plain(ours)
            facts = {"path": name, "precision": precision}
            both = tests.omnibus(ours, theirs, asked.permutations, 0)
            facts |= dict(zip(("p_all_means", "p_all_variances"), both, strict=True))
            made += [{**facts, **row} for row in tests.rows(ours, theirs, stage["depths"])]
        wrong = varied(stage, optimiser__lr=WRONG * stage["optimiser"]["lr"])
        ours = prehoc_curves(wrong, asked.seeds)
        rows = tests.rows(ours, theirs, stage["depths"])
        tests.adjust(rows)
        both = tests.omnibus(ours, theirs, asked.permutations, 0)
        controls.append(
            {"path": name, "factor": WRONG, "p_holm": tests.least(rows), "p_all_means": both[0]}
            | {"p_all_variances": both[1], "caught": tests.least(rows) < asked.alpha}
        )
    tests.adjust(made)
    return {
        "machine": machine_facts(),
        "settings": {"seeds": asked.seeds, "alpha": asked.alpha, "permutations": asked.permutations},
        "rows": made,
        "controls": controls,
        "least_p": tests.least(made),
        "equal": tests.least(made) >= asked.alpha,
        "caught": [c["path"] for c in controls if c["caught"]],
        "curves": curves,
        "minutes": (time.monotonic() - begun) / 60,
    }


def _plain(curves: dict[str, Any]) -> dict[str, list[list[float]]]:
    return {metric: values.tolist() for metric, values in curves.items()}


def main(given: Sequence[str] | None = None) -> dict[str, Any]:
    """Compare, print the tables, write the record and the figure."""
    import torch

    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    asked = arguments(given)
    with tempfile.TemporaryDirectory() as store:
        record = compare(asked, Path(store))
    from fidelity.show import draw, written

    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text(json.dumps(record, indent=1) + "\n")
    asked.out.with_suffix(".md").write_text(written(record))
    draw(record, asked.out.parent, asked.out.stem)
    print(written(record))
    return record


if __name__ == "__main__":
    main()
