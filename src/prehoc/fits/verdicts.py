"""`Verdict`: what a person reads first, in the terminal, as JSON and as one page of HTML."""

from __future__ import annotations

import copy
import io
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prehoc import tables
from prehoc.errors import InputError
from prehoc.fits import page, terminal
from prehoc.fits.content import document
from prehoc.fits.lookups import is_refused

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.console import Console

WIDTH = 90  # columns of str(verdict)
# What a reader of the payload relies on: {} an object, [{}] a list of objects, [] a list of plain values.
_TASK: dict[str, Any] = {
    **{
        key: {} for key in ("driving_proxy", "alpha", "L_int", "identity", "outcome", "censoring", "groups")
    },
    **{key: [{}] for key in ("readings", "intrinsic", "advice", "c_star", "gap_fork_residual")},
    **{key: [{}] for key in ("refused", "set_aside", "saving")},
    "next": {},
    "spikes": {"depths": []},
    "law": {"weights": {}},
    "caveats": [],
}
_PAYLOAD: dict[str, Any] = {"rows": {"set_aside": [{}]}, "options": {}, "tasks": [_TASK]}


class Verdict:
    """The verdicts on one or more tasks, from the dict that `prehoc fit` writes as verdict.json.

    `str(v)` and `print(v)` give plain words, `v.print()` the same in colours, `v.to_dict()`, `v.to_json()`
    and `v.to_html()` the others; a notebook shows the page.  A task's own verdict.json (of the workflow) is
    taken too.  NaN and infinities become None.  Raises InputError if `payload` is no verdict.
    """

    def __init__(self, payload: Mapping[str, Any]) -> None:
        self._payload: dict[str, Any] = _checked(_cleaned(payload), "verdict")

    @classmethod
    def read(cls, path: str | Path) -> Verdict:
        """The verdict in a file, or in the verdict.json of a folder.

        Raises InputError naming the file if it can't be read or is no verdict.
        """
        file = Path(path)
        file = file / "verdict.json" if file.is_dir() else file
        try:
            payload = json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise InputError(
                f"{file}: no such file; `prehoc fit` writes one, and the workflow one a task"
            ) from None
        except (OSError, ValueError, RecursionError) as error:
            why = " ".join(str(error).split())[:200]
            raise InputError(
                f"{file}: is no verdict.json ({why}); give one that `prehoc fit` wrote"
            ) from None
        made = cls.__new__(cls)
        made._payload = _checked(_cleaned(payload), str(file))
        return made

    @property
    def tasks(self) -> tuple[str, ...]:
        """The names of the tasks, as in the data."""
        return tuple(str(task["task"]) for task in self._payload["tasks"])

    def of(self, task: str) -> Verdict:
        """The verdict of one task alone; InputError if there is no such task."""
        chosen = [one for one in self._payload["tasks"] if one["task"] == task]
        if not chosen:
            names = ", ".join(self.tasks[:8]) + (
                f" and {len(self.tasks) - 8} more" if len(self.tasks) > 8 else ""
            )
            raise InputError(f"no task {task!r}; there are {names}")
        return Verdict({**self._payload, "tasks": chosen})

    def to_dict(self) -> dict[str, Any]:
        """A copy of all that the verdict holds: strings, numbers, true and false, None, lists, dicts."""
        return copy.deepcopy(self._payload)

    def to_json(self) -> str:
        """As verdict.json: keys in a fixed order, null where there is no number."""
        return json.dumps(self._payload, indent=2, allow_nan=False, ensure_ascii=False) + "\n"

    def to_html(self, decay: bytes | None = None, phase: bytes | None = None) -> str:
        """One page of HTML that needs no other file; `decay` and `phase` are figures as PNG or SVG."""
        return page.whole(document(self._payload), _figures(decay, phase))

    def _repr_html_(self) -> str:
        return page.part(document(self._payload))

    def __str__(self) -> str:
        return terminal.plain(document(self._payload), WIDTH)

    def __repr__(self) -> str:
        return (
            f"Verdict of {len(self.tasks)} task{'s' * (len(self.tasks) != 1)}: {', '.join(self.tasks[:4])}"
        )

    def print(self, console: Console | None = None) -> None:
        """Print to a rich console (default: the terminal), as wide as it is, up to 100 columns."""
        terminal.show(document(self._payload), console)

    def save(
        self,
        directory: str | Path,
        decay: Callable[[], Figure] | None = None,
        phase: Callable[[], Figure] | None = None,
    ) -> list[Path]:
        """Write verdict.json and verdict.html (with the figures, if any task was measured) to a folder."""
        out = Path(directory)
        if out.exists() and not out.is_dir():
            raise InputError(f"{out}: is a file; give a folder")
        paths = [out / "verdict.json", out / "verdict.html"]
        tables.write_json(self._payload, paths[0])
        measured = not all(is_refused(task) for task in self._payload["tasks"])
        drawn = [_svg(make()) if make is not None and measured else None for make in (decay, phase)]
        write_html(self.to_html(*drawn), paths[1])
        return paths


