"""Seed-steps a second of each path: people's tools, prehoc at several widths, and its products alone."""

from __future__ import annotations

import statistics
import sys
from typing import Any

from prehoc.training.allocation import keep_freed_blocks
from speed.matmuls import record, replay
from speed.rounds import Contender, grow, play, rows, spared, warm_up
from trainers import engine, models, people, place
from trainers.cases import kind_of, precisions, varied
from trainers.clock import now

# Wanted ratios to the Trainer at the same dropout: fp32, and bf16 on a CPU with AMX .
TARGETS = {
    "lora_all": {"fp32": 1.6, "bf16": 5.0},
    "lora_top2": {"fp32": 6.0, "bf16": 14.0},
    "head": {"fp32": 1500.0},
    "tiny_transformer": {"fp32": 2.5, "bf16": 5.0},
}
SHARES = {"fp32": 0.7, "bf16": 0.45}  # of the products alone
LORA_DROPOUT = 0.1


def say(line: str) -> None:
    """Tell progress to the one who waits."""
    print(line, file=sys.stderr, flush=True)


def _tool(facts: dict[str, Any], task: Any, stage: dict[str, Any], **given: Any) -> Contender:
    train = people.plain_loop if facts["tool"] == "plain loop" else people.hugging_face

    def run(steps: int) -> float:  # start-up and the first step are not counted
        keep_freed_blocks(32 << 20)  # glibc's own way: the engine's setting is its own
        ends = train(task, stage, 0, steps + 1, **given)
        return ends[-1] - ends[0]

    return Contender(facts, 1, run)


def _prehoc(facts: dict[str, Any], runner: engine.Engine) -> Contender:
    def run(steps: int) -> float:
        keep_freed_blocks()  # as prehoc's commands do
        try:
            runner.reset()
            if place.on_gpu():
                facts["graph"] = runner.graph
            begun = now()
            runner.advance(steps)
            return now() - begun
        finally:
            if place.on_gpu():  # one contender at a time has its memory
                runner.release()

    return Contender(facts, runner.runs, run)


def _contenders(name: str, stage: dict[str, Any], widths: list[int], main: int) -> list[Contender]:
    """All that race on a path; `main` is the width at which precision and dropout are varied."""
    made: list[Contender] = []
    lora = kind_of(stage) == "lora"
    for dropout in (0.0, LORA_DROPOUT) if lora else (0.0,):
        same = varied(stage, method__lora_dropout=dropout)
        task = models.task_of(same)
        facts = {"path": name, "dropout": dropout, "precision": "fp32"}
        made.append(_tool({**facts, "tool": "HF Trainer"}, task, same))
        if not dropout:
            made.append(_tool({**facts, "tool": "plain loop"}, task, same))
            if "bf16" in precisions(stage) and lora:
                made.append(
                    _tool({**facts, "tool": "HF Trainer", "precision": "bf16"}, task, same, bf16=True)
                )
        for precision, (exact, setting) in engine.settings_of(same).items():
            sweep = widths if precision == "fp32" else widths[1 : 1 + widths.index(main)]
            for width in sweep if not dropout else [main]:
                runner = engine.Engine(exact, setting, width)
                made.append(_prehoc({**facts, "tool": "prehoc", "precision": precision}, runner))
    return made


def _warm_gpu(racers: list[Contender], seconds: float, most: int) -> None:
    """`grow` of each, with its peak memory; one that fails, as for want of memory, is left out."""
    for one in racers:
        place.free()
        place.forget_peak()
        with spared(one):
            grow(one, seconds, most)
        one.facts["peak_bytes"] = place.peak_bytes()


def measure(
    name: str, stage: dict[str, Any], widths: list[int], main: int, rounds: int, seconds: float, most: int
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows of one path's race, and of those who were left out, with a `fault` each: on a GPU alone."""
    say(f"{name}: set up")
    racers = _contenders(name, stage, widths, main)
    (_warm_gpu if place.on_gpu() else warm_up)(racers, seconds, most)
    say(f"{name}: {len(racers)} contenders, {rounds} rounds")
    play(racers, rounds, lenient=place.on_gpu())
    left = [{**c.facts, "seeds": c.seeds, "fault": c.fault} for c in racers if c.fault]
    for one in left:
        say(f"{name}: {one['tool']}, {one['precision']}, S = {one['seeds']} is left out: {one['fault']}")
    racers = [c for c in racers if not c.fault]
    bases = {
        c.facts["dropout"]: c
        for c in racers
        if c.facts["tool"] == "HF Trainer" and c.facts["precision"] == "fp32"
    }
    made = rows(racers, lambda c: bases.get(c.facts["dropout"]))
    for row in made:
        if row["tool"] == "prehoc" and not place.on_gpu():  # what is wanted is wanted of a CPU
            row["target"] = TARGETS.get(name, {}).get(row["precision"])
            row["reached"] = row["target"] is not None and row["ratio"] >= row["target"]
    place.free()
    return made, left


def shares(
    name: str, stage: dict[str, Any], width: int, rounds: int, seconds: float, most: int
) -> list[dict[str, Any]]:
    """The products' share of a step's time in each precision, step and products in turn."""
    made = []
    found = engine.settings_of(varied(stage, method__lora_dropout=0.0))
    for precision, (exact, setting) in found.items():
        runner = engine.Engine(exact, setting, width)
        whole = _prehoc({}, runner)
        whole.run(1)
        recorder = record(lambda runner=runner: runner.advance(1))
        replay(recorder)
        steps = max(1, min(most, round(seconds / whole.run(1))))
        times = max(1, min(20 * most, round(seconds / max(replay(recorder), 1e-6))))
        step, products = [], []
        for _ in range(rounds):
            step.append(whole.run(steps) / steps)
            products.append(replay(recorder, times) / times)
        share = statistics.median(p / s for p, s in zip(products, step, strict=True))
        made.append(
            {
                "path": name,
                "precision": precision,
                "seeds": width,
                "step_s": step,
                "products_s": products,
                "share": share,
                "target": SHARES[precision],
                "reached": share >= SHARES[precision],
                "gflop": recorder.flops / 1e9,
                "gflop_s_step": recorder.flops / 1e9 / statistics.median(step),
                "gflop_s_products": recorder.flops / 1e9 / statistics.median(products),
                "calls": recorder.names,
            }
        )
        say(f"{name}: {precision} products {share:.0%} of the step")
    return made
