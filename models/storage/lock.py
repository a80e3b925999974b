"""One process at a time: a lock that its holder's death releases.

`flock` belongs to the open file, so a killed holder leaves no stale lock, whatever it left in the
file. The file itself stays: removing it would let two holders lock two files of one name.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from schemas.errors import BusyError


@contextmanager
def held(path: Path, who: str = "", *, wait: bool = False) -> Iterator[None]:
    """Hold the lock of the file at `path`.

    Parameters
    ----------
    who
        Said to whoever finds the lock taken.
    wait
        Wait for the holder instead of giving up.

    Raises
    ------
    BusyError
        Somebody else holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            file.seek(0)
            holder = file.read(500).strip() or "another process"
            raise BusyError(f"{path} is held by {holder}; try again when that has ended") from None
        file.truncate(0)
        file.write(who)
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)


def is_free(directory: Path) -> bool:
    """Whether nobody holds the lock of a directory (`directory_lock`)."""
    try:
        with directory_lock(directory, wait=False):
            return True
    except BusyError:
        return False


@contextmanager
def directory_lock(directory: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold the lock of a directory itself, while it is written.

    Raises
    ------
    BusyError
        Somebody else holds it and `wait` is False.
    """
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise BusyError(f"{directory} is being written") from None
        yield
    finally:
        os.close(handle)
