"""The target of one run's adapter: what it would run, and which seeds have none."""

from project import copy_project


def test_an_adapter_needs_its_own_shard_alone(tmp_path):
    project = copy_project(tmp_path)
    name = "results/movie_polarity/adapters/seed_"
    assert project.plan(f"{name}000035", "--config", "seeds=64") == {
        ("prepare", "movie_polarity"),
        ("train", "movie_polarity_000032-000064"),
        ("export", "movie_polarity_000035"),
    }
    done = project.run("-n", f"{name}000064", "--config", "seeds=64", good=False)
    assert done.returncode != 0
    assert (
        "tasks.movie_polarity.runs: there are 64 runs, none is 64; raise runs" in done.stdout + done.stderr
    )


def test_a_task_without_adapters_has_no_such_target(tmp_path):
    project = copy_project(tmp_path)
    done = project.run("-n", "results/modular_addition/adapters/seed_000000", good=False)
    assert done.returncode != 0
    assert "MissingRuleException" in done.stdout + done.stderr
