"""The packed encoder with adapters against transformers and peft, and against itself in other company."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch.nn.functional import cross_entropy
from transformers import AutoModel

from prehoc.errors import InputError
from prehoc.tasks import encoder
from prehoc.tasks.encode import encode, pool
from prehoc.tasks.encoder_lora import EncoderLora
from prehoc.tasks.problem import DropoutKey
from prehoc.tasks.ragged import layout

RUNS, BATCH = 3, 8
TOLERANCE = {"rtol": 2e-5, "atol": 3e-6}  # fp32 sums in another order; largest seen 1.5e-6 absolute
ALL = ["query", "key", "value", "attention.output.dense", "intermediate.dense", "output.dense"]


def random_theta(parameters, runs=RUNS, seed=0, sd=0.3):
    """Values from N(0, sd^2), B too, so that no adapter is silent."""
    rng = np.random.default_rng(seed)
    return {
        p.name: torch.tensor(rng.normal(0, sd, (runs, *p.shape)), dtype=torch.float32).requires_grad_()
        for p in parameters
    }


@pytest.fixture
def tokens_of(monkeypatch):
    """The token ids of a config's examples, in the same order."""

    def make(config):
        with monkeypatch.context() as patch:
            patch.setattr(encoder, "known", lambda settings: False)
            return encode(config, None)

    return make


def peft_losses(config, tokens, theta, run, rows, labels):
    """Losses [B] of one run by transformers and peft, its adapters and head set to theta's."""
    method = config["method"]
    model = AutoModel.from_pretrained(tokens.meta["folder"]).eval()
    depth = model.config.num_hidden_layers
    kept = None if method["layers"] == "all" else list(range(depth))[-int(method["layers"][4:]) :]
    rule = LoraConfig(
        r=method["rank"],
        lora_alpha=method["alpha"],
        target_modules=[f"encoder.layer.{i}.{m}" for i in range(depth) for m in encoder.MODULES
                        if (kept is None or i in kept) and m.endswith(tuple(method["targets"]))],
    )
    model = get_peft_model(model, rule)
    leaves = {}
    for name, value in theta.items():
        module, _, which = name.rpartition(".")
        if module == "head":
            leaves[name] = value[run].detach().clone().requires_grad_()
            continue
        weight = getattr(model.base_model.model.get_submodule(module), f"lora_{which}")["default"].weight
        weight.data.copy_(value[run].detach())
        leaves[name] = weight
    given = tokens.tensors
    mask = given["mask"][rows]
    out = model(
        input_ids=given["ids"][rows], attention_mask=mask.long(), token_type_ids=given["types"][rows]
    ).last_hidden_state
    states = pool(out, mask, method["pooling"])
    logits = states @ leaves["head.weight"].T + leaves["head.bias"]
    return cross_entropy(logits, labels, reduction="none"), leaves


def problem_of(config):
    encoding = encode(config, None)
    assert encoding.meta["cut"] == "states"
    return EncoderLora(encoding, config)


@pytest.mark.parametrize("step", [1, 5, 12])
@pytest.mark.parametrize("targets", [["query", "value"], ["value"], ["key"], ["dense"], ALL])
@pytest.mark.parametrize("pooling", ["cls", "mean"])
@pytest.mark.parametrize("layers", ["top-1", "all"])
def test_losses_and_gradients_equal_peft(stage, tokens_of, layers, pooling, targets, step):
    over = {"method__layers": layers, "method__pooling": pooling, "method__targets": targets}
    config = stage(**over)
    problem, tokens = problem_of(config), tokens_of(config)
    problem.step = step  # 1: no padding at all; 12: everything padded to the longest
    theta = random_theta(problem.parameters)
    rows = torch.randint(100, (RUNS, BATCH), generator=torch.Generator().manual_seed(0))
    labels = problem.labels[rows]
    losses = problem.losses(theta, rows, labels, DropoutKey(torch.arange(RUNS), 0))
    losses.mean(1).sum().backward()
    for run in range(RUNS):
        theirs, leaves = peft_losses(config, tokens, theta, run, rows[run], labels[run])
        torch.testing.assert_close(losses[run], theirs, **TOLERANCE)
        theirs.mean().backward()
        for name, leaf in leaves.items():
            torch.testing.assert_close(theta[name].grad[run], leaf.grad, **TOLERANCE)
            assert leaf.grad.abs().max() > 0
