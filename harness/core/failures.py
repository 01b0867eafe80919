"""What a machine refuses, in words: a full disk, a folder that cannot be written, a database that went away, memory.

Libraries raise it under many names, wrapped in errors of their own; it is read here and nowhere else.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from traceback import walk_tb

from harness.core.bounded_files import OutOfBounds
from harness.core.errors import HarnessError, StoreError, UserError
from harness.core.workspace import HERE

__all__ = ["STARVED", "database_trouble", "explained", "in_words", "is_out_of_memory"]

FOLDER_MISPLACED = "a file stands where a folder belongs", "move it away"
FORBIDDEN = "this user may not do that", "change its owner or permissions, or work in another folder"
FILES = "too many files are open", "raise the limit (ulimit -n), or end other programs"
CAUSES = {
    errno.ENOSPC: ("no space is left there", "make room"),
    errno.EDQUOT: ("the quota is used up", "make room, or have it raised"),
    errno.EFBIG: ("no file may grow that large", "raise the limit (ulimit -f)"),
    errno.EROFS: ("it can only be read", "make its file system writable, or work in another folder"),
    errno.EACCES: FORBIDDEN,
    errno.EPERM: FORBIDDEN,
    errno.ENOTDIR: FOLDER_MISPLACED,
    errno.EEXIST: FOLDER_MISPLACED,
    errno.EISDIR: ("a folder stands where a file belongs", "move it away"),
    errno.ENOENT: ("it is not there", "bring it back"),
    errno.ELOOP: ("its link leads back to itself", "remove it"),
    errno.ENAMETOOLONG: ("the name is too long", "shorten it, or work in a folder with a shorter path"),
    errno.EMFILE: FILES,
    errno.ENFILE: FILES,
    errno.EIO: ("the disk fails", "look at the system's log"),
    errno.ESTALE: ("the network folder went away", "mount it again"),
}
"""What the system's error numbers mean, and what helps."""

DATABASES = {
    "locked": ("another process has locked it for too long", "wait for that one, or end it"),
    "full": CAUSES[errno.ENOSPC],
    "readonly": CAUSES[errno.EROFS],
    "unable to open": ("it cannot be opened", "see that its folder is there, can be written, and has room"),
    "disk i/o": ("it cannot be read or written", "see that its disk has room and works"),
    "malformed": ("it is damaged", "put a copy back in its place"),
    "no such": ("it lacks what a store has", "name another database, or put a copy back in its place"),
    "not a database": ("it is damaged", "put a copy back in its place"),
}
"""What sqlite says, to the same."""

DRIVERS = ("OperationalError", "InterfaceError", "DatabaseError", "TimeoutError", "PendingRollbackError")
"""What of a database driver's errors is not the fault of a query."""

WRAPPED = re.compile(r"\[Errno (?P<c>\d+)\](?:[^:\n]*: '(?P<file>[^'\n]+)')?|\(os error (?P<rust>\d+)\)")
"""How libraries quote an error of the system."""

TORN = ("PytorchStreamWriter failed", "iostream error")
"""What torch says where a file cannot be written."""

STARVED = "memory ran out"
"""How sentences about that begin."""

MEMORY = ("out of memory", "not enough memory", "can't allocate memory", "cannot allocate memory", "bad_alloc")

TIGHT = 2**20
"""Bytes below which a disk is taken for full."""

GOES_ON = "the same command goes on"


def explained(error: BaseException) -> HarnessError | None:
    """Return what to tell of an error that the machine is to blame for, ``None`` of any other."""
    while True:
        told = _memory(error) or _network(error) or _database(error) or _system(error)
        if told is not None or (below := error.__cause__) is None:
            return told
        error = below


