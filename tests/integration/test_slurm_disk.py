"""Files at fault while a job runs: a checkpoint cut short, and a disk that is full under the results."""

import shutil
import subprocess
from pathlib import Path

import pytest
from on_slurm import TINY, shards, twin

SHARD = "000000"


def test_truncated_checkpoint(work, cluster, undisturbed):
    """The job that comes next sets it aside, says so, and goes on from the last whole one."""
    work.hold(f"{SHARD} stop")
    process = work.slurm(*shards(0))
    job = work.job(SHARD)
    work.frozen(SHARD)
    work.hold()
    before = work.checkpoints()
    assert len(before) >= 2
    bank = min(before).rpartition("/")[0]
    whole, cut = sorted(name for name in before if name.startswith(bank))[:2]
    with Path(cut).open("r+b") as stream:
        stream.truncate(stream.seek(0, 2) // 2)
    cluster.say("scancel", job)
    assert process.wait() == 0, work.said()[-3000:]
    assert work.checkpoints()[whole] == before[whole], "a finished part was trained again"
    assert f"{cut}.broken" in {str(path) for path in (work.folder / ".prehoc").rglob("*.broken")}
    said = "".join(path.read_text() for path in work.folder.glob("results/logs/train/*.log"))
    assert cut.rpartition("/")[2] in said
    work.same_as(undisturbed)


@pytest.fixture
def small_disk(work, tmp_path):
    """The project with a disk of its own, of a few MB, under `results`; and how to fill it."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "prehoc", disk], capture_output=True
    )
    if mounted.returncode:
        pytest.skip(f"no disk can be mounted: {mounted.stderr.decode().strip()}")
    project = twin(work, tmp_path / "small")
    shutil.move(project.folder / "results", disk / "results")
    (project.folder / "results").symlink_to(disk / "results")
    yield project, disk / "ballast"
    subprocess.run(["umount", "--lazy", disk], check=True)


def fill(ballast):
    """Write until not one byte more can be written."""
    size = 1 << 20
    with ballast.open("wb", buffering=0) as stream:
        while size:
            try:
                stream.write(b"\0" * size)
            except OSError:
                size //= 2


def test_full_disk_under_results(small_disk, cluster, undisturbed):
    """Jobs fail and say why; when there is space again, the same command ends in the same tables."""
    work, ballast = small_disk
    work.hold(f"{SHARD} stop")
    process = work.slurm(*shards(0), "--retries", "0")
    job = work.job(SHARD)
    work.frozen(SHARD)
    work.hold()
    fill(ballast)
    work.release(SHARD)
    assert process.wait() != 0
    assert cluster.state_of(job) == "FAILED"
    said = (work.folder / f"results/logs/train/tiny_{SHARD}-000016.log").read_text()
    assert "is full: nothing was left half written; make space there" in said
    assert "prehoc: results: the disk, a quota or a limit on file sizes is full" in work.said()
    done = work.checkpoints()
    assert not (work.folder / shards(0)[0]).exists()
    ballast.unlink()
    work.run("--unlock", *TINY)
    work.same_as(undisturbed)
    assert work.kept(done), "a finished part was trained again"
