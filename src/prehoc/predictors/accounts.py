"""From what policies did with runs to the tables `policies` and `policies_against`."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from prehoc import tables
from prehoc.predictors.forecasts import Trial
from prehoc.predictors.policies import BASELINES, CALIBRATED, POLICIES
from prehoc.predictors.regret import Tally, between, break_even, resampled

Array = NDArray[np.float64]
Key = tuple[str, float]  # policy and price

ANY = -1.0  # in place of a price, where that makes no difference to where a policy stops


def _failed_steps(trial: Trial, tally: Tally) -> float:
    """Mean steps of a failed run: to its failure, or to a fixed stop that comes before."""
    steps = trial.steps()
    if not tally.stops:
        return float(trial.failed.mean())
    number = sum(tally.stops.values())
    paid = [np.minimum(trial.failed, steps[stop]).mean() * n for stop, n in tally.stops.items()]
    return float(sum(paid)) / number


def accounts(
    trial: Trial,
    tallies: Mapping[Key, Tally],
    rates: Mapping[float, float],
    *,
    regime: str,
    resamples: int,
    confidence: float,
    rng: np.random.Generator,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The tables `policies` and `policies_against` from what was tallied.

    `rates` gives gamma lambda (squared units a step) by price.  Intervals come from one bootstrap over
    runs, so that two policies are compared on the same runs.
    """
    lost = len(trial.failed) / (len(trial.failed) + len(trial.outcome))
    rows: list[tuple[str, float, Tally]] = []
    columns: list[Array] = []
    for name in POLICIES:
        for price, rate in rates.items():
            tally = tallies.get((name, price)) or tallies.get((name, ANY))
            if tally is None:
                continue
            mean = tally.means()
            steps = (1 - lost) * mean["steps"] + (lost * _failed_steps(trial, tally) if lost else 0.0)
            columns += [mean["error"], mean["error"] + rate * steps, mean["go"], steps]
            rows.append((name, price, tally))
    mean_of, drawn = resampled(np.stack(columns, axis=1), resamples, rng)
    ends = between(drawn, confidence)
    mean_of, low, high = (x.reshape(len(rows), 4) for x in (mean_of, *ends))
    place = {(name, price): i for i, (name, price, _) in enumerate(rows)}
    out, against = [], []
    for i, (name, price, tally) in enumerate(rows):
        risk, total, go, steps = mean_of[i]
        best = tally.best_of(confidence)
        told = tally.means()["told"]
        cost, even, note = _repaid(
            trial, name, price, {k: mean_of[at, 1] for k, at in place.items()}, rates
        )
        out.append(
            {
                "task": trial.task, "regime": regime, "policy": name, "price": price,
                "steps": steps, "steps_share": steps / trial.horizon,
                "risk": risk, "risk_low": low[i, 0], "risk_high": high[i, 0],
                "total_risk": total, "total_low": low[i, 1], "total_high": high[i, 1],
                "regret_go": go, "regret_go_low": low[i, 2], "regret_go_high": high[i, 2],
                "regret_best": best[0], "regret_best_low": best[1], "regret_best_high": best[2],
                "calibration_steps": cost, "break_even_runs": even,
                "told": float(np.nanmean(told)) if np.isfinite(told).any() else float("nan"),
                "var_r": trial.var_r, "n": len(trial.outcome),
                "note": "; ".join(filter(None, [_where(trial, tally), note, _failures(trial)])),
            }
        )  # fmt: skip
        for other in (*BASELINES, "oracle"):
            if name not in CALIBRATED or (other, price) not in place:
                continue
            at = place[other, price]
            with np.errstate(invalid="ignore", divide="ignore"):
                ratios = drawn[:, 4 * at + 1] / drawn[:, 4 * i + 1]
                ratio = float(mean_of[at, 1] / total)
            reach = between(ratios[:, None], confidence)
            against.append(
                {
                    "task": trial.task, "regime": regime, "policy": name, "other": other, "price": price,
                    "ratio": ratio, "low": float(reach[0][0]), "high": float(reach[1][0]),
                    "n": len(trial.outcome),
                }
            )  # fmt: skip
    pairs = pd.DataFrame(against, columns=list(tables.SCHEMAS["policies_against"].columns))
    return tables.check("policies", pd.DataFrame(out)), tables.check("policies_against", pairs)


def _repaid(
    trial: Trial,
    name: str,
    price: float,
    totals: Mapping[tuple[str, float], float],
    rates: Mapping[float, float],
) -> tuple[float, float, str]:
    """Steps of a policy's calibration, runs that repay it, and against which policy."""
    if name == "oracle":
        return 0.0, float("nan"), "a yardstick: the best fixed depth in hindsight, on the judged runs"
    if name not in CALIBRATED:
        return 0.0, float("nan"), ""
    other = min(BASELINES, key=lambda n: totals[n, price])
    cost = float(len(trial.outcome) // 2 * trial.horizon + trial.failed.sum() / 2)
    even = break_even(cost, totals[name, price], totals[other, price], rates[price])
    word = "break-even against" if np.isfinite(even) else "never repaid against"
    return cost, even, f"{word} {other}"


def _where(trial: Trial, tally: Tally) -> str:
    """At which depth a policy of one depth stopped, over the splits."""
    if not tally.stops:
        return ""
    steps = trial.steps()
    often = sorted(tally.stops)
    low, high = int(steps[often[0]]), int(steps[often[-1]])
    return f"stops at {low}" if low == high else f"stops at {low} to {high}, by split"


def _failures(trial: Trial) -> str:
    return f"{len(trial.failed)} failed runs: in steps alone" if len(trial.failed) else ""
