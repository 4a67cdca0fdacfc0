"""Sums as text by a causal language model: splits, tokens, losses and greedy decoding."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import transformers as hf
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from prehoc.errors import InputError
from prehoc.tasks.causal import CausalProblem, addition_splits
from prehoc.tasks.problem import DropoutKey
from prehoc.training import problems

RUNS = 3


@pytest.mark.parametrize(("digits", "low", "high"), [(1, 0, 9), (2, 10, 99), (4, 1000, 9999)])
def test_splits_have_their_sizes_and_share_no_unordered_pair(digits, low, high):
    splits = addition_splits(digits, 25.0, 10, 15, 1)
    assert [len(splits[s]) for s in ("train", "val", "target")] == [25, 10, 15]
    whole = np.concatenate(list(splits.values()))
    assert len({tuple(sorted(p)) for p in whole.tolist()}) == 50
    assert low <= whole.min() <= whole.max() <= high
    assert 5 < (whole[:, 0] > whole[:, 1]).sum() < 45  # both orders are there


def test_all_pairs_can_be_asked_for():
    splits = addition_splits(1, 40, 10, 5, 1)
    whole = {tuple(sorted(p)) for s in splits.values() for p in s.tolist()}
    assert whole == {(a, b) for b in range(10) for a in range(b + 1)}


@pytest.mark.parametrize(
    ("train", "says"),
    [
        (0.4, r"arithmetic\.train: 0\.4 must be a whole number"),
        (41, r"41 \+ 10 \+ 5 sums wanted, but 1-digit numbers give 55"),
    ],
)
def test_splits_that_cannot_be_are_refused(train, says):
    with pytest.raises(InputError, match=says):
        addition_splits(1, train, 10, 5, 1)


def random_theta(problem):
    rng = np.random.default_rng(0)
    return {
        p.name: torch.tensor(rng.normal(0, 0.3, (RUNS, *p.shape)), dtype=torch.float32).requires_grad_()
        for p in problem.parameters
    }


def peft_model(folder, theta, run):
    """One run's adapters in peft's own model."""
    rule = LoraConfig(r=2, lora_alpha=4, target_modules=["q_proj", "v_proj"])
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(folder).eval(), rule)
    leaves = {}
    for name, value in theta.items():
        module, _, which = name.rpartition(".")
        place = model.base_model.model.get_submodule(module)
        leaves[name] = getattr(place, f"lora_{which}")["default"].weight
        leaves[name].data.copy_(value[run].detach())
    return model, leaves


def test_losses_and_gradients_equal_peft_sum_by_sum(family, tiny_decoder):
    """Unpadded, one sum at a time, the library's own logits: rtol 2e-5, largest seen 6e-7 absolute."""
    problem = CausalProblem(family("causal"))
    theta = random_theta(problem)
    rows = torch.arange(RUNS * 4).view(RUNS, 4)
    losses = problem.losses(theta, rows, None, DropoutKey(torch.arange(RUNS), 0))
    losses.mean(1).sum().backward()
    tokeniser = AutoTokenizer.from_pretrained(tiny_decoder)
    pairs = addition_splits(1, 25.0, 10, 15, 1)["train"]
    for run in range(RUNS):
        model, leaves = peft_model(tiny_decoder, theta, run)
        total = 0.0
        for column, row in enumerate(rows[run]):
            a, b = pairs[row]
            prompt = tokeniser(f"{a}+{b}=")["input_ids"]
            ids = prompt + tokeniser(str(a + b))["input_ids"] + [tokeniser.eos_token_id]
            labels = [-100] * len(prompt) + ids[len(prompt) :]
            loss = model(input_ids=torch.tensor([ids]), labels=torch.tensor([labels])).loss
            torch.testing.assert_close(losses[run, column], loss, rtol=2e-5, atol=2e-6)
            total = total + loss / 4
        total.backward()
        for name, leaf in leaves.items():
            torch.testing.assert_close(theta[name].grad[run], leaf.grad, rtol=1e-4, atol=2e-6)
            assert leaf.grad.abs().max() > 0


def test_correct_is_greedy_decoding_giving_the_answer(family, tiny_decoder):
    """Trained until some answers are right and some wrong, and each is decoded."""
    config = family("causal", optimiser__lr=0.03, optimiser__schedule="constant", horizon=150)
    setting = problems.build(config)
    from prehoc.training import loop, plan
    from prehoc.training.bank import Bank

    bank = Bank(setting.problem.parameters, 4, config["optimiser"])
    group = plan.Group(plan.drawn(config, setting, range(4)), 4)
    for i in range(4):
        bank.initialise(i, 1, "tiny", i)
    loop.advance(config, setting, bank, group, 0, 150)
    correct, _ = loop.measure(setting, bank, "train")
    assert 0 < correct.mean() < 1
    model, _ = peft_model(tiny_decoder, bank.theta, 2)
    tokeniser = AutoTokenizer.from_pretrained(tiny_decoder)
    for row, (a, b) in enumerate(addition_splits(1, 25.0, 10, 15, 1)["train"]):
        prompt = tokeniser(f"{a}+{b}=", return_tensors="pt")
        ids = model.generate(**prompt, max_new_tokens=4, do_sample=False, eos_token_id=2, pad_token_id=0)
        said = ids[0, prompt["input_ids"].shape[1] :].tolist()
        wanted = [*tokeniser(str(a + b))["input_ids"], 2]
        assert (said == wanted) == bool(correct[2, row])


