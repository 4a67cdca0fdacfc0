"""From trials to the tables `estimators`, `regret`, `confusion` and `targets`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from prehoc import tables
from prehoc.benchmark.trials import Setting, Truth, bounds, regret_bound, truth_of
from prehoc.synthetic.instances import regime_of

Array = NDArray[np.float64]

RULES = ("guarded", "argmin", "closed_form", "grid", "loglog")
_LEAST_STEP = 0.5  # stands for c* = 0 on a log scale


def truths_of(names: Sequence[str], seed: int, price: float, confidence: float) -> dict[str, Truth]:
    """The exact truth of each instance by name."""
    return {name: truth_of(Setting(name, seed, price, confidence)) for name in names}


def _wide(part: pd.DataFrame, quantity: str, column: str = "value") -> Array:
    """One number a trial, in the order of trials  [R]."""
    return part.loc[part["quantity"] == quantity, column].to_numpy(float)


def _by_instance(trials: pd.DataFrame) -> Iterator[tuple[str, int, pd.DataFrame]]:
    for name, of in trials.groupby("instance", sort=False):
        for runs, part in of.groupby("runs", sort=True):
            yield str(name), int(str(runs)), part


def _covered(low: Array, high: Array, truth: Array | float) -> float:
    known = np.isfinite(low) & np.isfinite(high)
    if not known.any():
        return float("nan")
    return float(np.mean((low[known] <= truth) & (truth <= high[known])))


def _row(truth: float, value: Array, low: Array, high: Array, bound: float) -> dict[str, float]:
    off = value - truth
    rmse = float(np.sqrt(np.mean(off**2)))
    return {
        "truth": truth,
        "bias": float(off.mean()),
        "rmse": rmse,
        "coverage": _covered(low, high, truth),
        "bound": bound,
        "ratio": rmse / bound if bound > 0 else float("nan"),
    }


def _of_instance(part: pd.DataFrame, truth: Truth, runs: int) -> list[dict[str, Any]]:
    """The rows of one instance at one N: alpha, L_int, log_c_star and U."""
    bound = bounds(truth, runs)
    power = truth.instance.power_law
    rows: list[dict[str, Any]] = []

    def interval(quantity: str) -> tuple[Array, Array]:
        return _wide(part, quantity, "low"), _wide(part, quantity, "high")

    if power:
        value = _wide(part, "alpha")
        row = _row(truth.fit.alpha, value, *interval("alpha"), bound["alpha"])
        rows.append({"quantity": "alpha"} | row)
    last = truth.risk[-1]
    row = _row(last, _wide(part, "L_int"), *interval("L_int"), bound["L_int"])
    rows.append({"quantity": "L_int"} | row)
    c, low, high = (_wide(part, "c_star:guarded", k) for k in ("value", "low", "high"))
    at = np.log(np.maximum(c, _LEAST_STEP))
    row = _row(np.log(max(truth.c_star, _LEAST_STEP)), at, low, high, bound["log_c_star"])
    row["coverage"] = _covered(low, high, truth.c_star)
    rows.append({"quantity": "log_c_star"} | row)
    u = part[part["quantity"] == "U"]
    exact = dict(zip(truth.instance.depths, truth.risk, strict=True))
    scale = u["depth"].map(exact).to_numpy(float)
    share, low, high = (u[k].to_numpy(float) / scale for k in ("value", "low", "high"))
    rows.append({"quantity": "U"} | _row(1.0, share, low, high, float("nan")))
    return rows


def estimators_table(trials: pd.DataFrame, truths: Mapping[str, Truth]) -> pd.DataFrame:
    """The table `estimators`: bias, RMSE, coverage and Cramer-Rao ratio by instance and N.

    `alpha`, `L_int` (= L(T)) against the envelope of the exact curve; `log_c_star` is the guarded
    rule's, against the exact optimum (a c* of 0 counts as half a step); `U` is U(c)/L(c), all depths
    together.  `bound` is the Cramer-Rao standard deviation, nan where none applies.
    """
    rows: list[dict[str, Any]] = []
    for name, runs, part in _by_instance(trials):
        truth = truths[name]
        base = {
            "instance": name,
            "regime": regime_of(name) or "none",
            "proxy": truth.proxy,
            "information": truth.information,
            "runs": runs,
            "replicates": int(part["trial"].nunique()),
            "identified": float(_wide(part, "identified").mean()),
        }
        rows += [base | row for row in _of_instance(part, truth, runs)]
    frame = pd.DataFrame(rows, columns=list(tables.SCHEMAS["estimators"].columns))
    return tables.check("estimators", frame)


def regret_table(trials: pd.DataFrame, truths: Mapping[str, Truth], level: float = 0.01) -> pd.DataFrame:
    """The table `regret`: how often the law is refused, and what each rule's c* costs.

    `regret_*` is the mean over trials of exact J(chosen c) less the least exact J, in Var R;
    `regret_bound` what the Cramer-Rao bound of c* entails for an unbiased estimator.
    """
    rows: list[dict[str, Any]] = []
    for name, runs, part in _by_instance(trials):
        truth = truths[name]
        p = _wide(part, "lack_of_fit_p")
        row = {
            "instance": name,
            "regime": regime_of(name) or "none",
            "power_law": truth.instance.power_law,
            "runs": runs,
            "replicates": int(part["trial"].nunique()),
            "c_star": truth.c_star,
            "lack_of_fit": float(np.mean(p < level)),
            "power_wins": float(_wide(part, "power_wins").mean()),
            "regret_bound": regret_bound(truth, runs),
        }
        row |= {f"regret_{rule}": float(_wide(part, f"regret:{rule}").mean()) for rule in RULES}
        rows.append(row)
    frame = pd.DataFrame(rows, columns=list(tables.SCHEMAS["regret"].columns))
    return tables.check("regret", frame)


@dataclass(frozen=True)
class Target:
    """A number that the estimators should reach: `reached` is compared with `wanted` by `holds`."""

    criterion: str
    runs: int
    wanted: str
    values: dict[str, float]
    holds: Callable[[float], bool]
    worst: Callable[[dict[str, float]], str]


def _most(values: dict[str, float]) -> str:
    return max(values, key=lambda k: values[k])


def _least(values: dict[str, float]) -> str:
    return min(values, key=lambda k: values[k])


def _off_nominal(values: dict[str, float]) -> str:
    return max(values, key=lambda k: abs(values[k] - 0.95))


def _coverages(estimators: pd.DataFrame, runs: int) -> list[Target]:
    low, high = (0.88, 0.99) if runs < 100 else (0.92, 0.98)
    made = []
    for quantity in ("alpha", "L_int", "U", "log_c_star"):
        rows = estimators[(estimators["runs"] == runs) & (estimators["quantity"] == quantity)]
        if quantity == "log_c_star":  # an optimum in a corner is met by every interval
            rows = rows[rows["bound"].notna()]
        values = dict(zip(rows["instance"], rows["coverage"], strict=True))
        made.append(
            Target(
                f"coverage of {quantity}", runs, f"[{low}, {high}]", values,
                lambda v, low=low, high=high: low <= v <= high, _off_nominal,  # type: ignore[misc]
            )
        )  # fmt: skip
    return made


def _targets(estimators: pd.DataFrame, regrets: pd.DataFrame, confusion: pd.DataFrame) -> list[Target]:
    counts = sorted(estimators["runs"].unique())
    made = [t for n in counts for t in _coverages(estimators, int(n))]
    most = int(counts[-1])
    sharp = estimators[(estimators["runs"] == most) & (estimators["quantity"] == "alpha")]
    sharp = sharp[sharp["identified"] >= 0.99]
    values = dict(zip(sharp["instance"], sharp["ratio"], strict=True))
    made.append(
        Target("RMSE/CRB of alpha where identified", most, "<= 1.1", values, lambda v: v <= 1.1, _most)
    )
    for n in [int(n) for n in counts if n >= 100][:1]:
        at = regrets[regrets["runs"] == n]
        law = at["power_law"]
        power = dict(zip(at[~law]["instance"], at[~law]["lack_of_fit"], strict=True))
        alarms = dict(zip(at[law]["instance"], at[law]["lack_of_fit"], strict=True))
        regret = dict(zip(at[law]["instance"], at[law]["regret_guarded"], strict=True))
        control = dict(zip(at[~law]["instance"], at[~law]["regret_guarded"], strict=True))
        made += [
            Target("lack-of-fit power on controls", n, ">= 0.99", power, lambda v: v >= 0.99, _least),
            Target("lack-of-fit false alarms", n, "<= 0.03", alarms, lambda v: v <= 0.03, _most),
            Target("guarded regret on power laws", n, "<= 0.001", regret, lambda v: v <= 0.001, _most),
            Target("guarded regret on controls", n, "<= 0.03", control, lambda v: v <= 0.03, _most),
        ]
    if len(confusion):
        right = confusion[confusion["truth"] == confusion["named"]]
        share = right.set_index("instance")["share"]
        values = {str(i): float(share.get(i, 0.0)) for i in confusion["instance"].unique()}
        n = int(confusion["runs"].iloc[0])
        made.append(Target("regime accuracy", n, ">= 0.95", values, lambda v: v >= 0.95, _least))
    return made


def targets_table(estimators: pd.DataFrame, regrets: pd.DataFrame, confusion: pd.DataFrame) -> pd.DataFrame:
    """The table `targets`: each wanted number, the mean reached over instances, and the worst.

    `met`: every instance meets it; `mean_met`: their mean does; `share_met`: the share that does.  Of
    c* those instances count whose exact optimum is no corner.
    """
    rows = []
    for t in _targets(estimators, regrets, confusion):
        known = {k: v for k, v in t.values.items() if np.isfinite(v)}
        if not known:
            continue
        mean, worst = float(np.mean(list(known.values()))), t.worst(known)
        rows.append(
            {
                "criterion": t.criterion,
                "runs": t.runs,
                "wanted": t.wanted,
                "mean": mean,
                "met": all(t.holds(v) for v in known.values()),
                "mean_met": t.holds(mean),
                "worst": known[worst],
                "worst_instance": worst,
                "share_met": float(np.mean([t.holds(v) for v in known.values()])),
                "instances": len(known),
            }
        )
    frame = pd.DataFrame(rows, columns=list(tables.SCHEMAS["targets"].columns))
    return tables.check("targets", frame)
