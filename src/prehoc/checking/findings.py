"""What a check finds: lines that are fine, warnings, and faults with their remedy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["OK", "warning", "fault"]


@dataclass(frozen=True)
class Finding:
    """One line of the report; `topic` is a word that a person can search for in docs/own-task.md."""

    level: Level
    topic: str
    text: str


def ok(topic: str, text: str) -> Finding:
    """What is as it should be."""
    return Finding("OK", topic, text)


def warning(topic: str, text: str) -> Finding:
    """What may be meant, and often is not."""
    return Finding("warning", topic, text)


def fault(topic: str, text: str) -> Finding:
    """What makes the task worthless, or stops it."""
    return Finding("fault", topic, text)
