"""Adapters in a bank against peft's own, alone and one by one."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from peft_twin import follows_peft, peft_losses, random_theta
from transformers import AutoModel

from prehoc.errors import InputError
from prehoc.tasks.adapters import AdapterBank, lora_config, target_names
from prehoc.tasks.encode import encode
from prehoc.tasks.lora import LoraClassification
from prehoc.tasks.problem import DropoutKey

RUNS, BATCH = 3, 8
TOLERANCE = {"rtol": 2e-5, "atol": 2e-6}  # fp32 sums in another order; largest seen 1.2e-6 absolute


pytestmark = pytest.mark.usefixtures("any_model")


def problem_of(config):
    return LoraClassification(encode(config, None), config)


@pytest.mark.parametrize("targets", [["query", "value"], ["value"], ["query"]])
@pytest.mark.parametrize(
    ("layers", "pooling"), [("top-1", "cls"), ("all", "cls"), ("all", "mean"), ("top-1", "mean")]
)
def test_losses_and_gradients_equal_peft(stage, layers, pooling, targets):
    over = {"method__layers": layers, "method__pooling": pooling, "method__targets": targets}
    config = stage(**over)
    problem = problem_of(config)
    whole = encode(stage(**{**over, "method__layers": "all"}), None)
    theta = random_theta(problem.parameters)
    rows = torch.randint(100, (RUNS, BATCH), generator=torch.Generator().manual_seed(0))
    follows_peft(config, problem, whole, theta, rows, TOLERANCE, TOLERANCE)


def test_outcomes_equal_training_losses_and_peft(stage):
    config = stage(method__layers="all", method__pooling="mean")
    problem = problem_of(config)
    theta = random_theta(problem.parameters)
    correct, loss = problem.evaluate(theta, "val")
    assert correct.shape == loss.shape == (RUNS, 50)
    first, end = problem.encoding.rows("val")
    labels = problem.encoding.tensors["labels"][first:end]
    theirs, _ = peft_losses(config, problem.encoding, theta, 1, torch.arange(first, end), labels)
    torch.testing.assert_close(loss[1], theirs, **TOLERANCE)
    both = (np.log(2) > loss.detach()) == (correct > 0)  # two classes: right means above a half
    assert both.all()


def test_top_k_adapts_the_layers_nearest_the_output(stage, tiny_encoder):
    model = AutoModel.from_pretrained(tiny_encoder)
    method = stage()["method"]
    top = target_names(model, lora_config(method, model))
    assert top == [f"encoder.layer.1.attention.self.{t}" for t in ("query", "value")]
    assert len(target_names(model, lora_config(method | {"layers": "all"}, model))) == 4
    assert len(target_names(model, lora_config(method | {"layers": "top-2"}, model))) == 4
    dense = target_names(
        model, lora_config(method | {"layers": "top-1", "targets": ["output.dense"]}, model)
    )
    assert dense == ["encoder.layer.1.attention.output.dense", "encoder.layer.1.output.dense"]


@pytest.mark.parametrize(
    ("over", "says"),
    [
        ({"targets": ["q_proj"]}, r"method\.targets: no module .*linear modules are named \['dense'"),
        ({"targets": ["attention"]}, r"method\.targets: .* is a BertAttention, not a linear module"),
        ({"targets": ["query", "quary"]}, r"method\.targets: no module .*named \['quary'\]"),
        ({"layers": "top-3"}, r"method\.layers: top-3 asks for 3 layers, but BertModel has 2"),
    ],
)
def test_what_cannot_be_adapted_is_refused(stage, tiny_encoder, over, says):
    model = AutoModel.from_pretrained(tiny_encoder)
    with pytest.raises(InputError, match=says):
        target_names(model, lora_config(stage()["method"] | over, model))


def test_a_bare_decoder_is_adapted_by_layers(stage, tiny_decoder):
    model = AutoModel.from_pretrained(tiny_decoder)
    method = stage()["method"] | {"targets": ["q_proj"]}
    assert target_names(model, lora_config(method, model)) == ["layers.1.self_attn.q_proj"]


def test_adapters_act_inside_the_context_alone(stage, tiny_encoder):
    model = AutoModel.from_pretrained(tiny_encoder).eval().requires_grad_(False)
    plain = copy.deepcopy(model)
    bank = AdapterBank(model, lora_config(stage()["method"], model))
    ids = torch.randint(4, 40, (RUNS * 2, 6), generator=torch.Generator().manual_seed(0))
    theta = random_theta(bank.parameters)
    before = plain(input_ids=ids).last_hidden_state
    with bank.adapted(theta) as adapted:
        inside = adapted(input_ids=ids).last_hidden_state
        with pytest.raises(ValueError, match="cannot be shared out among 3 runs"):
            adapted(input_ids=ids[:4])
    assert not torch.allclose(inside, before, atol=1e-3)
    assert torch.equal(model(input_ids=ids).last_hidden_state, before)
    assert not any(p.requires_grad for p in model.parameters())


def test_dropout_acts_on_the_heads_input(stage):
    """With every weight of the head but its bias zero, dropout cannot be seen; else it can."""
    config = stage(method__layers="all", method__dropout=0.5)
    problem = problem_of(config)
    theta = random_theta(problem.parameters)
    rows = torch.arange(RUNS * BATCH).view(RUNS, BATCH)

    def losses(step):
        key = DropoutKey(torch.arange(RUNS), step)
        return problem.losses(theta, rows, problem.labels[rows], key).detach()

    assert torch.equal(losses(0), losses(0))
    assert not torch.allclose(losses(0), losses(1))
    theta["head.weight"].data.zero_()
    assert torch.equal(losses(0), losses(1))


def test_evaluation_in_chunks_is_the_evaluation_at_once(stage, monkeypatch):
    problem = problem_of(stage(method__layers="all"))
    theta = random_theta(problem.parameters)
    whole = problem.evaluate(theta, "val")
    monkeypatch.setattr("prehoc.tasks.lora.TOKENS", 12 * RUNS * 7)  # at least 7 examples at a time
    for a, b in zip(whole, problem.evaluate(theta, "val"), strict=True):
        torch.testing.assert_close(a, b, **TOLERANCE)
