"""Text generation: decoding against generate(), losses against peft, sampling against its law, whole runs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import transformers as hf
from generating import generation, random_theta, sampled
from peft import LoraConfig, get_peft_model
from trained import same, train
from transformers import AutoModelForCausalLM, AutoTokenizer

from prehoc.errors import InputError
from prehoc.tasks.decode import Rules, pick
from prehoc.tasks.machine import bf16_units, machine
from prehoc.tasks.problem import DropoutKey, row_uniforms
from prehoc.tasks.text_generation import TextGeneration
from prehoc.training import loop, plan, problems
from prehoc.training.bank import Bank

RUNS = 3
FAMILY = {
    "llama": (hf.LlamaConfig, {"num_key_value_heads": 2, "intermediate_size": 64}),
    "qwen3": (hf.Qwen3Config, {"num_key_value_heads": 2, "intermediate_size": 64, "head_dim": 8}),
    "gemma2": (  # soft-capped logits; every other layer sees a window alone
        hf.Gemma2Config,
        {
            "num_key_value_heads": 2,
            "intermediate_size": 64,
            "head_dim": 8,
            "sliding_window": 4,
            "final_logit_softcapping": 2.0,
        },
    ),
    "opt": (hf.OPTConfig, {"ffn_dim": 64, "word_embed_proj_dim": 32}),  # learned positions
    "gpt2": (hf.GPT2Config, {}),  # Conv1D, learned positions, tied embeddings
    "gpt_neox": (hf.GPTNeoXConfig, {"intermediate_size": 64}),
}


@pytest.fixture(scope="module")
def folder_of(tiny_decoder, tmp_path_factory):
    """A random tiny model of a family with the tiny decoder's tokeniser, in a folder."""
    made = {}

    def make(name):
        if name not in made:
            folder = tmp_path_factory.mktemp(name)
            tokeniser = AutoTokenizer.from_pretrained(tiny_decoder)
            tokeniser.save_pretrained(folder)
            kind, more = FAMILY[name]
            settings = kind(
                vocab_size=len(tokeniser),
                hidden_size=32,
                num_hidden_layers=3,
                num_attention_heads=4,
                max_position_embeddings=32,
                eos_token_id=2,
                pad_token_id=0,
                bos_token_id=1,
                **more,
            )
            with torch.random.fork_rng():
                torch.manual_seed(0)
                model = AutoModelForCausalLM.from_config(settings)
                for value in model.parameters():
                    if value.dim() > 1:
                        torch.nn.init.normal_(value, std=0.3)
            model.save_pretrained(folder)
            made[name] = str(folder)
        return made[name]

    return make


def peft_model(folder, theta, run, targets):
    rule = LoraConfig(r=2, lora_alpha=4, target_modules=targets)
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(folder).eval(), rule)
    for name, value in theta.items():
        module, _, which = name.rpartition(".")
        place = model.base_model.model.get_submodule(module)
        getattr(place, f"lora_{which}")["default"].weight.data.copy_(value[run])
    return model


def targets_of(name):
    return {"gpt_neox": ["query_key_value"], "gpt2": ["c_attn"]}.get(name, ["q_proj", "v_proj"])


@pytest.mark.parametrize("layers", ["all", "top-2"])
@pytest.mark.parametrize("name", sorted(FAMILY))
def test_greedy_texts_are_generates_token_by_token(stage, folder_of, name, layers):
    """Every run, every prompt, against the library's own loop on peft's model, one prompt at a time."""
    targets = targets_of(name)
    config = generation(
        stage, folder_of(name), method__targets=targets, method__layers=layers,
        generation__max_new_tokens=9, data__train=20, data__target=8,
    )  # fmt: skip
    problem = TextGeneration(config)
    theta = random_theta(problem, RUNS)
    prompts = [e.prompt for e in problem.examples["target"]]
    prompts[1] = prompts[1] + prompts[2][:3]  # other lengths too
    prompts[4] = prompts[4][:2]
    made = problem.decoder.tokens(theta, prompts, None)
    lengths = set()
    for run in range(RUNS):
        model = peft_model(folder_of(name), theta, run, targets)
        for prompt, written in zip(prompts, made[run], strict=True):
            ids = torch.tensor([prompt])
            there = model.generate(
                input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=9,
                do_sample=False, eos_token_id=2, pad_token_id=0,
            )[0, len(prompt) :].tolist()  # fmt: skip
            assert written == there
            lengths.add(len(there))
    assert problem.head is None if name == "gemma2" else problem.head is not None
    assert problem.frozen is None or layers == "top-2"


