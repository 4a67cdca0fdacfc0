"""`prehoc import` as a person calls it: outputs, the summary, and what it says of bad input."""

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from logged import imported

from prehoc.errors import InputError
from prehoc.logs.kinds import KINDS, looks_like

KEYS = ["task", "seed", "source", "status", "rows", "first_depth", "last_depth", "last_metric"]


def prehoc(*args):
    code = "from prehoc.cli import main; main()"
    env = {**os.environ, "COLUMNS": "200"}
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, args)], capture_output=True, text=True, env=env
    )


def lightning(folder, values, name="metrics.csv"):
    folder.mkdir(parents=True)
    rows = "".join(f"0,{step},{value}\n" for step, value in values)
    (folder / name).write_text("epoch,step,val_loss\n" + rows)


def mllog(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(':::MLLOG {"key": "eval_accuracy", "value": 0.5, "metadata": {"step_num": 3}}\n')


def trainer(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('{"global_step": 1, "max_steps": 1, "log_history": [{"step": 1, "eval_loss": 0.5}]}')


def mlflow(folder):
    (folder / "0" / "r" / "metrics").mkdir(parents=True)
    (folder / "0" / "r" / "metrics" / "val_loss").write_text("1 0.5 1\n")
    (folder / "0" / "r" / "meta.yaml").write_text("status: 3\n")


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_the_table_its_index_and_the_summary(tmp_path, suffix):
    lightning(tmp_path / "logs" / "exp" / "version_0", [(1, 0.5), (2, 0.4), (2, 0.3)])
    lightning(tmp_path / "logs" / "exp" / "version_1", [(1, 0.6), (2, "nan")])
    lightning(tmp_path / "logs" / "exp" / "version_2", [])
    out = tmp_path / "runs" / f"mine{suffix}"
    done = prehoc("import", "lightning", tmp_path / "logs", "--out", out)
    assert done.returncode == 0, done.stderr
    runs = pd.read_csv(out) if suffix == ".csv" else pd.read_parquet(out)
    assert list(runs.columns) == ["task", "seed", "depth", "metric"]
    assert runs["metric"].isna().tolist() == [False, False, False, True]
    index = pd.read_csv(out.with_suffix(".index.csv"))
    assert set(KEYS) <= set(index.columns)
    assert index["rows"].tolist() == [2, 2, 0]
    assert index["repeated"].tolist() == [1, 0, 0]
    assert index["last_depth"].tolist()[:2] == [2, 2]
    assert sorted(p.name for p in out.parent.iterdir()) == sorted(
        [f"mine{suffix}", "mine.index.csv", "mine.import.json"]
    )
    assert "3 runs, 4 rows of val_loss, 1 task\n" in done.stdout
    assert "no evaluation, in the index alone: 1 run: exp/version_2/metrics.csv" in done.stdout
    assert "failures (NaN or infinite; an empty metric): 1 row" in done.stdout
    assert "1 value logged again at a depth of a run: the last one stands" in done.stderr
    again = prehoc("import", "lightning", tmp_path / "logs", "--out", out)
    assert again.stdout == done.stdout


def test_no_import_leaves_half_a_table_or_reads_its_own(tmp_path):
    (tmp_path / "a.csv").write_text("seed,depth,metric\n0,1,0.5\n")
    out = tmp_path / "runs.csv"
    assert prehoc("import", "csv", tmp_path, "--out", out).returncode == 0
    first = out.read_bytes()
    assert prehoc("import", "csv", tmp_path, "--out", out).returncode == 0
    assert out.read_bytes() == first
    (tmp_path / "b.csv").write_text("seed,depth,metric\n0,1,bad\n")
    failed = prehoc("import", "csv", tmp_path, "--out", out)
    assert failed.returncode == 1
    assert len(failed.stderr.strip().splitlines()) == 1
    assert out.read_bytes() == first
    assert "is what is read" in prehoc("import", "csv", out, "--out", out).stderr


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["lora", "x"], "lora: no kind of log; take one of mlperf, trainer"),
        (["csv", "missing"], "missing: no such file or folder"),
        (["csv", "."], "an empty folder; give the one that holds a .csv file"),
        (["csv", ".", "--empty", "maybe"], "--empty maybe: take one of auto, failed, skip"),
        (["csv", ".", "--bad-lines", "drop"], "--bad-lines drop: take one of stop, skip"),
        (["trainer", ".", "--map", "seed=x"], "--map is for csv, not for trainer"),
        (["mlflow", ".", "--depth", "x"], "--depth is for csv, wandb, lightning, not for mlflow"),
        (["csv", ".", "--out", "runs.txt"], "give --out a name that ends in .csv or .parquet"),
    ],
)
def test_wrong_use_is_one_clear_line(tmp_path, args, said, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    done = prehoc("import", *args, *([] if "--out" in args else ["--out", tmp_path / "runs.csv"]))
    assert done.returncode == 1
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "runs.csv").exists()


