"""The claims: each is supported, contradicted and undecided on tables made so, and no verdict else."""

from pathlib import Path

import claims_frames as made
import numpy as np
import pandas as pd
import pytest
import yaml

from prehoc import tables
from prehoc.claims import intervals
from prehoc.claims.judge import claims_table, judged
from prehoc.config import resolve
from prehoc.tables.decisions import CLAIMS, SCOPES

ROOT = Path(__file__).parents[2]
RULES = resolve(yaml.safe_load((ROOT / "config.yaml").read_text())).claims.model_dump(mode="json")
TASKS = made.names(5)
SAME = dict.fromkeys(made.SHARES, 0.05)


def verdicts(evidence, **over):
    return {r["criterion"]: r["verdict"] for r in judged(evidence, {**RULES, **over}, 0.95, 0)}


def rows(evidence):
    return {r["criterion"]: r for r in judged(evidence, RULES, 0.95, 0)}


def expect(said, **wanted):
    """Each criterion that starts with the key has the verdict."""
    for name, verdict in wanted.items():
        found = {c: v for c, v in said.items() if c.partition(":")[0] == name}
        assert found, name
        assert set(found.values()) == {verdict}, found


def test_e1_is_supported_where_power_laws_hold_with_the_readings_slope():
    expect(
        verdicts(made.of(TASKS)),
        power_law="supported", slope="supported", no_transient="supported", same_slope="supported",
    )  # fmt: skip


def test_e1_is_contradicted_where_they_are_refused_unknown_late_or_part():
    refused = made.envelope(TASKS, power=False, identified=False, onset=64.0)
    expect(
        verdicts(made.of(TASKS, envelope=refused)),
        power_law="contradicted", slope="contradicted", no_transient="contradicted", same_slope="undecided",
    )  # fmt: skip
    apart = made.envelope(TASKS, alpha=lambda task, proxy: 0.5 if proxy == "residual" else 1.5)
    expect(verdicts(made.of(TASKS, envelope=apart)), same_slope="contradicted", power_law="supported")


def test_e1_is_undecided_where_half_the_tasks_have_a_power_law_or_few_are_there():
    half = pd.concat(
        [made.envelope(t for i, t in enumerate(TASKS) if i % 2 == k) if k else
         made.envelope((t for i, t in enumerate(TASKS) if i % 2 == 0), power=False) for k in (0, 1)]
    )  # fmt: skip
    expect(verdicts(made.of(TASKS, envelope=half)), power_law="undecided", slope="supported")
    few = rows(made.of(dict(list(TASKS.items())[:3])))["power_law:bayes"]
    assert (few["value"], few["verdict"]) == (1.0, "undecided")
    assert "at least 5" in few["note"]


def test_e2_is_supported_where_regimes_are_told_apart_and_readings_agree():
    said = verdicts(made.of(TASKS, truth=TASKS))
    expect(said, told="supported", all_there="supported", separated="supported", readings_agree="supported",
           right="undecided")  # fmt: skip
    many = made.names(8)
    expect(verdicts(made.of(many, truth=many)), right="supported")


def test_e2_is_contradicted_where_chances_are_even_and_the_readings_differ():
    even = made.regimes(TASKS, p=0.5, paper=lambda task: "noise_dominant", width=2.0)
    wrong = dict.fromkeys(TASKS, "static_sufficient")
    said = verdicts(made.of(TASKS, regimes=even, truth=wrong))
    expect(said, told="contradicted", readings_agree="undecided", right="contradicted")
    assert said["separated:bayes"] == "contradicted"
    assert said["separated:run_to_run"] == "undecided"  # no pair of two regimes
    turned = {"static_sufficient": "noise_dominant", "noise_dominant": "dynamic_critical"}
    other = made.regimes(TASKS, paper=lambda t: turned.get(TASKS[t], "static_sufficient"))
    expect(verdicts(made.of(TASKS, regimes=other)), readings_agree="contradicted")
    two = {t: r for t, r in made.names(5).items() if r != "static_sufficient"}
    expect(verdicts(made.of(two)), all_there="contradicted")


def test_e3_follows_the_ratio_of_depths():
    expect(verdicts(made.of(TASKS)), depth_ratio="supported", deeper_in_pairs="supported")
    flat = made.c_star(TASKS, shares=SAME)
    expect(verdicts(made.of(TASKS, c_star=flat)), depth_ratio="contradicted", deeper_in_pairs="undecided")
    turned = made.c_star(TASKS, shares={**made.SHARES, "static_sufficient": 0.9, "dynamic_critical": 0.01})
    expect(
        verdicts(made.of(TASKS, c_star=turned)), depth_ratio="contradicted", deeper_in_pairs="contradicted"
    )
    wide = made.c_star(TASKS, spread=100.0)
    expect(verdicts(made.of(TASKS, c_star=wide)), depth_ratio="undecided", deeper_in_pairs="undecided")
    alone = {t: r for t, r in TASKS.items() if r != "static_sufficient"} | {"s0": "static_sufficient"}
    row = rows(made.of(alone))["depth_ratio:bayes"]
    assert row["verdict"] == "undecided"
    assert "at least 2 of each" in row["note"]