def test_losses_and_gradients_equal_peft_row_by_row(stage, folder_of):
    folder = folder_of("qwen3")
    problem = TextGeneration(generation(stage, folder))
    theta = {k: v.requires_grad_() for k, v in random_theta(problem, RUNS).items()}
    rows = torch.arange(RUNS * 4).view(RUNS, 4)
    losses = problem.losses(theta, rows, None, DropoutKey(torch.arange(RUNS), 0))
    losses.mean(1).sum().backward()
    for run in range(RUNS):
        model = peft_model(folder, theta, run, ["q_proj", "v_proj"])
        total = 0.0
        for column, row in enumerate(rows[run]):
            e = problem.examples["train"][row]
            ids, labels = [*e.prompt, *e.completion], [-100] * len(e.prompt) + e.completion
            loss = model(input_ids=torch.tensor([ids]), labels=torch.tensor([labels])).loss
            torch.testing.assert_close(losses[run, column], loss, rtol=2e-5, atol=2e-6)
            total = total + loss / 4
        total.backward()
        place = model.base_model.model.model.layers[1].self_attn.v_proj
        for which in "AB":
            leaf = getattr(place, f"lora_{which}")["default"].weight.grad
            mine = theta[f"model.layers.1.self_attn.v_proj.{which}"].grad[run]
            torch.testing.assert_close(mine, leaf, rtol=1e-4, atol=2e-6)


@pytest.mark.parametrize("name", ["llama", "gemma2"])
def test_the_cut_model_and_the_uncut_train_alike(stage, folder_of, name):
    """top-2 of 3 blocks: states from the store against every block computed; gemma2's head is not apart."""
    config = generation(stage, folder_of(name), method__layers="top-2", method__targets=targets_of(name))
    problem = TextGeneration(config)
    rows, key = torch.arange(8).view(2, 4), DropoutKey(torch.arange(2), 0)
    theta = random_theta(problem, 2)
    whole = TextGeneration(generation(stage, folder_of(name), method__targets=targets_of(name)))
    padded = {p.name: torch.zeros(2, *p.shape) for p in whole.parameters} | theta
    torch.testing.assert_close(
        problem.losses(theta, rows, None, key), whole.losses(padded, rows, None, key), rtol=1e-4, atol=1e-5
    )


def test_evaluation_scores_what_the_judge_says_and_gives_the_losses(stage, tiny_decoder):
    config = generation(
        stage, tiny_decoder, optimiser__lr=0.03, optimiser__schedule="constant", horizon=150
    )
    setting = problems.build(config)
    bank = Bank(setting.problem.parameters, 4, config["optimiser"])
    group = plan.Group(plan.drawn(config, setting, range(4)), 4)
    for i in range(4):
        bank.initialise(i, 1, "tiny", i)
    loop.advance(config, setting, bank, group, 0, 150)
    score, loss = loop.measure(setting, bank, "train")
    assert score.shape == loss.shape == (4, 25)
    assert 0.1 < score.mean() < 1
    texts = setting.problem.texts(bank.theta, "train")
    for run in range(4):
        for e, text, right in zip(setting.problem.examples["train"], texts[run], score[run], strict=True):
            assert (text == str(e.row["sum"])) == bool(right)
    with torch.inference_mode():
        rows = torch.arange(25).expand(4, -1)
        alone = setting.problem.losses(bank.theta, rows, None, DropoutKey(torch.arange(4), 0))
    torch.testing.assert_close(loss, alone, rtol=2e-5, atol=2e-6)


def test_small_groups_and_one_cache_write_the_same(stage, tiny_decoder):
    """Whether prompts go through one at a time or all together, greedy or drawn."""
    for config in (generation(stage, tiny_decoder), sampled(generation(stage, tiny_decoder), 1.5, 0.9)):
        problem = TextGeneration(config)
        theta, keys = random_theta(problem, RUNS), torch.tensor([3, 1, 4])
        whole = problem.texts(theta, "target", keys)
        assert len(problem.decoder.groups([4] * 15, RUNS)) == 1
        object.__setattr__(problem.decoder.rules, "cache", 1)
        assert len(problem.decoder.groups([4] * 15, RUNS)) == 15
        assert problem.texts(theta, "target", keys) == whole
        alone = problem.texts({k: v[1:2] for k, v in theta.items()}, "target", keys[1:2])
        assert alone[0] == whole[1]


