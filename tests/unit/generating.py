"""What the tests of text generation share: a stage config on a tiny decoder, and parameters that matter."""

from __future__ import annotations

import numpy as np
import torch


def generation(stage, folder, **over):
    """A `train` stage config of text generation: one-digit sums, one token a character."""
    config = stage(method__layers="all")
    config |= {
        "kind": "text_generation",
        "arithmetic": None,
        "model": {"name": str(folder), "revision": None, "max_length": 12},
        "data": {
            **dict.fromkeys(("revision", "text", "label", "classes", "domain", "splits", "train_domains")),
            "name": "packaged:addition",
            "subset": "1",
            "train": 25,
            "val": 10,
            "target": 15,
            "label_noise": 0.0,
        },
        "generation": {
            "prompt": "{a}+{b}=",
            "completion": "{sum}",
            "chat": "never",
            "judge": "exact",
            "max_new_tokens": 4,
            "decoding": {"kind": "greedy", "temperature": 1.0, "top_p": 1.0},
            "stop": [],
            "cache_mb": 64,
        },
    }
    config["method"]["targets"] = ["q_proj", "v_proj"]
    for key, value in over.items():
        block, _, name = key.rpartition("__")
        (config[block] if block else config)[name] = value
    return config


def random_theta(problem, runs, scale=0.3):
    rng = np.random.default_rng(0)
    return {
        p.name: torch.tensor(rng.normal(0, scale, (runs, *p.shape)), dtype=torch.float32)
        for p in problem.parameters
    }


def sampled(config, temperature=1.0, top_p=1.0):
    block = {"kind": "sample", "temperature": temperature, "top_p": top_p}
    return config | {"generation": config["generation"] | {"decoding": block}}
