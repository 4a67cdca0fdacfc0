"""DESIGN's re-run matrix: what a change makes run again, and what it leaves, by dry run."""

import contextlib

import pytest
from project import CI

TASKS = {"tiny_head", "tiny_noise", "tiny_modular", "tiny_synthetic"}
JOINT = {
    ("gather", t)
    for t in (
        *("variance", "envelope", "c_star", "regimes", "intrinsic", "advice", "summary"),
        *("predictors", "policies", "policies_against", "gap", "gap_needed"),
    )
}
ANALYSED = {
    ("figures", f)
    for f in (
        *("fig2_decay", "fig3_phase", "c_star", "curves", "intrinsic"),
        *("complementarity", "frontier", "frontier_tasks", "gap"),
    )
}
ACROSS = {"complementarity", "mismatch", "transfer"}  # rules over all tasks' forecasts, by regime
SOURCES = {("gather", "sources"), ("figures", "sources")}
FIGURES = ANALYSED | {("figures", "sources")}
PROVENANCE = ("provenance", "")
DECIDED = {
    ("gather", t)
    for t in ("c_star", "regimes", "intrinsic", "advice", "summary", "policies", "policies_against")
}
CLAIMS = ("claims", "")


@contextlib.contextmanager
def edited(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    try:
        yield
    finally:
        path.write_text(text)


@contextlib.contextmanager
def appended(path, line):
    text = path.read_text()
    path.write_text(text + line)
    try:
        yield
    finally:
        path.write_text(text)


def tasks_of(jobs, *rules):
    return {name.split("_0")[0].rsplit("_", 1)[0] if rule == "fork" else name.split("_0")[0]
            for rule, name in jobs if rule in rules}  # fmt: skip


def rules_of(jobs):
    return {rule for rule, _ in jobs}


def test_nothing_changed_runs_nothing(finished):
    assert finished.plan("all", *CI) == set()
    assert finished.plan("figures", *CI) == set()
    assert finished.plan("tables", *CI) == set()


@pytest.mark.parametrize(
    ("change", "prepares"),
    [
        ("{data: {train: 180}}", True),
        ("{data: {label_noise: 0.1}}", True),
        ("{model: {max_length: 12}}", True),
        ("{optimiser: {lr: 1.5}}", False),
        ("{population: {train_subset: {n: 32, visible: false}}}", False),
        ("{outcome: {target_sample: 40}}", False),
        ("{outputs: {examples: 40}}", False),
        ("{signals: {projections: 4}}", False),
        ("{signals: null}", False),
        ("{horizon: 96}", False),
        ("{depths: [1, 2, 4, 8, 16, 32, 48]}", False),
    ],
)
def test_one_tasks_change_runs_that_task_alone(finished, change, prepares):
    jobs = finished.plan("all", *CI, "--config", f"tasks={{tiny_head: {change}}}")
    assert tasks_of(jobs, "train", "fork", "collect", "risk", "decide", "prepare") == {"tiny_head"}
    assert ("prepare" in rules_of(jobs)) == prepares
    assert {n for r, n in jobs if r == "train"} == {
        "tiny_head_000000-000032",
        "tiny_head_000032-000064",
    }
    assert jobs >= JOINT | ANALYSED | {PROVENANCE, CLAIMS}
    assert ("gather", "sources") not in jobs


def test_a_price_or_gamma_runs_decide_and_later(finished):
    later = {"decide", "policies", "gather", "figures", "claims", "provenance"} | ACROSS
    jobs = finished.plan("all", *CI, "--config", "decide={gamma: [0.001]}")
    assert rules_of(jobs) == later
    assert tasks_of(jobs, "decide") == tasks_of(jobs, "policies") == TASKS
    assert {j for j in jobs if j[0] == "gather"} == DECIDED
    jobs = finished.plan("all", *CI, "--config", "decide={prices: [0.3]}")
    assert rules_of(jobs) == later | {"predictors"}  # c* of other runs than those that are judged
    assert tasks_of(jobs, "decide", "predictors") == TASKS
    assert {j for j in jobs if j[0] == "gather"} == DECIDED | {("gather", "predictors")}


def test_predictors_settings_run_predictors_and_later(finished):
    later = {"complementarity", "mismatch", "figures", "claims", "provenance"}
    jobs = finished.plan("all", *CI, "--config", "predictors={folds: 4}")
    assert rules_of(jobs) == {"predictors", "gather"} | later
    assert tasks_of(jobs, "predictors") == TASKS
    jobs = finished.plan("all", *CI, "--config", "predictors={shallow_steps: 7}")
    assert rules_of(jobs) == later
    jobs = finished.plan("all", *CI, "--config", "predictors={transfer_runs: 32}")
    assert rules_of(jobs) == {"transfer", "provenance"}


def test_a_risk_setting_runs_risk_and_later(finished):
    jobs = finished.plan("all", *CI, "--config", "risk={confidence: 0.9}")
    decided = {
        "risk",
        "decide",
        "decompose",
        "policies",
        "gap",
        "gather",
        "figures",
        "claims",
        "provenance",
    }
    assert rules_of(jobs) == decided | {"predictors"} | ACROSS


def test_other_components_of_the_outputs_run_risk_and_later(finished):
    jobs = finished.plan("all", *CI, "--config", "tasks={tiny_head: {outputs: {components: 5}}}")
    decided = {"risk", "decide", "policies", "gather", "figures", "claims", "provenance"}
    assert rules_of(jobs) == decided | ACROSS
    assert tasks_of(jobs, "risk", "decide") == {"tiny_head"}


def test_another_policy_runs_policies_and_their_figure(finished):
    jobs = finished.plan("all", *CI, "--config", "policies={eta: 3}")
    assert tasks_of(jobs, "policies") == TASKS
    assert jobs - {j for j in jobs if j[0] == "policies"} == {
        ("gather", "policies"), ("gather", "policies_against"), ("figures", "frontier"),
        ("figures", "frontier_tasks"), CLAIMS, PROVENANCE,
    }  # fmt: skip


def test_another_criterion_or_other_imported_runs_judge_the_claims_again_and_nothing_else(finished):
    assert finished.plan("all", *CI, "--config", "claims={E3: {ratio: 3.0}}") == {CLAIMS, PROVENANCE}
    with appended(finished.folder / "src/prehoc/claims/depth.py", "# a remark\n"):
        assert finished.plan("all", *CI) == {CLAIMS}
    lab = finished.folder / "lab.csv"
    lab.write_text("seed,depth,metric\n")
    assert finished.plan("all", *CI, "--config", "claims={imported: [{path: lab.csv}]}") == {
        CLAIMS,
        PROVENANCE,
    }
    assert "lab.csv" in finished.run("-n", *CI, "--config", "claims={imported: [{path: lab.csv}]}").stdout
    lab.unlink()


def test_another_device_makes_no_result_stale(finished):
    assert finished.plan("all", *CI, "--config", "device=cpu") == {PROVENANCE}


def test_another_patience_makes_no_result_stale(finished):
    change = "lock={heartbeat: 5, stale: 60, longest: 10}"
    assert finished.plan("all", *CI, "--config", change) == {PROVENANCE}


def test_a_figure_style_runs_figures(finished):
    jobs = finished.plan("figures", *CI, "--config", "figures={column: neurips}")
    assert jobs == FIGURES | {PROVENANCE}


def test_more_seeds_run_the_new_shard_and_the_reductions(finished):
    jobs = finished.plan("all", *CI, "--config", "tasks={tiny_head: {runs: 80}}")
    assert {j for j in jobs if j[0] in ("prepare", "train", "fork")} == {
        ("train", "tiny_head_000064-000080")
    }
    assert tasks_of(jobs, "collect", "risk", "decide") == {"tiny_head"}


def test_seeds_override_reaches_every_task(finished):
    jobs = finished.plan("all", *CI, "--config", "seeds=96")
    assert {n for r, n in jobs if r == "train"} == {
        "tiny_head_000064-000096",
        "tiny_noise_000064-000096",
        *(f"tiny_modular_{a:06d}-{a + 16:06d}" for a in range(32, 96, 16)),
    }
    assert ("simulate", "tiny_synthetic") in jobs


def test_a_task_switched_off_trains_nothing(finished):
    jobs = finished.plan("all", *CI, "--config", "tasks={tiny_modular: {enabled: false}}")
    assert rules_of(jobs) == {"gather", "figures", "claims", "provenance"} | ACROSS


def test_a_comment_in_a_figure_module_runs_figures_only(finished):
    with appended(finished.folder / "src/prehoc/figures/style.py", "# a remark\n"):
        assert finished.plan("all", *CI) == FIGURES


def test_an_edit_in_training_runs_training_and_later(finished):
    with appended(finished.folder / "src/prehoc/training/loop.py", "# a remark\n"):
        jobs = finished.plan("all", *CI)
    assert tasks_of(jobs, "train") == TASKS - {"tiny_synthetic"} | {"tiny_crossed"}
    assert not rules_of(jobs) & {"prepare", "simulate"}
    assert "tiny_synthetic" not in tasks_of(jobs, "risk", "decide")
    assert rules_of(jobs) >= {"train", "fork", "collect", "risk", "decide", "gather", "figures"}


def test_an_edit_in_risk_runs_risk_and_later(finished):
    with appended(finished.folder / "src/prehoc/risk/proxies.py", "# a remark\n"):
        jobs = finished.plan("all", *CI)
    made = {"risk", "decide", "predictors", "policies", "gap", "gather", "figures", "claims"} | ACROSS
    assert rules_of(jobs) == made | ({"provenance"} if PROVENANCE in jobs else set())
    assert tasks_of(jobs, "risk") == TASKS


def test_what_is_crossed_runs_the_crossed_task_and_its_table_alone(finished):
    jobs = finished.plan("all", *CI, "--config", "tasks={tiny_crossed: {crossed: [init, order]}}")
    assert tasks_of(jobs, "train", "collect", "decompose") == {"tiny_crossed"}
    assert not rules_of(jobs) & {"prepare", "risk", "decide", "fork"}
    assert {j for j in jobs if j[0] in ("gather", "figures")} == SOURCES


def test_another_known_case_runs_no_training(finished):
    jobs = finished.plan("all", *CI, "--config", "sources={blocks: 20}")
    assert jobs == {("decompose", "known_components"), PROVENANCE} | SOURCES


def test_an_edit_in_the_decomposition_runs_decompose_and_risk(finished):
    with appended(finished.folder / "src/prehoc/risk/sources.py", "# a remark\n"):
        jobs = finished.plan("all", *CI)
    assert tasks_of(jobs, "decompose") == {"tiny_crossed", "known_components"}
    assert jobs >= SOURCES
    assert not rules_of(jobs) & {"train", "collect"}


def test_a_crossed_task_has_no_verdict(finished):
    done = finished.run("-n", "results/tiny_crossed/verdict.json", *CI, good=False)
    assert done.returncode != 0
    assert "MissingRule" in done.stderr + done.stdout


def test_a_reverted_change_runs_nothing(finished):
    """A dry run with another config must leave no trace that makes the old one stale."""
    finished.plan("all", *CI, "--config", "decide={gamma: [0.002]}")
    with edited(finished.folder / "config.yaml", "lr: 1.0e-2", "lr: 2.0e-2"):
        finished.plan("all", *CI)
    assert finished.plan("all", *CI) == set()


def test_one_verdict_needs_one_task(finished, tmp_path):
    jobs = finished.plan("results/bbc_topics/verdict.json")
    assert {r for r, _ in jobs} == {"prepare", "train", "fork", "collect", "risk", "decide"}
    assert all(n.startswith("bbc_topics") for _, n in jobs)
