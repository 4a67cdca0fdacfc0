"""The split of L_int: unbiased parts, intervals that cover, exact truth, and the words."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from prehoc import tables
from prehoc.config import evaluation_of, resolve, stage_config
from prehoc.errors import InputError
from prehoc.figures import intrinsic as figure
from prehoc.risk.intrinsic import (
    Evaluation,
    Part,
    between,
    binomial,
    half_weight,
    halves,
    minus,
)
from prehoc.risk.limits import in_the_sum, intrinsic_table, intrinsic_words
from prehoc.risk.pipeline import envelope_table, variance_table
from prehoc.synthetic.frames import simulate_task
from prehoc.tasks.population import target_outcome


def read_runs(runs, n, rng, rate=0.0, classes=2, drawn=True, spread=0.5, pool=400):
    """R, A, B [runs] of right/wrong on n of `pool` examples: each its own difficulty, each run its skill."""
    hard = rng.normal(size=pool)
    config = {
        "seed": int(rng.integers(1 << 30)), "task": "t",
        "crossed": [],
        "outcome": {"target_sample": n if drawn else None, "target_label_noise": rate},
    }  # fmt: skip
    rows = []
    for seed in range(runs):
        chance = 1 / (1 + np.exp(-(0.8 + spread * rng.normal() + 2 * hard)))
        correct = (rng.random(pool) < chance).astype(float)
        if not drawn:
            correct = correct[:n]
        out = target_outcome(config, seed, correct, correct, None, None, classes)
        rows.append([out[s]["accuracy"] for s in ("target", "target_a", "target_b")])
    return np.array(rows).T


def test_halves_make_up_the_outcome():
    for n in (400, 99, 2):
        r, a, b = read_runs(40, n, np.random.default_rng(n))
        share = np.ceil(n / 2) / n
        assert share * a + (1 - share) * b == pytest.approx(r, abs=1e-12)
        assert half_weight(r, a, b) == pytest.approx(share, abs=1e-9)
    assert half_weight(r, r, r) == 0.5


@pytest.mark.parametrize("w", [0.5, 0.3])
def test_halves_are_unbiased_and_cover(w):
    """R = theta + noise of variance .04, halves' noises .04/w and .04/(1 - w), independent."""
    rng, count, n = np.random.default_rng(0), 500, 100
    owns, shares, covered = [], [], []
    for _ in range(count):
        theta = rng.normal(size=n)
        a = theta + rng.normal(size=n) * 0.2 / np.sqrt(w)
        b = theta + rng.normal(size=n) * 0.2 / np.sqrt(1 - w) + 3.0
        own, shared = halves(w * a + (1 - w) * b, a, b)
        owns.append(own.value)
        shares.append(shared.value)
        covered.append([own.low <= 0.04 <= own.high, shared.low <= 1.0 <= shared.high])
    assert np.mean(owns) == pytest.approx(0.04, abs=4 * np.std(owns) / np.sqrt(count))
    assert np.mean(shares) == pytest.approx(1.0, abs=4 * np.std(shares) / np.sqrt(count))
    assert np.all(np.abs(np.mean(covered, axis=0) - 0.94) < 0.03)


def test_drawn_halves_agree_with_the_binomial_value():
    rng = np.random.default_rng(1)
    r, a, b = read_runs(1500, 100, rng)
    known, label = binomial(r, Evaluation(True, True, 100))
    own, _ = halves(r, a, b)
    assert label.value == 0
    assert own.low < known.value < own.high
    assert known.high - known.low < 0.3 * (own.high - own.low)


def test_a_fixed_set_shows_the_interaction_alone():
    """Examples' own difficulty cancels: with skill alone between runs, and no luck, nothing is left."""
    hard, rng = np.linspace(-2, 2, 100), np.random.default_rng(2)
    right = (hard[None, :] < 0.3) * np.ones((30, 1))  # every run has the same rights and wrongs
    a, b = right[:, 0::2].mean(1), right[:, 1::2].mean(1)
    assert a[0] != b[0]
    assert halves(right.mean(1), a, b)[0].value == 0
    r, a, b = read_runs(1500, 100, rng, drawn=False)
    fixed, _ = halves(r, a, b)
    drawn = halves(*read_runs(1500, 100, np.random.default_rng(2)))[0]
    assert 0 < fixed.high < drawn.low  # main effects of examples are in the drawn one


def test_domains_of_a_fixed_set_are_centred_apart():
    rng = np.random.default_rng(3)
    domain = rng.integers(3, size=600)
    shift = np.array([0.0, 1.0, 5.0])[domain]
    a, b = rng.normal(size=600) + shift, rng.normal(size=600) - shift
    own, _ = halves((a + b) / 2, a, b, domain)
    assert own.low < 0.5 < own.high
    assert halves((a + b) / 2, a, b)[0].low > 1.0


