"""Full fine-tuning of an encoder against plain PyTorch, and with the bits of a run alone."""

from __future__ import annotations

import pytest
import torch
from trained import same, train
from transformers import AutoModel

from prehoc.errors import InputError
from prehoc.tasks.encode import encode
from prehoc.tasks.full import FullClassification
from prehoc.tasks.lora import LoraClassification
from prehoc.training import loop, plan, problems
from prehoc.training.bank import Bank

FULL = {"method__kind": "full", "method__layers": "all", "method__pooling": "mean"}
PLAIN = {"optimiser__name": "sgd", "optimiser__clip": None, "optimiser__weight_decay": 0.0}


def begun(config, seeds):
    setting = problems.build(config)
    group = plan.Group(plan.drawn(config, setting, seeds), len(seeds))
    bank = Bank(setting.problem.parameters, len(seeds), config["optimiser"])
    for i, draw in enumerate(group.draws):
        bank.initialise(i, config["seed"], config["task"], draw.seed)
    return setting, group, bank


def test_before_training_runs_share_all_but_the_head(stage):
    bank = begun(stage(**FULL), [0, 1])[2]
    fresh = AutoModel.from_pretrained(stage()["model"]["name"]).state_dict()
    for name, value in bank.theta.items():
        if name.startswith("head.weight"):
            assert not torch.equal(value[0], value[1])
        elif not name.startswith("head."):
            assert torch.equal(value[0], value[1])
            torch.testing.assert_close(value[0], fresh[name], rtol=0, atol=0)
    assert not any("pooler" in n for n in bank.theta)


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_training_is_plain_pytorchs(stage, pooling):
    """Four steps of SGD on the model itself, batch by batch: weights agree to 1e-5."""
    config = stage(**FULL | PLAIN | {"method__pooling": pooling, "optimiser__lr": 0.05, "horizon": 4})
    config["optimiser"]["schedule"] = "constant"
    config["optimiser"]["warmup"] = 0
    setting, group, bank = begun(config, [0, 1])
    problem = setting.problem
    model = AutoModel.from_pretrained(config["model"]["name"])
    model.pooler = None
    model.eval()
    head = torch.nn.Linear(32, 2)
    with torch.no_grad():
        head.weight.copy_(bank.theta["head.weight"][1])
        head.bias.copy_(bank.theta["head.bias"][1])
    rows = plan.batches(config, group.draws[1], None, 0, 4)
    loop.advance(config, setting, bank, group, 0, 4)
    rule = torch.optim.SGD([*model.parameters(), *head.parameters()], lr=0.05)
    for batch in rows:
        given = {k: v[batch] for k, v in problem.tokens.items()}
        states = model(**given).last_hidden_state
        mask = given["attention_mask"][..., None]
        pooled = states[:, 0] if pooling == "cls" else (states * mask).sum(1) / mask.sum(1)
        loss = torch.nn.functional.cross_entropy(head(pooled), problem.labels[batch])
        rule.zero_grad()
        loss.backward()
        rule.step()
    for name, value in model.named_parameters():
        torch.testing.assert_close(bank.theta[name][1].detach(), value.detach(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        bank.theta["head.weight"][1].detach(), head.weight.detach(), rtol=1e-4, atol=1e-5
    )
    moved = (
        bank.theta["embeddings.word_embeddings.weight"][0] - model.embeddings.word_embeddings.weight
    ).abs()
    assert float(moved.max()) > 1e-4  # the other run has gone elsewhere


def test_a_run_has_the_same_bits_alone_and_in_any_bank(stage):
    config = stage(**FULL, bank=4, depths=[2], horizon=6, method__dropout=0.1)
    whole = train(config, range(5), "whole")
    alone = train(config | {"bank": 2}, [3], "alone")
    assert same(alone[3], whole[3])
    assert not any(bad for *_, bad in whole[3])


@pytest.mark.parametrize("kind", ["full", "lora"])
def test_an_encoding_that_names_a_gone_folder_still_trains(stage, any_model, kind):
    """As an earlier check-task left them in the store."""
    method = {"method__kind": kind, "method__layers": "all", "method__pooling": "mean"}
    config = stage(**method)
    made = encode(config, None)
    assert "folder" not in made.meta
    made.meta["folder"] = "/gone/models/tiny"
    kind_of = {"full": FullClassification, "lora": LoraClassification}[kind]
    assert kind_of(made, config).parameters


def test_top_layers_train_alone(stage):
    config = stage(**FULL | {"method__layers": "top-1"})
    setting = problems.build(config)
    names = [p.name for p in setting.problem.parameters]
    assert all(n.startswith(("encoder.layer.1.", "head.")) for n in names)
    assert len(names) == 16 + 2
    with pytest.raises(InputError, match=r"method\.layers: top-3 asks for 3 layers, but BertModel has 2"):
        problems.build(stage(**FULL | {"method__layers": "top-3"}))


def test_weight_decay_spares_biases_and_norms(stage):
    setting = problems.build(stage(**FULL))
    spared = {p.name for p in setting.problem.parameters if not p.decay}
    assert "encoder.layer.0.output.LayerNorm.weight" in spared
    assert "encoder.layer.0.output.dense.bias" in spared
    assert "encoder.layer.0.output.dense.weight" not in spared
