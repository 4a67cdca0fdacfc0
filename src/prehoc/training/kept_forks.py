"""Forks that were made are kept beside their trunks' checkpoints, a depth a file, and not trained again.

Another cut of shards or fork jobs, or a job that was killed after some of its depths, then costs reading.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from prehoc.config import digest
from prehoc.tables import write_json
from prehoc.training import checkpoint
from prehoc.training.engine import Engine, Report
from prehoc.training.forks import fork
from prehoc.training.problems import Setting
from prehoc.training.width import settled

Record = tuple[int, int, int, str, float]


def path_of(config: dict[str, Any], setting: Setting, depth: int) -> Path:
    """Where the forks from a depth are kept: by all that their numbers depend on beside the trunks'."""
    whole = settled(config, setting.machine)
    base = checkpoint.opened(whole, setting.weights, checkpoint.protocol(setting.machine))
    drawn = {k: config["forks"][k] for k in ("trunks", "per_trunk")}
    key = digest({**drawn, "horizon": config["horizon"], "outcome": config["outcome"]})
    return base / "forks" / f"depth_{depth:08d}-{key}.json"


def kept_or_forked(
    config: dict[str, Any], setting: Setting, depth: int, report: Report, engine: Engine
) -> list[Record]:
    """Records (seed, depth, fork, metric, value) of the forks from a depth, as `forks.fork` makes them."""
    path = path_of(config, setting, depth)
    try:
        known = json.loads(path.read_text())
        records = [
            (int(s), int(d), int(k), str(m), math.nan if v is None else float(v))
            for s, d, k, m, v in known["records"]
        ]
        engine.widths |= {int(width) for width in known["widths"]}
    except (OSError, ValueError, TypeError, KeyError):  # not there, or not whole
        pass
    else:
        report(f"{config['task']}: {len(records)} values of forks from depth {depth} are in the store")
        return records
    records = fork(config, setting, depth, report, engine)
    plain = [(*row, None if math.isnan(v) else v) for *row, v in records]  # a failed fork has no number
    write_json({"records": plain, "widths": sorted(engine.widths)}, path)
    return records