def write_html(text: str, path: str | Path) -> None:
    """Write a page atomically."""
    with tables.atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def figures_beside(path: str | Path) -> tuple[bytes | None, bytes | None]:
    """Read fig2_decay and fig3_phase, SVG or else PNG, from a verdict.json's folder; None if not there."""
    folder = Path(path) if Path(path).is_dir() else Path(path).parent
    found: list[bytes | None] = []
    for name in ("fig2_decay", "fig3_phase"):
        files = [f for f in (folder / f"{name}.svg", folder / f"{name}.png") if f.is_file()]
        found.append(files[0].read_bytes() if files else None)
    return found[0], found[1]


def _svg(made: Figure) -> bytes:
    from prehoc.figures import style

    stream = io.BytesIO()
    with style.context("icml"):
        made.savefig(stream, format="svg", metadata={"Date": None})
    return stream.getvalue()


def _figures(decay: bytes | None, phase: bytes | None) -> list[page.Figure]:
    told = ((page.DECAY, decay), (page.PHASE, phase))
    return [page.Figure(*words, data) for words, data in told if data is not None]


def _cleaned(value: Any) -> Any:
    """The same in JSON's own kinds: numpy numbers unpacked, NaN and infinities as None."""
    if isinstance(value, Mapping):
        return {str(k): _cleaned(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_cleaned(v) for v in value]
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _checked(payload: Any, source: str) -> dict[str, Any]:
    """The payload, a lone task's put in a list; InputError naming what is not as in a verdict."""
    if isinstance(payload, dict) and "tasks" not in payload and isinstance(payload.get("task"), str):
        payload = {"prehoc": None, "source": None, "rows": None, "options": {}, "tasks": [payload]}
    if not isinstance(payload, dict) or not isinstance(payload.get("tasks"), list):
        raise InputError(f"{source}: is no verdict (it has no tasks); give a verdict.json of `prehoc fit`")
    for i, task in enumerate(payload["tasks"]):
        if not isinstance(task, dict) or not isinstance(task.get("task"), str):
            raise InputError(f"{source}: tasks[{i}] is no task's verdict (no name); run `prehoc fit` again")
    _shaped(payload, _PAYLOAD, source, " ")
    return payload


def _shaped(value: Any, shape: Any, where: str, dot: str = ".") -> None:
    """Raise InputError naming the first part that is not of the `shape`; null is of any."""
    if value is None:
        return
    if not isinstance(value, type(shape)):
        kind = "an object" if isinstance(shape, dict) else "a list"
        raise InputError(f"{where} is not {kind}; run `prehoc fit` again")
    if isinstance(shape, dict):
        for key, inner in shape.items():
            _shaped(value.get(key), inner, f"{where}{dot}{key}")
        return
    for i, one in enumerate(value):
        if one is None if shape else isinstance(one, (dict, list)):
            raise InputError(
                f"{where}[{i}] is {'null' if one is None else 'no plain value'}; run `prehoc fit` again"
            )
        if shape:
            _shaped(one, shape[0], f"{where}[{i}]")
