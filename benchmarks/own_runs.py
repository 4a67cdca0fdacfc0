"""How long `prehoc fit` takes, start to last file: 1,500 runs at 10 depths, and how that grows.

    python benchmarks/own_runs.py

Each line is a process of its own, its imports in, on one thread; ratios are to the first line.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

SIZES = ((1500, 10, 1), (150, 10, 1), (15_000, 10, 1), (1500, 30, 1), (150, 10, 10))
CODE = "from prehoc.cli import main; main()"


def runs(n: int, depths: int, tasks: int) -> pd.DataFrame:
    """Random walks over geometric depths, each run's last value its outcome; `n` runs a task."""
    rng = np.random.default_rng(0)
    at = np.unique(np.round(np.geomspace(1, 1024, 4 * depths)))
    at = at[np.linspace(0, len(at) - 1, depths).round().astype(int)].astype(int)
    parts = []
    for task in range(tasks):
        walk = np.cumsum(rng.normal(size=(n, depths)), axis=1)
        columns = {"seed": np.repeat(np.arange(n), depths), "depth": np.tile(at, n), "metric": walk.ravel()}
        parts.append(pd.DataFrame({"task": f"task_{task}", **columns}))
    return pd.concat(parts)


def seconds(frame: pd.DataFrame, folder: Path) -> float:
    """Wall seconds of `prehoc fit` on these runs, in a new process."""
    path = folder / "runs.csv"
    frame.to_csv(path, index=False)
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, "-c", CODE, "fit", str(path), "--out", str(folder / "out")],
        check=True,
        env={**os.environ, **threads},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return time.perf_counter() - start


def main() -> None:
    """Print seconds and ratios; the median of three rounds, sizes interleaved."""
    with tempfile.TemporaryDirectory() as name:
        found = [[seconds(runs(*size), Path(name)) for size in SIZES] for _ in range(3)]
    middle = np.median(found, axis=0)
    print("runs a task, depths, tasks: seconds (ratio to the first)")
    for size, took in zip(SIZES, middle, strict=True):
        print(f"{size[0]:>7,} {size[1]:>4} {size[2]:>4}: {took:6.2f} s  ({took / middle[0]:.2f})")


if __name__ == "__main__":
    main()
