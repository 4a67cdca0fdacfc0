"""MLPerf result logs: files that mlperf-logging writes, and what real ones hold besides."""

import json
import logging

import numpy as np
import pytest
from logged import curve, imported

from prehoc.errors import InputError

BS8 = {
    "global_batch_size": 8,
    "opt_base_learning_rate": 0.0004,
    "opt_learning_rate_training_steps": 1024,
    "lora_rank": 16,
}


def write_real(
    path, seed, values, status="success", benchmark="llama2_70b_lora", depth="samples_count", **hp
):
    """One run's log, by mlperf-logging itself."""
    mllog = pytest.importorskip("mlperf_logging.mllog")
    path.parent.mkdir(parents=True, exist_ok=True)
    mllog.config(filename=str(path))
    log = mllog.get_mllogger()
    log.event("cache_clear", True)
    log.start("init_start")
    log.event("submission_benchmark", benchmark)
    log.event("submission_org", "Lab")
    log.event("submission_platform", "1xGPU")
    log.event("seed", seed)
    for key, value in (BS8 | hp).items():
        log.event(key, value)
    log.end("init_stop")
    log.start("run_start")
    for step, value in values:
        log.event("train_loss", 1.5, metadata={depth: step})
        log.event("tracked_stats", {"throughput": 3.2}, metadata={"step": step})
        log.event("eval_accuracy", value, metadata={depth: step})
    if status is not None:
        log.end("run_stop", metadata={"status": status})
    for handler in list(log.logger.handlers):
        handler.close()
        log.logger.removeHandler(handler)
    logging.getLogger("mlperf_logging").handlers.clear()


def line(key, value, **metadata):
    event = {"namespace": "", "time_ms": 1, "event_type": "POINT_IN_TIME", "key": key, "value": value}
    return ":::MLLOG " + json.dumps(event | {"metadata": {"file": "x.py", "lineno": 1} | metadata})


