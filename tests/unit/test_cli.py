"""The command line: exit codes, one-line errors, help."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from prehoc import config, tables

ROOT = Path(__file__).parents[2]


def prehoc(*args, cwd=None):
    code = "from prehoc.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, args)],
        cwd=cwd,
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "200"},
    )


def test_help_names_every_stage():
    done = prehoc("--help")
    assert done.returncode == 0
    for command in ("prepare", "train", "fork", "simulate", "gather", "risk", "decide", "figure", "check"):
        assert command in done.stdout


def test_wrong_usage_is_2():
    assert prehoc("train").returncode == 2
    assert prehoc("dance").returncode == 2


@pytest.mark.parametrize("text", [None, "{", "[1, 2"])
def test_bad_stage_file_is_1_with_one_line(tmp_path, text):
    path = tmp_path / "stage.json"
    if text is not None:
        path.write_text(text)
    done = prehoc("risk", "--config", path, *(x for n in (
        "runs", "forks", "draws", "variance", "envelope") for x in (f"--{n}", tmp_path / n)))  # fmt: skip
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert "stage.json" in done.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ([] if text is None else ["stage.json"])


def test_log_gets_what_the_terminal_gets(tmp_path):
    done = prehoc(
        "--log", tmp_path / "a/b.log", "gather", "--table", "nothing", "--out", tmp_path / "x.csv"
    )
    assert done.returncode == 1
    assert (tmp_path / "a/b.log").read_text() == done.stderr
    assert "tables are" in done.stderr


def test_gather_joins_in_order(tmp_path):
    stage = tmp_path / "s.json"
    for name in ("b", "a"):
        stage.write_text(
            json.dumps(
                {
                    "task": name,
                    "seed": 1,
                    "synthetic": {"process": "power_law", "alpha": 0.5, "K": 1.0},
                    "runs": 4,
                    "depths": [1, 2],
                    "horizon": 4,
                    "forks": None,
                }
            )
        )
        parts = [x for n in ("runs", "forks", "draws", "truth", "static")
                 for x in (f"--{n}", tmp_path / f"{name}_{n}.parquet")]  # fmt: skip
        done = prehoc("simulate", "--config", stage, *parts)
        assert done.returncode == 0, done.stderr
    out = tmp_path / "truth.csv"
    done = prehoc("gather", "--table", "truth", "--out", out, tmp_path / "b_truth.parquet",
                  tmp_path / "a_truth.parquet")  # fmt: skip
    assert done.returncode == 0, done.stderr
    names = [line.split(",")[0] for line in out.read_text().splitlines()[1:]]
    assert names == sorted(names, reverse=True)
    assert set(names) == {"a", "b"}


def test_the_snakefile_side_imports_neither_torch_nor_pandas():
    code = (
        "import sys; import prehoc.config, prehoc.preflight; from prehoc.synthetic import instances; "
        "print([m for m in ('torch', 'pandas', 'transformers', 'snakemake') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def test_a_task_whose_runs_all_fail_is_reported_and_stops_nothing(tmp_path):
    rows = [(d, s, n) for d in (1, 2, 4) for s in ("val",) for n in range(8)]
    frame = pd.DataFrame(rows, columns=["depth", "split", "seed"])
    last = pd.DataFrame({"depth": 4, "split": "target", "seed": range(8)})
    frame = pd.concat([frame, last]).assign(task="t", metric="loss", value=float("nan"), failure=True)
    tables.write("runs", frame[list(tables.SCHEMAS["runs"].columns)], tmp_path / "runs.parquet")
    for name in ("forks", "draws", "static"):
        tables.write(name, tables.empty(name), tmp_path / f"{name}.parquet")
    raw = yaml.safe_load((ROOT / "config.yaml").read_text())
    raw["tasks"] = {"t": {"kind": "synthetic", "synthetic": {"process": "power_law"}, "horizon": 4,
                          "depths": [1, 2], "forks": None}}  # fmt: skip
    resolved = config.resolve(raw)
    files = {n: tmp_path / f"{n}.parquet" for n in ("runs", "forks", "draws")}
    made = {
        n: tmp_path / f"{n}.csv"
        for n in ("variance", "envelope", "c_star", "regimes", "intrinsic", "advice")
    }
    fixed = ("static", tmp_path / "static.parquet")
    for stage, wanted in (
        ("risk", [*files.items(), *list(made.items())[:2]]),
        ("decide", [*files.items(), fixed, *made.items(), ("verdict", tmp_path / "verdict.json")]),
    ):
        path = tmp_path / f"{stage}.json"
        payload = config.stage_config(resolved, "t", stage)
        if stage == "risk":
            payload |= {"kind": "text_classification", "outcome": {"metric": "loss"}}
        path.write_text(json.dumps(payload))
        words = [w for n, p in wanted for w in (f"--{n.replace('_', '-')}", p)]
        done = prehoc(stage, "--config", path, *words)
        assert done.returncode == 0, done.stderr
    assert tables.read("variance", made["variance"])["failure_rate"].tolist() == [1.0]
    assert "100% of its runs failed" in json.loads((tmp_path / "verdict.json").read_text())["in_words"]
