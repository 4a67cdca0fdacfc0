"""The same workflow for every engine: nothing in the rules is one engine's, and profiles plan the same jobs."""

import re

import pytest
import yaml
from project import CI, ROOT, copy_project

from dry_run import paper, plan


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    made = copy_project(tmp_path_factory.mktemp("engines") / "project")
    (made.folder / "slurm").symlink_to("profiles/slurm")
    return made


@pytest.fixture(scope="module")
def here(project):
    return project.plan("all", *CI)


def test_the_roots_link_is_the_slurm_profile():
    assert (ROOT / "slurm").resolve() == (ROOT / "profiles/slurm").resolve()


def test_rules_name_no_engine():
    words = re.compile(r"\b(slurm\w*|sbatch|kube\w*|gres|qos)\b", re.I)
    for path in [ROOT / "Snakefile", *(ROOT / "workflow/rules").glob("*.smk")]:
        assert not words.search(path.read_text()), path
        assert not re.search(r"^\s*retries:", path.read_text(), re.M), path


def test_slurm_plans_the_same_jobs(project, here):
    assert project.plan("all", "--profile", "slurm", *CI) == here


def test_kubernetes_plans_the_same_jobs(project, here):
    """With what the plugins of Kubernetes and of its bucket alone know taken out: they are not installed."""
    profile = yaml.safe_load((ROOT / "profiles/kubernetes/config.yaml").read_text())
    assert profile.pop("executor") == "kubernetes"
    plain = {k: v for k, v in profile.items() if not k.startswith(("kubernetes-", "default-storage-"))}
    folder = project.folder / "profiles/pods"
    folder.mkdir()
    (folder / "config.yaml").write_text(yaml.safe_dump(plain))
    assert project.plan("all", "--profile", "profiles/pods", *CI) == here


@pytest.mark.parametrize("name", ["slurm", "kubernetes"])
def test_profiles_group_rules_that_there_are(name):
    text = "".join(path.read_text() for path in (ROOT / "workflow/rules").glob("*.smk"))
    profile = yaml.safe_load((ROOT / f"profiles/{name}/config.yaml").read_text())
    rules = set(re.findall(r"^rule (\w+):", text, re.M))
    assert set(profile["groups"]) <= rules
    assert profile["retries"] > 0
    default = yaml.safe_load((ROOT / "profiles/default/config.yaml").read_text())
    ours = {key: value for key, value in profile.items() if key in default}
    assert ours == {key: default[key] for key in ours}, (
        "profiles/default overrides what another profile says"
    )


def test_benchmark_of_the_dry_run_counts_jobs():
    """Two shards instead of one are one job more, and another task brings its own jobs alone."""
    one, seconds, peak = plan(paper(10, 3, 1, 10), None)
    assert plan(paper(10, 3, 1, 5), "slurm")[0] == one + 1
    # prepare, a shard, forks of two parts, collect, risk, decide, predictors, policies, gap
    assert plan(paper(10, 3, 2, 10), None)[0] == one + 10
    assert seconds > 0
    assert peak > 10
