"""A disk that is full is one line, and what was there stays whole."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from models.registry import registry
from ops.archive.files import PartitionArchive, Span
from schemas.errors import TransientError
from streams.transport.record_batch import RecordBatch
from tests.models import versions

LIMIT = 1_000
"""Bytes: some file of a version and of the archive is larger."""


@contextmanager
def full_disk() -> Iterator[None]:
    """No file may grow beyond `LIMIT`: a write fails as on a disk without room."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def batch(first: int, n: int) -> RecordBatch:
    offsets = range(first, first + n)
    values = [str(offset**9).encode() for offset in offsets]
    return RecordBatch(
        "events", 0, first, first + n - 1, offsets, [0] * n, [None] * n, values, [()] * n
    )


def test_a_version_that_has_no_room_leaves_the_registry_as_it_was(tmp_path: Path) -> None:
    root, items = tmp_path / "registry", [f"i{number}" for number in range(30)]
    kept = versions.store(root, versions.version_files(items, seed=1))
    second = versions.version_files(items, seed=2)
    with pytest.raises(TransientError, match=r"can't be stored in .*make room"), full_disk():
        versions.store(root, second)
    assert [path.name for path in root.iterdir()] == [kept]
    assert registry.load(root, kept).version == kept
    assert registry.load(root, versions.store(root, second)).version != kept


def test_an_archive_without_room_keeps_what_it_had(tmp_path: Path) -> None:
    archive = PartitionArchive(tmp_path, "events", 0)
    first, second = Span(0, 10), Span(10, 2_000)
    archive.write(first, [batch(0, 10)])
    with pytest.raises(TransientError, match=r"archive can't be written.*make room"), full_disk():
        archive.write(second, [batch(10, 1_990)])
    assert list(archive.directory.iterdir()) == [archive.path(first)]
    archive.write(second, [batch(10, 1_990)])
    assert archive.missing(0, 2_000) == []
