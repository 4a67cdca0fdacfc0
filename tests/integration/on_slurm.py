"""A SLURM for tests, and projects that run on it."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from project import Project, copy_project

HERE = Path(__file__).parent
TINY = ("--configfile", "tiny.yaml")
OWN = [
    f"results/tiny/{name}" for name in ("verdict.json", "predictors.csv", "policies.csv")
]  # all of a task
NODES = 6
PATIENCE = 300  # seconds; waits end with what they wait for, this is for a test that hangs


def until(condition, what, seconds=PATIENCE):
    """The first true value of `condition()`."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > end:
            pytest.fail(f"waited {seconds} s in vain: {what() if callable(what) else what}")
        time.sleep(0.1)
    return value


class Cluster:
    """The SLURM of tests/integration/slurm/up, in a folder of its own."""

    def __init__(self, state):
        self.state = state

    def up(self):
        install = ["--install"] if os.environ.get("PREHOC_SLURM") == "required" else []
        line = [HERE / "slurm/up", self.state, "--nodes", str(NODES), "--gpus", "1", *install]
        # Its daemons keep their parent's files open: a pipe would never end.
        with (self.state.parent / "up.log").open("w+") as log:
            done = subprocess.run(line, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            log.seek(0)
            said = log.read().strip()
        if done.returncode == 77 and not install:
            pytest.skip(f"no SLURM: {said}")
        assert done.returncode == 0, said

    def down(self):
        subprocess.run([HERE / "slurm/down", self.state], check=True)

    def say(self, *line):
        return subprocess.run(line, check=True, capture_output=True, text=True).stdout.strip()

    def field(self, job, name):
        """A field of `scontrol show job`, such as JobState or NodeList."""
        return re.search(rf"\b{name}=(\S+)", self.say("scontrol", "show", "job", job))[1]

    def state_of(self, job):
        return self.field(job, "JobState")

    def pid(self, daemon):
        return int((self.state / f"run/{daemon}.pid").read_text())

    def kill(self, daemon):
        os.kill(self.pid(daemon), signal.SIGKILL)

    def crash_node(self, node):
        """What a node's loss of power does: its daemon and all that it runs end at once."""
        number = self.pid(f"slurmd-{node}")
        steps = []
        jobs = self.say("squeue", "-h", "-w", node, "-o", "%A").split()
        os.kill(number, signal.SIGKILL)
        for pid, words in processes():
            if "slurmstepd" in words[0] and any(f"[{job}." in words[0] for job in jobs):
                steps.append(pid)
        for pid in steps:
            for child in descendants(pid):
                kill(child)

    def start(self, *daemon):
        """Start one daemon that was killed: `slurmctld`, or `slurmd -N NODE`."""
        path = f"{os.environ['PATH']}:/usr/sbin"
        subprocess.run([shutil.which(daemon[0], path=path), *daemon[1:]], check=True)

    def displace(self, job):
        """A job of higher priority that needs the GPU of `job`'s node, for a second."""
        node = self.field(job, "NodeList")
        line = ["sbatch", "--parsable", "-p", "high", "-w", node, "--gpus=1", "--mem=100", "-t", "1"]
        return self.say(*line, "-o", "/dev/null", "--wrap", "sleep 1")


def kill(pid, number=signal.SIGKILL):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def processes():
    """Pairs of process number and command line, as words."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_text(errors="replace").split("\0")
            except OSError:
                continue
            found.append((int(entry.name), words))
    return found


def descendants(pid):
    """`pid` and all below it."""
    below = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            below.setdefault(parent, []).append(int(entry.name))
    found = [pid]
    for one in found:
        found += below.get(one, [])
    return found


class Work(Project):
    """A project whose workflow runs on the cluster."""

    number = 0

    @property
    def env(self):
        here = super().env
        return here | {
            "PYTHONPATH": f"{HERE / 'hooks'}{os.pathsep}{here['PYTHONPATH']}",
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
        }

    def hold(self, *orders):
        """Say which jobs stop, and where: see hooks/sitecustomize.py."""
        (self.folder / "hold").write_text("".join(f"{order}\n" for order in orders))

    def slurm(self, *args):
        """Start `snakemake --profile slurm` with `args`; what it says goes to `said()`."""
        self.number += 1
        program = [sys.executable, str(HERE / "quick_snakemake.py")]
        quickly = ["--slurm-init-seconds-before-status-checks", "1"]
        with self.log.open("w") as log:
            return subprocess.Popen(
                [*program, *args, "--profile", "slurm", *TINY, *quickly, "--latency-wait", "20"],
                cwd=self.folder,
                env=self.env,
                stdout=log,
                stderr=log,
            )

    @property
    def log(self):
        return self.folder / f"snakemake-{self.number}.log"

    def said(self):
        return self.log.read_text()

    def jobs(self, shard):
        """The SLURM jobs that were submitted for a shard, in order."""
        return re.findall(rf"SLURM jobid (\d+) \(log: \S+/rule_train/tiny_{shard}_", self.said())

    def job(self, shard, attempt=1):
        return until(
            lambda: len(self.jobs(shard)) >= attempt and self.jobs(shard)[attempt - 1],
            lambda: f"submission {attempt} of shard {shard}\n{self.said()[-3000:]}",
        )

    def trainers(self, shard):
        """Process numbers of the commands that train a shard, in this project."""
        found = []
        for pid, words in processes():
            if "train" in words and "--first" in words and words[0].endswith("python"):
                first = words[words.index("--first") + 1].zfill(6)
                try:
                    here = Path(f"/proc/{pid}/cwd").resolve() == self.folder.resolve()
                except OSError:
                    continue
                if here and first == shard:
                    found.append(pid)
        return found

    def frozen(self, shard):
        """Wait until the shard's job has frozen itself; its process number."""

        def stopped():
            for pid in self.trainers(shard):
                try:
                    if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T":
                        return pid
                except OSError:
                    continue
            return None

        return until(stopped, lambda: f"shard {shard} to be held\n{self.said()[-3000:]}")

    def release(self, shard):
        for pid in self.trainers(shard):
            kill(pid, signal.SIGCONT)

    def checkpoints(self):
        """What marks each checkpoint file as the one that was written: its inode and time."""
        files = (self.folder / ".prehoc/checkpoints").rglob("depth_*.safetensors")
        return {str(f): (f.stat().st_ino, f.stat().st_mtime_ns) for f in files}

    def kept(self, before):
        """Whether no checkpoint of `before` was written again."""
        now = self.checkpoints()
        return [name for name, mark in before.items() if now.get(name) != mark] == []

    def same_as(self, other, *targets):
        """Finish the workflow here, without SLURM, and compare its tables with `other`'s, byte for byte.

        Without targets it is the task's own tables; joining them with other tasks' adds nothing.
        """
        (self.folder / "hold").unlink(missing_ok=True)
        self.run(*(targets or OWN), *TINY)
        ours, theirs = self.tables(), other.tables()
        if not targets:
            ours = {name: text for name, text in ours.items() if name.startswith("tiny/")}
            theirs = {name: text for name, text in theirs.items() if name.startswith("tiny/")}
        assert ours.keys() == theirs.keys()
        assert [name for name in ours if ours[name] != theirs[name]] == []

    def tables(self):
        """The bytes of every table that is there."""
        results = self.folder / "results"
        files = [
            *results.glob("tables/*.csv"),
            *results.glob("tiny/*.*"),
            *results.glob("tiny/shards/*.parquet"),
        ]
        return {str(f.relative_to(results)): f.read_bytes() for f in files if f.name != "engine.json"}

    def without(self, shard):
        """The same project, with nothing of a shard trained, and nothing that follows from it."""
        for path in [
            *self.folder.glob(f"results/tiny/shards/*_{shard}-*"),
            *self.folder.glob("results/tables/*"),
        ]:
            path.unlink()
        for path in self.folder.glob("results/tiny/*"):
            if path.is_file() and path.name not in ("static.parquet", "sources.json"):
                path.unlink()
        shutil.rmtree(self.folder / ".prehoc/checkpoints")
        return self


def tiny_project(folder):
    """A project with the tiny config, and the profile's root link."""
    copy_project(folder)
    (folder / "slurm").symlink_to("profiles/slurm")
    config = yaml.safe_load((HERE / "tiny.yaml").read_text())
    if "lock" in yaml.safe_load((folder / "config.yaml").read_text()):
        config["lock"] = {"heartbeat": 1, "stale": 6}  # a job that was killed leaves its lock behind
    (folder / "tiny.yaml").write_text(yaml.safe_dump(config))
    return Work(folder)


def twin(project, folder):
    """A copy of a project with all that it has made."""
    shutil.copytree(project.folder, folder, symlinks=True)
    return Work(folder)


def shards(*firsts):
    """The files of runs of these shards."""
    return [f"results/tiny/shards/runs_{first:06d}-{first + 16:06d}.parquet" for first in firsts]
