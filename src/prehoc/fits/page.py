"""A verdict's document as one page of HTML: no other file, no script, light and dark, phone and paper."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from prehoc.errors import InputError
from prehoc.fits.document import Document, Fact, Grid, Page, Section
from prehoc.fits.phrases import stopped
from prehoc.fits.style_sheet import STYLE


@dataclass(frozen=True)
class Figure:
    """A picture (PNG or SVG bytes) with its caption and a description for who can't see it."""

    caption: str
    alt: str
    data: bytes


DECAY = (
    "Decay of uncertainty: the share of Var R open at each depth, its interval, and the fitted law.",
    "Log-log plot of uncertainty over depth, a line a task, in two panels: the paper's reading and the "
    "theory's. Its numbers are in variance.csv and envelope.csv.",
)
PHASE = (
    "Phase diagram: each task's intrinsic share and alpha, with intervals, and its regime.",
    "Plot of alpha over the intrinsic share, a point a task, in two panels: the paper's reading and the "
    "theory's. Its numbers are in regimes.csv and envelope.csv.",
)


class Raw(str):
    """Text that is HTML already; any other text is escaped where it enters."""


def el(name: str, *inside: str, **given: str | None) -> Raw:
    """An element; text in it is escaped unless it is Raw, attributes always (`class_` is class)."""
    told = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(value, quote=True)}"'
        for key, value in given.items()
        if value is not None
    )
    return Raw(f"<{name}{told}>{_joined(inside)}</{name}>")


def _joined(parts: Sequence[str]) -> Raw:
    return Raw("".join(p if isinstance(p, Raw) else html.escape(p, quote=False) for p in parts))


def whole(document: Document, figures: Sequence[Figure] = ()) -> str:
    """The page."""
    head = el(
        "head",
        Raw('<meta charset="utf-8">'),
        Raw('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        Raw('<meta name="color-scheme" content="light dark">'),
        el("title", f"prehoc: {document.title}"),
        el("style", Raw(STYLE)),
    )
    body = el("body", el("main", *_parts(document, figures), class_="prehoc"))
    return f"<!DOCTYPE html>\n{el('html', head, body, lang='en')}\n"


def part(document: Document) -> str:
    """The same without a head, to stand in a notebook's cell."""
    return el("div", el("style", Raw(STYLE)), *_parts(document, ()), class_="prehoc")


def _parts(document: Document, figures: Sequence[Figure]) -> Iterator[Raw]:
    yield el("h1", document.title)
    if document.about:
        yield el("p", " ".join(document.about), class_="about")
    anchors = [f"task-{i}" for i in range(1, len(document.pages) + 1)]
    pictures = [el("section", el("h2", "Figures"), *map(_picture, figures))] if figures else []
    several = document.summary is not None
    if document.summary is not None:
        yield el("section", el("h2", "Summary"), _grid(document.summary, anchors))
    if document.reading:
        yield el("section", el("h2", "How to read it"), _facts(document.reading))
    if several:
        yield from pictures
    for page, anchor in zip(document.pages, anchors, strict=True):
        yield _task(page, anchor)
    if not several:
        yield from pictures
    if document.notes:
        yield el("section", el("h2", "Caveats, for all tasks"), _list(document.notes))
    words = [_joined([el("dt", word), el("dd", said)]) for word, said in document.glossary]
    yield el("section", el("h2", "Words"), el("dl", *words, class_="words"))
    if document.footer:
        yield el("footer", el("p", " ".join(document.footer), class_="about"))


def _task(page: Page, anchor: str) -> Raw:
    alerts = []
    for alert in page.alerts:
        told = ((f"Refused, {alert.what}: ", alert.why), ("What would help: ", alert.remedy))
        lines = [el("p", el("strong", lead), stopped(words)) for lead, words in told if words]
        alerts += [el("div", *lines, class_="alert")] if lines else []
    return el(
        "article",
        el("h2", page.name),
        el(
            "p",
            page.headline,
            class_=f"headline {page.regime if page.regime.isidentifier() else ''}".strip(),
        ),
        *alerts,
        *map(_section, page.sections),
        id=anchor,
    )


def _section(section: Section) -> Raw:
    made: list[Raw] = [el("h3", section.title)]
    waiting: list[Fact | str] = []

    def flush() -> None:
        if waiting and isinstance(waiting[0], Fact):
            made.append(_facts([w for w in waiting if isinstance(w, Fact)]))
        elif waiting:
            made.append(_list([w for w in waiting if isinstance(w, str)]))
        waiting.clear()

    for one in section.parts:
        if isinstance(one, Grid):
            flush()
            made.append(_grid(one))
            continue
        if waiting and type(waiting[-1]) is not type(one):
            flush()
        waiting.append(one)
    flush()
    return el("section", *made)


def _facts(facts: Sequence[Fact]) -> Raw:
    rows = []
    for fact in facts:
        note = [Raw(" "), el("span", f"({fact.note})", class_="note")] if fact.note else []
        rows.append(_joined([el("dt", fact.label), el("dd", fact.value, *note)]))
    return el("dl", *rows)


def _list(items: Sequence[str]) -> Raw:
    return el("ul", *[el("li", one) for one in items])


def _grid(grid: Grid, anchors: Sequence[str] = ()) -> Raw:
    """A table that scrolls sideways where it is too wide; rows link to `anchors` if given."""
    head = el("tr", *[el("th", name, scope="col") for name in grid.head])
    rows = []
    for i, row in enumerate(grid.rows):
        name: str = el("a", row[0], href=f"#{anchors[i]}") if anchors else row[0]
        rows.append(el("tr", el("th", name, scope="row"), *[el("td", cell) for cell in row[1:]]))
    table = el("table", el("caption", grid.caption), el("thead", head), el("tbody", *rows))
    return el("div", table, class_="wide", role="region", tabindex="0", aria_label=grid.caption)


def _picture(figure: Figure) -> Raw:
    source = f"data:{_kind(figure.data)};base64,{base64.b64encode(figure.data).decode('ascii')}"
    image = Raw(f'<img src="{source}" alt="{html.escape(figure.alt, quote=True)}">')
    shown = el("div", image, class_="wide", role="region", tabindex="0", aria_label=figure.caption)
    return el("figure", shown, el("figcaption", figure.caption))


def _kind(data: bytes) -> str:
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if b"<svg" in data[:2000]:
        return "image/svg+xml"
    raise InputError("a figure for the page must be PNG or SVG; these bytes are neither")
