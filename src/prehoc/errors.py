"""The error that a user can mend: one clear line, exit code 1."""

from __future__ import annotations


class InputError(ValueError):
    """Bad input. The message names the file, the key or row, and the remedy, in one line."""


class TooFewRunsError(InputError):
    """Too few runs have a final value for any variance: they failed, or there are too few of them."""
