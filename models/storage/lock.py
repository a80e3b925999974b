"""Locks between processes, released by the death of their holder.

`flock` belongs to the open file, so a killed holder leaves no stale lock. The lock file stays:
removing it would let two holders lock two files of the same name.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from schemas.errors import BusyError


@contextmanager
def held(path: Path, holder: str = "", *, wait: bool = False) -> Iterator[None]:
    """Hold the lock of the file at `path`.

    Parameters
    ----------
    holder
        Name of this holder, which the error of a process that finds the lock taken repeats.
    wait
        Wait for the holder instead of giving up.

    Raises
    ------
    BusyError
        Another process holds the lock, and `wait` is False.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            file.seek(0)
            other = file.read(500).strip() or "another process"
            raise BusyError(f"{path} is held by {other}; try again when that has ended") from None
        file.truncate(0)
        file.write(holder)
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)


def is_free(directory: Path) -> bool:
    """Whether the lock of a directory is free (`directory_lock`)."""
    try:
        with directory_lock(directory, wait=False):
            return True
    except BusyError:
        return False


@contextmanager
def directory_lock(directory: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold the lock of a directory itself while writing into it.

    Raises
    ------
    BusyError
        Another process holds the lock, and `wait` is False.
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
