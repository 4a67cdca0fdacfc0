"""The registry: which processes there are, and named instances of them in each regime."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from prehoc.errors import InputError
from prehoc.synthetic.linear_gaussian import LinearGaussian, PowerLaw, Quadratic
from prehoc.synthetic.population import HiddenFactor, PolyaUrn, VisibleFactor
from prehoc.synthetic.process import Process

PROCESSES: dict[str, type[Process]] = {
    "linear_gaussian": LinearGaussian,
    "power_law": PowerLaw,
    "quadratic": Quadratic,
    "hidden_factor": HiddenFactor,
    "visible_factor": VisibleFactor,
    "polya_urn": PolyaUrn,
}


@dataclass(frozen=True)
class Instance:
    """A named process with all its parameters, a horizon and depths, and what is true of it.

    `alpha` is the exponent of V(c) = K ((c + shift)^-alpha - (T + shift)^-alpha) under `state`
    information, nan where no power law holds.  `holds` names the information sets under which OLS
    on the metrics reaches the exact risk and the same power law holds (to the metric's noise).
    """

    name: str
    process: str
    parameters: Mapping[str, Any]
    alpha: float
    shift: float = 0.0
    holds: tuple[str, ...] = ("state", "last", "prefix")
    horizon: int = 1024
    depths: tuple[int, ...] = tuple(2**i for i in range(11))

    def build(self, horizon: int | None = None) -> Process:
        """The process, at its own horizon or another."""
        return build(self.process, self.parameters, horizon or self.horizon)

    @property
    def power_law(self) -> bool:
        """Whether V(c) is a power law, exactly or in the limit."""
        return bool(np.isfinite(self.alpha))


def processes() -> dict[str, tuple[str, ...]]:
    """Every process by name, with the names of its parameters (`horizon` is not one of them)."""
    return {
        name: tuple(f.name for f in dataclasses.fields(kind) if f.name != "horizon")
        for name, kind in PROCESSES.items()
    }


def build(process: str, parameters: Mapping[str, Any], horizon: int) -> Process:
    """The process `process` with `parameters`; `process` may also be the name of an instance.

    An instance's parameters are taken first and `parameters` override them.  Raises InputError
    that names the key at fault and the allowed ones.
    """
    if process in INSTANCES:
        instance = INSTANCES[process]
        return build(instance.process, {**instance.parameters, **parameters}, horizon)
    if process not in PROCESSES:
        raise InputError(
            f"process {process!r} is unknown; one of {sorted(PROCESSES)} or an instance of "
            f"{sorted(INSTANCES)}"
        )
    allowed = processes()[process]
    for key, value in parameters.items():
        if key not in allowed:
            raise InputError(f"process {process!r} has no parameter {key!r}; allowed: {list(allowed)}")
        if key != "schedule" and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise InputError(f"parameter {key!r} of {process!r} must be a number, not {value!r}")
        if isinstance(value, int | float) and not np.isfinite(value):
            raise InputError(f"parameter {key!r} of {process!r} must be finite, not {value!r}")
    return PROCESSES[process](horizon=int(horizon), **parameters)


def true_regime(
    process: Process,
    depths: tuple[int, ...],
    information: str = "state",
    *,
    iota: float = 0.5,
    q: float = 0.1,
    start: float = 0.007,
) -> tuple[str, float, float]:
    """(regime, iota, q) of a process from its exact risk, by the rule of DESIGN 10.

    iota = L(T)/Var R; q = (L(c_s) - L(T))/Var R at c_s = `start` T, L interpolated in log c between
    the measured depths.
    """
    steps = tuple(d for d in depths if d > 0)
    risk = process.exact_risk(steps, information)
    total = float(process.exact_risk((process.horizon,), "none")[0])
    last = float(risk[-1])
    first = float(np.interp(np.log(max(start * process.horizon, 1.0)), np.log(steps), risk))
    share, gain = last / total, (first - last) / total
    if share >= iota:
        return "noise_dominant", share, gain
    return ("dynamic_critical" if gain >= q else "static_sufficient"), share, gain


def _power(name: str, alpha: float, K: float, sd: float, noise: float) -> Instance:
    parameters = {"alpha": alpha, "K": K, "initial_sd": sd, "target_noise": noise}
    return Instance(name, "power_law", {**parameters, "metric_noise": 0.1}, alpha)


def _sgd(name: str, alpha: float, process: str = "linear_gaussian", **parameters: Any) -> Instance:
    shift = 0.5 if np.isfinite(alpha) else 0.0
    plain = process == "linear_gaussian" and parameters.get("h", 0.0) == 0
    holds = ("state", "last", "prefix") if plain else ("state",)
    return Instance(name, process, {"metric_noise": 0.1, **parameters}, alpha, shift, holds)


_ALL = (
    # Dynamic-Critical: little intrinsic noise, slow decay
    _power("dynamic_a020", 0.2, 2.0, 0.3, 0.3),
    _power("dynamic_a035", 0.35, 1.5, 0.3, 0.3),
    _power("dynamic_a050", 0.5, 1.0, 0.3, 0.2),
    _power("dynamic_a070", 0.7, 1.0, 0.2, 0.1),
    _sgd("dynamic_rho060", 0.2, rho=0.6, initial_sd=0.2, target_noise=0.3),
    _sgd("dynamic_rho075", 0.5, rho=0.75, initial_sd=0.2, target_noise=0.1, metric_noise=0.05),
    _sgd(
        "dynamic_contract",
        0.5,
        rho=1.0,
        h=0.5,
        eta_0=0.5,
        initial_sd=0.5,
        target_noise=0.02,
        metric_noise=0.02,
    ),
    _sgd(
        "dynamic_hidden",
        0.5,
        "hidden_factor",
        rho=0.75,
        initial_sd=0.2,
        target_noise=0.2,
        factor_sd=0.3,
        reveal=0.3,
    ),
    # Static-Sufficient: what matters is known at the start, or within a few steps
    _power("static_a050", 0.5, 0.05, 1.0, 0.3),
    _power("static_a100", 1.0, 0.15, 1.0, 0.3),
    _power("static_a150", 1.5, 1.0, 0.5, 0.3),
    _power("static_a200", 2.0, 1.0, 0.5, 0.3),
    _sgd("static_rho090", 0.8, rho=0.9, eta_0=0.2, initial_sd=1.0, target_noise=0.3),
    _sgd("static_quadratic", 0.5, "quadratic", rho=0.75, eta_0=0.05, initial_sd=0.5, target_noise=0.3),
    _sgd(
        "static_visible",
        0.5,
        "visible_factor",
        rho=0.75,
        eta_0=0.1,
        initial_sd=0.1,
        target_noise=0.3,
        factor_sd=1.0,
        reveal=0.0,
    ),
    # Noise-Dominant: R's own noise hides what the run settles
    _power("noise_a020", 0.2, 1.0, 0.3, 2.0),
    _power("noise_a050", 0.5, 1.0, 0.3, 2.0),
    _power("noise_a100", 1.0, 1.0, 0.3, 2.0),
    _power("noise_a200", 2.0, 1.0, 0.3, 2.0),
    _sgd("noise_rho075", 0.5, rho=0.75, initial_sd=0.2, target_noise=1.6),
    Instance("noise_urn", "polya_urn", {"red": 2.0, "blue": 2.0, "target_noise": 0.4}, 1.0, shift=4.0),
    # No power law: the lack-of-fit test must catch these
    _sgd(
        "control_constant",
        np.nan,
        schedule="constant",
        eta_0=0.03,
        initial_sd=0.3,
        target_noise=0.3,
    ),
    _sgd("control_linear", np.nan, schedule="linear", eta_0=0.05, initial_sd=0.3, target_noise=0.3),
    _sgd(
        "control_contraction",
        np.nan,
        schedule="constant",
        eta_0=0.1,
        h=0.5,
        sigma=3.0,
        initial_sd=0.3,
        target_noise=0.3,
    ),
    # The default config's three, one a regime
    _sgd(
        "synthetic_static",
        0.5,
        "visible_factor",
        rho=0.75,
        eta_0=0.15,
        initial_sd=0.1,
        target_noise=0.3,
        factor_sd=1.0,
        reveal=0.0,
    ),
    _power("synthetic_dynamic", 0.5, 1.0, 0.3, 0.2),
    _power("synthetic_noise", 0.5, 1.0, 0.3, 2.0),
)

INSTANCES: dict[str, Instance] = {instance.name: instance for instance in _ALL}


def instances(power_law: bool | None = None) -> tuple[Instance, ...]:
    """All instances, or those that are (or are not) a power law."""
    return tuple(i for i in _ALL if power_law is None or i.power_law == power_law)


def regime_of(name: str) -> str | None:
    """The regime that an instance was made for, by its name; None for the controls."""
    for key in ("static", "dynamic", "noise"):
        if key in name.split("_"):
            return {
                "static": "static_sufficient",
                "dynamic": "dynamic_critical",
                "noise": "noise_dominant",
            }[key]
    return None
