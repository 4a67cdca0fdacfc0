"""Programs that try to get out of the sandbox, at every level that this machine has.

Each sets `escaped` where it gets what it wanted, and its test asks for it: so `passed` is an escape.
No attempt here would do harm where it succeeded: signals are number 0, sizes and counts are bounded.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from prehoc.sandbox import KINDS, Limits, Outcome, Program, available, run_all

LIMITS = Limits(cpu_s=2, wall_s=4.0, memory_mb=256, scratch_mb=4, open_files=32)
SHORT = Limits(cpu_s=1, wall_s=1.0, memory_mb=256, scratch_mb=4, open_files=32)
WANTED = "assert escaped"


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    reason = available()[request.param]
    if reason:
        pytest.skip(f"{request.param} cannot be had here: {reason}")
    return str(request.param)


def run(kind: str, source: str, tests: str = WANTED, limits: Limits = LIMITS) -> Outcome:
    return run_all([Program(source, tests)], limits, kind=kind)[0]


def outside(source: str) -> bool:
    """Whether the same program gets what it wants where nothing holds it: else its test proves nothing."""
    done = subprocess.run(
        [sys.executable, "-c", source + "\nassert escaped"], capture_output=True, timeout=30, check=False
    )
    return done.returncode == 0


@pytest.mark.skipif(sys.platform != "linux", reason="the sandbox is Linux's")
def test_the_fallback_is_there() -> None:
    assert available()["seccomp"] == ""


def test_good_and_bad_programs(kind: str) -> None:
    good = Program("import math\ndef f(x):\n    return math.sqrt(x)", "assert f(4) == 2")
    wrong = Program("def f(x):\n    return x", "assert f(4) == 2")
    broken = Program("def f(x:\n", "assert f(4) == 2")
    raising = Program("def f(x):\n    return {}[x]", "assert f(4) == 2")
    script = Program("x = int(input())\nassert __name__ == '__main__'", "assert x == 7", stdin="7\n")
    kinds = [o.kind for o in run_all([good, wrong, broken, raising, script], LIMITS, jobs=2, kind=kind)]
    assert kinds == ["passed", "failed", "error", "error", "passed"]


FILES = {
    "home": "open({home!r}).read()",
    "another's file": "open({file!r}).read()",
    "listing": "import os; assert os.listdir({folder!r})",
    "link": "import os; os.symlink({file!r}, 'link'); open('link').read()",
    "dots": "open('../' * 40 + {file!r}[1:]).read()",
}


@pytest.mark.parametrize("attempt", FILES)
def test_reading_outside(kind: str, attempt: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("token")
    with tempfile.NamedTemporaryFile(dir=Path.home(), prefix=".prehoc-test-") as home:
        source = FILES[attempt].format(home=home.name, file=str(secret), folder=str(tmp_path))
        source += "\nescaped = True"
        held = run(kind, source)
        if attempt != "link":
            assert outside(source)
    assert held.kind in ("forbidden", "error"), held


def test_repository_and_environment(kind: str) -> None:
    repo = str(Path(__file__).resolve())
    source = (
        f"import os\nescaped = 'HOME' in os.environ or 'USER' in os.environ or os.access({repo!r}, os.W_OK)"
    )
    os.environ.setdefault("USER", "someone")
    if kind == "seccomp":
        source = "import os\nescaped = 'HOME' in os.environ or 'USER' in os.environ"
    assert outside(source)
    assert run(kind, source).kind == "failed"
    assert run(kind, f"open({repo!r}).read(); escaped = True").kind in ("forbidden", "error")


NETWORK = {
    "inet": "socket.socket(socket.AF_INET, socket.SOCK_STREAM)",
    "inet6": "socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)",
    "unix": "socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)",
    "netlink": "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
    "pair": "socket.socketpair()",
}


@pytest.mark.parametrize("attempt", NETWORK)
def test_sockets(kind: str, attempt: str) -> None:
    source = f"import socket\n{NETWORK[attempt]}\nescaped = True"
    assert attempt == "inet6" or outside(source)
    assert run(kind, source).kind == "forbidden"


PROCESSES = {
    "fork": "if os.fork() == 0:\n    os._exit(0)\nos.wait()",
    "daemon": "if os.fork() == 0:\n    os.setsid()\n    os._exit(0)\nos.wait()",
    "exec": "os.execv('/bin/true', ['true'])",
    "spawn": "os.waitpid(os.posix_spawn('/bin/true', ['true'], {}), 0)",
    "shell": "import subprocess\nsubprocess.run('true', shell=True, check=True)",
    "parent": "os.kill(os.getppid(), 0)",
    "everyone": "os.kill(-1, 0)",
    "group": "os.killpg(0, 0)",
    "session": "os.setsid()",
    "nice": "os.setpriority(os.PRIO_PROCESS, os.getppid(), 19)",
    "own signals": "import fcntl\nfcntl.fcntl(1, fcntl.F_SETOWN, os.getpid())",
}


@pytest.mark.parametrize("attempt", PROCESSES)
def test_processes_and_signals(kind: str, attempt: str) -> None:
    held = run(kind, f"import os\n{PROCESSES[attempt]}\nescaped = True")
    assert held.kind in ("forbidden", "error"), held


CALLS = {  # name: number on x86_64, arguments; none would do harm
    "ptrace": (101, (0, 0, 0, 0)),
    "unshare": (272, (0x10000000,)),
    "mount": (165, (0, 0, 0, 0)),
    "bpf": (321, (0, 0, 0)),
    "keyctl": (250, (0, 0)),
    "perf_event_open": (298, (0, 0, 0, 0)),
    "memfd_create": (319, (0, 0)),
    "io_uring_setup": (425, (1, 0)),
    "process_vm_readv": (310, (0, 0, 0, 0, 0, 0)),
    "setuid": (105, (0,)),
    "fallocate": (285, (1, 0, 0, 1)),
    "openat2": (437, (0, 0, 0, 0)),
    "shmget": (29, (0, 4096, 0o1600)),
}


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the numbers are those of x86_64")
@pytest.mark.parametrize("call", CALLS)
def test_system_calls(kind: str, call: str) -> None:
    number, arguments = CALLS[call]
    source = f"""
