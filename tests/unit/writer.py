"""`prehoc` in a process of its own, which tells what it trains and may be slowed: for tests of locks."""

import json
import os
import sys
import time
from pathlib import Path


def main():
    from prehoc import cli
    from prehoc.training import loop

    real, begun = loop.advance, []

    def told(config, setting, bank, group, start, end):
        kind = "fork" if group.origins else "run"
        with Path(os.environ["ADVANCES"]).open("a") as stream:
            stream.write(json.dumps([kind, *group.seeds, start, end]) + "\n")
        begun.append(start)
        if len(begun) > int(os.environ["AFTER"]):
            time.sleep(float(os.environ["SLOW"]))
        real(config, setting, bank, group, start, end)

    loop.advance = told
    sys.argv[0] = "prehoc"
    cli.main()


if __name__ == "__main__":
    main()
