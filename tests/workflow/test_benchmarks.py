"""The benchmarks against exact truth, run small, as a user would: targets, tables, pictures, re-runs."""

import pytest
from project import CI, copy_project

from prehoc import tables

TARGETS = ("benchmark_estimators", "benchmark_lower_bound", "benchmark_rates")
MADE = {
    "benchmark_estimators": (("estimators", "regret", "targets", "confusion"), "estimators"),
    "benchmark_lower_bound": (("lower_bound", "lower_bound_verdict"), "lower_bound"),
    "benchmark_rates": (("rates",), "rates"),
}


@pytest.fixture(scope="module")
def benched(tmp_path_factory):
    project = copy_project(tmp_path_factory.mktemp("bench") / "project")
    project.run(*TARGETS, *CI)
    return project


@pytest.mark.parametrize("target", TARGETS)
def test_tables_and_pictures_are_made(benched, target):
    names, figure = MADE[target]
    results = benched.folder / "results"
    for name in names:
        assert len(tables.read(name, results / "tables" / f"{name}.csv"))
    for ending, magic in (("png", b"\x89PNG"), ("pdf", b"%PDF")):
        assert (results / "figures" / f"{figure}.{ending}").read_bytes().startswith(magic)
    assert (results / "figures" / f"{figure}.csv").stat().st_size > 100


def test_estimators_are_told_by_instance_and_count(benched):
    made = tables.read("estimators", benched.folder / "results/tables/estimators.csv")
    assert set(made["instance"]) == {"dynamic_a050", "static_visible", "control_linear"}
    assert set(made["runs"]) == {50, 120}
    assert set(made["replicates"]) == {6}
    assert set(made.loc[made["instance"] == "control_linear", "quantity"]) == {"L_int", "log_c_star", "U"}
    by = made.drop_duplicates("instance").set_index("instance")["proxy"]
    assert by.to_dict() == {
        "dynamic_a050": "residual", "static_visible": "fork", "control_linear": "residual",
    }  # fmt: skip


def test_what_runs_again(benched):
    assert benched.plan(*TARGETS, *CI) == set()
    again = benched.plan(*TARGETS, *CI, "--config", "benchmark={estimators: {price: 0.5}}")
    assert {rule for rule, _ in again} == {
        "benchmark_trials", "gather", "reduce_trials", "figures",
    }  # fmt: skip
    assert ("figures", "lower_bound") not in again
    style = benched.plan(*TARGETS, *CI, "--config", "figures={column: neurips}")
    assert {rule for rule, _ in style} == {"figures"}
    one = benched.plan(*TARGETS, *CI, "--config", "benchmark={instances: [dynamic_a050]}")
    assert not {rule for rule, _ in one} & {"benchmark_trials", "lower_bound", "rates"}


def test_benchmarks_are_no_part_of_all(benched):
    plan = benched.plan("all", *CI)
    assert not {rule for rule, _ in plan} & {"benchmark_trials", "lower_bound", "rates"}
