"""`prehoc claims`: from the tables to the claims table, the page, and its place in another page."""

import json
import re
from pathlib import Path

import claims_frames as made
import numpy as np
import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner

from prehoc import tables
from prehoc.claims import exact, imported, page
from prehoc.cli import app
from prehoc.config import claims_config, resolve, stage_config
from prehoc.config.loading import merge
from prehoc.errors import InputError
from prehoc.preflight import preflight
from prehoc.risk.regimes import Thresholds
from prehoc.tables.decisions import CLAIMS, SCOPES

ROOT = Path(__file__).parents[2]
RAW = yaml.safe_load((ROOT / "config.yaml").read_text())
BASE = ("variance", "envelope", "c_star", "regimes")


def row(claim, scope, criterion, verdict, value=0.7, threshold=0.5):
    return (claim, scope, criterion, threshold, value, value - 0.1, value + 0.1, verdict, 9, "a | b")


def claims(*rows):
    return made.frame("claims", [*rows])


@pytest.fixture
def given(tmp_path):
    """A folder of the tables of made tasks, and the stage's config for them: no exact instances but two."""
    tasks = made.names(2)
    for name in BASE:
        tables.write(name, getattr(made, name)(tasks), tmp_path / f"{name}.csv")
    tables.write("mismatch", made.mismatch(tasks), tmp_path / "mismatch.csv")
    small = {"synthetic_runs": 60, "synthetic_sets": 1, "resamples": 200}
    stage = claims_config(resolve(merge(RAW, {"claims": small})))
    stage["instances"] = ["dynamic_a050", "control_linear"]
    stage["tasks"] = {t: {"scope": "packaged", "instance": None, "driver": "auto"} for t in tasks}
    (tmp_path / "stage.json").write_text(json.dumps(stage))
    return tmp_path


def run(*args):
    return CliRunner().invoke(app, ["claims", *map(str, args)])


def test_the_command_judges_all_claims_and_only_what_is_there(given):
    files = [given / f"{n}.csv" for n in (*BASE, "mismatch")]
    table, out = given / "claims.csv", given / "claims.md"
    done = run("--config", given / "stage.json", "--table", table, "--out", out, *files)
    assert done.exit_code == 0, done.output
    found = tables.read("claims", table)
    assert set(zip(found["claim"], found["scope"], strict=True)) >= {(c, "packaged") for c in CLAIMS}
    said = found.set_index(["claim", "scope", "criterion"])["verdict"]
    assert said["E4", "packaged", "same_predictor"] == "supported"
    assert said["E4", "packaged", "better_predictor"] == "undecided"
    assert said["E7", "synthetic", "bound_holds"] == "supported"
    text = out.read_text()
    assert all(f"| {claim}: " in text for claim in CLAIMS)
    assert "On imported logs not measured: no task of this scope." in text
    before = table.read_bytes()
    assert run("--config", given / "stage.json", "--table", table, *files).exit_code == 0
    assert table.read_bytes() == before


def test_a_wrong_table_and_a_missing_option_are_named(given):
    done = run("--config", given / "stage.json", "--table", given / "c.csv", given / "stage.json")
    assert isinstance(done.exception, InputError)
    assert "stage.json" in str(done.exception)
    assert "--table" in str(run().exception)


def test_the_page_says_each_number_in_a_sentence_and_in_the_table():
    table = claims(
        row("E1", "packaged", "power_law:bayes", "supported"),
        row("E1", "packaged", "slope:run_to_run", "contradicted", 0.2),
        row("E3", "packaged", "depth_ratio:bayes", "undecided", 2.1, 2.0),
        row("E6", "packaged", "c_star_beats:full", "supported", 1.4, 1.0),
        row("E7", "synthetic", "bound_holds", "supported", 0.0, 0.0),
    )
    text = page.text(table)
    assert "mixed: 1 for, 1 against, 0 open" in text
    assert "Against it, 20 % (10 to 30 %) of tasks whose alpha is identified, reading (a)" in text
    assert "For it, 70 % (60 to 80 %) of tasks with a power law" in text
    assert "No interval lies on one side" in text
    assert "total risk over that of c*, of the fixed policy `full`: 1.4 (1.3 to 1.5)" in text
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert "| E7 | predictors below the exact risk | at most 0 | 0 (-0 to 0), 9 tasks: supported |" in text
    assert {line.count(" | ") for line in lines[:9]} == {3}
    assert {line.count("|") for line in lines[9:]} == {7}


