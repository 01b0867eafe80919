"""Signals to real processes: none is lost in a hook that drops exceptions, in a call into C, or while Python starts."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from harness.core import interrupts

HOOKS = {
    "destructor": """
        class Hook:
            def __del__(self):
                work()
        hook = Hook
    """,
    "weakref callback": """
        import weakref
        class Thing: pass
        def hook():
            thing = Thing()
            kept = weakref.ref(thing, lambda ref: work())
            del thing
    """,
    "gc callback": """
        import gc
        gc.callbacks.append(lambda phase, info: work())
        hook = gc.collect
    """,
    "sqlite progress": """
        import sqlite3
        connection = sqlite3.connect(":memory:")
        connection.set_progress_handler(work, 1)
        def hook():
            try:
                connection.execute("select 1").fetchall()
            except sqlite3.OperationalError:
                pass
    """,
    "ctypes callback": """
        import ctypes
        compare = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)(lambda a, b: work())
        def hook():
            ctypes.CDLL(None).qsort((ctypes.c_int * 2)(1, 2), 2, 4, compare)
    """,
    "swallowed": """
        def hook():
            try:
                work()
            except BaseException:
                pass
    """,
}
"""What runs almost all the time in a child, and drops whatever is raised in it; each calls `work`."""

CHILD = """
import sys, time
from harness.core import interrupts
interrupts.GRACE, interrupts.LIMIT = {grace}, {limit}
def work():
    end = time.monotonic() + 0.05
    while time.monotonic() < end:
        pass
    return 0
{body}
with interrupts.listening():
    print("ready", flush=True)
    try:
        while True:
{loop}
    except KeyboardInterrupt:
        interrupts.arrived()
{closing}
        print("closed", flush=True)
    sys.exit(interrupts.status())
"""


def child(
    loop: str, body: str = "", *, closing: str = "", grace: float = 30, limit: float = 60
) -> subprocess.Popen[str]:
    """Start a process that runs a loop under `listening`, and wait until it is in there."""
    parts = {"body": textwrap.dedent(body), "loop": textwrap.indent(textwrap.dedent(loop), " " * 12)}
    code = CHILD.format(**parts, closing=textwrap.indent(closing, " " * 8), grace=grace, limit=limit)
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def ended(process: subprocess.Popen[str], number: int) -> tuple[int, str, str]:
    """Send a signal, and return how the process ended: its status, and what it said."""
    process.send_signal(number)
    try:
        out, err = process.communicate(timeout=20)
    finally:
        process.kill()
    return process.returncode, out, err


@pytest.mark.parametrize(("hook", "number"), list(zip(HOOKS, itertools.cycle(interrupts.SIGNALS))))
def test_a_signal_in_a_hook_is_raised_behind_it(hook: str, number: signal.Signals) -> None:
    process = child("hook()\ninterrupts.check()", HOOKS[hook])
    time.sleep(0.12)
    assert ended(process, number) == (128 + number, "closed\n", "")


@pytest.mark.parametrize("hook", list(HOOKS))
def test_what_never_checks_is_interrupted_where_it_stands_until_it_hears(hook: str) -> None:
    process = child("hook()\nwork()", HOOKS[hook], grace=0.17, limit=15)
    status, out, _ = ended(process, signal.SIGTERM)
    assert (status, out) == (143, "closed\n")


def test_what_waits_is_interrupted_at_once() -> None:
    process = child("with interrupts.at_once():\n    time.sleep(30)")
    began = time.monotonic()
    assert ended(process, signal.SIGINT) == (130, "closed\n", "")
    assert time.monotonic() - began < 5


LOCKED = """
import sqlite3, tempfile
file = tempfile.mktemp()
owner, other = (sqlite3.connect(file, timeout=30, isolation_level=None) for _ in range(2))
owner.execute("begin exclusive")
"""


def test_a_call_that_does_not_return_is_left_behind() -> None:
    process = child('other.execute("begin exclusive")', LOCKED, grace=0.2, limit=0.6)
    time.sleep(0.1)
    began = time.monotonic()
    status, out, err = ended(process, signal.SIGTERM)
    assert (status, out) == (143, "")
    assert "the same command goes on" in err
    assert time.monotonic() - began < 5


MANY_FILES = """
import os, resource
_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 4096), most))
files = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
"""


def test_a_process_with_more_files_than_select_can_count_hears_as_well() -> None:
    process = child("work()", MANY_FILES, grace=0.17, limit=15)
    assert ended(process, signal.SIGTERM) == (143, "closed\n", "")


def test_a_second_signal_ends_a_process_that_is_closing() -> None:
    process = child("interrupts.check()", closing='print("closing", flush=True)\ntime.sleep(30)')
    process.send_signal(signal.SIGINT)
    assert process.stdout is not None
    assert process.stdout.readline() == "closing\n"
    time.sleep(0.4)
    status, out, _ = ended(process, signal.SIGINT)
    assert (status, out) == (130, "")


def test_a_signal_said_twice_is_one() -> None:
    process = child("interrupts.check()", closing="time.sleep(0.5)")
    process.send_signal(signal.SIGTERM)
    assert ended(process, signal.SIGTERM) == (143, "closed\n", "")


def test_nothing_disturbs_what_is_being_closed() -> None:
    process = child("interrupts.check()", closing="for _ in range(10):\n    work()\n    interrupts.check()", grace=0.05)
    assert ended(process, signal.SIGINT) == (130, "closed\n", "")


FORKED = """
import os, signal
ear, mouth = os.pipe()
with interrupts.listening():
    child = os.fork()
    if not child:
        os.write(mouth, b".")
        time.sleep(30)
        os._exit(0)
    os.read(ear, 1)  # what comes while Python forks is dropped by Python
    os.kill(child, signal.SIGTERM)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), interrupts.status(), flush=True)
"""


def test_a_forked_child_ends_by_its_own_signals_and_tells_nobody() -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"import time\nfrom harness.core import interrupts\n{FORKED}"],
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
    )
    assert done.stdout.split() == [str(-signal.SIGTERM), "0"]


def test_without_a_command_ctrl_c_is_pythons_own() -> None:
    code = """
    import time
    from harness.core import interrupts
    try:
        print("ready", flush=True)
        while True:
            interrupts.check()
            with interrupts.at_once():
                time.sleep(0.01)
    except KeyboardInterrupt:
        print("pythons own", interrupts.status())
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=20)[0] == "pythons own 0\n"


@pytest.mark.parametrize("delay", [0.05, 0.1, 0.15, 0.2, 0.3])
def test_a_signal_while_the_command_is_imported_counts(delay: float) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "harness", "tasks"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    time.sleep(delay)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=20)
    # Before a line of ours has run, and behind the last one, the system ends the process, which shells call 143 too.
    assert process.returncode in (143, -signal.SIGTERM), err
    assert "Traceback" not in err


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    code = "import signal\nsignal.signal(signal.SIGHUP, signal.SIG_IGN)\nfrom harness.core import interrupts\n"
    code += "with interrupts.listening():\n    signal.raise_signal(signal.SIGHUP)\nprint(interrupts.status())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    assert done.stdout == "0\n"
