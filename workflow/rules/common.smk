"""Helpers that all rule files share; no rules. Imports neither torch nor pandas."""

import json
import os
import sys
from pathlib import Path

from prehoc.config import (
    Config,
    benchmark_config,
    claims_config,
    complementarity_config,
    digest,
    figures_config,
    fork_minutes,
    fork_parts,
    known_config,
    policies_config,
    predictors_config,
    reduce_minutes,
    resolve,
    robustness_config,
    segments,
    shards,
    source_digest,
    stage_config,
    train_minutes,
    transfer_config,
)
from prehoc.config.hub import all_wanted, wanted
from prehoc.errors import InputError, disk_full, no_room
from prehoc.preflight import FITTED, preflight
from prehoc.synthetic.instances import INSTANCES

TABLES = [
    "variance",
    "envelope",
    "c_star",
    "regimes",
    "intrinsic",
    "advice",
    "predictors",
]
JOINT = ["complementarity", "transfer", "mismatch"]  # made across tasks
POLICY_TABLES = ["policies", "policies_against"]
# Tables that claims are judged by where they are made.
JUDGED = ["predictors", "complementarity", "mismatch", "policies_against"]
LOCK = local("envs/requirements.txt")
GAP_TABLES = ["gap", "gap_needed"]
FIGURES = [
    "fig2_decay",
    "fig3_phase",
    "c_star",
    "curves",
    "intrinsic",
    "complementarity",
    "frontier",
    "frontier_tasks",
]


SUBMITTED = "PREHOC_SUBMITTED"  # the environment variable that carries a workflow's config to its jobs


def as_submitted(config):
    """The config of the workflow that a job is of: the config file may have been edited since.

    A job of a cluster starts a Snakemake of its own, which reads the file as it stands by then. Where the
    environment does not reach the job, or no file system is shared, its own copy of the file stands.
    """
    name = os.environ.get(SUBMITTED)
    if workflow.is_main_process or not name:
        return config
    try:
        return json.loads(Path(name).read_text())
    except (OSError, ValueError) as error:
        sys.exit(
            f"prehoc: {name}: the config that this job was submitted with can't be read ({error}); "
            "start the workflow again"
        )


def load_config():
    """The resolved config; a fault in it stops here, before any job, with one line."""
    try:
        resolved = resolve(config, " + ".join(map(str, workflow.configfiles)))
        preflight(resolved)
        return resolved
    except InputError as error:
        sys.exit(f"prehoc: {error}")


def exact_instances(resolved):
    """The synthetic instances of the benchmarks; an unknown name stops here with one line."""
    names = resolved.benchmark.instances
    for name in names or []:
        if name not in INSTANCES:
            sys.exit(
                f"prehoc: benchmark.instances: {name!r} is unknown; one of {', '.join(INSTANCES)}"
            )
    return list(INSTANCES) if names is None else names


config = as_submitted(config)
CONFIG = load_config()
EXACT = exact_instances(CONFIG)
TASKS = CONFIG.analysed()
CROSSED = [t for t in CONFIG.enabled() if t not in TASKS]
CELLS = list(
    CONFIG.cells()
)  # tasks as well, that `snakemake robustness` alone asks for
KNOWN = list(dict.fromkeys([*CONFIG.enabled(), *CELLS]))
RELEASES = CONFIG.robustness is not None and CONFIG.robustness.release
REAL = [t for t in CONFIG.enabled() if CONFIG.tasks[t].kind != "synthetic"]
TRAINED = list(dict.fromkeys([*REAL, *CELLS]))
ADAPTED = [t for t in REAL if CONFIG.tasks[t].method.kind == "lora"]
GAPPED = [  # tasks with forks, and with outputs on probe examples
    t
    for t in REAL
    if t in TASKS
    and CONFIG.tasks[t].forks
    and stage_config(CONFIG, t, "risk")["outputs"]
]
SYNTHETIC = [t for t in TASKS if CONFIG.tasks[t].kind == "synthetic"]


def say_full_disks():
    """Name the disks that are full: where there was no room for a log, no job could say so."""
    for folder in ("results", CONFIG.store):
        full = no_room(folder)
        if full is not None:
            print(f"prehoc: {full}", file=sys.stderr)


def one_of(names):
    """A wildcard constraint that matches these names and nothing else."""
    return "|".join(map(re.escape, names)) if names else "(?!)"


def written(path, payload):
    """`path`, holding `payload` as JSON; the name carries its digest, so a file never changes."""
    target, text = Path(path), json.dumps(payload, indent=1) + "\n"
    try:
        whole = target.read_text() == text
    except (OSError, ValueError):
        whole = False
    if not whole:  # not there, or damaged
        temporary = target.with_name(f".{target.name}.{os.getpid()}")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(text)
            temporary.replace(target)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            sys.exit(f"prehoc: {disk_full(target, error) or error}")
    # Where a storage holds the results, each job writes its own copy.
    return local(path)


