"""Names of model versions: who answers, who wants to, and who did before.

An alias is a small text file, `<root>/champion`, that holds a version's name; it is swapped
atomically, so a reader sees the old version or the new one. `challenger` is the newest version
that the gate didn't promote; `previous` is the champion before, for the way back.
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
    """Whether `name` is a version's: nothing else becomes part of a path."""
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
    """The version that an alias stands for, a version itself, or None if there is no such.

    Raises
    ------
    ConfigError
        The registry is a file.
    ArtefactError
        The name can't be one, or the alias doesn't hold a version.
    TransientError
        It can't be read at the moment: that isn't the same as that there is none, or the champion
        would be pruned, or replaced undefended.
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
        # Not what it holds: it may be a link to anything.
        raise ArtefactError(f"alias {root / name} doesn't hold a version")
    return version


def named(root: Path) -> dict[str, str]:
    """Every alias and its version."""
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
    """Make the previous champion the champion again; doing it twice swaps them back."""
    previous = resolve(root, PREVIOUS)
    if previous is None:
        raise ArtefactError(f"no previous champion in {root} to go back to")
    return promote(root, previous)


def changing(root: Path) -> AbstractContextManager[None]:
    """Hold this while aliases change or versions go, so that no alias is left without its own."""
    return lock.held(root / _LOCK, wait=True)


def _readable(root: Path, alias: str) -> str | None:
    """The alias' version; None where it holds none, so that a good one can be put in its place."""
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
