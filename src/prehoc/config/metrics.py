"""Which metrics a kind of task measures, which take label noise, and their variance-stabilising names.

Names only: what a metric is stands in tasks/metrics.py, what a scale does in tables/scales.py.
"""

from __future__ import annotations

CLASS_METRICS = ("accuracy", "f1", "matthews")  # of predicted classes
NUMBER_METRICS = ("pearson", "spearman", "pearson_spearman")  # of predicted numbers
METRICS = (*CLASS_METRICS, *NUMBER_METRICS, "exact_match", "pass_at_1", "loss")
TAKES_LABEL_NOISE = CLASS_METRICS
# Each bounded metric's name on the scale on which the variance of its sampling does not depend on its mean.
STABILISED = {
    "accuracy": "arcsine accuracy",
    "exact_match": "arcsine exact_match",
    "pass_at_1": "arcsine pass_at_1",
    "f1": "arcsine f1",
    "matthews": "arcsine matthews",
    "pearson": "fisher-z pearson",
    "spearman": "fisher-z spearman",
    "pearson_spearman": "fisher-z pearson_spearman",
}
# What each kind measures besides its loss; the names of the two others are set by their problems.
_BY_KIND: dict[str, tuple[str, ...]] = {
    "text_classification": CLASS_METRICS,
    "modular_arithmetic": ("accuracy",),
    "causal_arithmetic": ("accuracy",),
}


def score_of_judge(judge: str) -> str:
    """What the mean of a judge's verdicts on written texts is called."""
    return "pass_at_1" if judge == "tests" else "exact_match"


def measured(
    kind: str, labels: str | None, classes: int | None = None, judge: str | None = None
) -> tuple[str, ...]:
    """The names that `outcome.metric` may have for a kind of task whose labels are `class` or `number`.

    F1 is of two classes: with another known number of `classes` it is left out. Of written texts it is
    what their `judge` says.
    """
    if judge is not None:
        return (score_of_judge(judge), "loss")
    if kind == "text_classification" and labels == "number":
        return (*NUMBER_METRICS, "loss")
    names = _BY_KIND.get(kind, METRICS[:-1])
    if classes not in (None, 2):
        names = tuple(name for name in names if name != "f1")
    return (*names, "loss")
