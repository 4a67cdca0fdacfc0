"""MLflow's file store, written by MLflow's own client."""

import numpy as np
import pytest
from logged import curve, imported

from prehoc.errors import InputError


@pytest.fixture
def client(tmp_path, monkeypatch):
    for key in ("MLFLOW_ALLOW_FILE_STORE", "MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK"):
        monkeypatch.setenv(key, "true")
    tracking = pytest.importorskip("mlflow.tracking")
    return tracking.MlflowClient(tracking_uri=(tmp_path / "mlruns").as_uri())


def test_a_store_that_mlflow_wrote_comes_back(client, tmp_path):
    lora, other = client.create_experiment("lora r16"), client.create_experiment("full")
    ends = ["FINISHED", "FAILED", "KILLED", None, "FINISHED"]
    for i, end in enumerate(ends):
        run = client.create_run(lora, start_time=1000 + i).info.run_id
        for step in (10, 20):
            client.log_metric(run, "metrics/val/loss", 1.0 / step + i, step=step)
            client.log_metric(run, "train_loss", 2.0, step=step)
        client.log_metric(run, "test_acc", 0.5 + i / 10, step=0)
        if end == "FAILED":
            client.log_metric(run, "metrics/val/loss", float("nan"), step=30)
        client.log_param(run, "learning_rate", "1e-3")
        client.log_param(run, "seed", 40 + i)
        client.set_tag(run, "host", "node_a")
        if end:
            client.set_terminated(run, end)
    client.delete_run(run)
    client.create_run(other)
    runs, index, lines = imported(
        "mlflow", tmp_path, metric="metrics/val/loss", final="test_acc", group_by="tags.host"
    )
    mine = index[index["task"] == "lora r16"]
    assert mine["status"].tolist() == ["finished", "failed", "aborted", "running"]
    assert mine["logged_seed"].tolist() == [40, 41, 42, 43]
    assert mine["hp.learning_rate"].tolist() == [0.001] * 4
    assert mine["group"].tolist() == ["node_a"] * 4
    assert curve(runs, "lora r16", 2) == [(10, 2.1), (20, 2.05)]
    assert np.isnan(curve(runs, "lora r16", 1)[-1][1])
    assert runs.loc[runs["seed"] == 2, "final"].tolist() == [0.7, 0.7]
    assert index.loc[index["task"] == "full", "rows"].tolist() == [0]
    assert any(said.startswith("set aside: 1 run: deleted in MLflow") for said in lines)
    source = tmp_path / "mlruns" / mine["source"].iloc[0]
    assert (source / "meta.yaml").is_file()
    for src in (tmp_path / "mlruns" / lora, source):
        assert set(imported("mlflow", src, metric="train_loss")[1]["task"]) == {"lora r16"}


def by_hand(folder, history, status="3"):
    (folder / "metrics").mkdir(parents=True)
    (folder / "metrics" / "val_loss").write_text(history)
    (folder / "meta.yaml").write_text(f"status: {status}\nstart_time: 5\nlifecycle_stage: active\n")


def test_old_lines_without_a_step_and_new_ones_with_a_dataset_are_read(tmp_path):
    by_hand(tmp_path / "0" / "a", "1 0.5\n")
    by_hand(tmp_path / "0" / "b", "1 0.5 7 data digest\n", status="RUNNING")
    runs, index, _ = imported("mlflow", tmp_path)
    assert runs["depth"].tolist() == [0, 7]
    assert index["status"].tolist() == ["finished", "running"]


@pytest.mark.parametrize(
    ("history", "said"),
    [
        ("1 0.5 1\n2 0.4\n3\n", "line 3: not `timestamp value step`"),
        ("1 0.5 1\n1 low 2\n", "line 2: val_loss 'low' is no number"),
        ("1 0.5 1\n1 0.1 -2\n", "line 2: depth '-2' is no whole number"),
    ],
)
def test_bad_lines_are_named_or_set_aside(tmp_path, history, said):
    by_hand(tmp_path / "0" / "a", history)
    with pytest.raises(InputError, match=said):
        imported("mlflow", tmp_path)
    assert len(imported("mlflow", tmp_path, skip_bad=True)[0]) >= 1
