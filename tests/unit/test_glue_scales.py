"""A scale of R from the config to the verdict: runs stay raw, the risk is on the scale, all else follows."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner

from prehoc import tables
from prehoc.cli import app
from prehoc.config import digest, evaluation_of, figures_config, metric_of, resolve, stage_config
from prehoc.figures import curves
from prehoc.risk import pipeline
from prehoc.risk.sources_frame import outcomes_of
from prehoc.tables.scales import SCALED

ROOT = Path(__file__).parents[2]
STAGES = ("prepare", "train", "fork", "risk", "decide")


@pytest.fixture(scope="module")
def configs():
    """Two configs that differ in the scale alone."""
    raw = yaml.safe_load((ROOT / "config.yaml").read_text())
    task = {
        "kind": "text_classification",
        "data": {"name": "packaged:tweets", "train": 100, "val": 50, "target": 60},
        "runs": 40,
        "depths": [1, 2, 4, 8, 16],
        "horizon": 32,
        "outcome": {"target_sample": 50},
        "forks": {"depths": [1, 8], "trunks": 10, "per_trunk": 3},
    }

    def make(scale):
        block = task | {"outcome": task["outcome"] | {"scale": scale}}
        return resolve(raw | {"tasks": {"t": block}, "only": ["t"]})

    return make("raw"), make("stabilised")


def simulated(kind="share"):
    """Runs, forks and no draws: 40 runs whose accuracy comes near to 1, where a share's variance shrinks."""
    rng = np.random.default_rng(0)
    final = np.clip(0.8 + 0.05 * rng.standard_normal(40), 0, 1)
    rows = []
    for seed, level in enumerate(final):
        for depth in (1, 2, 4, 8, 16, 32):
            near = np.clip(level + rng.normal(0, 0.2 / depth), 0, 1)
            rows.append(("t", seed, depth, "val", "accuracy", near, False))
        halves = rng.binomial(25, level, 2) / 25
        made = {"target": halves.mean(), "target_a": halves[0], "target_b": halves[1]}
        rows += [("t", seed, 32, split, "accuracy", v, False) for split, v in made.items()]
    columns = ["task", "seed", "depth", "split", "metric", "value", "failure"]
    forks = [
        ("t", s, d, k, "accuracy", rng.binomial(50, final[s]) / 50)
        for s in range(10)
        for d in (1, 8, 32)
        for k in range(3)
    ]
    named = ["task", "seed", "depth", "fork", "metric", "value"]
    return pd.DataFrame(rows, columns=columns), pd.DataFrame(forks, columns=named)


def scaled(frame, name):
    raw, scale = SCALED[name]
    rows = frame[frame["metric"] == raw]
    return rows.assign(metric=name, value=scale(rows["value"].to_numpy()))


def test_a_scale_is_part_of_the_risk_and_later_stages_alone(configs):
    raw, even = configs
    same = [digest(stage_config(raw, "t", s)) == digest(stage_config(even, "t", s)) for s in STAGES]
    assert same == [True, True, True, False, False]
    assert metric_of(stage_config(even, "t", "risk")) == "arcsine accuracy"
    assert figures_config(even)["metrics"] == {"t": "arcsine accuracy"}
    assert evaluation_of(stage_config(raw, "t", "decide"), {})["accuracy"]
    assert not evaluation_of(stage_config(even, "t", "decide"), {})[
        "accuracy"
    ]  # binomial on no other scale


def test_the_risk_of_a_scaled_metric_is_that_of_scaled_values():
    runs, forks = simulated()
    name = "arcsine accuracy"
    one = pipeline.variance_table(runs, forks, None, metric=name, horizons=32)
    two = pipeline.variance_table(scaled(runs, name), scaled(forks, name), None, metric=name, horizons=32)
    pd.testing.assert_frame_equal(one, two)
    assert set(one["metric"]) == {name}
    plain = pipeline.variance_table(runs, forks, None, metric="accuracy", horizons=32)
    assert one["var_r"].iloc[0] > 1.3 * plain["var_r"].iloc[0]
    final = runs[runs["split"] == "target"].sort_values("seed")["value"].to_numpy()
    np.testing.assert_allclose(outcomes_of(runs, name, 32), np.arcsin(np.sqrt(final)))


def test_commands_carry_the_scale_to_the_verdict(configs, tmp_path):
    runs, forks = simulated()
    draws = tables.empty("draws")
    static = pd.DataFrame([("t", "rows_target", 60.0), ("t", "classes", 3.0)],
                          columns=["task", "feature", "value"])  # fmt: skip
    for name, frame in (("runs", runs), ("forks", forks), ("draws", draws), ("static", static)):
        tables.write(name, frame, tmp_path / f"{name}.parquet")
    stage = {}
    for which in ("risk", "decide"):
        stage[which] = tmp_path / f"{which}.json"
        stage[which].write_text(json.dumps(stage_config(configs[1], "t", which)))
    given = [f"--{n}={tmp_path / f'{n}.parquet'}" for n in ("runs", "forks", "draws")]
    made = [f"--{n}={tmp_path / f'{n}.csv'}" for n in ("variance", "envelope")]
    run = CliRunner()
    done = run.invoke(app, ["risk", f"--config={stage['risk']}", *given, *made])
    assert done.exit_code == 0, done.output
    out = [
        f"--{n.replace('_', '-')}={tmp_path / f'{n}.csv'}"
        for n in ("c_star", "regimes", "intrinsic", "advice")
    ]
    out += [f"--verdict={tmp_path / 'verdict.json'}", f"--static={tmp_path / 'static.parquet'}"]
    done = run.invoke(app, ["decide", f"--config={stage['decide']}", *given, *made, *out])
    assert done.exit_code == 0, done.output
    parts = pd.read_csv(tmp_path / "intrinsic.csv").set_index(["part", "how"])["value"]
    # 50 draws a run: 1/(4 n) on the arcsine scale, by halves; 40 runs, so within a factor of 2.
    assert 0.5 < parts["target_sampling", "halves"] * 200 < 2
    assert ("target_sampling", "binomial") not in parts.index
    assert json.loads((tmp_path / "verdict.json").read_text())["task"] == "t"


def test_curves_are_drawn_on_the_scale_and_say_so():
    runs, _ = simulated()
    frame = curves.collect({"t": runs}, metrics={"t": "arcsine accuracy"})
    assert set(frame["panel"]) == {"arcsine accuracy"}
    plain = curves.collect({"t": runs}, metrics={"t": "accuracy"})
    assert frame["y"].iloc[-1] == pytest.approx(np.arcsin(np.sqrt(plain["y"].iloc[-1])), abs=0.03)
    made = curves.draw({"t": runs}, metrics={"t": "arcsine accuracy"})
    assert made.axes[0].get_ylabel() == "arcsine accuracy (rad)"
    assert set(SCALED) | {raw for raw, _ in SCALED.values()} <= set(curves.UNITS)
