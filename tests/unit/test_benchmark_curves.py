"""prehoc's curves against the Trainer's over 32 seeds, on tiny models; and the tests that compare them."""

from __future__ import annotations

import json

import numpy as np
import pytest
import yaml
from scipy import stats

import curves
from fidelity import collect, compare

SEEDS = 32


@pytest.fixture
def tasks(tiny_encoder, texts_file, tmp_path):
    """LoRA on a tiny encoder, 16 steps, and a tiny transformer, 32."""
    lora = {
        "kind": "text_classification",
        "data": {"name": texts_file, "train": 96, "val": 60, "target": 32},
        "model": {"name": tiny_encoder, "max_length": 12},
        "method": {"kind": "lora", "rank": 2, "alpha": 4, "layers": "all", "pooling": "mean"},
        "optimiser": {"lr": 3e-2, "schedule": "rho", "rho": 0.5, "warmup": 2, "batch_size": 8},
        "outputs": None,
        "depths": [1, 4, 16],
        "horizon": 16,
    }
    tiny = {
        "kind": "modular_arithmetic",
        "arithmetic": {"modulus": 29, "train": 0.6849, "val": 200, "target": 60},
        "method": {"width": 64, "heads": 2},
        "optimiser": {"batch_size": 64, "lr": 3e-3, "schedule": "cosine", "warmup": 2},
        "outputs": None,
        "depths": [1, 8, 32],
        "horizon": 32,
    }
    path = tmp_path / "tasks.yaml"
    path.write_text(yaml.safe_dump({"tasks": {"lora_all": lora, "tiny_transformer": tiny}}))
    return path


def test_curves_are_the_trainers_and_a_wrong_rate_is_caught(tasks, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("trainers.cases.bf16_units", lambda device: [])  # bf16 is the program's to compare
    out = tmp_path / "curves.json"
    given = ["--config", str(tasks), "--out", str(out), "--permutations", "500"]
    curves.main([*given, "--seeds", str(SEEDS)])
    record = json.loads(out.read_text())
    print(capsys.readouterr().out)
    assert {(r["path"], r["metric"], r["depth"]) for r in record["rows"]} == {
        (path, metric, depth)
        for path, depths in (("lora_all", (1, 4, 16)), ("tiny_transformer", (1, 8, 32)))
        for metric in ("loss", "accuracy")
        for depth in depths
    }
    assert record["equal"]
    assert record["least_p"] >= 0.01
    for row in record["rows"]:
        assert min(row["p_all_means"], row["p_all_variances"]) > 0.01
        assert row["sd"] > 0
    assert record["caught"] == ["lora_all", "tiny_transformer"]
    for control in record["controls"]:
        assert control["p_holm"] < 0.01
        assert control["p_all_means"] < 0.01
    for suffix in ("png", "pdf", "csv", "md"):
        assert out.with_suffix(f".{suffix}").stat().st_size > 500


def test_batches_must_fill_an_epoch(tasks, tmp_path):
    from trainers.cases import stages

    stage = stages(tasks, ["lora_all"], tmp_path)["lora_all"]
    stage["data"]["train"] = 97
    with pytest.raises(ValueError, match="97 training rows"):
        collect.trainer_curves(stage, 1)


# -------------------------------------------------------------------------------- the tests
def sample(rng, n=SEEDS, shift=0.0, scale=1.0):
    """Curves [n, 3] of two metrics, correlated along depth."""
    base = rng.normal(size=(n, 1))
    return {m: shift + scale * (base + rng.normal(size=(n, 3))) for m in ("loss", "accuracy")}


def test_holm_is_the_textbook_s():
    np.testing.assert_allclose(compare.holm(np.array([0.01, 0.04, 0.03])), [0.03, 0.06, 0.06])
    np.testing.assert_allclose(compare.holm(np.array([0.9, 0.5])), [1.0, 1.0])


def test_false_alarms_are_as_rare_as_promised():
    rng = np.random.default_rng(3)
    alarms, all_means, all_variances = [], [], []
    for turn in range(150):
        a, b = sample(rng), sample(rng)
        made = compare.rows(a, b, [1, 2, 3])
        compare.adjust(made)
        alarms.append(compare.least(made) < 0.05)
        means, variances = compare.omnibus(a, b, 99, turn)
        all_means.append(means <= 0.05)
        all_variances.append(variances <= 0.05)
    for found in (alarms, all_means, all_variances):
        # At most 5 %; the 99.9 % point of 150 draws
        assert sum(found) <= stats.binom.ppf(0.999, 150, 0.05)
    assert sum(all_means) > 0


def test_a_shifted_mean_and_a_wider_spread_are_found():
    rng = np.random.default_rng(4)
    base = sample(rng)
    for other, name, which in (
        (sample(rng, shift=2.0), "p_mean", 0),
        (sample(rng, scale=3.0), "p_variance", 1),
    ):
        made = compare.rows(other, base, [1, 2, 3])
        compare.adjust(made)
        assert max(r[f"{name}_holm"] for r in made) < 0.01
        assert compare.omnibus(other, base, 199, 0)[which] < 0.01


def test_constant_metrics_have_a_p_value():
    same, other = np.full((8, 1), 0.5), np.full((8, 1), 0.6)
    [row] = compare.rows({"accuracy": same}, {"accuracy": same}, [1])
    assert (row["p_mean"], row["p_variance"]) == (1.0, 1.0)
    rounded = {"accuracy": same + np.linspace(0, 3e-8, 8)[:, None]}
    [row] = compare.rows(rounded, {"accuracy": same}, [1])
    assert (row["p_mean"], row["p_variance"]) == (1.0, 1.0)
    assert compare.omnibus(rounded, {"accuracy": same}, 20, 0) == (1.0, 1.0)
    [row] = compare.rows({"accuracy": same}, {"accuracy": other}, [1])
    assert (row["p_mean"], row["p_variance"]) == (0.0, 1.0)
    assert compare.omnibus({"a": same}, {"a": same}, 20, 0) == (1.0, 1.0)
    assert compare.omnibus({"a": same}, {"a": other}, 99, 0)[0] < 0.05
