"""Aliases of model versions: `champion`, `challenger` and `previous`.

An alias is a small text file, such as `<root>/champion`, that holds a version's name. It is
replaced atomically, so a reader sees the old version or the new version. `champion` answers,
`challenger` is the newest version that the gate didn't promote, and `previous` is the former
champion, for a rollback.
"""

from __future__ import annotations

import re
from contextlib import AbstractContextManager
from pathlib import Path

from models.storage import artefact, lock
from schemas.errors import ArtefactError, ConfigError, TransientError

CHAMPION = "champion"
CHALLENGER = "challenger"
PREVIOUS = "previous"
_LOCK = ".aliases.lock"
_VERSION = re.compile(r"[0-9a-f]{12}")
_ALIAS = re.compile(r"[a-z][a-z0-9_-]{0,63}")


def is_version(name: str) -> bool:
    """Whether `name` has the form of a version: no other name becomes part of a path."""
    return _VERSION.fullmatch(name) is not None


def check_folder(root: Path) -> None:
    """Refuse a registry that is a file: it isn't one without versions.

    Raises
    ------
    ConfigError
        It is there and no folder.
    """
    if root.exists() and not root.is_dir():
        raise ConfigError(f"registry {root}: not a folder")


def resolve(root: Path, name: str) -> str | None:
    """Return the version that an alias or a version names; None if it doesn't exist.

    Raises
    ------
    ConfigError
        The registry is a file.
    ArtefactError
        The name is neither a version nor an alias, or the alias doesn't hold a version.
    TransientError
        The alias can't be read at the moment. None would be wrong then: the champion could be
        pruned, or replaced without a comparison.
    """
    check_folder(root)
    if is_version(name):
        return name if (root / name).is_dir() else None
    if not _ALIAS.fullmatch(name):
        raise ArtefactError(f"{name!r} is neither a version nor an alias")
    if not (root / name).is_file():
        return None
    try:
        with (root / name).open("rb") as file:
            version = file.read(64).decode("ascii", "replace").strip()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise TransientError(f"alias {root / name} can't be read: {error.strerror}") from error
    if not is_version(version):
        # The message leaves the content out: the file may be a link to a secret.
        raise ArtefactError(f"alias {root / name} doesn't hold a version")
    return version


def named(root: Path) -> dict[str, str]:
    """Return every alias and its version."""
    check_folder(root)
    if not root.is_dir():
        return {}
    found = sorted(path.name for path in root.iterdir() if _ALIAS.fullmatch(path.name))
    return {
        name: version
        for name in found
        if (root / name).is_file() and (version := resolve(root, name))
    }


def promote(root: Path, name: str) -> str:
    """Make a version the champion; the old champion becomes `previous`. Returns the version.

    `previous` is written first: a kill between the two leaves the old champion in charge.
    """
    with changing(root):
        version = _whole(root, name)
        champion = _readable(root, CHAMPION)
        if champion is not None and champion != version:
            _point(root, PREVIOUS, champion)
        _point(root, CHAMPION, version)
        if _readable(root, CHALLENGER) == version:
            (root / CHALLENGER).unlink()
        return version


def challenge(root: Path, name: str) -> str:
    """Make a version the challenger. Returns the version."""
    with changing(root):
        version = _whole(root, name)
        _point(root, CHALLENGER, version)
        return version


def rollback(root: Path) -> str:
    """Make the previous champion the champion again; a second rollback undoes the first."""
    previous = resolve(root, PREVIOUS)
    if previous is None:
        raise ArtefactError(f"no previous champion in {root} to go back to")
    return promote(root, previous)


def changing(root: Path) -> AbstractContextManager[None]:
    """Lock to hold while aliases change or versions are deleted, so that no alias dangles."""
    return lock.held(root / _LOCK, wait=True)


def _readable(root: Path, alias: str) -> str | None:
    """The alias' version; None where it holds none, so that it can be replaced."""
    try:
        return resolve(root, alias)
    except ArtefactError:
        return None


def _whole(root: Path, name: str) -> str:
    version = resolve(root, name)
    if version is None:
        raise ArtefactError(f"no model {name!r} in {root}; hark models list shows what there is")
    artefact.read_files(root / version, artefact.read_manifest(root / version))
    return version


def _point(root: Path, alias: str, version: str) -> None:
    artefact.replace_durably(root / alias, f"{version}\n".encode())
