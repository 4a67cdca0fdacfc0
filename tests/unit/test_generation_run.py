"""Text generation from a config to tables: prepare, train, fork, export; what the config refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml
from generating import generation, sampled
from trained import train
from typer.testing import CliRunner

from prehoc.cli import app
from prehoc.config import resolve, stage_config
from prehoc.config.loading import merge
from prehoc.config.resources import fork_minutes, train_minutes
from prehoc.errors import InputError
from prehoc.preflight import preflight
from prehoc.training import plan, problems

BASE = yaml.safe_load((Path(__file__).parents[2] / "config.yaml").read_text())


def task(**over):
    block = {"kind": "text_generation", "data": {"name": "packaged:addition"}}
    block["generation"] = {"prompt": "{a}+{b}=", "completion": "{sum}"}
    return resolve(merge(BASE, {"only": ["g"], "tasks": {"g": merge(block, over)}}), "config")


def run(*words):
    made = CliRunner().invoke(app, [str(w) for w in words], catch_exceptions=False)
    assert made.exit_code == 0, made.output


def test_from_a_stage_config_to_tables_and_an_adapter(stage, tiny_decoder, tmp_path):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    config = sampled(generation(stage, tiny_decoder, bank=4, depths=[1, 2, 4, 8, 16], horizon=24), 0.8)
    config["optimiser"]["lr"] = 0.03
    config["generation"]["judge"] = "number"
    config |= {"forks": {"depths": [8], "trunks": 2, "per_trunk": 2}, "outputs": {"examples": 6}}
    path = tmp_path / "stage.json"
    path.write_text(json.dumps(config))
    out = {k: tmp_path / f"{k}.parquet" for k in ("static", "runs", "draws", "outputs", "forks")}
    run("prepare", "--config", path, "--static", out["static"], "--sources", tmp_path / "sources.json")
    static = pd.read_parquet(out["static"]).set_index("feature")["value"]
    assert static["rows_target"] == 15
    assert 4 < static["mean_tokens"] < 8
    more = [word for k in ("runs", "draws", "outputs") for word in (f"--{k}", out[k])]
    run("train", "--config", path, "--first", 0, "--end", 4, *more)
    runs = pd.read_parquet(out["runs"])
    assert sorted(runs["depth"].unique()) == [1, 2, 4, 8, 16, 24]
    val = runs[(runs["split"] == "val") & (runs["metric"] == "loss")].groupby("depth")["value"].mean()
    assert val[24] < 0.8 * val[1]
    assert runs[runs["metric"] == "accuracy"]["value"].between(0, 1).all()
    assert len(pd.read_parquet(out["outputs"])) == 4 * 6 * 6
    run("fork", "--config", path, "--depth", 8, "--out", out["forks"])
    assert len(pd.read_parquet(out["forks"])) == 2 * 2 * 2
    run("export", "--config", path, "--seed", 3, "--depth", 16, "--out", tmp_path / "adapter")
    model = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(tiny_decoder), tmp_path / "adapter"
    ).eval()
    setting = problems.build(config)
    e = setting.problem.examples["val"][0]
    ids = torch.tensor([[*e.prompt, *e.completion]])
    labels = torch.tensor([[-100] * len(e.prompt) + e.completion])
    outputs = pd.read_parquet(out["outputs"]).query("seed == 3 and depth == 16 and example == 0")
    assert float(model(input_ids=ids, labels=labels).loss) == pytest.approx(
        -outputs["value"].item(), abs=1e-5
    )
    assert "{a}+{b}=" in (tmp_path / "adapter" / "README.md").read_text()


def test_a_resumed_run_is_the_run(stage, tiny_decoder):
    config = sampled(generation(stage, tiny_decoder, depths=[2, 4], horizon=8))
    whole = train(config, range(4), "a")
    train(config | {"horizon": 4, "depths": [2]}, range(4), "b")
    assert train(config, range(4), "b") == whole


def test_crossed_decoding_shares_keys_by_level(stage, tiny_decoder):
    config = sampled(generation(stage, tiny_decoder, crossed=["init", "decoding"]))
    setting = problems.build(config)
    keys = plan.decoding_keys(config, plan.Group(plan.drawn(config, setting, range(8)), 8)).tolist()
    assert keys[0] == keys[1] != keys[2] == keys[3]  # bit 1 of the run's number is decoding's
    assert len(set(keys)) == 4
    assert task(
        crossed=["init", "decoding"], forks=None, outputs=None, runs=40,
        generation={"decoding": {"kind": "sample"}},
    ).tasks["g"].drawn() == {"init", "order", "decoding"}  # fmt: skip
    with pytest.raises(InputError, match="decoding never varies"):
        task(crossed=["init", "decoding"], forks=None, runs=40)


@pytest.mark.parametrize(
    ("over", "says"),
    [
        ({"generation": {"prompt": "{a.b}"}}, "bare name of a column"),
        ({"generation": {"completion": " "}}, "completion is empty"),
        ({"generation": {"judge": "vibes"}}, "judge"),
        ({"generation": {"decoding": {"kind": "beam"}}}, "decoding"),
        ({"generation": {"decoding": {"top_p": 0}}}, "top_p"),
        ({"generation": {"decoding": {"temperature": 0}}}, "temperature"),
        ({"generation": {"max_new_tokens": 0}}, "max_new_tokens"),
        ({"generation": {"stop": [""]}}, "stop"),
        ({"data": {"label": "sum"}}, "data.label: text_generation reads columns by templates"),
        ({"data": {"label_noise": 0.1}}, "set data.label_noise"),
        ({"method": {"kind": "head"}}, "set method.kind to lora"),
        ({"method": {"dropout": 0.1}}, "method.dropout acts on a head"),
        ({"population": {"label_noise": {"uniform": [0, 0.2], "visible": True}}}, "has no such thing"),
    ],
)
def test_the_config_refuses_what_cannot_be(over, says):
    with pytest.raises(InputError, match=says):
        task(**over)


def test_classification_still_needs_its_columns_and_has_no_generation():
    for over, says in (
        ({"data": {"label": None}}, "must name columns"),
        (
            {"generation": BASE["defaults"]["text_generation"]["generation"]},
            "block of kind text_generation",
        ),
    ):
        with pytest.raises(InputError, match=says):
            resolve(merge(BASE, {"tasks": {"bbc_topics": over}}), "config")


def test_other_tasks_stage_configs_are_as_they_were():
    config = resolve(BASE, "config")
    for name in config.tasks:
        for stage_name in ("prepare", "train", "fork"):
            assert "generation" not in stage_config(config, name, stage_name)
    assert stage_config(task(), "g", "train")["generation"]["judge"] == "number"


def test_preflight_reads_the_file(tmp_path):
    path = tmp_path / "d.jsonl"
    sizes = {"name": str(path), "train": 2, "val": 1, "target": 1}
    for rows, says in (
        ([{"a": 1, "b": 2, "sum": 3}] * 3, "train: .* has 3 rows, and train .* ask for 4"),
        ([{"a": 1, "b": 2}], r"generation\.completion: .* row 1: no column 'sum'; it has a, b"),
    ):
        path.write_text("".join(json.dumps(r) + "\n" for r in rows))
        with pytest.raises(InputError, match=says):
            preflight(task(data=sizes, model={"name": "packaged:smollm2"}))
    with pytest.raises(InputError, match="no file"):
        preflight(task(data=sizes | {"name": str(tmp_path / "none.jsonl")}))
    with pytest.raises(InputError, match="unknown; choose from addition, gsm-symbolic"):
        preflight(task(data={"name": "packaged:nothing"}))


def test_decoding_is_part_of_the_time_that_jobs_ask_for():
    few, many = (task(generation={"max_new_tokens": n}).tasks["g"] for n in (1, 1001))
    # Validation texts at seven depths and, as signals are noted, at depth 0.
    per = 1000 * (8 * 32 + 100) * 32 * 6.5 / 30 / 60_000 * many.resources.margin  # minutes a run
    assert train_minutes(many, 10) - train_minutes(few, 10) == pytest.approx(10 * per, abs=1)
    forks = {"forks": {"depths": [64], "trunks": 5, "per_trunk": 4}}
    few, many = (task(generation={"max_new_tokens": n}, **forks).tasks["g"] for n in (1, 1001))
    per = 1000 * 100 * 32 * 6.5 / 30 / 60_000 * many.resources.margin
    assert fork_minutes(many, [64]) - fork_minutes(few, [64]) == pytest.approx(20 * per, abs=1)
