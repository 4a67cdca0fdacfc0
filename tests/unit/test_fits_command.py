"""`prehoc fit` as a person runs it: files, exit codes, and what a callback makes of its result."""

from __future__ import annotations

import json
import math
import subprocess
import sys

import pandas as pd
import pytest

import prehoc
from own_runs import DEPTHS, runs
from prehoc import tables
from prehoc.errors import InputError
from prehoc.training.stop_rule import stop_rule

FILES = [
    *(f"{name}.csv" for name in ("advice", "c_star", "envelope", "regimes", "variance")),
    *(f"{figure}.{end}" for figure in ("fig2_decay", "fig3_phase") for end in ("csv", "pdf", "png")),
    "verdict.html",
    "verdict.json",
]


def command(*args, cwd):
    code = "from prehoc.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, "fit", *map(str, args)], cwd=cwd, capture_output=True, text=True
    )


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fit")
    frame = pd.concat([runs(n=120, seed=1), runs(n=3, task="small")])
    frame.to_csv(folder / "runs.csv", index=False)
    return folder, command("runs.csv", "--out", "out", "--price", 0.1, "--price", 0.4, cwd=folder)


def test_it_writes_what_it_says_and_prints_the_verdict(done):
    folder, run = done
    assert run.returncode == 0, run.stderr
    assert sorted(p.name for p in (folder / "out").iterdir()) == sorted(FILES)
    assert "Dynamic-Critical" in run.stdout
    assert "Refused: 3 runs" in run.stdout
    for name in ("variance", "envelope", "c_star", "regimes", "advice"):
        assert set(tables.read(name, folder / "out" / f"{name}.csv")["task"]) <= {"t"}
    c_star = tables.read("c_star", folder / "out" / "c_star.csv")
    assert set(c_star["price"]) == {0.1, 0.4}
    told = json.loads((folder / "out" / "verdict.json").read_text())
    assert [t["status"] for t in told["tasks"]] == ["refused", "verdict"]


def test_the_same_file_gives_the_same_bytes(done):
    folder, _ = done
    again = command("runs.csv", "--out", "again", "--price", 0.1, "--price", 0.4, cwd=folder)
    assert again.returncode == 0
    for name in FILES:
        assert (folder / "out" / name).read_bytes() == (folder / "again" / name).read_bytes(), name


def test_a_bad_row_ends_in_one_line_and_writes_nothing(tmp_path):
    (tmp_path / "runs.csv").write_text("seed,depth,metric\n0,1,0.5\n0,2,half\n")
    run = command("runs.csv", "--out", "out", cwd=tmp_path)
    assert run.returncode == 1
    assert run.stderr.count("\n") == 1
    assert "runs.csv, line 3, column metric: 'half' is not a number" in run.stderr
    assert not (tmp_path / "out").exists()


def test_where_no_task_carries_a_verdict_the_exit_code_is_1_and_the_reasons_are_written(tmp_path):
    runs(n=3).to_csv(tmp_path / "runs.csv", index=False)
    run = command("runs.csv", "--out", "out", cwd=tmp_path)
    assert run.returncode == 1
    assert "no task carries a verdict" in run.stderr
    told = json.loads((tmp_path / "out" / "verdict.json").read_text())
    assert told["tasks"][0]["refused"][0]["remedy"]


def test_a_callback_stops_where_the_fit_says(done):
    folder, _ = done
    fit = prehoc.fit(folder / "runs.csv", prices=[0.1, 0.4])
    row = fit.c_star[fit.c_star["recommended"] & (fit.c_star["price"] == 0.4)].iloc[0]
    said = fit.verdict()
    for source in (fit, said, said.to_dict(), folder / "out", folder / "out" / "verdict.json"):
        rule = stop_rule(source, "t", price=0.4)
        assert rule.depth == math.ceil(row["c_star"])
        assert rule.price == pytest.approx(0.4)
        assert rule.horizon == DEPTHS[-1]
    with pytest.raises(InputError, match="small"):
        stop_rule(folder / "out" / "verdict.json", "small")
