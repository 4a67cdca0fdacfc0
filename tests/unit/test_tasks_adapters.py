"""A bank's adapters against peft's own layers: arithmetic, gradients, matching rules, refusals, whole runs."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModel, AutoModelForCausalLM

from prehoc.errors import InputError
from prehoc.tasks.adapters import Adapted, AdapterBank, check_config, target_names
from prehoc.tasks.answers import answer_nats
from prehoc.tasks.problem import DropoutKey, dropout
from prehoc.training import plan, schedule
from prehoc.training.bank import Bank
from prehoc.training.problems import build

RUNS = 3
CLOSE = {"rtol": 2e-5, "atol": 2e-6}


def draw(*shape, seed=0, grows=True, dtype=torch.float64):
    values = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)
    return values.requires_grad_(grows)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("dropped", [True, False])
def test_the_gradient_is_the_derivative(bias, dropped):
    states, inner = draw(3, 5, 6), draw(3, 5, 6, seed=1)
    weight = draw(4, 6, seed=2, grows=False)
    frozen = (weight, draw(4, seed=3, grows=False) if bias else None)
    adapters = (draw(3, 2, 6, seed=4), draw(3, 4, 2, seed=5))
    given = (states, inner if dropped else None, *frozen, *adapters, 0.7)
    assert torch.autograd.gradcheck(Adapted.apply, given)
    one = states[1] @ weight.T + (frozen[1] if bias else 0)
    entering = inner[1] if dropped else states[1]
    one = one + 0.7 * entering @ adapters[0][1].T @ adapters[1][1].T
    torch.testing.assert_close(Adapted.apply(*given)[1], one)


def test_no_gradient_goes_where_none_is_asked():
    weight = draw(4, 6, grows=True)
    out = Adapted.apply(draw(3, 5, 6, grows=False), None, weight, None, draw(3, 2, 6), draw(3, 4, 2), 1.0)
    out.sum().backward()
    assert weight.grad is None


CONFIGS = {
    "list": {"target_modules": ["query", "value"]},
    "regex": {"target_modules": r".*layer\.1\..*(key|output\.dense)"},
    "all-linear": {"target_modules": "all-linear", "exclude_modules": ["pooler.dense"]},
    "excluded": {"target_modules": ["dense"], "exclude_modules": r".*(pooler|attention).*"},
    "layers": {"target_modules": ["query", "dense"], "layers_to_transform": 1},
    "pattern": {"target_modules": ["key"], "layers_to_transform": [0], "layers_pattern": "layer"},
    "rslora": {"target_modules": ["query"], "use_rslora": True},
    "ranks": {
        "target_modules": ["query", "value"],
        "rank_pattern": {"query": 3, "layer.1.attention.self.value": 1},
        "alpha_pattern": {"layer.0.attention.self.query": 7},
    },
}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_lora_config_means_what_it_means_in_peft(name, tiny_encoder):
    config = LoraConfig(r=2, lora_alpha=5, **CONFIGS[name])
    bank = AdapterBank(AutoModel.from_pretrained(tiny_encoder).eval().requires_grad_(False), config)
    rng = np.random.default_rng(0)
    theta = {
        p.name: torch.tensor(rng.normal(0, 0.3, (RUNS, *p.shape)), dtype=torch.float32)
        for p in bank.parameters
    }
    ids = torch.randint(4, 40, (RUNS * 2, 6), generator=torch.Generator().manual_seed(0))
    with bank.adapted(theta) as model:
        mine = model(input_ids=ids).last_hidden_state
    theirs = get_peft_model(AutoModel.from_pretrained(tiny_encoder).eval(), config)
    inner = theirs.base_model.model
    adapted = {n for n, m in inner.named_modules() if hasattr(m, "lora_A")}
    assert adapted == set(bank.places)
    for run in range(RUNS):
        with torch.no_grad():
            for place in adapted:
                layer = inner.get_submodule(place)
                layer.lora_A["default"].weight.copy_(theta[f"{place}.A"][run])
                layer.lora_B["default"].weight.copy_(theta[f"{place}.B"][run])
        here = slice(2 * run, 2 * run + 2)
        with torch.no_grad():
            wanted = theirs(input_ids=ids[here]).last_hidden_state
        torch.testing.assert_close(mine[here], wanted, **CLOSE)


@pytest.mark.parametrize("law", [True, "gaussian"])
def test_initial_laws_are_pefts(tiny_encoder, law):
    """Moments over 64 draws of 2 x 32 numbers: the standard deviation within 5 %, and the bounds."""
    config = LoraConfig(r=2, target_modules=["query"], init_lora_weights=law)
    bank = AdapterBank(AutoModel.from_pretrained(tiny_encoder), config)
    rng = np.random.default_rng(0)
    ours = np.stack([bank.parameters[0].init(rng) for _ in range(64)])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        place = "encoder.layer.0.attention.self.query"
        base, theirs = AutoModel.from_pretrained(tiny_encoder), []
        for _ in range(64):
            model = get_peft_model(copy.deepcopy(base), config).base_model.model
            theirs.append(model.get_submodule(place).lora_A["default"].weight.detach().numpy())
    theirs = np.stack(theirs)
    assert ours.shape == theirs.shape
    assert abs(ours.std() / theirs.std() - 1) < 0.05
    assert abs(np.abs(ours).max() / np.abs(theirs).max() - 1) < (0.02 if law is True else 0.4)
    assert not bank.parameters[1].init(rng).any()


@pytest.mark.parametrize(
    ("over", "says"),
    [
        ({"use_dora": True}, "use_dora=True"),
        ({"bias": "all"}, "bias='all'"),
        ({"modules_to_save": ["pooler"]}, "modules_to_save="),
        ({"fan_in_fan_out": True}, "fan_in_fan_out=True"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights='pissa'"),
        ({"init_lora_weights": False}, "init_lora_weights=False"),
        ({"trainable_token_indices": [1]}, r"trainable_token_indices=\[1\]"),
        ({"target_parameters": ["x.weight"]}, "target_parameters="),
        ({"lora_bias": True}, "lora_bias=True"),
    ],
)
def test_what_is_not_done_is_refused(over, says):
    with pytest.raises(InputError, match=says) as caught:
        check_config(LoraConfig(target_modules=["query"], **over))
    assert "\n" not in str(caught.value)


def test_conv1d_is_refused():
    from transformers import GPT2Config, GPT2Model

    model = GPT2Model(GPT2Config(vocab_size=9, n_embd=8, n_layer=1, n_head=2, n_positions=4))
    with pytest.raises(InputError, match="Conv1D, not a linear module"):
        target_names(model, LoraConfig(target_modules=["c_attn"]))


def test_bf16_base_keeps_fp32_parameters_and_is_near(tiny_encoder):
    from prehoc.tasks.machine import Machine

    config = LoraConfig(r=2, lora_alpha=4, target_modules=["query", "value"])
    bf16 = Machine(torch.device("cpu"), "bf16")
    made = []
    for machine in (Machine(torch.device("cpu"), "fp32"), bf16):
        model = AutoModel.from_pretrained(tiny_encoder).eval().requires_grad_(False)
        bank = AdapterBank(model, config, machine)
        rng = np.random.default_rng(0)
        theta = {
            p.name: torch.tensor(rng.normal(0, 0.1, (RUNS, *p.shape)), dtype=torch.float32).requires_grad_()
            for p in bank.parameters
        }
        ids = torch.randint(4, 40, (RUNS * 2, 6), generator=torch.Generator().manual_seed(0))
        with bank.adapted(theta) as adapted:
            out = adapted(input_ids=ids).last_hidden_state
        out.float().square().sum().backward()
        assert out.dtype == machine.dtype
        assert all(v.grad.dtype == torch.float32 for v in theta.values())
        made.append((out.float().detach(), {k: v.grad for k, v in theta.items()}))
    (whole, grads), (half, halves) = made
    assert 0 < (whole - half).norm() / whole.norm() < 0.02
    for name, grad in grads.items():
        assert (grad - halves[name]).norm() / grad.norm() < 0.2


@pytest.mark.parametrize("piece", [1, 90, 1 << 20])
def test_answers_cost_what_cross_entropy_says(monkeypatch, piece):
    monkeypatch.setattr("prehoc.tasks.answers.PIECE", piece)
    hidden = draw(4, 3, 6)
    weight, bias = draw(30, 6, seed=1, grows=False), draw(30, seed=2, grows=False)
    answers = torch.randint(30, (4, 3), generator=torch.Generator().manual_seed(0))
    answers[1, 2] = answers[3, 0] = -100
    logits = hidden @ weight.T + bias
    wanted = torch.nn.functional.cross_entropy(logits.transpose(1, 2), answers, reduction="none")
    nats, right = answer_nats(hidden, weight, bias, answers)
    torch.testing.assert_close(nats.double(), wanted, rtol=1e-5, atol=1e-6)
    assert torch.equal(right, (logits.argmax(-1) == answers) | (answers < 0))
    share = torch.rand(4, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    theirs = torch.autograd.grad((wanted * share).sum(), hidden)[0]
    mine = torch.autograd.grad((nats * share.float()).sum(), hidden)[0]
    torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-6)


class Alone:
    """One run by transformers, peft and torch.optim.AdamW, with the masks that a bank would draw."""

    def __init__(self, base, theta, run, config):
        method = config["method"]
        rule = LoraConfig(r=method["rank"], lora_alpha=method["alpha"], target_modules=method["targets"])
        self.model = get_peft_model(base, rule)
        self.leaves = {}
        self.rate, self.key = method["lora_dropout"], None
        sites = list(dict.fromkeys(k.rpartition(".")[0] for k in theta if not k.startswith("head")))
        for name, value in theta.items():
            module, _, which = name.rpartition(".")
            if module == "head":
                self.leaves[name] = value[run].detach().clone().requires_grad_()
                continue
            place = self.model.base_model.model.get_submodule(module)
            leaf = getattr(place, f"lora_{which}")["default"].weight
            leaf.data.copy_(value[run].detach())
            self.leaves[name] = leaf
            if which == "A" and self.rate:
                place.lora_dropout["default"] = self.masks(1 + sites.index(module))
        groups = [
            {"params": [v for k, v in self.leaves.items() if k != "head.bias"]},
            {"params": [v for k, v in self.leaves.items() if k == "head.bias"], "weight_decay": 0.0},
        ]
        settings = config["optimiser"]
        self.clip = settings["clip"]
        self.step = torch.optim.AdamW(
            groups, lr=1.0, betas=settings["betas"], weight_decay=settings["weight_decay"]
        )

    def masks(self, site):
        outer = self

        class Masks(torch.nn.Module):
            def forward(self, states):
                return dropout(
                    states.reshape(1, -1, states.shape[-1]), outer.rate, outer.key, site
                ).view_as(states)

        return Masks()

    def update(self, loss, lr):
        self.step.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.leaves.values(), self.clip)
        for group in self.step.param_groups:
            group["lr"] = lr
        self.step.step()


@pytest.mark.parametrize(
    ("kind", "rate"),
    [("packed", 0.0), ("lora", 0.0), ("lora", 0.2), ("causal", 0.0), ("causal", 0.2)],
)
def test_a_bank_of_four_follows_each_run_trained_alone_by_peft(
    family, tiny_encoder, tiny_decoder, monkeypatch, kind, rate
):
    """32 steps, the same start, batches, masks and clip: losses within 1e-5 at every step."""
    config = family("causal" if kind == "causal" else "lora", method__lora_dropout=rate)
    with monkeypatch.context() as patch:
        patch.setattr("prehoc.tasks.encoder.known", lambda settings: False)
        tokens = build(config).problem
    if kind == "lora":
        monkeypatch.setattr("prehoc.tasks.encoder.known", lambda settings: False)
    setting = build(config)
    problem, settings = setting.problem, config["optimiser"]
    group = plan.Group(plan.drawn(config, setting, range(4)), 4)
    bank = Bank(problem.parameters, 4, settings)
    for i in range(4):
        bank.initialise(i, config["seed"], config["task"], i)
    keys = plan.dropout_keys(config, group)
    rows = torch.tensor(np.stack([plan.batches(config, d, None, 0, 32) for d in group.draws], 1))
    encoder = kind != "causal"
    auto, folder = (AutoModel, tiny_encoder) if encoder else (AutoModelForCausalLM, tiny_decoder)
    alone = [Alone(auto.from_pretrained(folder).eval(), bank.theta, i, config) for i in range(4)]
    worst = moved = 0.0
    for step in range(32):
        now = rows[step]
        labels = problem.labels[now] if encoder else None
        lr = schedule.step_size(settings, step, 32) * settings["lr"]
        losses = problem.losses(bank.theta, now, labels, DropoutKey(keys, step))
        for i, single in enumerate(alone):
            single.key = DropoutKey(keys[i : i + 1], step)
            if encoder:
                loss = encoder_loss(tokens, single, now[i], labels[i])
            else:
                logits = single.model(input_ids=problem.ids["train"][now[i]]).logits[:, problem.first :]
                answers = problem.answers["train"][now[i]]
                nats = torch.nn.functional.cross_entropy(logits.transpose(1, 2), answers, reduction="none")
                loss = (nats.sum(1) / (answers >= 0).sum(1)).mean()
            worst = max(worst, abs(float(loss.detach()) - float(losses[i].mean().detach())))
            single.update(loss, lr)
        bank.step(losses.mean(1), torch.full((4,), lr), step)
    for i, single in enumerate(alone):
        for name, leaf in single.leaves.items():
            # Adam divides by the gradient's own size, so rounding shows more here than in the loss.
            torch.testing.assert_close(bank.theta[name][i], leaf, rtol=0, atol=5e-4)
            moved = max(moved, float(leaf.abs().max())) if name.endswith("B") else moved
    assert worst < 1e-5
    assert moved > 0.02


def encoder_loss(problem, single, rows, labels):
    first, _ = problem.encoding.rows("train")
    rows = first + rows
    given = {k: v[rows, : problem.length] for k, v in problem.tokens.items()}
    states = single.model(**given).last_hidden_state
    mask = given["attention_mask"][..., None]
    pooled = (states * mask).sum(1) / mask.sum(1)
    logits = pooled @ single.leaves["head.weight"].T + single.leaves["head.bias"]
    return torch.nn.functional.cross_entropy(logits, labels)
