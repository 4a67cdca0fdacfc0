"""Forecasts side by side: shares by information and regime, the shallow depth against c*, one task left out."""

import numpy as np
import pandas as pd
import pytest

from prehoc import tables
from prehoc.errors import InputError
from prehoc.figures import fig_complementarity
from prehoc.predictors.complementarity import complementarity_table
from prehoc.predictors.features import see, shared_design
from prehoc.predictors.mismatch import mismatch_table, shallow_depth
from prehoc.predictors.pooled import regime_of, run_weights, shares
from prehoc.predictors.transfer import transfer_table
from prehoc.synthetic.frames import simulate_task

HOW = {"resamples": 300, "seed": 1, "confidence": 0.95}


def held(task, errors, n=400, seed=0, sd=1.0):
    """Forecasts whose squared error is a known share of Var R, by (depth, information, predictor)."""
    rng = np.random.default_rng(seed)
    outcome = sd * rng.standard_normal(n)
    outcome *= sd / np.std(outcome, ddof=1)
    parts = []
    for (depth, information, predictor), share in errors.items():
        sign = np.where(np.arange(n) % 2 == 0, 1.0, -1.0)
        frame = {"task": task, "seed": np.arange(n), "fold": np.arange(n) % 5, "depth": depth}
        frame |= {"information": information, "predictor": predictor, "outcome": outcome}
        parts.append(pd.DataFrame(frame | {"forecast": outcome + sign * sd * np.sqrt(share)}))
    return tables.check("held_out", pd.concat(parts, ignore_index=True))


def walk(*by_depth, static=None, both=None):
    made = {(0, "none", "mean"): 1.0}
    if static is not None:
        made[0, "static", "best"] = static
    for depth, share in by_depth:
        made[depth, "trajectory", "best"] = share
        if both is not None:
            made[depth, "static+trajectory", "best"] = both
    return made


def cell(table, **where):
    for key, value in where.items():
        table = table[np.isclose(table[key], value) if isinstance(value, float) else table[key] == value]
    assert len(table) == 1
    return table.iloc[0]


def test_shares_gains_and_interpolation_are_those_of_the_errors():
    frame = pd.concat([
        held("seen", walk((4, 0.8), (16, 0.4), static=0.2, both=0.1)),
        held("unseen", walk((4, 0.6), (16, 0.2)), sd=30.0, seed=1),
        held("other", walk((4, 0.9)), seed=2),
    ])  # fmt: skip
    regime = {"seen": "static_sufficient", "unseen": "static_sufficient", "other": "noise_dominant"}
    made = complementarity_table(
        frame, regime, dict.fromkeys(regime, 64), [0.0625, 0.125, 0.25, 1.0], **HOW
    )
    task = cell(made, name="seen", depth=16.0, information="static+trajectory")
    assert task["share"] == pytest.approx(0.1)
    assert task["gain"] == pytest.approx(0.1)
    assert task["depth_share"] == 0.25
    assert task["low"] < 0.1 < task["high"]
    # nothing is known of `unseen` before it starts: static leaves what none leaves, both what one does
    assert cell(made, name="unseen", depth=0.0, information="static")["share"] == pytest.approx(1.0)
    assert cell(made, name="unseen", depth=4.0, information="static+trajectory")["share"] == pytest.approx(
        0.6
    )
    pooled = made[(made["level"] == "regime") & (made["name"] == "static_sufficient")]
    assert cell(pooled, depth_share=0.0625, information="trajectory")["share"] == pytest.approx(0.7)
    half = cell(pooled, depth_share=0.125, information="trajectory")  # 8 of 4..16: half of the way in log c
    assert half["share"] == pytest.approx((0.6 + 0.4) / 2)
    assert half["tasks"] == 2
    assert half["n"] == 800
    assert not (pooled["depth_share"] == 1.0).any()  # nothing was measured there
    assert len(made[(made["level"] == "regime") & (made["name"] == "noise_dominant")]) == 4


def test_a_regimes_interval_is_wider_than_its_tasks_where_they_differ():
    frame = pd.concat([held(f"t{i}", walk((4, 0.1 + 0.2 * i)), seed=i) for i in range(4)])
    regime = {f"t{i}": "dynamic_critical" for i in range(4)}
    made = complementarity_table(frame, regime, dict.fromkeys(regime, 64), [0.0625], **HOW)
    pooled = cell(made, level="regime", information="trajectory")
    assert pooled["share"] == pytest.approx(0.4)
    assert pooled["low"] < 0.3 < 0.5 < pooled["high"]


