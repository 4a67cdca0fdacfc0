"""Lightning's CSVLogger: files that it writes itself."""

import numpy as np
import pytest
from logged import curve, imported

from prehoc.errors import InputError


def test_logs_that_lightning_wrote_come_back(tmp_path):
    loggers = pytest.importorskip("pytorch_lightning.loggers")
    for i in range(2):
        log = loggers.CSVLogger(tmp_path, name="exp")
        log.log_hyperparams({"lr": 0.1, "seed": 5 + i, "optimiser": {"name": "adam", "betas": (0.9, 0.95)}})
        for step in range(1, 7):
            log.log_metrics({"train_loss": 2.0, "epoch": step // 3}, step=step)
            if step % 3 == 0:
                value = float("nan") if (i, step) == (1, 6) else 1.0 / step
                log.log_metrics({"val_loss": value, "epoch": step // 3}, step=step)
        log.log_metrics({"test_acc": 0.5 + i, "epoch": 2}, step=6)
        log.save()
    runs, index, lines = imported("lightning", tmp_path, final="test_acc")
    assert "metric: val_loss (--metric takes another)" in lines
    assert index["source"].tolist() == ["exp/version_0/metrics.csv", "exp/version_1/metrics.csv"]
    assert curve(runs, "exp", 0) == [(3, 1 / 3), (6, 1 / 6)]
    assert np.isnan(curve(runs, "exp", 1)[1][1])
    assert runs["final"].tolist() == [0.5, 0.5, 1.5, 1.5]
    assert index["logged_seed"].tolist() == [5, 6]
    assert index["hp.optimiser.name"].tolist() == ["adam", "adam"]
    assert not any("differ" in said for said in lines)
    by_epoch, _, _ = imported("lightning", tmp_path, depth="epoch", metric="val_loss")
    assert by_epoch["depth"].tolist() == [1, 2, 1, 2]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("epoch,step,val_loss\n0,1,0.5\n0,2\n", "line 3: 2 cells where the header has 3 columns"),
        ("epoch,step,val_loss\n0,1,0.5\n0,two,0.4\n", "line 3: depth 'two' is no whole number"),
        ("epoch,step,val_loss\n0,1,0.5\n0,2,low\n", "line 3: val_loss 'low' is no number"),
    ],
)
def test_bad_lines_are_named_or_set_aside(tmp_path, text, said):
    (tmp_path / "metrics.csv").write_text(text)
    with pytest.raises(InputError, match=said):
        imported("lightning", tmp_path)
    assert imported("lightning", tmp_path, skip_bad=True)[0]["metric"].tolist() == [0.5]


def test_foreign_tags_in_hparams_are_plain_data_and_never_run(tmp_path):
    (tmp_path / "metrics.csv").write_text("epoch,step,val_loss\n0,1,0.5\n")
    evil = "lr: 0.1\nmodel: !!python/object/apply:os.system ['touch made']\npath: !!python/name:os.path.join ''\n"
    (tmp_path / "hparams.yaml").write_text(evil)
    _, index, _ = imported("lightning", tmp_path)
    assert index.loc[0, "hp.lr"] == 0.1
    assert index.loc[0, "hp.model"] == '["touch made"]'


def test_a_file_without_steps_names_its_columns(tmp_path):
    (tmp_path / "metrics.csv").write_text("epoch,val_loss\n0,0.5\n")
    with pytest.raises(
        InputError, match="no column 'step'; it has epoch, val_loss: name the depth by --depth"
    ):
        imported("lightning", tmp_path)
