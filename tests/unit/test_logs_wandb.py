"""Weights & Biases: histories of runs that wandb itself logs offline, and the UI's export as documented."""

import json

import numpy as np
import pytest
from logged import curve, imported

from prehoc.errors import InputError


def log_offline(folder, name, rows, config, monkeypatch):
    """A run that wandb logs offline; its history rows, as its own reader finds them in the .wandb file."""
    wandb = pytest.importorskip("wandb")
    datastore = pytest.importorskip("wandb.sdk.internal.datastore")
    from wandb.proto import wandb_internal_pb2

    for key in ("WANDB_SILENT", "WANDB_DISABLE_GIT", "WANDB_DISABLE_CODE"):
        monkeypatch.setenv(key, "true")
    for key in ("WANDB_MODE", "WANDB_ERROR_REPORTING"):
        monkeypatch.setenv(key, {"WANDB_MODE": "offline"}.get(key, "false"))
    folder.mkdir(parents=True)
    run = wandb.init(project="p", name=name, dir=str(folder), config=config, mode="offline")
    for step, row in rows:
        run.log(row, step=step)
    run.finish()
    wandb.teardown()  # its process ends: the file is whole
    (kept,) = folder.glob("wandb/offline-run-*/*.wandb")
    store = datastore.DataStore()
    store.open_for_scan(str(kept))
    history = []
    while (content := store.scan_data()) is not None:
        record = wandb_internal_pb2.Record()
        record.ParseFromString(content)
        if record.HasField("history"):
            items = record.history.item
            history.append({".".join(i.nested_key) or i.key: json.loads(i.value_json) for i in items})
    return kept, history


def lines_of(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_histories_of_real_runs_come_back_as_json_lines_and_as_csv(tmp_path, monkeypatch):
    pandas = pytest.importorskip("pandas")
    logged = [
        (0, {"train/loss": 2.0}),
        (10, {"train/loss": 1.0, "eval/loss": 0.9}),
        (20, {"eval/loss": 0.5}),
    ]
    diverged = [(10, {"eval/loss": 0.8}), (20, {"eval/loss": float("nan")})]
    kept, first = log_offline(tmp_path / "w0", "a", logged, {"lr": 0.1, "seed": 7}, monkeypatch)
    _, second = log_offline(tmp_path / "w1", "b", diverged, {"lr": 0.1, "seed": 8}, monkeypatch)
    assert {"_step", "_runtime", "_timestamp", "eval/loss"} <= set(first[1])
    for i, (rows, seed) in enumerate(((first, 7), (second, 8))):
        lines_of(tmp_path / "sweep" / f"run_{i}" / "history.jsonl", rows)
        (tmp_path / "sweep" / f"run_{i}" / "config.yaml").write_text(
            f"_wandb:\n  value: {{cli: 1}}\nlr:\n  value: 0.1\nseed:\n  value: {seed}\n"
        )
    runs, index, lines = imported("wandb", tmp_path / "sweep")
    assert "metric: eval/loss (--metric takes another)" in lines
    assert curve(runs, "sweep", 0) == [(10, 0.9), (20, 0.5)]
    second_curve = curve(runs, "sweep", 1)
    assert second_curve[0] == (10, 0.8)
    assert np.isnan(second_curve[1][1])
    assert index["logged_seed"].tolist() == [7, 8]
    assert index["hp.lr"].tolist() == [0.1, 0.1]
    pandas.DataFrame(first).to_csv(tmp_path / "one.csv")  # run.history().to_csv()
    runs, _, _ = imported("wandb", tmp_path / "one.csv", metric="eval/loss")
    assert curve(runs, tmp_path.name, 0) == [(10, 0.9), (20, 0.5)]
    with pytest.raises(InputError, match=r"offline run's own binary; sync it and export the history"):
        imported("wandb", kept)


def test_an_export_of_the_ui_has_one_column_a_run(tmp_path):
    header = '"Step","lora-1 - eval/loss","lora-1 - eval/loss__MIN","lora-1 - eval/loss__MAX","a - b - eval/loss","a - b - eval/loss__MIN","a - b - eval/loss__MAX"'
    rows = [
        '"10","0.9","0.9","0.9","","",""',
        '"20","0.8","0.8","0.8","0.7","0.7","0.7"',
        '"30","NaN","NaN","NaN","0.6","0.6","0.6"',
    ]
    (tmp_path / "export.csv").write_text("\n".join([header, *rows]) + "\n")
    runs, index, _ = imported("wandb", tmp_path / "export.csv")
    assert index["source"].tolist() == ["export.csv#lora-1", "export.csv#a - b"]
    assert curve(runs, "export", 1) == [(20, 0.7), (30, 0.6)]
    assert np.isnan(curve(runs, "export", 0)[2][1])
    bad = (tmp_path / "export.csv").read_text().replace('"0.7","0.7","0.7"', '"high","0.7","0.7"')
    (tmp_path / "export.csv").write_text(bad)
    with pytest.raises(
        InputError, match=r"column 'a - b - eval/loss', line 3: eval/loss 'high' is no number"
    ):
        imported("wandb", tmp_path / "export.csv")


def test_another_depth_can_be_named_and_rows_without_one_are_counted(tmp_path):
    rows = [
        {"_step": 1, "val_loss": 1.0, "train/global_step": 100},
        {"_step": 2, "val_loss": 0.9, "train/global_step": 200},
    ]
    lines_of(tmp_path / "a.jsonl", [*rows, {"_step": 3, "val_loss": 0.1}])
    runs, _, lines = imported("wandb", tmp_path, depth="train/global_step", metric="val_loss")
    assert runs["depth"].tolist() == [100, 200]
    assert lines == ["set aside: 1 row: no train/global_step in it (first: a.jsonl, line 3)"]
    with pytest.raises(InputError, match=r"no key 'epoch' for --depth; it has _step, val_loss"):
        imported("wandb", tmp_path, depth="epoch")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"_step": 1, "val": 1}\n{"_step": 2, "v', r"line 2: broken JSON"),
        ('{"_step": 1, "val": 1}\n{"_step": -2, "val": 1}', r"line 2: depth '-2' is no whole number >= 0"),
        ('{"_step": 1, "val": 1}\n{"_step": 2, "val": "low"}', r"line 2: val 'low' is no number"),
        ('{"_step": 1, "val": 1}\n[3]', r"line 2: broken JSON"),
    ],
)
def test_bad_lines_of_a_history_are_named_or_set_aside(tmp_path, text, said):
    (tmp_path / "h.jsonl").write_text(text)
    with pytest.raises(InputError, match=said):
        imported("wandb", tmp_path)
    runs, _, _ = imported("wandb", tmp_path, skip_bad=True)
    assert runs["metric"].tolist() == [1.0]


def test_a_table_without_steps_is_no_history(tmp_path):
    (tmp_path / "x.csv").write_text("name,score\na,1\n")
    with pytest.raises(InputError, match="no _step among name, score"):
        imported("wandb", tmp_path / "x.csv")


def test_a_history_as_one_json_list_is_read_and_its_odd_entries_named(tmp_path):
    path = tmp_path / "history.json"
    path.write_text('[{"_step": 1, "eval": {"loss": 0.5}}, {"_step": 2, "eval": {"loss": "Infinity"}}]')
    runs, _, _ = imported("wandb", path)
    assert runs["metric"].isna().tolist() == [False, True]
    path.write_text('[{"_step": 1, "eval": {"loss": 0.5}}, 3]')
    with pytest.raises(InputError, match=r"entry 2: no object"):
        imported("wandb", path)
