"""A fault in the config stops before any job, with one line that names the key and the remedy."""

import json
import shutil

import pytest
from project import copy_project


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    made = copy_project(tmp_path_factory.mktemp("errors") / "project")
    folder = made.folder
    (folder / "empty.csv").write_text("text,label\n")
    (folder / "three.csv").write_text("text,label\n" + "".join(f"w{i},{i % 3}\n" for i in range(60)))
    (folder / "no_weights").mkdir()
    (folder / "no_weights/config.json").write_text(json.dumps({"model_type": "bert"}))
    return made


HEAD = "kind: text_classification, method: {kind: head, pooling: mean}"


@pytest.mark.parametrize(
    ("change", "key", "remedy"),
    [
        ("tasks={bbc_topics: {optimizer: {lr: 1}}}", "tasks.bbc_topics.optimizer", "unknown key"),
        ("colour=red", "colour", "unknown key"),
        ("tasks={a/b: {kind: synthetic}}", "'a/b'", "use letters"),
        ("seeds=3", "seeds", "greater than or equal to 5"),
        ("figures={format: []}", "figures.format", "at least 1"),
        ("tasks={bbc_topics: {data: null}}", "tasks.bbc_topics", "needs the block 'data'"),
        ("tasks={tables: {kind: synthetic}}", "'tables'", "none of"),
        ("tasks={bbc_topics: {depths: [1, 999]}}", "tasks.bbc_topics", "beyond the horizon"),
        ("tasks={bbc_topics: {data: {label_noise: -0.1}}}", "label_noise", "greater than or equal"),
        ("tasks={noise_hidden: {population: {label_noise: {uniform: [-0.2, 0.1], visible: false}}}}",
         "population.label_noise", "[0, 1)"),
        ("tasks={bbc_topics: {model: {name: ./no_weights}}}", "model.name", "safetensors"),
        ("tasks={bbc_topics: {model: {name: ./nowhere}}}", "model.name", "give a folder"),
        ("tasks={bbc_topics: {model: {name: 'packaged:gpt9'}}}", "model.name", "choose from"),
        (f"tasks={{mine: {{{HEAD}, data: {{name: empty.csv}}}}}}", "tasks.mine.data.name", "no rows"),
        (f"tasks={{mine: {{{HEAD}, data: {{name: absent.csv}}}}}}", "tasks.mine.data", "absent.csv"),
        (f"tasks={{mine: {{{HEAD}, "
         "data: {name: three.csv, classes: 2, train: 20, val: 10, target: 10}}}",
         "tasks.mine.data.classes", "raise classes"),
        (f"tasks={{mine: {{{HEAD}, data: {{name: three.csv, text: body}}}}}}", "data.text", "it has text, label"),
        (f"tasks={{mine: {{{HEAD}, data: {{name: three.csv}}}}}}", "tasks.mine.data.train", "lower"),
        ("tasks={synthetic_noise: {synthetic: {process: magic}}}", "tasks.synthetic_noise.synthetic", "magic"),
        ("tasks={movie_polarity: {forks: {trunks: 5000}}}", "tasks.movie_polarity", "exceeds runs"),
        ("tasks={bbc_topics: {outputs: {components: 65}}}", "tasks.bbc_topics.outputs", "lower components"),
        ("tasks={synthetic_noise: {outputs: {examples: 9, components: 2}}}", "tasks.synthetic_noise",
         "set outputs: null"),
        ("risk={information: [outcomes]}", "risk.information", "'outputs'"),
        ("risk={proxies: [run_to_run]}", "risk", "add residual"),
        ("risk={verdict_information: outputs, information: [last]}", "risk", "add it there"),
        ("decide={prices: []}", "decide", "at least one price"),
        ("benchmark={instances: []}", "benchmark.instances", "at least 1"),
        ("seeds=0", "seeds", "greater than or equal"),
        ("only=[nothing]", "only", "tasks are"),
        ("benchmark={instances: [nothing]}", "benchmark.instances", "one of dynamic_a020"),
        ("benchmark={lower_bound: {predictors: [oracle]}}", "benchmark.lower_bound.predictors", "'ols'"),
        ("benchmark={rates: {rho: [0.5]}}", "benchmark.rates.rho", "greater than 0.5"),
    ],
)  # fmt: skip
def test_stops_before_any_job_with_one_line(project, change, key, remedy):
    done = project.run("figures", "--config", change, good=False)
    assert done.returncode != 0
    lines = [line for line in (done.stdout + done.stderr).splitlines() if "prehoc: " in line]
    assert len(lines) == 1, done.stderr
    assert key in lines[0]
    assert remedy in lines[0]
    assert "Traceback" not in done.stderr
    assert not (project.folder / "results/logs").exists()


def test_shipped_configs_load(project):
    for config in sorted((project.folder / "config").glob("*.yaml")):
        jobs = project.plan("tables", "--configfile", f"config/{config.name}")
        assert jobs, config
    shutil.rmtree(project.folder / "results", ignore_errors=True)