@pytest.mark.parametrize(("classes", "drawn"), [(2, True), (5, True), (2, False), (5, False)])
def test_label_noise_is_what_a_simulation_says(classes, drawn):
    """Noise drawn anew on fixed examples: its variance; sampling is what is added by the draw."""
    rng, n, rate, share, count = np.random.default_rng(4), 200, 0.25, 0.7, 20_000
    right = np.arange(n) < share * n

    def noisy(rows):
        hit, lucky = rng.random(rows.shape) < rate, rng.random(rows.shape) < 1 / (classes - 1)
        return np.where(hit, ~rows & lucky, rows).mean(1)

    fixed = noisy(np.tile(right, (count, 1)))
    both = noisy(right[rng.integers(n, size=(count, n))])
    how = Evaluation(drawn, True, n, rate, classes)
    sampling, label = binomial(both if drawn else fixed, how)
    assert label.value == pytest.approx(fixed.var(), rel=0.05)
    if drawn:
        assert sampling.value + label.value == pytest.approx(both.var(), rel=0.05)
    else:
        assert sampling.value == 0


def test_noise_that_hides_everything_is_all_label_noise():
    sampling, label = binomial(np.full(50, 0.5), Evaluation(True, True, 100, 0.5, 2))
    assert label.value == pytest.approx(0.25 / 100)
    assert sampling.value == pytest.approx(0.25 / 99 - 0.25 / 100)


@pytest.mark.parametrize(
    "how", [Evaluation(True, True), Evaluation(True, True, 1), Evaluation(True, True, 9, 0.1)]
)
def test_unknown_sizes_are_refused(how):
    with pytest.raises(InputError, match=r"must be known|classes"):
        binomial(np.full(9, 0.5), how)


def test_between_domains_is_unbiased_and_covers():
    rng, means, n = np.random.default_rng(5), np.array([0.0, 0.1, 0.4]), 200
    truth, values, covered = means.var(), [], []
    for _ in range(600):
        group = rng.integers(3, size=n)
        found = between(means[group] + 0.3 * rng.normal(size=n), group)
        values.append(found.value)
        covered.append(found.low <= truth <= found.high)
    assert np.mean(values) == pytest.approx(truth, abs=4 * np.std(values) / np.sqrt(600))
    assert 0.90 < np.mean(covered) < 0.98
    nothing = [between(rng.normal(size=n), rng.integers(3, size=n)) for _ in range(300)]
    assert min(p.value for p in nothing) < 0
    mean = np.mean([p.value for p in nothing])
    assert abs(mean) < 4 * np.std([p.value for p in nothing]) / np.sqrt(300)
    assert between(rng.normal(size=9), np.zeros(9)) == Part(0.0, 0.0, 0.0, 9)


def test_between_and_within_make_up_the_variance():
    rng = np.random.default_rng(6)
    group, r = np.arange(60) % 4, rng.normal(size=60)
    within = sum(((r[group == g] - r[group == g].mean()) ** 2).sum() for g in range(4)) / 56
    assert between(r, group).value + within == pytest.approx(r.var(ddof=1))


def test_mover_of_one_part_is_symmetric_for_symmetric_intervals():
    left = minus(Part(1.0, 0.7, 1.3, 50), Part(0.4, 0.0, 0.8, 30))
    assert (left.value, left.low, left.high, left.n) == pytest.approx((0.6, 0.1, 1.1, 30))


# --------------------------------------------------------------------------------------- table
def synthetic(name="dynamic_a050", n=400, forks=None, **extra):
    spec = {"process": name, "forks": forks, **extra}
    return simulate_task(name, spec, n, [1, 2, 4, 8, 16, 32, 64, 128], 256, [5])


def table_of(frames, **kw):
    runs, forks, draws = frames[:3]
    v = variance_table(runs, forks, draws, metric="value")
    e = envelope_table(v, runs, forks, draws)
    return intrinsic_table(v, e, runs, forks, draws, **kw)


FORKS = {"depths": [1, 8, 64, 256], "trunks": 60, "per_trunk": 4}


@pytest.mark.parametrize("forks", [None, FORKS])
def test_a_synthetic_tasks_noise_is_its_target_noise(forks):
    """target_noise = .2 on a state: L(T) = .04 for `state`; the residual leaves metric noise beside."""
    table = table_of(synthetic(forks=forks)).set_index("part")
    part = table.loc["target_sampling"]
    assert part["low"] < 0.04 < part["high"]
    assert part["value"] == pytest.approx(0.04, rel=4 * np.sqrt(2 / 399))
    left = table.loc["remainder"]
    assert left["value"] == pytest.approx(table.loc["total", "value"] - part["value"])
    assert table.loc["total", "how"] == "measured"
    # metric_noise .1 on the state's variance v leaves .01 v/(v + .01) to the residual, 0 to the state
    assert left["low"] < (0.0 if forks else 0.0095) < left["high"]
    rows = table.reset_index()
    assert in_the_sum(rows)["value"].sum() == pytest.approx(table.loc["total", "value"])


