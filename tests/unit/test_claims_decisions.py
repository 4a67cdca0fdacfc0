"""E4 to E6 on exact instances and imported runs: their forecasts and policies, and the verdicts on them."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner

from prehoc import tables
from prehoc.claims import decisions, efficiency, exact, imported, page, signals
from prehoc.claims.evidence import OPTIONAL, Judge, evidence
from prehoc.cli import app
from prehoc.config import claims_config, resolve
from prehoc.config.loading import merge
from prehoc.errors import InputError
from prehoc.predictors.held_out import without
from prehoc.risk.data import TaskData
from prehoc.risk.regimes import Thresholds
from prehoc.synthetic.instances import INSTANCES
from prehoc.tables.decisions import KNOWN_BY

ROOT = Path(__file__).parents[2]
RAW = yaml.safe_load((ROOT / "config.yaml").read_text())
RULES = resolve(RAW).claims.model_dump(mode="json")
RULE = {"predictors": ["linear", "ridge"], "folds": 3, "splits": 2, "resamples": 100}
HOW = decisions.Setting(0.2, 1, 0.95, RULE, 100, 0.1, resolve(RAW).policies.model_dump(mode="json"))
SETTING = exact.Setting(200, 1, 0.2, 0.95, 60, Thresholds())
DYNAMIC = ["dynamic_a020", "dynamic_a035", "dynamic_a050", "dynamic_rho060", "dynamic_rho075"]
SETTLED = [
    "static_a150",
    "static_a200",
    "noise_a100",
    "noise_a200",
    "static_rho090",
]  # nothing to gain deep


def of(names, regime=None):
    """The evidence of exact instances, their regimes as judged, or all called `regime`."""
    made = exact.tables_of(names, SETTING)
    if regime:
        made["regimes"] = made["regimes"].assign(regime=regime)
    ones = [decisions.One(exact.drawn(n, SETTING), INSTANCES[n].shift) for n in names]
    made |= decisions.tables_of(ones, made["regimes"], HOW)
    return evidence("synthetic", names, made, information="last", drivers={})


@pytest.fixture(scope="module")
def deep():
    return of(DYNAMIC)


@pytest.fixture(scope="module")
def flat():
    return of(SETTLED, "dynamic_critical")


def e4(e):
    rows = signals.mismatch(e, RULES["E4"], Judge("E4", e.scope, 5), 0.95, 0.2, 2)
    return {row["criterion"]: row for row in rows}


def e5(e):
    rows = signals.complement(e, RULES["E5"], Judge("E5", e.scope, 5), 0.95, 2)
    return {row["criterion"]: row for row in rows}


def e6(e):
    rows = efficiency.judged(e, RULES["E6"], Judge("E6", e.scope, 5), 0.95, 0.2)
    return {row["criterion"].partition(":")[2]: row for row in rows}


def walks(name, known, noise=0.0, seed=0, runs=60, depths=10):
    """Runs of a walk over depths 1, 2, 4, ...: R is its end, of which `known` (0 to 1) shows in the metric."""
    rng = np.random.default_rng([seed, *name.encode()])
    depth = 2 ** np.arange(depths)
    path = np.cumsum(rng.normal(size=(runs, depths)), axis=1)
    outcome = known * path[:, -1] + rng.normal(size=runs) * (1 - known + noise)
    return TaskData(
        name, int(depth[-1]), depth, path, outcome, np.empty((runs, 0)), np.empty(0, np.int64), (), 0.0, True,
        runs, 0.0,
    )  # fmt: skip


def to_target(name="t", runs=60):
    """Runs that end when they meet a target: their R is the steps to it, 7 to 10 of 10."""
    rng = np.random.default_rng(3)
    r = rng.integers(7, 11, size=runs)
    depth = np.arange(1, 11)
    metric = r[:, None] + rng.normal(size=(runs, 10)) * 0.5
    settled = depth[None, :] >= r[:, None]
    one = walks(name, 0.0, runs=runs, depths=10)
    return replace(
        one, horizon=10, depth=depth, metric=np.where(settled, np.nan, metric), outcome=r.astype(float),
        settled=settled, first_stop=6,
    )  # fmt: skip


def test_e4_is_supported_where_what_decides_comes_late_and_contradicted_where_it_is_known_early(deep, flat):
    assert set(deep.regime_of().values()) == {"dynamic_critical"}
    for criterion in ("same_predictor", "better_predictor"):
        assert e4(deep)[criterion]["verdict"] == "supported"
        assert e4(deep)[criterion]["tasks"] == 5
        assert e4(flat)[criterion]["verdict"] == "contradicted"
    assert e4(of(SETTLED))["same_predictor"]["verdict"] == "undecided"  # none of them is dynamic-critical


def test_e6_is_supported_where_a_depth_pays_and_contradicted_where_the_metric_says_nothing(deep):
    assert e6(deep)["no_probing"]["verdict"] == "supported"
    assert e6(deep)["full"]["verdict"] == "supported"
    ones = [decisions.One(walks(f"w{i}", 0.0, runs=20)) for i in range(8)]  # ten calibrate
    made = decisions.tables_of(ones, tables.empty("regimes"), HOW)
    said = replace(deep, tasks=tuple(o.data.task for o in ones), extra=made)
    assert e6(said)["no_probing"]["verdict"] == "contradicted"


def test_the_tables_are_those_of_the_stages_and_the_same_each_time(deep):
    for name in OPTIONAL:
        assert len(tables.check(name, deep.extra[name])), name
        assert set(deep.extra[name].get("task", deep.extra["mismatch"]["name"])) <= {
            *DYNAMIC,
            "dynamic_critical",
        }
    again = of(DYNAMIC[:1])
    mine = deep.extra["predictors"]
    mine = mine[mine["task"] == DYNAMIC[0]].reset_index(drop=True)
    pd.testing.assert_frame_equal(again.extra["predictors"], mine)


def test_static_information_is_the_visible_factor_and_its_lack_is_said():
    e = of(["static_visible", "static_a150"])
    seen = e.extra["predictors"].groupby("task")["information"].unique()
    assert set(seen["static_visible"]) == set(KNOWN_BY)
    assert "static" not in seen["static_a150"]
    row = e5(e)["static_serves"]
    assert row["tasks"] == 1
    assert row["value"] == pytest.approx(0.95, abs=0.1)
    assert row["verdict"] == "undecided"
    assert "no static information in 1 static-sufficient tasks: static_a150" in row["note"]


def test_without_static_information_the_trajectory_is_judged_and_static_signals_are_not(deep):
    rows = e5(deep)
    assert rows["static_serves"]["verdict"] == "undecided"
    assert "no static information in any task" in rows["static_serves"]["note"]
    assert rows["trajectory_pays"]["verdict"] == "supported"
    assert "the trajectory's alone" in rows["trajectory_pays"]["note"]
    table = pd.DataFrame([rows["trajectory_pays"]], columns=list(tables.SCHEMAS["claims"].columns))
    assert "(no static information in 5 of 5: there the gain is the trajectory's alone)" in page.text(table)
    assert rows["pays_more_there"]["verdict"] == "undecided"  # no other tasks


def test_steps_to_a_target_are_forecast_until_the_first_run_is_done():
    one = to_target()
    assert list(decisions.seen_of(one).depth) == [1, 2, 3, 4, 5, 6]
    assert np.isfinite(decisions.trial_of(one).metric).all()
    made = decisions.tables_of([decisions.One(one, driver="residual")], tables.empty("regimes"), HOW)
    assert made["predictors"]["depth"].max() == 6
    assert len(made["mismatch"])
    assert set(made["policies_against"]["other"]) >= {"no_probing", "shallow", "deep"}
    assert "full" not in set(made["policies_against"]["other"])
    last = replace(walks("last", 1.0), target=False)
    assert decisions.trial_of(last).depth[-1] == decisions.seen_of(last).depth[-1] == 256


def test_leaving_out_runs_leaves_out_their_settled_depths_and_groups():
    one = replace(to_target(), group=np.repeat([0, 1], 30), seeds=np.arange(60))
    data = without(decisions.seen_of(one), np.arange(10), np.empty(0, np.int64))
    assert len(data.outcome) == len(data.settled) == len(data.group) == len(data.seeds) == 50
    assert (data.settled == one.settled[10:]).all()


def test_a_depth_that_was_not_measured_is_no_shallow_one():
    late = walks("late", 1.0)
    late = replace(late, depth=late.depth[8:], metric=late.metric[:, 8:])  # from T/2 on
    how = replace(HOW, shallow_steps=float("inf"))
    made = decisions.tables_of([decisions.One(late)], tables.empty("regimes"), how)
    assert made["mismatch"].empty
    assert set(made["policies_against"]["other"]) == {"no_probing", "deep", "full", "oracle"}


@pytest.mark.parametrize(
    "one",
    [
        walks("few", 0.5, runs=6),
        replace(walks("constant", 0.5), outcome=np.ones(60)),
        replace(walks("gaps", 0.5), metric=np.full((60, 10), np.nan)),
        replace(to_target("done"), settled=np.ones((60, 10), bool)),
    ],
    ids=lambda one: one.task,
)
def test_odd_tasks_have_fewer_rows_and_break_nothing(one):
    made = decisions.tables_of([decisions.One(one, driver="residual")], tables.empty("regimes"), HOW)
    for name in OPTIONAL:
        tables.check(name, made[name])
    assert made["policies_against"].empty


def test_joining_keeps_what_either_has():
    left = {"mismatch": tables.empty("mismatch")}
    right = decisions.tables_of([decisions.One(walks("a", 1.0))], tables.empty("regimes"), HOW)
    both = decisions.joined(left, right)
    assert set(both) == set(OPTIONAL)
    assert len(both["mismatch"]) == len(right["mismatch"]) > 0


def own_runs(path):
    """40 runs of each of 6 tasks: a walk whose end is R; half are told late, half early."""
    rng = np.random.default_rng(0)
    rows = []
    for task in range(6):
        share = np.ones(10) if task % 2 else 0.5 ** np.arange(10)
        value = np.cumsum(rng.normal(size=(40, 10)) * np.sqrt(share), axis=1)
        final = value[:, -1] + 0.1 * rng.normal(size=40)
        rows += [(f"t{task}", s, 2**k, value[s, k], final[s]) for s in range(40) for k in range(10)]
    pd.DataFrame(rows, columns=["task", "seed", "step", "metric", "final"]).to_csv(path, index=False)


def test_the_command_forecasts_imported_runs(tmp_path):
    own_runs(tmp_path / "runs.csv")
    block = {
        "synthetic_runs": 60, "synthetic_sets": 1, "resamples": 200,
        "imported": [{"path": str(tmp_path / "runs.csv"), "name": "lab"}], "decisions": RULE,
    }  # fmt: skip
    stage = claims_config(resolve(merge(RAW, {"claims": block})))
    stage["instances"] = []
    stage["tasks"] = {}
    (tmp_path / "stage.json").write_text(json.dumps(stage))
    args = ["claims", "--config", str(tmp_path / "stage.json"), "--table", str(tmp_path / "claims.csv")]
    done = CliRunner().invoke(app, args)
    assert done.exit_code == 0, done.output
    found = tables.read("claims", tmp_path / "claims.csv")
    found = found[found["scope"] == "imported"].set_index("criterion")
    assert found.loc["c_star_beats:no_probing", "verdict"] == "supported"
    assert found.loc["c_star_beats:no_probing", "tasks"] == 6
    assert found.loc["same_predictor", "value"] > 1.25
    assert "no static information" in found.loc["static_serves", "note"]
    assert found.loc["static_serves", "verdict"] == "undecided"
    assert [
        one.task for one in imported.runs_of(stage["claims"]["imported"], information="last", seed=0)
    ] == [f"lab/t{i}" for i in range(6)]


def test_the_block_is_checked():
    with pytest.raises(InputError, match=r"claims\.decisions\.folds"):
        resolve(merge(RAW, {"claims": {"decisions": {"folds": 2}}}))
    with pytest.raises(InputError, match=r"claims\.decisions\.predictors"):
        resolve(merge(RAW, {"claims": {"decisions": {"predictors": ["lstm"]}}}))
