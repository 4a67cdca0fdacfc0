"""One task's rows as matrices, and which way its metric gets better."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from prehoc.errors import InputError
from prehoc.fits.refused import RefusedError
from prehoc.fits.rows import SetAside
from prehoc.risk.proxies import MIN_RUNS

Array = NDArray[np.float64]
Index = NDArray[np.int64]
Flags = NDArray[np.bool_]

_LOWER = (
    "loss",
    "perplexity",
    "ppl",
    "error",
    "err",
    "wer",
    "cer",
    "mse",
    "mae",
    "rmse",
    "nll",
    "bpc",
    "bpb",
)
_HIGHER = ("acc", "f1", "bleu", "rouge", "exact", "match", "score", "auc", "precision", "recall", "map",
           "dice", "iou", "reward", "pass", "mcc", "spearman", "pearson", "r2")  # fmt: skip
LEAST_SHARE = 0.2  # of the runs: a depth that fewer measured is left out
FEW = 0.1  # the share of runs that may be left out where the others are read at a depth they lack
MOST_DEPTHS = 32
_PLAIN = 0.5  # runs that go up less those that go down, as a share: under it neither way is plain


@dataclass(frozen=True)
class Curves:
    """A task's N runs at D depths > 0.

    `seed` [N]; `depth` [D]; `value` [N, D] (nan: not measured, or failed); `final` [N] and `target`
    [N] (R by a column, or by rows of split target at `target_depth`), nan where there is none; `group`
    [N] texts; `failed` [N]: a value was null.
    """

    task: str
    seed: Index
    depth: Index
    value: Array
    final: Array
    target: Array
    target_depth: int | None
    group: NDArray[np.str_]
    failed: Flags

    def runs(self, keep: Flags) -> Curves:
        """The same with these runs [N] alone."""
        per_run = ("seed", "value", "final", "target", "group", "failed")
        return replace(self, **{name: getattr(self, name)[keep] for name in per_run})

    def depths(self, keep: Flags) -> Curves:
        """The same with these depths [D] alone."""
        return replace(self, depth=self.depth[keep], value=self.value[:, keep])

    @property
    def last(self) -> Index:
        """Where each run's last finite value stands, as an index of depth; -1 for none  [N]."""
        there = np.isfinite(self.value)
        found = there.shape[1] - 1 - there[:, ::-1].argmax(axis=1)
        return np.where(there.any(axis=1), found, -1)


def curves_of(task: str, rows: pd.DataFrame) -> tuple[Curves, list[SetAside]]:
    """The matrices of one task's checked rows (rows.Rows.frame), and what had to be left out of them."""
    aside: list[SetAside] = []
    halves = rows["split"].isin(["target_a", "target_b"])
    if halves.any():
        aside.append(SetAside("rows", int(halves.sum()), "of splits target_a and target_b"))
    val = rows[rows["split"] == "val"]
    start = val["depth"] == 0
    if start.any():
        aside.append(SetAside("rows", int(start.sum()), "depth 0 is before training, and no probe"))
        val = val[~start]
    target = rows[rows["split"] == "target"]
    seeds = np.sort(rows["seed"].unique())
    depths = np.sort(val["depth"].unique()).astype(np.int64)
    at = np.searchsorted(seeds, val["seed"]), np.searchsorted(depths, val["depth"])
    value = np.full((len(seeds), len(depths)), np.nan)
    there = np.zeros(value.shape, bool)
    value[at], there[at] = val["value"], True
    per_run = rows.drop_duplicates("seed").set_index("seed").reindex(seeds)
    last = target[target["depth"] == target["depth"].max()].set_index("seed")["value"].reindex(seeds)
    made = Curves(
        task=task,
        seed=seeds,
        depth=depths,
        value=value,
        final=per_run["final"].to_numpy(float),
        target=last.to_numpy(float),
        target_depth=int(target["depth"].max()) if len(target) else None,
        group=per_run["group"].to_numpy(str),
        failed=np.asarray((there & ~np.isfinite(value)).any(axis=1)),
    )
    if len(target):
        broken = target[target["value"].isna()]["seed"]
        made = replace(made, failed=made.failed | np.isin(seeds, broken))
    return made, aside


