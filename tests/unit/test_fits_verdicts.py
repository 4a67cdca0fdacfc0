"""A verdict in words, as JSON and as a page: all facts are there, nothing is cut, nothing runs."""

import copy
import html
import io
import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from prehoc.errors import InputError
from prehoc.fits import phrases as say
from prehoc.fits import terminal
from prehoc.fits.content import document
from prehoc.fits.fit import fit
from prehoc.fits.page import el
from prehoc.fits.verdicts import Verdict
from prehoc.risk.words import MEANING

VOID = {"meta", "img", "br", "hr", "link", "input"}
DEPTHS = np.array([1, 2, 4, 8, 16, 32, 64, 128, 256])


def generated(task, n, iota, alpha, K, seed, shift=0.0):
    """n runs with L(c) = iota + K (c^-alpha - 512^-alpha), Var R = 1: the metric is E[R | c], R its end."""
    law = iota + K * (DEPTHS**-alpha - 512.0**-alpha)
    left = np.r_[max(1.0, law[0]), law, iota, 0.0]
    rng = np.random.default_rng(seed)
    steps = rng.normal(size=(n, len(left) - 1)) * np.sqrt(np.maximum(-np.diff(left), 0))
    course = shift + np.cumsum(steps, axis=1)[:, : len(DEPTHS)]
    rows = [
        (task, s, int(c), v, shift + steps[s].sum())
        for s in range(n)
        for c, v in zip(DEPTHS, course[s], strict=True)
    ]
    return pd.DataFrame(rows, columns=["task", "seed", "depth", "metric", "final"]).assign(group="lab")


@pytest.fixture(scope="module")
def made():
    """A measured law, a noisy task, one with too few runs for a regime, one for anything, and a mixture."""
    mixed = pd.concat(
        [
            generated("mixed", 15, 0.3, 0.5, 0.6, seed=4).assign(group="a"),
            generated("mixed", 15, 0.3, 0.5, 0.6, seed=5, shift=9.0)
            .assign(group="b")
            .assign(seed=lambda f: f["seed"] + 15),
        ]
    )
    parts = [
        generated("law", 400, 0.1, 0.6, 0.9, seed=1),
        generated("noisy", 60, 0.75, 0.5, 0.2, seed=2),
        generated("few", 10, 0.3, 0.5, 0.6, seed=3),
        generated("scarce", 3, 0.3, 0.5, 0.6, seed=3),
        mixed,
    ]
    return fit(pd.concat(parts, ignore_index=True), resamples=100)


@pytest.fixture(scope="module")
def payload(made):
    return made.verdict().to_dict()


