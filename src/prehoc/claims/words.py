"""The claims and their criteria in words."""

from __future__ import annotations

CLAIM = {
    "E1": "the decay of uncertainty is linear in log-log, and its slope is the task's own alpha",
    "E2": "tasks separate into three regimes",
    "E3": "the optimal depth depends on the regime",
    "E4": "shallow probing fails by its depth, not by a poor predictor",
    "E5": "static and trajectory signals complement each other",
    "E6": "probing at c* is more efficient than probing at one fixed depth",
    "E7": "the theory holds",
}
READING = {"run_to_run": "reading (a)", "bayes": "reading (b)"}
CRITERION = {
    "all": "all criteria",
    "power_law": "tasks with a power law that is not refused and beats its rivals",
    "slope": "tasks whose alpha is identified",
    "no_transient": "tasks whose regular regime begins at the first measured depth",
    "same_slope": "tasks whose slopes by both readings agree",
    "told": "tasks whose regime is told",
    "all_there": "regimes that have a task",
    "separated": "pairs of tasks of two regimes that lie apart in (iota, alpha)",
    "right": "instances put in their true regime",
    "readings_agree": "tasks that both readings put in one regime",
    "depth_ratio": "c*/T, Dynamic-Critical over Static-Sufficient",
    "deeper_in_pairs": "pairs in which the Dynamic-Critical task has the larger c*/T",
    "same_predictor": "risk of one predictor when shallow, over that at c*",
    "better_predictor": "risk of the best predictor when shallow, over that of one at c*",
    "risk_itself": "risk of the driving curve when shallow, over that at c*",
    "static_serves": "of the attainable reduction static signals give, in Static-Sufficient tasks",
    "trajectory_pays": "of Var R the early trajectory adds in Dynamic-Critical tasks",
    "pays_more_there": "of Var R it adds more there than elsewhere",
    "c_star_beats": "total risk over that of c*, of the fixed policy",
    "alpha_covered": "intervals that hold the exact alpha",
    "controls_caught": "sets without a power law in which none is seen",
    "closed_form_regret": "of Var R the closed-form c* costs beyond the best depth",
    "bound_holds": "predictors below the exact risk",
    "no_faster": "tasks whose risk falls no faster than a power law",
    "closed_form_near": "tasks whose closed-form c* is near the best measured depth",
    "bound_by_forks": "predictors below what forks leave open",
}
COUNTS = ("all_there", "bound_holds", "bound_by_forks")
RATIOS = ("depth_ratio", "same_predictor", "better_predictor", "risk_itself", "c_star_beats")
AT_MOST = ("closed_form_regret", "bound_holds", "bound_by_forks")


def words(criterion: str) -> str:
    """A criterion in words; what stands after its colon is a reading or a policy."""
    name, _, detail = criterion.partition(":")
    shown = READING.get(detail, f"`{detail}`" if detail else "")
    return CRITERION[name] + (f" {shown}" if name == "c_star_beats" else f", {shown}" if shown else "")
