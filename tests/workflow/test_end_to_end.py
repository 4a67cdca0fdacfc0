"""One tiny real run from models and data to figures, report and provenance, read as a user would."""

import hashlib
import json

import numpy as np
import pandas as pd
import pytest
from project import CI, ROOT, TABLES

from prehoc import tables

REAL = ("tiny_head", "tiny_noise", "tiny_modular")


@pytest.fixture(scope="module")
def results(finished):
    return finished.folder / "results"


def test_every_table_is_as_declared(results):
    for name in TABLES:
        frame = tables.read(name, results / "tables" / f"{name}.csv")
        assert set(frame["task"]) <= {*REAL, "tiny_synthetic"}
        assert len(frame)
    for task in (*REAL, "tiny_crossed"):
        for name in ("runs", "forks", "draws", "static", "outputs"):
            tables.read(name, results / task / f"{name}.parquet")


def test_forecasts_are_compared_by_task_and_regime(results):
    told = tables.read("predictors", results / "tables/predictors.csv")
    tasks = set(told["task"])
    assert tasks >= {"tiny_head", "tiny_noise", "tiny_synthetic"}  # R of tiny_modular may be constant
    assert "tiny_noise" in set(told.loc[told["information"] == "static", "task"])  # its noise is seen
    for name in ("complementarity", "mismatch"):
        frame = tables.read(name, results / f"tables/{name}.csv")
        assert set(frame.loc[frame["level"] == "task", "name"]) == tasks
        assert set(frame.loc[frame["level"] == "regime", "name"]) == set(frame["regime"])
    left_out = tables.read("transfer", results / "tables/transfer.csv")
    assert set(left_out["task"]) == (
        set() if "tiny_modular" not in tasks else set(REAL)
    )  # three of a metric


def test_runs_are_whole(results):
    runs = tables.read("runs", results / "tiny_head/runs.parquet")
    val = runs[(runs["split"] == "val") & (runs["metric"] == "accuracy")]
    grid = val.groupby("depth")["seed"].nunique()
    assert grid.to_dict() == dict.fromkeys([1, 2, 4, 8, 16, 32, 64], 64)
    target = runs[runs["split"] == "target"]
    assert set(target["depth"]) == {64}
    measured = {"accuracy", "f1", "matthews", "loss"}
    assert set(target["metric"]) == measured | {f"{name}_pool" for name in measured}
    assert not runs["failure"].any()


def test_signals_are_noted_at_the_start_and_at_every_depth(results):
    for task, runs in {"tiny_head": 64, "tiny_noise": 64, "tiny_modular": 32}.items():
        noted = tables.read("signals", results / task / "signals.parquet")
        assert noted.groupby("depth")["seed"].nunique().to_dict() == dict.fromkeys(
            [0, 1, 2, 4, 8, 16, 32, 64], runs
        )
        later = {"train_loss", "grad_norm", "distance", "weight_norm", "curvature"}
        later |= {f"projection_{i}" for i in range(16)}
        for depth, part in noted.groupby("depth"):
            assert set(part["signal"]) >= (later if depth else {"val_accuracy", "val_loss", "grad_norm"})
        assert noted["value"].notna().all()
        way = noted[noted["signal"] == "distance"].groupby("depth")["value"].mean()
        assert (way > 0).all()
        assert way[64] > way[1]
    assert tables.read("signals", results / "tiny_crossed/signals.parquet").empty
    static = tables.read("static", results / "tiny_head/static.parquet").set_index("feature")["value"]
    assert {"logme", "length_mean", "length_sd", "label_entropy", "trained_parameters"} <= set(static.index)


def test_outputs_are_recorded_and_become_a_risk(results):
    said = tables.read("outputs", results / "tiny_head/outputs.parquet")
    assert len(said) == 64 * 7 * 32
    assert (said["value"] <= 0).all()
    for task in ("tiny_noise", "tiny_synthetic", "tiny_crossed"):
        assert tables.read("outputs", results / task / "outputs.parquet").empty
    made = {name: tables.read(name, results / f"tables/{name}.csv") for name in TABLES}
    for name in ("variance", "envelope", "c_star"):
        rows = made[name][made[name]["information"] == "outputs"]
        assert set(rows["task"]) == {"tiny_head"}
        assert set(rows["proxy"]) == {"residual"}
    risk = made["variance"]
    risk = risk[risk["information"] == "outputs"].set_index("depth")
    assert list(risk.index) == [1, 2, 4, 8, 16, 32, 64]
    assert risk["risk"].between(0.3 * risk["var_r"], 1.6 * risk["var_r"]).all()  # 64 runs: chi-square
    gap = json.loads((results / "tiny_head/verdict.json").read_text())["gap_fork_residual"]
    assert {g["depth"]: g["outputs"] for g in gap} == pytest.approx(
        {d: risk.loc[d, "risk"] for d in (1, 4, 16, 64)}
    )


def test_a_real_model_learns(results):
    runs = tables.read("runs", results / "tiny_head/runs.parquet")
    loss = runs[(runs["split"] == "val") & (runs["metric"] == "loss")].groupby("depth")["value"].mean()
    assert loss[64] < loss[1] - 0.05


def test_draws_are_recorded_and_matter(results):
    draws = tables.read("draws", results / "tiny_noise/draws.parquet")
    assert draws["visible"].all()
    assert draws["value"].between(0, 0.45).all()
    assert draws["value"].nunique() == 64
    variance = tables.read("variance", results / "tiny_noise/variance.csv")
    assert {"static", "static+prefix"} <= set(variance["information"])


