"""The archive of a topic: Parquet files that say in their names which offsets they hold.

::

    <root>/<topic>/partition=<P>/<first>-<next>.parquet

A file holds every record of the half-open offset range, so what is missing can be read off the
names, and archiving twice adds nothing. Records stay raw: decoding again is how a fixed decoder
reaches old events.

A file is only called damaged for its content. One that can't be read at the moment (no handle
left, a disk or a mount that fails) may be the only copy of what Kafka no longer keeps: it stays
where it is, and whoever needs it fails.
"""

from __future__ import annotations

import errno
import io
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import structlog

from schemas.errors import HarkError, TransientError
from streams.transport.record_batch import RecordBatch

log = structlog.get_logger(__name__)
SCHEMA = pl.Schema(
    {
        "offset": pl.Int64(),
        "broker_ms": pl.Int64(),
        "key": pl.Binary(),
        "value": pl.Binary(),
        "headers": pl.List(pl.Struct({"name": pl.String, "value": pl.Binary})),
    }
)
_NAME = re.compile(r"(\d{20})-(\d{20})\.parquet")
DAMAGED = "damaged"
"""Folder of a partition for files that aren't whole Parquet; nothing reads it."""


class DamagedFileError(HarkError):
    """A file's content isn't an archive's: cut short, or other bytes than were written."""


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """Offsets from `first` up to, not including, `next`."""

    first: int
    next: int


@dataclass(frozen=True, slots=True)
class PartitionArchive:
    """One partition's directory.

    Attributes
    ----------
    root, topic, partition
        Where and what.
    """

    root: Path
    topic: str
    partition: int

    @property
    def directory(self) -> Path:
        return self.root / self.topic / f"partition={self.partition}"

    def path(self, span: Span) -> Path:
        return self.directory / f"{span.first:020d}-{span.next:020d}.parquet"

    def spans(self) -> list[Span]:
        """Spans of the whole files, ascending and without overlap.

        A file that isn't whole Parquet counts as absent; of two that overlap the longer earlier
        one counts.
        """
        found = [
            Span(int(name[1]), int(name[2]))
            for path in self.directory.glob("*.parquet")
            if (name := _NAME.fullmatch(path.name))
        ]
        found.sort(key=lambda span: (span.first, -span.next))
        chosen: list[Span] = []
        for span in found:
            if (not chosen or span.first >= chosen[-1].next) and self._whole(span):
                chosen.append(span)
        return chosen

    def missing(self, first: int, end: int) -> list[Span]:
        """What of the log's offsets `first`..`end` isn't here yet."""
        gaps, at = [], first
        for span in self.spans():
            if span.first > at:
                gaps.append(Span(at, min(span.first, end)))
            at = max(at, span.next)
        if at < end:
            gaps.append(Span(at, end))
        return [gap for gap in gaps if gap.first < gap.next]

    def write(self, span: Span, batches: Sequence[RecordBatch]) -> Path:
        """Store the records of a span; the file appears whole or not at all."""
        frame = pl.DataFrame(
            {
                "offset": [o for batch in batches for o in batch.offsets],
                "broker_ms": [t for batch in batches for t in batch.timestamps],
                "key": [k for batch in batches for k in batch.keys],
                "value": [v for batch in batches for v in batch.values],
                "headers": [
                    [{"name": name, "value": value} for name, value in headers]
                    for batch in batches
                    for headers in batch.headers
                ],
            },
            schema=SCHEMA,
        )
        path = self.path(span)
        self.store(path, frame)
        return path

    def store(self, path: Path, frame: pl.DataFrame) -> None:
        """Write a file of this partition, or put another content in its place, at once."""
        partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            with partial.open("wb") as file:
                frame.write_parquet(file, compression="zstd")
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        except (OSError, pl.exceptions.PolarsError) as error:
            partial.unlink(missing_ok=True)
            raise TransientError(
                f"the archive can't be written to {self.directory}: {error}; make room there and "
                "run it again: what was archived stays"
            ) from error

    def newest_ms(self, span: Span) -> int | None:
        """The newest record's time in the file of a span, ms; None if it holds none."""
        newest = self.times_ms(span).max()
        return None if newest is None else int(newest)  # type: ignore[arg-type]

    def times_ms(self, span: Span) -> pl.Series:
        """The records' times in the file of a span, ms."""
        try:
            return pl.read_parquet(self.path(span), columns=["broker_ms"])["broker_ms"]
        except (pl.exceptions.PolarsError, OSError):
            return self._frame(span)["broker_ms"]  # says which of the two it is

    def read(
        self, max_records: int = 4_000, end: int | None = None, since_ms: int | None = None
    ) -> Iterator[RecordBatch]:
        """Every archived record in log order, up to offset `end`.

        Parameters
        ----------
        since_ms
            Files that hold only older records are passed over.
        """
        for span in self.spans():
            if end is not None and span.first >= end:
                return
            if since_ms is not None and ((self.newest_ms(span) or 0) < since_ms):
                continue
            frame = self._frame(span)
            if end is not None and span.next > end:
                frame = frame.filter(pl.col("offset") < end)
            for start in range(0, len(frame), max_records):
                yield self._batch(frame.slice(start, max_records))

    def _batch(self, frame: pl.DataFrame) -> RecordBatch:
        offsets = frame["offset"].to_list()
        lists = frame["headers"].to_list()
        return RecordBatch(
            self.topic,
            self.partition,
            offsets[0],
            offsets[-1],
            offsets,
            frame["broker_ms"].to_list(),
            frame["key"].to_list(),
            frame["value"].to_list(),
            [tuple((h["name"], h["value"]) for h in headers) for headers in lists],
        )

    def _frame(self, span: Span) -> pl.DataFrame:
        try:
            return read_file(self.path(span))
        except DamagedFileError as error:
            kept = self.set_aside(self.path(span))
            raise TransientError(
                f"{error}; it is {kept} now: run it again, without --offline, and the log fills "
                "the gap as far as it goes back"
            ) from error

    def set_aside(self, path: Path) -> Path:
        """Move a damaged file to `damaged/` -> where it is now."""
        target = self.directory / DAMAGED / path.name
        target.parent.mkdir(exist_ok=True)
        number = 0
        while target.exists():
            number += 1
            target = target.with_name(f"{path.name}.{number}")
        path.rename(target)
        return target

    def set_aside_damaged(self) -> None:
        """Move every file that isn't whole Parquet to `damaged/`, before the log fills the gap."""
        for path in sorted(self.directory.glob("*.parquet")):
            name = _NAME.fullmatch(path.name)
            if name and not self._whole(Span(int(name[1]), int(name[2]))):
                log.warning("archive.damaged", file=str(path), kept=str(self.set_aside(path)))

    def damaged(self) -> list[Path]:
        """The files that were set aside."""
        return sorted((self.directory / DAMAGED).glob("*"))

    def _whole(self, span: Span) -> bool:
        """Whether the file's footer, written last, is right; a file that can't be read may be."""
        path = self.path(span)
        try:
            return pl.read_parquet_schema(path) == SCHEMA
        except (pl.exceptions.PolarsError, OSError):
            pass  # which of the two it is, Polars doesn't say reliably
        try:
            return pl.read_parquet_schema(io.BytesIO(_bytes(path))) == SCHEMA
        except pl.exceptions.PolarsError:
            return False
        except TransientError:
            return True  # so that nothing is written over it; whoever needs its records fails


