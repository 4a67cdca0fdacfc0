"""The words that tables use, and the kinds of their columns."""

from __future__ import annotations

import pandera.pandas as pa

SPLITS = ("val", "target", "target_a", "target_b")
PROXIES = ("run_to_run", "residual", "fork", "change")
INFORMATION = ("none", "static", "last", "prefix", "static+prefix", "outputs", "state")
CORNERS = ("interior", "zero", "horizon")
REGIMES = ("static_sufficient", "dynamic_critical", "noise_dominant")
READINGS = ("run_to_run", "bayes")
MODELS = ("power", "loglog", "exponential", "flat", "late")
PARTS = ("total", "target_sampling", "decoding", "label_noise", "target_domain", "remainder")
HOWS = ("halves", "binomial", "anova", "difference", "measured", "fitted", "forks")
OPTIONS = ("seeds", "depths", "seeds_and_depths")
RULES = ("closed_form", "argmin", "grid", "guarded")
AXES = ("task", "optimiser", "schedule", "method", "model")  # of the crossing for robustness
RATE_FAMILIES = ("rho", "curvature", "control")


def text(allowed: tuple[str, ...] | None = None) -> pa.Column:
    """A text column, of these words alone if any are given."""
    return pa.Column(str, pa.Check.isin(allowed) if allowed else None)


def whole(low: int = 0) -> pa.Column:
    """A column of whole numbers of `low` or more."""
    return pa.Column("int64", pa.Check.ge(low), coerce=True)


def number(nullable: bool = True, **bounds: float) -> pa.Column:
    """A column of numbers; `bounds` are pandera's checks, as ge=0."""
    checks = [getattr(pa.Check, name)(value) for name, value in bounds.items()]
    return pa.Column("float64", checks or None, nullable=nullable, coerce=True)


def single() -> pa.Column:
    """A column of numbers in single precision, for tables with many rows."""
    return pa.Column("float32", nullable=True, coerce=True)


def flag() -> pa.Column:
    """A column of true and false."""
    return pa.Column(bool, coerce=True)


def schema(name: str, columns: dict[str, pa.Column], unique: list[str]) -> pa.DataFrameSchema:
    """A table's columns, no others, in this order; `unique` is its key."""
    return pa.DataFrameSchema(columns, name=name, strict=True, ordered=True, unique=unique)
