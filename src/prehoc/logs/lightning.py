"""Lightning's CSVLogger: `metrics.csv` a run, with `hparams.yaml` beside it."""

from __future__ import annotations

from pathlib import Path

from prehoc.errors import InputError
from prehoc.logs.files import natural, read_csv, read_yaml, relative, task_of, walk
from prehoc.logs.run import Notes, Options, Run, few, flat, scalar, seed_of


def read(src: Path, options: Options, notes: Notes) -> list[Run]:
    """One run a metrics.csv; the depth is its `step`, or the column of --depth, as epoch."""
    depth = options.depth or "step"
    paths = [p for p in walk(src, options.not_read) if p.name == "metrics.csv" or p == src]
    runs = []
    for path in sorted(paths, key=natural):
        if not path.stat().st_size:
            runs.append(
                Run(relative(path, src), task_of(path.parent, src if src.is_dir() else path.parent))
            )
            continue
        table = read_csv(path, notes)
        if depth not in table.header:
            raise InputError(
                f"{path}: no column {depth!r}; it has {few(table.header)}: name the depth by --depth"
            )
        run = Run(relative(path, src), task_of(path.parent, src if src.is_dir() else path.parent))
        for line, row in table.rows:
            run.log_row(
                {k: v for k, v in row.items() if k not in ("epoch", "step")}, row[depth], str(path), line
            )
        beside = path.parent / "hparams.yaml"
        if beside.is_file() and isinstance(given := read_yaml(beside, notes), dict):
            run.hp = {key: scalar(value) for key, value in flat(given).items()}
        run.logged_seed = seed_of(run.hp)
        runs.append(run)
    return runs
