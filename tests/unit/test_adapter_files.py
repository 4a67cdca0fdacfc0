"""Exported adapters: what peft loads says what the task says, for each run of a bank."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
import torch
import transformers as hf
from peft import AutoPeftModelForCausalLM, AutoPeftModelForTokenClassification, PeftModel
from transformers import AutoModelForCausalLM, AutoModelForTokenClassification
from typer.testing import CliRunner

from prehoc import cli
from prehoc.adapter_files import export, run_state, write_adapter
from prehoc.errors import InputError
from prehoc.tasks.encode import encode
from prehoc.tasks.lora import LoraClassification
from prehoc.tasks.machine import CPU
from prehoc.training import loop
from prehoc.training.problems import build

NEAR = {"rtol": 0, "atol": 1e-5}


def trained(config):
    """A bank of 4 trained for 32 steps, its checkpoints in the store; the setting."""
    setting = build(config)
    loop.train(config, setting, range(4), lambda _: None)
    return setting


def theta_of(config, setting, seed, depth=32):
    theta, failed = run_state(config, setting, CPU, seed, depth)
    assert failed == -1
    return {k: v[None] for k, v in theta.items()}


@pytest.mark.parametrize(
    ("layers", "pooling"), [("all", "cls"), ("top-1", "cls"), ("top-1", "mean"), ("all", "mean")]
)
@pytest.mark.parametrize("way", ["packed", "any"])
def test_each_run_of_an_encoder_loads_in_peft(
    stage, tiny_encoder, tmp_path, monkeypatch, layers, pooling, way
):
    config = stage(method__layers=layers, method__pooling=pooling, data__label="topic")
    with monkeypatch.context() as patch:
        patch.setattr("prehoc.tasks.encoder.known", lambda settings: False)
        encoded = build(stage(method__layers="all", data__label="topic")).problem.encoding
    if way == "any":
        monkeypatch.setattr("prehoc.tasks.encoder.known", lambda settings: False)
    setting = trained(config)
    problem = setting.problem
    first, end = encoded.rows("val")
    mask = encoded.tensors["mask"][first:end].long()
    given = {"input_ids": encoded.tensors["ids"][first:end], "attention_mask": mask}
    seen = []
    for seed in range(4):
        out = tmp_path / str(seed)
        export(config, CPU, seed, None, out)
        base = AutoModelForTokenClassification.from_pretrained(tiny_encoder, num_labels=5)
        model = PeftModel.from_pretrained(base, out).eval()
        with torch.no_grad():
            by_token = model(**given).logits
        logits = by_token[:, 0]
        if pooling == "mean":
            logits = (by_token * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        right, loss = problem.evaluate(theta_of(config, setting, seed), "val")
        labels = encoded.tensors["labels"][first:end]
        theirs = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
        torch.testing.assert_close(theirs, loss[0], **NEAR)
        assert torch.equal((logits.argmax(1) == labels).float(), right[0])
        auto = AutoPeftModelForTokenClassification.from_pretrained(out, num_labels=5).eval()
        with torch.no_grad():
            assert torch.equal(auto(**given).logits, by_token)
        seen.append(logits)
    assert all(not torch.allclose(a, b, atol=1e-3) for a, b in itertools.pairwise(seen))


def test_a_bank_of_its_own_width_is_found(stage, tmp_path):
    """`bank: auto`, as most tasks have it."""
    config = stage(bank="auto")
    trained(config)
    assert "run 2 at depth 32" in export(config, CPU, 2, None, tmp_path / "out")


@pytest.mark.parametrize("layers", ["all", "top-1"])
def test_each_run_of_a_decoder_loads_in_peft(family, tiny_decoder, tmp_path, layers):
    config = family("causal", optimiser__lr=0.03)
    config["method"]["layers"] = layers
    setting = trained(config)
    problem = setting.problem
    ids, answers = problem.ids["val"], problem.answers["val"]
    for seed in range(4):
        out = tmp_path / str(seed)
        export(config, CPU, seed, None, out)
        base = AutoModelForCausalLM.from_pretrained(tiny_decoder)
        model = PeftModel.from_pretrained(base, out).eval()
        theta = theta_of(config, setting, seed)
        with torch.no_grad():
            logits = model(input_ids=ids).logits
            with problem.bank.adapted(theta) as bank:
                hidden = bank(**problem._inputs("val", torch.arange(len(ids)))).logits
            mine = problem.head(hidden)
            auto = AutoPeftModelForCausalLM.from_pretrained(out).eval()(input_ids=ids).logits
        torch.testing.assert_close(logits[:, problem.first :], mine, **NEAR)
        assert torch.equal(auto, logits)
        nats = torch.nn.functional.cross_entropy(
            logits[:, problem.first :].transpose(1, 2), answers, reduction="none"
        )
        _, loss = problem.evaluate(theta, "val")
        torch.testing.assert_close(nats.sum(1) / (answers >= 0).sum(1), loss[0], **NEAR)


def test_an_earlier_depth_and_what_the_card_says(stage, tmp_path):
    config = stage(method__layers="all")
    setting = trained(config)
    out = tmp_path / "deep" / "adapter"
    out.mkdir(parents=True)  # an empty folder may stand there
    said = export(config, CPU, 2, 4, out)
    assert said == f"tiny: run 2 at depth 4 is in {out}"
    assert sorted(p.name for p in out.iterdir()) == [
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
    ]
    assert [p.name for p in out.parent.iterdir()] == ["adapter"]
    card = (out / "README.md").read_text()
    for line in ("| seed | 2 |", "| depth | 4 of 32 steps |", f"| weights and data | {setting.weights} |"):
        assert line in card
    assert "num_labels=2" in card
    told = json.loads((out / "adapter_config.json").read_text())
    assert (told["r"], told["lora_alpha"], told["task_type"]) == (2, 4.0, "TOKEN_CLS")
    assert len(told["target_modules"]) == 4
    again = tmp_path / "again"
    export(config, CPU, 2, 4, again)
    for name in ("README.md", "adapter_config.json", "adapter_model.safetensors"):
        assert (out / name).read_bytes() == (again / name).read_bytes()


def test_what_cannot_be_exported_is_refused(stage, tmp_path):
    config = stage(method__layers="all")
    with pytest.raises(
        InputError, match=r"the run was not trained; name another depth, or run snakemake .*seed_000009"
    ):
        export(config, CPU, 9, None, tmp_path / "a")
    trained(config)
    with pytest.raises(InputError, match=r"--depth 5: no checkpoint .* there are depths 1, 4, 16, 32;"):
        export(config, CPU, 3, 5, tmp_path / "a")
    assert not list(tmp_path.glob("*a*"))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thing").touch()
    with pytest.raises(InputError, match="exists and is no empty folder"):
        export(config, CPU, 3, None, tmp_path / "full")
    with pytest.raises(InputError, match=r"method\.kind: only runs of a LoRA task"):
        export(stage(method__kind="head"), CPU, 0, None, tmp_path / "b")


SIZES = {"vocab_size": 44, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
SIZES |= {"intermediate_size": 48, "max_position_embeddings": 40, "pad_token_id": 0}
OTHERS = {
    "roberta": (hf.RobertaConfig, {"type_vocab_size": 2}, ["query", "value"]),
    "electra": (hf.ElectraConfig, {"embedding_size": 16}, ["query", "dense"]),
    "mpnet": (hf.MPNetConfig, {}, ["q", "v"]),
    "deberta": (hf.DebertaV2Config, {"type_vocab_size": 0}, ["query_proj", "value_proj"]),
    "distilbert": (
        hf.DistilBertConfig,
        {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 48},
        ["q_lin", "v_lin"],
    ),
    "llama": (hf.LlamaConfig, {}, ["q_proj", "down_proj"]),
    "neox": (hf.GPTNeoXConfig, {}, ["query_key_value"]),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_architectures_load_in_peft(any_model, stage, tiny_encoder, tmp_path, name):
    """One layer of two adapted over frozen states, random adapters and head, mean pooling."""
    kind, over, targets = OTHERS[name]
    sizes = {k: v for k, v in SIZES.items() if "dim" not in over or k in ("vocab_size", "pad_token_id")}
    folder = tmp_path / "model"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        hf.AutoModel.from_config(kind(**sizes, **over)).save_pretrained(folder)
    hf.AutoTokenizer.from_pretrained(tiny_encoder).save_pretrained(folder)
    config = stage(method__targets=targets, method__pooling="mean", model__name=str(folder))
    problem = LoraClassification(encode(config, None), config)
    assert problem.frozen is not None
    rng = np.random.default_rng(0)
    theta = {
        p.name: torch.tensor(rng.normal(0, 0.3, p.shape), dtype=torch.float32) for p in problem.parameters
    }
    assert not [k for k in theta if ".0." in k]
    write_adapter(config, theta, tmp_path / "out")
    base = AutoModelForTokenClassification.from_pretrained(folder, num_labels=2)
    model = PeftModel.from_pretrained(base, tmp_path / "out").eval()
    first, end = problem.encoding.rows("val")
    given = {k: v[first:end] for k, v in problem.tokens.items()}
    with torch.no_grad():
        by_token = model(**given).logits
        mine = problem.logits({k: v[None] for k, v in theta.items()}, "val")[0]
    mask = given["attention_mask"][..., None]
    torch.testing.assert_close((by_token * mask).sum(1) / mask.sum(1), mine, **NEAR)
    assert mine.std() > 0.1


def test_a_head_with_more_than_a_linear_layer_is_refused(tmp_path):
    from transformers import ModernBertConfig, ModernBertModel

    from prehoc.adapter_files import _token_classifier

    sizes = {"vocab_size": 60, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    ModernBertModel(ModernBertConfig(**sizes, intermediate_size=48, pad_token_id=0)).save_pretrained(
        tmp_path
    )
    with pytest.raises(InputError, match="ModernBertForTokenClassification's head is not one linear layer"):
        _token_classifier(str(tmp_path), None, 3)


def test_the_command(stage, tmp_path):
    config = stage(method__layers="all")
    trained(config)
    path = tmp_path / "train.json"
    path.write_text(json.dumps(config))
    out = tmp_path / "adapter"
    done = CliRunner().invoke(cli.app, ["export", "--config", str(path), "--seed", "1", "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert (out / "adapter_model.safetensors").is_file()
