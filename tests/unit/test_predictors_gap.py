"""What features tell of R without forking, where the truth is known."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
from sklearn.cross_decomposition import PLSRegression
from sklearn.linear_model import LinearRegression, Ridge

from prehoc import tables
from prehoc.predictors import agreement, gap
from prehoc.predictors.gap import Bank, Settings, predictions
from prehoc.predictors.gap_data import bank_of
from prehoc.predictors.gap_tables import gap_table, needed_table
from prehoc.predictors.shrinkage import LEARNERS, _pls_path, ridge

HOW = Settings(folds=5, rows=200, resamples=400, confidence=0.95, seed=3)
KEEP, NOISE, DIRECTIONS, EXAMPLES = 0.9, 0.5, 6, 20


def linear_bank(runs: int = 1500, seed: int = 0) -> tuple[Bank, float]:
    """theta_T = KEEP theta_c + noise, outputs = A theta_c + noise, R = w.theta_T; and the exact risk on outputs."""
    rng = np.random.default_rng(seed)
    weight = rng.normal(size=DIRECTIONS)
    lens = rng.normal(size=(EXAMPLES, DIRECTIONS))
    theta = rng.normal(size=(runs, DIRECTIONS))
    fresh = np.sqrt(1 - KEEP**2)
    outputs = theta @ lens.T + NOISE * rng.normal(size=(runs, EXAMPLES))
    outcome = (KEEP * theta + fresh * rng.normal(size=theta.shape)) @ weight
    ends = KEEP * theta[:100, None] + fresh * rng.normal(size=(min(runs, 100), 4, DIRECTIONS))
    told = lens.T @ np.linalg.solve(lens @ lens.T + NOISE**2 * np.eye(EXAMPLES), lens)
    exact = float(weight @ weight - KEEP**2 * weight @ told @ weight)
    bank = Bank(
        task="known", name="accuracy", horizon=64, depth=np.array([8]), metric=rng.normal(size=(runs, 1)),
        outputs=outputs[:, None], outcome=outcome, auxiliary=None, auxiliary_name="", signals={},
        forks={8: ends @ weight},
    )  # fmt: skip
    return bank, exact


def row(table: pd.DataFrame, features: str, predictor: str) -> pd.Series:
    found = table[(table["features"] == features) & (table["predictor"] == predictor)]
    assert len(found) == 1
    return found.iloc[0]


def test_outputs_reach_the_exact_risk_of_a_linear_bank() -> None:
    bank, exact = linear_bank()
    table = gap_table(bank, HOW)
    for predictor in ("ridge", "pcr", "pls", "kernel"):
        assert row(table, "outputs", predictor)["risk"] == pytest.approx(exact, rel=0.1), predictor
    assert row(table, "best", "kernel")["risk"] == pytest.approx(exact, rel=0.1)
    whole = float(bank.outcome.var(ddof=1))
    forked = row(table, "fork", "forks")["risk"]
    true_closed = (whole - exact) / (whole - forked)
    found = row(table, "outputs", "ridge")
    assert found["closed"] == pytest.approx(true_closed, abs=0.03)
    assert found["closed_low"] <= true_closed <= found["closed_high"] + 0.03
    assert row(table, "metric", "ols")["share"] == pytest.approx(1.0, abs=0.01)


def test_a_permuted_outcome_is_told_by_nothing() -> None:
    bank, _ = linear_bank(runs=600)
    mixed = np.random.default_rng(1).permutation(bank.outcome)
    table = gap_table(dataclasses.replace(bank, outcome=mixed, auxiliary=mixed**2), HOW)
    named = table[table["features"] != "fork"]
    assert named["closed"].abs().max() < 0.06
    assert row(table, "outputs", "kernel")["closed"] == pytest.approx(
        0.0, abs=1e-9
    )  # no evidence: no forecast


def accuracy_bank(runs: int = 700, target: int = 300) -> Bank:
    """R is the share of right signs on a target set; the outputs are margins of other examples."""
    rng = np.random.default_rng(5)
    theta = np.r_[1.5, np.zeros(9)] + rng.normal(size=(runs, 10))
    seen, judged = rng.normal(size=(200, 10)), rng.normal(size=(target, 10))
    labels = np.sign(judged[:, 0] + 0.5 * rng.normal(size=target))
    right = (theta @ judged.T) * labels
    return Bank(
        task="signs", name="accuracy", horizon=8, depth=np.array([8]), metric=rng.normal(size=(runs, 1)),
        outputs=(theta @ seen.T)[:, None], outcome=(right > 0).mean(axis=1), auxiliary=None,
        auxiliary_name="loss", signals={}, forks={},
    )  # fmt: skip


def test_the_agreement_kernel_learns_signs_that_a_linear_predictor_cannot() -> None:
    table = gap_table(accuracy_bank(), HOW)
    assert row(table, "outputs", "kernel")["risk"] < 0.5 * row(table, "outputs", "ridge")["risk"]
    assert table["closed"].isna().all()  # no forks, no gap


def test_a_cleaner_outcome_of_the_same_runs_steadies_a_noisy_one() -> None:
    bank, _ = linear_bank(runs=400)
    noise = np.random.default_rng(2).normal(size=400) * 4 * bank.outcome.std()
    noisy = dataclasses.replace(
        bank, outcome=bank.outcome + noise, auxiliary=bank.outcome, auxiliary_name="loss"
    )
    truth, errors = bank.outcome, {}
    fold = gap.folds_of(400, 5, 0)
    for k in range(5):
        train, test = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
        for key, told in predictions(noisy, 0, train, test, 400).items():
            errors.setdefault(key, []).append((told - truth[test]) ** 2)
    risk = {key: np.concatenate(parts).mean() for key, parts in errors.items()}
    assert risk["outputs", "kernel+loss"] < 0.8 * risk["outputs", "kernel"]


def test_no_forecast_depends_on_what_it_is_judged_by() -> None:
    bank, _ = linear_bank(runs=120)
    bank = dataclasses.replace(bank, auxiliary=bank.outcome**2, auxiliary_name="loss")
    train, test = np.arange(90), np.arange(90, 120)
    moved = bank.outcome.copy()
    moved[test] += 100.0
    other = dataclasses.replace(bank, outcome=moved, auxiliary=moved**2)
    before, after = (predictions(b, 0, train, test, 60) for b in (bank, other))
    assert set(before) == set(after)
    for key, told in before.items():
        np.testing.assert_array_equal(told, after[key], err_msg=str(key))


@pytest.mark.parametrize("case", ["constant", "few", "empty outputs"])
def test_nothing_to_tell_makes_no_rows(case: str) -> None:
    bank, _ = linear_bank(runs=19 if case == "few" else 60)
    if case == "constant":
        bank = dataclasses.replace(bank, outcome=np.full(60, 0.5))
    if case == "empty outputs":
        bank = dataclasses.replace(bank, outputs=np.full_like(bank.outputs, np.nan))
    assert gap_table(bank, HOW).empty
    assert needed_table(bank, HOW, runs=[30], examples=[8], share=0.5).empty


def test_runs_without_outputs_are_left_out_and_counted() -> None:
    bank, _ = linear_bank(runs=100)
    bank.outputs[:7] = np.nan
    table = gap_table(bank, HOW)
    assert set(table.loc[table["features"] != "fork", "n"]) == {93}
    tables.check("gap", table, "gap")


def test_more_runs_and_more_examples_close_more() -> None:
    bank, _ = linear_bank()
    table = needed_table(bank, HOW, runs=[40, 5000], examples=[3, 500], share=0.125)
    tables.check("gap_needed", table, "gap_needed")
    closed = table.set_index(["runs", "examples"])["closed"]
    assert sorted(closed.index) == [(40, 3), (40, 20), (1200, 3), (1200, 20)]
    assert closed[1200, 20] > closed[1200, 3] > closed[40, 3]
    assert closed[1200, 20] > closed[40, 20]


def test_signals_join_the_features_where_they_were_noted() -> None:
    bank, _ = linear_bank(runs=300)
    told = bank.outcome[:, None] + 0.1 * np.random.default_rng(0).normal(size=(300, 3))
    blind = np.random.default_rng(1).normal(size=bank.outputs.shape)
    seen = dataclasses.replace(
        bank, outputs=blind, signals={"projections": [told], "landscape": [told[:, :0]]}
    )
    table = gap_table(seen, HOW)
    assert row(table, "projections", "ridge")["share"] < 0.05
    assert row(table, "best", "kernel")["share"] < 0.2
    assert "landscape" not in set(table["features"])


def test_the_learners_are_what_their_names_say() -> None:
    rng = np.random.default_rng(0)
    x, y, new = rng.normal(size=(80, 12)), rng.normal(size=80), rng.normal(size=(5, 12))
    np.testing.assert_allclose(
        LEARNERS["ols"](x, y, new), LinearRegression().fit(x, y).predict(new), rtol=1e-8
    )
    paths = _pls_path(x, y, new)
    for count in (1, 3):
        ours = PLSRegression(n_components=count, scale=False).fit(x, y).predict(new).ravel()
        np.testing.assert_allclose(paths[count], ours, rtol=1e-6)
    wide = rng.normal(size=(40, 90))
    strong = wide @ rng.normal(size=90)
    found = ridge(wide, strong, wide)
    fits = [Ridge(alpha=a).fit(wide, strong).predict(wide) for a in 10.0 ** np.arange(-6, 6, 0.1)]
    assert min(np.abs(fit - found).max() for fit in fits) < 0.05 * strong.std()


def test_evidence_and_left_out_runs_are_those_of_the_process() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(30, 4)).astype(np.float32)
    every = np.arange(30)
    kernel = agreement.centred(*(2 * [agreement.agreement(x, every, every)]))
    y = kernel.astype(float) @ rng.normal(size=30)
    gain, place = agreement.evidence(kernel, y)
    e = y - y.mean()

    def score(penalty: float) -> float:
        whole = kernel.astype(float) + penalty * np.eye(30)
        scale = e @ np.linalg.solve(whole, e) / 30
        return -0.5 * (30 * np.log(scale / (e @ e / 30)) + np.linalg.slogdet(whole)[1])

    scores = [score(p) for p in agreement.PENALTIES]
    assert gain == pytest.approx(scores[place], rel=1e-3)
    assert place == int(np.argmax(scores))
    noisy = kernel.astype(float) + agreement.PENALTIES[place] * np.eye(30)
    factor = agreement._factor(kernel, agreement.PENALTIES[place])
    told = agreement._left_out(e, factor)
    for k in (0, 7):
        rest = np.delete(every, k)
        by_hand = kernel[k, rest].astype(float) @ np.linalg.solve(noisy[np.ix_(rest, rest)], e[rest])
        assert told[k] == pytest.approx(by_hand, abs=1e-3 * e.std())


def test_the_agreement_of_signs_is_the_kernel() -> None:
    """Sheppard: two runs agree in sign on a share 1 - angle/pi of normal examples."""
    rng = np.random.default_rng(0)
    theta = rng.normal(size=(3, 5))
    z = theta @ rng.normal(size=(5, 200_000))
    every = np.arange(3)
    kernel = agreement.agreement(theta.astype(np.float32), every, every)
    agree = (np.sign(z) @ np.sign(z).T) / z.shape[1]
    apart = ~np.eye(3, dtype=bool)  # the diagonal is lower by what NOISE takes
    np.testing.assert_allclose(agree[apart], kernel[apart], atol=0.05)
    assert np.abs(kernel - kernel.T).max() < 1e-6


def frames(runs: int) -> dict[str, pd.DataFrame]:
    """Tables of a task with 4 probe examples, forks at depth 2, an auxiliary loss and signals."""
    rng = np.random.default_rng(0)
    at = [("val", 2), ("val", 8), ("target", 8)]
    noted = [
        ("t", seed, depth, split, metric, rng.uniform(0.2, 0.9), False)
        for seed in range(runs)
        for split, depth in at
        for metric in ("accuracy", "loss")
    ]
    forks = [("t", s, 2, f, "accuracy", rng.uniform()) for s in range(10) for f in range(3)]
    told = [
        ("t", s, d, e, np.log(rng.uniform(0.1, 0.9))) for s in range(runs) for d in (2, 8) for e in range(4)
    ]
    kinds = [("grad_norm", 0), ("grad_norm", 2), ("projection_0", 2), ("projection_0", 8)]
    signals = [("t", s, d, k, rng.normal()) for s in range(runs) for k, d in kinds]
    rows = {"runs": noted, "forks": forks, "outputs": told, "signals": signals}
    return {
        name: tables.check(name, pd.DataFrame(rows[name], columns=list(tables.SCHEMAS[name].columns)), name)
        for name in rows
    }


def test_a_bank_of_tables_holds_runs_outputs_and_signals_in_one_order() -> None:
    made = frames(30)
    made["runs"].loc[made["runs"]["seed"] == 4, ["value", "failure"]] = [np.nan, True]
    how = {"task": "t", "metric": "accuracy", "auxiliary": "loss", "horizon": 8}
    bank = bank_of(
        made["runs"], made["forks"], tables.empty("draws"), made["outputs"], made["signals"], **how
    )
    assert bank is not None
    assert bank.outputs.shape == (29, 2, 4)
    wanted = made["runs"].query("split == 'target' and metric == 'loss' and seed != 4")["value"]
    np.testing.assert_array_equal(bank.auxiliary, wanted)
    assert [f.shape for f in bank.signals["projections"]] == [(29, 1), (29, 1)]
    assert [f.shape for f in bank.signals["landscape"]] == [(29, 2), (29, 2)]
    value = made["signals"].query("seed == 7 and signal == 'projection_0' and depth == 8")["value"].iloc[0]
    assert bank.signals["projections"][1][6, 0] == value
    assert (
        bank_of(made["runs"], made["forks"], tables.empty("draws"), tables.empty("outputs"), None, **how)
        is None
    )