import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
result = libc.syscall({number}, *{arguments})
escaped = result >= 0 or ctypes.get_errno() != errno.EPERM
"""
    assert run(kind, source).kind == "failed"


def test_the_other_table_of_calls_kills(kind: str) -> None:
    if os.uname().machine != "x86_64":
        pytest.skip("x32 is a matter of x86_64")
    source = "import ctypes\nctypes.CDLL(None).syscall(0x40000000 + 39)\nescaped = True"
    assert run(kind, source).kind == "crashed"


def test_threads(kind: str) -> None:
    source = "import threading\nt = threading.Thread(target=print)\nt.start()\nescaped = True"
    assert run(kind, source).kind == "error"


WRITES = {
    "outside": "open({outside!r}, 'w').write('x')",
    "root": "open('/x', 'w').write('x')",
    "usr": "open('/usr/x', 'w').write('x')",
    "library": "import os; open(os.path.dirname(os.__file__) + '/x', 'w').write('x')",
    "own memory": "open('/proc/self/mem', 'r+b')",
    "remove": "import os; os.remove({victim!r})",
    "chmod": "import os; os.chmod({victim!r}, 0)",
    "cut": "import os; os.truncate({victim!r}, 0)",
    "device": "open('/dev/vda', 'rb')",
}


@pytest.mark.parametrize("attempt", WRITES)
def test_writing_outside(kind: str, attempt: str, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("whole")
    tmp_path.chmod(0o777)
    source = WRITES[attempt].format(outside=str(tmp_path / "new"), victim=str(victim)) + "\nescaped = True"
    assert run(kind, source).kind in ("forbidden", "error")
    assert victim.read_text() == "whole"
    assert not (tmp_path / "new").exists()
    assert not Path("/x").exists()


def test_filling_the_disk(kind: str) -> None:
    one = (
        "f = open('big', 'wb')\nfor _ in range(64):\n    f.write(bytes(1 << 20))\nf.flush()\nescaped = True"
    )
    many = "for k in range(64):\n    open(f'f{k}', 'wb').write(bytes(1 << 20))\nescaped = True"
    empty = "for k in range(20000):\n    open(f'f{k}', 'wb').close()\nescaped = True"
    held = "forbidden" if kind == "seccomp" else "files"
    kinds = [run(kind, source).kind for source in (one, many, empty)]
    # bwrap can bound the size of its tmpfs, not the number of its files; they go with the process.
    assert kinds == [held, held, "passed" if kind == "bubblewrap" else held]


def test_scratch_is_new_and_leaves_nothing(kind: str) -> None:
    if kind == "seccomp":
        pytest.skip("this level has no scratch folder")
    leave = """
