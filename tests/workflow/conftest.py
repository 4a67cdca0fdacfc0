"""The finished project that the workflow tests share."""

import pytest
from project import CI, copy_project


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A project whose small workflow has run to the end, undisturbed."""
    project = copy_project(tmp_path_factory.mktemp("finished") / "project")
    project.run("all", *CI)
    return project
