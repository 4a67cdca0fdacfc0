"""The paper's configs: whole, pinned, planned, and the small one the same shape at a fiftieth."""

import re
from pathlib import Path

import pytest
from project import ROOT, copy_project

from prehoc.config import load
from prehoc.plan.cost import cost

FILES = ("paper", "paper-small")
SIZES = {"runs", "depths", "horizon", "forks"}  # and the rows of splits that are read


@pytest.fixture(scope="module")
def configs():
    return {name: load(ROOT / f"config/{name}.yaml", ROOT / "config.yaml") for name in FILES}


def hub_blocks(config):
    for name in config.enabled():
        task = config.tasks[name]
        yield from ((name, block) for block in (task.model, task.data) if block is not None)


@pytest.mark.parametrize("name", FILES)
def test_every_model_and_data_set_is_of_the_hub_and_pinned(configs, name):
    pinned = [(task, block) for task, block in hub_blocks(configs[name])]
    assert len(pinned) == 16  # of nine tasks; one is generated and from scratch
    for task, block in pinned:
        assert re.fullmatch(r"[\w.-]+/[\w.-]+", block.name), task
        assert re.fullmatch(r"[0-9a-f]{40}", block.revision), task


def test_the_paper_has_its_runs_and_depths(configs):
    for name in configs["paper"].enabled():
        task = configs["paper"].tasks[name]
        assert (task.runs, len(task.depths)) == (1500, 8)


def test_the_small_one_is_the_same_at_a_fiftieth(configs):
    big, small = configs["paper"], configs["paper-small"]
    assert big.enabled() == small.enabled()
    for name in big.enabled():
        one, two = (c.tasks[name].model_dump() for c in (big, small))
        for block in (one, two):
            for key in SIZES:
                del block[key]
            del block["resources"]["step_ms"]  # bears the readings, which are more of fewer steps
            if block["data"] is not None:
                for split in ("val", "target"):
                    del block["data"][split]
        assert one == two, name
    steps = {c: sum(t.train_steps + t.fork_steps for t in cost(configs[c], {}, 1).tasks) for c in FILES}
    assert 45 < steps["paper"] / steps["paper-small"] < 55
    hours = {c: cost(configs[c], {}, 1).hours("GPU") for c in FILES}
    assert 45 < hours["paper"] / hours["paper-small"] < 55


@pytest.mark.parametrize("name", FILES)
def test_the_times_of_steps_are_the_arithmetic_that_is_said(configs, name):
    """At 100 TFLOP/s: 4 FLOP a parameter and trained token, 2 for one that is read at a depth."""
    parameters = {"google-bert": 109.5e6, "Qwen": 494e6}
    for task in (configs[name].tasks[t] for t in configs[name].enabled()):
        if task.model is None:
            continue
        texts = 4 * task.optimiser.batch_size
        if task.kind == "text_classification":
            drawn = task.population.get("target_domain")  # the target has so many rows of each domain
            target = task.data.target * (len(drawn.choice) if drawn else 1)
            depths = len({*task.depths, task.horizon})
            texts += 2 * (depths * task.data.val + target) / task.horizon
        size = parameters[task.model.name.split("/")[0]]
        flop = size * texts * task.model.max_length
        assert task.resources.step_ms == pytest.approx(1000 * flop / 100e12, rel=0.05)


@pytest.mark.parametrize("name", FILES)
def test_plan_on_a_cluster(name, tmp_path):
    """A dry run without network: items are fetched once each, and every shard is one job."""
    project = copy_project(tmp_path / "project")
    Path(project.folder / "slurm").symlink_to("profiles/slurm")
    done = project.run("figures", "-n", "--profile", "slurm", "--configfile", f"config/{name}.yaml")
    counts = dict(re.findall(r"^(\w+) +(\d+)$", done.stdout + done.stderr, re.MULTILINE))
    assert counts["fetch_one"] == "10"  # three models, four parts of GLUE and three other data sets
    assert counts["decide"] == "9"
    assert int(counts["train"]) == (140 if name == "paper" else 9)
