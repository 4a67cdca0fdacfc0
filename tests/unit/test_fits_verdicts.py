"""A verdict in words, as JSON and as a page: all facts are there, nothing is cut, nothing runs."""

import copy
import html
import io
import json
import os
import re
import subprocess
import sys

import pytest
from rich.console import Console
from verdict_pages import Reader, example, long_payload, shown, squeezed, valid

from prehoc.errors import InputError
from prehoc.fits import phrases as say
from prehoc.fits import terminal
from prehoc.fits.content import document
from prehoc.fits.verdicts import Verdict


@pytest.fixture(scope="module")
def made():
    return example()


@pytest.fixture(scope="module")
def payload(made):
    return made.verdict().to_dict()


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
    assert pages["few"].headline.startswith("No regime is named. 10 runs: ")
    assert pages["few"].alerts[0].remedy == "add 10 runs"
    assert pages["scarce"].headline == "Refused: 3 runs: a variance needs 5."
    assert str(Verdict(payload).of("scarce")).count("a variance needs 5") == 1
    assert pages["mixed"].headline.startswith("Refused: mixed groups under one task: 9")
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
