"""A sandbox for programs that a model wrote: run them and their tests, whatever they do.

It knows nothing of tasks, and imports no other part of this package but its errors.
"""

from prehoc.sandbox.levels import KINDS, Level, available, choose, level
from prehoc.sandbox.programs import OUTCOMES, Limits, Outcome, Program
from prehoc.sandbox.run import run_all

__all__ = [
    "KINDS",
    "OUTCOMES",
    "Level",
    "Limits",
    "Outcome",
    "Program",
    "available",
    "choose",
    "level",
    "run_all",
]
