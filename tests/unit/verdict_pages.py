"""What the tests of verdicts share: fits of generated runs, a payload by hand, and a reader of pages."""

import copy
import functools
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd

from prehoc.fits import terminal
from prehoc.fits.content import document
from prehoc.fits.fit import fit
from prehoc.fits.verdicts import Verdict

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


@functools.cache
def example():
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


def long_payload(payload, count):
    measured = [t for t in payload["tasks"] if t["status"] == "verdict"]
    tasks = []
    for i in range(count):
        task = copy.deepcopy(measured[i % len(measured)] if i % 5 else payload["tasks"][-1])
        tasks.append(task | {"task": f"org.project/model-{i:02d}.lr{i * 1e-4:g}.batch{8 * i}"})
    return {**payload, "tasks": tasks}


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