def by_hand(path, *lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


def test_submissions_of_two_rounds_give_tasks_groups_seeds_and_status(tmp_path):
    for i in (0, 1, 2, 10):
        where = tmp_path / "v4" / "Lab" / "results" / "node_a" / "llama2_70b_lora" / f"result_{i}.txt"
        write_real(where, 100 + i, [(384, 0.95), (768, 0.93 + i / 1000)])
    other = tmp_path / "v5" / "Firm" / "results" / "node_b" / "llama2_70b_lora"
    write_real(other / "result_0.txt", 7, [(384, 0.94)], status="aborted")
    write_real(other / "result_1.txt", 8, [(384, 0.94)], status=None, opt_base_learning_rate=0.0005)
    (other / "README.txt").write_text("no log")
    runs, index, lines = imported("mlperf", tmp_path)
    task = "llama2_70b_lora.bs8.lr0.0004.T1024"
    assert index["task"].tolist() == [task] * 5 + ["llama2_70b_lora.bs8.lr0.0005.T1024"]
    assert index["logged_seed"].tolist() == [100, 101, 102, 110, 7, 8]
    assert index["seed"].tolist() == [0, 1, 2, 3, 4, 0]
    assert index["status"].tolist() == ["finished"] * 4 + ["aborted", "unknown"]
    assert index["group"].tolist() == ["Lab/node_a"] * 4 + ["Firm/node_b"] * 2
    assert index.loc[3, "source"] == "v4/Lab/results/node_a/llama2_70b_lora/result_10.txt"
    assert curve(runs, task, 3) == [(384, 0.95), (768, 0.93 + 10 / 1000)]
    assert index["hp.lora_rank"].tolist() == [16] * 6
    assert not any("hp.train_loss" in c or "tracked" in c for c in index.columns)
    assert lines == []


@pytest.mark.parametrize(
    ("suite", "hp", "name"),
    [
        (
            "bert",
            {"opt_base_learning_rate": 0.000425, "opt_learning_rate_training_steps": 6700.0},
            "bert.bs8.lr0.000425.T6700",
        ),
        ("resnet", {"opt_name": "lars", "lars_opt_base_learning_rate": 11.0}, "resnet.bs8.lars"),
        (
            "unet3d",
            {"opt_base_learning_rate": 2.0, "opt_learning_rate_warmup_epochs": 1000, "opt_name": "nag"},
            "unet3d.bs8.lr2.wu1000",
        ),
    ],
)
def test_names_of_tasks_follow_what_each_benchmark_logs(tmp_path, suite, hp, name):
    told = [
        line("submission_benchmark", suite),
        line("global_batch_size", 8),
        *(line(k, v) for k, v in hp.items()),
    ]
    by_hand(tmp_path / "result_0.txt", *told, line("eval_accuracy", 0.5, epoch_num=3))
    runs, _, _ = imported("mlperf", tmp_path)
    assert runs["task"].tolist() == [name]
    assert runs["depth"].tolist() == [3]


def test_epochs_of_unet3d_are_told_as_samples(tmp_path):
    head = [line("submission_benchmark", "unet3d"), line("train_samples", 168)]
    by_hand(tmp_path / "result_0.txt", *head, line("eval_accuracy", 0.5, epoch_num=1000))
    by_hand(tmp_path / "result_1.txt", *head, line("eval_accuracy", 0.5, epoch_num=168000))
    runs, _, lines = imported("mlperf", tmp_path)
    assert runs["depth"].tolist() == [168000, 168000]
    assert any("epochs x train_samples" in said for said in lines)


def test_marks_stand_anywhere_in_a_line_and_other_bytes_do_no_harm(tmp_path):
    path = tmp_path / "slurm-1.out"
    text = f" 0: {line('seed', 5)}\n13: {line('seed', 5)}\n"
    text += f"progress 10%\r{line('eval_accuracy', 0.9, samples_count=10)} trailing {line('eval_accuracy', 0.8, samples_count=20)}\n"
    path.write_bytes(b"\xff\xfe progress\n" + text.encode())
    runs, index, _ = imported("mlperf", path)
    assert runs["metric"].tolist() == [0.9, 0.8]
    assert index["logged_seed"].tolist() == [5]
    assert index["group"].tolist() == [""]


def test_runs_of_one_file_are_told_apart_by_their_ends(tmp_path):
    one = [
        line("run_start", None),
        line("eval_accuracy", 0.5, step_num=1),
        line("run_stop", None, status="success"),
    ]
    again = [line("init_start", None), *one]
    by_hand(
        tmp_path / "a.log",
        line("seed", 3),
        *one,
        line("init_stop", None),
        *again,
        line("run_stop", None, status="success"),
    )
    _, index, _ = imported("mlperf", tmp_path)
    assert index["source"].tolist() == ["a.log#1", "a.log#2"]
    assert index["rows"].tolist() == [1, 1]
    assert index["status"].tolist() == ["finished", "finished"]


def test_divergence_is_a_failure_and_a_run_without_evaluation_stays_in_the_index(tmp_path):
    by_hand(
        tmp_path / "result_0.txt",
        line("eval_accuracy", float("nan"), samples_count=5),
        line("eval_accuracy", float("inf"), samples_count=6),
    )
    by_hand(tmp_path / "result_1.txt", line("seed", 1))
    runs, index, _ = imported("mlperf", tmp_path)
    assert np.isnan(runs["metric"]).all()
    assert len(runs) == 2
    assert index["rows"].tolist() == [2, 0]


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (':::MLLOG {"key": "eval_acc', "line 2: broken JSON after :::MLLOG"),
        (line("eval_accuracy", "high", samples_count=2), "line 2: eval_accuracy 'high' is no number"),
        (line("eval_accuracy", None, samples_count=2), "line 2: eval_accuracy 'None' is no number"),
        (line("eval_accuracy", 0.5, samples_count=2.5), "line 2: depth '2.5' is no whole number"),
        (line("eval_accuracy", 0.5), "line 2: eval_accuracy without a depth (samples_count)"),
    ],
)
def test_a_bad_line_is_named_and_can_be_set_aside(tmp_path, bad, said):
    by_hand(tmp_path / "result_0.txt", line("eval_accuracy", 0.9, samples_count=1), bad)
    with pytest.raises(InputError) as error:
        imported("mlperf", tmp_path)
    assert said in str(error.value)
    assert "result_0.txt" in str(error.value)
    assert "--bad-lines skip" in str(error.value)
    runs, _, lines = imported("mlperf", tmp_path, skip_bad=True)
    assert runs["metric"].tolist() == [0.9]
    assert [said for said in lines if said.startswith("set aside: 1 ")]


def test_a_result_without_a_single_log_line_is_set_aside_by_name(tmp_path):
    by_hand(tmp_path / "result_0.txt", line("eval_accuracy", 0.9, samples_count=1))
    by_hand(tmp_path / "result_1.txt", "killed")
    _, _, lines = imported("mlperf", tmp_path)
    assert lines == ["set aside: 1 file: no :::MLLOG line in it (first: result_1.txt)"]
