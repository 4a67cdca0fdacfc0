"""Linear-Gaussian training noise, with the exact risk of every information set.

theta_k = a_k theta_{k-1} + N(0, q_k), a_k = 1 - eta_k h, q_k = (eta_k sigma)^2;
metric at c = theta_c + N(0, metric_noise^2); R = theta_T + N(0, target_noise^2)  (DESIGN 11).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from prehoc.errors import InputError
from prehoc.synthetic.process import Array, Index, Process, check_depths, unknown_information

SCHEDULES = ("rho", "constant", "linear", "cosine")


@dataclass(frozen=True)
class Moments:
    """The scalar recursion: contraction a_k and noise q_k of steps 1..T, and Var theta at 0..T."""

    a: Array
    q: Array
    variance: Array
    tail_product: Array
    tail_noise: Array


def moments(a: Array, q: Array, start: float) -> Moments:
    """P(c) = prod_{k>c} a_k, Q(c) = sum_{k>c} q_k P(k)^2 and Var theta_c, each [T + 1]."""
    steps = len(a)
    variance = np.empty(steps + 1)
    variance[0] = start
    for k in range(steps):
        variance[k + 1] = a[k] ** 2 * variance[k] + q[k]
    product = np.ones(steps + 1)
    product[:-1] = np.cumprod(a[::-1])[::-1]
    noise = np.zeros(steps + 1)
    noise[:-1] = np.cumsum((q * product[1:] ** 2)[::-1])[::-1]
    return Moments(a, q, variance, product, noise)


@dataclass(frozen=True)
class Linear(Process):
    """What all processes with a scalar linear-Gaussian state share; subclasses give a_k and q_k."""

    initial_sd: float = 1.0
    target_noise: float = 0.0
    metric_noise: float = 0.0

    def __post_init__(self) -> None:
        if self.horizon < 1:
            raise InputError(f"horizon must be at least 1 step, not {self.horizon}")
        for name in ("initial_sd", "target_noise", "metric_noise"):
            if getattr(self, name) < 0:
                raise InputError(f"{name} is a standard deviation and cannot be negative")

    def transition(self) -> tuple[Array, Array]:
        """(a_k, q_k) for k = 1..T, each [T]."""
        raise NotImplementedError

    @functools.cached_property
    def moments(self) -> Moments:
        """The recursion's moments, computed once."""
        return moments(*self.transition(), self.initial_sd**2)

    def initial(self, z: Array) -> Array:
        """theta_0 = initial_sd z."""
        return self.initial_sd * z

    def step(self, k: int, state: Array, z: Array) -> Array:
        """theta_k = a_k theta_{k-1} + sqrt(q_k) z."""
        return self.moments.a[k - 1] * state + np.sqrt(self.moments.q[k - 1]) * z

    def between(self, start: int, stop: int) -> tuple[float, float]:
        """(product of a, accumulated noise variance) from `start` to `stop`."""
        a, q = self.moments.a[start:stop], self.moments.q[start:stop]
        after = np.ones(stop - start)
        after[:-1] = np.cumprod(a[:0:-1])[::-1]
        return float(np.prod(a)), float(np.sum(q * after**2))

    def jump(self, state: Array, start: int, stop: int, rng: np.random.Generator) -> Array:
        """One exact Gaussian draw for the whole stretch of steps."""
        if stop == start:
            return state
        product, noise = self.between(start, stop)
        return product * state + np.sqrt(noise) * rng.standard_normal(state.shape)

    def observe(self, depth: int, state: Array, z: Array, factor: Array | None) -> Array:
        """theta_c + metric_noise z."""
        return state + self.metric_noise * z

    def outcome(self, state: Array, z: Array, factor: Array | None) -> Array:
        """theta_T + target_noise z."""
        return state + self.target_noise * z

    def filtered(self, depths: Sequence[int] | Index, information: str) -> tuple[Array, Array]:
        """Posterior variance of theta_c given I_c, and its prior variance, each [D].

        `prefix` is the Kalman filter over the metrics at `depths`; `last` sees the metric at c
        alone; `state` sees theta_c; `none` sees nothing.
        """
        steps = check_depths(depths, self.horizon)
        prior = self.moments.variance[steps]
        noise = self.metric_noise**2
        if information == "none":
            return prior.copy(), prior
        if information == "state":
            return np.zeros(len(steps)), prior
        if information == "last":
            return _update(prior, noise), prior
        if information != "prefix":
            raise unknown_information(information, self)
        posterior = np.empty(len(steps))
        at, variance = 0, self.initial_sd**2
        for i, depth in enumerate(steps):
            product, added = self.between(at, int(depth))
            variance = float(_update(np.array(product**2 * variance + added), noise))
            posterior[i], at = variance, int(depth)
        return posterior, prior

    def exact_risk(self, depths: Sequence[int] | Index, information: str) -> Array:
        """L(c) = s^2 + Q(c) + P(c)^2 P_{c|c}  [D]."""
        posterior, _ = self.filtered(depths, information)
        steps = np.asarray(depths, int)
        m = self.moments
        return self.target_noise**2 + m.tail_noise[steps] + m.tail_product[steps] ** 2 * posterior


