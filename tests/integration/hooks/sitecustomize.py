"""Stops a training job at a known moment, so that a test can disturb it there.

The first lines of the file `hold` in a job's folder say what: `000016 stop` freezes the job of that
shard (SIGSTOP, on itself) when it is about to put its third checkpoint in place; `000032 hog 1500` makes it
take so many MB then, and go on.  Nothing of prehoc is replaced: Python tells of each rename.
"""

import os
import signal
import sys
import time
from pathlib import Path

seen = []


def watch(event, args):
    if (
        event != "os.rename"
        or not str(args[1]).endswith(".safetensors")
        or "checkpoints" not in str(args[1])
    ):
        return
    seen.append(args[1])
    if len(seen) != 3 or "--first" not in sys.argv:
        return
    first = sys.argv[sys.argv.index("--first") + 1].zfill(6)
    try:
        orders = [line.split() for line in Path("hold").read_text().splitlines()]
    except FileNotFoundError:
        return
    for shard, what, *more in orders:
        if shard == first and what == "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        elif shard == first and what == "hog":
            ballast = bytearray(os.urandom(1 << 20)) * int(more[0])
            time.sleep(5)  # the node's accounting looks once a second
            del ballast


sys.addaudithook(watch)
