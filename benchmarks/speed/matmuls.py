"""The matrix products of a training step, recorded as they happen, and run again on their own.

Every product that a real step hands to torch is written down with its operands' shapes, strides and
dtypes, backward pass included. Run again on memory that is already there, they are a version of the
step that does nothing but multiply: no step of the same algorithm can be faster.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

from trainers.clock import now

PLAIN = {"mm": torch.mm, "addmm": torch.addmm, "bmm": torch.bmm, "baddbmm": torch.baddbmm}
PLAIN |= {"addbmm": torch.addbmm, "mv": torch.mv, "addmv": torch.addmv}
OTHER = {"linear", "matmul", "mkldnn_linear", "_linear_pointwise", "addmm_", "baddbmm_", "addbmm_"}
ATTENTION = "scaled_dot_product"


class Recorder(TorchDispatchMode):
    """Writes down each product that torch is asked for: `calls` to be made again, and their `flops`.

    Operands that shared memory in the step share it in the replay, so that caches see alike.
    A fused attention counts as its two products, and its backward pass as four.
    """

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Callable[[], Any]] = []
        self.flops = 0
        self.names: dict[str, int] = {}
        self._copies: dict[tuple[Any, ...], torch.Tensor] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        name = func._schema.name.split("::")[1]
        if name in PLAIN or name in OTHER:
            self._product(name, func, args, kwargs or {}, made)
        elif ATTENTION in name:
            self._attention(name, args)
        else:
            return made
        self.names[name] = self.names.get(name, 0) + 1
        return made

    def _copy(self, of: Any) -> Any:
        """A tensor like `of` in shape, strides and dtype; always the same for the same memory."""
        if not isinstance(of, torch.Tensor):
            return of
        key = (of.data_ptr(), tuple(of.shape), of.stride(), of.dtype)
        if key not in self._copies:
            span = zip(of.shape, of.stride(), strict=True)
            size = 1 + sum((n - 1) * stride for n, stride in span) if of.numel() else 0
            flat = (0.1 * torch.randn(max(size, 1))).to(of.dtype)
            self._copies[key] = flat.as_strided(of.shape, of.stride())
        return self._copies[key]

    def _product(self, name: str, func: Any, args: Any, kwargs: Any, made: torch.Tensor) -> None:
        with Outside(self):
            given, named = tree_map(self._copy, args), tree_map(self._copy, kwargs)
            operands = [a for a in args if isinstance(a, torch.Tensor)]
            if name in PLAIN and "dtype" not in func._overloadname:
                named = {k: v for k, v in named.items() if k != "out"} | {"out": self._copy(made)}
                call = PLAIN[name]
            else:
                call = func
            self.calls.append(lambda: call(*given, **named))
        right = operands[1] if name in ("linear", "mkldnn_linear") else operands[-1]
        if name in ("linear", "mkldnn_linear", "_linear_pointwise"):
            inner = operands[0].shape[-1]
        else:
            inner = right.shape[-2] if right.dim() > 1 else right.shape[-1]
        self.flops += 2 * made.numel() * inner

    def _attention(self, name: str, args: Any) -> None:
        backward = "backward" in name
        query, key, value = args[1:4] if backward else args[:3]
        heads = query.shape[0] * query.shape[1]
        rows, width, columns = query.shape[-2], query.shape[-1], key.shape[-2]
        with Outside(self):
            q, k, v = (self._copy(t).reshape(heads, -1, t.shape[-1]) for t in (query, key, value))
            p = torch.rand(heads, rows, columns).to(query.dtype)
            if not backward:
                products = [(q, k.transpose(1, 2)), (p, v)]
            else:
                o = torch.empty_like(q).normal_()
                products = [(p.transpose(1, 2), o), (o, v.transpose(1, 2)), (p, k), (p.transpose(1, 2), q)]
            for a, b in products:
                out = torch.empty(heads, a.shape[1], b.shape[2], dtype=a.dtype)
                self.calls.append(lambda a=a, b=b, out=out: torch.bmm(a, b, out=out))
        self.flops += len(products) * 2 * heads * rows * columns * width


class Outside:
    """Steps out of a recorder for a while, so that what prepares the replay isn't recorded."""

    def __init__(self, recorder: Recorder) -> None:
        self.guard = torch.utils._python_dispatch._disable_current_modes()

    def __enter__(self) -> None:
        self.guard.__enter__()

    def __exit__(self, *given: Any) -> None:
        self.guard.__exit__(*given)


def record(step: Callable[[], object]) -> Recorder:
    """The products of one call of `step`. Raises ValueError if it makes none that torch can see."""
    with Recorder() as recorder:
        step()
    if not recorder.calls:
        raise ValueError("the step made no matrix product that torch's dispatcher sees")
    return recorder


def replay(recorder: Recorder, times: int = 1) -> float:
    """Seconds of `times` replays."""
    begun = now()
    with torch.no_grad():
        for _ in range(times):
            for call in recorder.calls:
                call()
    return now() - begun
