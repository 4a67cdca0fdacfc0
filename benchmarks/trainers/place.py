"""Where all contenders train: on a CPU, or on a CUDA GPU, which works on while Python goes ahead."""

from __future__ import annotations

import gc
from typing import Any

import torch

KINDS = ("cpu", "cuda")
cuda: Any = torch.cuda
_chosen = "cpu"


def use(kind: str) -> None:
    """Train on `kind` from now on: cpu or cuda. Raises SystemExit, in one line, without such a GPU."""
    global _chosen
    if kind == "cuda" and not cuda.is_available():
        raise SystemExit("--device cuda: torch sees no CUDA GPU here; use --device cpu")
    _chosen = kind


def device() -> torch.device:
    """The device that models, batches and banks lie on."""
    return torch.device(_chosen)


def on_gpu() -> bool:
    """Whether that is a GPU."""
    return _chosen == "cuda"


def settle() -> None:
    """Wait until a GPU has done all that it was told; a CPU is never behind."""
    if on_gpu():
        cuda.synchronize()


def free() -> None:
    """Give a GPU's memory back that nothing uses, what garbage holds included."""
    if on_gpu():
        gc.collect()
        cuda.empty_cache()


def forget_peak() -> None:
    """Begin to note a GPU's peak memory anew."""
    if on_gpu():
        cuda.reset_peak_memory_stats()


def peak_bytes() -> int | None:
    """The most that tensors took of a GPU at a time since `forget_peak`; None on a CPU."""
    return int(cuda.max_memory_allocated()) if on_gpu() else None


def facts() -> dict[str, Any]:
    """The GPU's name, memory, CUDA version and driver, as far as torch tells; nothing on a CPU."""
    if not on_gpu():
        return {}
    from torch.utils import collect_env

    found = cuda.get_device_properties(0)
    return {
        "gpu": found.name,
        "gpu_bytes": found.total_memory,
        "gpu_processors": found.multi_processor_count,
        "gpu_capability": f"{found.major}.{found.minor}",
        "cuda": torch.version.cuda,
        "driver": collect_env.get_nvidia_driver_version(collect_env.run),
        "float32_matmul_precision": torch.get_float32_matmul_precision(),
    }
