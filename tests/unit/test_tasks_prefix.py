"""The frozen prefix: a cut model gives the whole model's outputs, for every architecture and cut."""

from __future__ import annotations

import pytest
import torch
import transformers as hf

from prehoc.errors import InputError
from prehoc.tasks.prefix import blocks, check_cut, entering, truncate

SMALL = {
    "vocab_size": 60,
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
}
KV = {"num_key_value_heads": 2, "head_dim": 8}
ENCODERS = {
    "bert": (hf.BertConfig, {}, "encoder.layer"),
    "roberta": (hf.RobertaConfig, {"pad_token_id": 1}, "encoder.layer"),
    "electra": (hf.ElectraConfig, {"embedding_size": 16}, "encoder.layer"),
    "mpnet": (hf.MPNetConfig, {"pad_token_id": 1}, "encoder.layer"),
    "deberta": (
        hf.DebertaV2Config,
        {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_biased_input": False},
        "encoder.layer",
    ),
    "distilbert": (
        hf.DistilBertConfig,
        {"dim": 32, "n_layers": 4, "n_heads": 4, "hidden_dim": 48},
        "transformer.layer",
    ),
    "modernbert": (
        hf.ModernBertConfig,
        {"global_attn_every_n_layers": 2, "local_attention": 4, "bos_token_id": 1, "eos_token_id": 2}
        | {"cls_token_id": 1, "sep_token_id": 2},
        "layers",
    ),
}
DECODERS = {
    "llama": (hf.LlamaConfig, KV),
    "qwen2": (hf.Qwen2Config, {"num_key_value_heads": 2, "use_sliding_window": True, "sliding_window": 3}),
    "qwen3": (hf.Qwen3Config, KV),
    "mistral": (hf.MistralConfig, KV | {"sliding_window": 4}),
    "neox": (hf.GPTNeoXConfig, {}),
    "gpt2": (hf.GPT2Config, {"n_embd": 32, "n_layer": 4, "n_head": 4, "n_inner": 48, "n_positions": 64}),
    "opt": (hf.OPTConfig, {"ffn_dim": 48, "word_embed_proj_dim": 32}),
    "gemma2": (hf.Gemma2Config, KV | {"sliding_window": 4}),
    "gemma3": (
        hf.Gemma3TextConfig,
        KV | {"sliding_window": 4, "layer_types": ["sliding_attention", "full_attention"] * 2},
    ),
}


def made(auto, kind, over):
    """A random model in inference mode; drawn wide, so that no block is near the identity."""
    skipped = {"dim", "n_embd"} & set(over)
    keys = {k: v for k, v in SMALL.items() if not skipped or k in ("vocab_size", "pad_token_id")}
    if "dim" in over:
        keys["max_position_embeddings"] = 64
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = auto.from_config(kind(**{**keys, **over})).eval().requires_grad_(False)
        for value in model.parameters():
            if value.dim() > 1:
                torch.nn.init.normal_(value, std=0.2)
    return model


def tokens(masked=True, length=9):
    draw = torch.Generator().manual_seed(1)
    ids = torch.randint(3, 60, (3, length), generator=draw)
    mask = torch.ones_like(ids)
    if masked:
        mask[1, 5:] = mask[2, 7:] = 0
        ids[mask == 0] = 0
    return {"input_ids": ids, "attention_mask": mask}


@pytest.mark.parametrize("name", ENCODERS)
def test_every_cut_of_an_encoder_is_exact(name):
    kind, over, path = ENCODERS[name]
    model = made(hf.AutoModel, kind, over)
    assert blocks(model) is model.get_submodule(path)
    inputs = tokens()
    whole = model(**inputs).last_hidden_state
    names = [n for n, _ in model.named_parameters() if f"{path}.3." in n]
    for layer in range(4):
        cut = truncate(model, layer)
        check_cut(model, cut, layer, inputs)
        states = entering(model, layer, inputs)
        got = cut(inputs_embeds=states, attention_mask=inputs["attention_mask"]).last_hidden_state
        real = inputs["attention_mask"].bool()
        torch.testing.assert_close(got[real], whole[real], rtol=0, atol=1e-5)
        assert [n for n, _ in cut.named_parameters() if f"{path}.3." in n] == names
        assert not any(f"{path}.{i}." in n for n, _ in cut.named_parameters() for i in range(layer))
        with pytest.raises(InputError, match="cannot be cut"):
            check_cut(model, truncate(model, (layer + 1) % 4), layer, inputs)
    torch.testing.assert_close(model(**inputs).last_hidden_state, whole, rtol=0, atol=0)


@pytest.mark.parametrize("name", DECODERS)
def test_every_cut_of_a_decoder_is_exact(name):
    model = made(hf.AutoModelForCausalLM, *DECODERS[name])
    inputs = tokens(masked=False)
    whole = model(**inputs, use_cache=False).logits
    for layer in range(4):
        cut = truncate(model, layer)
        check_cut(model, cut, layer, inputs)
        states = entering(model, layer, inputs)
        got = cut(inputs_embeds=states, use_cache=False).logits
        torch.testing.assert_close(got, whole, rtol=0, atol=1e-5)
        few = cut(inputs_embeds=states, use_cache=False, logits_to_keep=torch.tensor([5, 7])).logits
        torch.testing.assert_close(few, whole[:, [5, 7]], rtol=0, atol=1e-5)


def test_nothing_above_the_cut_runs():
    model = made(hf.AutoModel, *ENCODERS["bert"][:2])
    ran = []
    for i, block in enumerate(blocks(model)):
        block.register_forward_hook(lambda *_, i=i: ran.append(i))
    ran.clear()
    entering(model, 2, tokens())
    assert ran[-2:] == [0, 1]
    ran.clear()
    hooked = truncate(model, 3)
    ran.clear()
    hooked(inputs_embeds=torch.randn(2, 5, 32))
    assert ran == [3]


def test_models_that_cannot_be_cut_are_refused():
    shared = made(hf.AutoModel, hf.AlbertConfig, {"embedding_size": 16})
    with pytest.raises(InputError, match=r"method\.layers: AlbertModel cannot be cut: .*layers: all"):
        blocks(shared)
    both = made(
        hf.AutoModel,
        hf.BartConfig,
        {"d_model": 32, "encoder_layers": 4, "decoder_layers": 4, "encoder_attention_heads": 4}
        | {"decoder_attention_heads": 4, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48},
    )
    with pytest.raises(InputError, match=r"BartModel cannot be cut: it has 2 stacks of 4 blocks"):
        blocks(both)


def test_a_model_with_something_beside_the_states_is_found_out():
    """DeBERTa's convolution after block 0 reads what the embedding gave, which cut 0 drops."""
    over = ENCODERS["deberta"][1] | {"conv_kernel_size": 3, "conv_act": "gelu"}
    model = made(hf.AutoModel, hf.DebertaV2Config, over)
    inputs = tokens()
    with pytest.raises(InputError, match=r"DebertaV2Model cannot be cut below block 0: outputs differ"):
        check_cut(model, truncate(model, 0), 0, inputs)
    for layer in (1, 2, 3):
        check_cut(model, truncate(model, layer), layer, inputs)


def test_token_inputs_of_every_block_are_found_out():
    """Gemma 3n gives every block its own embedding of the token: no cut is exact."""
    over = KV | {"vocab_size_per_layer_input": 60, "hidden_size_per_layer_input": 8, "laurel_rank": 4}
    over |= {"num_kv_shared_layers": 0, "sliding_window": 4, "intermediate_size": 48}
    over |= {"layer_types": ["sliding_attention", "full_attention"] * 2, "altup_num_inputs": 2}
    over |= {"activation_sparsity_pattern": [0.0] * 4}
    model = made(hf.AutoModel, hf.Gemma3nTextConfig, over)
    with pytest.raises(InputError, match=r"Gemma3nTextModel cannot be cut"):
        check_cut(model, truncate(model, 2), 2, tokens(masked=False))
