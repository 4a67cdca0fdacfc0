"""TensorBoard event files: written by torch's SummaryWriter and by tensorboard, read by tensorboard."""

import sys

import numpy as np
import pytest
from logged import curve, imported

from prehoc.errors import InputError

pytest.importorskip("tensorboard")


def writer(folder):
    pytest.importorskip("torch")
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder))


def test_old_and_new_scalars_hyperparameters_and_repeats_are_read(tmp_path):
    for i in range(3):
        log = writer(tmp_path / "exp" / f"run_{i}")
        for step in (10, 20, 30):
            log.add_scalar("train/loss", 0.5, step)
            log.add_scalar("val/loss", 1.0 / step + i, step, new_style=bool(i))
        log.add_histogram("weights", np.arange(10.0), 10)
        log.add_text("note", "hello", 10)
        log.add_hparams({"learning_rate": 0.5, "optimiser": "adam", "seed": i}, {"hp/best": 1.0})
        log.close()
    again = writer(tmp_path / "exp" / "run_0")  # resumed from step 20
    again.add_scalar("val/loss", 0.25, 30)
    again.add_scalar("val/loss", float("nan"), 40)
    again.close()
    runs, index, lines = imported("tensorboard", tmp_path, metric="val/loss")
    assert index["source"].tolist() == ["exp/run_0", "exp/run_1", "exp/run_2"]
    first = curve(runs, "exp", 0)
    assert [d for d, _ in first] == [10, 20, 30, 40]
    assert first[2][1] == 0.25
    assert np.isnan(first[3][1])
    assert curve(runs, "exp", 2) == [(s, float(np.float32(1.0 / s + 2))) for s in (10, 20, 30)]
    assert index["repeated"].tolist() == [1, 0, 0]
    assert index["hp.learning_rate"].tolist() == [0.5] * 3
    assert index["logged_seed"].tolist() == [0, 1, 2]
    assert any("1 value logged again" in said for said in lines)


def test_the_one_evaluation_metric_is_taken_and_said_and_several_are_listed(tmp_path):
    log = writer(tmp_path / "r")
    for step in (1, 2):
        log.add_scalar("train/loss", 0.5, step)
        log.add_scalar("eval/accuracy", 0.1 * step, step)
        log.add_scalar("eval/runtime", 3.0, step)
        log.add_scalar("epoch", step, step)
    log.flush()
    runs, _, lines = imported("tensorboard", tmp_path)
    assert runs["metric"].tolist() == pytest.approx([0.1, 0.2])
    assert "metric: eval/accuracy (--metric takes another)" in lines
    log.add_scalar("eval/loss", 0.5, 1)
    log.add_scalar("eval/loss", 0.5, 2)
    log.close()
    with pytest.raises(
        InputError, match="several metrics: eval/accuracy, eval/loss; choose one by --metric"
    ):
        imported("tensorboard", tmp_path)


def test_a_file_cut_short_is_read_up_to_there_and_said_and_damage_is_refused(tmp_path):
    log = writer(tmp_path / "r")
    for step in range(1, 6):
        log.add_scalar("val/loss", 1.0 / step, step)
    log.close()
    path = next((tmp_path / "r").iterdir())
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    runs, _, lines = imported("tensorboard", tmp_path)
    assert runs["depth"].tolist() == [1, 2, 3, 4]
    assert any("its last record is cut short" in said for said in lines)
    spoiled = bytearray(whole)
    spoiled[len(whole) // 2] ^= 0xFF
    path.write_bytes(bytes(spoiled))
    with pytest.raises(InputError, match=r"damaged record: . of 6 events"):
        imported("tensorboard", tmp_path)
    runs, _, lines = imported("tensorboard", tmp_path, skip_bad=True)
    assert 0 < len(runs) < 5
    assert any("damaged record" in said for said in lines)
    path.write_bytes(b"this is not an event file at all")
    with pytest.raises(InputError, match="no TensorBoard event file"):
        imported("tensorboard", tmp_path)


def test_without_tensorboard_the_extra_to_install_is_named(tmp_path, monkeypatch):
    (tmp_path / "events.out.tfevents.1").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "tensorboard.backend.event_processing.event_file_loader", None)
    with pytest.raises(InputError, match=r'pip install "prehoc\[logs\]"'):
        imported("tensorboard", tmp_path)
