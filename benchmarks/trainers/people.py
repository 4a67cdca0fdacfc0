"""How people train one seed: transformers' Trainer with peft, and a plain PyTorch loop."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader

from prehoc.training.schedule import step_size
from trainers import place
from trainers.clock import now
from trainers.models import Row, Task

Look = Callable[[int, nn.Module], None]  # what is done after step c = 1, 2, ...


def _optimiser(model: nn.Module, stage: dict[str, Any]) -> tuple[Any, Any]:
    """AdamW or SGD with the stage's settings; biases are not decayed, as in Trainer and in prehoc."""
    wanted = stage["optimiser"]
    trained = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    groups = [
        {
            "params": [p for n, p in trained if not n.endswith("bias")],
            "weight_decay": wanted["weight_decay"],
        },
        {"params": [p for n, p in trained if n.endswith("bias")], "weight_decay": 0.0},
    ]
    groups = [g for g in groups if g["params"]]
    if wanted["name"] == "adamw":
        fused = True if place.on_gpu() else None  # on a GPU as the Trainer's own default has it
        made: Any = torch.optim.AdamW(groups, lr=wanted["lr"], betas=tuple(wanted["betas"]), fused=fused)
    elif wanted["name"] == "sgd":
        made = torch.optim.SGD(groups, lr=wanted["lr"], momentum=wanted["momentum"])
    else:
        raise ValueError(f"the benchmarks compare adamw and sgd, not {wanted['name']}")
    law = torch.optim.lr_scheduler.LambdaLR(made, lambda k: step_size(wanted, k, stage["horizon"]))
    return made, law


def hugging_face(
    task: Task, stage: dict[str, Any], seed: int, steps: int, look: Look | None = None, bf16: bool = False
) -> list[float]:
    """Train one seed by transformers.Trainer; the times (s) at which its steps ended, `steps` of them.

    Nothing is saved, logged or reported; a batch is padded to its longest row. A GPU is waited for at the
    first and the last step alone: waiting in between would slow the contender. The other times say when
    Python was done with a step.
    """
    from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments, set_seed

    set_seed(seed)
    model = task.make().to(place.device())
    ends: list[float] = []

    class Clock(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
            ends.append(now(settled=len(ends) in (0, steps - 1)))
            if look is not None:
                look(state.global_step, model)

    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            max_steps=steps,
            per_device_train_batch_size=stage["optimiser"]["batch_size"],
            max_grad_norm=stage["optimiser"]["clip"] or 0.0,
            save_strategy="no",
            logging_strategy="no",
            eval_strategy="no",
            report_to=[],
            disable_tqdm=True,
            use_cpu=not place.on_gpu(),
            bf16=bf16,
            seed=seed,
        )
        trainer = Trainer(
            model=model,
            args=arguments,
            train_dataset=task.rows["train"],
            data_collator=task.collate,
            optimizers=_optimiser(model, stage),
            callbacks=[Clock()],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return ends


def plain_loop(task: Task, stage: dict[str, Any], seed: int, steps: int) -> list[float]:
    """Train one seed by a loop of a few lines; the times (s) at which its steps ended, as above."""
    torch.manual_seed(seed)
    device = place.device()
    model = task.make().to(device).train()
    optimiser, law = _optimiser(model, stage)
    trained = [p for p in model.parameters() if p.requires_grad]
    loader = DataLoader(
        task.rows["train"],
        batch_size=stage["optimiser"]["batch_size"],
        shuffle=True,
        collate_fn=task.collate,
        pin_memory=place.on_gpu(),
    )
    ends: list[float] = []
    while len(ends) < steps:
        for batch in loader:
            model(**{k: v.to(device, non_blocking=True) for k, v in batch.items()})["loss"].backward()
            if stage["optimiser"]["clip"]:
                nn.utils.clip_grad_norm_(trained, stage["optimiser"]["clip"])
            optimiser.step()
            law.step()
            optimiser.zero_grad()
            ends.append(now(settled=len(ends) in (0, steps - 1)))
            if len(ends) == steps:
                break
    return ends


@torch.inference_mode()
def judged(task: Task, model: nn.Module, split: str, batch: int = 64) -> tuple[float, float]:
    """Accuracy and mean loss (nats) of a model on a split."""
    was = model.training
    model.eval()
    rows, device = task.rows[split], next(model.parameters()).device
    right = loss = 0.0
    for part in _parts(rows, batch):
        given = {k: v.to(device) for k, v in task.collate(part).items()}
        made = model(**given)
        right += float((made["logits"].argmax(-1) == given["labels"]).sum())
        loss += float(made["loss"]) * len(part)
    model.train(was)
    return right / len(rows), loss / len(rows)


def _parts(rows: list[Row], size: int) -> Iterable[list[Row]]:
    for first in range(0, len(rows), size):
        yield rows[first : first + size]