def test_e4_follows_the_mismatch_and_what_better_predictors_mend():
    def given(ratio, best):
        return made.of(TASKS, mismatch=made.mismatch(TASKS, ratio), predictors=made.predictors(TASKS, best))

    expect(verdicts(given(2.0, 0.55)), same_predictor="supported", better_predictor="supported")
    expect(verdicts(given(2.0, 0.31)), same_predictor="supported", better_predictor="contradicted")
    expect(verdicts(given(1.0, 0.55)), same_predictor="contradicted", better_predictor="contradicted")
    expect(verdicts(given(1.26, 0.6)), same_predictor="undecided", better_predictor="undecided")
    expect(verdicts(made.of(TASKS)), same_predictor="undecided", better_predictor="undecided",
           risk_itself="supported")  # fmt: skip
    level = made.variance(TASKS, fall=0.001)
    expect(verdicts(made.of(TASKS, variance=level)), risk_itself="contradicted")
    other = made.mismatch(TASKS, predictor="boosting")
    row = rows(made.of(TASKS, mismatch=other))["same_predictor"]
    assert row["verdict"] == "undecided"
    assert "boosting" in row["note"]


@pytest.mark.parametrize(
    ("static", "early", "serves", "pays", "more"),
    [
        ((0.2, 0.9, 0.95), (0.18, 0.3, 0.93), "supported", "supported", "supported"),
        ((0.8, 0.9, 0.95), (0.2, 0.88, 0.4), "contradicted", "contradicted", "contradicted"),
        ((0.325, 0.9, 0.95), (0.3, 0.8, 0.87), "undecided", "undecided", "undecided"),
    ],
)
def test_e5_follows_what_static_signals_and_the_trajectory_give(static, early, serves, pays, more):
    table = made.complementarity(
        TASKS, dict(zip(made.SHARES, static, strict=True)), dict(zip(made.SHARES, early, strict=True))
    )
    expect(
        verdicts(made.of(TASKS, complementarity=table)),
        static_serves=serves, trajectory_pays=pays, pays_more_there=more,
    )  # fmt: skip
    expect(verdicts(made.of(TASKS)), static_serves="undecided", trajectory_pays="undecided")


def test_e6_follows_total_risk_against_each_fixed_policy():
    ratios = {"no_probing": 3.0, "shallow": 0.8, "deep": 1.003, "full": 1.4}
    said = verdicts(made.of(TASKS, policies_against=made.policies_against(TASKS, ratios)))
    assert said["c_star_beats:no_probing"] == said["c_star_beats:full"] == "supported"
    assert said["c_star_beats:shallow"] == "contradicted"
    assert said["c_star_beats:deep"] == "undecided"
    some = made.policies_against(TASKS, {"deep": 1.4})
    assert "against full" in rows(made.of(TASKS, policies_against=some))["c_star_beats:full"]["note"]
    expect(verdicts(made.of(TASKS)), c_star_beats="undecided")


def trials(alpha=0.5, caught=True, regret=0.001, sets=8):
    lawful = [(f"i{k}", True, alpha, 0.4, 0.6, True, 0.5, True, regret + k / 1e4) for k in range(6)] * sets
    control = [("c0", False, np.nan, 0.1, 2.0, not caught, 0.5, True, 0.1)] * sets
    columns = ("instance", "power_law", "alpha", "alpha_low", "alpha_high", "identified", "lack_of_fit_p")
    return pd.DataFrame(lawful + control, columns=[*columns, "power_wins", "regret"])


def bound(z):
    return pd.DataFrame({"instance": "i0", "predictor": "ols", "z": z})


def test_e7_on_exact_instances_follows_coverage_controls_regret_and_the_bound():
    good = made.of(TASKS, scope="synthetic", trials=trials(), bound=bound([-1.0, 3.0]))
    expect(verdicts(good), alpha_covered="supported", controls_caught="supported",
           closed_form_regret="supported", bound_holds="supported")  # fmt: skip
    bad = made.of(TASKS, trials=trials(alpha=0.9, caught=False, regret=0.3), bound=bound([-7.0, 3.0]))
    expect(verdicts(bad), alpha_covered="contradicted", controls_caught="contradicted",
           closed_form_regret="contradicted", bound_holds="contradicted")  # fmt: skip
    found = rows(bad)["bound_holds"]
    assert (found["threshold"], found["value"]) == (0, 1)
    assert rows(good)["bound_holds"]["threshold"] == 0
    one = made.of(TASKS, trials=trials(sets=1), bound=None)
    expect(verdicts(one), alpha_covered="undecided", controls_caught="undecided", bound_holds="undecided")


