"""What computes a job's runs: the machine and the width of its banks, which falls where memory runs out."""

from __future__ import annotations

import gc
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import torch

from prehoc.errors import InputError
from prehoc.provenance import processor
from prehoc.tasks.machine import Machine, Sums, bf16_units
from prehoc.training.lock import Times
from prehoc.training.problems import Setting
from prehoc.training.width import MIN_WIDTH, choose

Report = Callable[[str], None]
Item = TypeVar("Item")
Made = TypeVar("Made")


def ran_out(error: BaseException) -> bool:
    """Whether an error says that memory ran out."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and ("can't allocate memory" in text or "out of memory" in text)


class Engine:
    """A job's machine, the width of its banks, what became of both, and its patience with other writers."""

    def __init__(
        self,
        config: dict[str, Any],
        setting: Setting,
        runs: int,
        report: Report,
        times: Times | None = None,
    ) -> None:
        self.times = times or Times()
        self.task, self.machine, self.report = config["task"], setting.machine, report
        self.width = choose(config, setting.problem, setting.machine, runs, report)
        self.widths: set[int] = set()
        self.halvings = 0
        self.begun = time.monotonic()

    def share(
        self,
        items: Sequence[Item],
        cut: Callable[[Sequence[Item], int], list[list[Item]]],
        work: Callable[[list[Item], int], Made],
    ) -> Iterator[tuple[list[Item], Made]]:
        """Each part of the items that `cut` makes for a width, with what `work` makes of it at that width.

        Where memory runs out the width is halved, and the part's work begun anew in two: what it had
        put into checkpoints is found there. Raises InputError where a bank of two does not fit.
        """
        left = cut(items, self.width)
        while left:
            part = left.pop(0)
            pieces = cut(part, self.width)
            if len(pieces) > 1:
                left = pieces + left
                continue
            try:
                made = work(part, self.width)
            except (MemoryError, RuntimeError) as error:
                if Sums.has_none(error) and not Sums.loose:
                    self._loosen(error)
                elif ran_out(error):
                    self._halve()
                else:
                    raise
                left.insert(0, part)
                made = None
            self._tidy(made is None)  # out here the error is gone, and with it what it held
            if made is not None:
                self.widths.add(self.width)
                yield part, made

    def _tidy(self, short: bool) -> None:
        """Free a bank that is done: on a GPU its recorded step refers to it, and it to that."""
        gpu = self.machine.device.type == "cuda"
        if gpu or short:
            gc.collect()
        if gpu and short:
            torch.cuda.empty_cache()

    def _loosen(self, error: Exception) -> None:
        """Let the GPU add in any order from here on, where an operation knows no other way."""
        Sums.loose = True
        named = str(error).split(" does not have")[0].split()[-1]
        self.report(
            f"{self.task}: on this GPU {named} adds in no fixed order: a run's numbers differ by rounding "
            "from one time to the next"
        )

    def _halve(self) -> None:
        if self.width <= MIN_WIDTH:
            raise InputError(
                f"a bank of {self.width} runs does not fit in the memory of {self.machine.device}; lower "
                "optimiser.batch_size or model.max_length, or take a machine with more memory"
            ) from None
        self.width = max(self.width // 2, MIN_WIDTH)
        self.halvings += 1
        self.report(f"{self.task}: memory ran out; banks of {self.width} runs from here on")

    def record(self) -> dict[str, Any]:
        """What computed the runs, as JSON data; the same after an interruption."""
        return {
            "device": self.machine.device.type,
            "device_name": device_name(self.machine),
            "precision": self.machine.precision,
            "bf16_units": bf16_units(self.machine.device),
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            "bank_widths": sorted(self.widths, reverse=True),
            "halvings": self.halvings,
            "sums_in_order": not Sums.loose,
        }

    def cost(self) -> str:
        """Seconds and peak memory so far, in words: for the log, as they differ each time."""
        spent = f"{time.monotonic() - self.begun:.0f} s"
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        text = f"{spent}, peak {peak:.2f} GiB of memory"
        if self.machine.device.type == "cuda":
            taken = torch.cuda.max_memory_allocated(self.machine.device) / 2**30
            text += f" and {taken:.2f} GiB of the GPU's"
        return text


def device_name(machine: Machine) -> str:
    """The processor's or the GPU's own name."""
    if machine.device.type == "cuda":
        return torch.cuda.get_device_name(machine.device)
    return processor()