class Reader(HTMLParser):
    """Balance of tags, ids, links, attributes and text of a page."""

    def __init__(self, page):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.ids, self.links, self.attributes, self.text = [], [], [], [], [], []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]
        self.ids += [value for name, value in attrs if name == "id"]
        self.links += [value for name, value in attrs if name in ("href", "src")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.text.append(data)

    @property
    def words(self):
        return " ".join(" ".join(self.text).split())


def valid(page):
    """The page's reader, after the checks that hold for each page."""
    assert page.startswith("<!DOCTYPE html>")
    seen = Reader(page)
    assert "script" not in seen.tags
    assert not [name for name in seen.attributes if name.startswith("on")]
    assert len(seen.ids) == len(set(seen.ids))
    for link in seen.links:
        assert link.startswith("data:image/") or link.removeprefix("#") in seen.ids, link
    assert "url(" not in page
    assert "@import" not in page
    return seen


def squeezed(text):
    """Words without what layout puts between them."""
    return " ".join(re.sub(r"(?m)^ +[-!>] ", " ", text).split())


def shown(payload):
    """The verdict's text at a width at which no line is broken, and the words of its page."""
    return squeezed(terminal.plain(document(payload), 10_000)), valid(Verdict(payload).to_html()).words


def facts(task):
    """What a reader must find of a task, as it is written."""
    told = [task["task"]]
    told += [r[k].rstrip(".") for r in task["refused"] for k in ("why", "remedy")]
    told += [
        task[k]["in_words"].rstrip(".")
        for k in ("censoring", "groups", "spikes", "law", "next")
        if k in task
    ]
    told += [f"{say.steps(a['count'])} {a['what']}: {a['why']}" for a in task["set_aside"]]
    if "outcome" in task:
        told.append(task["outcome"]["in_words"].removeprefix("R is ").rstrip(".")[1:])
    if task["status"] == "refused":
        return told
    told += [say.number(task["var_r"]), say.steps(task["horizon"]), say.steps(task["runs"])]
    told += [c.rstrip(".")[1:] for c in task["caveats"]]
    alpha = task["alpha"]
    told.append(say.span(alpha["low"], alpha["high"]))
    told.append(say.number(alpha["value"]) if alpha["identified"] else f"because {alpha['because']}")
    for one in task["saving"]:
        told += [say.number(one["price"]), say.steps(one["c_star"]), say.steps(one["steps_saved"])]
        told += [
            say.share(one[k])
            for k in ("share_of_horizon", "share_saved", "risk_at_c_star", "risk_at_horizon")
        ]
        told += [say.span(one["low"], one["high"], say.steps), say.number(one["gamma"])]
    for one in task["readings"]:
        told += [one["proxy"], say.REGIMES[one["regime"]]]
        told += [say.share(one[k]) for k in ("iota", "q") if one[k] is not None and abs(one[k]) < 2]
        told += [say.chance(one[f"p_{r}"]) for r in say.SAYS]
    told += [say.chance(w) for w in task["law"]["weights"].values()]
    return [t for t in told if t != say.NONE]


def test_every_fact_of_real_fits_is_in_the_words_and_on_the_page(payload):
    for text in shown(payload):
        for name, value in payload["options"].items():
            assert name.replace("_", " ") in text
            assert str(value[0] if isinstance(value, list) and value else value or "-") in text
    for task in payload["tasks"]:
        alone = {**payload, "tasks": [task]}
        for text in shown(alone):
            for fact in facts(task):
                assert squeezed(fact) in text, fact


def test_headlines_of_generated_runs_say_what_to_do(payload):
    pages = {page.name: page for page in document(payload).pages}
    assert re.match(
        r"Dynamic-Critical \(probability >?0\.\d\d\): the run itself decides", pages["law"].headline
    )
    assert re.search(
        r"At price 0\.2 stop at step \d+ of 256 and judge there: \d+% of R's variance",
        pages["law"].headline,
    )
    assert pages["noisy"].headline.startswith("Noise-Dominant (probability")
    assert pages["few"].headline.startswith("No regime is named, for want of runs.")
    assert pages["few"].alerts[0].remedy == "add 10 runs"
    assert pages["scarce"].headline == "Refused: 3 runs: a variance needs 5."
    assert pages["mixed"].headline.startswith("Refused: mixed groups under one task: 2 groups")
    assert [pages[name].refused for name in ("law", "few", "scarce", "mixed")] == [False, False, True, True]


def test_known_law_is_told_with_its_interval(payload):
    """alpha = .6 and L(T)/Var R = .1 stand in the sentences' intervals."""
    text = str(Verdict(payload).of("law"))
    low, high = map(float, re.search(r"Alpha +[\d.]+ \(interval ([\d.]+) to ([\d.]+)\)", text).groups())
    assert low < 0.6 < high
    grows = payload["tasks"][1]["readings"][1]["iota"]
    assert grows > 20  # the metric is E[R | c]: its variance rises while the risk falls
    assert f"{say.number(grows)} times" in text
    assert "The paper's reading says Noise-Dominant; the verdict follows" in squeezed(text)
    assert payload["tasks"][1]["task"] == "law"
    assert "power law" in text


def test_round_trip(payload, tmp_path, made):
    one = Verdict(payload)
    again = Verdict(json.loads(one.to_json()))
    assert again.to_dict() == one.to_dict() == payload
    assert list(again.to_dict()) == list(payload)
    paths = one.save(tmp_path / "out")
    assert [p.name for p in paths] == ["verdict.json", "verdict.html"]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["verdict.html", "verdict.json"]
    for path in (tmp_path / "out", paths[0]):
        assert Verdict.read(path).to_dict() == payload
    assert paths[1].read_text() == one.to_html()
    one.to_dict()["tasks"].clear()
    assert one.tasks == ("few", "law", "mixed", "noisy", "scarce")


def test_page_embeds_figures(made, tmp_path):
    paths = made.verdict().save(tmp_path, decay=made.plot_decay, phase=made.plot_phase)
    seen = valid(paths[1].read_text())
    assert [link[:24] for link in seen.links if link.startswith("data:")] == [
        "data:image/svg+xml;base6"
    ] * 2
    assert seen.tags.count("img") == seen.attributes.count("alt") == seen.tags.count("figcaption") == 2
    png = Verdict(made.verdict().to_dict()).to_html(phase=b"\x89PNG\r\n\x1a\nrest")
    assert next(link for link in valid(png).links if link.startswith("data:")).startswith("data:image/png")
    with pytest.raises(InputError, match="PNG or SVG"):
        made.verdict().to_html(decay=b"GIF89a")


def test_no_figure_where_all_is_refused(made, tmp_path):
    def none():
        raise AssertionError("drawn")

    paths = made.verdict("scarce").save(tmp_path, decay=none, phase=none)
    assert "img" not in valid(paths[1].read_text()).tags


def test_same_bytes_again(made, tmp_path):
    pages = [made.verdict().save(tmp_path / name, decay=made.plot_decay)[1].read_bytes() for name in "ab"]
    assert pages[0] == pages[1]


HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</title></style><b>&amp;",
    "\x1b[31mred\x07\x00",
    "a\nb\r\tc\u202egpj.exe\u2028",
    "[bold]markup[/bold] :smile:",
    "\ud800broken",
    "任务" * 60,
    "x" * 300,
    "",
)