# Written now, before Snakemake looks at any folder: it remembers what it did not find there.
STAGES = {
    (task, stage): written(
        f"results/config/{task}/{stage}-{digest(payload)}.json", payload
    )
    for task in KNOWN
    for stage in (
        ["simulate", "risk", "decide"]
        if task in SYNTHETIC
        else (
            ["prepare", "train", "decompose"]
            if task in CROSSED
            else (
                ["prepare", "train", "risk", "decide"]
                if task in CELLS
                else ["prepare", "train", "fork", "risk", "decide"]
            )
        )
    )
    + (["gap"] if task in GAPPED else [])
    for payload in [stage_config(CONFIG, task, stage)]
}
WHOLE = CONFIG.model_dump(mode="json")
WHOLE_FILE = written(
    f"results/config/all-{digest([WHOLE, CONFIG.enabled()])}.json",
    {
        "config": WHOLE,
        "tasks": CONFIG.enabled(),
        "digest": digest(WHOLE),
        "lock": str(LOCK),
    },
)
RAW = Path(f"results/config/raw-{digest(config)}.json")
RAW_FILE = written(str(RAW), dict(config))
if workflow.is_main_process:
    os.environ[SUBMITTED] = str(RAW.absolute())
KNOWN_FILE = written(
    f"results/config/known-{digest(known_config(CONFIG))}.json", known_config(CONFIG)
)
ROBUSTNESS_FILE = written(
    f"results/config/robustness-{digest(robustness_config(CONFIG))}.json",
    robustness_config(CONFIG),
)
CLAIMS_FILE = written(
    f"results/config/claims-{digest(claims_config(CONFIG))}.json", claims_config(CONFIG)
)
FIGURES_FILE = written(
    f"results/config/figures-{digest(figures_config(CONFIG))}.json",
    figures_config(CONFIG),
)

PREDICTORS = {
    task: written(
        f"results/config/{task}/predictors-{digest(predictors_config(CONFIG, task))}.json",
        predictors_config(CONFIG, task),
    )
    for task in TASKS
}
COMPLEMENTARITY_FILE = written(
    f"results/config/complementarity-{digest(complementarity_config(CONFIG))}.json",
    complementarity_config(CONFIG),
)
TRANSFER_FILE = written(
    f"results/config/transfer-{digest(transfer_config(CONFIG))}.json",
    transfer_config(CONFIG),
)

BENCHMARK_FILES = {
    name: written(f"results/config/benchmark/{name}-{digest(payload)}.json", payload)
    for name in ("estimators", "lower_bound", "rates")
    for payload in [benchmark_config(CONFIG, name)]
}


POLICIES_FILES = {
    task: written(f"results/config/{task}/policies-{digest(payload)}.json", payload)
    for task in TASKS
    for payload in [policies_config(CONFIG, task)]
}


HUB = all_wanted(CONFIG, KNOWN)
HUB_FILES = {
    key: written(
        f"results/config/fetch/{key}-{digest(CONFIG.store)}.json",
        {**item.payload(), "store": CONFIG.store},
    )
    for key, item in HUB.items()
}
FETCHED = {
    task: [f"results/fetched/{item.key}.json" for item in wanted(CONFIG, task)]
    for task in KNOWN
}


def fetched(wildcards):
    """An input function: the records of what the wildcard's task takes from the Hub."""
    return FETCHED[wildcards.task]


def fetched_options(wildcards, input):
    """The records as options of a command."""
    return [f"--fetched {record}" for record in input.fetched]


def stage_file(stage):
    """An input function: the resolved config of a stage of the wildcard's task."""
    return lambda wildcards: STAGES[wildcards.task, stage]


def memory(wildcards, attempt):
    """Memory of a training or fork job in MB; a further attempt asks for as much more."""
    return CONFIG.tasks[wildcards.task].resources.mem_mb * attempt


def cuts(wildcards):
    """Depths at which the training of the wildcard's task's shards passes to a next job."""
    return segments(CONFIG.tasks[wildcards.task], CONFIG.packing)


def part_before(wildcards):
    """The part that a training job goes on from: of a part the one before, else the last; or none."""
    until = wildcards.get("until")
    before = [d for d in cuts(wildcards) if until is None or d < int(until)]
    stem = f"results/{wildcards.task}/parts/until_{wildcards.first}-{wildcards.end}"
    return [f"{stem}_{before[-1]:08d}.json"] if before else []


def train_time(wildcards, attempt):
    """Minutes of a job that trains a shard, or a part of its depths."""
    runs = int(wildcards.end) - int(wildcards.first)
    task = CONFIG.tasks[wildcards.task]
    end = int(wildcards.get("until", task.horizon))
    start = max((d for d in cuts(wildcards) if d < end), default=0)
    return train_minutes(task, runs, start, end) * attempt


def fork_time(wildcards, attempt):
    """Minutes of a job that forks at the wildcard's depths."""
    depths = [int(depth) for depth in wildcards.depths.split("-")]
    return fork_minutes(CONFIG.tasks[wildcards.task], depths) * attempt