def test_a_noiseless_outcome_has_nothing_to_split():
    forks = {**FORKS, "depths": [1, 4, 16, 64, 256]}
    table = table_of(synthetic("power_law", forks=forks, target_noise=0.0, metric_noise=0.1)).set_index(
        "part"
    )
    assert (table["value"] == 0).all()
    assert "by construction" in table.loc["total", "note"]
    assert intrinsic_words(table.reset_index(), "power_law") == ""


def test_what_the_state_knows_is_outside_its_limit():
    table = table_of(synthetic(forks=FORKS), evaluation=Evaluation(drawn=False)).set_index("part")
    assert "no part of this L_int" in table.loc["target_sampling", "note"]
    assert table.loc["remainder", "value"] == table.loc["total", "value"]
    seen = table_of(synthetic(), evaluation=Evaluation(drawn=False)).set_index("part")
    assert seen.loc["remainder", "value"] < seen.loc["total", "value"]


def test_without_halves_the_total_stands_alone():
    runs = synthetic()[0]
    table = table_of([runs[~runs["split"].isin(["target_a", "target_b"])], None, None])
    assert table["part"].tolist() == ["total"]
    assert "not split" in table["note"].iloc[0]


def written(depths, n=400, size=80, trunks=60, seed=3):
    """Runs whose fixed target texts are sampled, forks at `depths` of T = 16, and the noise of decoding.

    p [N, n] is each run's chance of a right text; forks at T keep it, earlier ones half of the run's own.
    """
    rng = np.random.default_rng(seed)
    own, odd = rng.normal(size=n), rng.normal(size=(n, size))
    hard = rng.normal(size=size)

    def chance(state, particular):
        return 1 / (1 + np.exp(-(hard + 0.5 * state[..., None] + 0.8 * particular)))

    p = chance(own, odd)
    right = rng.random(p.shape) < p
    r, a, b = right.mean(1), right[:, ::2].mean(1), right[:, 1::2].mean(1)
    rows = [
        ("t", i, d, "val", "exact_match", r[i] + 0.1 * rng.normal())
        for i in range(n)
        for d in (1, 2, 4, 8, 16)
    ]
    for split, values in (("target", r), ("target_a", a), ("target_b", b)):
        rows += [("t", i, 16, split, "exact_match", values[i]) for i in range(n)]
    columns = ["task", "seed", "depth", "split", "metric", "value"]
    forks = []
    for depth in depths:
        keep = np.sqrt(depth / 16)
        for i in range(trunks):
            for k in range(4):
                state = keep * own[i] + np.sqrt(1 - keep**2) * rng.normal()
                particular = keep * odd[i] + np.sqrt(1 - keep**2) * rng.normal(size=size)
                now = (rng.random(size) < chance(np.array(state), particular)).mean()
                forks.append(("t", i, depth, k, "exact_match", now))
    made = pd.DataFrame(forks, columns=["task", "seed", "depth", "fork", "metric", "value"])
    runs = pd.DataFrame(rows, columns=columns).assign(failure=False)
    return runs, made, float((p * (1 - p)).mean() / size), r.var(ddof=1)


def limits_of(runs, forks, **how):
    v = variance_table(runs, forks, None, metric="exact_match")
    e = envelope_table(v, runs, forks, None)
    return intrinsic_table(
        v, e, runs, forks, None, evaluation=Evaluation(drawn=False, accuracy=True, size=80, **how)
    )


def test_sampled_texts_are_noise_of_their_own_where_forks_at_the_horizon_measure_it():
    runs, forks, truth, var_r = written([1, 2, 4, 8, 16])
    table = limits_of(runs, forks, decoded=True)
    part = table[table["how"] == "forks"].iloc[0]
    assert (part["part"], part["proxy"]) == ("decoding", "fork")
    assert part["low"] < truth < part["high"]
    assert part["share_of_var_r"] == pytest.approx(part["value"] / var_r)
    total = table.set_index("part").loc["total"]
    assert total["value"] == part["value"]  # with one target set nothing else is new to forks at T
    assert in_the_sum(table)["value"].sum() == pytest.approx(total["value"])
    halves_ = table[table["how"] == "halves"].iloc[0]  # what is left of it is the interaction alone
    greedy = limits_of(runs, forks)
    whole = greedy[greedy["how"] == "halves"].iloc[0]
    assert halves_["value"] == pytest.approx(whole["value"] - part["value"])
    assert "no part of this L_int" in halves_["note"]
    assert "sampled decoding" in intrinsic_words(table, "t")


