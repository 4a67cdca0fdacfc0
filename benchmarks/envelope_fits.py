"""How many envelope fits a second, on one core (python benchmarks/envelope_fits.py).

Prints fits a second of the batch (point estimates, one stage and both) and of the single fit with its
intervals and tests, and their ratios to a general optimiser on the same likelihood, in one run.
"""

import os

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

import time

import numpy as np
from scipy.optimize import minimize

from prehoc.risk.envelope import fit_envelope
from prehoc.risk.many import fit_many
from prehoc.risk.proxies import residual
from prehoc.synthetic.instances import INSTANCES

CURVES, ROUNDS = 1000, 5


def likelihood(depth, risk, nu, horizon):
    """The same Gamma likelihood by Nelder-Mead in (log b, log K, log alpha)."""

    def cost(theta):
        b, K, alpha = np.exp(theta)
        mu = b + K * (depth**-alpha - horizon**-alpha)
        return 0.5 * np.sum(nu * (np.log(mu) + risk / mu))

    start = np.log([max(risk[-1], 1e-9), max(risk[0] - risk[-1], 1e-9), 0.5])
    return minimize(cost, start, method="Nelder-Mead", options={"maxiter": 2000})


def rate(work, count):
    """Median number a second over rounds."""
    speeds = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        work()
        speeds.append(count / (time.perf_counter() - start))
    return float(np.median(speeds))


def main():
    """Print the table."""
    instance = INSTANCES["dynamic_a050"]
    process, rng = instance.build(), np.random.default_rng(0)
    runs = [process.simulate(300, instance.depths, rng) for _ in range(50)]
    made = [residual(s.metric, s.outcome, "last") for s in runs]
    depth, horizon = np.array(instance.depths, float), instance.horizon
    pick = np.arange(CURVES) % len(made)
    risk, nu, relative = (
        np.stack([getattr(e, k) for e in made])[pick] for k in ("risk", "nu", "covariance")
    )
    few = 40
    speeds = {
        "general optimiser, point": rate(
            lambda: [likelihood(depth, risk[i], nu[i], horizon) for i in range(few)], few
        ),
        "fit_envelope, intervals and tests": rate(
            lambda: [fit_envelope(depth, risk[i], nu[i], horizon, relative[i]) for i in range(few)],
            few,
        ),
        "fit_many, first stage": rate(lambda: fit_many(depth, risk, nu, horizon), CURVES),
        "fit_many, both stages": rate(lambda: fit_many(depth, risk, nu, horizon, relative), CURVES),
    }
    base = speeds["general optimiser, point"]
    print(f"{'on one core, 11 depths':36s} {'fits/s':>8s} {'ratio':>7s}")
    for name, speed in speeds.items():
        print(f"{name:36s} {speed:8.0f} {speed / base:7.1f}")


if __name__ == "__main__":
    main()
