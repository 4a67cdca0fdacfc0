"""Runs of transformers' Trainer: what it writes, read back."""

import json

import numpy as np
import pytest
from logged import curve, imported

from prehoc.errors import InputError


def train(folder, seed, steps=6, stop=None):
    """A real, tiny Trainer run with evaluations and checkpoints every 2 steps."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")

    class Line(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = torch.nn.Linear(2, 1)

        def forward(self, x, labels=None):
            out = self.linear(x)
            return {"loss": ((out - labels) ** 2).mean(), "logits": out}

    class Stop(transformers.TrainerCallback):
        def on_step_end(self, args, state, control, **_):
            control.should_training_stop = stop is not None and state.global_step >= stop

    torch.manual_seed(seed)
    data = [{"x": torch.randn(2), "labels": torch.randn(1)} for _ in range(12)]
    args = transformers.TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=4,
        max_steps=steps,
        eval_strategy="steps",
        eval_steps=2,
        save_steps=2,
        logging_steps=1,
        learning_rate=0.01,
        seed=seed,
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
    )
    trainer = transformers.Trainer(Line(), args, train_dataset=data, eval_dataset=data, callbacks=[Stop()])
    trainer.train()
    trainer.save_state()
    (folder / "training_args.json").write_text(args.to_json_string())
    return [(e["step"], e["eval_loss"]) for e in trainer.state.log_history if "eval_loss" in e]


def test_runs_that_trainer_wrote_come_back_whole(tmp_path):
    told = [train(tmp_path / "lines" / f"run_{i}", seed=i, stop=4 if i == 1 else None) for i in range(2)]
    (tmp_path / "lines" / "run_0" / "trainer_state.json").unlink()  # its checkpoints hold it too
    runs, index, lines = imported("trainer", tmp_path)
    assert curve(runs, "lines", 0) == told[0]
    assert curve(runs, "lines", 1) == told[1]
    assert [d for d, _ in told[0]] == [2, 4, 6]
    assert index["source"].tolist() == [
        "lines/run_0/checkpoint-6/trainer_state.json",
        "lines/run_1/trainer_state.json",
    ]
    assert index["status"].tolist() == ["finished", "aborted"]
    assert index["logged_seed"].tolist() == [0, 1]
    assert index["hp.learning_rate"].tolist() == [0.01, 0.01]
    assert index["hp.max_steps"].tolist() == [6, 6]
    assert any("training_args.bin is not read" in said for said in lines)
    assert not any("differ" in said for said in lines)


def state(path, history, steps=10, most=10, **more):
    path.parent.mkdir(parents=True, exist_ok=True)
    body = {"global_step": steps, "max_steps": most, "log_history": history, "train_batch_size": 8}
    path.write_text(json.dumps(body | more))


def test_another_metric_and_a_final_one_are_taken_when_named(tmp_path):
    history = [
        {"step": 5, "eval_loss": 0.9, "eval_accuracy": 0.5, "epoch": 0.5},
        {"step": 10, "eval_loss": 0.8, "eval_accuracy": 0.6, "epoch": 1.0},
    ]
    state(tmp_path / "a" / "trainer_state.json", [*history, {"step": 10, "test_accuracy": 0.55}])
    state(tmp_path / "b" / "trainer_state.json", history)
    runs, _, lines = imported("trainer", tmp_path, metric="eval_accuracy", final="test_accuracy")
    assert runs["metric"].tolist() == [0.5, 0.6, 0.5, 0.6]
    assert runs["final"].tolist()[:2] == [0.55, 0.55]
    assert runs["final"].isna().tolist() == [False, False, True, True]
    assert "1 of 2 runs have no test_accuracy: their final is empty" in lines
    with pytest.raises(InputError, match="--metric acc: no run has it; there are eval_accuracy, eval_loss"):
        imported("trainer", tmp_path, metric="acc")
    with pytest.raises(InputError, match="--final best: no run has it"):
        imported("trainer", tmp_path, final="best")


def test_nan_of_a_diverged_run_is_a_failure_and_the_highest_checkpoint_is_read(tmp_path):
    at_2 = [{"step": 2, "eval_loss": 1.0}]
    state(tmp_path / "r" / "checkpoint-2" / "trainer_state.json", at_2, steps=2)
    state(
        tmp_path / "r" / "checkpoint-10" / "trainer_state.json",
        [*at_2, {"step": 10, "eval_loss": float("nan")}],
    )
    (tmp_path / "r" / "checkpoint-10" / "adapter_config.json").write_text(
        '{"r": 4, "lora_alpha": 8, "lora_dropout": 0.0}'
    )
    runs, index, _ = imported("trainer", tmp_path)
    assert runs["depth"].tolist() == [2, 10]
    assert np.isnan(runs["metric"].tolist()[1])
    assert index.loc[0, ["hp.lora_rank", "hp.lora_alpha"]].tolist() == [4, 8]


def test_runs_of_different_settings_under_one_task_are_warned_of_and_told_apart(tmp_path):
    for i, rate in enumerate((0.1, 0.1, 0.2)):
        state(tmp_path / f"r{i}" / "trainer_state.json", [{"step": 1, "eval_loss": 1.0 + i}])
        (tmp_path / f"r{i}" / "args.json").write_text(
            json.dumps({"learning_rate": rate, "seed": i, "output_dir": f"r{i}"})
        )
    _, index, lines = imported("trainer", tmp_path)
    warned = [said for said in lines if said.startswith("warning")]
    assert len(warned) == 1
    assert "its 3 runs differ in learning_rate (2 values); --task-by learning_rate" in warned[0]
    _, index, lines = imported("trainer", tmp_path, task="line", task_by=("hp.learning_rate",))
    assert index["task"].tolist() == ["line.learning_rate=0.1"] * 2 + ["line.learning_rate=0.2"]
    assert index["seed"].tolist() == [0, 1, 0]
    assert lines == []
    with pytest.raises(
        InputError, match="--task-by rank: no run has this hyperparameter; there are learning_rate"
    ):
        imported("trainer", tmp_path, task_by=("rank",))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"global_step": 3,\n "log_history": [', "line 2: broken JSON"),
        ('{"global_step": 3}', "it has no log_history"),
        ('{"log_history": []}', "it has no global_step"),
        (
            '{"global_step": 3, "log_history": [{"step": 1, "eval_loss": "low"}]}',
            "log_history 1: eval_loss 'low' is no number",
        ),
        ('{"global_step": 3, "log_history": [{"eval_loss": 1}]}', "log_history 1: an entry without a step"),
        (
            '{"global_step": 3, "log_history": [{"step": 1, "eval_loss": [1]}]}',
            "eval_loss '[1]' is no number",
        ),
        ("[1]", "it has no log_history"),
    ],
)
def test_a_broken_state_is_named_and_can_be_set_aside(tmp_path, content, said):
    state(tmp_path / "good" / "trainer_state.json", [{"step": 1, "eval_loss": 1.0}])
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "trainer_state.json").write_text(content)
    with pytest.raises(InputError) as error:
        imported("trainer", tmp_path)
    assert said in str(error.value)
    assert "bad/trainer_state.json" in str(error.value)
    runs, _, lines = imported("trainer", tmp_path, skip_bad=True)
    assert runs["metric"].tolist() == [1.0]
    assert any(said.startswith("set aside: 1 ") for said in lines)
