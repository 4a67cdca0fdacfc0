"""The same workflow for every engine: nothing in the rules is one engine's, and profiles plan the same jobs."""

import importlib.util
import os
import re
import subprocess

import pytest
import yaml
from bucket_server import empty_bucket
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


@pytest.fixture
def bucket(monkeypatch):
    """An empty bucket; what was asked of it.  Skips where the plugins are missing, unless they are required."""
    plugins = ("snakemake_executor_plugin_kubernetes", "snakemake_storage_plugin_s3")
    missing = [name for name in plugins if importlib.util.find_spec(name) is None]
    if missing and os.environ.get("PREHOC_KUBERNETES") != "required":
        pytest.skip(f"not installed: {', '.join(missing)}; `make kubernetes` installs them")
    assert not missing
    with empty_bucket() as (environment, asked):
        for key, value in environment.items():
            monkeypatch.setenv(key, value)
        yield asked


def test_the_shipped_kubernetes_profile_plans_the_same_jobs(project, here, bucket):
    """Unchanged, by the real plugins: the bucket is asked for every result; no cluster is."""
    assert project.plan("all", "--profile", "profiles/kubernetes", *CI) == here
    assert ("HEAD", "my-bucket") in bucket
    assert {path.split("/results/")[0] for _, path in bucket} == {"my-bucket", "my-bucket/prehoc"}


def test_the_plugins_read_the_kubernetes_profile(project, bucket):
    """A dry run refuses values that the plugins do not take; so that it takes the profile's says something."""
    call = ("-n", "all", "--profile", "profiles/kubernetes", *CI)
    said = project.run(*call, "--kubernetes-persistent-volumes", "my-claim", good=False)
    assert said.returncode != 0
    assert "Invalid persistent volume spec" in said.stderr
    said = project.run(*call, "--default-storage-prefix", "gs://my-bucket", good=False)
    assert said.returncode != 0
    assert "must start with s3" in said.stdout + said.stderr


def test_kubernetes_plans_the_same_jobs_without_its_plugins(project, here):
    """With what the plugins of Kubernetes and of its bucket alone know taken out."""
    profile = yaml.safe_load((ROOT / "profiles/kubernetes/config.yaml").read_text())
    assert profile.pop("executor") == "kubernetes"
    plain = {k: v for k, v in profile.items() if not k.startswith(("kubernetes-", "default-storage-"))}
    folder = project.folder / "profiles/pods"
    folder.mkdir()
    (folder / "config.yaml").write_text(yaml.safe_dump(plain))
    assert project.plan("all", "--profile", "profiles/pods", *CI) == here


def test_another_folder_for_results_plans_the_same_jobs(project, here, tmp_path):
    """As docs/cluster.md says it: two links in the folder are all it needs."""
    for part in ("config.yaml", "envs"):
        (tmp_path / part).symlink_to(project.folder / part)
    assert project.plan("all", "--directory", str(tmp_path), *CI) == here
    assert list((tmp_path / "results/config").glob("all-*.json"))


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


@pytest.mark.parametrize("script", ["up", "down"])
def test_scripts_of_the_slurm_for_tests_say_how_they_are_called(script):
    path = ROOT / "tests/integration/slurm" / script
    for flag in ("--help", "-h"):
        said = subprocess.run([path, flag], capture_output=True, text=True)
        assert (said.returncode, said.stderr) == (0, "")
        assert said.stdout.startswith(f"usage: {script} STATE [--")
    for wrong in ([], ["--hepl"]):
        said = subprocess.run([path, *wrong], capture_output=True, text=True)
        assert (said.returncode, said.stdout) == (2, "")