def test_drawn_texts_depend_on_key_example_and_split(stage, tiny_decoder):
    problem = TextGeneration(sampled(generation(stage, tiny_decoder)))
    theta = {k: v[:1].expand(3, *v.shape[1:]) for k, v in random_theta(problem, 1).items()}
    a, b, c = problem.texts(theta, "target", torch.tensor([5, 5, 6]))
    assert a == b != c
    with pytest.raises(ValueError, match="a key a run"):
        problem.texts(theta, "target")


RULES = Rules(1, (2,), (), True, 0.7, 1.0, 1)


@pytest.mark.parametrize("top_p", [1.0, 0.8])
def test_tokens_are_drawn_from_the_law_that_transformers_warps(top_p):
    """20,000 draws of 12 tokens: each share within 5 standard errors, and none outside the nucleus."""
    logits = torch.randn(1, 12, generator=torch.Generator().manual_seed(1)) * 2
    from transformers import TemperatureLogitsWarper, TopPLogitsWarper

    law = TemperatureLogitsWarper(0.7)(None, logits)
    law = (TopPLogitsWarper(top_p)(None, law) if top_p < 1 else law).softmax(1)[0].numpy()
    count = 20_000
    uniform = row_uniforms(
        DropoutKey(torch.tensor([9]), 0), 2, torch.zeros(count).long(), torch.arange(count)
    )
    rules = Rules(1, (2,), (), True, 0.7, top_p, 1)
    drawn = pick(logits.expand(count, -1), rules, uniform).numpy()
    share = np.bincount(drawn, minlength=12) / count
    assert (np.abs(share - law) <= 5 * np.sqrt(law * (1 - law) / count)).all()
    assert (law > 0).sum() < 12 or top_p == 1.0


def test_uniforms_are_even_and_unlike_from_position_to_position():
    """Kolmogorov-Smirnov over 3,000, and no correlation of neighbours: |r| < .08 (4.4 standard errors)."""
    from scipy.stats import kstest

    run = torch.arange(3000) % 3
    rows = torch.arange(3000) // 3
    keys = torch.tensor([11, 12, 2**31 - 1])
    here, there = (row_uniforms(DropoutKey(keys, t), 1, run, rows).numpy() for t in (4, 5))
    assert kstest(here, "uniform").pvalue > 1e-3
    assert abs(np.corrcoef(here, there)[0, 1]) < 0.08
    assert abs(np.corrcoef(here[:-1], here[1:])[0, 1]) < 0.08
    assert not np.array_equal(here, row_uniforms(DropoutKey(keys, 4), 2, run, rows).numpy())


def test_stop_strings_end_a_text_and_are_no_part_of_it(stage, tiny_decoder):
    config = generation(stage, tiny_decoder, generation__max_new_tokens=10)
    free = TextGeneration(config)
    theta = random_theta(free, RUNS)
    texts = [t for run in free.texts(theta, "target") for t in run]
    common = max((t[1:3] for t in texts if len(t) > 4), key=[t[1:3] for t in texts].count)
    stopped = TextGeneration(
        config | {"generation": config["generation"] | {"stop": [common], "max_new_tokens": 10}}
    )
    made = [t for run in stopped.texts(theta, "target") for t in run]
    assert made == [t.split(common)[0] for t in texts]
    assert made != texts


@pytest.mark.parametrize("kind", ["greedy", "sample"])
def test_a_run_is_the_same_alone_and_among_others(stage, tiny_decoder, kind):
    """Losses to the bit in banks of 8, alone (with dummies) and among others; scores too at this size."""
    config = generation(stage, tiny_decoder, bank=8)
    config = sampled(config) if kind == "sample" else config
    whole = train(config, range(8), "whole")
    for seed in (0, 5):
        assert same(train(config, [seed], f"alone-{seed}")[seed], whole[seed])


def test_in_wide_banks_training_is_the_same_to_the_bit(stage, tiny_decoder):
    """Alone among dummies in banks of 7 and of 64, against a full bank."""
    for width in (7, 64):
        config = generation(stage, tiny_decoder, bank=width, depths=[2], horizon=4)
        whole = train(config, range(width), f"whole-{width}")
        assert same(train(config, [3], f"alone-{width}")[3], whole[3])


