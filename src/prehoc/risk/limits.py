"""The table `intrinsic`: what L_int of each task is made of, by its driving curve."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from prehoc import tables
from prehoc.risk.curves import noiseless_forks
from prehoc.risk.data import TaskData
from prehoc.risk.decide import driven_curves
from prehoc.risk.intrinsic import Evaluation, Part, between, binomial, halves, minus, zero
from prehoc.risk.measured import Horizons, load
from prehoc.risk.outputs import Outputs
from prehoc.risk.proxies import MIN_RUNS
from prehoc.tables.scales import rows_of

Array = NDArray[np.float64]

DOMAIN = "target_domain"
_ORDER = ("total", "target_sampling", "decoding", "label_noise", "target_domain", "remainder")
_NAMES = {
    "target_sampling": "target sampling",
    "decoding": "sampled decoding",
    "label_noise": "target label noise",
    "target_domain": "the drawn domain",
}
OUTSIDE = "known to the state at T, so no part of this L_int"
SETTLED = "R does not vary over the runs, so nothing is open"


def intrinsic_table(
    variance: pd.DataFrame,
    envelope: pd.DataFrame,
    runs: pd.DataFrame,
    forks: pd.DataFrame | None = None,
    draws: pd.DataFrame | None = None,
    *,
    evaluation: Evaluation | Mapping[str, Evaluation] | None = None,
    horizons: Horizons = None,
    outputs: Outputs | None = None,
    information: str = "last",
    driver: str = "auto",
    confidence: float = 0.95,
) -> pd.DataFrame:
    """The table `intrinsic`: L_int of each task's driving curve, and its parts, in squared units.

    total = target_sampling + decoding + label_noise + target_domain + remainder.  `total` is U(T) where
    measured (0 where forks at T do not vary), else the envelope's b.  Where target sampling is known twice,
    `binomial` is in the sum and `halves` stands beside it as a check.  `evaluation` says how R was
    read, for all tasks or by task (default: drawn anew, nothing else known).  Tasks without a
    driving curve have no rows; runs without halves, and no other part known, the total alone, and so
    where R does not vary.
    """
    variance = tables.check("variance", variance, "variance")
    data = load(variance, runs, forks, draws, horizons, outputs)
    rows: list[dict[str, Any]] = []
    for measured, proxy, known, here in driven_curves(variance, data, information, driver):
        task = measured.task
        how = evaluation.get(task) if isinstance(evaluation, Mapping) else evaluation
        fit = envelope[
            (envelope["task"] == task) & (envelope["proxy"] == proxy)
            & (envelope["information"] == known) & (envelope["model"] == "power")
        ]  # fmt: skip
        base = {"task": task, "proxy": proxy, "information": known}
        if measured.var_r == 0:
            nothing = (zero(int(here["n"].max())), "measured", SETTLED)
            rows += [base | row | {"share_of_var_r": float("nan")} for row in _rows(nothing, [], SETTLED)]
            continue
        how = how or Evaluation()
        texts = _decoding(measured, variance, how)
        total = _total(measured, here, fit, proxy)
        frames = _runs_of(runs, draws, task, str(here["metric"].iloc[0]), measured.horizon)
        parts = _parts(*frames, how, proxy == "fork", texts, confidence)
        for row in _rows(total, parts):
            share = row["value"] / measured.var_r if measured.var_r > 0 else float("nan")
            rows.append(base | row | {"share_of_var_r": share})
    if not rows:
        return tables.empty("intrinsic")
    return tables.check("intrinsic", pd.DataFrame(rows, columns=list(tables.SCHEMAS["intrinsic"].columns)))


Found = tuple[str, str, Part, str, bool]  # part, how, value, note, whether the sum holds it


def _total(data: TaskData, here: pd.DataFrame, fit: pd.DataFrame, proxy: str) -> tuple[Part, str, str]:
    if proxy == "fork" and noiseless_forks(data):
        return zero(len(data.forks[-1])), "measured", "0 by construction: R is a function of the state at T"
    last = here[here["depth"] == data.horizon]
    if len(last):
        row = last.iloc[0]
        ends = (0.0, 0.0) if row["risk"] == 0 else (float(row["ci_low"]), float(row["ci_high"]))
        return Part(float(row["risk"]), *ends, int(row["n"])), "measured", ""
    n = int(here["n"].max())
    if fit.empty or not np.isfinite(fit["L_int"].iloc[0]):
        nan = float("nan")
        return Part(nan, nan, nan, n), "fitted", "L(T) was neither measured nor could it be fitted"
    row = fit.iloc[0]
    note = "not measured at T: the law's level just before T"
    return Part(float(row["L_int"]), float(row["L_int_low"]), float(row["L_int_high"]), n), "fitted", note


def _decoding(data: TaskData, variance: pd.DataFrame, how: Evaluation) -> Part | None:
    """What of Var R sampled texts make, by forks at T: with one target set nothing else is new to them.

    None where nothing is sampled, where runs draw their targets too, and where T was not forked.
    """
    if not how.decoded or how.drawn:
        return None
    if noiseless_forks(data):
        return zero(len(data.forks[-1]))
    rows = variance[
        (variance["task"] == data.task)
        & (variance["proxy"] == "fork")
        & (variance["depth"] == data.horizon)
    ]
    if rows.empty or not np.isfinite(rows["risk"].iloc[0]):
        return None
    row = rows.iloc[0]
    return Part(float(row["risk"]), float(row["ci_low"]), float(row["ci_high"]), int(row["n"]))


def _runs_of(
    runs: pd.DataFrame, draws: pd.DataFrame | None, task: str, metric: str, horizon: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """R and its halves [N runs that did not fail, 3], and the domain that each drew, if any."""
    part = rows_of(runs[(runs["task"] == task) & (runs["depth"] == horizon)], metric)
    part = part[~part["seed"].isin(part.loc[part["failure"], "seed"])]
    wide = part.pivot_table(index="seed", columns="split", values="value")
    outcome = "target" if "target" in wide else "val"
    wide = wide.rename(columns={outcome: "R"}).reindex(columns=["R", "target_a", "target_b"])
    wide = wide[wide["R"].notna()]
    of = tables.empty("draws") if draws is None else draws
    of = of[(of["task"] == task) & (of["factor"] == DOMAIN)].set_index("seed")
    return wide, of.reindex(wide.index)


def _parts(
    wide: pd.DataFrame,
    domain: pd.DataFrame,
    how: Evaluation,
    state: bool,
    texts: Part | None,
    confidence: float,
) -> list[Found]:
    r, place = wide["R"].to_numpy(float), domain["value"].to_numpy(float)
    parts: list[Found] = []
    label = zero(len(r))
    exact = how.accuracy and how.size is not None and how.size > 1
    if exact and (how.drawn or how.label_noise > 0):
        sampling, label = binomial(r, how, confidence)
        if how.drawn:
            said = "known from R" + ("; decoding's noise is in it" if how.decoded else "")
            parts.append(("target_sampling", "binomial", sampling, said, True))
        if how.label_noise > 0:
            parts.append(("label_noise", "binomial", label, "known from R and the rate", True))
    if texts is not None:
        parts.append(("decoding", "forks", texts, "forks at T write anew; the target set is fixed", True))
    alone = how.decoded and not how.drawn and texts is None  # decoding and interaction cannot be told apart
    both = wide.dropna()
    if len(both) >= MIN_RUNS:
        groups = place[wide.notna().all(axis=1)] if np.isfinite(place).all() and not how.drawn else None
        outcome, first, second = both.to_numpy(float).T
        whole, shared = halves(outcome, first, second, groups, confidence)
        other = [p for p in (label, texts) if p is not None and p.value > 0]
        own = minus(whole, *other) if other else whole
        note = f"both halves share {shared.value:.3g} ({shared.low:.3g} to {shared.high:.3g})"
        if exact and how.drawn:
            note = "a check of the binomial value, not in the sum; " + note
        if how.decoded and how.drawn:
            note = "decoding's noise is in it; " + note
        if alone:
            note = (
                "fixed target set: decoding's own noise, and the run-by-example interaction with it, which "
                "forks at T would tell apart; "
            ) + note
        elif not how.drawn:
            note = "fixed target set: the run-by-example interaction; " + note
            note += f"; {OUTSIDE}" if state else ""
        if how.label_noise > 0 and not exact:
            note = "with the label noise, which cannot be told from it; " + note
        if not how.mean:
            note += "; to first order, as R is no mean"
        inside = not (exact and how.drawn) and (how.drawn or alone or not state)
        parts.append(("target_sampling", "halves", own, note, inside))
    hidden = np.isfinite(place).all() and len(place) > 0 and not domain["visible"].astype(bool).any()
    if hidden:
        apart = between(r, place, confidence)
        parts.append(("target_domain", "anova", apart, f"{len(np.unique(place))} domains", True))
    return parts


def _rows(total: tuple[Part, str, str], parts: list[Found], why: str = "") -> list[dict[str, Any]]:
    whole, how, note = total
    if not parts and not why:
        note = "; ".join(n for n in (note, "not split: R's halves were not recorded") if n)
    found = [("total", how, whole, note), *((p, h, v, n) for p, h, v, n, _ in parts)]
    if parts:
        left, note = minus(whole, *(v for *_, v, _, inside in parts if inside)), ""
        if left.value < 0:
            note = "negative: the parts, measured apart, exceed the total"
            note += "" if left.high < 0 else " by less than their intervals"
        found.append(("remainder", "difference", left, note))
    found.sort(key=lambda row: _ORDER.index(row[0]))
    return [
        {"part": p, "value": v.value, "low": v.low, "high": v.high, "how": h, "n": v.n, "note": n}
        for p, h, v, n in found
    ]


def in_the_sum(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of one task whose values make up its total, the remainder with them."""
    twice = rows["part"].isin(rows.loc[rows["how"] == "binomial", "part"]) & (rows["how"] == "halves")
    outside = rows["note"].str.contains(OUTSIDE, regex=False)
    return rows[~twice & ~outside & (rows["part"] != "total")]


def intrinsic_words(table: pd.DataFrame, task: str) -> str:
    """Half a sentence on what a task's L_int is made of; empty where it was not split."""
    rows = table[table["task"] == task]
    used = in_the_sum(rows).set_index("part")
    total = rows[rows["part"] == "total"]
    known = [p for p in _NAMES if p in used.index]
    if total.empty or not known or not total["value"].iloc[0] > 0:
        return ""
    part = {str(k): float(v) for k, v in used["share_of_var_r"].items()}
    shares = [f"{_NAMES[p]} {part[p]:.0%}" for p in known]
    whole = float(total["share_of_var_r"].iloc[0])
    how = {"measured": "measured at T", "fitted": "fitted at T"}.get(str(total["how"].iloc[0]), "at T")
    text = f"Of Var R, {whole:.0%} is open as {how}: {', '.join(shares)}"
    if np.isfinite(part.get("remainder", np.nan)):
        var_r = float(total["value"].iloc[0] / total["share_of_var_r"].iloc[0])
        ends = [float(used[e]["remainder"]) / var_r for e in ("low", "high")]
        text += f", the rest {part['remainder']:.0%} ({ends[0]:.0%} to {ends[1]:.0%})"
    return text + "."
