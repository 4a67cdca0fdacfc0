"""Modular addition from scratch by a small transformer: the task on which networks grok.

Inputs are the tokens a, b and "="; the answer (a + b) mod p is read at the last position, the only
one that the last layer computes. The table of p^2 sums is split by unordered pairs, so that no
commuted twin of a training sum is ever tested.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from prehoc.errors import InputError
from prehoc.tasks.heads import cross_entropy, judge
from prehoc.tasks.machine import CPU, Machine
from prehoc.tasks.problem import DropoutKey, Parameter, Theta, looked_up, normal
from prehoc.tasks.streams import generator

CHUNK = 512


def modular_splits(modulus: int, share: float, val: int, target: int, root: int) -> dict[str, np.ndarray]:
    """Pairs [n, 2] of each split; unordered pairs are kept together.

    Raises InputError if the table is too small for the splits.
    """
    pairs = np.array([(a, b) for a in range(modulus) for b in range(a, modulus)])
    order = generator(root, f"modular:{modulus}", 0, "data_split").permutation(len(pairs))
    both = [np.unique([p, p[::-1]], axis=0) for p in pairs[order]]
    sizes = np.cumsum([len(b) for b in both])
    total = int(sizes[-1])
    if not 0 < share < 1:
        raise InputError(f"arithmetic.train: {share} must be a share between 0 and 1")
    wanted = {"train": round(share * total), "val": val, "target": target}
    splits: dict[str, np.ndarray] = {}
    begin = 0
    for split, want in wanted.items():
        taken = int(sizes[begin - 1]) if begin else 0
        end = int(np.searchsorted(sizes, taken + want, side="left")) + 1
        if end > len(sizes):
            raise InputError(
                f"arithmetic.{split}: {modulus}^2 = {total} sums do not hold {wanted['train']} for "
                f"training and {val} + {target} beside them; lower val, target or train"
            )
        part = np.concatenate(both[begin:end])
        splits[split] = part if split == "train" else part[:want]
        begin = end
    return splits


class ModularProblem:
    """A transformer without biases or learned norms, stacked over runs."""

    def __init__(self, config: dict[str, Any], machine: Machine = CPU) -> None:
        settings, method = config["arithmetic"], config["method"]
        self.modulus = int(settings["modulus"])
        self.classes = self.modulus
        width, self.heads, self.depth = method["width"], method["heads"], method["depth"]
        if width % self.heads:
            raise InputError(f"method.heads: {self.heads} does not divide method.width {width}")
        splits = modular_splits(
            self.modulus, settings["train"], settings["val"], settings["target"], config["seed"]
        )
        self.tokens = {
            s: torch.from_numpy(np.column_stack([p, np.full(len(p), self.modulus)])).to(machine.device)
            for s, p in splits.items()
        }
        # Rows of the table of inputs: p of the first place, p of the second, "=" at the third.
        shift = torch.tensor([0, self.modulus, self.modulus], device=machine.device)
        self.inputs = {s: t + shift for s, t in self.tokens.items()}
        self.answers = {s: t[:, :2].sum(1) % self.modulus for s, t in self.tokens.items()}
        self.labels: torch.Tensor | None = self.answers["train"]
        sd = 1 / math.sqrt(width)
        shapes: list[tuple[str, tuple[int, ...], float]] = [
            ("embed", (self.modulus + 1, width), sd),
            ("place", (3, width), sd),
        ]
        for i in range(self.depth):
            shapes += [(f"{i}.{n}", (width, width), sd) for n in ("query", "key", "value", "out")]
            shapes += [
                (f"{i}.up", (width, 4 * width), sd),
                (f"{i}.down", (4 * width, width), sd / 2),
            ]
        shapes.append(("unembed", (width, self.modulus), sd))
        self.parameters = [Parameter(n, s, normal(s, sd)) for n, s, sd in shapes]

    def rows(self, split: str) -> int:
        """Number of sums in a split."""
        return len(self.tokens[split])

    def _table(self, theta: Theta) -> torch.Tensor:
        """All inputs of the first layer [S, 2 p + 1, d]: a token at a place makes one, whatever the sum."""
        numbers, equals = theta["embed"].split([self.modulus, 1], 1)
        first, second, third = theta["place"].split(1, 1)
        return torch.cat([numbers + first, numbers + second, equals + third], 1)

    def _logits(self, theta: Theta, inputs: torch.Tensor) -> torch.Tensor:
        """Logits [S, B, p] of sums given as rows [S, B, 3] of the table of inputs."""
        table = self._table(theta)
        runs, entries, _ = table.shape
        begin = torch.arange(0, runs * entries, entries, device=table.device)[:, None, None]
        states = self._first_layer(theta, table, inputs + begin)
        for i in range(1, self.depth):
            states = self._layer(theta, i, states)
        return torch.bmm(states, theta["unembed"])

    def _first_layer(self, theta: Theta, table: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        """The first layer's outputs; keys, values and queries are made for the table and looked up.

        `index` [S, B, 3] are rows of the flattened table. The last layer computes the last place alone,
        where "=" asks the same of every sum: there scores are looked up too.
        """
        width = table.shape[2]
        batch, split = index.shape[1], (self.heads, width // self.heads)
        keys, values = (torch.bmm(table, theta[f"0.{name}"]) for name in ("key", "value"))
        if self.depth > 1:
            queries = torch.bmm(table, theta["0.query"])
            looked = looked_up(index, torch.cat([table, queries, keys, values], 2).flatten(0, 1))
            states, *parts = looked.split(width, -1)
            return self._rest(theta, 0, states.flatten(1, 2), self._attend(*parts))
        last = table[:, -1:]
        query = torch.bmm(last, theta["0.query"]).unflatten(2, split)
        scores = (keys.unflatten(2, split) * query).sum(-1) * split[1] ** -0.5  # [S, 2 p + 1, heads]
        pair = index[:, :, :2].contiguous()
        chosen = looked_up(pair, scores.flatten(0, 1))
        share = torch.softmax(torch.cat([chosen, scores[:, None, -1:].expand(-1, batch, -1, -1)], 2), 2)
        looked = looked_up(pair, values.flatten(0, 1)).unflatten(3, split)
        mixed = looked[:, :, 0] * share[:, :, 0, :, None]
        mixed = torch.addcmul(mixed, looked[:, :, 1], share[:, :, 1, :, None])
        own = values[:, -1:].unflatten(2, split)
        mixed = torch.addcmul(mixed, own, share[:, :, 2, :, None])
        return self._rest(theta, 0, last, mixed.flatten(2))

    def _layer(self, theta: Theta, layer: int, states: torch.Tensor) -> torch.Tensor:
        """Layer 1, 2, ... of states [S, 3 B, d]: [S, 3 B, d], or [S, B, d] of the last place."""
        three = states.unflatten(1, (-1, 3))
        asking = three[:, :, -1:].flatten(1, 2) if layer == self.depth - 1 else states
        queries = torch.bmm(asking, theta[f"{layer}.query"])
        keys, values = (torch.bmm(states, theta[f"{layer}.{name}"]) for name in ("key", "value"))
        parts = [x.view(*three.shape[:2], -1, x.shape[-1]) for x in (queries, keys, values)]
        return self._rest(theta, layer, asking, self._attend(*parts))

    def _attend(self, queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        """Attention of queries [S, B, l, d] to keys and values [S, B, 3, d]: [S, l B, d].

        Written out: three places are too few for a kernel of attention or of products to pay.
        """
        split = (self.heads, queries.shape[-1] // self.heads)
        query, key, value = (x.unflatten(3, split) for x in (queries, keys, values))
        scores = (query[:, :, :, None] * key[:, :, None]).sum(-1) * split[1] ** -0.5  # [S, B, l, 3, heads]
        share = torch.softmax(scores, 3)
        mixed = (share[..., None] * value[:, :, None]).sum(3)
        return mixed.flatten(3).flatten(1, 2)

    @staticmethod
    def _rest(theta: Theta, layer: int, states: torch.Tensor, mixed: torch.Tensor) -> torch.Tensor:
        """A layer after its attention, which is added to states [S, n, d] (or [S, 1, d])."""
        read = torch.baddbmm(states, mixed, theta[f"{layer}.out"])
        inner = torch.bmm(read, theta[f"{layer}.up"]).relu_()
        return torch.baddbmm(read, inner, theta[f"{layer}.down"])

    def losses(
        self, theta: Theta, rows: torch.Tensor, labels: torch.Tensor | None, key: DropoutKey
    ) -> torch.Tensor:
        """Training losses [S, B] in nats."""
        assert labels is not None
        return cross_entropy(self._logits(theta, self.inputs["train"][rows]), labels)

    def evaluate(self, theta: Theta, split: str) -> tuple[torch.Tensor, torch.Tensor]:
        """Correctness and loss [S, n] of a split."""
        return self._judged(theta, split, self.rows(split))

    def probe(self, theta: Theta, examples: int) -> torch.Tensor:
        """Losses [S, examples] of the first validation sums."""
        return self._judged(theta, "val", min(examples, self.rows("val")))[1]

    def _judged(self, theta: Theta, split: str, first: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Correctness and loss [S, first] of a split's first sums."""
        # Sixteen at a time: else where a run's numbers begin, and so their bits, would depend on its slot.
        rows = torch.arange(-(-first // 16) * 16, device=self.tokens[split].device) % self.rows(split)
        inputs, runs = self.inputs[split][rows], theta["place"].shape[0]
        logits = [self._logits(theta, part.expand(runs, -1, -1)) for part in inputs.split(CHUNK)]
        correct, losses = judge(torch.cat(logits, 1), self.answers[split][rows])
        return correct[:, :first], losses[:, :first]
