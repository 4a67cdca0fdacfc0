"""Shards say which stage config they were made under, and `collect` takes no others."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from prehoc.cli import app
from prehoc.commands.analysis import engines
from prehoc.config import digest
from prehoc.errors import InputError

PARTS = ("runs", "draws", "outputs", "signals")


def run(*words):
    return CliRunner().invoke(app, [str(w) for w in words])


@pytest.fixture
def trained(family, tmp_path):
    """Trains a shard of a head by the command; its folder and the digest of its stage config."""

    def make(name, **over):
        config = family("head", **over)
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(config))
        folder = tmp_path / name
        words = ["train", "--config", path, "--first", 0, "--end", 3, "--device", "cpu"]
        words += [w for kind in PARTS for w in (f"--{kind}", folder / f"{kind}.parquet")]
        done = run(*words, "--engine", folder / "engine.json")
        assert done.exit_code == 0, done.output
        return folder, digest(config)

    return make


def collected(folder, out, stage):
    words = ["collect", "--forks", out / "forks.parquet", "--train-stage", stage]
    for kind in PARTS:
        words += [f"--{kind}", out / f"{kind}.parquet", f"--{kind}-part", folder / f"{kind}.parquet"]
    words += ["--engine", out / "engine.json", "--train-engine", folder / "engine.json"]
    return run(*words)


def test_runs_of_another_config_are_refused(trained, tmp_path):
    one, stage = trained("one")
    assert json.loads((one / "engine.json").read_text())["stage"] == stage
    done = collected(one, tmp_path / "out", stage)
    assert done.exit_code == 0, done.output
    assert "stage" not in json.loads((tmp_path / "out" / "engine.json").read_text())["train"][0]
    other, foreign = trained("other", optimiser__lr=0.5)
    assert foreign != stage
    done = collected(other, tmp_path / "none", stage)
    assert isinstance(done.exception, InputError) or done.exit_code == 1
    assert not (tmp_path / "none").exists()  # nothing was written


def test_the_line_names_the_file_and_the_remedy(tmp_path):
    path = tmp_path / "engine_000000-000016.json"
    path.write_text(json.dumps({"device": "cpu", "stage": "abc"}))
    with pytest.raises(
        InputError, match=r"engine_000000-000016.json: its runs were trained under another"
    ) as caught:
        engines([path], "def", "trained")
    assert "delete this file and start again" in str(caught.value)
    assert engines([path], "abc", "trained") == engines([path], None, "trained") == [{"device": "cpu"}]
    path.write_text(json.dumps({"device": "cpu"}))  # of an older version
    assert engines([path], "def", "trained") == [{"device": "cpu"}]
