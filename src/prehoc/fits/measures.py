"""Sections of a task's verdict that are tables: readings, the open part's split, and the gap to forks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from prehoc.fits import phrases as say
from prehoc.fits.document import Fact, Grid
from prehoc.fits.lookups import Task

Part = Fact | Grid | str


def readings(task: Task, explain: bool) -> list[Part]:
    """The regime by the paper's reading and the theory's, and what these are."""
    rows, notes = [], []
    for one in task.get("readings") or []:
        proxy, known = say.text(one.get("proxy")), say.text(one.get("information"))
        name = f"{proxy} ({known})" if one.get("reading") == "bayes" else proxy
        regime = say.text(one.get("regime"))
        low, high = one.get("iota_low"), one.get("iota_high")
        at_end = _part(one.get("iota"))
        interval = say.span(low, high, say.number if at_end.endswith("times") else _part)
        at_end += f" ({interval})" if interval not in (say.NONE, at_end) else ""
        p = [say.chance(one.get(f"p_{r}")) for r in say.SAYS]
        rows.append((name, say.REGIMES.get(regime, regime), *p, at_end, _part(one.get("q"))))
        if say.known(one.get("static_share")):
            notes.append(
                f"Static information, known before the run, leaves {say.share(one['static_share'])} of "
                f"Var R open ({name})."
            )
    if not rows:
        return []
    head = ("reading", "regime", "static", "dynamic", "noise", "open at T", "told late")
    made: list[Part] = [
        Grid("The regime by each reading, and the chance of each regime", head, tuple(rows))
    ]
    if explain:
        made += readings_words([task])
    return made + _apart(task) + list(dict.fromkeys(notes))


def _part(value: Any) -> str:
    """A share; as a factor where the uncertainty grows far beyond what it is a share of."""
    if not say.known(value) or -2 < value <= 2:
        return say.share(value)
    return f"{say.number(value)} times" if value > 0 else "nothing"


def _apart(task: Task) -> list[Part]:
    """That the paper's reading names another regime, where it does."""
    own = say.text(task.get("regime"))
    rows = [r for r in task.get("readings") or [] if r.get("reading") == "run_to_run"]
    others = {say.text(r.get("regime")) for r in rows} & set(say.SAYS) - {own}
    if own not in say.SAYS or not others:
        return []
    named = " and ".join(say.REGIMES[name] for name in sorted(others))
    return [f"The paper's reading says {named}; the verdict follows what a forecast of R leaves open."]


def readings_words(tasks: Sequence[Task]) -> list[Fact]:
    """What each reading is that these tasks have, and what its columns say."""
    made: dict[str, Fact] = {}
    for one in [row for task in tasks for row in task.get("readings") or []]:
        key, known = (one.get("reading"), one.get("proxy")), say.text(one.get("information"))
        if key in list(say.READINGS):
            seen = f" ({say.INFORMATION.get(known, known)})" if key[0] == "bayes" else ""
            name = f"{key[1]} ({known})" if key[0] == "bayes" else key[1]
            made[name] = Fact(name, say.READINGS[key] + seen)
    if not made:
        return []
    end = Fact("open at T", "what is not known at the end, as a share of what there was to know")
    return [*made.values(), end, Fact("told late", "the share that is told between the first steps and T")]


def intrinsic(task: Task) -> list[Part]:
    """What of Var R is open at T, and what it is made of."""
    rows, notes = [], []
    for one in task.get("intrinsic") or []:
        part = say.PARTS.get(say.text(one.get("part")), say.text(one.get("part")))
        low, high = (say.ratio(one.get(end), task.get("var_r")) for end in ("low", "high"))
        rows.append(
            (
                part,
                say.share(one.get("share_of_var_r")),
                say.span(low, high, say.share),
                say.text(one.get("how")),
            )
        )
        if one.get("note"):
            notes.append(f"{say.sentence(part)[:-1]}: {one['note']}.")
    if not rows:
        return []
    return [
        Grid("Parts of what is open at T", ("part", "of Var R", "interval", "known by"), tuple(rows)),
        *notes,
    ]


def gap(task: Task) -> list[Part]:
    """What the state knows beyond the metric, at depths with forks."""
    rows = list(task.get("gap_fork_residual") or [])
    names = {
        "last": "by the metric",
        "outputs": "by outputs",
        "fork": "by the state",
        "gap": "gap",
        "se": "its error",
    }
    shown = {key: name for key, name in names.items() if any(say.known(one.get(key)) for one in rows)}
    if not shown:
        return []
    cells = tuple(
        (
            say.steps(one.get("depth")),
            *[say.share(say.ratio(one.get(key), task.get("var_r"))) for key in shown],
        )
        for one in rows
    )
    return [Grid("Shares of Var R left open, by what is looked at", ("depth", *shown.values()), cells)]