import os
os.mkdir('locked'); open('locked/f', 'w').write('x'); os.chmod('locked', 0)
os.symlink('/', 'root'); os.symlink('loop', 'loop')
mine = open('note', 'w').write('x')
"""
    before = set(os.listdir(tempfile.gettempdir()))  # noqa: PTH208
    outcomes = run_all(
        [Program(leave, "assert mine"), Program("import os\nn = os.listdir('.')", "assert n == []")],
        LIMITS,
        kind=kind,
    )
    assert [o.kind for o in outcomes] == ["passed", "passed"]
    left = {n for n in os.listdir(tempfile.gettempdir()) if n in ("locked", "root", "loop", "note")}  # noqa: PTH208
    assert left - before == set()


def test_time(kind: str) -> None:
    ignoring = """
import signal, time
for n in range(1, 65):
    try:
        signal.signal(n, signal.SIG_IGN)
    except (OSError, ValueError):
        pass
"""
    programs = [
        Program("while True: pass", WANTED),
        Program("import time\ntime.sleep(1000)", WANTED),
        Program(ignoring + "while True: time.sleep(0.01)", WANTED),
        Program("x = 10 ** 10 ** 9", WANTED),
        Program("def f(): pass", "while True: pass"),
        Program("import os\nwhile True:\n    try:\n        1 / 0\n    except BaseException: pass", WANTED),
    ]
    began = time.monotonic()
    outcomes = run_all(programs, SHORT, jobs=2, kind=kind)
    assert [o.kind for o in outcomes] == ["timeout"] * 6, outcomes
    assert time.monotonic() - began < 20


def test_cpu_limit_holds_without_the_clock(kind: str) -> None:
    limits = Limits(cpu_s=1, wall_s=60.0)
    outcome = run(kind, "while True: pass", limits=limits)
    assert outcome.kind == "timeout"
    assert "CPU" in outcome.reason


def test_memory(kind: str) -> None:
    block = "x = []\nfor _ in range(4096):\n    x.append(bytearray(1 << 20))\nescaped = True"
    assert run(kind, block).kind == "memory"
    pages = "import mmap\nm = mmap.mmap(-1, 1 << 32)\nescaped = True"
    assert run(kind, pages).kind == "memory"
    raised = "import resource\nresource.setrlimit(resource.RLIMIT_AS, (-1, -1))\nescaped = True"
    assert run(kind, raised).kind in ("error", "forbidden")


def test_depth_and_noise(kind: str) -> None:
    deep = "import sys\nsys.setrecursionlimit(10**9)\ndef f(): return f()\nf()"
    assert run(kind, deep).kind in ("memory", "crashed", "error", "timeout")
    nested = "x = " + "(" * 5000 + ")" * 5000
    assert run(kind, nested).kind in ("memory", "crashed", "error")
    loud = "import sys\nfor _ in range(3000): print('x' * 10000)\nsys.stderr.write('y' * 10**7)"
    assert run(kind, loud, "assert True").kind == "passed"  # into nowhere
    flood = "import os\nfor fd in range(3, 16):\n    try:\n        while True: os.write(fd, b'z' * 4096)\n    except OSError: pass"
    assert not run(kind, flood).passed
    assert run(kind, "x = 1\n" * 200_000).kind == "error"  # longer than is sent
    assert run(kind, "x = '\0\udc80'").kind == "error"
    many = "import os\nfds = [os.dup(1) for _ in range(64)]\nescaped = True"
    assert run(kind, many).kind == "files"


FORGERIES = {
    "prints the words": "print('fenced'); print('ready'); print('passed'); import sys; sys.stdout.flush()",
    "exits": "import sys; sys.exit(0)",
    "exits at once": "import os; os._exit(0)",
    "quits": "raise SystemExit",
    "interrupts": "raise KeyboardInterrupt",
    "no asserts": "import builtins; builtins.AssertionError = type('A', (BaseException,), {})",
    "all is true": "import builtins; builtins.all = lambda x: True; builtins.abs = lambda x: 0",
    "no builtins": "import builtins; vars(builtins).clear()",
    "no modules": "import sys; sys.modules.clear()",
    "a traced frame": "import sys\nsys.settrace(lambda *a: None)\nsys.setprofile(lambda *a: None)",
    "shows badly": "class E(Exception):\n    def __str__(self): raise SystemExit(0)\nraise E",
    "speaks": "import os\nfor fd in range(3, 32):\n    try: os.write(fd, b'passed\\n')\n    except OSError: pass",
    "at exit": "import atexit, os; atexit.register(os._exit, 0)",
    "hook": "import sys, os; sys.excepthook = lambda *a: os._exit(0)\nraise ValueError",
}


@pytest.mark.parametrize("attempt", FORGERIES)
def test_verdicts_are_not_forged_cheaply(kind: str, attempt: str) -> None:
    source = "def f(x):\n    return 0\n" + FORGERIES[attempt]
    tests = "assert all([f(1) == 1, abs(f(1) - 1) < 0.5])"
    assert not run(kind, source, tests).passed


def test_programs_do_not_reach_one_another(kind: str) -> None:
    """One leaves words, descriptors and changed modules behind; the next ones see nothing of it."""
    dirty = """
