"""A verdict's document as lines of a terminal, at any width, with colours or without."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from prehoc.fits.document import Document, Fact, Grid, Page
from prehoc.fits.phrases import stopped

WIDEST = 100  # columns: longer lines are hard to read
_LABEL = 12
_GAP = "  "
_COLOURS = {
    "static_sufficient": "bold green",
    "dynamic_critical": "bold blue",
    "noise_dominant": "bold magenta",
    "refused": "bold red",
}


def lines(document: Document, width: int = 90) -> Iterator[Text]:
    """The document's lines, none wider than `width` unless a single word is."""
    width = max(width, 30)
    yield from _wrapped(document.title, width, style="bold")
    for one in document.about:
        yield from _wrapped(one, width, style="dim")
    if document.summary is not None:
        yield Text("")
        yield from _grid(document.summary, width, "")
    if document.reading:
        yield Text("")
        for fact in document.reading:
            yield from _fact(fact, width, dim=True)
    for page in document.pages:
        yield from _page(page, width)
    if document.notes:
        yield Text("")
        yield Text("Caveats, for all tasks", "bold")
        for note in document.notes:
            yield from _item(note, width)
    if document.footer:
        yield Text("")
    for one in document.footer:
        yield from _wrapped(one, width, style="dim", hang="  ")


def plain(document: Document, width: int = 90) -> str:
    """The same as one text, without colour codes."""
    return "\n".join(line.plain.rstrip() for line in lines(document, width)) + "\n"


def show(document: Document, console: Console | None = None) -> None:
    """Print on a console (default: standard output), in colours if it has them."""
    out = console or Console()
    for line in lines(document, min(out.width, WIDEST)):
        out.print(line, soft_wrap=True, highlight=False, markup=False, emoji=False)


def _page(page: Page, width: int) -> Iterator[Text]:
    yield Text("")
    yield Text("-" * width, "dim")
    yield from _wrapped(page.name, width, style="bold")
    yield from _wrapped(page.headline, width, style=_COLOURS.get(page.regime, "bold"))
    for alert in page.alerts:
        if alert.why:
            why = f"Refused, {alert.what}: {stopped(alert.why)}"
            yield from _wrapped(why, width, style="red", lead="! ", hang="  ")
        if alert.remedy:
            help_ = f"What would help: {stopped(alert.remedy)}"
            yield from _wrapped(help_, width, lead="  " if alert.why else "> ", hang="  ")
    for section in page.sections:
        yield Text("")
        yield Text(section.title, "bold")
        for part in section.parts:
            if isinstance(part, Fact):
                yield from _fact(part, width)
            elif isinstance(part, Grid):
                yield from _grid(part, width, _GAP)
            else:
                yield from _item(part, width)


def _wrapped(words: str, width: int, *, style: str = "", lead: str = "", hang: str = "") -> Iterator[Text]:
    """Words broken at spaces alone."""
    broken = textwrap.wrap(
        words, width, initial_indent=lead, subsequent_indent=hang,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
    for line in broken or [lead]:
        yield Text(line, style)


def _item(words: str, width: int) -> Iterator[Text]:
    yield from _wrapped(words, width, lead="  - ", hang="    ")


def _fact(fact: Fact, width: int, dim: bool = False) -> Iterator[Text]:
    """`  Label       value`, its lines hanging under the value, and the note in brackets."""
    words = f"{fact.value} [{fact.note}]" if fact.note else fact.value
    label = f"{_GAP}{fact.label:<{_LABEL - 2}}"
    hang = " " * (_LABEL + 2)
    if cell_len(label) >= len(hang):
        label, hang = f"{_GAP}{fact.label}: ", "    "
    else:
        label = label.ljust(len(hang))
    for i, line in enumerate(_wrapped(words, width, lead=label, hang=hang, style="dim" if dim else "")):
        if i == 0:
            line.stylize("cyan", 0, len(label))
        yield line


def _grid(grid: Grid, width: int, indent: str) -> Iterator[Text]:
    """A table if it fits; else each row's name on a line of its own; else a list."""
    yield from _wrapped(f"{grid.caption}:", width, style="" if indent else "bold", lead=indent, hang=indent)
    table = [grid.head, *grid.rows]
    sizes = [max(cell_len(row[i]) for row in table) for i in range(len(grid.head))]
    whole = len(indent) + sum(sizes) + len(_GAP) * (len(sizes) - 1)
    if whole <= width:
        yield from _rows(table, sizes, indent)
    elif whole - sizes[0] + len(_GAP) <= width:
        yield from _named(table, sizes, indent)
    else:
        yield from _listed(grid, width, indent)


def _rows(table: list[tuple[str, ...]], sizes: list[int], indent: str) -> Iterator[Text]:
    for i, row in enumerate(table):
        cells = [_left(row[0], sizes[0])] + [_right(c, s) for c, s in zip(row[1:], sizes[1:], strict=True)]
        yield Text(indent + _GAP.join(cells), "bold" if i == 0 else "")
        if i == 0:
            yield Text(indent + _GAP.join("-" * size for size in sizes), "dim")


def _named(table: list[tuple[str, ...]], sizes: list[int], indent: str) -> Iterator[Text]:
    deeper = indent + _GAP
    for i, row in enumerate(table):
        cells = _GAP.join(_right(c, s) for c, s in zip(row[1:], sizes[1:], strict=True))
        if i == 0:
            yield Text(indent + row[0], "bold")
            yield Text(deeper + cells, "bold")
            yield Text(deeper + _GAP.join("-" * size for size in sizes[1:]), "dim")
        else:
            yield Text(indent + row[0], "bold")
            yield Text(deeper + cells)


def _listed(grid: Grid, width: int, indent: str) -> Iterator[Text]:
    for row in grid.rows:
        yield from _wrapped(f"{grid.head[0]} {row[0]}", width, style="bold", lead=indent, hang=indent)
        told = "; ".join(f"{name} {cell}" for name, cell in zip(grid.head[1:], row[1:], strict=True))
        yield from _wrapped(told, width, lead=indent + _GAP, hang=indent + _GAP)


def _left(cell: str, size: int) -> str:
    return cell + " " * (size - cell_len(cell))


def _right(cell: str, size: int) -> str:
    return " " * (size - cell_len(cell)) + cell