def test_forks_from_the_horizon_draw_texts_anew(stage, tiny_decoder):
    from prehoc.training.forks import fork

    config = sampled(generation(stage, tiny_decoder, data__target=30, data__train=15), 3.0)
    config = config | {"forks": {"depths": [4], "trunks": 4, "per_trunk": 3}, "horizon": 8, "depths": [4]}
    config["generation"] |= {"judge": "number"}
    setting = problems.build(config)
    made = fork(config, setting, 8, lambda line: None)
    losses = {(s, v) for s, _, _, m, v in made if m == "loss"}
    assert len(losses) == 4  # nothing is trained, and losses draw nothing
    assert len(made) == 2 * 4 * 3
    group = plan.Group(plan.drawn(config, setting, range(2)), 2)
    trunks = plan.decoding_keys(config, group)
    group.origins = [(8, 0), (8, 1)]
    assert len({*trunks.tolist(), *plan.decoding_keys(config, group).tolist()}) == 4


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        (
            "generation__prompt",
            "{question}",
            r"generation\.prompt: .* no column 'question'; it has a, b, sum",
        ),
        ("generation__completion", "{a}{c}", r"generation\.completion: .* no column 'c'"),
        ("generation__chat", "always", "no chat template; set never"),
        ("generation__max_new_tokens", 40, r"max_new_tokens: 40 .* places for 32"),
        ("generation__judge", "tests", "row 1: code task: no column 'prompt'"),
        ("data__subset", "9", r"data\.subset: .* digits"),
        ("data__train", 100, r"give 55 sums"),
        ("data__name", "packaged:nothing", r"data\.name: packaged:nothing"),
        (
            "model__max_length",
            3,
            r"data\.train: 25 rows wanted, 0 left .* raise model\.max_length: 3 leaves 50 rows out",
        ),
        ("method__targets", ["nothing"], r"method\.targets"),
    ],
)
def test_what_does_not_fit_is_named(stage, tiny_decoder, key, value, says):
    with pytest.raises(InputError, match=says):
        TextGeneration(generation(stage, tiny_decoder, **{key: value}))


@pytest.mark.filterwarnings("ignore:fan_in_fan_out")
def test_a_gpt2_adapter_loads_in_peft(stage, folder_of, tmp_path):
    """Its Conv1D is a Linear here; in peft's own model the exported adapter writes the same texts."""
    from peft import PeftModel

    from prehoc.adapter_files import write_adapter

    config = generation(stage, folder_of("gpt2"), method__targets=["c_attn", "c_proj"])
    problem = TextGeneration(config)
    theta = random_theta(problem, 2)
    write_adapter(config, {k: v[1] for k, v in theta.items()}, tmp_path / "out")
    base = AutoModelForCausalLM.from_pretrained(folder_of("gpt2"))
    model = PeftModel.from_pretrained(base, tmp_path / "out").eval()
    prompts = [e.prompt for e in problem.examples["target"]]
    made = problem.decoder.tokens(theta, prompts, None)[1]
    for prompt, written in zip(prompts, made, strict=True):
        there = model.generate(
            input_ids=torch.tensor([prompt]), max_new_tokens=4, do_sample=False, pad_token_id=0
        )
        assert there[0, len(prompt) :].tolist() == written


@pytest.mark.skipif(not bf16_units(torch.device("cpu")), reason="no bf16 arithmetic here")
@pytest.mark.parametrize("layers", ["all", "top-1"])
def test_in_bf16_it_trains_and_writes(stage, tiny_decoder, layers):
    """16 steps: losses within .2 nats of fp32's and not the same."""
    made = {}
    for precision in ("fp32", "bf16"):
        config = generation(stage, tiny_decoder, method__layers=layers, horizon=16, depths=[8])
        config |= {"precision": precision, "store": f"{config['store']}-{precision}"}
        setting = problems.build(config, machine("cpu", precision))
        records, _ = loop.train(config, setting, range(4), lambda line: None)
        made[precision] = np.array([r[4] for r in records if r[3] == "loss"])
        assert not any(r[5] for r in records)
    off = np.abs(made["bf16"] - made["fp32"]).max()
    assert 0 < off < 0.2
