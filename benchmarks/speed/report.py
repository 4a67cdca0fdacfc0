"""The tables of a benchmark's record, in Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

LABELS = {
    "lora_all": "LoRA, all layers",
    "lora_top2": "LoRA, top 2 layers",
    "head": "head only",
    "tiny_transformer": "tiny transformer, all of it",
}


def table(head: Sequence[str], body: list[list[str]]) -> str:
    """A Markdown table whose columns stand straight in a terminal too."""
    widths = [max(len(row[i]) for row in [list(head), *body]) for i in range(len(head))]
    lines = [list(head), ["-" * w for w in widths], *body]
    return "\n".join(
        "| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |" for row in lines
    )


def number(value: float | None) -> str:
    """Three digits that count, and no more; nothing where there is no number."""
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _wanted(row: dict[str, Any], amx: bool, unit: str = "x") -> list[str]:
    target = row.get("target")
    if target is None:
        return ["", ""]
    scale = 100 if unit == "%" else 1
    words = f"{target * scale:,g}{' %' if unit == '%' else unit}"
    if row["precision"] == "bf16" and not amx:
        words += " (for AMX, not here)"
    return [words, "yes" if row["reached"] else "no"]


def _what(row: dict[str, Any]) -> str:
    if row["tool"] != "prehoc":
        return f"{row['tool']}, {row['precision']}"
    alone = " (in a bank of 2)" if row["seeds"] == 1 else ""
    return f"prehoc, {row['precision']}, S = {row['seeds']}{alone}"


def _speed(row: dict[str, Any], amx: bool) -> list[str]:
    return [
        f"{row['dropout']:g}",
        _what(row),
        number(row["speed"]),
        number(row["ratio"]),
        *_wanted(row, amx),
    ]


def _share(row: dict[str, Any], amx: bool) -> list[str]:
    rates = [number(row["gflop_s_step"]), number(row["gflop_s_products"])]
    return [
        row["precision"],
        str(row["seeds"]),
        f"{100 * row['share']:.0f} %",
        *rates,
        *_wanted(row, amx, "%"),
    ]


def _ends(row: dict[str, Any], amx: bool) -> list[str]:
    size = f"{row['seeds']} x {len(row['depths'])}"
    how = "one seed a depth, times seeds" if row["extrapolated"] else "in full"
    took = [f"{row['seconds'] / 60:.1f}", number(row["ratio"]), *_wanted(row, amx)]
    return [f"{row['tool']}, {row['precision']}", size, *took, how]


def _memory(row: dict[str, Any], amx: bool) -> list[str]:
    if "limit_bytes" not in row:  # of a GPU, whose other contenders are told too
        whole = f"{_what(row)}, LoRA dropout {row['dropout']:g}"
        return [whole, str(row["seeds"]), f"{row['peak_bytes'] / 2**30:.3g}", "", ""]
    sizes = [f"{row[key] / 2**30:.3g}" for key in ("peak_bytes", "limit_bytes")]
    return [row["precision"], str(row["seeds"]), *sizes, "yes" if row["reached"] else "no"]


def _name(row: dict[str, Any]) -> str:
    return LABELS.get(row["path"], row["path"])


COLUMNS = {
    "speed": (["LoRA dropout", "tool", "seed-steps/s", "ratio", "wanted", "reached"], _speed),
    "shares": (
        [
            "precision",
            "S",
            "products' share",
            "GFLOP/s of the step",
            "of products alone",
            "wanted",
            "reached",
        ],
        _share,
    ),
    "end_to_end": (
        ["tool", "seeds x depths", "minutes", "ratio", "wanted", "reached", "measured"],
        _ends,
    ),
    "memory": (["precision", "S", "peak GiB", "wanted below", "reached"], _memory),
}


def _machine(record: dict[str, Any]) -> str:
    """The line above the tables: what was timed, and by which clock."""
    facts = record["machine"]
    versions = ", ".join(f"{k} {facts['versions'][k]}" for k in ("torch", "transformers", "peft"))
    units = ", ".join(facts["bf16_units"]) or "none"
    clock = {"cpu": "CPU", "wall": "wall-clock"}[record["settings"]["clock"]]
    if "gpu" in facts:
        driver = f", driver {facts['driver']}" if facts["driver"] else ""
        host = f"{facts['gpu']}, CUDA {facts['cuda']}{driver}, on {facts['processor']}"
        return f"{host} with {facts['threads']} threads; {versions}; {clock} time."
    return f"{facts['processor']}, one thread, bf16 units: {units}; {versions}; {clock} time."


def written(record: dict[str, Any]) -> str:
    """All tables that a record has measurements for."""
    facts, parts = record["machine"], []
    amx = bool(facts["amx"])
    parts.append(_machine(record))
    for part, (head, cells) in COLUMNS.items():
        body = [[_name(row), *cells(row, amx)] for row in record.get(part) or []]
        if body:
            parts.append(table(["path", *head], body))
    for row in record.get("left_out") or []:
        parts.append(
            f"Left out: {_name(row)}, {_what(row)}, LoRA dropout {row['dropout']:g}: {row['fault']}"
        )
    return "\n\n".join(parts) + "\n"