def start_time(wildcards, attempt):
    """Minutes of a job of the task that trains nothing."""
    return CONFIG.tasks[wildcards.task].resources.minutes * attempt


def reduce_time(wildcards, attempt):
    """Minutes of a job that reduces the task's runs to tables."""
    return reduce_minutes(CONFIG.tasks[wildcards.task]) * attempt


def gpus(wildcards):
    """GPUs of a job of the task: executors of clusters know this resource, local runs ignore it."""
    return 0 if CONFIG.device == "cpu" else CONFIG.tasks[wildcards.task].resources.gpu


def picture(name, category):
    """A figure's files by name: each format, the CSV, and the PNG (or the first) in the report."""
    formats = CONFIG.figures.format
    shown = "png" if "png" in formats else formats[0]
    files = {ending: f"results/figures/{name}.{ending}" for ending in [*formats, "csv"]}
    files[shown] = report(
        files[shown],
        caption=f"../report/{name}.rst",
        category=category,
        labels={"figure": name},
    )
    return files


def shard_files(kind, ending="parquet"):
    """An input function: the shards' files of the wildcard's task, e.g. of `kind` runs."""
    return lambda wildcards: [
        f"results/{wildcards.task}/shards/{kind}_{first:06d}-{end:06d}.{ending}"
        for first, end in shards(CONFIG.tasks[wildcards.task], CONFIG.packing)
    ]


def signals_of(wildcards):
    """A task's signals: of runs that were trained."""
    known = wildcards.task in TRAINED
    return [f"results/{wildcards.task}/signals.parquet"] if known else []


def shard_of_seed(wildcards):
    """The shard that holds the wildcard's seed: its checkpoints come with it."""
    task, seed = wildcards.task, int(wildcards.seed)
    for first, end in shards(CONFIG.tasks[task], CONFIG.packing):
        if first <= seed < end:
            return f"results/{task}/shards/runs_{first:06d}-{end:06d}.parquet"
    raise WorkflowError(
        f"tasks.{task}.runs: there are {CONFIG.tasks[task].runs} runs, none is {seed}; raise runs"
    )


def trunk_shards(wildcards):
    """Shards that hold a task's trunks: forks start from their checkpoints."""
    task = CONFIG.tasks[wildcards.task]
    return [
        f"results/{wildcards.task}/shards/runs_{first:06d}-{end:06d}.parquet"
        for first, end in shards(task, CONFIG.packing)
        if first < task.forks.trunks
    ]


def fork_files(kind, ending="parquet"):
    """An input function: the files of the wildcard's task's forks; `kind` is depths or engine."""
    return lambda wildcards: [
        f"results/{wildcards.task}/forks/{kind}_{'-'.join(map(str, part))}.{ending}"
        for part in fork_parts(CONFIG.tasks[wildcards.task], CONFIG.packing)
    ]


def crossing(wildcards):
    """An input function: each cell's verdict and, where checkpoints are let go, the note of that."""
    if not CELLS:
        sys.exit(
            "prehoc: robustness: no cells, as it is null or none of its tasks is in tasks; name tasks that"
            " are there (docs/robustness.md)"
        )
    made = ["verdict", "released"] if RELEASES else ["verdict"]
    return [f"results/{cell}/{name}.json" for cell in CELLS for name in made]


def tables_made():
    """The joint tables that the enabled tasks fill; crossed ones fill `sources` alone."""
    return (
        ([*TABLES, *POLICY_TABLES, *JOINT] if TASKS else [])
        + (["sources"] if CROSSED else [])
        + (GAP_TABLES if GAPPED else [])
    )


def rules_of(what):
    """Files behind the collecting targets."""
    if what == "tables":
        return [
            *[f"results/tables/{t}.csv" for t in tables_made()],
            *[f"results/{t}/verdict.json" for t in TASKS],
            *(["results/summary.md"] if TASKS else []),
            *(["results/tables/claims.csv", "results/claims.md"] if TASKS else []),
        ]
    made = (
        (FIGURES if TASKS else [])
        + (["sources"] if CROSSED else [])
        + (["gap"] if GAPPED else [])
    )
    if what == "sources":
        made = ["sources"]
    return [
        f"results/figures/{f}.{ending}"
        for f in made
        for ending in [*CONFIG.figures.format, "csv"]
    ]


def imported_files():
    """The runs tables of others that claims are judged on; of a folder of `prehoc fit` its tables."""
    paths = [Path(one.path) for one in CONFIG.claims.imported]
    return [
        local(str(file))
        for path in paths
        for file in ([path / f"{n}.csv" for n in FITTED] if path.is_dir() else [path])
    ]


wildcard_constraints:
    task=one_of(KNOWN),
    table=one_of(TABLES),
    first=r"\d{6}",
    end=r"\d{6}",
    seed=r"\d{6}",
    until=r"\d{8}",
    depths=r"\d+(-\d+)*",
