"""Any run of a LoRA task as an ordinary peft adapter folder, from its checkpoint in the store.

A causal task's adapter goes on AutoModelForCausalLM. A classification task's head is linear on the
first position's last state (`cls`) or on their mean (`mean`), without a pooler: that is a
token classifier, whose logits at the first position, or their mean over real ones, are the task's.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import nn

from prehoc.errors import InputError
from prehoc.tasks import hub, models
from prehoc.tasks.adapters import lora_config
from prehoc.tasks.machine import Machine
from prehoc.tasks.problem import Theta
from prehoc.training import checkpoint
from prehoc.training.bank import Bank
from prehoc.training.places import banks, depth_of
from prehoc.training.problems import Setting, build
from prehoc.training.width import settled

CAUSAL = ("causal_arithmetic", "text_generation")
PROBE = 2  # tokens on which a token classifier's head is looked at


def export(config: dict[str, Any], machine: Machine, seed: int, depth: int | None, out: Path) -> str:
    """Write run `seed` of a task, as it was at `depth` (the horizon, if None), as a peft adapter to `out`.

    `config` is the task's `train` stage config. Returns one line that says what was written. Raises
    InputError, naming the remedy, if the task trains no adapters, the run has no checkpoint, or `out`
    holds something already.
    """
    method = config["method"]
    if method is None or method["kind"] != "lora":
        raise InputError("method.kind: only runs of a LoRA task have adapters; set method.kind: lora")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"--out: {out} exists and is no empty folder; name another, or remove it")
    depth = config["horizon"] if depth is None else depth
    setting = build(config, machine)
    theta, failed = run_state(config, setting, machine, seed, depth)
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        base = write_adapter(config, theta, temporary)
        (temporary / "README.md").write_text(card(config, setting, seed, depth, failed, base))
        for path in temporary.iterdir():  # made for its owner alone, as temporary files are
            path.chmod(0o644)
        temporary.chmod(0o755)
        temporary.rename(out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return f"{config['task']}: run {seed} at depth {depth} is in {out}"


def run_state(
    config: dict[str, Any], setting: Setting, machine: Machine, seed: int, depth: int
) -> tuple[Theta, int]:
    """A run's parameters at a depth, without the run axis, and the step it diverged at (-1: none).

    Raises InputError, saying which depths there are, if the store has no such checkpoint.
    """
    config = settled(config, machine)
    base = checkpoint.folder(config, setting.weights, checkpoint.protocol(machine))
    bank = Bank(setting.problem.parameters, 1, config["optimiser"])
    state = checkpoint.find(base, [seed], depth, bank.state())
    if state is not None:
        bank.load(state)
        return {k: v.detach()[0].cpu() for k, v in bank.theta.items()}, int(state["failed_at"][0])
    folders = [folder for first, count, folder in banks(base) if first <= seed < first + count]
    files = [path for folder in folders for path in folder.glob("depth_*.safetensors")]
    kept = {depth_of(path) for path in files}
    if depth in kept:
        broken = next(path for path in files if depth_of(path) == depth)
        raise InputError(f"{broken}: broken; train its runs again: that sets it aside and goes on")
    have = f"there are depths {', '.join(map(str, sorted(kept)))}" if kept else "the run was not trained"
    raise InputError(
        f"--seed {seed}, --depth {depth}: no checkpoint in {config['store']}: {have}; name another "
        f"depth, or run snakemake results/{config['task']}/adapters/seed_{seed:06d}, which trains it"
    )


def write_adapter(config: dict[str, Any], theta: Theta, out: Path) -> tuple[str, str | None]:
    """Write one run's parameters as adapter_config.json and adapter_model.safetensors.

    Returns where the base model is (folder or Hub name) and its revision.
    """
    from peft import TaskType, get_peft_model

    where = models.model_folder(config["model"], Path(config["store"]))
    where = str(Path(where).resolve()) if Path(where).is_dir() else where
    revision = config["model"]["revision"]
    copy = hub.copy_of("model", config["model"])
    head: str | None = None
    if config["kind"] in CAUSAL:
        _, model = models.load_causal(where, revision)
        prefix, task = "", TaskType.CAUSAL_LM
    else:
        model, head = _token_classifier(where, revision, len(theta["head.bias"]))
        prefix, task = f"{model.base_model_prefix}.", TaskType.TOKEN_CLS
    names = [k.removesuffix(".A") for k in theta if k.endswith(".A")]
    rule: Any = lora_config(config["method"], model)
    rule.layers_to_transform = None
    rule.target_modules = {prefix + n for n in names}
    rule.task_type, rule.modules_to_save = task, None if head is None else [head]
    rule.base_model_name_or_path, rule.revision = where, revision
    adapted: Any = get_peft_model(model, rule)
    inner = adapted.base_model.model
    with torch.no_grad():
        for name in names:
            place = inner.get_submodule(prefix + name)
            place.lora_A["default"].weight.copy_(theta[f"{name}.A"])
            place.lora_B["default"].weight.copy_(theta[f"{name}.B"])
        if head is not None:
            ours = inner.get_submodule(head).modules_to_save["default"]
            ours.weight.copy_(theta["head.weight"])
            ours.bias.copy_(theta["head.bias"])
    adapted.save_pretrained(str(out), save_embedding_layers=False)
    # peft writes sets in an order of their own each time
    path = out / "adapter_config.json"
    written = json.loads(path.read_text())
    if copy is not None:  # it was read from the store; who loads the adapter finds it under its name
        where, revision = config["model"]["name"], copy.commit
        written |= {"base_model_name_or_path": where, "revision": revision}
    written["target_modules"] = sorted(prefix + n for n in names)
    path.write_text(json.dumps(written, indent=2, sort_keys=True) + "\n")
    return where, revision


def _token_classifier(where: str, revision: str | None, classes: int) -> tuple[Any, str]:
    """A token classifier and its head's name, where that head is linear on the last hidden state.

    Raises InputError where transformers has none for the architecture, or one with more in its head.
    """
    from transformers import AutoModelForTokenClassification

    try:
        model = AutoModelForTokenClassification.from_pretrained(
            where, revision=revision, dtype=torch.float32, use_safetensors=True, num_labels=classes
        ).eval()
    except ValueError as error:
        line = " ".join(str(error).split())[:120]
        raise InputError(f"model.name: no token classifier to export to: {line}") from error
    linear = [
        n
        for n, m in model.named_children()
        if isinstance(m, nn.Linear) and m.out_features == classes and m.bias is not None
    ]
    if len(linear) == 1 and _reads_last_state(model, linear[0]):
        return model, linear[0]
    raise InputError(
        f"model.name: {type(model).__name__}'s head is not one linear layer on the last hidden state, so "
        "this task's head has no place in it; export works for bert, roberta, electra, mpnet, llama and kin"
    )


def _reads_last_state(model: Any, head: str) -> bool:
    """Whether the head's input is the base model's last hidden state."""
    seen: list[torch.Tensor] = []
    handle = model.get_submodule(head).register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    ids = torch.ones(1, PROBE, dtype=torch.int64)
    try:
        with torch.no_grad():
            model(input_ids=ids, attention_mask=torch.ones_like(ids))
            last = model.base_model(input_ids=ids, attention_mask=torch.ones_like(ids))[0]
    finally:
        handle.remove()
    return len(seen) == 1 and seen[0].shape == last.shape and torch.equal(seen[0], last)


_CAUSAL = """\
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