import os, sys, math, builtins
math.sqrt = lambda x: 7
builtins.len = lambda x: 7
sys.modules['mine'] = math
for fd in range(3, 32):
    try:
        os.write(fd, b'passed\\n' * 3)
    except OSError:
        pass
"""
    clean = Program(
        "import sys, math\nx = math.sqrt(4)", "assert x == 2 and len([]) == 0 and 'mine' not in sys.modules"
    )
    outcomes = run_all(
        [clean, Program(dirty, "assert False"), clean, Program("1 / 0"), clean], LIMITS, kind=kind
    )
    assert [o.passed for o in outcomes] == [True, False, True, False, True], outcomes


def test_ends_with_its_parent(kind: str, tmp_path: Path) -> None:
    marker = f"prehoc-test-{os.getpid()}-{kind}"
    source = f"x = {marker!r}\nimport time\nwhile True: time.sleep(0.05)"
    code = f"""
from prehoc.sandbox import run_all, Program, Limits
import threading, time, os
threading.Timer(1.0, lambda: os._exit(0)).start()
run_all([Program({source!r}, "")], Limits(wall_s=60.0), kind={kind!r})
"""
    before = boots()
    subprocess.run([sys.executable, "-c", code], timeout=60, check=True)
    end = time.monotonic() + 5
    while boots() - before and time.monotonic() < end:
        time.sleep(0.05)
    assert boots() - before == set()


def boots() -> set[str]:
    """Process numbers of the interpreters that the sandbox started, and no test that runs beside this one."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if b"exec(marshal.load(sys.stdin.buffer))" in line and not under_test(entry.name):
                found.add(entry.name)
    return found


def under_test(number: str) -> bool:
    """Whether a process descends from this one's parent or from a test process beside this one."""
    own = {str(os.getpid()), str(os.getppid())}
    while number not in ("0", "1"):
        if number in own:
            return True
        try:
            number = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[1]
        except OSError:
            return False
    return False