@pytest.mark.parametrize(
    ("ends", "shown"),
    [
        ((0.5, 0.5), "50 %"),
        ((np.nan, np.nan), "50 %"),
        ((0.1, np.nan), "50 %"),
        ((0.4, 0.5), "50 % (40 to 50 %)"),
    ],
)
def test_a_lone_number_is_shown_without_interval(ends, shown):
    one = claims(("E1", "packaged", "slope:bayes", 0.5, 0.5, *ends, "undecided", 9, ""))
    assert f"| {shown}, 9 tasks: undecided |" in page.text(one)


@pytest.mark.parametrize(
    ("said", "whole"),
    [
        (("supported", "supported"), "supported"),
        (("contradicted", "contradicted"), "contradicted"),
        (("supported", "contradicted"), "mixed"),
        (("supported", "undecided"), "supported in part"),
        (("contradicted", "undecided"), "contradicted in part"),
        (("undecided", "undecided"), "undecided"),
    ],
)
def test_a_claim_is_as_its_criteria(said, whole):
    assert page.whole(pd.DataFrame({"verdict": said})) == whole


def test_every_criterion_has_words():
    from prehoc.claims.judge import claims_table
    from prehoc.claims.words import CRITERION, words

    tasks = made.names(2)
    trials = pd.DataFrame([dict.fromkeys(exact.TRIAL, 1.0)] * 2).assign(power_law=[True, False])
    trials = trials.assign(power_wins=True, identified=True)
    both = [made.of(tasks, truth=tasks), made.of(tasks, scope="synthetic", trials=trials)]
    rules = resolve(RAW).claims.model_dump(mode="json")
    found = set(claims_table(both, rules)["criterion"])
    assert {c.partition(":")[0] for c in found} == set(CRITERION)
    assert len({words(c) for c in found}) == len(found)


def test_putting_claims_on_a_page_replaces_what_stands_between_the_markers(tmp_path):
    table = tmp_path / "claims.csv"
    tables.write("claims", claims(row("E2", "packaged", "told:bayes", "supported")), table)
    target = tmp_path / "results.md"
    target.write_text(f"# Before\n\n{page.BEGIN}\nstood before\n{page.END}\n\nAfter\n")
    assert run("--table", table, "--page", target).exit_code == 0
    once = target.read_text()
    assert once.startswith("# Before\n")
    assert once.endswith("\nAfter\n")
    assert "stood before" not in once
    assert "70 % (60 to 80 %)" in once
    assert run("--table", table, "--page", target).exit_code == 0
    assert target.read_text() == once
    for broken in ("no markers", f"{page.END}\n{page.BEGIN}", f"{page.BEGIN}\n{page.BEGIN}\n{page.END}"):
        target.write_text(broken)
        done = run("--table", table, "--page", target)
        assert "results.md" in str(done.exception)
        assert target.read_text() == broken


def test_the_results_page_has_the_markers_with_the_claims_between_them():
    text = (ROOT / "docs/results.md").read_text()
    between = re.search(re.escape(page.BEGIN) + "(.*)" + re.escape(page.END), text, re.DOTALL)
    assert between is not None
    assert page.put(text, between[1], "docs/results.md") == text
    assert all(f"**{claim}: " in between[1] for claim in CLAIMS)


def test_every_criterion_stands_in_the_docs():
    from prehoc.claims.words import CRITERION

    text = (ROOT / "docs/claims.md").read_text()
    assert [c for c in CRITERION if c != "all" and not re.search(f"`{c}[`:]", text)] == []


SETTING = exact.Setting(200, 1, 0.2, 0.95, 60, Thresholds())


def test_exact_instances_have_the_tables_of_tasks_and_their_known_truth():
    names = ["dynamic_a050", "noise_a050", "static_a150"]
    frames = exact.tables_of(names, SETTING)
    for name in BASE:
        assert len(tables.check(name, frames[name])), name
    bayes = frames["regimes"][frames["regimes"]["reading"] == "bayes"].set_index("task")["regime"]
    assert list(bayes[names]) == ["dynamic_critical", "noise_dominant", "static_sufficient"]
    trials = exact.trials([*names, "control_linear"], 3, SETTING)
    assert list(trials.columns) == list(exact.TRIAL)
    known = trials[trials["power_law"]].groupby("instance")["alpha"].first()
    assert known["dynamic_a050"] == pytest.approx(0.5, abs=0.02)
    assert trials[~trials["power_law"]]["alpha"].isna().all()
    assert (trials["regret"] >= 0).all()
    assert trials.loc[trials["power_law"], "regret"].mean() < 0.01
    bound = exact.bound_of(names, SETTING)
    assert bound["z"].min() > -4
    assert exact.bound_of([], SETTING).empty
    assert exact.trials([], 3, SETTING).empty
    assert exact.tables_of([], SETTING)["variance"].empty