def test_evaluation_in_chunks_is_the_evaluation_at_once(family, monkeypatch):
    problem = CausalProblem(family("causal"))
    theta = random_theta(problem)
    whole = problem.evaluate(theta, "target")
    assert whole[0].shape == whole[1].shape == (RUNS, 15)
    monkeypatch.setattr("prehoc.tasks.causal.TOKENS", 7 * RUNS * 4)
    monkeypatch.setattr("prehoc.tasks.answers.PIECE", 16 * 5)  # five positions at a time
    for a, b in zip(whole, problem.evaluate(theta, "target"), strict=True):
        torch.testing.assert_close(a, b, rtol=2e-5, atol=2e-6)


def test_what_the_task_says_of_itself(family, tiny_decoder):
    config = family("causal")
    problem = CausalProblem(config)
    assert problem.labels is None
    assert problem.classes == 19
    assert (problem.rows("train"), problem.rows("val"), problem.rows("target")) == (25, 10, 15)
    assert problem.length == 7  # a + b = c c end
    assert problem.answers["train"].shape == (25, 3)
    assert [p.name for p in problem.parameters][:2] == [
        "model.layers.0.self_attn.q_proj.A",
        "model.layers.0.self_attn.q_proj.B",
    ]
    setting = problems.build(config)
    assert setting.weights == problem.weights
    assert len(setting.weights) == 16


@pytest.mark.parametrize(
    ("block", "key", "new", "says"),
    [
        ("method", "dropout", 0.1, r"method\.dropout: .* set it to 0"),
        ("model", "max_length", 5, r"model\.max_length: sums take 7 tokens, more than 5"),
        ("method", "targets", ["query"], r"method\.targets: .*\['down_proj', "),
    ],
)
def test_settings_that_cannot_be_are_refused(family, block, key, new, says):
    config = family("causal")
    config[block] = config[block] | {key: new}
    with pytest.raises(InputError, match=says):
        CausalProblem(config)


DECODERS = {
    "gemma2": (hf.Gemma2Config, {"final_logit_softcapping": 2.0, "head_dim": 8}, False),
    "granite": (hf.GraniteConfig, {"logits_scaling": 3.0}, True),
    "qwen2": (hf.Qwen2Config, {}, True),
    "neox": (hf.GPTNeoXConfig, {}, True),
}


@pytest.mark.parametrize("layers", ["all", "top-1"])
@pytest.mark.parametrize("name", DECODERS)
def test_any_decoder_says_what_it_says_itself(family, tiny_decoder, tmp_path, name, layers):
    """Losses of the bare model, and gradients through the output layer whether it is apart or not."""
    kind, over, apart = DECODERS[name]
    sizes = {"vocab_size": 16, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    sizes |= {"intermediate_size": 48, "max_position_embeddings": 32, "eos_token_id": 2, "pad_token_id": 0}
    if name != "neox":
        sizes["num_key_value_heads"] = 2
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(kind(**sizes, **over, initializer_range=0.3))
    model.eval().save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(tiny_decoder).save_pretrained(tmp_path)
    config = family("causal")
    config["model"] = {"name": str(tmp_path), "revision": None, "max_length": 12}
    targets = ["query_key_value"] if name == "neox" else ["q_proj", "v_proj"]
    config["method"] |= {"layers": layers, "targets": targets}
    problem = CausalProblem(config)
    assert (problem.head is not None) == apart
    assert (problem.frozen is not None) == (layers == "top-1")
    theta = random_theta(problem)
    for key, value in theta.items():
        if key.endswith("B"):
            value.data.zero_()
    rows = torch.arange(RUNS * 3).view(RUNS, 3)
    losses = problem.losses(theta, rows, None, DropoutKey(torch.arange(RUNS), 0))
    ids, answers = problem.ids["train"][rows.flatten()], problem.answers["train"][rows.flatten()]
    with torch.no_grad():
        logits = model(input_ids=ids).logits[:, problem.first :]
    nats = torch.nn.functional.cross_entropy(logits.transpose(1, 2), answers, reduction="none")
    wanted = (nats.sum(1) / (answers >= 0).sum(1)).view(rows.shape)
    torch.testing.assert_close(losses, wanted, rtol=2e-5, atol=2e-6)
    grads = torch.autograd.grad(losses.sum(), [v for k, v in theta.items() if k.endswith("B")])
    assert all(g.abs().max() > 0 for g in grads)
