"""Finding in a task's verdict what its readers ask for; keys may be absent or null."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prehoc.fits import phrases as say

Task = Mapping[str, Any]


def is_refused(task: Task) -> bool:
    """Whether the task has no verdict: refused, or (of the workflow) too many runs failed."""
    return str(task.get("status") or ("verdict" if "driving_proxy" in task else "refused")) == "refused"


def stops_of(task: Task) -> list[dict[str, Any]]:
    """c* at the prices, with what is saved where the payload says it; shares and steps filled in."""
    horizon = task.get("horizon")
    further = {one["price"]: one for one in task.get("c_star") or [] if say.known(one.get("price"))}
    made = []
    for stop in task.get("saving") or task.get("c_star") or []:
        one = dict(further.get(stop["price"], {})) if say.known(stop.get("price")) else {}
        one |= stop
        if say.known(one.get("c_star")) and say.known(horizon) and horizon > 0:
            one.setdefault("steps_saved", horizon - one["c_star"])
            one.setdefault("share_saved", 1 - one["c_star"] / horizon)
        made.append(one)
    return made


def driving(task: Task) -> Mapping[str, Any]:
    """The row of `readings` that the regime is taken from; empty if there is none."""
    proxy = (task.get("driving_proxy") or {}).get("proxy")
    rows = [r for r in task.get("readings") or [] if r.get("reading") == "bayes"]
    return next((r for r in rows if r.get("proxy") == proxy), rows[0] if rows else {})


def open_share(task: Task) -> str:
    """The intrinsic share: what is open at T, else the fitted law's L_int, as shares of Var R."""
    limit, open_ = task.get("L_int") or {}, driving(task).get("iota")
    if limit.get("by_construction"):
        return "0%"
    return say.share(open_ if say.known(open_) else limit.get("share_of_var_r"))


def alpha_words(task: Task) -> str:
    """Say alpha with its interval, or that it is not identified."""
    alpha = task.get("alpha") or {}
    if not alpha.get("identified"):
        return "not identified"
    return f"{say.number(alpha.get('value'))} ({say.span(alpha.get('low'), alpha.get('high'))})"


def probability(task: Task) -> Any:
    """The bootstrap's probability of the task's regime, by the driving reading; None if unknown."""
    return driving(task).get(f"p_{task.get('regime')}")


def middle(task: Task) -> Mapping[str, Any]:
    """The stop at the middle price; empty if there is none."""
    stops = stops_of(task)
    return stops[len(stops) // 2] if stops else {}


def stop_words(stop: Mapping[str, Any]) -> str:
    """c* and its share of the horizon."""
    told = say.steps(stop.get("c_star"))
    return (
        f"{told} ({say.share(stop['share_of_horizon'])})"
        if say.known(stop.get("share_of_horizon"))
        else told
    )
