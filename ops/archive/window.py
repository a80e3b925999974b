"""The window of the archived log that training reads, and what of the archive is older.

Time is the records' own (as Kafka's retention goes by it), counted back from the log's end, so
that an old log is trained on like a new one. A handful of records stamped far in the future or the
past moves nothing: the end is the time that 1% of the newest records are beyond, and never later
than now.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import structlog

from models.storage import lock
from ops.archive.copy import LOCK
from ops.archive.files import PartitionArchive, Span, partitions
from streams.settings import Train

log = structlog.get_logger(__name__)
DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Window:
    """Which part of the log teaches, ms.

    Attributes
    ----------
    begin_ms
        Older records teach nothing.
    read_ms
        Older ones aren't read at all; between the two the state warms up.
    kept_ms
        Older ones may go from the archive.
    """

    begin_ms: int
    read_ms: int
    kept_ms: int


def window(
    root: Path,
    topic: str,
    train: Train,
    *,
    before_ms: int | None = None,
    since_ms: int | None = None,
) -> Window | None:
    """The window by the settings; None where nothing is archived yet.

    A warm-up instead of a checkpoint: the workers' checkpoints are compacted to the newest state,
    so there is none of the window's begin.

    Parameters
    ----------
    before_ms
        Where the window ends, if that is before the log's end.
    since_ms
        Where it begins, instead of `train.window_days` before the end.
    """
    end_ms = newest_ms(root, topic)
    if end_ms is None:
        return None
    end_ms = min(end_ms, int(time.time() * 1000), before_ms or end_ms)
    usual_ms = end_ms - train.window_days * DAY_MS
    begin_ms = usual_ms if since_ms is None else since_ms
    warm_up_ms = train.warm_up_days * DAY_MS
    return Window(begin_ms, begin_ms - warm_up_ms, min(begin_ms, usual_ms) - warm_up_ms)


def newest_ms(root: Path, topic: str) -> int | None:
    """The time of the archived log's end, ms."""
    times = []
    for part in partitions(root, topic):
        for span in reversed(part.spans()):
            found = part.times_ms(span)
            if len(found):
                times.append(found)
                break
    if not times:
        return None
    end = pl.concat(times).quantile(0.99, interpolation="lower")
    return None if end is None else int(end)


@dataclass(slots=True)
class Pruned:
    """What was deleted from an archive."""

    files: int = 0
    records: int = 0
    newest_ms: int = 0

    def to_json(self) -> dict[str, Any]:
        newest = datetime.fromtimestamp(self.newest_ms / 1000, UTC)
        return {
            "files": self.files,
            "records": self.records,
            "up_to": f"{newest:%Y-%m-%dT%H:%M:%SZ}" if self.files else None,
        }


def prune(root: Path, topic: str, kept_ms: int) -> Pruned:
    """Delete the files at the beginning of each partition that hold only older records.

    A file with one record that isn't older stays, and so does all that follows it.
    """
    pruned = Pruned()
    with lock.held(root / LOCK, "pruning", wait=True):
        for part in partitions(root, topic):
            for span, newest, records in _older(part, kept_ms):
                part.path(span).unlink()
                pruned.files += 1
                pruned.records += records
                pruned.newest_ms = max(pruned.newest_ms, newest)
    if pruned.files:
        log.info("archive.pruned", topic=topic, **pruned.to_json())
    return pruned


def _older(part: PartitionArchive, kept_ms: int) -> list[tuple[Span, int, int]]:
    """The leading files with only older records, newest time and number of records of each."""
    found: list[tuple[Span, int, int]] = []
    whole = 0
    for span in part.spans():
        times = part.times_ms(span)
        newest = times.max()
        if newest is not None and int(newest) >= kept_ms:  # type: ignore[arg-type]
            break
        found.append((span, int(newest or 0), len(times)))  # type: ignore[arg-type]
        if newest is not None:
            whole = len(found)
    return found[:whole]  # files that were emptied go with what follows them