def every_kind(folder):
    mllog(folder / "mlperf" / "result_0.txt")
    trainer(folder / "trainer" / "run" / "trainer_state.json")
    lightning(folder / "lightning" / "exp" / "version_0", [(1, 0.5)])
    mlflow(folder / "mlflow")
    (folder / "wandb").mkdir()
    (folder / "wandb" / "a.jsonl").write_text('{"_step": 1, "val_loss": 0.5}\n')
    (folder / "csv").mkdir()
    (folder / "csv" / "x.csv").write_text("seed,global_step,metric\n0,1,0.5\n")
    (folder / "tensorboard").mkdir()
    (folder / "tensorboard" / "events.out.tfevents.1.host").write_bytes(b"\x00" * 40)


def test_logs_of_another_kind_are_recognised(tmp_path):
    every_kind(tmp_path)
    for kind in KINDS:
        assert looks_like(tmp_path / kind) == kind
    files = {
        "mlperf": "mlperf/result_0.txt",
        "trainer": "trainer/run/trainer_state.json",
        "csv": "csv/x.csv",
        "wandb": "wandb/a.jsonl",
    }
    for looks, name in files.items():
        for kind in KINDS:
            if kind == looks or (kind, looks) == ("csv", "wandb"):
                continue
            with pytest.raises(InputError) as error:
                imported(kind, tmp_path / name)
            assert f"it looks like {looks}: prehoc import {looks} " in str(error.value), (
                kind,
                str(error.value),
            )
    for kind in ("trainer", "lightning", "mlperf", "mlflow"):
        with pytest.raises(InputError, match="it looks like wandb"):
            imported(kind, tmp_path / "wandb")


def test_text_of_another_encoding_and_binary_are_one_clear_line(tmp_path):
    path = tmp_path / "x.csv"
    for content, said in (
        ("seed,depth,metric\n0,1,0.5\n".encode("utf-16"), "not UTF-8 text"),
        (b"seed,depth,metric\n0,1,0.5,\xe9\n", "not UTF-8 text"),
        (b"seed,depth,metric\n0,1,\x00\n", "NUL bytes"),
    ):
        path.write_bytes(content)
        with pytest.raises(InputError, match=said):
            imported("csv", path)


def test_links_are_followed_once_and_a_copied_run_is_told(tmp_path):
    lightning(tmp_path / "logs" / "exp" / "version_0", [(1, 0.51), (2, 0.42)])
    (tmp_path / "logs" / "exp" / "loop").symlink_to(tmp_path / "logs")
    (tmp_path / "logs" / "exp" / "latest").symlink_to(tmp_path / "logs" / "exp" / "version_0")
    (tmp_path / "logs" / "last").mkdir()
    (tmp_path / "logs" / "last" / "metrics.csv").symlink_to(
        tmp_path / "logs" / "exp" / "version_0" / "metrics.csv"
    )
    _, index, _ = imported("lightning", tmp_path / "logs")
    assert index["source"].tolist() == ["exp/version_0/metrics.csv"]
    lightning(tmp_path / "logs" / "exp" / "version_1", [(1, 0.51), (2, 0.42)])
    _, index, lines = imported("lightning", tmp_path / "logs")
    assert any("warning: 1 run with the curve of another" in said for said in lines)


def test_runs_that_each_stand_alone_are_warned_of(tmp_path):
    for i in range(3):
        trainer(tmp_path / f"seed_{i}" / "output" / "trainer_state.json")
    _, index, lines = imported("trainer", tmp_path)
    assert index["task"].nunique() == 3
    assert any("every task has one run" in said for said in lines)
    assert imported("trainer", tmp_path, task="all")[1]["seed"].tolist() == [0, 1, 2]


def test_reading_logs_loads_no_torch():
    code = "import sys, prehoc.logs.kinds; print([m for m in ('torch', 'transformers', 'tensorboard') if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parent
    )
    assert done.stdout.strip() == "[]"
