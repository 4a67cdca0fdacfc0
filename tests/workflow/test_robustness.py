"""`snakemake robustness`: its own target alone asks for the cells."""

import pytest
from project import CI, copy_project

CELLS = {
    f"{task}--sgd--rho--{method}--minilm-l6"
    for task in ("movie_polarity", "bbc_topics")
    for method in ("head", "full")
}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return copy_project(tmp_path_factory.mktemp("robustness") / "project")


def test_the_target_plans_every_cell_and_nothing_else(project):
    jobs = project.plan("robustness", *CI)
    by_rule = {}
    for rule, name in jobs:
        by_rule.setdefault(rule, set()).add(name)
    for rule in ("prepare", "collect", "release", "risk", "decide"):
        assert by_rule[rule] == CELLS, rule
    assert {name.rpartition("_")[0] for name in by_rule["train"]} == CELLS
    assert set(by_rule) == {
        "prepare", "train", "collect", "release", "risk", "decide", "robustness_table", "figures",
    }  # fmt: skip
    assert by_rule["figures"] == {"robustness"}


@pytest.mark.parametrize("target", ["figures", "tables", "all"])
def test_no_other_target_has_a_cell(project, target):
    text = "\n".join(map(str, project.plan(target, *CI)))
    assert "tiny_head" in text
    assert "--" not in text
    assert "robustness" not in text


def test_without_a_crossing_there_is_nothing_to_do_and_other_targets_run(project):
    (project.folder / "none.yaml").write_text("robustness: null\n")
    done = project.run("robustness", "-n", *CI, "none.yaml", good=False)
    assert done.returncode != 0
    assert "no cells" in done.stdout + done.stderr
    assert "Exception" not in done.stdout + done.stderr
    assert project.plan("tables", *CI, "none.yaml")