@pytest.mark.parametrize("name", HOSTILE)
def test_names_and_reasons_of_others_run_nowhere(payload, name):
    bad = copy.deepcopy(payload)
    for task in bad["tasks"]:
        task["task"] = name
        task["set_aside"] = [{"what": name, "count": 1, "why": name}]
        task["refused"] = [{"what": name, "why": name, "remedy": name}]
    bad["source"] = bad["metric"] = name
    one = Verdict(bad)
    seen = valid(one.to_html())
    assert "b" not in seen.tags
    assert Reader(one._repr_html_()).tags.count("b") == 0
    assert "img" not in seen.tags
    stream = io.StringIO()
    one.print(Console(file=stream, width=80, force_terminal=True, color_system=None))
    for text in (str(one), stream.getvalue(), seen.words, html.unescape(one.to_html())):
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\u202e\u2028\ud800]", text)
        assert squeezed(say.visible(name)) in squeezed(text)
    text.encode("utf-8")


def long_payload(payload, count):
    measured = [t for t in payload["tasks"] if t["status"] == "verdict"]
    tasks = []
    for i in range(count):
        task = copy.deepcopy(measured[i % len(measured)] if i % 5 else payload["tasks"][-1])
        tasks.append(task | {"task": f"org.project/model-{i:02d}.lr{i * 1e-4:g}.batch{8 * i}"})
    return {**payload, "tasks": tasks}


def test_many_tasks_have_a_summary_with_anchors(payload):
    many = long_payload(payload, 25)
    page = Verdict(many).to_html()
    seen = valid(page)
    assert [link for link in seen.links if link.startswith("#")] == [f"#task-{i}" for i in range(1, 26)]
    assert seen.tags.count("article") == 25
    text = str(Verdict(many))
    assert text.index("All 25 tasks") < text.index("How predictable")
    for task in many["tasks"]:
        assert text.count(task["task"]) == 2
    alone = Verdict(many).of(many["tasks"][3]["task"])
    assert alone.tasks == (many["tasks"][3]["task"],)
    assert "All 25 tasks" not in str(alone)
    with pytest.raises(InputError, match=r"no task 'x'; there are .* and 17 more"):
        Verdict(many).of("x")


@pytest.mark.parametrize("width", [60, 80, 120])
def test_no_width_cuts_words(payload, width):
    for told in (
        payload,
        long_payload(payload, 25),
        *({**payload, "tasks": [t]} for t in payload["tasks"]),
    ):
        text = terminal.plain(document(told), width)
        words = {word.strip(";:") for word in text.split()}
        whole = {word.strip(";:") for word in terminal.plain(document(told), 10_000).split()}
        assert {w for w in whole if not set(w) <= set("-")} <= words
        for line in text.splitlines():
            assert len(line) <= width or len(line.split()) == 1, line


def test_colours_in_a_terminal_only(payload):
    plain, coloured = io.StringIO(), io.StringIO()
    one = Verdict(payload)
    one.print(Console(file=plain, width=80))
    one.print(Console(file=coloured, width=80, force_terminal=True, color_system="standard"))
    assert "\x1b" not in plain.getvalue()
    assert "\x1b[1m" in coloured.getvalue()
    bare = re.sub(r"\x1b\[[\d;]*m", "", coloured.getvalue())
    assert [x.rstrip() for x in bare.splitlines()] == [x.rstrip() for x in plain.getvalue().splitlines()]
    assert plain.getvalue().isascii()


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


