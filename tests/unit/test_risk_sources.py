"""Variance by source: unbiased for known components, intervals that hold the truth, failures that drop out."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prehoc import tables
from prehoc.errors import InputError
from prehoc.risk import sources
from prehoc.risk.sources_frame import outcomes_of, sources_table
from prehoc.synthetic.crossed import names_of, outcomes

KNOWN = {"a": 0.3, "b": 0.2, "c": 0.0, "a:b": 0.15, "rest": 0.1}


def hoeffding(table: np.ndarray) -> dict[tuple[int, ...], float]:
    """sigma^2_S of a function on a grid of equally likely levels, by inclusion and exclusion of means."""
    k, found = table.ndim, {}
    for held in itertools.product([0, 1], repeat=k):
        effect = np.zeros_like(table)
        for part in itertools.product(*([0, 1] if h else [0] for h in held)):
            out = tuple(j for j in range(k) if not part[j])
            mean = table.mean(axis=out, keepdims=True) if out else table
            effect = effect + (-1) ** (sum(held) - sum(part)) * mean
        found[held] = float(np.square(effect).mean())
    return found


@pytest.mark.parametrize(("k", "levels"), [(2, 3), (3, 2)])
def test_block_components_have_the_exact_expectation(k, levels):
    """The mean over all blocks that can be drawn is sigma^2_S, to rounding: no sampling in this test."""
    table = np.random.default_rng(k).normal(size=(levels,) * k)
    exact = hoeffding(table)
    blocks = []
    for drawn in itertools.product(range(levels), repeat=2 * k):
        pairs = np.reshape(drawn, (k, 2))
        blocks.append(table[np.ix_(*pairs)])
    mean = sources.block_components(np.array(blocks)).mean(0)
    for held, value in exact.items():
        if any(held):
            assert mean[held] == pytest.approx(value, abs=1e-12)


def test_bit_j_of_a_run_is_axis_1_plus_j():
    cube = sources.to_blocks(np.arange(16), 3)
    for run in range(16):
        assert cube[run // 8, run & 1, run >> 1 & 1, run >> 2 & 1] == run


def test_known_components_are_met_within_3_standard_errors():
    rng, names = np.random.default_rng(5), names_of(KNOWN)
    truth, effects = sources.known_sources(KNOWN, names, rest=True)
    assert truth == pytest.approx(
        {"a": 0.3, "b": 0.2, "c": 0.0, "a:b": 0.15, "a:c": 0, "b:c": 0, "rest": 0.1, "total": 0.75}
    )
    assert effects == pytest.approx({"a": 0.6, "b": 0.35 / 0.75, "c": 0.0})
    found: dict[str, list[float]] = {}
    for _ in range(300):
        made = sources.decompose(outcomes(KNOWN, 32, rng), names, rest=True, resamples=2)
        for row in made.sources:
            found.setdefault(row.name, []).append(row.component.value)
    assert found.keys() == truth.keys()
    for name, values in found.items():
        z = (np.mean(values) - truth[name]) / (np.std(values, ddof=1) / np.sqrt(len(values)))
        assert abs(z) < 3, name


def test_intervals_hold_the_truth():
    """64 blocks, nominal 95 %: between 90 and 98 % over 400 replicates, less 2.5 standard errors."""
    rng, names = np.random.default_rng(11), names_of(KNOWN)
    truth, effects = sources.known_sources(KNOWN, names, rest=True)
    hits: dict[tuple[str, str], list[bool]] = {}
    for seed in range(400):
        made = sources.decompose(outcomes(KNOWN, 64, rng), names, rest=True, resamples=500, seed=seed)
        for row in made.sources:
            wanted = {"component": truth[row.name]}
            if row.name != "total":
                wanted["share"] = truth[row.name] / truth["total"]
            if row.name in effects:
                wanted["total_effect"] = effects[row.name]
            for what, value in wanted.items():
                number = getattr(row, what)
                hits.setdefault((row.name, what), []).append(number.low <= value <= number.high)
    slack = 2.5 * np.sqrt(0.9 * 0.1 / 400)
    rates = {key: np.mean(hit) for key, hit in hits.items()}
    assert len(rates) == 18
    assert min(rates.values()) > 0.90 - slack, rates
    assert max(rates.values()) < 0.98 + slack, rates
    assert 0.915 < np.mean(list(rates.values())) < 0.965


@settings(max_examples=30, deadline=None)
@given(
    k=st.integers(2, 5),
    blocks=st.integers(2, 12),
    rest=st.booleans(),
    scale=st.floats(1e-3, 1e3),
    seed=st.integers(0, 1000),
)
def test_components_sum_to_the_total_which_is_that_of_runs_that_share_nothing(k, blocks, rest, scale, seed):
    names = list("abcde"[:k])
    values = scale * np.random.default_rng(seed).normal(size=blocks * 2**k)
    made = sources.decompose(values, names, rest=rest, resamples=2)
    *parts, total = made.sources
    assert sum(p.component.value for p in parts) == pytest.approx(total.component.value)
    pairs = values.reshape(blocks, -1)
    apart = np.square(pairs - pairs[:, ::-1]).mean() / 2
    assert total.component.value == pytest.approx(apart)
    assert sum(p.share.value for p in parts) == pytest.approx(1.0)
    again = sources.decompose(3.0 - 2.0 * values, names, rest=rest, resamples=2)
    assert again.sources[0].component.value == pytest.approx(4 * parts[0].component.value)
    assert again.sources[0].share.value == pytest.approx(parts[0].share.value)


def test_a_block_with_a_failed_run_drops_out():
    values = outcomes(KNOWN, 40, np.random.default_rng(0))
    holed = values.copy()
    holed[[3, 4, 8 * 17]] = np.nan  # two runs of block 0, one of block 17
    left = np.delete(values.reshape(40, 8), [0, 17], axis=0).ravel()
    made = sources.decompose(holed, ["a", "b", "c"], rest=True)
    assert (made.blocks, made.dropped) == (38, 2)
    assert made.sources == sources.decompose(left, ["a", "b", "c"], rest=True).sources
    frame = sources_table("t", made, rest=True)
    assert "2 of 40 blocks lost" in frame["note"].iloc[-1]


def test_nothing_left_and_nothing_varying_make_nan_and_no_crash():
    lost = sources.decompose(np.full(16, np.nan), ["a", "b"], rest=False)
    assert lost.blocks == 0
    assert all(np.isnan(row.component.value) for row in lost.sources)
    sources_table("t", lost, rest=False)
    still = sources.decompose(np.ones(80), ["a", "b"], rest=False, resamples=50)
    assert [row.component for row in still.sources] == [(0.0, 0.0, 0.0)] * 4
    assert all(np.isnan(row.share.value) for row in still.sources)
    few = sources.decompose(outcomes(KNOWN, 6, np.random.default_rng(0)), ["a", "b", "c"], rest=True)
    assert np.isfinite(few.sources[0].component.value)
    assert np.isnan(few.sources[0].component.low)


def test_a_source_that_does_nothing_is_exactly_zero():
    values = outcomes({"a": 1.0, "b": 0.0}, 30, np.random.default_rng(3))
    rows = {r.name: r for r in sources.decompose(values, ["a", "b"], rest=False, resamples=50).sources}
    assert rows["b"].component == (0.0, 0.0, 0.0)
    assert rows["a"].share.value == pytest.approx(1.0)


def test_bad_input_is_named():
    with pytest.raises(InputError, match="whole blocks of 4"):
        sources.decompose(np.ones(6), ["a", "b"], rest=False)
    with pytest.raises(InputError, match="two crossed sources"):
        sources.decompose(np.ones(6), ["a"], rest=True)
    with pytest.raises(InputError, match="a:a"):
        outcomes({"a:a": 1.0}, 3, np.random.default_rng(0))
    with pytest.raises(InputError, match="negative"):
        outcomes({"a": -1.0, "b": 1.0}, 3, np.random.default_rng(0))


def runs_frame(seeds):
    rows = [("t", s, 8, "target", "accuracy", s / 10, s == 2) for s in seeds]
    rows += [("t", s, 8, "val", "accuracy", 5.0, False) for s in seeds]
    return pd.DataFrame(rows, columns=list(tables.SCHEMAS["runs"].columns))


def test_outcomes_are_read_in_the_order_of_runs():
    values = outcomes_of(runs_frame([1, 0, 3, 2]), "accuracy", 8)
    assert values[[0, 1, 3]] == pytest.approx([0.0, 0.1, 0.3])
    assert np.isnan(values[2])
    for frame, metric, depth in ((runs_frame([0, 2]), "accuracy", 8), (runs_frame([0, 1]), "loss", 8)):
        with pytest.raises(InputError, match="without a gap"):
            outcomes_of(frame, metric, depth)