def test_one_task_alone_and_no_task_at_all():
    made = complementarity_table(held("a", walk((4, 0.5))), {}, {"a": 64}, [0.0625], **HOW)
    assert set(made["regime"]) == {"undecided"}
    assert complementarity_table(tables.empty("held_out"), {}, {}, [0.5], **HOW).empty
    none = mismatch_table(tables.empty("held_out"), tables.empty("own_depth"), {}, {}, shallow_steps=100,
                          shallow_share=0.1, **HOW)  # fmt: skip
    assert none.empty


def test_resampled_shares_take_var_r_of_the_resample():
    rng = np.random.default_rng(0)
    outcome, weights = rng.standard_normal(30), run_weights(30, 50, rng)
    value = shares((outcome - outcome.mean())[:, None] ** 2, outcome, weights)
    np.testing.assert_allclose(value[0], 29 / 30)
    row = np.repeat(np.arange(30), weights[7].astype(int))
    expected = np.mean((outcome[row] - outcome.mean()) ** 2) / np.var(outcome[row], ddof=1)
    assert value[7, 0] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("horizon", "depth"),
    [(1024, 64), (256, 64), (64, 4), (200, 16)],  # 100 steps, or a tenth where that is half of the horizon
)
def test_the_shallow_depth_lies_within_the_steps(horizon, depth):
    at = np.array([1, 4, 16, 64, 128, 512])
    assert shallow_depth(at[at <= horizon], horizon, 100, 0.1) == depth
    assert shallow_depth(np.array([200, 400]), 1024, 100, 0.1) == 200


def own(task, depths, price=0.1):
    rows = {"task": task, "fold": range(len(depths)), "price": price, "c_star": [float(d) for d in depths]}
    return tables.check("own_depth", pd.DataFrame({**rows, "depth": depths}))


def test_the_ratio_of_depths_is_paired_and_each_fold_has_its_own_depth():
    frame = held("deep", walk((16, 0.8), (64, 0.4), (128, 0.2)))
    frame = pd.concat([frame, held("flat", walk((16, 0.5), (64, 0.5)), seed=3)])
    chosen = pd.concat([own("deep", [128] * 5), own("flat", [16, 16, 0, 16, 16])])
    regime = {"deep": "dynamic_critical", "flat": "dynamic_critical"}
    made = mismatch_table(frame, chosen, regime, {"deep": 1024, "flat": 1024}, shallow_steps=20,
                          shallow_share=0.1, **HOW)  # fmt: skip
    deep = cell(made, name="deep", predictor="best")
    assert deep["ratio"] == pytest.approx(4.0)
    assert deep["shallow"] == 16
    assert deep["own"] == 128
    assert deep["low"] == pytest.approx(4.0)  # the errors are in proportion, run by run
    flat = cell(made, name="flat", predictor="best")
    assert flat["share_own"] == pytest.approx(0.5 * 0.8 + 1.0 * 0.2)  # one fold in five knows nothing
    assert flat["own"] == pytest.approx(16 * 0.8)
    pooled = cell(made, level="regime", predictor="best")
    assert pooled["ratio"] == pytest.approx((0.8 + 0.5) / (0.2 + 0.6))
    assert pooled["n"] == 800
    chosen.loc[chosen["task"] == "flat", "c_star"] = np.nan
    made = mismatch_table(frame, chosen, regime, {"deep": 1024, "flat": 1024}, shallow_steps=20,
                          shallow_share=0.1, **HOW)  # fmt: skip
    assert set(made["name"]) == {"deep", "dynamic_critical"}  # `flat` had too few runs for a c*


def test_a_regime_is_that_of_the_driving_curve():
    row = {"reading": "bayes", "iota": 0.1}
    rows = [
        row | {"task": "a", "proxy": "fork", "regime": "static_sufficient"},
        row | {"task": "a", "proxy": "residual", "regime": "dynamic_critical"},
        row | {"task": "b", "proxy": "residual", "regime": "noise_dominant"},
        row | {"task": "b", "proxy": "run_to_run", "reading": "run_to_run", "regime": "undecided"},
    ]
    frame = pd.DataFrame(rows)
    assert regime_of(frame, {"a": "residual"}) == {"a": "dynamic_critical", "b": "noise_dominant"}
    assert regime_of(frame, {"a": "auto"}) == {"a": "static_sufficient", "b": "noise_dominant"}


