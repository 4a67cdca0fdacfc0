"""States below the first trained block: packed, kept once, keyed; and what is computed from them."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from transformers import DebertaV2Config, DebertaV2Model

from prehoc.tasks.causal import CausalProblem
from prehoc.tasks.encode import encode
from prehoc.tasks.frozen import Frozen, chunks
from prehoc.tasks.lora import LoraClassification
from prehoc.tasks.machine import Machine
from prehoc.tasks.problem import DropoutKey

RUNS = 3
BF16 = Machine(torch.device("cpu"), "bf16")


def random_theta(parameters):
    rng = np.random.default_rng(0)
    return {
        p.name: torch.tensor(rng.normal(0, 0.3, (RUNS, *p.shape)), dtype=torch.float32).requires_grad_()
        for p in parameters
    }


def outcome(problem, theta):
    """Losses and gradients at a few rows, and evaluation losses."""
    rows = torch.arange(RUNS * 4).view(RUNS, 4)
    labels = None if problem.labels is None else problem.labels[rows]
    losses = problem.losses(theta, rows, labels, DropoutKey(torch.arange(RUNS), 0))
    grads = torch.autograd.grad(losses.sum(), list(theta.values()))
    return [losses.detach(), *grads, problem.evaluate(theta, "target")[1].detach()]


@pytest.mark.parametrize("kind", ["top", "causal"])
def test_frozen_states_change_nothing(any_model, family, monkeypatch, kind):
    """Against the whole model under the same adapters on its top layer."""
    config = family(kind, method__pooling="mean")
    config["method"]["layers"] = "top-1"
    made = []
    for use in (True, False):
        if not use:
            for module in ("lora", "causal"):
                monkeypatch.setattr(f"prehoc.tasks.{module}.below", lambda *_: 0)
        problem = (
            CausalProblem(config) if kind == "causal" else LoraClassification(encode(config, None), config)
        )
        assert (problem.frozen is not None) == use
        made.append(outcome(problem, random_theta(problem.parameters)))
    for a, b in zip(*made, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)
        assert a.abs().max() > 0


def test_the_file_is_keyed_and_read_again(family, tmp_path, monkeypatch):
    config = family("causal")
    config["method"]["layers"] = "top-1"
    folder = tmp_path / "store" / "encodings"
    first = CausalProblem(config)
    assert len(list(folder.glob("*.safetensors"))) == 1
    half = CausalProblem(config, BF16)
    assert half.frozen.states.dtype == torch.bfloat16
    assert len(list(folder.glob("*.safetensors"))) == 2

    def never(*_):
        raise AssertionError("computed again")

    monkeypatch.setattr("prehoc.tasks.frozen.entering_block", never)
    again = CausalProblem(config)
    assert torch.equal(again.frozen.states, first.frozen.states)
    config["arithmetic"] = config["arithmetic"] | {"train": 24.0}
    with pytest.raises(AssertionError, match="computed again"):
        CausalProblem(config)


def test_packed_states_are_padded_with_zeros_to_any_length():
    states = torch.arange(1.0, 13.0).view(6, 2)
    packed = Frozen(
        torch.cat([states, torch.zeros(1, 2)]), torch.tensor([0, 1, 4]), torch.tensor([1, 3, 2])
    )
    got = packed.take(torch.tensor([1, 2, 0]), 4)
    wanted = torch.zeros(3, 4, 2)
    wanted[0, :3], wanted[1, :2], wanted[2, :1] = states[1:4], states[4:6], states[:1]
    assert torch.equal(got, wanted)


def test_chunks_hold_every_row_once_and_bound_the_tokens():
    counts = torch.tensor([5, 1, 9, 3, 3, 8, 2, 40])
    parts = chunks(counts, 16)
    assert sorted(torch.cat(parts).tolist()) == list(range(8))
    for part in parts:
        assert len(part) == 1 or len(part) * int(counts[part].max()) <= 16
    assert len(parts) < 8
    assert parts[-1].tolist() == [7]


def test_a_model_that_cannot_be_cut_is_computed_whole(stage, tiny_encoder, tmp_path, monkeypatch, caplog):
    """A convolution that reads the embedding: the cut is refused, the losses are the whole model's."""
    from prehoc.tasks import models

    settings = DebertaV2Config(
        vocab_size=44,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
        conv_kernel_size=3,
        conv_act="gelu",
        type_vocab_size=0,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        DebertaV2Model(settings).save_pretrained(tmp_path)
    tokeniser, _ = models.load_encoder(tiny_encoder, None)
    tokeniser.save_pretrained(tmp_path)
    targets = {"method__targets": ["query_proj"], "method__pooling": "mean"}
    config = stage(**targets)
    config["model"] = config["model"] | {"name": str(tmp_path)}
    from prehoc.tasks import prefix

    whole = prefix.check_cut

    def strict(model, cut, layer, inputs):
        return whole(model, prefix.truncate(model, 0), 0, inputs)  # the cut that loses the embedding

    monkeypatch.setattr("prehoc.tasks.frozen.check_cut", strict)
    with caplog.at_level(logging.INFO, "prehoc"):
        problem = LoraClassification(encode(config, None), config)
    assert problem.frozen is None
    assert "DebertaV2Model cannot be cut below block 0" in caplog.text
    assert caplog.text.strip().endswith("every step computes the whole model instead")
    assert {p.name.rpartition(".")[0] for p in problem.parameters} == {
        "encoder.layer.1.attention.self.query_proj",
        "head",
    }
    assert torch.isfinite(outcome(problem, random_theta(problem.parameters))[0]).all()


def test_padding_to_any_length_changes_rounding_alone(any_model, stage):
    """Losses within 1e-6 nats, as the class says; states within 3e-6."""
    problem = LoraClassification(
        encode(stage(method__layers="all"), None), stage(method__layers="all", method__pooling="mean")
    )
    theta = random_theta(problem.parameters)
    one = problem.evaluate(theta, "val")[1]
    first, end = problem.encoding.rows("val")
    by_text = torch.cat(
        [
            problem._states(theta, torch.full((RUNS, 1), r), int(problem.counts[r]))
            for r in range(first, end)
        ],
        1,
    )
    padded = problem._states(theta, torch.arange(first, end).expand(RUNS, -1), 12)
    torch.testing.assert_close(by_text, padded, rtol=0, atol=3e-6)
    from prehoc.tasks.heads import apply_head, judge

    labels = problem.encoding.tensors["labels"][first:end]
    torch.testing.assert_close(judge(apply_head(theta, by_text), labels)[1], one, rtol=1e-6, atol=1e-6)


def test_bf16_losses_are_near_fp32(any_model, stage):
    config = stage(method__pooling="mean")
    made = []
    for machine in (Machine(torch.device("cpu"), "fp32"), BF16):
        problem = LoraClassification(encode(config, None), config, machine)
        theta = random_theta(problem.parameters)
        made.append(outcome(problem, theta))
        assert made[-1][0].dtype == torch.float32
    assert 0 < (made[0][0] - made[1][0]).abs().max() < 0.05