def on_one_grid(curves: Curves) -> tuple[Curves, list[SetAside]]:
    """Leave out depths that few runs were measured at, and the few runs that were measured elsewhere.

    A depth is rare where under 5, or under a fifth, of the runs that go on to it or past it have it (where
    runs stop early, few go on, and a late depth is not rare).  A run with values at rare depths and
    fewer than half of the others up to its end was measured on another grid: up to a tenth of the
    runs may be left out for that.
    """
    rare = _rare(curves)
    if not rare.any():
        return curves, []
    there = np.isfinite(curves.value)
    could = (curves.last[:, None] >= np.arange(len(curves.depth))) & ~rare
    common = np.maximum(could.sum(axis=1), 1)
    odd = there[:, rare].any(axis=1) & (2 * (there & ~rare).sum(axis=1) < common)
    if 2 * odd.sum() > len(odd) or rare.all():
        raise RefusedError(
            curves.task,
            f"most runs were measured at depths of their own ({_listed(curves.depth)})",
            f"measure all runs at common depths, {MIN_RUNS} runs at each at the least",
        )
    aside: list[SetAside] = []
    if 0 < odd.sum() <= FEW * len(odd):
        aside.append(SetAside("runs", int(odd.sum()), "measured at other depths than the rest"))
        curves = curves.runs(~odd)
        curves = curves.depths(np.asarray(np.isfinite(curves.value).any(axis=0)))
        rare = _rare(curves)
    if rare.any():
        count = int(np.isfinite(curves.value[:, rare]).sum())
        why = f"measured in few runs: {_listed(curves.depth[rare])} ({count} values)"
        aside.append(SetAside("depths", int(rare.sum()), why))
        curves = curves.depths(~rare)
    return curves, aside


def _rare(curves: Curves) -> Flags:
    there = np.isfinite(curves.value)
    could = (curves.last[:, None] >= np.arange(len(curves.depth))).sum(axis=0)
    count = there.sum(axis=0)
    return np.asarray((count < LEAST_SHARE * could) | ((count < MIN_RUNS) & (could >= MIN_RUNS)))


def _listed(depths: Index) -> str:
    return ", ".join(map(str, depths[:5])) + (" ..." if len(depths) > 5 else "")


def thinned(curves: Curves, keep_last: bool) -> tuple[Curves, list[SetAside]]:
    """At most 32 depths, even in log depth, the first and last (where R is read) among them.

    Neighbouring depths of the same runs tell nearly the same: more make a fit slower, not surer.
    """
    n = len(curves.depth)
    if n <= MOST_DEPTHS:
        return curves, []
    x = np.log(curves.depth.astype(float))
    spots = np.linspace(x[0], x[-1], MOST_DEPTHS)
    chosen = np.unique(np.abs(x[:, None] - spots).argmin(axis=0))
    keep = np.zeros(n, bool)
    keep[chosen] = True
    keep[0] = True
    keep[-1] |= keep_last
    why = f"{int(keep.sum())} of {n} depths are used, even in log depth: neighbours tell the same"
    return curves.depths(keep), [SetAside("depths", int((~keep).sum()), why)]


def direction_of(curves: Curves, metric: str, given: str) -> tuple[str, str]:
    """("higher" or "lower", why): as given, by the metric's name, or by which way most runs go."""
    if given in ("higher", "lower"):
        return given, "as asked"
    if given != "auto":
        raise InputError(f"direction must be higher, lower or auto, not {given!r}")
    words = metric.lower().replace("-", "_").split("/")[-1]
    for way, names in (("lower", _LOWER), ("higher", _HIGHER)):
        if any(name in words for name in names):
            return way, f"by the name {metric}"
    first = np.array([row[np.isfinite(row)][0] for row in curves.value if np.isfinite(row).any()])
    final = np.array([row[np.isfinite(row)][-1] for row in curves.value if np.isfinite(row).any()])
    rises = float(np.mean(np.sign(final - first))) if len(first) else 0.0
    way = "lower" if rises < 0 else "higher"
    if abs(rises) < _PLAIN:
        return way, "assumed, as about as many runs go up as down: say --direction"
    return way, f"most runs go {'up' if rises > 0 else 'down'}"
