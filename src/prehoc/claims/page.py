"""The claims in Markdown: verdicts, a sentence for each claim and scope, all numbers; and where they go."""

from __future__ import annotations

import math
from collections import Counter

import pandas as pd

from prehoc.claims.words import AT_MOST, CLAIM, COUNTS, RATIOS, words
from prehoc.errors import InputError
from prehoc.tables.decisions import CLAIMS, SCOPES

BEGIN = "<!-- claims: begin (written by `prehoc claims --page`) -->"
END = "<!-- claims: end -->"
_SCOPE = {"synthetic": "exact synthetic tasks", "packaged": "packaged tasks", "imported": "imported logs"}
_HEAD = (
    "Reading (a) is the paper's run-to-run variance, reading (b) the risk E[Var(R given I_c)]. A criterion "
    "is supported or contradicted where its whole interval lies on one side of the threshold that the "
    "config fixed, else undecided. A claim is mixed where criteria say both."
)


def whole(rows: pd.DataFrame) -> str:
    """What all criteria of a claim in a scope say together.

    `supported` or `contradicted` where all say so, `mixed` where both are among them, else `supported in
    part` or `contradicted in part` where others are undecided, else `undecided`.
    """
    said = Counter(rows["verdict"])
    yes, no = said["supported"], said["contradicted"]
    if yes and no:
        return "mixed"
    if not yes and not no:
        return "undecided"
    word = "supported" if yes else "contradicted"
    return word if yes + no == len(rows) else f"{word} in part"


def text(claims: pd.DataFrame) -> str:
    """Table `claims` as Markdown: verdicts, a sentence for each claim and scope, and all numbers."""
    lines = [_HEAD, "", _line("claim", *(_SCOPE[s] for s in SCOPES)), _line(*["---"] * (len(SCOPES) + 1))]
    for claim in CLAIMS:
        lines.append(
            _line(f"{claim}: {CLAIM[claim]}", *(_counted(_rows(claims, claim, s)) for s in SCOPES))
        )
    for claim in CLAIMS:
        said = [(scope, _rows(claims, claim, scope)) for scope in SCOPES]
        lines += ["", f"**{claim}: {CLAIM[claim]}.**"]
        lines += [f"- {_sentence(rows, _SCOPE[scope])}" for scope, rows in said if len(rows)]
    lines += ["", _line("", "criterion", "wanted", *(_SCOPE[s] for s in SCOPES)), _line(*["---"] * 6)]
    criteria = claims[claims["criterion"] != "all"].drop_duplicates(["claim", "criterion"])
    for claim, criterion, level in criteria[["claim", "criterion", "threshold"]].itertuples(index=False):
        name = criterion.partition(":")[0]
        sign = "at most" if name in AT_MOST else "at least"
        wanted = f"{sign} {_wanted(name, level)}"
        cells = [_cell(claims, claim, scope, criterion) for scope in SCOPES]
        lines.append(_line(claim, words(criterion), wanted, *cells))
    return "\n".join(lines) + "\n"


def _line(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"


def _rows(claims: pd.DataFrame, claim: str, scope: str) -> pd.DataFrame:
    return claims[(claims["claim"] == claim) & (claims["scope"] == scope)]


def _counted(rows: pd.DataFrame) -> str:
    """The verdict of all criteria, and of how many each."""
    if rows["value"].isna().all():
        return "not measured"
    said = Counter(rows["verdict"])
    return (
        f"{whole(rows)}: {said['supported']} for, {said['contradicted']} against, {said['undecided']} open"
    )


def _sentence(rows: pd.DataFrame, scope: str) -> str:
    """The verdict, and the number behind each criterion that decided it, those against it first."""
    if rows["value"].isna().all():
        why = next((str(n) for n in rows["note"] if n), "nothing was measured")
        return f"On {scope} not measured: {why}."
    parts = []
    for word, verdict in (("against it", "contradicted"), ("for it", "supported")):
        part = rows[rows["verdict"] == verdict]
        said = [_clause(row) for _, row in part.iterrows()]
        if said:
            parts.append(f"{word}, {'; '.join(said)}")
    why = ". ".join(p[0].upper() + p[1:] for p in parts)
    return f"On {scope} {whole(rows)}. {why or 'No interval lies on one side of its threshold'}."


def _clause(row: pd.Series) -> str:
    """A criterion with its number, as a part of a sentence."""
    said, value = words(str(row["criterion"])), _value(row)
    name = str(row["criterion"]).partition(":")[0]
    if name in RATIOS:
        return f"{said}: {value}"
    bare = [part for part in str(row["note"]).split("; ") if part.startswith("no static information")]
    clause = f"{value} {said}" if name in COUNTS or said.startswith("of ") else f"{value} of {said}"
    return f"{clause} ({bare[0]})" if bare else clause


def _wanted(name: str, level: float) -> str:
    """A threshold in the form of its values."""
    return f"{level:g}" if name in COUNTS + RATIOS else _share(level)


def _cell(claims: pd.DataFrame, claim: str, scope: str, criterion: str) -> str:
    rows = _rows(claims, claim, scope)
    rows = rows[rows["criterion"] == criterion]
    if rows.empty:
        return ""
    row = rows.iloc[0]
    if math.isnan(row["value"]):
        return "not measured"
    noun = "task" if row["tasks"] == 1 else "tasks"
    return f"{_value(row)}, {row['tasks']} {noun}: {row['verdict']}"


def _value(row: pd.Series) -> str:
    """The value with its interval: a count, a ratio or a share."""
    name = str(row["criterion"]).partition(":")[0]
    form = _count if name in COUNTS else _ratio if name in RATIOS else _share
    value, low, high = (form(float(row[c])) for c in ("value", "low", "high"))
    if math.isnan(row["low"]) or math.isnan(row["high"]) or low == high == value:
        return value
    return f"{value} ({low.removesuffix(' %')} to {high})"


def _count(x: float) -> str:
    return f"{x:.0f}"


def _ratio(x: float) -> str:
    return f"{x:.3g}"


def _share(x: float) -> str:
    """As a percentage."""
    return f"{100 * x:.0f} %" if abs(x) >= 0.01 or x == 0 else f"{100 * x:.2g} %"


def put(page: str, claims: str, source: str) -> str:
    """`page` with `claims` between its two markers; InputError that names `source` where it lacks them."""
    if page.count(BEGIN) != 1 or page.count(END) != 1 or page.index(BEGIN) > page.index(END):
        raise InputError(
            f"{source}: needs the line {BEGIN!r} once and after it {END!r} once; put them there"
        )
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{claims.strip()}\n\n{END}{rest.partition(END)[2]}"
