"""The frozen prefix of any transformers encoder or decoder: the blocks below the first that trains.

What enters block l is the same for every seed, step and depth, so it is computed once (`entering`);
`truncate` gives the model that goes on from there. Nothing here knows an architecture by name: the
stack of blocks is found by running the model, and `check_cut` compares a cut model with the whole.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from prehoc.errors import InputError

TOLERANCE = 1e-5  # largest difference between a cut model and the whole, in units of its largest output


class _Reached(Exception):  # noqa: N818
    """Stops a forward pass at the block whose input is wanted."""


def depth_of(model: Any) -> int:
    """How many transformer blocks the model's config states; 0 if it states none."""
    settings = getattr(model, "config", None)
    if settings is not None and hasattr(settings, "get_text_config"):
        settings = settings.get_text_config()
    return int(getattr(settings, "num_hidden_layers", 0) or 0)


def _given(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> torch.Tensor:
    """The hidden states among a block's arguments: the first one, or the one of that name."""
    if args:
        return args[0]
    return kwargs["hidden_states"]


def _probe(model: Any, lists: list[nn.ModuleList]) -> dict[int, Any]:
    """Run two tokens; what each block of `lists` returned, by the block's id."""
    seen: dict[int, Any] = {}

    def note(block: nn.Module, args: Any, output: Any) -> None:
        seen[id(block)] = output

    handles = [b.register_forward_hook(note) for stack in lists for b in stack]
    tokens = torch.zeros(1, 2, dtype=torch.int64, device=next(model.parameters()).device)
    try:
        with torch.no_grad():
            model(input_ids=tokens, attention_mask=torch.ones_like(tokens))
    finally:
        for handle in handles:
            handle.remove()
    return seen


def blocks(model: Any) -> nn.ModuleList:
    """The stack of transformer blocks: the one list of `config.num_hidden_layers` modules that runs.

    Raises InputError if there is none, or more than one as in an encoder-decoder.
    """
    return _stack(model)[1]


def _stack(model: Any) -> tuple[str, nn.ModuleList, dict[int, Any]]:
    """Name of the stack, the stack, and what its blocks return for a probe."""
    depth = depth_of(model)
    lists = {n: m for n, m in model.named_modules() if isinstance(m, nn.ModuleList) and len(m) == depth}
    try:
        seen = _probe(model, list(lists.values())) if lists and depth else {}
    except (ValueError, TypeError, RuntimeError, IndexError):  # not a model of token ids
        seen = {}
    outputs = {
        n: [seen[id(b)] for b in stack] for n, stack in lists.items() if all(id(b) in seen for b in stack)
    }
    found = [n for n, made in outputs.items() if all(_hidden(o) for o in made)]
    if len(found) != 1:
        raise InputError(
            f"method.layers: {type(model).__name__} cannot be cut: it has {len(found)} stacks of {depth} "
            "blocks that run on token ids, not one; set layers: all"
        )
    return found[0], lists[found[0]], seen


def _hidden(output: Any) -> bool:
    """Whether a block's output is hidden states [n, L, H], alone or first in a tuple."""
    first = output[0] if isinstance(output, tuple) and output else output
    return isinstance(first, torch.Tensor) and first.dim() == 3


class Gone(nn.Module):
    """Stands where a block was: gives the states on, in the form in which that block gave its own."""

    def __init__(self, block: nn.Module, output: Any) -> None:
        super().__init__()
        for name, value in vars(block).items():  # layer_idx, attention_type, ...: the model may ask
            if not name.startswith("_") and isinstance(value, str | int | float) and name != "training":
                setattr(self, name, value)
        self.others = len(output) - 1 if isinstance(output, tuple) else None

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The states that came in."""
        states = _given(args, kwargs)
        return states if self.others is None else (states, *[None] * self.others)


def entering(model: Any, layer: int, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Hidden states [n, L, H] that enter block `layer` for token inputs; no block from there on runs."""
    block = blocks(model)[layer]
    return entering_block(model, block, inputs)


@torch.no_grad()
def entering_block(model: Any, block: nn.Module, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """`entering` for a block that is known already."""
    caught: list[torch.Tensor] = []

    def stop(_: nn.Module, args: Any, kwargs: Any) -> None:
        caught.append(_given(args, kwargs))
        raise _Reached

    handle = block.register_forward_pre_hook(stop, with_kwargs=True)
    try:
        model(**inputs)
    except _Reached:
        return caught[0]
    finally:
        handle.remove()
    raise InputError(
        f"method.layers: {type(model).__name__} cannot be cut: a block never ran; set layers: all"
    )


def _own(module: nn.Module) -> Any:
    """A copy of a module that shares weights and children; its lists of children and hooks are its own."""
    twin = copy.copy(module)
    twin.__dict__ |= {
        "_modules": dict(module._modules),
        "_forward_pre_hooks": OrderedDict(),
        "_forward_pre_hooks_with_kwargs": OrderedDict(),
    }
    return twin


def truncate(model: Any, layer: int) -> Any:
    """The model without its first `layer` blocks, called with inputs_embeds = states entering the next.

    The blocks that stay keep their names, indices and kinds, and share `model`'s weights. The
    embedding step runs on dummy ids, as some have a width of their own, and its result is dropped: the
    states are put in where block `layer` begins. Masks and positions are made by the model itself.
    """
    path, stack, seen = _stack(model)
    if not 0 <= layer < len(stack):
        raise ValueError(f"block {layer} of {len(stack)}")
    twin = _own(model)
    parent = twin
    *inner, leaf = path.split(".")
    for name in inner:
        parent._modules[name] = _own(parent._modules[name])
        parent = parent._modules[name]
    kept = [_own(stack[layer]), *list(stack)[layer + 1 :]]
    gone = [Gone(b, seen[id(b)]) for b in list(stack)[:layer]]
    parent._modules[leaf] = nn.ModuleList([*gone, *kept])
    waiting: list[torch.Tensor] = []

    def take(_: nn.Module, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        states = kwargs.pop("inputs_embeds")
        waiting[:] = [states]
        ids = torch.zeros(states.shape[:2], dtype=torch.int64, device=states.device)
        return args, {**kwargs, "input_ids": ids}

    def put(_: nn.Module, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        states = waiting.pop()
        return ((states, *args[1:]), kwargs) if args else (args, {**kwargs, "hidden_states": states})

    twin.register_forward_pre_hook(take, with_kwargs=True)
    kept[0].register_forward_pre_hook(put, with_kwargs=True)
    return twin


@torch.no_grad()
def check_cut(model: Any, truncated: Any, layer: int, inputs: Mapping[str, torch.Tensor]) -> None:
    """Compare a cut model with the whole on a few examples, at the positions that are no padding.

    Raises InputError if they differ by more than TOLERANCE of the largest output, or if the cut
    model does not run: something besides the states passes between this model's blocks.
    """
    whole = model(**inputs)[0]
    states = entering(model, layer, inputs)
    passed = {k: v for k, v in inputs.items() if k not in ("input_ids", "token_type_ids")}
    try:
        cut = truncated(inputs_embeds=states, **passed)[0]
    except (ValueError, TypeError, RuntimeError, IndexError, AttributeError, KeyError) as error:
        raise _uncut(model, layer, " ".join(str(error).split())[:100]) from error
    real = inputs["attention_mask"].bool() if "attention_mask" in inputs else slice(None)
    off = (whole[real].float() - cut[real].float()).abs().max()
    scale = whole[real].float().abs().max()
    if not off <= TOLERANCE * max(float(scale), 1.0):
        raise _uncut(model, layer, f"outputs differ by {float(off):.1g}")


def _uncut(model: Any, layer: int, why: str) -> InputError:
    return InputError(
        f"method.layers: {type(model).__name__} cannot be cut below block {layer}: {why}; set layers: all"
    )
