"""prehoc: how predictable a fine-tune is, and how deep to probe before deciding.

import prehoc
fit = prehoc.fit("runs.csv")      # or a frame: columns task, seed, depth, metric
print(fit.verdict())
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prehoc.fits.advise import Advice, advise
    from prehoc.fits.fit import Fit, fit
    from prehoc.fits.online import Online, online
    from prehoc.fits.verdicts import Verdict
    from prehoc.training.probe_callback import ProbeCallback

# What is imported at first use, so that `import prehoc` costs nothing: name -> module.
_LAZY = {
    "Advice": "prehoc.fits.advise",
    "Fit": "prehoc.fits.fit",
    "Online": "prehoc.fits.online",
    "ProbeCallback": "prehoc.training.probe_callback",
    "Verdict": "prehoc.fits.verdicts",
    "advise": "prehoc.fits.advise",
    "fit": "prehoc.fits.fit",
    "online": "prehoc.fits.online",
}

__all__ = ["Advice", "Fit", "Online", "ProbeCallback", "Verdict", "advise", "fit", "online"]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