base = AutoModelForCausalLM.from_pretrained({base}{revision})
model = PeftModel.from_pretrained(base, "this folder").eval()
tokeniser = AutoTokenizer.from_pretrained({base}{revision})
"""
_TOKENS = """\
from peft import PeftModel
from transformers import AutoModelForTokenClassification, AutoTokenizer

base = AutoModelForTokenClassification.from_pretrained({base}{revision}, num_labels={classes})
model = PeftModel.from_pretrained(base, "this folder").eval()
tokeniser = AutoTokenizer.from_pretrained({base}{revision})
tokens = tokeniser(texts, truncation=True, max_length={length}, padding=True, return_tensors="pt")
by_token = model(**tokens).logits  # [n, L, {classes}]
{pooled}
"""
_POOLED = {
    "cls": "logits = by_token[:, 0]",
    "mean": 'mask = tokens["attention_mask"][..., None]\nlogits = (by_token * mask).sum(1) / mask.sum(1)',
}
_SAYS = {
    "causal": "Prompts read `12+34=`; the answer and an end token follow.",
    "cls": "The task's head is linear on the first position's last hidden state, without a pooler: hence a "
    "token classifier, of which the first position counts.",
    "mean": "The task's head is linear on the mean of the last hidden states, without a pooler: hence a "
    "token classifier, whose logits are averaged over the real positions.",
}


def card(
    config: dict[str, Any],
    setting: Setting,
    seed: int,
    depth: int,
    failed: int,
    base: tuple[str, str | None],
) -> str:
    """The model card: how to load the adapter, and where it comes from."""
    where, revision = base
    local = Path(where).is_dir()
    fields = {
        "base": json.dumps(where),
        "revision": f", revision={json.dumps(revision)}" if revision else "",
        "classes": setting.problem.classes,
        "length": config["model"]["max_length"],
        "pooled": _POOLED[config["method"]["pooling"]],
    }
    causal = config["kind"] in CAUSAL
    snippet = (_CAUSAL if causal else _TOKENS).format(**fields)
    says = _SAYS["causal" if causal else config["method"]["pooling"]]
    if config["kind"] == "text_generation":
        block = config["generation"]
        says = (
            f"Prompts are made by the template `{json.dumps(block['prompt'])}`, completions by "
            f"`{json.dumps(block['completion'])}`; in the tokeniser's chat template: {block['chat']}."
        )
    rows = {
        "task": config["task"],
        "seed": seed,
        "depth": f"{depth} of {config['horizon']} steps",
        "root seed": config["seed"],
        "base model": config["model"]["name"],
        "revision": revision or "none",
        "weights and data": setting.weights,
        "data": config["data"]["name"] if config["data"] else "generated",
        "precision of the frozen base in training": config["precision"],
        "made by": f"prehoc {version('prehoc')}",
    }
    if failed >= 0:
        rows["diverged"] = f"at step {failed}; these are the weights before it"
    table = "\n".join(f"| {k} | {v} |" for k, v in rows.items())
    front = ["library_name: peft", "tags: [lora]", *([] if local else [f"base_model: {where}"])]
    head = "\n".join(front)
    return (
        f"---\n{head}\n---\n# {config['task']}, run {seed}, depth {depth}\n\n{says}\n\n"
        f"```python\n{snippet}```\n\n| | |\n|---|---|\n{table}\n"
    )
