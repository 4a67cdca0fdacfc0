"""LoRA adapters of a bank of runs over one frozen model, defined by a peft `LoraConfig`.

A `BankedLinear` takes the place of each target module. Its input is S*B sequences, run by run, and
y = W x + b + scale B_s A_s drop(x), with the adapters of run s on that run's sequences alone (Hu et
al. 2021). Which modules are targets, their ranks and scales are peft's own rules.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.autograd.function import once_differentiable

from prehoc.errors import InputError
from prehoc.tasks.machine import CPU, Machine
from prehoc.tasks.prefix import depth_of
from prehoc.tasks.problem import DropoutKey, Parameter, Theta, dropout, normal, uniform, zeros

if TYPE_CHECKING:
    from peft import LoraConfig

# What of a LoraConfig the bank does. Any other field must stand at peft's default.
DONE = (
    "r",
    "lora_alpha",
    "use_rslora",
    "lora_dropout",
    "init_lora_weights",
    "target_modules",
    "exclude_modules",
    "layers_to_transform",
    "layers_pattern",
    "rank_pattern",
    "alpha_pattern",
)
# What says nothing of the arithmetic.
NAMES = (
    "task_type",
    "peft_type",
    "auto_mapping",
    "peft_version",
    "base_model_name_or_path",
    "revision",
    "inference_mode",
    "megatron_core",
    "runtime_config",
)


class Adapted(torch.autograd.Function):
    """W x + b + scale B_s A_s x_s over stacked runs; no gradient for the frozen W and b.

    The frozen product is one matrix product over all tokens; the low-rank ones are batched over runs
    in the layouts that are fastest on a CPU (the transposed view of A beats a contiguous copy 2 to 5
    times, and B's gradient as (A x)^T g beats g^T (A x) as much).
    """

    @staticmethod
    def forward(
        ctx: Any,
        states: torch.Tensor,
        dropped: torch.Tensor | None,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        down: torch.Tensor,
        up: torch.Tensor,
        scale: float,
    ) -> torch.Tensor:
        """Outputs [S, T, out] of states [S, T, in]; `dropped` is what enters the adapters, if not they."""
        runs, tokens, width = states.shape
        flat = states.reshape(-1, width)
        outputs = torch.mm(flat, weight.t()) if bias is None else torch.addmm(bias, flat, weight.t())
        outputs = outputs.view(runs, tokens, -1)
        inner = states if dropped is None else dropped
        low = torch.bmm(inner, down.transpose(1, 2))
        outputs.baddbmm_(low, up.transpose(1, 2), alpha=scale)
        ctx.save_for_backward(inner, weight, down, up, low)
        ctx.scale, ctx.dropped = scale, dropped is not None
        return outputs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, given: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Gradients of the states, of what entered the adapters, and of A and B."""
        inner, weight, down, up, low = ctx.saved_tensors
        given = given.contiguous()
        need_states, need_dropped, _, _, need_down, need_up, _ = ctx.needs_input_grad
        states = dropped = ddown = dup = None
        if need_down or need_dropped or need_states:
            dlow = torch.bmm(given, up).mul_(ctx.scale)
        if need_states:
            states = torch.mm(given.view(-1, given.shape[-1]), weight).view_as(inner)
            if not ctx.dropped:
                states.baddbmm_(dlow, down)
        if need_dropped:
            dropped = torch.bmm(dlow, down)
        if need_down:
            ddown = torch.bmm(dlow.transpose(1, 2), inner)
        if need_up:
            dup = torch.bmm(low.transpose(1, 2), given).mul_(ctx.scale).transpose(1, 2)
        return states, dropped, None, None, ddown, dup, None


class BankedLinear(nn.Module):
    """A frozen linear layer with one low-rank adapter a run; without adapters, the layer alone."""

    def __init__(self, base: nn.Linear, rank: int, scale: float, rate: float, site: int) -> None:
        super().__init__()
        self.base, self.rank, self.scale, self.rate, self.site = base, rank, scale, rate, site
        self.adapters: tuple[torch.Tensor, torch.Tensor] | None = None
        self.key: DropoutKey | None = None

    @property
    def weight(self) -> torch.Tensor:
        """The frozen weight: some models ask a layer for its dtype."""
        return self.base.weight

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """Outputs [S*B, ..., out] of states [S*B, ..., in]."""
        if self.adapters is None:
            outputs: torch.Tensor = self.base(states)
            return outputs
        down, up = (a.to(states.dtype) for a in self.adapters)
        runs = down.shape[0]
        if states.shape[0] % runs:
            raise ValueError(f"{states.shape[0]} sequences cannot be shared out among {runs} runs")
        stacked = states.reshape(runs, -1, states.shape[-1])
        dropped = None
        if self.rate and self.key is not None:
            dropped = dropout(stacked, self.rate, self.key, self.site)
        outputs = Adapted.apply(stacked, dropped, self.base.weight, self.base.bias, down, up, self.scale)
        return outputs.view(*states.shape[:-1], -1)


class AdapterBank:
    """A model whose target modules are `BankedLinear`s; its parameters are named by their modules.

    The frozen weights are moved to the machine's device and precision; A [rank, in] and B [out, rank]
    stay fp32, and are cast for the products. Raises InputError where a LoraConfig asks for what the
    bank does not do, or nothing can be adapted.
    """

    def __init__(self, model: nn.Module, config: LoraConfig, machine: Machine = CPU) -> None:
        self.model = model
        self.places: dict[str, BankedLinear] = {}
        self.parameters: list[Parameter] = []
        rate = float(config.lora_dropout)
        for name in target_names(model, config):
            base = model.get_submodule(name)
            assert isinstance(base, nn.Linear)
            rank, scale = rank_and_scale(config, name)
            self.places[name] = BankedLinear(base, rank, scale, rate, 1 + len(self.places))
            self.parameters += adapter_parameters(
                name, base.in_features, base.out_features, rank, config.init_lora_weights
            )
        for name, place in self.places.items():
            parent, _, leaf = name.rpartition(".")
            setattr(model.get_submodule(parent), leaf, place)
        to_machine(model, machine)

    @contextmanager
    def adapted(self, theta: Theta, key: DropoutKey | None = None) -> Iterator[Any]:
        """The model with the runs' adapters [S, ...] in place; calls inside take S*B sequences.

        lora_dropout acts where a key is given, as in training.
        """
        for name, place in self.places.items():
            place.adapters, place.key = (theta[f"{name}.A"], theta[f"{name}.B"]), key
        try:
            yield self.model
        finally:
            for place in self.places.values():
                place.adapters = place.key = None


def to_machine(model: nn.Module, machine: Machine) -> None:
    """Move a frozen model's weights in place; its buffers (rotary frequencies) keep their precision."""
    for value in model.parameters():
        value.data = value.data.to(machine.device, machine.dtype)
    for module in model.modules():
        for name, buffer in module._buffers.items():
            module._buffers[name] = None if buffer is None else buffer.to(machine.device)


def lora_config(method: dict[str, Any], model: Any) -> LoraConfig:
    """The peft LoraConfig that a task's `method` block stands for, on a model of known depth.

    Raises InputError if method.layers asks for more layers than there are.
    """
    from peft import LoraConfig

    chosen: list[int] | None = None
    if method["layers"] != "all":
        wanted, depth = int(method["layers"].removeprefix("top-")), depth_of(model)
        if wanted > depth:
            raise InputError(
                f"method.layers: {method['layers']} asks for {wanted} layers, but "
                f"{type(model).__name__} has {depth}; write top-{depth} or all"
            )
        chosen = list(range(depth - wanted, depth))
    return LoraConfig(
        r=method["rank"],
        lora_alpha=method["alpha"],
        lora_dropout=method["lora_dropout"],
        target_modules=list(method["targets"]),
        layers_to_transform=chosen,
    )


def check_config(config: LoraConfig) -> None:
    """Raise InputError, in one line, if a LoraConfig asks for what the bank does not do."""
    plain = type(config)()
    asked = [
        f.name
        for f in dataclasses.fields(config)
        if f.name not in (*DONE, *NAMES) and getattr(config, f.name) != getattr(plain, f.name)
    ]
    if config.init_lora_weights is not True and config.init_lora_weights != "gaussian":
        asked.append("init_lora_weights")
    if asked:
        values = ", ".join(f"{name}={getattr(config, name)!r}" for name in asked)
        raise InputError(
            f"LoraConfig: a bank of adapters does not do {values}; it does plain LoRA on linear modules "
            f"({', '.join(DONE)}, init_lora_weights True or 'gaussian'): leave the others as peft has them"
        )


def rank_and_scale(config: LoraConfig, name: str) -> tuple[int, float]:
    """Rank and scale of a module's adapter: alpha / r, or alpha / sqrt(r) with rsLoRA, by pattern."""
    from peft.utils.other import get_pattern_key

    ranks, alphas = config.rank_pattern or {}, config.alpha_pattern or {}
    rank = ranks.get(get_pattern_key(list(ranks), name), config.r)
    alpha = alphas.get(get_pattern_key(list(alphas), name), config.lora_alpha)
    return rank, alpha / (math.sqrt(rank) if config.use_rslora else rank)


def adapter_parameters(
    name: str, inputs: int, outputs: int, rank: int, law: bool | str = True
) -> list[Parameter]:
    """LoRA's A [r, in], drawn as peft does, and B [out, r], zero.

    A is uniform within 1/sqrt(in) (Kaiming with a = sqrt(5)), or with law "gaussian" normal of
    standard deviation 1/r.
    """
    shape = (rank, inputs)
    init: Callable[[np.random.Generator], np.ndarray] = uniform(shape, 1 / math.sqrt(inputs))
    if law == "gaussian":
        init = normal(shape, 1 / rank)
    return [
        Parameter(f"{name}.A", shape, init),
        Parameter(f"{name}.B", (outputs, rank), zeros((outputs, rank))),
    ]


def target_names(model: Any, config: LoraConfig) -> list[str]:
    """Names of the modules that peft would adapt under a LoraConfig, in the model's order.

    Raises InputError naming the key: a field not done, no match, a match not linear.
    """
    from peft.tuners.tuners_utils import _ExcludedModule, _maybe_include_all_linear_layers
    from peft.tuners.tuners_utils import check_target_module_exists as matches

    check_config(config)
    rule: Any = _maybe_include_all_linear_layers(copy(config), model)
    modules = dict(model.named_modules())

    def wanted(name: str) -> bool:
        hit = matches(rule, name)
        if not hit and not isinstance(hit, _ExcludedModule) and rule.layers_to_transform is not None:
            hit = matches(rule, f"model.{name}")  # peft finds a layer's number behind a dot only
        return bool(hit)

    found = [n for n in modules if n and wanted(n)]
    targets = config.target_modules
    named = [] if targets is None or isinstance(targets, str) else sorted(targets)
    idle = [t for t in named if not any(n == t or n.endswith(f".{t}") for n in found)]
    if not found or idle:
        known = sorted({n.rpartition(".")[2] for n, m in modules.items() if isinstance(m, nn.Linear)})
        layers, asked = rule.layers_to_transform, idle or _shown(config)
        raise InputError(
            f"method.targets: no module of {type(model).__name__} is named {asked} in layers: "
            f"{'all' if layers is None else layers}; linear modules are named {known}"
        )
    for name in found:
        if not isinstance(modules[name], nn.Linear):
            raise InputError(
                f"method.targets: {name} is a {type(modules[name]).__name__}, not a linear module; "
                f"name linear ones"
            )
    return found


def _shown(config: LoraConfig) -> str | list[str]:
    targets = config.target_modules
    return targets if isinstance(targets, str) else sorted(targets or [])
