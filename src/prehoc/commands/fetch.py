"""The command that fetches models and data from the Hub or a mirror folder into the store."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from prehoc.commands.app import app, log, read_stage
from prehoc.config.hub import Wanted, all_wanted
from prehoc.errors import InputError


@app.command()
def fetch(
    config: Annotated[
        list[Path] | None,
        typer.Argument(help="config files, as for --configfile: all that their tasks need"),
    ] = None,
    item: Annotated[Path | None, typer.Option(help="or one item (JSON that the workflow wrote)")] = None,
    out: Annotated[Path | None, typer.Option(help="with --item: JSON to write")] = None,
    to: Annotated[Path | None, typer.Option(help="make a mirror FOLDER, not the store")] = None,
    source: Annotated[Path | None, typer.Option("--from", help="take from a mirror FOLDER")] = None,
    again: Annotated[bool, typer.Option("--again", help="ask anew which commit a revision means")] = False,
    lock: Annotated[
        str | None,
        typer.Option(help="seconds HEARTBEAT,STALE,LONGEST: see `lock`", metavar="H,S,L"),
    ] = None,
) -> None:
    """Fetch Hub models and data into the store, pinned, checked by digest; then jobs need no network.

    Writes results/fetched/*.json, which say what is there. HF_ENDPOINT and HF_TOKEN work as elsewhere.
    """
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    from prehoc.fetching.fetch import fetch as fetch_one
    from prehoc.fetching.mirror import MirrorFolder, record_file
    from prehoc.training.lock import Times

    if to is not None and source is not None:
        raise InputError("--to, --from: give one of them")
    times = Times.parse(lock) if lock else None
    if item is not None:
        if out is None or config:
            raise InputError("--item: one item needs --out, and no config beside it")
        stage = read_stage(item)
        wants = [Wanted(stage["kind"], stage["name"], stage["revision"], stage["subset"])]
        store, places = Path(stage["store"]), {wants[0].key: out}
    elif config:
        if out is not None:
            raise InputError("--out: goes with --item; a config's records are written to results/fetched")
        from prehoc.config import load

        loaded = load(config, Path("config.yaml"))
        wants = list(all_wanted(loaded).values())
        store = Path(loaded.store) if to is None else to
        base = Path("results") if to is None else to
        places = {want.key: record_file(base, want) for want in wants}
        times = times or Times.parse(loaded.lock.text())
        if not wants:
            log.info(f"{config[0]}: nothing comes from the Hub: packaged and local models and data alone")
    else:
        raise InputError("fetch: give a config.yaml, e.g. `prehoc fetch my.yaml`")
    for want in wants:
        made = fetch_one(
            want,
            store,
            places[want.key],
            again=again,
            source=None if source is None else MirrorFolder(source, want),
            times=times,
            report=log.info,
        )
        log.info(f"{want}: whole at {made['commit']}, {made['bytes'] / 1e6:.1f} MB in {store}")
