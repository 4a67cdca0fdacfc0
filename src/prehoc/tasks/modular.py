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
import torch.nn.functional as F

from prehoc.errors import InputError
from prehoc.tasks.heads import cross_entropy, judge
from prehoc.tasks.machine import CPU, Machine
from prehoc.tasks.problem import DropoutKey, Parameter, Theta, normal
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

    def _logits(self, theta: Theta, tokens: torch.Tensor) -> torch.Tensor:
        """Logits [S, B, p] of tokens [S, B, 3]."""
        runs, batch, length = tokens.shape
        index = tokens.reshape(runs, -1, 1).expand(-1, -1, theta["embed"].shape[2])
        states = torch.gather(theta["embed"], 1, index)
        states = states.view(runs, batch, length, -1) + theta["place"][:, None]
        width = states.shape[-1]
        split = (self.heads, width // self.heads)
        for i in range(self.depth):
            last = i == self.depth - 1
            read = states[:, :, -1:] if last else states

            def project(name: str, of: torch.Tensor, layer: int = i) -> torch.Tensor:
                flat = torch.bmm(of.reshape(runs, -1, width), theta[f"{layer}.{name}"])
                return flat.view(runs * batch, of.shape[2], *split).transpose(1, 2)

            mixed = F.scaled_dot_product_attention(
                project("query", read), project("key", states), project("value", states)
            )
            flat = mixed.transpose(1, 2).reshape(runs, -1, width)
            read = read + torch.bmm(flat, theta[f"{i}.out"]).view_as(read)
            inner = F.relu(torch.bmm(read.reshape(runs, -1, width), theta[f"{i}.up"]))
            states = read + torch.bmm(inner, theta[f"{i}.down"]).view_as(read)
        return torch.bmm(states[:, :, -1], theta["unembed"])

    def losses(
        self, theta: Theta, rows: torch.Tensor, labels: torch.Tensor | None, key: DropoutKey
    ) -> torch.Tensor:
        """Training losses [S, B] in nats."""
        assert labels is not None
        return cross_entropy(self._logits(theta, self.tokens["train"][rows]), labels)

    def evaluate(self, theta: Theta, split: str) -> tuple[torch.Tensor, torch.Tensor]:
        """Correctness and loss [S, n] of a split."""
        runs = theta["place"].shape[0]
        logits = [
            self._logits(theta, part.expand(runs, -1, -1)) for part in self.tokens[split].split(CHUNK)
        ]
        return judge(torch.cat(logits, 1), self.answers[split])
