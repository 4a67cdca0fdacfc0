"""Whether a model can be trained as a task asks: lengths, what its first position sees, its arithmetic."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from prehoc.errors import InputError
from prehoc.tasks import encoder
from prehoc.tasks.machine import CPU
from prehoc.tasks.problem import DropoutKey
from prehoc.tasks.ragged import layout


def fits(length: int, tokeniser: Any, model: Any) -> None:
    """Raise InputError where `length` tokens hold no word, or are more than the model has places for."""
    marks = tokeniser.num_special_tokens_to_add(pair=False)
    if length <= marks:
        raise InputError(f"model.max_length: {length} tokens hold no word beside {marks} marks; raise it")
    places = getattr(model.config, "max_position_embeddings", None) or length
    if places < 0:  # as relative positions state it: no limit
        return
    if "roberta" in model.config.model_type or model.config.model_type == "camembert":
        places -= 2  # its places count from behind the padding's
    if length > places:
        raise InputError(
            f"model.max_length: {length} tokens, and the model has places for {places}; lower it"
        )


@torch.inference_mode()
def sees_ahead(model: Any, tokens: Any) -> None:
    """Raise InputError where the first position sees no later one, as in a decoder."""
    row = int(tokens["attention_mask"].sum(1).argmax())
    part = {k: v[row : row + 1] for k, v in tokens.items()}
    last = int(part["attention_mask"].sum()) - 1
    if last < 1:
        return
    other = {k: v.clone() for k, v in part.items()}
    other["input_ids"][0, last] = (other["input_ids"][0, last] + 1) % model.config.vocab_size
    first, second = (model(**given).last_hidden_state[0, 0] for given in (part, other))
    if torch.equal(first, second):
        raise InputError(
            f"method.pooling: cls reads the first position, and in {type(model).__name__} that sees no "
            "later token; set pooling: mean"
        )


@torch.inference_mode()
def agrees(model: Any, tokens: Any, tensors: dict[str, torch.Tensor], meta: dict[str, Any]) -> None:
    """Hold the encoder that trains against the model itself on a few examples.

    Raises InputError if they differ: the model has a part that its settings do not show.
    """
    few = {k: v[:4] for k, v in tokens.items()}
    theirs = model(**few).last_hidden_state[few["attention_mask"].bool()]
    plain = {k: v for k, v in tensors.items() if k.startswith("layer.")}
    ours = encoder.Encoder(plain, meta, CPU)
    where = layout(
        tensors["starts"].numpy(),
        tensors["lengths"].numpy(),
        np.arange(len(few["input_ids"]))[None],
        1,
        CPU.device,
    )
    none = encoder.Adapters({}, 1.0, 0.0, DropoutKey(torch.zeros(1, dtype=torch.int64), 0))
    states = tensors["states"].float()[where.source]
    off = float((ours.run(states, None, none, where, False) - theirs).abs().max())
    near = 1e-4 if tensors["states"].dtype == torch.float32 else 0.1
    if not off <= near * max(float(theirs.abs().max()), 1.0):
        raise InputError(
            f"model.name: {type(model).__name__} differs from a plain encoder of its kind by {off:.1g}; "
            "it has a part that is not known here, so choose another model"
        )
