"""A budget in steps, hours or money."""

from __future__ import annotations

import math
from dataclasses import dataclass

from prehoc.errors import InputError

UNITS = ("steps", "hours", "money")


@dataclass(frozen=True)
class Budget:
    """What may be spent: `amount` in `unit` (steps, hours, money), a step's seconds and an hour's price."""

    amount: float
    unit: str = "steps"
    step_seconds: float | None = None
    price_per_hour: float | None = None

    def __post_init__(self) -> None:
        if self.unit not in UNITS:
            raise InputError(f"unit {self.unit!r} is unknown: give one of {', '.join(UNITS)}")
        given = {
            "budget": self.amount,
            "step-seconds": self.step_seconds,
            "price-per-hour": self.price_per_hour,
        }
        for name, value in given.items():
            if value is not None and not (math.isfinite(value) and value > 0):
                raise InputError(f"{name} {value:g}: give a number above 0")
        if self.unit != "steps" and self.step_seconds is None:
            raise InputError(f"a budget in {self.unit} needs --step-seconds: what a step of yours takes")
        if self.unit == "money" and self.price_per_hour is None:
            raise InputError("a budget in money needs --price-per-hour")

    @property
    def steps(self) -> float:
        """The budget in steps."""
        return self.amount / self.cost(1.0)

    def cost(self, steps: float) -> float:
        """What `steps` cost, in the unit."""
        if self.unit == "steps":
            return steps
        hours = steps * float(self.step_seconds or 0) / 3600
        return hours if self.unit == "hours" else hours * float(self.price_per_hour or 0)

    def words(self, steps: float) -> str:
        """`steps`, and in the budget's unit what they cost."""
        what = f"{round(steps):,} steps"
        if self.unit == "steps":
            return what
        return f"{what} ({self.cost(steps):.3g} {'hours' if self.unit == 'hours' else 'of money'})"
