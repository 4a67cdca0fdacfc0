"""Numbers, names and explanations as a verdict's reader sees them, in the terminal and on the page."""

from __future__ import annotations

import math
import unicodedata
from typing import Any, TypeGuard

NONE = "-"

REGIMES = {
    "static_sufficient": "Static-Sufficient",
    "dynamic_critical": "Dynamic-Critical",
    "noise_dominant": "Noise-Dominant",
    "undecided": "undecided",
}
SAYS = {
    "static_sufficient": "what can be known of R is known before the run or in its first steps",
    "dynamic_critical": "the run itself decides, and tells slowly",
    "noise_dominant": "most of the outcome's variance stays open however deep one probes",
}
LAWS = {"power": "power law", "exponential": "exponential", "flat": "no decay", "late": "late reveal"}
READINGS = {
    ("bayes", "residual"): "left open by a regression on the curve",
    ("bayes", "fork"): "left open by the run's whole state",
    ("run_to_run", "run_to_run"): "the paper's: the metric's variance over runs, as a share of its first; "
    "above 100% it grows",
}
INFORMATION = {
    "last": "metric at c",
    "prefix": "metrics up to c",
    "outputs": "metric and probe outputs at c",
    "state": "weights and optimiser at c",
    "static": "static information",
    "static+prefix": "static information and metrics up to c",
}
OPTIONS = {"seeds": "More seeds", "depths": "More depths", "seeds_and_depths": "Seeds and depths"}
PARTS = {
    "total": "all that is open",
    "target_sampling": "sampling of the target set",
    "decoding": "sampling of the texts",
    "label_noise": "label noise of the target",
    "target_domain": "drawn target domain",
    "remainder": "the rest",
}

# The half sentences that stand once beside a number.
VAR_R = "how much R varies from run to run: all there is to predict"
OPEN = "the share of Var R that stays open even when a run is watched to its end"
OPEN_BEFORE = "the share of Var R that the curves do not foretell before runs are done"
ALPHA = "how fast the uncertainty falls with depth c, as c^-alpha: larger is sooner"
PRICE = "what one full run costs, as a share of what knowing its R beforehand is worth (0.2: a fifth)"
C_STAR = "the depth at which to stop and judge: past it, steps cost more than they tell"

GLOSSARY = (
    ("R", "a run's final performance: what one would like to know beforehand."),
    ("Var R", f"{VAR_R}. Its root is the standard deviation of R."),
    ("run, seed", "one training with its own randomness; runs of a task differ in nothing else."),
    ("depth c, horizon T", "c is the step at which a run is looked at; T is where it ends."),
    ("open, risk L(c)", "the part of Var R that the best forecast at depth c leaves."),
    ("intrinsic, L_int", f"{OPEN}; more steps do not help against it."),
    ("alpha", f"{ALPHA}. It is sought from 0.02 to 4; runs that allow either end do not identify it."),
    ("decay law", "the curve that L(c) follows: a power law c^-alpha, an exponential, no decay, or a late "
     "reveal (nothing for long, then all at once). AIC weights are the laws' shares of the evidence."),
    ("lack of fit", "the chance of points this far off a law that is true; under 0.01 the law is refused."),
    ("c*", f"{C_STAR}."),
    ("price", f"{PRICE}. In symbols gamma lambda T / Var R: trade-off, cost of a step, and steps."),
    ("Static-Sufficient", f"{SAYS['static_sufficient']}; probing gains next to nothing."),
    ("Dynamic-Critical", f"{SAYS['dynamic_critical']}."),
    ("Noise-Dominant", f"{SAYS['noise_dominant']}."),
    ("probability", "the share of resamplings of the runs in which the same regime comes out."),
    ("reading", "how uncertainty is measured: by what a forecast of R leaves open (residual: a regression "
     "on the curve; fork: continuations of one run), or, as the paper does, by the metric's variance over "
     "runs (run_to_run), which is no forecast's error."),
    ("interval", "the range that holds the true number in as many of such studies as is said above."),
    ("group", "the system, person or submitter that a run comes from."),
    ("spike", "a single value far to the worse side of its neighbours in a run."),
)  # fmt: skip


def visible(text: Any) -> str:
    """Text that commands no terminal: control, direction and broken characters are spelt out."""
    return "".join(_spelt(sign) if _hidden(sign) else sign for sign in str(text))


def _hidden(sign: str) -> bool:
    return unicodedata.category(sign) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")


def _spelt(sign: str) -> str:
    code = ord(sign)
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65536 else f"\\U{code:08x}"


def text(value: Any, none: str = NONE) -> str:
    """A string as it is; `none` for null and the empty one."""
    return none if value is None or value == "" else str(value)


def known(value: Any) -> TypeGuard[float]:
    """Whether this is a finite number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def number(value: Any) -> str:
    """Three significant digits; `-` for none."""
    if not known(value):
        return NONE
    text = f"{value:.3g}"
    if "e" not in text:
        return text
    if 1e3 <= abs(value) < 1e7:
        return f"{float(text):,.0f}"
    digits, power = text.split("e")
    return f"{digits}e{int(power)}"


def steps(value: Any) -> str:
    """A number of steps or runs: whole, with separators; `-` for none."""
    return f"{value:,.0f}" if known(value) else NONE


def share(value: Any) -> str:
    """A share as percent; `-` for none."""
    if not known(value):
        return NONE
    part = abs(value)
    if part < 0.0005:
        return "0%" if part == 0 else "under 0.1%"
    if 0.9995 <= part < 1:
        return "over 99.9%"
    return f"{value:.1%}" if part < 0.00995 or 0.995 <= part < 1 else f"{value:.0%}"


def chance(value: Any) -> str:
    """A probability in two digits; `-` for none."""
    if not known(value):
        return NONE
    return ">0.99" if value > 0.995 else "<0.01" if value < 0.005 else f"{value:.2f}"


def p_value(value: Any) -> str:
    """A p value: `p = 0.03`, `p under 0.001`; `p not known`."""
    if not known(value):
        return "p not known"
    return "p under 0.001" if value < 0.001 else f"p = {value:.2g}"


def span(low: Any, high: Any, form: Any = number) -> str:
    """`low to high`, one number where they look alike; `-` where neither end is known."""
    if not known(low) and not known(high):
        return NONE
    ends = [form(end) if known(end) else "?" for end in (low, high)]
    return ends[0] if ends[0] == ends[1] else " to ".join(ends)


def ratio(value: Any, whole: Any) -> float | None:
    """The quotient; None where either is not known or `whole` is not positive."""
    return float(value) / float(whole) if known(value) and known(whole) and whole > 0 else None


def stopped(text: Any) -> str:
    """With a full stop last, if it has no other."""
    words = str(text or "").strip()
    return words if not words or words[-1] in ".!?" else words + "."


def sentence(text: Any) -> str:
    """As a sentence: a capital first (unless a symbol stands there), one full stop last."""
    words = str(text or "").strip()
    if not words:
        return ""
    first = words.split()[0]
    if first.isalpha() and first.islower() and first not in ("alpha", "run_to_run"):
        words = words[0].upper() + words[1:]
    return stopped(words)


def counted(count: Any, what: str) -> str:
    """A number of things: `1 row`, `1,200 rows`."""
    plural = what if what.endswith("s") else f"{what}s"
    return f"{steps(count)} {plural[:-1] if count == 1 else plural}"
