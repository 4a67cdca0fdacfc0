"""The command that holds the paper's claims against the tables."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from prehoc.commands.app import app, log, read_stage
from prehoc.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from prehoc.claims.decisions import Setting
    from prehoc.claims.evidence import Evidence


@app.command()
def claims(
    config: Annotated[Path | None, typer.Option(help="the stage's resolved config (JSON)")] = None,
    table: Annotated[
        Path | None, typer.Option(help="claims table: to write, or with --page alone to read")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Markdown file to write")] = None,
    page: Annotated[
        Path | None, typer.Option(help="page whose part between two markers is replaced")
    ] = None,
    frames: Annotated[
        list[Path] | None,
        typer.Argument(
            help="the tables variance, envelope, c_star, regimes, and those of decisions that there are"
        ),
    ] = None,
) -> None:
    """Judge the claims E1-E7 by the config's criteria: writes --table and --out, puts them on --page.

    Tables are known by their file's name; a missing one of the last four leaves its criteria undecided.
    `prehoc claims --table results/tables/claims.csv --page docs/results.md` only renews that page.
    """
    from prehoc import tables
    from prehoc.claims import page as words

    if table is None:
        raise InputError("--table: which claims table? give e.g. --table results/tables/claims.csv")
    if config is None:
        made = tables.read("claims", table)
    else:
        made = _judged(read_stage(config), frames or [])
        tables.write("claims", made, table)
    text = words.text(made)
    if out is not None:
        with tables.atomic(out) as temporary:
            temporary.write_text("# Claims\n\n" + text, encoding="utf-8")
    if page is not None:
        try:
            before = page.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"--page {page}: cannot be read: {error}") from None
        with tables.atomic(page) as temporary:
            temporary.write_text(words.put(before, text, str(page)), encoding="utf-8")


def _judged(stage: dict[str, Any], paths: list[Path]) -> pd.DataFrame:
    """The claims table of a config's tasks, of exact instances and of imported runs."""
    from prehoc import tables
    from prehoc.claims.evidence import OPTIONAL, evidence
    from prehoc.claims.judge import claims_table

    needed = ("variance", "envelope", "c_star", "regimes")
    given: dict[str, pd.DataFrame] = {}
    for path in paths:
        if path.stem not in (*needed, *OPTIONAL):
            raise InputError(f"{path}: not a table that claims are judged by; give {[*needed, *OPTIONAL]}")
        given[path.stem] = tables.read(path.stem, path)
    frames = {name: given.get(name, tables.empty(name)) for name in needed}
    frames |= {name: given[name] for name in OPTIONAL if name in given}
    rules, tasks = stage["claims"], stage["tasks"]
    drivers = {name: task["driver"] for name, task in tasks.items()}
    how: dict[str, Any] = {"information": stage["information"], "drivers": drivers}
    real = [name for name, task in tasks.items() if task["scope"] == "packaged"]
    scopes = [_synthetic(stage, frames, how), evidence("packaged", real, frames, **how)]
    if rules["imported"]:
        scopes.append(_imported(stage))
    return claims_table(scopes, rules, confidence=stage["confidence"], seed=stage["seed"])


def _synthetic(stage: dict[str, Any], frames: dict[str, pd.DataFrame], how: dict[str, Any]) -> Evidence:
    """The config's synthetic tasks, and the exact instances that none of these is."""
    import pandas as pd

    from prehoc.claims import decisions, exact
    from prehoc.claims.evidence import evidence
    from prehoc.risk.regimes import Thresholds
    from prehoc.synthetic.instances import INSTANCES, regime_of

    rules, regimes = stage["claims"], dict(stage["regimes"])
    resamples = regimes.pop("bootstrap")
    setting = exact.Setting(
        rules["synthetic_runs"], stage["seed"], rules["price"], stage["confidence"], resamples,
        Thresholds(**regimes),
    )  # fmt: skip
    own = {name: t["instance"] for name, t in stage["tasks"].items() if t["scope"] == "synthetic"}
    asked = list(INSTANCES) if stage["instances"] is None else stage["instances"]
    regime = {name: regime_of(name) for name in INSTANCES}
    drawn = [n for n in asked if regime[n] and n not in own.values() and n not in stage["tasks"]]
    made = exact.tables_of(drawn, setting)
    joint = {
        **frames,
        **{n: pd.concat([f for f in (frames[n], made[n]) if len(f)] or [f]) for n, f in made.items()},
    }
    tried = [decisions.One(exact.drawn(n, setting), INSTANCES[n].shift) for n in drawn]
    if tried:
        more = decisions.tables_of(tried, made["regimes"], _decisions(stage))
        joint |= decisions.joined({n: f for n, f in frames.items() if n in more}, more)
    truth = {n: str(regime[n]) for n in drawn}
    truth |= {task: str(regime[i]) for task, i in own.items() if regime.get(i)}
    controls = [n for n in asked if not INSTANCES[n].power_law]
    lawful = [n for n in asked if regime[n] and INSTANCES[n].power_law]
    return evidence(
        "synthetic", [*own, *drawn], joint, **how, truth=truth,
        trials=exact.trials([*lawful, *controls], rules["synthetic_sets"], setting),
        bound=exact.bound_of(lawful, setting),
    )  # fmt: skip


def _decisions(stage: dict[str, Any]) -> Setting:
    """How tasks that are not the config's are forecast, and policies judged on them."""
    from prehoc.claims.decisions import Setting

    rules, shallow = stage["claims"], stage["shallow"]
    return Setting(
        rules["price"], stage["seed"], stage["confidence"], rules["decisions"], shallow["steps"],
        shallow["share"], stage["policies"],
    )  # fmt: skip


def _imported(stage: dict[str, Any]) -> Evidence:
    from prehoc.claims import decisions, imported
    from prehoc.claims.evidence import evidence

    rules, known = stage["claims"], imported.readable(stage["information"])
    made, refused = imported.tables_of(
        rules["imported"], price=rules["price"], confidence=stage["confidence"],
        information=stage["information"], seed=stage["seed"],
    )  # fmt: skip
    if refused:
        log.info(f"imported: {len(refused)} tasks carry no verdict: {', '.join(refused)}")
    tasks = sorted(set(made["variance"]["task"]))
    runs = imported.runs_of(rules["imported"], information=known, seed=stage["seed"])
    if runs:
        # A log may count steps, samples or epochs: what is shallow there is a share of the horizon.
        how = replace(_decisions(stage), shallow_steps=float("inf"))
        tried = [decisions.One(one, information=known, driver="residual") for one in runs]
        made |= decisions.tables_of(tried, made["regimes"], how)
    drivers = dict.fromkeys(tasks, "residual")
    return evidence("imported", tasks, made, information=stage["information"], drivers=drivers)