def with_forks(tasks, risk):
    """The variances, and those of forks at depth 16 that leave `risk`."""
    rows = [(t, 16, "fork", "state", risk, risk / 20, risk * 0.9, risk * 1.1, 50, "accuracy", 800.0, risk, 1.0, 0.0)
            for t in tasks]  # fmt: skip
    return pd.concat([made.variance(tasks), made.frame("variance", rows)], ignore_index=True)


def test_e7_on_real_tasks_follows_the_law_the_closed_form_and_the_forks():
    def given(risk, **more):
        seen = made.predictors(TASKS, 0.55)
        return made.of(TASKS, variance=with_forks(TASKS, risk), predictors=seen, **more)

    expect(
        verdicts(given(0.2)),
        no_faster="supported",
        closed_form_near="supported",
        bound_by_forks="supported",
    )
    far = made.c_star(TASKS, factor={"closed_form": 9.0})
    faster = made.envelope(TASKS, power=False)
    expect(verdicts(given(1.5, c_star=far, envelope=faster)), no_faster="contradicted",
           closed_form_near="contradicted", bound_by_forks="contradicted")  # fmt: skip
    expect(verdicts(made.of(TASKS)), bound_by_forks="undecided")
    none = made.c_star(TASKS, rules=("guarded", "grid"))
    expect(verdicts(made.of(TASKS, c_star=none)), closed_form_near="undecided")


def test_another_price_or_no_task_decides_nothing_and_says_why():
    found = rows(made.of(TASKS))
    dear = {r["criterion"]: r for r in judged(made.of(TASKS), {**RULES, "price": 0.7}, 0.95, 0)}
    assert found["depth_ratio:bayes"]["verdict"] == "supported"
    assert dear["depth_ratio:bayes"]["verdict"] == "undecided"
    table = claims_table([made.of(TASKS), made.of({}, scope="synthetic")], RULES)
    assert set(table["claim"]) == set(CLAIMS)
    assert set(table["scope"]) == set(SCOPES)
    empty = table[table["scope"] != "packaged"]
    assert set(empty["verdict"]) == {"undecided"}
    assert set(empty["note"]) == {"no task of this scope"}
    assert len(tables.check("claims", table)) == len(table)


def test_a_settled_task_and_one_whose_runs_failed_break_nothing():
    settled = made.regimes(TASKS)
    settled.loc[settled["task"] == "s0", ["iota", "iota_low", "iota_high", "q"]] = np.nan
    lost = made.variance(TASKS)
    lost.loc[lost["task"] == "d0", ["risk", "se", "ci_low", "ci_high"]] = np.nan
    e = made.of(TASKS, regimes=settled, variance=lost)
    assert "d0" not in e.tasks
    assert rows(e)["told:bayes"]["tasks"] == len(TASKS) - 1


def test_intervals_against_known_ones():
    assert intervals.share(0, 10, 0.95) == pytest.approx((0, 0, 0.3085), abs=1e-4)
    assert intervals.share(9, 10, 0.95) == pytest.approx((0.9, 0.5550, 0.9975), abs=1e-4)
    x = np.array([1.0, 2.0, 3.0, 4.0])
    assert intervals.mean(x, np.zeros(4), 0.95) == pytest.approx((2.5, 0.4457, 4.5543), abs=1e-4)
    assert intervals.mean(x, np.full(4, 10.0), 0.95)[1] < -10  # own errors beyond the spread
    welch = intervals.difference(x, np.zeros(4), x + 5, np.zeros(4), 0.95)
    assert welch == pytest.approx((-5, -7.2336, -2.7664), abs=1e-3)
    apart = np.ones((6, 6), bool)
    assert intervals.pair_share(apart, apart, 0.95, 400, 0) == intervals.share(3, 3, 0.95)
    rng = np.random.default_rng(1)
    hit = np.triu(rng.random((12, 12)) < 0.5, 1)
    value, low, high = intervals.pair_share(hit | hit.T, np.ones((12, 12), bool), 0.95, 400, 0)
    assert low < value < high
    assert intervals.verdict(0.6, 0.9, 0.5) == "supported"
    assert intervals.verdict(0.1, 0.4, 0.5) == "contradicted"
    assert intervals.verdict(0.4, 0.6, 0.5) == intervals.verdict(np.nan, np.nan, 0.5) == "undecided"
    assert intervals.verdict(0.1, 0.4, 0.5, at_most=True) == "supported"
    assert intervals.verdict(0.6, 0.9, 0.5, at_most=True) == "contradicted"


def test_the_mean_over_tasks_covers_at_its_level():
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(400):
        x = rng.normal(1.0, 0.5, 4) + rng.normal(0, 0.2, 4)
        _, low, high = intervals.mean(x, np.full(4, 0.2), 0.95)
        inside += low <= 1.0 <= high
    assert 0.92 <= inside / 400 <= 0.99
