"""The config: schema in step, defaults filled, stages cut to what they depend on."""

import copy
import json
from pathlib import Path

import pytest
import yaml

from prehoc import config
from prehoc.config import stages
from prehoc.config.loading import merge
from prehoc.errors import InputError

ROOT = Path(__file__).parents[2]
RAW = yaml.safe_load((ROOT / "config.yaml").read_text())


def raw(**changes):
    made = copy.deepcopy(RAW)
    made.update(changes)
    return made


def test_schema_file_is_the_models():
    shipped = json.loads((ROOT / "workflow/schemas/config.schema.json").read_text())
    assert shipped == config.json_schema(), "run `make schema`"


def test_block_is_filled_from_all_then_kind_then_itself():
    resolved = config.resolve(RAW)
    task = resolved.tasks["movie_polarity_head"]
    assert task.optimiser.name == "sgd"
    assert task.optimiser.rho == RAW["defaults"]["text_classification"]["optimiser"]["rho"]
    assert task.half_shift == RAW["defaults"]["all"]["half_shift"]


def test_nothing_is_filled_from_code():
    made = raw()
    del made["defaults"]["text_classification"]["optimiser"]["clip"]
    with pytest.raises(InputError, match=r"tasks\.movie_polarity\.optimiser\.clip: missing"):
        config.resolve(made)


def test_null_on_the_command_line_is_none():
    blocks = {**copy.deepcopy(RAW["tasks"])}
    blocks["bbc_topics"] |= {"signals": "null", "outputs": "null"}  # as Snakemake's --config reads it
    task = config.resolve(raw(tasks=blocks)).tasks["bbc_topics"]
    assert task.signals is None
    assert task.outputs is None


def test_yaml_anchor_tasks_do_not_share_state():
    resolved = config.resolve(RAW)
    assert resolved.tasks["noise_hidden"].population != resolved.tasks["noise_visible"].population
    assert not resolved.tasks["movie_polarity_head"].population


def test_seeds_override_lowers_trunks_too():
    resolved = config.resolve(raw(seeds=10))
    assert {t.runs for t in resolved.tasks.values() if not t.crossed} == {10}
    assert resolved.tasks["movie_polarity_head"].forks.trunks == 10


def test_only_picks_and_keeps_file_order():
    resolved = config.resolve(raw(only=["synthetic_noise", "bbc_topics"]))
    assert resolved.enabled() == ["bbc_topics", "synthetic_noise"]


@pytest.mark.parametrize(
    ("stage", "change", "same"),
    [
        ("train", {"runs": 200}, True),
        ("train", {"shard": 7}, True),
        ("train", {"enabled": False}, True),
        ("train", {"group": "other"}, True),
        ("train", {"forks": None}, True),
        ("train", {"optimiser": {"lr": 0.5}}, False),
        ("train", {"bank": 8}, False),
        ("prepare", {"optimiser": {"lr": 0.5}}, True),
        ("prepare", {"data": {"train": 100}}, False),
        ("fork", {"forks": {"trunks": 20, "per_trunk": 5, "depths": [1]}}, False),
        ("risk", {"optimiser": {"lr": 0.5}}, True),
        ("risk", {"horizon": 300}, False),
        ("train", {"outputs": {"components": 4}}, True),
        ("train", {"outputs": {"examples": 32}}, False),
        ("fork", {"outputs": None}, True),
        ("train", {"signals": None}, False),
        ("train", {"signals": {"projections": 4}}, False),
        ("fork", {"signals": None}, True),
        ("risk", {"signals": None}, True),
        ("risk", {"outputs": {"examples": 32}}, True),
        ("risk", {"outputs": {"components": 4}}, False),
        ("decide", {"outputs": None}, False),
    ],
)
def test_stage_config_holds_what_the_stage_depends_on(stage, change, same):
    before = config.stage_config(config.resolve(RAW), "movie_polarity", stage)
    made = raw()
    made["tasks"]["movie_polarity"] = merge(made["tasks"]["movie_polarity"], change)
    after = config.stage_config(config.resolve(made), "movie_polarity", stage)
    assert (config.digest(before) == config.digest(after)) == same