@contextmanager
def in_words() -> Iterator[None]:
    """Raise what the command tells of an error that the machine is to blame for, in place of that error.

    Raises:
        HarnessError: That.
    """
    try:
        yield
    except HarnessError:
        raise
    except Exception as error:
        if told := explained(error):
            raise told from error
        raise


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether memory ran out, the processor's or an accelerator's."""
    wraps = isinstance(error, RuntimeError | OSError)
    return isinstance(error, MemoryError) or (wraps and any(words in str(error).lower() for words in MEMORY))


def _memory(error: BaseException) -> HarnessError | None:
    if not is_out_of_memory(error):
        return None
    remedy = "end other programs, or take shorter rows, a smaller training.batch_size, generation.batch_size or model"
    return UserError(f"{STARVED}: {_reason(error)}; {remedy}")


def _network(error: BaseException) -> HarnessError | None:
    if not _is_a(error, "requests.exceptions.RequestException", "httpx.TransportError"):
        found = re.search(r"API request to (\S+) failed", str(error)) if _is_a(error, "mlflow.exceptions") else None
        address = found[1] if found else None
    else:
        request = getattr(error, "_request", None) or getattr(error, "request", None)
        address = str(getattr(request, "url", None) or "a server")
    return StoreError(f"{address} does not answer: {_reason(error)}; try again when it does") if address else None


def _database(error: BaseException) -> HarnessError | None:
    if type(error).__module__ not in ("sqlite3", "sqlalchemy.exc") or type(error).__name__ not in DRIVERS:
        return None
    place, reason = _place(error), _reason(error)
    if "disk i/o" in reason.lower() and os.path.exists(place) and shutil.disk_usage(place).free < TIGHT:
        reason = f"database or disk is full: {reason}"  # of a file that it maps into memory it does not say so
    return StoreError(f"database {place}: {database_trouble(reason)}, and {GOES_ON}")


def database_trouble(reason: str, remedy: str = "see that it answers") -> str:
    """Return what the first line of a driver's error means, and what helps, if nothing better is known this remedy."""
    said = reason.lower().replace("-", "")
    cause, remedy = next((told for words, told in DATABASES.items() if words in said), ("it cannot be used", remedy))
    return f"{cause} ({reason}); {remedy}"


def _system(error: BaseException) -> HarnessError | None:
    """Tell of an error of the system, raised as such or quoted by a library."""
    if "No usable temporary directory" in str(error):
        return UserError(
            f"temporary files: {_reason(error)}; make room in one of these, or set TMPDIR to another folder"
        )
    if isinstance(error, OutOfBounds) and error.file:
        return UserError(f"{os.path.abspath(error.file)}: {_reason(error)}; move it away, and {GOES_ON}")
    number, file = _number_and_file(error)
    if number is None:
        return HarnessError(_reason(error)) if isinstance(error, OSError) else None
    where, said = os.path.abspath(file) if file else "a file", os.strerror(number)
    if number not in CAUSES:
        return HarnessError(f"{where}: {_reason(error)}" if file else _reason(error))
    cause, remedy = CAUSES[number]
    if number == errno.ENOSPC:  # a copy names its source, and a write names nothing
        said = f"{said}: {' and '.join(_full())}"
    return UserError(f"{where}: {cause} ({said}); {remedy}, and {GOES_ON}")


def _number_and_file(error: BaseException) -> tuple[int | None, str]:
    """Return the system's number of an error, ``None`` of one that is not the system's, and the file, if it says so."""
    if isinstance(error, OSError) and error.errno is not None:
        copied = error.filename2 if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS) else None
        return error.errno, str(copied or error.filename or "")
    if (quoted := WRAPPED.search(str(error))) and int(quoted["c"] or quoted["rust"]) in CAUSES:
        return int(quoted["c"] or quoted["rust"]), quoted["file"] or ""
    if isinstance(error, RuntimeError) and any(words in str(error) for words in TORN):
        return errno.ENOSPC, ""  # as far as it says
    return None, ""


def _full() -> list[str]:
    """Return the folders that are written to and have hardly any room, else all of them, with the room there is."""
    home = HERE.folder.absolute()
    places = [str(home if home.is_dir() else Path.cwd())]
    with suppress(OSError):  # where none can be written, there is none
        places.append(tempfile.gettempdir())
    room = {place: shutil.disk_usage(place).free for place in places}
    tight = {place: free for place, free in room.items() if free < TIGHT}
    return [f"{place} ({free / 2**20:,.0f} MiB free)" for place, free in (tight or room).items()]


def _place(error: BaseException) -> str:
    """Return the database that a call was made to: the engine, which SQLAlchemy's frames know and its errors do not."""
    frames = (frame for frame, _ in walk_tb(error.__traceback__))
    engines = (getattr(frame.f_locals.get("self"), "engine", None) for frame in frames)
    url = next((url for engine in engines if (url := getattr(engine, "url", None)) is not None), None)
    if url is None:
        return "of a store"
    return os.path.abspath(url.database) if url.drivername.startswith("sqlite") and url.database else str(url)


def _is_a(error: BaseException, *names: str) -> bool:
    """Return whether an error is of classes with these names, or of any in these modules; none is imported for it."""
    found = [(kind.__module__, f"{kind.__module__}.{kind.__name__}") for kind in type(error).__mro__]
    return any(name in pair for name in names for pair in found)


def _reason(error: BaseException) -> str:
    """Return the first line of an error, the driver's where SQLAlchemy wraps one."""
    error = getattr(error, "orig", None) or error
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]
