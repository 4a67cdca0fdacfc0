"""What a verdict is written in: facts, tables, notices, by task; without any look."""

from __future__ import annotations

from dataclasses import dataclass, field

from prehoc.fits.phrases import GLOSSARY


@dataclass(frozen=True)
class Fact:
    """A labelled value, with half a sentence of explanation or none."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Grid:
    """A table: its caption, the names of its columns, its rows; the first column names the row."""

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Section:
    """Facts, tables and sentences under one title."""

    title: str
    parts: tuple[Fact | Grid | str, ...]


@dataclass(frozen=True)
class Alert:
    """What the data do not carry, why, and what would help."""

    what: str
    why: str
    remedy: str


@dataclass(frozen=True)
class Page:
    """One task."""

    name: str
    regime: str
    headline: str
    refused: bool
    alerts: tuple[Alert, ...]
    sections: tuple[Section, ...]


@dataclass(frozen=True)
class Document:
    """All that is said: tasks, a table of them where there are several, and what holds for all."""

    title: str
    about: tuple[str, ...]
    summary: Grid | None
    reading: tuple[Fact, ...]
    pages: tuple[Page, ...]
    notes: tuple[str, ...] = ()
    footer: tuple[str, ...] = ()
    glossary: tuple[tuple[str, str], ...] = field(default=GLOSSARY)