def test_a_crossed_task_records_no_outputs():
    resolved = config.resolve(RAW)
    assert resolved.tasks["movie_polarity_sources"].outputs is not None
    assert config.stage_config(resolved, "movie_polarity_sources", "train")["outputs"] is None
    assert resolved.tasks["movie_polarity_sources"].signals is not None
    assert config.stage_config(resolved, "movie_polarity_sources", "train")["signals"] is None


def test_shards_cover_all_runs_once():
    task = config.resolve(raw(seeds=100)).tasks["bbc_topics"]
    seeds = [s for a, b in config.shards(task) for s in range(a, b)]
    assert seeds == list(range(100))


def test_horizon_is_always_a_fork_depth():
    task = config.resolve(RAW).tasks["movie_polarity"]
    assert config.fork_depths(task)[-1] == task.horizon


def test_source_digest_sees_every_byte(tmp_path, monkeypatch):
    folder = tmp_path / "prehoc"
    (folder / "figures").mkdir(parents=True)
    (folder / "tables").mkdir()
    (folder / "figures/a.py").write_text("y = 1\n")
    monkeypatch.setattr(stages, "__file__", str(folder / "config" / "stages.py"))
    before = config.source_digest("figures")
    (folder / "figures/a.py").write_text("y = 1  # remark\n")
    assert config.source_digest("figures") != before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"depths": [4, 2]}, "rising list"),
        ({"depths": [0, 2]}, "greater than or equal to 1"),
        ({"depths": []}, "rising list"),
        ({"method": {"layers": "bottom-2"}}, "top-K"),
        ({"method": {"kind": "full"}, "precision": "bf16"}, "with method.kind full none is"),
        ({"population": {"batch_size": {"uniform": [1, 2], "visible": True}}}, "choice"),
        ({"population": {"label_noise": {"uniform": [0.4, 0.1], "visible": True}}}, "upside down"),
        ({"population": {"label_noise": {"n": 3, "visible": True}}}, "train_subset"),
        ({"population": {"train_subset": {"n": 5000, "visible": False}}}, "exceeds data.train"),
        ({"population": {"weather": {"n": 3, "visible": True}}}, "population"),
        ({"outcome": {"metric": "loss", "target_label_noise": 0.1}}, "accuracy"),
        ({"forks": {"depths": [999], "trunks": 5, "per_trunk": 2}}, "beyond the horizon"),
        ({"runs": "many"}, "integer"),
    ],
)
def test_faults_name_the_task(change, message):
    made = raw()
    made["tasks"]["bbc_topics"] = merge(made["tasks"]["bbc_topics"], change)
    with pytest.raises(InputError, match=r"tasks\.bbc_topics") as caught:
        config.resolve(made)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["- a\n- b\n", "a: [1,\n", "\t- x: :\n"])
def test_files_that_hold_no_config(tmp_path, text):
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=r"c\.yaml"):
        config.load(path)


def test_absent_file():
    with pytest.raises(InputError, match="no such config"):
        config.load("nowhere.yaml")


def test_conda_environment_holds_the_locks_versions():
    lock = (ROOT / "envs/requirements.txt").read_text().splitlines()
    made = yaml.safe_load((ROOT / "envs/analysis.yaml").read_text())
    pins = next(d["pip"] for d in made["dependencies"] if isinstance(d, dict))
    assert len(pins) > 5
    assert set(pins) <= set(lock)


def test_outputs_are_of_all_validation_examples_where_there_are_few():
    resolved = config.resolve(raw(tasks={"mine": {**RAW["tasks"]["bbc_topics"], "data": {
        **RAW["tasks"]["bbc_topics"]["data"], "val": 20}}}))  # fmt: skip
    assert config.stage_config(resolved, "mine", "train")["outputs"] == {"examples": 20}
    assert config.stage_config(resolved, "mine", "risk")["outputs"] == {"components": 8}