@pytest.fixture(scope="module")
def three():
    made = {}
    for i, sd in enumerate((0.5, 1.0, 2.0)):
        spec = {"process": "linear_gaussian", "rho": 0.75, "initial_sd": sd, "target_noise": 0.2}
        runs, _, draws, _ = simulate_task(f"t{i}", spec, 60, [1, 2, 4, 8, 16, 32], 64, [i])
        made[f"t{i}"] = see(runs, draws, metric="value", horizon=64)
    return made


def left_out(tasks, **more):
    given = {"names": ("linear", "ridge", "extrapolation"), "trees": (10, 0.2, 2), **HOW, **more}
    return transfer_table(tasks, {}, {}, [0.25, 1.0], **given)


def test_a_task_is_told_by_the_others_where_they_share_a_law(three):
    made, said = left_out(three)
    assert not said
    late = made[(made["depth_share"] == 1.0) & (made["predictor"] == "linear")]
    assert set(late["task"]) == set(three)
    assert (late["share"] < 0.5).all()  # R is the last metric and noise of sd .2
    assert (late["rank"] > 0.7).all()
    assert (late["tasks"] == 2).all()
    none = made[made["information"] == "none"]
    assert set(none["predictor"]) == {"mean"}
    assert none["rank"].isna().all()


def test_a_task_left_out_is_not_learned_from(three):
    """The same forecasts, whatever R of the task's own runs was."""
    made, _ = left_out(three)
    moved = dict(three)
    object.__setattr__(moved["t1"], "outcome", three["t1"].outcome + 100.0)
    try:
        again, _ = left_out(moved)
    finally:
        object.__setattr__(moved["t1"], "outcome", three["t1"].outcome - 100.0)
    where = {"task": "t1", "predictor": "linear", "information": "trajectory", "depth_share": 1.0}
    assert cell(again, **where)["rank"] == pytest.approx(cell(made, **where)["rank"])
    assert cell(again, **where)["risk"] == pytest.approx(100.0**2, rel=0.1)


def test_fewer_than_three_tasks_of_a_metric_give_no_rows_and_a_word(three):
    made, said = left_out({k: three[k] for k in ("t0", "t1")})
    assert made.empty
    assert len(said) == 1
    assert "value: 2 tasks" in said[0]


def test_columns_of_all_tasks_are_read_at_the_same_share(three):
    made = shared_design(three, {t: {"rows_train": 10.0 * i} for i, t in enumerate(three)}, "static", 0.0)
    assert made.names == ("rows_train",)
    made = shared_design(three, {}, "trajectory", 0.25)
    assert set(made.names) == {"value now", "value before", "value slope"}
    now = made.x[:, made.names.index("value now")]
    raw = np.concatenate([s.curves[:, 0, list(s.depth).index(16)] for s in three.values()])
    assert np.corrcoef(now, raw)[0, 1] == pytest.approx(1.0)
    assert shared_design(three, {}, "trajectory", 1 / 64).names == ("value now",)  # no quarter before that


def test_the_figure_has_a_panel_a_regime_and_its_csv(tmp_path):
    frame = pd.concat(
        [held("a", walk((4, 0.8), (16, 0.4), static=0.2, both=0.1)), held("b", walk((4, 3.0)))]
    )
    regime = {"a": "static_sufficient", "b": "noise_dominant"}
    table = complementarity_table(frame, regime, {"a": 64, "b": 64}, [0.0625, 0.25], **HOW)
    drawn = fig_complementarity.collect(table)
    assert list(dict.fromkeys(drawn["panel"])) == ["static_sufficient", "noise_dominant"]
    made = fig_complementarity.draw(table)
    assert [axis.get_title() for axis in made.axes] == ["Static-Sufficient (1)", "Noise-Dominant (1)"]
    for text in made.findobj(lambda artist: hasattr(artist, "get_fontsize") and artist.get_text()):
        assert text.get_fontsize() >= 6
    paths = fig_complementarity.save(tmp_path, table, column="icml_half", formats=["png"])
    assert [p.name for p in paths] == ["complementarity.png", "complementarity.csv"]
    assert len(pd.read_csv(paths[1])) == len(drawn)
    fig_complementarity.save(tmp_path, tables.empty("complementarity"), formats=["png"], name="none")
    with pytest.raises(InputError):
        fig_complementarity.draw(table, column="tabloid")
