"""Code generation: text_generation with the judge `tests`, from packaged data to pass@1 in the runs' records."""

from __future__ import annotations

import json

import numpy as np
import pytest
import transformers as hf
from generating import generation
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from trained import train

from prehoc.checking import written
from prehoc.config.metrics import measured
from prehoc.errors import InputError
from prehoc.sandbox import level
from prehoc.tasks.text_generation import TextGeneration

MBPP = {
    "text": "Write a function to double a number.",
    "code": "def twice(x):\n    return 2 * x",
    "test_list": ["assert twice(2) == 4", "assert twice(0) == 0"],
    "test_setup_code": "",
    "task_id": 1,
}


@pytest.fixture(scope="module")
def coder(tmp_path_factory):
    """A random tiny Llama that reads and writes bytes."""
    folder = tmp_path_factory.mktemp("coder")
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {"<pad>": 0, "<s>": 1, "</s>": 2} | {c: i for i, c in enumerate(alphabet, 3)}
    bytewise = Tokenizer(models.BPE(vocabulary, []))
    bytewise.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bytewise.decoder = decoders.ByteLevel()
    hf.PreTrainedTokenizerFast(
        tokenizer_object=bytewise, pad_token="<pad>", bos_token="<s>", eos_token="</s>"
    ).save_pretrained(folder)
    settings = hf.LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=512,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
    )
    hf.LlamaForCausalLM(settings).save_pretrained(folder, safe_serialization=True)
    return folder


@pytest.fixture
def config(stage, coder):
    made = generation(
        stage,
        coder,
        model__max_length=300,
        data__name="packaged:functions",
        data__subset=None,
        data__train=10,
        data__val=4,
        data__target=5,
        generation__prompt="{prompt}",
        generation__completion="{answer}",
        generation__judge="tests",
        generation__max_new_tokens=6,
    )
    return made | {
        "sandbox": {
            "kind": level().kind,
            "cpu_s": 5,
            "wall_s": 10.0,
            "memory_mb": 512,
            "scratch_mb": 8,
            "open_files": 32,
        }
    }


def test_the_judge_passes_references_and_nothing_else(config):
    problem = TextGeneration(config)
    rows = [example.row for example in problem.examples["target"]]
    assert problem.score_name == "pass_at_1"
    assert problem.judge(rows, [row["answer"] for row in rows]).all()
    assert not problem.judge(rows, ["    return 'another'\n" for _ in rows]).any()
    assert not problem.judge(rows, ["" for _ in rows]).any()


def test_runs_record_pass_at_1(config):
    config["outcome"]["metric"] = "pass_at_1"
    records = [record for run in train(config, range(3)).values() for record in run]
    assert {metric for _, split, metric, _, _ in records if split == "val"} == {"pass_at_1", "loss"}
    values = [value for _, _, metric, value, _ in records if metric == "pass_at_1"]
    assert len(values) > 3
    assert all(0 <= value <= 1 for value in values)  # a random model's text: judged, and no run fails by it
    assert not any(failure for *_, failure in records)


def test_mbpp_rows_become_tasks(config, tmp_path):
    import json

    path = tmp_path / "mbpp.jsonl"
    path.write_text("".join(json.dumps(MBPP | {"task_id": i}) + "\n" for i in range(19)))
    config["data"]["name"] = str(path)
    problem = TextGeneration(config)
    row = problem.examples["val"][0].row
    assert "Write a function to double a number." in row["prompt"]
    right = problem.judge([row] * 2, ["def twice(x):\n    return x + x", "def twice(x):\n    return x"])
    assert right.tolist() == [True, False]


def test_check_task_judges_references_right_and_a_blank_body_wrong(config):
    config["generation"]["max_new_tokens"] = 200
    problem = TextGeneration(config)
    [said] = written.references(problem)
    assert (said.level, said.topic) == ("OK", "judge")
    assert "19 of 19 true completions pass" in said.text
    [said] = written.empty_programs(problem)
    assert (said.level, said.topic) == ("OK", "tests")
    assert said.text.startswith("0 of 19 rows' tests pass a function that does nothing")
    some = problem.examples["val"]
    for blank in ("", "    pass\n"):
        assert not problem.judge([e.row for e in some], [blank] * len(some)).any()


def test_tests_that_a_blank_body_passes_are_named_by_their_row(config, tmp_path):
    row = {"prompt": "def f():\n", "answer": "    return None\n", "entry_point": "f"}
    tests = ["assert f() is None" if i == 3 else f"assert f() == {i}" for i in range(20)]
    answers = [
        row | {"answer": f"    return {i}\n" if i != 3 else "    return None\n", "test": t}
        for i, t in enumerate(tests)
    ]
    path = tmp_path / "own.jsonl"
    path.write_text("".join(json.dumps(a) + "\n" for a in answers))
    config["data"]["name"] = str(path)
    [said] = written.empty_programs(TextGeneration(config))
    assert said.level == "warning"
    assert "1 of 19 rows' tests pass a function that does nothing, as row 4's do" in said.text


def test_rows_that_are_no_code_task_are_named(config, tmp_path):
    path = tmp_path / "other.csv"
    path.write_text("prompt,answer\n" + "a,b\n" * 60)
    config["data"]["name"] = str(path)
    with pytest.raises(InputError, match="row 1: code task: no column 'test'"):
        TextGeneration(config)


def test_metrics_of_written_texts():
    assert measured("text_generation", None, judge="tests") == ("pass_at_1", "loss")
    assert measured("text_generation", None, judge="number") == ("exact_match", "loss")
    assert np.all([m in measured("text_classification", "class") for m in ("f1", "matthews", "accuracy")])