def test_a_draw_of_the_target_is_a_draw_with_replacement(results):
    """R of 50 drawn examples scatters about the pool's accuracy by the binomial variance."""
    runs = tables.read("runs", results / "tiny_head/runs.parquet")
    wide = runs[runs["split"] == "target"].pivot_table(index="seed", columns="metric", values="value")
    gap = wide["accuracy"] - wide["accuracy_pool"]
    expected = (wide["accuracy_pool"] * (1 - wide["accuracy_pool"]) / 50).mean()
    assert 0.5 < gap.var() / expected < 1.7  # chi-square with 63 degrees: 99.9 % within


def test_forks_meet_the_exact_truth(results):
    variance = tables.read("variance", results / "tables/variance.csv")
    fork = variance[(variance["task"] == "tiny_synthetic") & (variance["proxy"] == "fork")]
    fork = fork[fork["depth"] > 0].set_index("depth")
    truth = tables.read("truth", results / "tiny_synthetic/truth.parquet")
    exact = truth[truth["information"] == "state"].set_index("depth")["risk"]
    z = (fork["risk"] - exact.reindex(fork.index)) / fork["se"]
    assert len(z) >= 3
    assert np.abs(z).max() < 4


def test_verdicts_say_it_in_words_and_numbers(results):
    for task in (*REAL, "tiny_synthetic"):
        verdict = json.loads((results / task / "verdict.json").read_text())
        assert verdict["task"] == task
        assert verdict["in_words"]
        assert verdict["regime"] in (*tables.REGIMES, "undecided")


def test_sources_stand_beside_known_components(results):
    frame = tables.read("sources", results / "tables/sources.csv")
    assert set(frame["task"]) == {"tiny_crossed", "known_components"}
    real = frame[frame["task"] == "tiny_crossed"].set_index("source")
    assert list(real.index) == [
        "init", "order", "target", "init:order", "init:target", "order:target", "rest", "total",
    ]  # fmt: skip
    assert set(real["blocks"]) == {12}
    assert real["truth"].isna().all()
    assert real["share"].drop("total").sum() == pytest.approx(1.0)
    runs = tables.read("runs", results / "tiny_crossed/runs.parquet")
    pool = runs[(runs["split"] == "target") & (runs["metric"] == "accuracy_pool")]["value"].mean()
    # 50 drawn examples: the target's own share and its interactions are the binomial variance.
    binomial = pool * (1 - pool) / 50 / real.loc["total", "component"]
    effect = real.loc["target", ["total_effect_low", "total_effect_high"]]
    assert effect["total_effect_low"] < binomial < effect["total_effect_high"] + real.loc["rest", "share"]
    known = frame[frame["task"] == "known_components"].set_index("source")
    assert known["truth"].notna().all()
    held = known["truth"].between(known["component_low"], known["component_high"])
    assert held.mean() > 0.7


def test_summary_has_each_task_once_and_its_verdict(results):
    page = (results / "summary.md").read_text()
    for task in (*REAL, "tiny_synthetic"):
        verdict = json.loads((results / task / "verdict.json").read_text())
        assert page.count(f"\n| {task} | {verdict['runs']} |") == 1
        assert verdict["in_words"] in page


def test_figures_have_their_csv(results):
    drawn = (
        "fig2_decay",
        "fig3_phase",
        "c_star",
        "curves",
        "intrinsic",
        "sources",
        "complementarity",
        "frontier",
        "frontier_tasks",
    )
    for name in (*drawn, "gap"):
        for ending, magic in (("png", b"\x89PNG"), ("pdf", b"%PDF")):
            assert (results / "figures" / f"{name}.{ending}").read_bytes().startswith(magic)
        assert len(pd.read_csv(results / "figures" / f"{name}.csv"))


def test_provenance_says_what_made_it(results):
    note = json.loads((results / "provenance.json").read_text())
    assert note["seeds"]["root"] == 20260616
    assert note["seeds"]["runs"]["tiny_head"] == 64
    lock = (ROOT / "envs/requirements.txt").read_bytes()
    assert note["lock"]["sha256"] == hashlib.sha256(lock).hexdigest()
    assert {"prehoc", "torch", "snakemake"} <= set(note["versions"])
    assert len(note["sources"]["tiny_head"]["weights"]) == 16
    assert note["config"]["tasks"]["tiny_head"]["optimiser"]["lr"] == 2.0
    known = json.loads((results / "tiny_head/engine.json").read_text())
    assert note["training"]["tiny_head"] == {k: v for k, v in known.items() if k != "task"}
    assert sum(part["jobs"] for part in known["train"]) == 2  # shards of 32
    for part in known["train"] + known["fork"]:
        assert (part["precision"], part["threads"], part["bank_widths"]) == ("fp32", 1, [16])
    assert note["training"]["tiny_crossed"]["fork"] == []


def test_no_temporary_file_is_left(results):
    assert [p for p in results.rglob(".*") if p.is_file()] == []


def test_report(finished):
    finished.run("report", *CI)
    text = (finished.folder / "results/report.html").read_text()
    for word in ("fig2_decay", "variance.csv", "verdict.json"):
        assert word in text


def test_shards_of_another_size_give_the_same_runs(finished, tmp_path):
    """The workflow's own files, byte for byte, from shards of 7 instead of 32."""
    from project import copy_project

    other = copy_project(tmp_path / "project")
    changes = "tasks={tiny_head: {shard: 7, runs: 21}}"
    other.run("results/tiny_head/runs.parquet", *CI, "--config", changes)
    for name in ("runs", "outputs"):
        ours = tables.read(name, other.folder / f"results/tiny_head/{name}.parquet")
        theirs = tables.read(name, finished.folder / f"results/tiny_head/{name}.parquet")
        theirs = theirs[theirs["seed"] < 21].reset_index(drop=True)
        pd.testing.assert_frame_equal(ours, theirs, check_exact=True)
