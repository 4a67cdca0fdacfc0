"""A verdict as an ordered document of headline, facts, tables and notes, without any look.

The terminal and the page both show this document, so that they say the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from prehoc.fits import phrases as say
from prehoc.fits.details import depth_words, details
from prehoc.fits.document import Alert, Document, Fact, Grid, Page
from prehoc.fits.lookups import (
    Task,
    alpha_words,
    driving,
    is_refused,
    middle,
    open_share,
    probability,
    stop_words,
    stops_of,
)
from prehoc.fits.measures import readings_words


def document(payload: Mapping[str, Any]) -> Document:
    """The document of a verdict's payload (verdicts.Verdict.to_dict)."""
    told = _visible(payload)
    tasks: list[Task] = told["tasks"]
    several = len(tasks) > 1
    shared = _shared([[say.text(c) for c in t["caveats"]] for t in tasks if t.get("caveats")])
    return Document(
        title=f"Verdict: {told['source']}" if told.get("source") else "Verdict",
        about=_about(told),
        summary=_summary(tasks) if several else None,
        reading=_reading(tasks) if several else (),
        pages=tuple(_page(task, not several, shared) for task in tasks),
        notes=tuple(say.sentence(one) for one in shared),
        footer=_footer(told),
    )


def _visible(value: Any) -> Any:
    if isinstance(value, str):
        return say.visible(value)
    if isinstance(value, Mapping):
        return {say.visible(k): _visible(v) for k, v in value.items()}
    return [_visible(v) for v in value] if isinstance(value, (list, tuple)) else value


def _shared(caveats: Sequence[list[str]]) -> list[str]:
    """What every task's caveats hold alike, in order; nothing for a lone task."""
    if len(caveats) < 2:
        return []
    return [one for one in caveats[0] if all(one in other for other in caveats[1:])]


def _about(told: Mapping[str, Any]) -> tuple[str, ...]:
    lines = []
    rows, options = told.get("rows") or {}, told.get("options") or {}
    if say.known(rows.get("read")):
        metric = f", metric {told['metric']}" if told.get("metric") else ""
        lines.append(f"{say.steps(rows['read'])} rows read{metric}.")
    lines += [_aside(one) for one in rows.get("set_aside") or []]
    if say.known(options.get("confidence")) and not all(is_refused(t) for t in told["tasks"]):
        lines.append(f"Intervals hold the true number in {options['confidence']:.0%} of such studies.")
    return tuple(lines)


def _footer(told: Mapping[str, Any]) -> tuple[str, ...]:
    """How it was made: version and options."""
    given = []
    for name, value in (told.get("options") or {}).items():
        many = isinstance(value, list)
        one = " ".join(say.text(v) for v in value) if many else say.text(value)
        given.append(f"{name.replace('_', ' ')} {one or say.NONE}")
    made = (f"Made by prehoc {told['prehoc']}.",) if told.get("prehoc") else ()
    return (*made, *((f"Options: {', '.join(given)}.",) if given else ()))


def _aside(one: Mapping[str, Any]) -> str:
    why = say.stopped(one.get("why") or "no reason told")
    return f"Set aside: {say.counted(one.get('count'), say.text(one.get('what'), 'rows'))}: {why}"


def _reading(tasks: Sequence[Task]) -> tuple[Fact, ...]:
    """What the words mean that all tasks use."""
    stops = [one for task in tasks for one in stops_of(task)]
    if not stops:
        return ()
    many = any("risk_at_c_star" in one for one in stops)
    first = (Fact("Var R", say.VAR_R), Fact("intrinsic", say.OPEN), Fact("alpha", say.ALPHA))
    return (*first, *depth_words(many), *readings_words(tasks))


