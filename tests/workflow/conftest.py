"""The finished project that the workflow tests share."""

import pytest
from project import CI, copy_project


def pytest_collection_modifyitems(items):
    """With `-n 2 --dist loadgroup`: one process has the tests of the finished project, which is made once."""
    for item in items:
        group = "finished" if "finished" in item.fixturenames else item.path.name
        item.add_marker(pytest.mark.xdist_group(group))


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A project whose small workflow has run to the end, undisturbed."""
    project = copy_project(tmp_path_factory.mktemp("finished") / "project")
    project.run("all", *CI)
    return project
