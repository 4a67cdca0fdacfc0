"""The theory's rates, tested: alpha-hat against 2 rho - 1 and 1 - 2 h eta_0, and where no law holds.

Runs of `LinearGaussian` with step sizes eta_k, k = 1, 2, ...; R is regressed on the state at c, which
leaves exactly L(c) = s^2 + Q(c) (DESIGN 11), and the envelope is fitted in c + 1/2.  In a flat direction
Q(c) ~ c^-(2 rho - 1) (the paper's section 5); at rho = 1 with curvature h, later steps forget by
prod (1 - h eta_0/k) and Q(c) ~ c^-(1 - 2 h eta_0) for h eta_0 < 1/2.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from prehoc import tables
from prehoc.risk.envelope import EnvelopeFit, fit_envelope
from prehoc.risk.proxies import residual
from prehoc.risk.rivals import exponential, flat, late, power
from prehoc.synthetic.linear_gaussian import LinearGaussian
from prehoc.tasks.streams import name_words

Array = NDArray[np.float64]
Index = NDArray[np.int64]

REJECT = 0.01  # the level of the lack-of-fit test, as in the guarded rule of stopping
SHIFT = 0.5


@dataclass(frozen=True)
class Schedule:
    """One row: a family, its step sizes, and the theory's alpha, nan where no power law holds.

    `rho` is nan for a schedule that has none.  `sigma` is the gradient noise.
    """

    family: str
    schedule: str
    rho: float
    h: float
    eta_0: float
    theory: float
    sigma: float = 1.0

    @property
    def name(self) -> str:
        """What names its random streams."""
        numbers = (self.rho, self.h, self.eta_0, self.sigma)
        return " ".join([self.family, self.schedule, *(f"{x:.10g}" for x in numbers)])

    def build(self, horizon: int, target_noise: float) -> LinearGaussian:
        """The process at this horizon; R has its own noise of sd `target_noise`."""
        rho = {} if np.isnan(self.rho) else {"rho": self.rho}
        return LinearGaussian(
            horizon, schedule=self.schedule, h=self.h, eta_0=self.eta_0, sigma=self.sigma,
            target_noise=target_noise, **rho,
        )  # fmt: skip


def schedules(
    rho: Sequence[float],
    eta_0: float,
    curvature: Sequence[float],
    controls: Sequence[Mapping[str, Any]],
) -> list[Schedule]:
    """The rows of the table: two families with a theory, and schedules without a power law.

    `curvature` is h eta_0 at rho = 1; `controls` have keys schedule, rho, h, eta_0 and sigma.
    """
    made = [Schedule("rho", "rho", r, 0.0, eta_0, 2 * r - 1) for r in rho]
    made += [Schedule("curvature", "rho", 1.0, c / eta_0, eta_0, 1 - 2 * c) for c in curvature]
    for block in controls:
        decay = np.nan if block["rho"] is None else block["rho"]
        numbers = (decay, block["h"], block["eta_0"], np.nan, block["sigma"])
        made.append(Schedule("control", block["schedule"], *numbers))
    return made


def depths_of(horizon: int) -> Index:
    """1, 2, 4, ... and the horizon  [D], in steps."""
    powers = 2 ** np.arange(int(np.log2(horizon)) + 1)
    return np.union1d(powers, [horizon]).astype(np.int64)


def exact_alpha(process: LinearGaussian, first: int = 1) -> float:
    """The alpha fitted to the exact risk from depth `first` on: what infinitely many runs give."""
    at = depths_of(process.horizon)
    at = at[at >= first]
    risk, nu = process.exact_risk(at, "state"), np.full(len(at), 1e6)
    return fit_envelope(at.astype(float), risk, nu, process.horizon, shift=SHIFT).alpha


def replicate(
    process: LinearGaussian, runs: int, confidence: float, rng: np.random.Generator
) -> EnvelopeFit:
    """One experiment: `runs` runs, R regressed on the state at each depth, the envelope fitted."""
    at = depths_of(process.horizon)
    drawn = process.simulate(runs, at, rng)
    u = residual(drawn.state, drawn.outcome, "last", confidence=confidence)
    steps, last = at.astype(float), process.horizon
    return fit_envelope(steps, u.risk, u.nu, last, u.covariance, shift=SHIFT, confidence=confidence)


def winner(fit: EnvelopeFit) -> str:
    """The law with the least AIC: power, exponential, flat or late."""
    return min((power(fit), exponential(fit), flat(fit), late(fit)), key=lambda rival: rival.aic).model


def rates_table(
    *,
    runs: int,
    replicates: int,
    horizon: int,
    target_noise: float,
    rho: Sequence[float],
    eta_0: float,
    curvature: Sequence[float],
    controls: Sequence[Mapping[str, Any]],
    control_runs: Sequence[int],
    confidence: float,
    seed: int,
) -> pd.DataFrame:
    """Table `rates`: every schedule with `replicates` experiments of `runs` runs each.

    Controls have a row for each number of runs in `control_runs`: how many it takes to see that no
    power law holds.  `seed` is the root of the streams.
    Raises InputError for parameters that make no process.
    """
    rows = []
    for case in schedules(rho, eta_0, curvature, controls):
        process = case.build(horizon, target_noise)
        for n in control_runs if case.family == "control" else [runs]:
            fits = []
            for k in range(replicates):
                words = np.random.SeedSequence([seed, *name_words(case.name), n, k])
                rng = np.random.Generator(np.random.Philox(words))
                fits.append(replicate(process, n, confidence, rng))
            rows.append(_row(case, fits, exact_alpha(process)) | {"n": n, "horizon": horizon})
    frame = pd.DataFrame(rows)
    return tables.check("rates", frame[list(tables.SCHEMAS["rates"].columns)])


def _row(case: Schedule, fits: list[EnvelopeFit], limit: float) -> dict[str, Any]:
    """What the replicates' fits say of one schedule; `limit` is alpha fitted to the exact risk."""
    alpha, low, high = (np.array([getattr(f, key) for f in fits]) for key in
                        ("alpha", "alpha_low", "alpha_high"))  # fmt: skip
    regular, count = bool(np.isfinite(case.theory)), len(fits)
    won, times = Counter(winner(f) for f in fits).most_common(1)[0]
    return {
        "family": case.family,
        "schedule": case.schedule,
        "rho": case.rho,
        "h": case.h,
        "eta_0": case.eta_0,
        "theory": case.theory,
        "alpha": alpha[0],
        "alpha_low": low[0],
        "alpha_high": high[0],
        "alpha_mean": alpha.mean(),
        "alpha_se": alpha.std(ddof=1) / np.sqrt(count),
        "alpha_exact": limit,
        "coverage": np.mean((low <= case.theory) & (case.theory <= high)) if regular else np.nan,
        "coverage_exact": np.mean((low <= limit) & (limit <= high)) if regular else np.nan,
        "identified": np.mean([f.identified for f in fits]),
        "lack_of_fit_rate": np.mean([f.lack_of_fit_p < REJECT for f in fits]),
        "winner": won,
        "winner_share": times / count,
        "replicates": count,
    }
