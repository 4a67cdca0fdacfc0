"""What a frozen encoder tells of labelled texts before training: LogME, and LEEP if it has own classes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from prehoc.tasks import models
from prehoc.tasks.scores import leep, logme

SCORED = 500  # training examples at most: two or three seconds for a small encoder
_BATCH = 128


def scores(
    model: Any,
    tokens: Any,
    labels: np.ndarray,
    classes: int,
    poolings: list[str],
    pool: Callable[[torch.Tensor, torch.Tensor, str], torch.Tensor],
    classifier: Any = None,
    known: dict[str, torch.Tensor] | None = None,
) -> dict[str, Any]:
    """`logme` by the name of the pooling, and `leep` (None where it is not defined), of training examples.

    `tokens` [n, L] and `labels` [n] of the training set, of which the first SCORED are taken; `classes` 0:
    the labels are numbers. `pool` makes features [n, H] of states and mask, in each way of `poolings`.
    `classifier` is the same model with its own head; `known`: features that are there already.
    """
    n = min(len(labels), SCORED)
    features: dict[str, list[torch.Tensor]] = {name: [] for name in poolings if name not in (known or {})}
    told: list[torch.Tensor] = []
    with torch.inference_mode():
        for rows in torch.arange(n).split(_BATCH) if features or classifier is not None else ():
            part = {k: v[rows] for k, v in tokens.items()}
            longest = int(part["attention_mask"].sum(1).max())
            part = {k: v[:, :longest].to(model.device) for k, v in part.items()}
            if features:
                states = model(**part).last_hidden_state
                for name, found in features.items():
                    found.append(pool(states, part["attention_mask"].bool(), name).cpu())
            if classifier is not None:
                told.append(classifier(**part).logits.softmax(-1).cpu())
    taken = labels[:n]
    joined = {k: torch.cat(v).double().numpy() for k, v in features.items()}
    joined |= {k: v[:n].double().numpy() for k, v in (known or {}).items()}
    made: dict[str, Any] = {"logme": {k: _finite(logme(x, taken, classes)) for k, x in joined.items()}}
    own = torch.cat(told).double().numpy() if told else None
    made["leep"] = _finite(leep(own, taken, classes)) if own is not None and classes else None
    return made


def own_classifier(folder: str, revision: str | None, device: Any) -> Any:
    """The model in `folder` with the head of two classes or more that it came with, or None."""
    kinds = models.settings_of(folder, revision).get("architectures") or []
    if not any(str(kind).endswith("ForSequenceClassification") for kind in kinds):
        return None
    model = models.load_classifier(folder, revision)[1]
    return model.to(device) if int(getattr(model.config, "num_labels", 0)) > 1 else None


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
