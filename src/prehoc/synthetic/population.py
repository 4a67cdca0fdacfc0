"""Two further exact processes: a population that draws a static factor, and a Polya urn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.special import ndtr

from prehoc.errors import InputError
from prehoc.synthetic.linear_gaussian import LinearGaussian
from prehoc.synthetic.process import Array, Index, Process, check_depths, unknown_information


@dataclass(frozen=True)
class HiddenFactor(LinearGaussian):
    """Each run draws a factor f ~ N(0, 1) that shifts R by `factor_sd` f and that no one sees.

    The metric shows it slowly: metric at c = theta_c + (c/T)^reveal factor_sd f + noise.
    All is jointly Gaussian, so the risk given the metrics is a Schur complement.  `state` knows f,
    as a fork continues the same run.
    """

    factor_sd: float = 1.0
    reveal: float = 0.3

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.factor_sd < 0 or self.reveal < 0:
            raise InputError("factor_sd and reveal must be >= 0")

    def factors(self, z: Array) -> Array | None:
        """The factor itself."""
        return z

    def _loading(self, depths: Array) -> Array:
        return self.factor_sd * (depths / self.horizon) ** self.reveal

    def observe(self, depth: int, state: Array, z: Array, factor: Array | None) -> Array:
        """theta_c + loading(c) f + metric_noise z."""
        assert factor is not None
        return state + self._loading(np.asarray(float(depth))) * factor + self.metric_noise * z

    def outcome(self, state: Array, z: Array, factor: Array | None) -> Array:
        """theta_T + factor_sd f + target_noise z."""
        assert factor is not None
        return state + self.factor_sd * factor + self.target_noise * z

    def _joint(self, steps: Index) -> tuple[Array, Array, float]:
        """Covariance of the metrics [D, D], with R [D], and Var R, by the process' own moments."""
        m, index = self.moments, steps
        path = np.concatenate([[1.0], np.cumprod(m.a)])
        low = np.minimum.outer(index, index)
        high = np.maximum.outer(index, index)
        # Cov(theta_i, theta_j) = Var(theta_i) prod_{i<k<=j} a_k; `between` keeps it safe at a_k = 0
        ratio = np.ones(low.shape)
        for i in range(len(index)):
            for j in range(len(index)):
                if path[low[i, j]] != 0:
                    ratio[i, j] = path[high[i, j]] / path[low[i, j]]
                else:
                    ratio[i, j] = self.between(low[i, j], high[i, j])[0]
        loading = self._loading(steps.astype(float))
        cov = m.variance[low] * ratio + np.outer(loading, loading)
        cov = cov + self.metric_noise**2 * np.eye(len(index))
        with_r = m.variance[index] * m.tail_product[index] + loading * self.factor_sd
        total = float(m.variance[-1] + self.factor_sd**2 + self.target_noise**2)
        return cov, with_r, total

    def exact_risk(self, depths: Sequence[int] | Index, information: str) -> Array:
        """L(c) by Gaussian conditioning  [D]; depths at which nothing varies add nothing."""
        steps = check_depths(depths, self.horizon)
        if information == "state":
            return self.target_noise**2 + self.moments.tail_noise[steps]
        cov, with_r, total = self._joint(steps)
        if information == "none":
            return np.full(len(steps), total)
        if information == "last":
            safe = np.where(np.diag(cov) > 0, np.diag(cov), np.inf)
            return total - with_r**2 / safe
        if self.visible and information in ("static", "static+prefix"):
            loading = self._loading(steps.astype(float))
            cov = cov - np.outer(loading, loading)
            with_r = with_r - loading * self.factor_sd
            total -= self.factor_sd**2
            if information == "static":
                return np.full(len(steps), total)
        elif information != "prefix":
            raise unknown_information(information, self)
        risk = np.empty(len(steps))
        for i in range(len(steps)):
            block, cross = cov[: i + 1, : i + 1], with_r[: i + 1]
            risk[i] = total - cross @ np.linalg.pinv(block, rcond=1e-12, hermitian=True) @ cross
        return risk


@dataclass(frozen=True)
class VisibleFactor(HiddenFactor):
    """The same population with the factor in plain sight: it is static information."""

    visible: ClassVar[bool] = True


@dataclass(frozen=True)
class PolyaUrn(Process):
    """An urn with `red` of `red + blue` balls; each step adds a ball of the colour drawn.

    The metric is the share of red, seen without noise; R is the share at the horizon plus
    N(0, target_noise^2).  With n_c = red + blue + c and p q = the first share times its
    complement: E[p_c q_c] = p q n_0 (n_c + 1) / ((n_0 + 1) n_c) and
    L(c) = s^2 + (T - c) E[p_c q_c] / ((n_c + 1) n_T)  (beta-binomial variance), so alpha -> 1.
    """

    red: float = 1.0
    blue: float = 1.0
    target_noise: float = 0.0

    def __post_init__(self) -> None:
        if self.horizon < 1:
            raise InputError(f"horizon must be at least 1 step, not {self.horizon}")
        if self.red <= 0 or self.blue <= 0 or self.target_noise < 0:
            raise InputError("red and blue must be > 0, target_noise >= 0")

    def initial(self, z: Array) -> Array:
        """The first share of red, the same in each run."""
        return np.full_like(z, self.red / (self.red + self.blue))

    def step(self, k: int, state: Array, z: Array) -> Array:
        """Add a red ball with probability `state`."""
        before = self.red + self.blue + k - 1
        return (state * before + (ndtr(z) < state)) / (before + 1)

    def observe(self, depth: int, state: Array, z: Array, factor: Array | None) -> Array:
        """The share of red."""
        return state.copy()

    def outcome(self, state: Array, z: Array, factor: Array | None) -> Array:
        """The share at the horizon + target_noise z."""
        return state + self.target_noise * z

    def exact_risk(self, depths: Sequence[int] | Index, information: str) -> Array:
        """L(c) by the formula above  [D]; a noiseless metric is the whole state."""
        steps = check_depths(depths, self.horizon)
        if information not in ("none", *self.information()):
            raise unknown_information(information, self)
        if information == "none":
            steps = np.zeros_like(steps)
        first = self.red + self.blue
        count, last = first + steps, first + self.horizon
        start = self.red * self.blue / first**2
        spread = start * first * (count + 1) / ((first + 1) * count)
        risk = (self.horizon - steps) * spread / ((count + 1) * last)
        return self.target_noise**2 + risk
