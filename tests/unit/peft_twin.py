"""One run by transformers and peft, its adapters and head set to a bank's: what a problem is held against."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from torch.nn.functional import cross_entropy
from transformers import AutoModel

from prehoc.tasks import encoder
from prehoc.tasks.encode import pool
from prehoc.tasks.models import model_folder
from prehoc.tasks.problem import DropoutKey

RUNS = 3


def random_theta(parameters, runs=RUNS, seed=0, sd=0.3):
    """Values from N(0, sd^2), B too, so that no adapter is silent."""
    rng = np.random.default_rng(seed)
    return {
        p.name: torch.tensor(rng.normal(0, sd, (runs, *p.shape)), dtype=torch.float32).requires_grad_()
        for p in parameters
    }


def peft_losses(config, tokens, theta, run, rows, labels):
    """Losses [B] of one run by transformers and peft, its adapters and head set to theta's."""
    method = config["method"]
    model = AutoModel.from_pretrained(model_folder(config["model"], Path(config["store"]))).eval()
    depth = model.config.num_hidden_layers
    kept = None if method["layers"] == "all" else list(range(depth))[-int(method["layers"][4:]) :]
    rule = LoraConfig(
        r=method["rank"],
        lora_alpha=method["alpha"],
        target_modules=[
            f"encoder.layer.{i}.{m}"
            for i in range(depth)
            for m in encoder.MODULES
            if (kept is None or i in kept) and m.endswith(tuple(method["targets"]))
        ],
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


def follows_peft(config, problem, tokens, theta, rows, near, grads_near):
    """Losses and gradients of every run at rows [S, B] against its twin's, to the tolerances; none is zero."""
    labels = problem.labels[rows]
    losses = problem.losses(theta, rows, labels, DropoutKey(torch.arange(len(rows)), 0))
    losses.mean(1).sum().backward()
    for run in range(len(rows)):
        theirs, leaves = peft_losses(config, tokens, theta, run, rows[run], labels[run])
        torch.testing.assert_close(losses[run], theirs, **near)
        theirs.mean().backward()
        for name, leaf in leaves.items():
            torch.testing.assert_close(theta[name].grad[run], leaf.grad, **grads_near)
            assert leaf.grad.abs().max() > 0
