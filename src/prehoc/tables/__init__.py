"""The schema of every table: columns, dtypes and units, checked on write and on read.

A table is written to a temporary name beside its target and then renamed, so a killed job never
leaves half a table behind.  Extra columns are refused: a column is added here first.
"""

from prehoc.tables.columns import (
    AXES,
    CORNERS,
    HOWS,
    INFORMATION,
    MODELS,
    OPTIONS,
    PARTS,
    PROXIES,
    RATE_FAMILIES,
    READINGS,
    REGIMES,
    RULES,
    SPLITS,
)
from prehoc.tables.files import SCHEMAS, atomic, check, empty, in_order, joined, read, write, write_json

__all__ = [
    "AXES",
    "CORNERS",
    "HOWS",
    "INFORMATION",
    "MODELS",
    "OPTIONS",
    "PARTS",
    "PROXIES",
    "RATE_FAMILIES",
    "READINGS",
    "REGIMES",
    "RULES",
    "SCHEMAS",
    "SPLITS",
    "atomic",
    "check",
    "empty",
    "in_order",
    "joined",
    "read",
    "write",
    "write_json",
]
