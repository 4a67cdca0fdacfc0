"""The sections of one task's verdict, after its headline."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from prehoc.fits import phrases as say
from prehoc.fits.document import Fact, Grid, Section
from prehoc.fits.lookups import Task, driving, is_refused, open_share, stop_words, stops_of
from prehoc.fits.measures import gap, intrinsic, readings

Part = Fact | Grid | str


def details(task: Task, *, explain: bool, left_out: Sequence[str]) -> tuple[Section, ...]:
    """What a task's verdict says, in the order in which a person asks.

    `explain`: half a sentence beside Var R, alpha and price.  `left_out`: caveats told elsewhere.
    """
    parts: list[tuple[str, list[Part]]] = [("The outcome", _outcome(task, explain))]
    if not is_refused(task):
        parts += [
            ("How predictable", _predictable(task, explain)),
            ("How deep to probe", _depths(task, explain)),
            ("What to run next", _next(task)),
            ("Both readings", readings(task, explain)),
            ("What the open part is made of", intrinsic(task)),
            ("What the metric misses of the state", gap(task)),
        ]
    parts += [
        ("The data", _data(task)),
        ("Set aside", _aside(task)),
        ("Caveats", [say.sentence(c) for c in _caveats(task) if c not in left_out]),
    ]
    return tuple(Section(title, tuple(made)) for title, made in parts if made)


def _outcome(task: Task, explain: bool) -> list[Part]:
    made: list[Part] = []
    outcome = task.get("outcome") or {}
    if outcome.get("in_words"):
        made.append(Fact("R", say.sentence(str(outcome["in_words"]).removeprefix("R is "))))
    if task.get("direction"):
        made.append(Fact("Direction", say.sentence(task["direction"])))
    elif outcome.get("direction"):
        made.append(Fact("Direction", say.sentence(f"{outcome['direction']} is better")))
    if say.known(task.get("runs")):
        runs = f"{say.steps(task['runs'])}"
        if say.known(task.get("runs_read")) and task["runs_read"] != task["runs"]:
            runs += f" of {say.steps(task['runs_read'])} read"
        lost = task.get("failure_rate")
        if say.known(lost) and lost > 0:
            runs += f"; {say.share(lost)} of runs failed and enter no variance"
        made.append(Fact("Runs", say.sentence(runs)))
    if say.known(task.get("horizon")):
        made.append(Fact("Horizon", f"T = {say.steps(task['horizon'])} steps."))
    var_r = task.get("var_r")
    if say.known(var_r) and var_r >= 0:
        spread = (
            f"{say.number(var_r)}: R's standard deviation over the runs is {say.number(math.sqrt(var_r))}"
        )
        mean = (task.get("outcome") or {}).get("mean")
        spread += f", its mean {say.number(mean)}" if say.known(mean) else ""
        made.append(Fact("Var R", say.sentence(spread), say.VAR_R if explain else ""))
    return made


def _predictable(task: Task, explain: bool) -> list[Part]:
    made: list[Part] = [Fact("Intrinsic", _limit(task), _what_is_open(task) if explain else "")]
    alpha = task.get("alpha") or {}
    interval = say.span(alpha.get("low"), alpha.get("high"))
    if alpha.get("identified"):
        told = f"{say.number(alpha.get('value'))} (interval {interval})"
    else:
        told = "not identified" + (f" (interval {interval})" if interval != say.NONE else "")
        told += f", because {alpha.get('because') or 'no law was fitted'}"
    made.append(Fact("Alpha", say.sentence(told), say.ALPHA if explain else ""))
    law = task.get("law") or {}
    if law:
        made.append(Fact("Decay law", _law(law)))
    if say.known(task.get("lack_of_fit_p")):
        fit = f"lack of fit of the power law: {say.p_value(task['lack_of_fit_p'])}"
        if say.known(task.get("onset")):
            fit += f", over depths from {say.steps(task['onset'])} on"
        made.append(Fact("Fit", say.sentence(fit)))
    return made


def _what_is_open(task: Task) -> str:
    until = (task.get("censoring") or {}).get("open_until")
    return say.OPEN if not say.known(until) else say.OPEN_BEFORE


def _limit(task: Task) -> str:
    limit, row = task.get("L_int") or {}, driving(task)
    if limit.get("by_construction"):
        return "0% of Var R, by construction: what is known at the end settles R."
    low, high = (say.ratio(limit.get(end), task.get("var_r")) for end in ("low", "high"))
    interval = say.span(low, high, say.share)
    fitted = say.share(limit.get("share_of_var_r"))
    told = f"{'no point' if fitted == say.NONE else fitted}" + (
        f" ({interval})" if interval != say.NONE else ""
    )
    if not say.known(row.get("iota")):
        return say.sentence(f"by the fitted law {told}") if fitted != say.NONE else "Not known."
    measured = say.span(row.get("iota_low"), row.get("iota_high"), say.share)
    until = (task.get("censoring") or {}).get("open_until")
    end = (
        f"as long as nine runs in ten go on (to depth {say.steps(until)})"
        if say.known(until)
        else "at the end"
    )
    words = f"{open_share(task)} of Var R is open {end}"
    words += f" (interval {measured})" if measured != say.NONE else ""
    return say.sentence(f"{words}; the fitted law gives {told}" if told != "no point" else words)


def _law(law: Mapping[str, Any]) -> str:
    told = say.sentence(law.get("in_words") or "")
    weights = law.get("weights") or {}
    if len(weights) > 1:
        each = [f"{say.LAWS.get(str(n), str(n))} {say.chance(w)}" for n, w in weights.items()]
        told += f" Weights: {', '.join(each)}."
    return told.strip() or "Not known."


def _depths(task: Task, explain: bool) -> list[Part]:
    stops = stops_of(task)
    if not stops:
        return []
    many = any("risk_at_c_star" in one for one in stops)
    head = ("price", "c* (of T)", "interval", "steps saved", *(["open there"] if many else []))
    rows = []
    for one in stops:
        saved = say.steps(one.get("steps_saved"))
        saved += f" ({say.share(one['share_saved'])})" if say.known(one.get("share_saved")) else ""
        left = [say.share(one.get("risk_at_c_star"))] if many else []
        interval = say.span(one.get("low"), one.get("high"), say.steps)
        rows.append((say.number(one.get("price")), stop_words(one), interval, saved, *left))
    made: list[Part] = [Grid("Where to stop, at each price", head, tuple(rows))]
    return made + (list(depth_words(many)) if explain else []) + _under(task, stops)


def _under(task: Task, stops: Sequence[Mapping[str, Any]]) -> list[Part]:
    """What is told of the stops beside the table."""
    made: list[Part] = []
    ends = {say.share(one.get("risk_at_horizon")) for one in stops} - {say.NONE}
    if ends - {open_share(task)}:  # else it stands under `Intrinsic`
        made.append(f"Training to T leaves {', '.join(sorted(ends))} of Var R open.")
    first = (task.get("censoring") or {}).get("first_stop")
    done = say.known(first) and any(
        say.known(one.get("c_star")) and one["c_star"] >= first for one in stops
    )
    if done and (task.get("outcome") or {}).get("kind") == "to_target":
        made.append(
            f"From step {say.steps(first)} on, runs meet the target: part of what is known there is that "
            "they are done."
        )
    repaid = [one.get("break_even_runs") for one in stops]
    if any(say.known(one) for one in repaid):
        told = [f"{say.steps(math.ceil(one))} runs" if say.known(one) else "never" for one in repaid]
        if len(set(told)) > 1:
            told = [
                f"{n} (price {say.number(one.get('price'))})" for n, one in zip(told, stops, strict=True)
            ]
        else:
            told = told[:1]
        made.append(f"Stopping later runs at c* repays what these runs cost after: {', '.join(told)}.")
    rates = [say.number(one.get("gamma")) for one in stops]
    costs = {say.number(one.get("lambda")) for one in stops}
    if any(rate != say.NONE for rate in rates) and len(costs) == 1:
        made.append(
            f"The prices as gamma, in squared units of R a unit of cost: {', '.join(rates)}; a step costs "
            f"lambda = {costs.pop()}."
        )
    return made


def depth_words(many: bool) -> tuple[Fact, ...]:
    """What the columns of the table of stops say."""
    further = (Fact("open there", "the share of Var R that is not known at c*"),) if many else ()
    return (Fact("price", say.PRICE), Fact("c*", say.C_STAR), *further)


def _next(task: Task) -> list[Part]:
    further, made = task.get("next") or {}, []
    told = say.text(further.get("in_words"), "")
    if told:
        made.append(told)
    for one in task.get("advice") or []:
        note = say.text(one.get("note"), "")
        lead = say.OPTIONS.get(say.text(one.get("option")), say.text(one.get("option")))
        if one.get("recommended"):
            lead += " (recommended)"
        now, then = one.get("alpha_width_now"), one.get("alpha_width_then")
        if one.get("recommended") and told and say.known(then) and say.known(now):
            ends = f"{say.number(then)} wide instead of {say.number(now)}"
            made.append(f"That would make alpha's interval {ends}. {say.sentence(note)}".strip())
        elif say.known(then) and say.known(now) and then < now:
            made.append(f"{lead}: {_plan(one)}. {say.sentence(note)}".strip())
        elif say.known(then):
            made.append(f"{lead}: would not narrow alpha's interval.")
        elif not (note and note in told):
            made.append(f"{lead}: {say.sentence(note or 'nothing can be said')}")
    return list(made)


def _plan(one: Mapping[str, Any]) -> str:
    depths = [say.steps(int(d)) if d.isdecimal() else d for d in say.text(one.get("depths")).split()]
    few = len(depths) <= 12
    where = (
        f"depths {', '.join(depths)}" if few else f"{len(depths)} depths from {depths[0]} to {depths[-1]}"
    )
    runs = one.get("further_runs")
    who = f"{say.steps(math.ceil(runs))} more" if say.known(runs) and runs > 0 else "no more runs"
    cost = f", {say.steps(one['steps'])} steps to compute" if say.known(one.get("steps")) else ""
    now, then = say.number(one.get("alpha_width_now")), say.number(one.get("alpha_width_then"))
    return f"{who} at {where}{cost}; alpha's interval, {now} wide, would be {then} wide"


def _data(task: Task) -> list[Part]:
    made: list[Part] = []
    for label, key in (("Ends", "censoring"), ("Groups", "groups")):
        told = (task.get(key) or {}).get("in_words")
        if told:
            made.append(Fact(label, say.sentence(told)))
    spikes = task.get("spikes") or {}
    if spikes.get("in_words"):
        told = say.sentence(spikes["in_words"])
        at = spikes.get("depths") or []
        if at:
            listed = ", ".join(say.steps(d) for d in at[:12]) + (
                f" and {len(at) - 12} more" * (len(at) > 12)
            )
            told += f" At depths {listed}."
        made.append(Fact("Spikes", told))
    driver = task.get("driving_proxy") or {}
    if driver.get("proxy"):
        why = f", as {driver['because']}" if driver.get("because") else ""
        made.append(
            Fact(
                "Rests on", say.sentence(f"{driver['proxy']} ({say.text(driver.get('information'))}){why}")
            )
        )
    check = task.get("identity") or {}
    if check:
        holds = "adds up to" if check.get("holds") else "does not add up to"
        z = say.number(check.get("largest_z"))
        made.append(
            Fact(
                "Check", f"What forks explain and leave {holds} Var R (largest |z| = {z}; 4 is the limit)."
            )
        )
    return made


def _caveats(task: Task) -> list[str]:
    """Without that runs failed, which stands beside their number."""
    told = say.known(task.get("failure_rate")) and say.known(task.get("runs"))
    caveats = [say.text(c) for c in task.get("caveats") or [] if c]
    return [c for c in caveats if not (told and "of runs or forks failed" in c)]


def _aside(task: Task) -> list[Part]:
    return [
        f"{say.counted(one.get('count'), say.text(one.get('what'), 'rows'))}: "
        + say.stopped(one.get("why") or "no reason told")
        for one in task.get("set_aside") or []
    ]