@pytest.mark.parametrize("width", [1, 0, True, "all", 2.5, None])
def test_a_bank_is_auto_or_two_and_more(width):
    made = raw()
    made["tasks"]["bbc_topics"]["bank"] = width
    with pytest.raises(InputError, match=r"tasks\.bbc_topics\.bank: .*write auto, or a whole number of 2"):
        config.resolve(made)


@pytest.mark.parametrize(("device", "good"), [("cuda:1", True), ("cpu", True), ("gpu", False), (0, False)])
def test_the_device_is_named_and_part_of_no_stage(device, good):
    made = raw()
    made["device"] = device
    if not good:
        with pytest.raises(InputError, match=r"device: .*write auto, cpu, cuda or cuda:N"):
            config.resolve(made)
        return
    for stage in ("prepare", "train", "fork"):
        ours = config.stage_config(config.resolve(made), "movie_polarity", stage)
        assert ours == config.stage_config(config.resolve(RAW), "movie_polarity", stage)
        assert "device" not in ours


@pytest.mark.parametrize(
    ("task", "change", "says"),
    [
        ("movie_polarity_head", {"method": {"lora_dropout": 0.1}}, "lora_dropout acts on adapters"),
        ("modular_addition", {"method": {"lora_dropout": 0.1}}, "acts on adapters; set it to 0"),
        ("modular_addition", {"precision": "bf16"}, "modular_arithmetic has none; set it to fp32"),
        ("synthetic_noise", {"precision": "bf16"}, "synthetic has none"),
        ("bbc_topics", {"precision": "fp16"}, "'fp32' or 'bf16'"),
        ("bbc_topics", {"optimiser": {"name": "adam"}}, "'adamw', 'sgd', 'adafactor' or 'lion'"),
    ],
)
def test_what_a_kind_of_task_has_not_is_refused(task, change, says):
    made = raw()
    for key, value in change.items():
        block = made["tasks"][task]
        block[key] = {**block.get(key, {}), **value} if isinstance(value, dict) else value
    with pytest.raises(InputError, match=says):
        config.resolve(made)


@pytest.mark.parametrize("name", ["laptop-1500.yaml", "addition_smollm2.yaml", "ci.yaml"])
def test_shipped_configs_hold(name):
    made = config.load(ROOT / "config" / name, ROOT / "config.yaml")
    for task in made.enabled():
        config.stage_config(made, task, "risk")
    if name == "laptop-1500.yaml":
        packaged = [t for t in made.enabled() if made.tasks[t].model.name.startswith("packaged:")]
        assert len(packaged) == 4
        assert all(made.tasks[t].runs == 1500 and made.tasks[t].method.kind == "lora" for t in packaged)


def test_depths_by_a_ratio_are_the_list_that_they_stand_for():
    from prehoc.config.depths import geometric

    asked = {"tasks": {"movie_polarity": {"depths": {"first": 1, "ratio": 1.4142}}}}
    raw = yaml.safe_load((ROOT / "config.yaml").read_text())
    dense = config.resolve(config.loading.merge(raw, asked))
    assert dense.tasks["movie_polarity"].depths == [1, 2, 3, 4, 6, 8, 11, 16, 23, 32, 45, 64, 90, 128, 181]
    assert geometric({"first": 4, "ratio": 2}, 64) == [4, 8, 16, 32]  # the horizon is measured anyway
    for wrong in (
        {"first": 1}, {"first": 0, "ratio": 2}, {"first": 1, "ratio": 1}, {"first": 1, "ratio": float("nan")},
        {"first": 1, "ratio": 2, "last": 9}, {"first": 300, "ratio": 2},
    ):  # fmt: skip
        with pytest.raises(InputError, match=r"movie_polarity: depth"):
            config.resolve(config.loading.merge(raw, {"tasks": {"movie_polarity": {"depths": wrong}}}))
