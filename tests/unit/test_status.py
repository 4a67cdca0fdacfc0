"""`prehoc status`: what it counts, from which files, and that it needs no more than those."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from prehoc import cli, tables
from prehoc.config import digest, fork_parts, load, resolve, stage_config
from prehoc.errors import InputError
from prehoc.pace import Pace
from prehoc.progress import collect
from prehoc.training import lock, loop, problems

ROOT = Path(__file__).parents[2]
DEPTHS = [1, 2, 4, 8, 16, 32, 64]
NAMES = ["tiny_modular", "tiny_synthetic"]


@pytest.fixture
def project(tmp_path, monkeypatch, one_thread):
    """A folder with the resolved CI config of one trained and one simulated task, as the workflow writes it."""
    monkeypatch.chdir(tmp_path)
    whole = load(ROOT / "config/ci.yaml", ROOT / "config.yaml").model_dump(mode="json")
    whole["only"] = NAMES
    config = resolve(whole)
    for name in NAMES:
        stages = ("simulate",) if name == "tiny_synthetic" else ("train", "fork")
        for stage in (*stages, "decide"):
            payload = stage_config(config, name, stage)
            tables.write_json(payload, f"results/config/{name}/{stage}-{digest(payload)}.json")
    written = {"config": config.model_dump(mode="json"), "tasks": config.enabled()}
    tables.write_json(written, "results/config/all-0.json")
    return config


def trained(config, seeds, until=None):
    stage = stage_config(config, "tiny_modular", "train")
    if until is not None:
        stage = stage | {"depths": [d for d in DEPTHS if d <= until], "horizon": until}
    return loop.train(stage, problems.build(stage), seeds, lambda line: None)[0]


def table_of(records, name):
    frame = pd.DataFrame(records, columns=["seed", "depth", "split", "metric", "value", "failure"])
    frame.insert(0, "task", "tiny_modular")
    tables.write("runs", frame, f"results/tiny_modular/shards/{name}.parquet")


def counts(task):
    return {d.depth: (d.done, d.failed, d.running, d.to_go) for d in task.depths}


def test_nothing_begun(tmp_path):
    assert collect(tmp_path / "results") is None
    done = CliRunner().invoke(cli.app, ["status", "--results", str(tmp_path / "results")])
    assert done.exit_code == 0
    assert "nothing was begun" in done.output


def test_begun_and_nothing_done(project):
    modular, synthetic = collect(Path("results")).tasks
    assert counts(modular) == dict.fromkeys(DEPTHS, (0, 0, 0, 32))
    assert counts(synthetic) == dict.fromkeys(DEPTHS, (0, 0, 0, 200))
    assert (modular.shards, modular.seconds_left, synthetic.seconds_left) == (2, None, 0.0)
    assert collect(Path("results")).unknown == ["tiny_modular"]


def test_checkpoints_tables_locks_and_what_is_broken(project):
    table_of(trained(project, range(16)), "runs_000000-000016")
    trained(project, range(16, 24), until=8)
    base = next(Path(".prehoc/checkpoints/tiny_modular").iterdir())
    with lock.Hold(base, range(16, 24), lock.Times(), print, "tiny_modular") as hold:
        hold.take()
        now = collect(Path("results"))
    modular = now.tasks[0]
    expected = {d: (24, 0, 0, 8) if d <= 4 else (16, 0, 8, 8) for d in DEPTHS}
    # the short training's horizon lies under this one's depths: measured on val there, and so done
    expected[8] = (24, 0, 0, 8)
    assert counts(modular) == expected
    assert all(sum(c) == 32 for c in counts(modular).values())
    assert (modular.shards_done, modular.shards, now.at_once) == (1, 2, 1)
    assert [(j["pid"], j["first"], j["end"], j["alive"]) for j in now.jobs] == [(os.getpid(), 16, 24, True)]
    assert 0 < modular.seconds_left < 600
    broken = base / "seeds_000016+8" / "depth_00000004.safetensors"
    broken.write_bytes(broken.read_bytes()[:300])
    later = collect(Path("results"))
    assert counts(later.tasks[0])[4] == (16, 0, 0, 16)
    assert any(str(broken) in note for note in later.notes)
    assert later.jobs == []


def test_diverged_runs_count_as_failed_in_tables_and_checkpoints(project, monkeypatch):
    stage = stage_config(project, "tiny_modular", "train")
    rates = stage["optimiser"]["lr"]
    assert rates > 0
    real = loop.advance

    def spoil(config, setting, bank, group, start, end):
        real(config, setting, bank, group, start, end)
        if end == 16:
            bank.failed_at[2] = 9

    monkeypatch.setattr(loop, "advance", spoil)
    records = trained(project, range(8))
    seen = {d: (8, 0, 0, 24) if d < 16 else (7, 1, 0, 24) for d in DEPTHS}
    assert counts(collect(Path("results")).tasks[0]) == seen
    for path in Path(".prehoc").rglob("*.safetensors"):
        path.unlink()
    table_of(records, "runs_000000-000016")
    assert counts(collect(Path("results")).tasks[0]) == seen


def test_files_of_another_config_do_not_count(project):
    table_of(trained(project, range(16)), "runs_000000-000016")
    other = project.model_dump(mode="json")
    other["tasks"]["tiny_modular"]["optimiser"]["lr"] = 0.5
    stage = stage_config(resolve(other), "tiny_modular", "train")
    tables.write_json(stage, f"results/config/tiny_modular/train-{digest(stage)}.json")
    tables.write_json({"config": other, "tasks": NAMES}, "results/config/all-1.json")
    now = collect(Path("results"))
    assert (now.config, now.configs) == ("results/config/all-1.json", 2)
    assert counts(now.tasks[0]) == dict.fromkeys(DEPTHS, (0, 0, 0, 32))
    assert any("older than this config" in note for note in now.notes)
    before = collect(Path("results"), Path("results/config/all-0.json"))
    assert counts(before.tasks[0])[64] == (16, 0, 0, 16)


def test_a_shard_is_of_the_config_that_its_job_names(project):
    """Whatever the times say; where a job names none, times decide."""
    mine = digest(stage_config(project, "tiny_modular", "train"))
    records = trained(project, range(32))
    for path in Path(".prehoc").rglob("*.safetensors"):
        path.unlink()
    first, second = ([r for r in records if lo <= r[0] < lo + 16] for lo in (0, 16))
    table_of(first, "runs_000000-000016")
    table_of(second, "runs_000016-000032")
    shards = Path("results/tiny_modular/shards")
    for name in ("000000-000016", "000016-000032"):
        os.utime(shards / f"runs_{name}.parquet", (1e9, 1e9))  # far older than the config
    tables.write_json({"device": "cpu", "stage": mine}, shards / "engine_000000-000016.json")
    tables.write_json({"device": "cpu"}, shards / "engine_000016-000032.json")
    now = collect(Path("results"))
    assert (now.tasks[0].shards_done, counts(now.tasks[0])[64]) == (1, (16, 0, 0, 16))
    old = "tiny_modular: 1 tables under shards/ are older than this config: not counted"
    assert now.notes == [old]
    os.utime(shards / "runs_000016-000032.parquet")
    assert collect(Path("results")).tasks[0].shards_done == 2
    tables.write_json({"device": "cpu", "stage": "0" * 12}, shards / "engine_000016-000032.json")
    now = collect(Path("results"))
    assert (now.tasks[0].shards_done, counts(now.tasks[0])[64]) == (1, (16, 0, 0, 16))
    assert now.notes == ["tiny_modular: 1 tables under shards/ are of another config: not counted"]
    for broken in ("{", "[]", '{"stage": 3}'):  # as if it named none
        (shards / "engine_000016-000032.json").write_text(broken)
        assert collect(Path("results")).tasks[0].shards_done == 2
    (shards / "runs_000000-000016.parquet").unlink()  # a digest without a table is no shard
    assert collect(Path("results")).tasks[0].shards_done == 1


def test_forks_are_of_the_config_that_their_jobs_name(project):
    whole = project.model_dump(mode="json")
    forks = {"depths": [4, 16], "trunks": 8, "per_trunk": 2}
    whole["tasks"]["tiny_modular"] |= {"forks": forks, "shard": 16}
    project = resolve(whole)
    tables.write_json({"config": whole, "tasks": NAMES}, "results/config/all-1.json")
    stage = stage_config(project, "tiny_modular", "fork")
    mine = digest(stage)
    tables.write_json(stage, f"results/config/tiny_modular/fork-{mine}.json")
    folder = Path("results/tiny_modular/forks")
    folder.mkdir(parents=True)
    parts = ["-".join(map(str, p)) for p in fork_parts(project.tasks["tiny_modular"], project.packing)]
    assert parts == ["4", "16-64"]
    for part in parts:
        (folder / f"depths_{part}.parquet").touch()
        os.utime(folder / f"depths_{part}.parquet", (1e9, 1e9))
        tables.write_json({"stage": mine}, folder / f"engine_{part}.json")
    assert collect(Path("results")).tasks[0].forks_done == len(parts)
    tables.write_json({"stage": "0" * 12}, folder / f"engine_{parts[0]}.json")
    now = collect(Path("results"))
    assert now.tasks[0].forks_done == len(parts) - 1
    assert now.notes == ["tiny_modular: 1 tables under forks/ are of another config: not counted"]


def test_a_half_written_folder(project):
    shards = Path("results/tiny_modular/shards")
    shards.mkdir(parents=True)
    (shards / "runs_000000-000016.parquet").write_bytes(b"PAR1")
    (shards / ".runs_000016.x.parquet").write_bytes(b"")
    Path("results/config/all-2.json").write_text('{"config": {')
    Path(".prehoc/checkpoints/tiny_modular/0/locks").mkdir(parents=True)
    Path(".prehoc/checkpoints/tiny_modular/0/locks/seed_000000.lock").touch()
    Path(".prehoc/checkpoints/tiny_modular/0/about.json").write_text("{")
    now = collect(Path("results"))
    assert now.config == "results/config/all-0.json"
    assert counts(now.tasks[0]) == dict.fromkeys(DEPTHS, (0, 0, 0, 32))
    assert any("cannot be read" in note for note in now.notes)
    assert any("all-2.json" in note for note in now.notes)
    with pytest.raises(InputError, match=r"all-2\.json: no resolved config"):
        collect(Path("results"), Path("results/config/all-2.json"))
    with pytest.raises(InputError, match=r"none\.json: No such file"):
        collect(Path("results"), Path("none.json"))


def test_a_dead_holder_runs_nothing(project):
    with lock.Hold(Path(".prehoc/checkpoints/tiny_modular/0"), range(8), lock.Times(), print, "t") as hold:
        hold.take()
        path = hold.paths[0]
        raw = json.loads(path.read_text())
    path.write_text(json.dumps(raw | {"pid": 2**22 + 1}))  # beyond the largest there is
    now = collect(Path("results"))
    assert [job["alive"] for job in now.jobs] == [False]
    assert counts(now.tasks[0])[1] == (0, 0, 0, 32)


def test_the_command_shows_it_and_imports_no_torch(project):
    code = (
        "import sys; from prehoc import cli; sys.argv = ['prehoc', 'status', '--json', 'now.json']\n"
        "try: cli.main()\nexcept SystemExit as end: assert not end.code\n"
        "sys.exit(bool({'torch', 'snakemake', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "config: results/config/all-0.json" in done.stdout
    assert "tiny_modular" in done.stdout
    written = json.loads(Path("now.json").read_text())
    assert written["tasks"][0]["depths"][0] == {
        "depth": 1,
        "done": 0,
        "failed": 0,
        "running": 0,
        "to_go": 32,
    }
    assert written["unknown"] == ["tiny_modular"]


def test_pace_is_the_median_over_banks_and_carries_on():
    pace = Pace([1, 4, 16, 64])
    for bank, factor in enumerate((1.0, 1.0, 50.0)):  # one was interrupted
        pace.bank({1: 100.0 * bank, 4: 100.0 * bank + 8 * factor, 16: 100.0 * bank + 32 * factor}, 8)
    np.testing.assert_allclose(pace.seconds(), [1 / 3, 1.0, 3.0, 12.0])
    open_ = np.zeros((5, 4), bool)
    open_[0] = True
    open_[1, 2:] = True
    assert pace.left(open_) == pytest.approx(1 / 3 + 1 + 3 + 12 + 3 + 12)


def test_pace_from_finished_shards_where_no_checkpoint_is_left(tmp_path):
    pace = Pace([1, 4])
    assert pace.left(np.ones((2, 2), bool)) is None
    pace.bank({1: 5.0, 4: 5.0}, 8)  # measured again at once: no time
    for i, line in enumerate(("s\n32.0\n", "s\n", "h\n1\n", "s\nx\n")):
        path = tmp_path / f"{i}.tsv"
        path.write_text(line)
        pace.shard(path, 16)
    pace.shard(tmp_path / "none.tsv", 16)
    assert pace.left(np.ones((3, 2), bool)) == pytest.approx(6.0)