def own_runs(path, tasks=("a", "b")):
    """40 runs a task of a walk that ends at its own R; written as a runs table."""
    rng = np.random.default_rng(0)
    rows = []
    for task in tasks:
        steps = rng.normal(size=(40, 8)) / np.sqrt(np.arange(1, 9))
        value = np.cumsum(steps, axis=1)
        rows += [(task, s, 2**k, value[s, k]) for s in range(40) for k in range(8)]
    pd.DataFrame(rows, columns=["task", "seed", "step", "metric"]).to_csv(path, index=False)


def test_imported_runs_and_a_folder_of_fits_give_the_same_tables(tmp_path):
    from prehoc.fits.fit import fit

    path = tmp_path / "runs.csv"
    own_runs(path)
    how = {"price": 0.2, "confidence": 0.95, "information": "last", "seed": 0}
    one, refused = imported.tables_of([{"path": str(path), "name": None, "horizon": None}], **how)
    assert refused == []
    made_before = fit(path, prices=[0.2])
    for name in BASE:
        tables.write(name, getattr(made_before, name), tmp_path / "fitted" / f"{name}.csv")
    places = [{"path": str(tmp_path / "fitted"), "name": "lab", "horizon": None}]
    two, _ = imported.tables_of(places, **how)
    assert set(two["regimes"]["task"]) == {"lab/a", "lab/b"}
    for name in BASE:
        plain = two[name].assign(task=two[name]["task"].str.removeprefix("lab/"))
        pd.testing.assert_frame_equal(plain, one[name], check_dtype=False, rtol=1e-6)
    with pytest.raises(InputError, match=r"task 'a'.*`name`"):
        imported.tables_of([{"path": str(path), "name": None, "horizon": None}] * 2, **how)
    none, _ = imported.tables_of([], **how)
    assert all(none[name].empty for name in BASE)


def test_the_stage_has_what_the_claims_depend_on_and_no_other_stage_does():
    plain = resolve(RAW)
    other = resolve(merge(RAW, {"claims": {"price": 0.5, "E3": {"ratio": 4.0}}}))
    assert claims_config(plain) != claims_config(other)
    assert claims_config(plain) == claims_config(resolve(merge(RAW, {"figures": {"column": "neurips"}})))
    for stage in ("prepare", "train", "risk", "decide"):
        assert stage_config(plain, "bbc_topics", stage) == stage_config(other, "bbc_topics", stage)
    tasks = claims_config(plain)["tasks"]
    assert {task["scope"] for task in tasks.values()} == set(SCOPES) - {"imported"}
    assert tasks["synthetic_noise"]["instance"] == "synthetic_noise"
    assert tasks["noise_hidden"]["driver"] == "residual"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"E1": {"share": 1.5}}, "claims.E1.share"),
        ({"E9": {}}, "claims.E9"),
        ({"imported": [{"path": "a"}, {"path": "a"}]}, "claims"),
        ({"least_per_regime": 1}, "claims.least_per_regime"),
        ({"E4": {"predictor": "rigde"}}, "claims.E4.predictor"),
        ({"E6": {"policy": "cstar"}}, "claims.E6.policy.*'c_star'"),
        ({"E6": {"fixed": ["deep", "sha"]}}, "claims.E6.fixed.1"),
    ],
)
def test_faults_in_the_block_are_named(change, named):
    with pytest.raises(InputError, match=named):
        resolve(merge(RAW, {"claims": change}))


def test_imported_runs_that_are_not_there_stop_before_any_job(tmp_path):
    def tried(path):
        tasks = {n: {"enabled": n == "synthetic_static"} for n in RAW["tasks"]}
        preflight(resolve(merge(RAW, {"tasks": tasks, "claims": {"imported": [{"path": str(path)}]}})))

    with pytest.raises(
        InputError, match=r"claims\.imported\.0\.path: no file .*none\.csv; .*prehoc import"
    ):
        tried(tmp_path / "none.csv")
    with pytest.raises(InputError, match=r"claims\.imported\.0\.path: the folder .* no variance\.csv"):
        tried(tmp_path)
    for name in BASE:
        (tmp_path / f"{name}.csv").touch()
    tried(tmp_path)
    tried(tmp_path / "variance.csv")
