"""Verdicts from payloads by hand and from the workflow: nulls, junk, and what each sentence says."""

import copy
import json
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from verdict_pages import WORKFLOW, example, shown, valid

from prehoc.errors import InputError
from prehoc.fits.content import document
from prehoc.fits.page import el
from prehoc.fits.verdicts import Verdict
from prehoc.risk.words import MEANING


@pytest.fixture(scope="module")
def payload():
    return example().verdict().to_dict()


def paths_of(value, here=()):
    items = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for key, inner in items:
        yield (*here, key)
        yield from paths_of(inner, (*here, key))


def strange(payload, chosen, junk):
    """The payload with `junk` in the places `chosen`; deeper places first, so that all of them are there."""
    bad = copy.deepcopy(payload)
    for path in chosen:
        inner = bad
        for key in path[:-1]:
            inner = inner[key] if isinstance(inner, list) or key in inner else {}
        if isinstance(inner, dict) or (isinstance(inner, list) and path[-1] < len(inner)):
            inner[path[-1]] = junk
    return bad


def taken(payload):
    """(the verdict, "") or (None, why not)."""
    try:
        return Verdict(payload), ""
    except InputError as error:
        return None, str(error)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(data=st.data())
def test_nulls_anywhere_print_as_dashes_or_nothing(payload, data):
    small = {**payload, "tasks": payload["tasks"][:3]}
    places = [p for p in paths_of(small) if p[-1] != "task"]
    chosen = data.draw(st.lists(st.sampled_from(places), min_size=1, max_size=60))
    junk = data.draw(st.sampled_from([None, float("nan"), float("inf"), np.float64("nan")]))
    one, error = taken(strange(small, sorted(chosen, key=len, reverse=True), junk))
    if one is None:
        assert "\n" not in error
        return
    json.loads(one.to_json(), parse_constant=lambda name: pytest.fail(name))
    for text in (str(one), valid(one.to_html()).words):
        assert not re.search(r"\b(nan|inf|infinity|none|null)\b", text.lower())


@settings(max_examples=60, deadline=None, derandomize=True)
@given(data=st.data())
def test_any_payload_is_shown_or_refused_in_one_line(payload, data):
    small = {**payload, "tasks": payload["tasks"][:3]}
    chosen = data.draw(st.lists(st.sampled_from(list(paths_of(small))), min_size=1, max_size=6))
    junk = data.draw(st.sampled_from([3, "x", True, [], {}, [1], [None], {"a": 1}, ["x"]]))
    one, error = taken(strange(small, sorted(chosen, key=len, reverse=True), junk))
    if one is None:
        assert "\n" not in error
        return
    assert str(one)
    valid(one.to_html())


def test_nothing_but_a_name():
    one = Verdict({"tasks": [{"task": "t", "status": "verdict"}]})
    assert "Undecided" in str(one)
    assert "Undecided" in valid(one.to_html()).words
    assert str(Verdict({"tasks": []}))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "At price 0.2 stop at step 16 of 1,024 and judge there."),
        (
            {"risk_at_c_star": 0.4, "risk_at_horizon": 0.39},
            "there: 40% of R's variance is still open (at the end 39%).",
        ),
        (
            {"low": 0.0, "high": 1024.0},
            "do not settle how deep to probe: best guess step 16, any depth possible.",
        ),
        ({"c_star": 0.0, "low": 0.0, "high": 1023.0}, "best guess no probing, any depth possible."),
        (
            {"c_star": 0.0, "low": 0.0, "high": 64.0},
            "probing does not pay: looking at part of a run costs more",
        ),
        ({"c_star": 1024.0, "low": 512.0, "high": 1024.0}, "At price 0.2 train to the end"),
    ],
)
def test_what_to_do(given, told):
    one = {**WORKFLOW, "c_star": [{**WORKFLOW["c_star"][0], **given}]}
    headline = document(Verdict(one).to_dict()).pages[0].headline
    assert headline.startswith("Noise-Dominant (probability 0.81): ")
    assert told in headline


def test_runs_that_are_done_by_c_star():
    one = {**WORKFLOW, "outcome": {"kind": "to_target"}, "censoring": {"first_stop": 16}}
    words = "From step 16 on, runs meet the target: part of what is known there is that they are done."
    assert all(words in text for text in shown(Verdict(one).to_dict()))
    one["censoring"] = {"first_stop": 17}
    assert "runs meet the target" not in str(Verdict(one))


def test_intrinsic_share_without_an_end():
    one = {**WORKFLOW, "readings": []}
    assert "By the fitted law 70% (40% to 93%)." in shown(Verdict(one).to_dict())[0]
    one["L_int"] = {"value": None, "by_construction": False}
    assert "Intrinsic Not known." in shown(Verdict(one).to_dict())[0]


def test_undecided_and_settled():
    rows = [
        {
            **WORKFLOW["readings"][0],
            "p_dynamic_critical": 0.62,
            "p_noise_dominant": 0.378,
            "p_static_sufficient": 0.002,
        }
    ]
    one = Verdict({**WORKFLOW, "regime": "undecided", "readings": rows})
    head = document(one.to_dict()).pages[0].headline
    assert head.startswith(
        "Undecided: the runs do not single out one regime (Dynamic-Critical 0.62, Noise-Dominant 0.38)."
    )
    flat = Verdict({**WORKFLOW, "meaning": MEANING["settled"]})
    assert document(flat.to_dict()).pages[0].headline.startswith("Nothing to predict")


def test_attributes_are_escaped():
    made = el("a", "x", href='"><script>', aria_label="<b>'")
    assert made == '<a href="&quot;&gt;&lt;script&gt;" aria-label="&lt;b&gt;&#x27;">x</a>'


def test_verdict_of_the_workflow(tmp_path):
    path = tmp_path / "verdict.json"
    path.write_text(json.dumps(WORKFLOW))
    text, page = shown(Verdict.read(path).to_dict())
    told = [
        "Noise-Dominant (probability 0.81)", "At price 0.2 stop at step 16 of 1,024", "0.521 (interval 0.412 to 0.671)",
        "59% of Var R is open at the end (interval 39% to 103%); the fitted law gives 70% (40% to 93%)", "87% of Var R", "sampling of the target set", "30%",
        "120 more at depths 1, 4, 16, 1,024, 7,680 steps to compute", "0.26 wide, would be 0.13 wide",
        "16 (2%)", "4 to 64", "1,008 (98%)", "after: 228 runs", "3% of runs failed", "by the state", "60%", "40%", "20%",
        "adds up to Var R", "1.24", "Mind this.", "p = 0.24",
    ]  # fmt: skip
    for fact in told:
        assert fact in text, fact
        assert fact in page, fact
    assert "by outputs" not in text


def test_task_whose_runs_failed(tmp_path):
    lost = {"task": "t", "regime": "undecided", "in_words": "t is undecided: 90% of its runs failed.", "runs": 2,
            "failure_rate": 0.9}  # fmt: skip
    for text in shown(Verdict(lost).to_dict()):
        assert "t is undecided: 90% of its runs failed." in text
        assert "90% of runs failed" in text