def _summary(tasks: Sequence[Task]) -> Grid:
    prices = {say.number(middle(t).get("price")) for t in tasks if middle(t)}
    at = f"price {prices.pop()}" if len(prices) == 1 else "middle price"
    head = ("task", "runs", "regime, chance", "intrinsic", "alpha", f"c*, {at}")
    rows = []
    for task in tasks:
        runs, refused = (
            say.steps(task.get("runs")),
            {say.text(r.get("what")) for r in task.get("refused") or []},
        )
        if is_refused(task):
            rows.append((say.text(task["task"], "(no name)"), runs, "refused", *[say.NONE] * 3))
            continue
        regime = say.text(task.get("regime"), "undecided")
        name = say.REGIMES.get(regime, regime)
        name += f", {say.chance(probability(task))}" if say.known(probability(task)) else ""
        name = "refused" if "regime" in refused else name
        alpha = "refused" if "alpha" in refused else alpha_words(task)
        rows.append(
            (
                say.text(task["task"], "(no name)"),
                runs,
                name,
                open_share(task),
                alpha,
                stop_words(middle(task)),
            )
        )
    return Grid(f"All {len(tasks)} tasks", head, tuple(rows))


def _page(task: Task, explain: bool, shared: Sequence[str]) -> Page:
    refused = is_refused(task)
    alerts = [
        Alert(
            say.text(one.get("what"), "task"), say.text(one.get("why"), ""), say.text(one.get("remedy"), "")
        )
        for one in task.get("refused") or []
    ]
    headline = _refusal(task, alerts) if refused else _headline(task, alerts)
    if refused and alerts:  # the headline says why
        alerts[0] = replace(alerts[0], why="")
    return Page(
        name=say.text(task["task"], "(no name)"),
        regime="refused" if refused else say.text(task.get("regime"), "undecided"),
        headline=headline,
        refused=refused,
        alerts=tuple(alerts),
        sections=details(task, explain=explain, left_out=shared),
    )


def _refusal(task: Task, alerts: Sequence[Alert]) -> str:
    return (
        say.stopped(f"Refused: {alerts[0].why}")
        if alerts
        else say.stopped(task.get("in_words") or "refused")
    )


def _headline(task: Task, alerts: Sequence[Alert]) -> str:
    regime, row = say.text(task.get("regime"), "undecided"), driving(task)
    if say.text(task.get("meaning"), "").startswith("R does not vary"):
        return "Nothing to predict: R does not vary over the runs."
    if regime in say.SAYS:
        p = probability(task)
        sure = f" (probability {say.chance(p)})" if say.known(p) else ""
        return f"{say.REGIMES[regime]}{sure}: {say.SAYS[regime]}. {_action(task)}".strip()
    why = [say.stopped(one.why) for one in alerts if one.what == "regime"]
    if why:
        return f"No regime is named. {why[0][:1].upper()}{why[0][1:]} {_action(task)}".strip()
    chances = {name: row.get(f"p_{name}") for name in say.SAYS}
    told = sorted(((p, name) for name, p in chances.items() if say.known(p)), reverse=True)
    between = ", ".join(f"{say.REGIMES[name]} {say.chance(p)}" for p, name in told if p >= 0.005)
    lead = f"Undecided: the runs do not single out one regime{f' ({between})' if between else ''}."
    return f"{lead} {_action(task)}".strip()


def _action(task: Task) -> str:
    """What to do at the middle price, in a sentence; empty where no c* is known."""
    stop, horizon = middle(task), task.get("horizon")
    c = stop.get("c_star")
    if not say.known(c):
        return ""
    at = f"At price {say.number(stop.get('price'))}"
    low, high = stop.get("low"), stop.get("high")
    if say.known(horizon) and say.known(low) and say.known(high) and low <= 0 and high >= 0.99 * horizon:
        best = "no probing" if c <= 0 else f"step {say.steps(c)}"
        return f"{at} the runs do not settle how deep to probe: best guess {best}, any depth possible."
    if c <= 0:
        return f"{at} probing does not pay: looking at part of a run costs more than it tells."
    if say.known(horizon) and c >= horizon:
        return f"{at} train to the end: no earlier step tells enough."
    words = f"{at} stop at step {say.steps(c)} of {say.steps(horizon)} and judge there"
    left, end = stop.get("risk_at_c_star"), stop.get("risk_at_horizon")
    if say.known(left):
        words += f": {say.share(left)} of R's variance is still open"
        words += f" (at the end {say.share(end)})" if say.known(end) else ""
    if say.known(stop.get("runs_open")):
        words += f"; {say.share(stop['runs_open'])} of runs still go on there"
    return words + "."