WORKFLOW = {
    "task": "head",
    "regime": "noise_dominant",
    "meaning": "most stays open",
    "in_words": "head is noise-dominant.",
    "driving_proxy": {"proxy": "fork", "information": "state", "because": "forks were measured at 4 depths"},
    "readings": [
        {"reading": "bayes", "proxy": "fork", "information": "state", "regime": "noise_dominant",
         "p_static_sufficient": 0.11, "p_dynamic_critical": 0.08, "p_noise_dominant": 0.81, "iota": 0.59,
         "iota_low": 0.39, "iota_high": 1.03, "q": 0.06, "static_share": 0.87},
    ],
    "alpha": {"identified": True, "value": 0.5213, "low": 0.412, "high": 0.671, "because": None},
    "L_int": {"value": 0.0047, "low": 0.0027, "high": 0.0062, "share_of_var_r": 0.698, "by_construction": False},
    "intrinsic": [{"part": "target_sampling", "value": 0.002, "low": 0.001, "high": 0.003, "share_of_var_r": 0.299,
                   "how": "binomial", "n": 64, "note": "a check"}],
    "advice": [{"option": "seeds", "depths": "1 4 16 1024", "further_runs": 120.0, "steps": 7680.0, "recommended": True,
                "alpha_width_now": 0.26, "alpha_width_then": 0.13, "note": "no estimator could have less"}],
    "var_r": 0.00668,
    "horizon": 1024,
    "lack_of_fit_p": 0.244,
    "onset": 1.0,
    "c_star": [{"price": 0.2, "gamma": 2e-5, "lambda": 1.0, "c_star": 16.0, "low": 4.0, "high": 64.0,
                "share_of_horizon": 0.015625, "corner": "interior", "break_even_runs": 227.8}],
    "runs": 64,
    "failure_rate": 0.031,
    "gap_fork_residual": [{"depth": 4, "gap": 0.00134, "se": 0.000668, "last": 0.00401, "outputs": None, "fork": 0.00267}],
    "identity": {"depths": [], "largest_z": 1.24, "holds": True},
    "caveats": ["mind this"],
}  # fmt: skip


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


@pytest.mark.parametrize(
    "text",
    ["", "{", "[1]", "3", '{"a": 1}', '{"tasks": 3}', '{"tasks": [3]}', '{"tasks": [{"task": 3}]}',
     '{"tasks": [{"task": "t", "alpha": 3}]}', '{"tasks": [{"task": "t", "readings": [3]}]}', "\udcff", "[" * 100_000],
)  # fmt: skip
def test_no_verdict_is_refused_in_one_line(tmp_path, text):
    path = tmp_path / "verdict.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(InputError) as caught:
        Verdict.read(path)
    assert str(path) in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 400 + len(str(path))


@pytest.mark.parametrize(
    ("value", "told"),
    [(None, "-"), (float("nan"), "-"), (0.0, "0"), (0.12345, "0.123"), (1234.5, "1,230"), (342425.6, "342,000"),
     (1.28e10, "1.28e10"), (1.6e-7, "1.6e-7"), (True, "-"), ("3", "-")],
)  # fmt: skip
def test_numbers(value, told):
    assert say.number(value) == told


@pytest.mark.parametrize(
    ("value", "told"),
    [(0, "0%"), (1e-9, "under 0.1%"), (0.0092, "0.9%"), (0.0104, "1%"), (0.996, "99.6%"), (0.99999, "over 99.9%"),
     (1, "100%"), (-0.07, "-7%"), (3.02, "302%"), (None, "-")],
)  # fmt: skip
def test_shares(value, told):
    assert say.share(value) == told


def prehoc(*args):
    return subprocess.run(
        [sys.executable, "-c", "from prehoc.cli import main; main()", "verdict", *map(str, args)],
        capture_output=True, text=True, env={**os.environ, "COLUMNS": "80"},
    )  # fmt: skip


def test_command(payload, tmp_path):
    Verdict(payload).save(tmp_path)
    done = prehoc(tmp_path, "--task", "few")
    assert done.returncode == 0
    assert "No regime is named" in done.stdout
    assert "scarce" not in done.stdout
    assert "\x1b" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    (tmp_path / "fig2_decay.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'></svg>")
    done = prehoc(tmp_path / "verdict.json", "--html", tmp_path / "page.html")
    assert (done.returncode, done.stdout) == (0, "")
    assert valid((tmp_path / "page.html").read_text()).tags.count("img") == 1
    done = prehoc(tmp_path / "nowhere.json")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "nowhere.json" in done.stderr
