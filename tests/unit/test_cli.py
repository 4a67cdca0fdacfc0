"""The command line: exit codes, one-line errors, help."""

import json
import os
import subprocess
import sys

import pytest


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
