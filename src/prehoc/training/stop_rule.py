"""At which depth a run of a task is to stop: c* as an earlier fit has it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from prehoc.errors import InputError


@dataclass(frozen=True)
class StopRule:
    """Stop at `depth` steps.  The rest is where that comes from; None where a depth was given.

    `price` is the unit-free price of the row that was taken, `asked` the one that was asked for;
    `low` and `high` c*'s interval and `horizon` the fit's last depth, in steps.
    """

    depth: int
    price: float | None = None
    asked: float | None = None
    low: float | None = None
    high: float | None = None
    horizon: int | None = None
    corner: str = "interior"
    online: Any = None  # what judges a run by its own curve: `depths`, and judge(curve) -> Judged

    def in_words(self) -> str:
        """The rule in a phrase, as `c* = 23 [4, 64] at price 0.2`."""
        if self.online is not None:
            return f"the run's own curve at price {self.price:g}"
        if self.price is None:
            return f"depth {self.depth}, as given"
        between = "" if self.low is None or self.high is None else f" [{self.low:.0f}, {self.high:.0f}]"
        near = "" if self.asked in (None, self.price) else f" (the nearest to {self.asked:g})"
        return f"c* = {self.depth}{between} at price {self.price:g}{near}"

    def depths(self, horizon: int) -> set[int]:
        """Where a run of `horizon` steps has to be evaluated."""
        return {self.depth} if self.online is None else {d for d in self.online.depths if d <= horizon}

    def ends(self, curve: Mapping[int, float]) -> str | None:
        """Why a run that has come to `depth` stops now, in words; None where it goes on."""
        if self.online is None:
            return self.in_words()
        judged = self.online.judge(curve)
        return str(judged.in_words()) if judged.stop else None


def stop_rule(stop_at: Any, task: str, price: float | None = None) -> StopRule:
    """The rule that `stop_at` asks for.

    `stop_at` is a depth; the path of a verdict.json, by `prehoc fit` or of one task of the workflow, or of
    the folder that holds it; what such a file holds; a Verdict; a fit, an object with `verdict()` or a
    frame `c_star`; or a rule of prehoc.online, which has its own price. Of a fit's prices the one nearest
    to `price` on a log scale is taken, without it the middle one. c* is the guarded rule's
    (docs/method.md), rounded up.

    Raises InputError where there is no c* of `task`: no such task, one that was refused, or no verdict at
    all.
    """
    if price is not None and not (_is_number(price) and math.isfinite(price) and price > 0):
        raise InputError(f"price: takes a number above 0, not {price!r}")
    if _is_number(stop_at):
        if price is not None:
            raise InputError(
                "price: goes with a fit or a verdict as stop_at, not with a depth; leave it out"
            )
        if stop_at != int(stop_at) or stop_at < 1:
            raise InputError(f"stop_at: a depth is a whole number of 1 or more, not {stop_at!r}")
        return StopRule(int(stop_at))
    if hasattr(stop_at, "judge"):
        if price is not None:
            raise InputError("price: goes to prehoc.online, whose rule this is; leave it out here")
        own = stop_at.of(task) if hasattr(stop_at, "of") else stop_at
        return StopRule(own.first, own.price, horizon=own.horizon, online=own)
    source, rows, horizon = _priced(stop_at, task)
    known = [r for r in rows if _finite(r.get("c_star")) and _finite(r.get("price")) and _price(r) > 0]
    known.sort(key=_price)
    if not known:
        raise InputError(
            f"{source}: has no c* of task {task!r}; fit it with prices, or give stop_at a depth"
        )
    if price is None:
        row = known[(len(known) - 1) // 2]
    else:
        row = min(known, key=lambda r: abs(math.log(_price(r)) - math.log(price)))
    return StopRule(
        depth=math.ceil(float(row["c_star"])),
        price=_price(row),
        asked=price,
        low=float(row["low"]) if _finite(row.get("low")) else None,
        high=float(row["high"]) if _finite(row.get("high")) else None,
        horizon=horizon,
        corner=str(row.get("corner", "interior")),
    )


def _priced(stop_at: Any, task: str) -> tuple[str, list[dict[str, Any]], int | None]:
    """What it is called, its c* of `task` at each price, and the horizon that they belong to."""
    if isinstance(stop_at, (str, Path)):
        return _of_tasks(_load(Path(stop_at)), str(stop_at), task)
    if isinstance(stop_at, Mapping):
        return _of_tasks(stop_at, "stop_at", task)
    source = f"stop_at ({type(stop_at).__name__})"
    spoken = stop_at.verdict() if callable(getattr(stop_at, "verdict", None)) else stop_at
    if callable(getattr(spoken, "to_json", None)):  # a prehoc.Verdict
        spoken = spoken.to_dict()
    if isinstance(spoken, (Mapping, list)):
        return _of_tasks(spoken, source, task)
    frame = getattr(stop_at, "c_star", None)
    if frame is None or not hasattr(frame, "to_dict"):
        raise InputError(
            f"{source}: takes a depth, the path of a verdict.json, or a fit of prehoc.fit; give one of them"
        )
    rows = frame.to_dict("records")
    _has_task(sorted({str(r["task"]) for r in rows}), task, source)
    return source, [r for r in rows if r["task"] == task and r.get("recommended")], None


def _load(path: Path) -> Any:
    path = path / "verdict.json" if path.is_dir() else path
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(
            f"{path}: no such file; make it with prehoc fit, or give stop_at a depth"
        ) from error
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}); name the verdict.json itself"
        ) from error
    except ValueError as error:
        raise InputError(f"{path}: is no JSON ({error}); name a verdict.json of prehoc fit") from error


def _of_tasks(spoken: Any, source: str, task: str) -> tuple[str, list[dict[str, Any]], int | None]:
    """The same of a verdict: {"tasks": [...]}, a list of tasks, {name: task}, or one task."""
    if isinstance(spoken, Mapping) and "c_star" not in spoken and spoken.get("status") != "refused":
        listed: Any = spoken.get("tasks", list(spoken.values()))
    else:
        listed = [spoken] if isinstance(spoken, Mapping) else spoken
    if isinstance(listed, Mapping):
        listed = list(listed.values())
    if not isinstance(listed, Iterable) or isinstance(listed, str):
        raise InputError(f"{source}: is no verdict; name a verdict.json of prehoc fit or of a task")
    each = [one for one in listed if isinstance(one, Mapping) and "task" in one]
    if not each:
        raise InputError(f"{source}: is no verdict, as it names no task; name a verdict.json of prehoc fit")
    _has_task([str(one["task"]) for one in each], task, source)
    mine = next(one for one in each if one["task"] == task)
    if mine.get("status") == "refused":
        refused = mine.get("refused") or [{}]
        why, remedy = (str(refused[0].get(k, "")).rstrip(".") for k in ("why", "remedy"))
        raise InputError(
            f"{source}: task {task!r} was refused, so it has no c*: {why or 'no reason is given'}; "
            f"{remedy or 'fit it anew'}, or give stop_at a depth"
        )
    rows = mine.get("c_star") or []
    if not isinstance(rows, list) or not all(isinstance(row, Mapping) for row in rows):
        raise InputError(
            f"{source}: task {task!r}: c_star is no list of prices; name a verdict.json of prehoc fit"
        )
    horizon = mine.get("horizon")
    return source, [dict(row) for row in rows], None if not _finite(horizon) else int(horizon)


def _has_task(tasks: list[str], task: str, source: str) -> None:
    if task not in tasks:
        raise InputError(
            f"{source}: has no task {task!r}, but {', '.join(tasks) or 'none'}; name one of them as task"
        )


def _price(row: Mapping[str, Any]) -> float:
    return float(row["price"])


def _is_number(value: Any) -> bool:
    return isinstance(value, float) or (hasattr(value, "__index__") and not isinstance(value, bool))


def _finite(value: Any) -> TypeGuard[float]:
    return _is_number(value) and math.isfinite(value)
