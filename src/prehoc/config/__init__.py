"""The typed config: it validates the YAML, fills a task's block from `defaults`, and cuts it by stage.

One model, three uses: every command reads it, `workflow/schemas/config.schema.json` is made from it,
and each stage of each task gets only the part that it depends on (`stage_config`), so that a changed
key re-runs what it touches and nothing else.  No numpy, pandas or torch here: the Snakefile imports it.
"""

from prehoc.config.blocks import FACTORS, Block
from prehoc.config.decided import (
    claims_config,
    complementarity_config,
    policies_config,
    predictors_config,
    transfer_config,
)
from prehoc.config.loading import json_schema, load, load_laid, resolve
from prehoc.config.packing import Packing, fork_depths, fork_parts, segments, shard_size, shards
from prehoc.config.resources import fork_minutes, reduce_minutes, train_minutes
from prehoc.config.settings import Config
from prehoc.config.stages import (
    SOURCES,
    TRAINING_KEYS,
    benchmark_config,
    digest,
    driver_of,
    evaluation_of,
    figures_config,
    known_config,
    metric_of,
    robustness_config,
    source_digest,
    stage_config,
)
from prehoc.config.task import KINDS, Task

__all__ = [
    "FACTORS",
    "KINDS",
    "SOURCES",
    "TRAINING_KEYS",
    "Block",
    "Config",
    "Packing",
    "Task",
    "benchmark_config",
    "claims_config",
    "complementarity_config",
    "digest",
    "driver_of",
    "evaluation_of",
    "figures_config",
    "fork_depths",
    "fork_minutes",
    "fork_parts",
    "json_schema",
    "known_config",
    "load",
    "load_laid",
    "metric_of",
    "policies_config",
    "predictors_config",
    "reduce_minutes",
    "resolve",
    "robustness_config",
    "segments",
    "shard_size",
    "shards",
    "source_digest",
    "stage_config",
    "train_minutes",
    "transfer_config",
]