def read_file(path: Path) -> pl.DataFrame:
    """The records of a file, columns as in `SCHEMA`.

    Raises
    ------
    DamagedFileError
        Its content isn't an archive's.
    TransientError
        It can't be read at the moment.
    """
    try:
        frame = pl.read_parquet(io.BytesIO(_bytes(path)))
    except pl.exceptions.PolarsError as error:
        raise DamagedFileError(f"{path} is damaged: {str(error).splitlines()[0]}") from error
    if frame.schema != SCHEMA:
        raise DamagedFileError(f"{path} is damaged: it has other columns")
    return frame


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        what = error.strerror or errno.errorcode.get(error.errno or 0, str(error))
        raise TransientError(f"{path} can't be read: {what}; nothing was deleted") from error


def partitions(root: Path, topic: str) -> list[PartitionArchive]:
    """The archived partitions of a topic, by number."""
    numbers = sorted(
        int(path.name.partition("=")[2]) for path in (root / topic).glob("partition=*")
    )
    return [PartitionArchive(root, topic, number) for number in numbers]


Ends = Mapping[str, Mapping[int, int]]
"""Topic -> partition -> offset to read up to."""


def archived_ends(root: Path, topics: Sequence[str]) -> dict[str, dict[int, int]]:
    """How far each partition of each topic is archived."""
    return {
        topic: {
            part.partition: max((span.next for span in part.spans()), default=0)
            for part in partitions(root, topic)
        }
        for topic in topics
    }


def archived_records(root: Path, topic: str) -> int:
    """Offsets covered over all partitions: about the number of records."""
    return sum(span.next - span.first for part in partitions(root, topic) for span in part.spans())
