"""One SLURM for all tests, a project that is ready to train, and the same one run undisturbed."""

import os

import pytest
from on_slurm import TINY, Cluster, tiny_project, twin


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    made = Cluster(tmp_path_factory.mktemp("cluster") / "state")
    os.environ.pop("SLURM_CONF", None)  # else tests would speak to the cluster that this names
    try:
        made.up()
        yield made
    finally:
        made.down()


@pytest.fixture(scope="session")
def prepared(tmp_path_factory):
    """A project whose data and model are read, and no run is trained."""
    project = tiny_project(tmp_path_factory.mktemp("prepared") / "project")
    project.run("results/tiny/static.parquet", *TINY)
    return project


@pytest.fixture(scope="session")
def alone(prepared, tmp_path_factory):
    """The same, on its way to its tables on this machine alone; tests of SLURM wait much, and it fills that."""
    project = twin(prepared, tmp_path_factory.mktemp("undisturbed") / "project")
    process = project.start("tables", *TINY, "--cores", "1", "--quiet", "all")
    yield project, process
    process.kill()


@pytest.fixture(scope="session")
def undisturbed(alone):
    """The tables of a run that nothing disturbed."""
    project, process = alone
    assert process.wait() == 0, process.stderr.read()[-3000:]
    return project


@pytest.fixture
def work(cluster, undisturbed, tmp_path):
    """A project in which the first shard's runs, and what follows from them, are still to come."""
    return twin(undisturbed, tmp_path / "project").without("000000")
