"""Tokens a second that a bank of adapters writes, against generate() seed by seed, on SmolLM2.

    python benchmarks/generation.py [--runs 1 4 8] [--prompts 8] [--new 24] [--data addition]

Both decode greedily, in fp32 on one thread, the same adapters and prompts, and may not end before `--new`
tokens, so that both write as many. generate() takes each seed's prompts as one batch, through peft's own
model. Best of `--repeats`. Prints one line a number of runs, and how many texts are the same.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from prehoc.config import stage_config
from prehoc.config.loading import merge, resolve
from prehoc.tasks import models
from prehoc.tasks.text_generation import TextGeneration

TEMPLATES = {
    "addition": {"prompt": "{a}+{b}=", "completion": "{sum}"},
    "gsm-symbolic": {"prompt": "Question: {question}\nAnswer:", "completion": " {answer}"},
}


def problem_of(data: str, prompts: int, new: int, store: str) -> tuple[TextGeneration, dict[str, Any]]:
    """The problem of a text_generation task on SmolLM2 whose target set are the prompts."""
    base = yaml.safe_load((Path(__file__).parent.parent / "config.yaml").read_text())
    block = {
        "kind": "text_generation",
        "data": {"name": f"packaged:{data}", "train": 16, "val": 4, "target": prompts},
        "generation": {**TEMPLATES[data], "max_new_tokens": new, "chat": "never"},
    }
    raw = merge(base, {"only": ["bench"], "store": store, "tasks": {"bench": block}})
    config = stage_config(resolve(raw, "benchmark"), "bench", "train")
    problem = TextGeneration(config)
    object.__setattr__(problem.decoder.rules, "ends", (-1,))  # none: both write as many tokens
    return problem, config


def best(work: Callable[[], Any], repeats: int) -> tuple[float, Any]:
    """Seconds of the fastest of some calls, and what it gave."""
    found: tuple[float, Any] = (float("inf"), None)
    for _ in range(repeats):
        begun = time.perf_counter()
        made = work()
        found = min(found, (time.perf_counter() - begun, made), key=lambda pair: pair[0])
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, nargs="+", default=[1, 4, 8])
    parser.add_argument("--prompts", type=int, default=8)
    parser.add_argument("--new", type=int, default=24)
    parser.add_argument("--data", choices=sorted(TEMPLATES), default="addition")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--store", default=".prehoc")
    given = parser.parse_args()
    torch.set_num_threads(1)
    store = given.store if Path(given.store).is_dir() else tempfile.mkdtemp()
    problem, config = problem_of(given.data, given.prompts, given.new, store)
    folder = models.model_folder(config["model"], Path(store))
    method = config["method"]
    rule = LoraConfig(r=method["rank"], lora_alpha=method["alpha"], target_modules=method["targets"])
    theirs = get_peft_model(AutoModelForCausalLM.from_pretrained(folder).eval(), rule)
    theirs.generation_config.eos_token_id = None
    tokeniser = AutoTokenizer.from_pretrained(folder)
    prompts = [e.prompt for e in problem.examples["target"]]
    longest = max(map(len, prompts))
    ids = torch.tensor([[0] * (longest - len(p)) + p for p in prompts])
    mask = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in prompts])
    rng = np.random.default_rng(0)
    print("runs  prompts  tokens  bank, tokens/s  generate(), tokens/s  faster by  same texts")
    for runs in given.runs:
        theta = {
            p.name: torch.tensor(rng.normal(0, 0.01, (runs, *p.shape)), dtype=torch.float32)
            for p in problem.parameters
        }

        def seed_by_seed(theta: dict[str, torch.Tensor] = theta, runs: int = runs) -> list[list[list[int]]]:
            made = []
            for run in range(runs):
                for name, value in theta.items():
                    module, _, which = name.rpartition(".")
                    place = theirs.base_model.model.get_submodule(module)
                    getattr(place, f"lora_{which}")["default"].weight.data.copy_(value[run])
                with torch.inference_mode():
                    wrote = theirs.generate(
                        input_ids=ids,
                        attention_mask=mask,
                        max_new_tokens=given.new,
                        do_sample=False,
                        pad_token_id=tokeniser.eos_token_id,
                    )
                made.append(wrote[:, longest:].tolist())
            return made

        mine, wrote = best(lambda theta=theta: problem.decoder.tokens(theta, prompts, None), given.repeats)
        other, there = best(seed_by_seed, given.repeats)
        tokens = runs * len(prompts) * given.new
        pairs = [(a, b) for x, y in zip(wrote, there, strict=True) for a, b in zip(x, y, strict=True)]
        same = sum(a == b for a, b in pairs)
        print(
            f"{runs:4d} {len(prompts):8d} {tokens:7d} {tokens / mine:15.1f} {tokens / other:21.1f} "
            f"{other / mine:10.2f} {same:7d} of {len(pairs)}",
            flush=True,
        )


if __name__ == "__main__":
    main()
