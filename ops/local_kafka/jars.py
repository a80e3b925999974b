"""Apache Kafka's jars: fetched once, checked against the sha256 list before every start."""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ops.local_kafka.state import cache_dir
from schemas.errors import ConfigError, TransientError

_AT_ONCE = 12
_TIMEOUT_S = 60
_ATTEMPTS = 2

Advance = Callable[[int, int], None]  # (jars done, jars in all)


@dataclass(frozen=True, slots=True)
class Jar:
    """One line of the list."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def path(self) -> Path:
        """Where it lies in a Maven repository."""
        folder = Path(*self.group.split("."), self.artifact, self.version)
        return folder / f"{self.artifact}-{self.version}.jar"


def listed() -> tuple[Jar, ...]:
    """The jars that the broker runs on, from `kafka_jars.txt`."""
    lines = (
        files("ops.local_kafka").joinpath("resources", "kafka_jars.txt").read_text().splitlines()
    )
    rows = (line.split() for line in lines if line and not line.startswith("#"))
    return tuple(_parse(sha256, coordinate) for sha256, coordinate in rows)


def _parse(sha256: str, coordinate: str) -> Jar:
    group, artifact, version = coordinate.split(":")
    return Jar(group, artifact, version, sha256)


def cached_jars(
    jars: Iterable[Jar] | None = None,
    folder: Path | None = None,
    advance: Advance = lambda _done, _total: None,
) -> list[Path]:
    """Fetch what is missing, check every jar, and return their paths.

    Parameters
    ----------
    jars, folder
        The list and the cache; by default the repository's list and the user's cache.
    advance
        Called after each downloaded jar, from this thread.

    Raises
    ------
    ConfigError
        A jar isn't the one that was reviewed: nothing is started with it.
    TransientError
        A jar is missing and can't be downloaded.
    """
    jars = listed() if jars is None else tuple(jars)
    folder = cache_dir() / "jars" if folder is None else folder
    missing = [jar for jar in jars if not (folder / jar.path).exists()]
    if missing:
        _download(missing, folder, advance)
    for jar in jars:
        _check(jar, folder / jar.path)
    return [folder / jar.path for jar in jars]


def _check(jar: Jar, file: Path) -> None:
    with file.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != jar.sha256:
        raise ConfigError(
            f"{file} is not the reviewed {jar.artifact} {jar.version}: sha256 {found[:16]}..., "
            f"expected {jar.sha256[:16]}...; delete it to download it again"
        )


def _download(missing: list[Jar], folder: Path, advance: Advance) -> None:
    """Fetch into a temporary folder, check, then move: the cache never holds half a jar."""
    folder.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=".download-", dir=folder))
    advance(0, len(missing))
    try:
        with ThreadPoolExecutor(_AT_ONCE, "jars") as pool:
            running = {pool.submit(_fetch, jar, staging): jar for jar in missing}
            try:
                for done, future in enumerate(as_completed(running), start=1):
                    _keep(running[future], future.result(), folder)
                    advance(done, len(missing))
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    except (OSError, RuntimeError) as error:  # requests' errors are OSErrors
        raise TransientError(
            f"could not download Apache Kafka's jars ({len(missing)} missing in {folder}): "
            f"{_reason(error)}; connect once, copy the folder from another machine, or set "
            "HARK_KAFKA__BOOTSTRAP_SERVERS to a running cluster"
        ) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _fetch(jar: Jar, staging: Path) -> Path:
    """Download one jar as jgo does, from Maven's central repository."""
    from jgo.maven import MavenContext

    # jgo warns of a wrong sha1; ours is the check that counts.
    logging.getLogger("jgo").setLevel(logging.ERROR)
    context = MavenContext(repo_cache=staging, timeout=_TIMEOUT_S)
    artifact = context.project(jar.group, jar.artifact).at_version(jar.version).artifact()
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            return Path(artifact.resolve())
        except OSError:
            (staging / jar.path).unlink(missing_ok=True)
            if attempt == _ATTEMPTS:
                raise
    raise AssertionError("unreachable: the last attempt returns or raises")


def _keep(jar: Jar, downloaded: Path, folder: Path) -> None:
    _check(jar, downloaded)
    target = folder / jar.path
    target.parent.mkdir(parents=True, exist_ok=True)
    os.replace(downloaded, target)  # noqa: PTH105 - over an equal file of a parallel download


def _reason(error: BaseException) -> str:
    """The innermost cause, in one short line."""
    while error.__context__ is not None:
        error = error.__context__
    return f"{type(error).__name__}: {error}".splitlines()[0][:160]


@contextmanager
def download_progress(console: Console) -> Iterator[Advance]:
    """Show the jars as they come; nothing is shown when all are there already."""
    if not console.is_terminal:
        yield lambda done, total: _say(console, done, total)
        return
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    )
    with progress:
        task = progress.add_task("Apache Kafka", total=None, visible=False)
        yield lambda done, total: progress.update(task, completed=done, total=total, visible=True)


def _say(console: Console, done: int, total: int) -> None:
    if done == 0:
        console.print(f"downloading Apache Kafka: {total} jars")
    elif done == total:
        console.print(f"downloaded {total} jars")