def _update(prior: Array, noise: float) -> Array:
    """Posterior variance after one observation with noise variance `noise`."""
    total = prior + noise
    return np.where(total > 0, prior * noise / np.where(total > 0, total, 1.0), 0.0)


@dataclass(frozen=True)
class LinearGaussian(Linear):
    """SGD on a quadratic: step sizes eta_k by schedule, curvature h, gradient noise sigma.

    `rho`: eta_k = eta_0 (k + offset)^-rho with k = 1..T; `constant`: eta_0; `linear`: eta_0 times
    the share of the horizon that is left, (T - k + 1)/T; `cosine`: eta_0 (1 + cos(pi (k - 1)/T))/2.
    """

    schedule: str = "rho"
    rho: float = 0.75
    eta_0: float = 0.5
    offset: float = 0.0
    h: float = 0.0
    sigma: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.schedule not in SCHEDULES:
            raise InputError(f"schedule {self.schedule!r} is unknown; one of {list(SCHEDULES)}")
        if self.eta_0 <= 0 or self.sigma < 0 or self.offset <= -1 or self.h < 0:
            raise InputError("eta_0 must be > 0, sigma and h >= 0, offset > -1")

    def rates(self) -> Array:
        """eta_k for k = 1..T  [T]."""
        k = np.arange(1, self.horizon + 1, dtype=float)
        if self.schedule == "rho":
            return self.eta_0 * (k + self.offset) ** -self.rho
        if self.schedule == "constant":
            return np.full(self.horizon, self.eta_0)
        if self.schedule == "cosine":
            return self.eta_0 * (1 + np.cos(np.pi * (k - 1) / self.horizon)) / 2
        return self.eta_0 * (self.horizon - k + 1) / self.horizon

    def transition(self) -> tuple[Array, Array]:
        """a_k = 1 - eta_k h, q_k = (eta_k sigma)^2."""
        eta = self.rates()
        return 1 - eta * self.h, (eta * self.sigma) ** 2


@dataclass(frozen=True)
class PowerLaw(Linear):
    """V(c) = K (c^-alpha - T^-alpha) exactly, for c >= 1: q_k = K ((k-1)^-alpha - k^-alpha)."""

    K: float = 1.0
    alpha: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.K < 0 or self.alpha <= 0:
            raise InputError("K must be >= 0 and alpha > 0")

    def transition(self) -> tuple[Array, Array]:
        """a_k = 1; q_1 = 0, as c^-alpha has no value at 0."""
        k = np.arange(1, self.horizon + 1, dtype=float)
        q = np.zeros(self.horizon)
        q[1:] = self.K * (k[:-1] ** -self.alpha - k[1:] ** -self.alpha)
        return np.ones(self.horizon), q


@dataclass(frozen=True)
class Quadratic(LinearGaussian):
    """The same state with R = (centre + theta_T)^2 + N(0, s^2): a non-linear outcome.

    With W = Q + P^2 P_{c|c}: L(c) = s^2 + 2 W^2 + 4 W (centre^2 + P^2 (Var theta_c - P_{c|c})),
    from Var(X^2) = 2 W^2 + 4 mu^2 W for X ~ N(mu, W), averaged over the posterior mean.
    """

    centre: float = 1.0

    def outcome(self, state: Array, z: Array, factor: Array | None) -> Array:
        """(centre + theta_T)^2 + target_noise z."""
        return (self.centre + state) ** 2 + self.target_noise * z

    def exact_risk(self, depths: Sequence[int] | Index, information: str) -> Array:
        """L(c) by the formula above  [D]."""
        posterior, prior = self.filtered(depths, information)
        steps = np.asarray(depths, int)
        product, noise = self.moments.tail_product[steps], self.moments.tail_noise[steps]
        spread = noise + product**2 * posterior
        known = self.centre**2 + product**2 * (prior - posterior)
        return self.target_noise**2 + 2 * spread**2 + 4 * spread * known
