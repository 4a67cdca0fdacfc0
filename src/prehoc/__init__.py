"""prehoc: how predictable a fine-tune is, and how deep to probe before deciding.

import prehoc
fit = prehoc.fit("runs.csv")      # or a frame: columns task, seed, depth, metric
print(fit.verdict())
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prehoc.fits.fit import Fit, fit
    from prehoc.fits.verdicts import Verdict

__all__ = ["Fit", "Verdict", "fit"]

# Loaded when first asked for: `import prehoc` alone loads neither pandas nor torch.
_HOMES = {"Fit": "prehoc.fits.fit", "Verdict": "prehoc.fits.verdicts", "fit": "prehoc.fits.fit"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'prehoc' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