@pytest.mark.parametrize(
    ("decoding", "metric", "decoded"),
    [("sample", "exact_match", True), ("greedy", "exact_match", False), ("sample", "loss", False)],
)
def test_texts_are_noise_where_they_are_sampled_and_judged(decoding, metric, decoded):
    outcome = {"metric": metric, "scale": "raw", "target_sample": None, "target_label_noise": 0.0}
    tasks = {
        "t": {"kind": "text_generation", "generation": {"decoding": {"kind": decoding}}, "outcome": outcome}
    }
    raw = yaml.safe_load((Path(__file__).parents[2] / "config.yaml").read_text())
    tasks["t"]["data"] = {"name": "packaged:addition"}
    stage = stage_config(resolve({**raw, "robustness": None, "tasks": tasks}), "t", "decide")
    assert evaluation_of(stage, {})["decoded"] is decoded


def test_without_forks_at_the_horizon_sampled_texts_are_not_called_known_to_the_state():
    runs, forks, truth, _ = written([1, 2, 4, 8])
    table = limits_of(runs, forks, decoded=True)
    assert table["proxy"].eq("fork").all()
    part = table[table["how"] == "halves"].iloc[0]
    assert "no part of this L_int" not in part["note"]
    assert "forks at T would tell apart" in part["note"]
    assert part["high"] > truth  # an upper bound: the interaction is in it
    assert "target_sampling" in in_the_sum(table)["part"].tolist()
    greedy = limits_of(runs, forks)
    assert "no part of this L_int" in greedy[greedy["how"] == "halves"]["note"].iloc[0]


@pytest.mark.parametrize("value", [0.73, 0.0, 1.0])
def test_an_outcome_that_does_not_vary_is_said_not_to(value, tmp_path):
    runs, forks, *_ = written([1, 2, 4, 8, 16], n=60)
    runs.loc[runs["depth"] == 16, "value"] = value
    forks["value"] = value
    for also in (forks, None):
        table = limits_of(runs, also, decoded=True)
        assert table["part"].tolist() == ["total"]
        assert table["note"].iloc[0].startswith("R does not vary over the runs")
        assert table["value"].iloc[0] == 0
        frame = figure.collect(table)
        assert frame["kind"].tolist() == ["settled"]
        texts = [t.get_text() for t in figure.draw(table).axes[0].texts]
        assert texts == ["R does not vary over the runs"]


def test_known_twice_is_summed_once_and_failed_runs_enter_nothing():
    rng = np.random.default_rng(7)
    rows = []
    domain = rng.integers(3, size=300)
    r, a, b = read_runs(300, 100, rng, rate=0.2, spread=0.3)
    for i in range(300):
        failed, shift = i < 20, 0.1 * domain[i] - 0.1
        for split, depth, value in (
            *(("val", d, r[i] + 0.02 * rng.normal()) for d in (1, 2, 4, 8, 16)),
            ("target", 16, r[i] + shift), ("target_a", 16, a[i] + shift), ("target_b", 16, b[i] + shift),
        ):  # fmt: skip
            rows.append(("t", i, depth, split, "accuracy", np.nan if failed else value, failed))
    columns = ["task", "seed", "depth", "split", "metric", "value", "failure"]
    runs = pd.DataFrame(rows, columns=columns)
    draws = pd.DataFrame({"task": "t", "seed": range(300), "factor": "target_domain"})
    draws = draws.assign(visible=False, value=domain.astype(float))
    v = variance_table(runs, None, draws, metric="accuracy")
    e = envelope_table(v, runs, None, draws)
    how = Evaluation(True, True, 100, 0.2, 2)
    table = intrinsic_table(v, e, runs, None, draws, evaluation={"t": how})
    assert table["part"].tolist() == [
        "total", "target_sampling", "target_sampling", "label_noise", "target_domain", "remainder",
    ]  # fmt: skip
    assert (table["n"] == 280).all()
    used = in_the_sum(table)
    assert used["how"].tolist() == ["binomial", "binomial", "anova", "difference"]
    total = table.loc[table["part"] == "total", "value"].iloc[0]
    assert used["value"].sum() == pytest.approx(total)
    check = table[(table["part"] == "target_sampling") & (table["how"] == "halves")].iloc[0]
    known = used[used["part"] == "target_sampling"].iloc[0]
    assert check["low"] < known["value"] < check["high"]
    said = intrinsic_words(table, "t")
    for word in ("target sampling", "target label noise", "the drawn domain", "the rest"):
        assert word in said
    pd.testing.assert_frame_equal(tables.check("intrinsic", table), table)
