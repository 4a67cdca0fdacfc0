"""What `prehoc plan` and jobs' time limits know of texts that runs write, and of a step's device."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import yaml
from planned import CUT
from typer.testing import CliRunner

from prehoc import cli
from prehoc.config import fork_minutes, load, resolve, train_minutes
from prehoc.config.loading import merge
from prehoc.config.packing import fork_parts, segments, shards
from prehoc.config.resources import fork_ms, step_ms, token_ms, train_ms
from prehoc.plan import budget
from prehoc.plan.cost import cost
from prehoc.plan.pilot import Measured

ROOT = Path(__file__).parents[2]
RAW = yaml.safe_load((ROOT / "config.yaml").read_text())
WRITES = {  # 2,400 + 1,600 tokens at two depths and the horizon, and 800 before the first step
    "kind": "text_generation",
    "data": {"name": "packaged:addition", "train": 100, "val": 80, "target": 160},
    "model": {"name": "packaged:smollm2", "max_length": 32},
    "generation": {"prompt": "{prompt}", "completion": "{answer}", "judge": "exact", "max_new_tokens": 10},
    "outcome": {"metric": "exact_match"},
    **CUT,
}
NUMBERS = {"mem_mb": 1000, "minutes": 7, "step_ms": 36.0, "token_ms": 1.0, "margin": 2}


def writing(minutes=60.0, resources=None, **changes):
    over = {"packing": {"job_minutes": minutes, "start_seconds": 36.0}, "only": ["sums"]}
    block = WRITES | {"resources": NUMBERS | (resources or {})} | changes
    return resolve(merge(merge(RAW, over), {"tasks": {"sums": block}}))


def test_known_tokens_are_known_hours():
    """100 runs of 3.6 s of steps and 4 x 800 + 1,600 tokens; 20 forks write the target from three depths."""
    (one,) = cost(writing()).tasks
    assert one.written_tokens == 100 * 4_800 + 3 * 20 * 1_600
    assert one.train_hours == pytest.approx(100 * (3.6 + 4.8) / 3600)
    assert one.fork_hours == pytest.approx((2_800 * 0.036 + 96) / 3600)
    assert one.written_hours == pytest.approx((480 + 96) / 3600)
    assert one.times_from == "resources.step_ms and token_ms"
    assert one.step_ms == pytest.approx(84)


def test_without_signals_nothing_is_written_before_the_first_step():
    assert cost(writing(signals=None)).tasks[0].train_hours == pytest.approx(100 * (3.6 + 4.0) / 3600)


def test_a_limit_knows_the_texts_of_its_own_part():
    task = writing().tasks["sums"]
    assert train_minutes(task, 20) == math.ceil(7 + 2 * 20 * 8.4 / 60)
    assert train_minutes(task, 20, 0, 10) == math.ceil(7 + 2 * 20 * (0.36 + 1.6) / 60)
    assert train_minutes(task, 20, 50) == math.ceil(7 + 2 * 20 * (1.8 + 2.4) / 60)
    parts = [(0, 10), (10, 50), (50, 100)]
    assert sum(train_ms(task, a, b) for a, b in parts) == pytest.approx(train_ms(task))
    assert fork_minutes(task, [50, 100]) == math.ceil(7 + 2 * 20 * (1.8 + 3.2) / 60)


def test_jobs_are_cut_by_the_texts_too():
    """Ten runs take 36 s of steps and 48 s of texts: three banks fit in five minutes, not eight."""
    made = writing(minutes=5, shard="auto")
    assert [b - a for a, b in shards(made.tasks["sums"], made.packing)] == [30, 30, 30, 10]
    made = writing(minutes=0.5, shard="auto")  # 10 runs: 19.6, 22.4 and 42 s between their depths
    assert segments(made.tasks["sums"], made.packing) == [10, 50]
    made = writing(minutes=2, shard="auto")  # forks at 10: 96.8 s, at 50 68 s, at the horizon 32 s
    assert fork_parts(made.tasks["sums"], made.packing) == [[10], [50, 100]]


def test_a_number_for_the_step_alone_holds_the_texts():
    """As a pilot measures it, and the plan says so."""
    made = writing(resources={"token_ms": "auto"})
    task = made.tasks["sums"]
    assert (step_ms(task), token_ms(task), fork_ms(task, [100])) == (36, 0, 0)
    found = cost(made)
    assert found.tasks[0].written_hours is None
    assert found.notes[0].startswith("sums: 0.576 million tokens")
    assert "are taken to be in resources.step_ms" in found.notes[0]


def test_a_pilot_holds_the_texts():
    found = cost(writing(), {"sums": Measured(runs=5, step_ms=36.0, fork_step_ms=36.0)})
    assert found.tasks[0].train_hours == pytest.approx(0.1)
    assert found.tasks[0].fork_hours == pytest.approx(0.028)
    assert found.tasks[0].written_hours is None
    assert not any("tokens" in note for note in found.notes)


def test_auto_counts_texts_as_on_a_core():
    """With no number at all, and a longer text is more time: 6.5/30 ms a token and layer, of 32."""
    made = writing(resources={"step_ms": "auto", "token_ms": "auto"})
    assert cost(made).tasks[0].written_hours == pytest.approx(576_000 * 6.5 / 30 * 32 / 3.6e6)


def test_gsm8k_of_the_paper_has_its_texts():
    """1,500 runs and 360 forks: nearly 5e8 tokens, at 10,000 a second 13 hours; and 162 ms a step."""
    config = load(ROOT / "config/paper.yaml", ROOT / "config.yaml")
    (one,) = (t for t in cost(config).tasks if t.task == "gsm8k")
    assert one.written_tokens == 256 * (1500 * (10 * 64 + 500) + 72 * 5 * 500)
    assert one.written_hours == pytest.approx(one.written_tokens / 10_000 / 3600)
    steps = 1500 * 512 + 72 * sum(512 - c for c in (4, 16, 64, 256))
    assert one.train_hours + one.fork_hours - one.written_hours == pytest.approx(steps * 0.162 / 3600)


# ---------------------------------------------------------------- whose step it was
@pytest.mark.parametrize(
    ("on", "over", "unit", "said", "note"),
    [
        (None, {}, "GPU", "resources.step_ms", None),
        ("cuda", {}, "GPU", "resources.step_ms, measured on a GPU", None),
        ("cpu", {}, "core", "resources.step_ms, measured on a CPU", "jobs ask for a GPU"),
        ("cpu", {"device": "cpu"}, "core", "resources.step_ms, measured on a CPU", None),
        ("cuda", {"device": "cpu"}, "core", "resources.step_ms, measured on a GPU", "far longer"),
    ],
)
def test_a_steps_device_makes_the_unit(on, over, unit, said, note):
    raw = {"only": ["modular_addition"], **over}
    block = {"resources": {"step_ms": 5.0, "measured_on": on}}
    found = cost(resolve(merge(merge(RAW, raw), {"tasks": {"modular_addition": block}})))
    assert (found.tasks[0].unit, found.tasks[0].times_from) == (unit, said)
    assert [note in n for n in found.notes] == ([True] if note else [])
    assert found.measured == (int(on is not None), 1)


def test_a_device_without_a_number_says_nothing():
    block = {"resources": {"step_ms": "auto", "measured_on": "cpu"}}
    made = resolve(merge(RAW, {"only": ["modular_addition"], "tasks": {"modular_addition": block}}))
    assert (cost(made).tasks[0].unit, cost(made).tasks[0].times_from) == ("GPU", "estimated")


# ---------------------------------------------------------------- a budget without end
def test_the_most_that_is_searched_is_what_is_said(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(budget, "MOST", 3000)  # not 5 times a power of two
    Path("config.yaml").write_text((ROOT / "config.yaml").read_text())
    asked = ["plan", "--config", "only=[modular_addition]", "--budget"]
    done = CliRunner().invoke(cli.app, [*asked, "1e12"])
    assert "hold N = 3000, the most that is searched, runs a task" in done.output
    done = CliRunner().invoke(cli.app, [*asked, "0.5"])
    assert "hold N = " in done.output
    assert "the most" not in done.output
