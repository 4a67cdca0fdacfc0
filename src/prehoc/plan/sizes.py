"""Bytes that a run will leave, where no pilot measured them: from the task's block alone, as estimates."""

from __future__ import annotations

from prehoc.config import Task, fork_depths
from prehoc.config.resources import DECODER_LAYERS, ENCODER_LAYERS

# Hidden widths of the packaged models; others are taken for the common one of their kind.
HIDDEN = {"packaged:minilm-l3": 384, "packaged:minilm-l6": 384, "packaged:smollm2": 576}
ENCODER_HIDDEN, DECODER_HIDDEN = 768, 2048
MOMENTS = {"adamw": 2, "lion": 1, "sgd": 1, "adafactor": 1}  # arrays of the weights' size beside them
FLOAT = 4
ROW = 12  # bytes of a row of a compressed table of runs or forks
STATES = 4  # states, queries, keys and values that the store keeps of a token


def hidden(task: Task) -> int:
    """The hidden width of the task's base model: known, or a common one."""
    decoder = task.kind == "causal_arithmetic"
    return HIDDEN.get(task.model.name if task.model else "", DECODER_HIDDEN if decoder else ENCODER_HIDDEN)


def trained(task: Task) -> int:
    """Trained weights of one run, roughly: LoRA's targets are taken for square."""
    if task.method is None:
        return 0
    method = task.method
    if method.kind == "full":
        modulus = task.arithmetic.modulus if task.arithmetic else 0
        return 12 * method.width**2 * method.depth + 2 * modulus * method.width
    classes = (task.data.classes if task.data else None) or 2
    head = hidden(task) * classes if task.kind == "text_classification" else 0
    if method.kind == "head":
        return head
    return _layers(task) * len(method.targets) * 2 * method.rank * hidden(task) + head


def checkpoint_bytes(task: Task) -> float:
    """Bytes of a run's checkpoint at one depth: weights, the optimiser's moments, outputs, signals."""
    moments = 0
    if task.optimiser is not None:
        moments = MOMENTS[task.optimiser.name]
        if task.optimiser.name == "sgd" and not task.optimiser.momentum:
            moments = 0
    said = task.outputs.examples if task.outputs and not task.crossed else 0
    return float(FLOAT * (trained(task) * (1 + moments) + said) + 2 * FLOAT * noted(task))


def noted(task: Task) -> int:
    """Signals of one run at a depth: five, and the projections; none of a crossed task."""
    return 5 + task.signals.projections if task.signals and not task.crossed else 0


def checkpoint_depths(task: Task) -> int:
    """At how many depths checkpoints are kept: the measured ones."""
    return len({*task.depths, task.horizon})


def fork_only_depths(task: Task) -> int:
    """Depths at which trunks alone are kept: those of forks that are not measured."""
    return len(set(fork_depths(task)) - {*task.depths, task.horizon})


def table_bytes(task: Task) -> float:
    """Bytes of a run's rows in the tables: two metrics a depth, R and its halves, outputs, signals."""
    depths = checkpoint_depths(task)
    said = task.outputs.examples if task.outputs and not task.crossed else 0
    return float(ROW * (2 * depths + 8) + FLOAT * (said + noted(task)) * depths)


def encoding_bytes(task: Task) -> float:
    """Bytes of the frozen activations in the store: pooled for a head, else by token below `top-K`.

    An upper estimate: every text as long as `max_length`.
    """
    if task.method is None or task.model is None or task.method.kind == "full":
        return 0.0
    if task.data is not None:
        rows = task.data.train + task.data.val + task.data.target
    elif task.arithmetic is not None:
        rows = int(task.arithmetic.train) + task.arithmetic.val + task.arithmetic.target
    else:
        return 0.0
    size = FLOAT * hidden(task) if task.precision == "fp32" else FLOAT // 2 * hidden(task)
    if task.method.kind == "head":
        return float(rows * size)
    if task.kind == "causal_arithmetic" and task.method.layers == "all":
        return 0.0
    return float(rows * task.model.max_length * STATES * size)


def encoding_key(task: Task) -> tuple[object, ...]:
    """What tasks must have in common to share an encoding."""
    data = task.data.model_dump(exclude={"label_noise"}) if task.data else {}
    model = task.model.model_dump() if task.model else {}
    layers = (task.method.kind, task.method.layers, task.method.pooling) if task.method else ()
    return (str(sorted(data.items())), str(sorted(model.items())), layers, task.precision)


def _layers(task: Task) -> int:
    assert task.method is not None
    top = task.method.layers.removeprefix("top-")
    if top.isdigit():
        return int(top)
    return DECODER_LAYERS if task.kind == "causal_arithmetic" else ENCODER_LAYERS
