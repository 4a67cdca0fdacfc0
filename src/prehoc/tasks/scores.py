"""Scores of a frozen model for a task, known before training: LogME and LEEP."""

from __future__ import annotations

import numpy as np

_TURNS, _NEAR = 500, 1e-10  # of the fixed point: at most so many, to so small a relative change


def evidence(features: np.ndarray, target: np.ndarray) -> float:
    """The largest log evidence an example, in nats, of a Bayesian linear model of one target.

    y = F w + e with w ~ N(0, I/a) and e ~ N(0, 1/b), at the a and b that make it largest: You et al.,
    LogME, ICML 2021, algorithm 1, by MacKay's fixed point in the features' singular basis. `features`
    [n, H], `target` [n]; no column of ones is added, as there.
    """
    y = np.asarray(target, float)
    u, s, _ = np.linalg.svd(np.asarray(features, float), full_matrices=False)
    return _evidence(u.T @ y, s**2, float(y @ y), *features.shape)


def _evidence(z: np.ndarray, power: np.ndarray, total: float, n: int, width: int) -> float:
    """`evidence` from the target's part z along singular directions of squared size `power`."""
    rest = max(total - float(z @ z), 0.0)  # what no weights reach
    a, b, before = 1.0, 1.0, -np.inf
    made = before
    for _ in range(_TURNS):
        shrunk = a + b * power
        weight = b**2 * float((power * z**2 / shrunk**2).sum())  # |m|^2 of the posterior mean m
        error = rest + float((z**2 * (a / shrunk) ** 2).sum())  # |y - F m|^2
        log_det = float(np.log(shrunk).sum()) + (width - len(power)) * np.log(a)
        made = n * np.log(b) + width * np.log(a) - n * np.log(2 * np.pi) - b * error - a * weight - log_det
        if abs(made - before) <= _NEAR * max(abs(made), 1.0):
            break
        before = made
        gamma = float((b * power / shrunk).sum())
        a = min(max(gamma / max(weight, 1e-300), 1e-12), 1e12)
        b = min(max((n - gamma) / max(error, 1e-300), 1e-12), 1e12)
    return float(made / (2 * n))


def logme(features: np.ndarray, labels: np.ndarray, classes: int) -> float:
    """LogME of features [n, H] for labels [n]: the mean of `evidence` over classes, one against the rest.

    Numbers (`classes` 0) are taken as they are.
    """
    x = np.asarray(features, float)
    u, s, _ = np.linalg.svd(x, full_matrices=False)
    goals = [labels == k for k in range(classes)] if classes else [labels]
    found = []
    for goal in goals:
        y = np.asarray(goal, float)
        found.append(_evidence(u.T @ y, s**2, float(y @ y), *x.shape))
    return float(np.mean(found))


def leep(source: np.ndarray, labels: np.ndarray, classes: int) -> float:
    """LEEP, nats: how well a source model's own classes tell the task's (Nguyen et al., ICML 2020).

    `source` [n, Z] are the source model's class probabilities on the task's examples, `labels` [n]. It is
    the mean log-likelihood of the labels under sum_z P(y | z) source_z, P(y | z) from the same examples.
    """
    joint = np.stack([source[labels == k].sum(0) for k in range(classes)]) / len(labels)  # [classes, Z]
    given = joint / np.maximum(joint.sum(0), 1e-300)
    return float(np.log(np.maximum((source * given[labels]).sum(1), 1e-300)).mean())
