"""`prehoc plan --pilot`: what is read from a pilot's files, and what is not taken from them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner

from prehoc import cli, tables
from prehoc.config import digest, resolve, stage_config
from prehoc.config.loading import merge
from prehoc.errors import InputError
from prehoc.plan import pilot, prospects
from prehoc.plan.budget import with_runs
from prehoc.plan.cost import cost
from prehoc.training import loop, problems

ROOT = Path(__file__).parents[2]
RAW = yaml.safe_load((ROOT / "config.yaml").read_text())


# ---------------------------------------------------------------- pilots
@pytest.fixture
def trained(tmp_path, monkeypatch, one_thread):
    """A folder with the files of a finished pilot of tiny_modular: 16 runs, checkpoints, benchmark files."""
    monkeypatch.chdir(tmp_path)
    raw = merge(yaml.safe_load((ROOT / "config/ci.yaml").read_text()), {"only": ["tiny_modular"]})
    config = resolve(merge(RAW, raw))
    for stage in ("train", "fork"):
        payload = stage_config(config, "tiny_modular", stage)
        tables.write_json(payload, f"results/config/tiny_modular/{stage}-{digest(payload)}.json")
    stage = stage_config(config, "tiny_modular", "train")
    loop.train(stage, problems.build(stage), range(16), lambda line: None)
    at = 1_000_000_000.0  # each bank reaches each depth at 0.25 s a run and step
    for folder in Path(".prehoc/checkpoints/tiny_modular").glob("*/seeds_*"):
        for path in folder.glob("*.safetensors"):
            depth = int(path.stem.removeprefix("depth_"))
            os.utime(path, (at, at + 8 * 0.25 * depth))
    bench = Path("results/benchmarks/train/tiny_modular_000000-000016.tsv")
    bench.parent.mkdir(parents=True)
    bench.write_text(f"s\th:m:s\n{16 * 64 * 0.25 + 9}\t0\n")
    return config


def test_a_pilots_checkpoints_are_what_is_measured(trained):
    found = pilot.read(Path("results"), trained, ["tiny_modular"])["tiny_modular"]
    assert (found.runs, found.step_from, found.notes) == (16, "checkpoints", [])
    assert found.step_ms == pytest.approx(250)
    assert found.start_seconds == pytest.approx(9)
    sizes = [p.stat().st_size for p in Path(".prehoc").glob("checkpoints/*/*/*/*.safetensors")]
    assert found.checkpoint_bytes == pytest.approx(np.mean(sizes) / 8)
    (task,) = cost(trained, {"tiny_modular": found}).tasks
    assert task.train_hours == pytest.approx(32 * 64 * 0.25 / 3600)
    assert task.start_hours == pytest.approx(3 * 9 / 3600)
    assert task.times_from == "measured (16 runs: checkpoints)"
    assert task.bytes_from == "checkpoints measured, the rest estimated"


def test_without_checkpoints_benchmark_files_are(trained):
    Path(".prehoc").rename("gone")
    Path("results/benchmarks/train/tiny_modular_000016-000032.tsv").write_text("no benchmark file")
    found = pilot.read(Path("results"), trained, ["tiny_modular"])["tiny_modular"]
    assert found.step_ms == pytest.approx(250 + 9 / (16 * 64) * 1000)
    assert (found.runs, found.start_seconds) == (16, 0.0)
    assert found.step_from == "benchmark files, starts in them"
    assert found.checkpoint_bytes is None


@pytest.mark.parametrize("stretch", [100.0, 1e-4])
def test_checkpoints_times_that_cannot_be_the_jobs_are_not_used(trained, stretch):
    """Touched ten hours later, or copied within a second: the benchmark files know better."""
    for path in Path(".prehoc/checkpoints").rglob("depth_*.safetensors"):
        start = 1_000_000_000.0
        os.utime(path, (start, start + stretch * (path.stat().st_mtime - start)))
    found = pilot.read(Path("results"), trained, ["tiny_modular"])["tiny_modular"]
    assert found.step_from == "benchmark files, starts in them"
    assert found.step_ms == pytest.approx(250 + 9 / (16 * 64) * 1000)
    assert any("paused, or copied" in note for note in found.notes)


def test_other_settings_are_not_measured_and_a_note_says_so(trained):
    change = {"tasks": {"tiny_modular": {"optimiser": {"batch_size": 64}}}}
    other = resolve(merge(trained.model_dump(mode="json"), change))
    found = pilot.read(Path("results"), other, ["tiny_modular"])["tiny_modular"]
    assert (found.step_ms, found.runs, found.checkpoint_bytes) == (None, 0, None)
    assert "estimated" in found.notes[0]
    assert cost(other, {"tiny_modular": found}).tasks[0].times_from == "estimated"


def test_times_of_another_device_are_not_used(trained):
    tables.write_json({"device": "cuda"}, "results/tiny_modular/shards/engine_000000-000016.json")
    on_cpu = resolve(trained.model_dump(mode="json") | {"device": "cpu"})
    found = pilot.read(Path("results"), on_cpu, ["tiny_modular"])["tiny_modular"]
    assert found.step_ms is None
    assert "ran on cuda" in found.notes[0]
    assert pilot.read(Path("results"), trained, ["tiny_modular"])["tiny_modular"].device == "cuda"


def test_a_broken_checkpoint_is_noted_and_not_counted(trained):
    path = next(Path(".prehoc").glob("checkpoints/*/*/*/depth_00000064.safetensors"))
    path.write_bytes(path.read_bytes()[:100])
    found = pilot.read(Path("results"), trained, ["tiny_modular"])["tiny_modular"]
    assert path.name in found.notes[0]
    assert found.step_ms == pytest.approx(250)


def test_no_pilot_is_one_line():
    with pytest.raises(InputError, match="no results of a pilot"):
        pilot.read(Path("nowhere"), resolve(RAW), ["movie_polarity"])


@pytest.fixture
def decided(tmp_path, monkeypatch):
    """A pilot of a synthetic task of 50 runs, in which c* = 4 at price .2 is repaid by 100 runs."""
    monkeypatch.chdir(tmp_path)
    forks = {"depths": [1], "trunks": 10, "per_trunk": 2}
    tiny = {"runs": 50, "depths": [1, 4, 8], "horizon": 16, "forks": forks}
    config = resolve(merge(RAW, {"only": ["synthetic_dynamic"], "tasks": {"synthetic_dynamic": tiny}}))
    name = "synthetic_dynamic"
    stage = stage_config(config, name, "simulate")
    tables.write_json(stage, f"results/config/{name}/simulate-{digest(stage)}.json")
    CliRunner().invoke(
        cli.app,
        ["simulate", "--config", f"results/config/{name}/simulate-{digest(stage)}.json"]
        + [x for k in ("runs", "forks", "draws", "truth", "static") for x in (f"--{k}", f"results/{name}/{k}.parquet")],
    )  # fmt: skip
    about = {"task": name, "proxy": "residual", "information": "last"}
    made = {
        "variance": {"depth": 1, "n": 50, "metric": "value"},
        "envelope": {"model": "power", "alpha": 0.5, "alpha_low": 0.3, "alpha_high": 0.8, "horizon": 16,
                     "identified": True, "depths": 4, "note": ""},
        "c_star": {"rule": "guarded", "price": 0.2, "c_star": 4.0, "corner": "interior",
                   "break_even_runs": 100.0, "recommended": True},
    }  # fmt: skip
    for table, row in made.items():
        frame = pd.DataFrame([about | row]).reindex(columns=list(tables.SCHEMAS[table].columns))
        tables.write(table, frame, f"results/tables/{table}.csv")
    return config


def test_what_a_pilot_says_of_c_star_and_alpha_scales_to_the_plan(decided):
    """Four times the runs: alpha's interval halves; break-even grows with the calibration's steps."""
    (one,), notes = prospects.read(Path("results"), with_runs(decided, 200), ["synthetic_dynamic"])
    assert notes == []
    assert one.pilot_steps == 50 * 16 + 10 * 2 * 15
    assert one.planned_steps == 200 * 16 + 10 * 2 * 15
    assert (one.n, one.planned, one.c_star, one.price) == (50, 200, 4.0, 0.2)
    assert one.width_then == pytest.approx(0.25)
    assert one.break_even == pytest.approx(100 * 3500 / 1100)


def test_decisions_of_other_settings_or_none_are_noted(decided):
    deeper = resolve(
        merge(decided.model_dump(mode="json"), {"tasks": {"synthetic_dynamic": {"horizon": 32}}})
    )
    seen, notes = prospects.read(Path("results"), deeper, ["synthetic_dynamic"])
    assert seen == []
    assert "other settings" in notes[0]
    Path("results/tables/c_star.csv").unlink()
    seen, notes = prospects.read(Path("results"), decided, ["synthetic_dynamic"])
    assert seen == []
    assert "no decisions yet" in notes[0]


def run(*args):
    return CliRunner().invoke(cli.app, ["plan", *map(str, args)])


def test_measured_steps_are_written_as_a_config_that_is_then_used(trained):
    Path("config.yaml").write_text((ROOT / "config.yaml").read_text())
    Path("ci.yaml").write_text((ROOT / "config/ci.yaml").read_text())
    asked = ("ci.yaml", "--config", "only=[tiny_modular]", "--config", "device=cpu")
    done = run(*asked, "--pilot", "results", "--write-resources", "pace.yaml", "--budget", 1)
    assert done.exit_code == 0, done.output
    assert yaml.safe_load(Path("pace.yaml").read_text()) == {
        "tasks": {"tiny_modular": {"resources": {"step_ms": 250.0}}}
    }
    config = merge(
        merge(RAW, yaml.safe_load(Path("ci.yaml").read_text())),
        yaml.safe_load(Path("pace.yaml").read_text()),
    )
    assert resolve(config).tasks["tiny_modular"].resources.step_ms == 250
    again = run(asked[0], "pace.yaml", *asked[1:])
    assert "resources.step_ms" in again.output


def test_a_plan_says_which_tasks_were_measured(trained):
    Path("config.yaml").write_text((ROOT / "config.yaml").read_text())
    Path("ci.yaml").write_text((ROOT / "config/ci.yaml").read_text())
    asked = ("ci.yaml", "--config", "only=[tiny_modular, tiny_head]", "--config", "device=cpu")
    assert "in all (no time measured)" in run(*asked).output
    done = run(*asked, "--pilot", "results").output
    assert "in all (times measured in 1 of 2 tasks)" in done
    assert "tiny_head: the pilot has no times of this task with these settings" in done


def test_a_pace_of_a_cpu_says_so_and_makes_no_gpu_hours(trained):
    """The record of a CPU's pilot names its device, and a later plan without the pilot keeps to it."""
    Path("config.yaml").write_text((ROOT / "config.yaml").read_text())
    Path("ci.yaml").write_text((ROOT / "config/ci.yaml").read_text())
    tables.write_json({"device": "cpu"}, "results/tiny_modular/shards/engine_000000-000016.json")
    asked = ("ci.yaml", "--config", "only=[tiny_modular]")
    measured = run(*asked, "--pilot", "results", "--write-resources", "pace.yaml").output
    assert yaml.safe_load(Path("pace.yaml").read_text()) == {
        "tasks": {"tiny_modular": {"resources": {"step_ms": 250.0, "measured_on": "cpu"}}}
    }
    again = run(asked[0], "pace.yaml", *asked[1:]).output
    assert "measured on a CPU (16 runs: checkpoints" in measured
    assert "resources.step_ms, measured on a CPU" in again
    for said in (measured, again):
        assert "core-hours" in said
        assert "GPU-hours" not in said
