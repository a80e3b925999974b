"""Errors of the operating system as one-line errors that name the file and the cause."""

from __future__ import annotations

import errno
import os
import re

from schemas.errors import ConfigError, HarkError, TransientError

_WRONG_PATH = frozenset(
    {
        errno.EACCES, errno.EEXIST, errno.EISDIR, errno.ELOOP, errno.EINVAL, errno.ENAMETOOLONG,
        errno.ENOENT, errno.ENOTDIR, errno.ENOTEMPTY, errno.EPERM, errno.EROFS, errno.EXDEV,
        errno.ENODEV, errno.ENXIO, errno.ETXTBSY, errno.EBUSY,
    }
)  # fmt: skip
_MAY_WORK_AGAIN = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ESTALE}
)
_KINDS = (PermissionError, FileNotFoundError, FileExistsError, IsADirectoryError)
_NUMBER = re.compile(r"\(os error (\d+)\)")
"""Polars raises OSError and these subclasses with a text only; the text names the file."""


def refused_by_system(error: OSError) -> HarkError | None:
    """Convert an error of a file or the disk to a HarkError; None for others, as of sockets.

    Examples
    --------
    >>> refused_by_system(PermissionError(13, "Permission denied", "var/registry"))
    ConfigError('var/registry: Permission denied')
    >>> refused_by_system(OSError(28, "No space left on device"))
    TransientError('No space left on device')
    >>> refused_by_system(ConnectionResetError(104, "Connection reset by peer"))
    """
    if isinstance(error, (ConnectionError, TimeoutError)):
        return None
    files = [os.fsdecode(name) for name in (error.filename, error.filename2) if _is_name(name)]
    why = error.strerror or " ".join(str(error).split())
    line = f"{' -> '.join(files)}: {why}" if files else why
    in_text = _NUMBER.search(line) if error.errno is None else None
    number = int(in_text[1]) if in_text else error.errno
    if number in _MAY_WORK_AGAIN:
        return TransientError(line)
    if (files or in_text) and number in _WRONG_PATH:
        return ConfigError(line)
    if error.errno is None and isinstance(error, _KINDS):
        return ConfigError(line)
    return None


def _is_name(name: object) -> bool:
    return isinstance(name, (str, bytes))
