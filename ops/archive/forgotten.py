"""Who must not be in an archive: it obeys the forget records of the log that it copies.

A forget record is remembered in `<root>/<topic>/forgotten.json` as a salted hash and its offset,
never written to the archive itself. What names that user before that offset goes: out of the
files that are there, and out of whatever is copied later to fill a gap. A kill at any point is
made good by the next run, because the hash is written first and crossed off last.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import structlog

from models.storage.artefact import replace_durably
from ops.archive.files import DamagedFileError, PartitionArchive, partitions, read_file
from schemas.errors import ConfigError, TransientError
from schemas.events.control import forgotten, users_named
from streams.transport.record_batch import RecordBatch

log = structlog.get_logger(__name__)
FILE = "forgotten.json"


class Tombstone(msgspec.Struct):
    """From which offset on a user is a new one; `erased` once no file holds older records."""

    offset: int
    erased: bool = False


class _Stored(msgspec.Struct):
    salt: str
    partitions: dict[str, dict[str, Tombstone]]


@dataclass(slots=True)
class Erased:
    """What a run took out of the files that were there, and what it couldn't look into.

    Attributes
    ----------
    unread
        Files that couldn't be read or written at the moment: the erasure isn't complete.
    damaged
        Files that aren't Parquet, this run's and earlier ones', in `damaged/`: what they hold
        nobody can tell.
    """

    records: int = 0
    files: int = 0
    unread: list[Path] = field(default_factory=list)
    damaged: list[Path] = field(default_factory=list)


@dataclass(slots=True)
class Forgotten:
    """The tombstones of one archived topic.

    Attributes
    ----------
    root, topic
        Where and what.
    """

    root: Path
    topic: str
    _stored: _Stored = field(init=False)

    def __post_init__(self) -> None:
        try:
            self._stored = msgspec.json.decode(self._path.read_bytes(), type=_Stored)
        except FileNotFoundError:
            self._stored = _Stored(secrets.token_hex(16), {})
        except (OSError, msgspec.DecodeError) as error:
            raise ConfigError(
                f"{self._path} can't be read ({error}): without it users who were forgotten could "
                "come back; restore it from a copy"
            ) from error

    def __len__(self) -> int:
        return sum(map(len, self._stored.partitions.values()))

    @property
    def _path(self) -> Path:
        return self.root / self.topic / FILE

    def take(self, batch: RecordBatch) -> RecordBatch | None:
        """Learn from a batch whom to forget -> what of it may be archived."""
        self._learn(batch)
        gone = self._gone(batch.partition, batch.offsets, batch.keys, batch.values, batch.headers)
        offsets = {batch.offsets[row] for row in gone}
        return batch.without(offsets) if offsets else batch

    def erase(self, erased: Erased | None = None) -> None:
        """Rewrite the files that hold what a tombstone forbids and isn't crossed off for.

        Nothing is deleted that can't be read: the tombstones stay open, the next run tries again.

        Raises
        ------
        TransientError
            Some files couldn't be read; not raised where the caller looks at `erased`.
        """
        found = Erased() if erased is None else erased
        for part in partitions(self.root, self.topic):
            known = self._stored.partitions.get(str(part.partition), {})
            if not all(tombstone.erased for tombstone in known.values()):
                unread = len(found.unread)
                for path in part.directory.glob(".*.partial"):
                    path.unlink()  # of a run that was killed
                for path in sorted(part.directory.glob("*.parquet")):
                    self._rewrite(part, path, found)
                if len(found.unread) == unread:
                    for tombstone in known.values():
                        tombstone.erased = True
                    self._save()
            found.damaged += part.damaged()
        if found.unread and erased is None:
            raise TransientError(
                f"{len(found.unread)} files of the archive can't be read, {found.unread[0]} first, "
                "and may hold users who were forgotten; nothing was deleted, run it again"
            )

    def _rewrite(self, part: PartitionArchive, path: Path, erased: Erased) -> None:
        try:
            frame = read_file(path)
        except TransientError as error:
            log.warning("archive.unread", why=str(error))
            erased.unread.append(path)
            return
        except DamagedFileError as error:
            # It counts as absent, so the log fills the gap.
            log.warning("archive.damaged", why=str(error), kept=str(part.set_aside(path)))
            return
        headers = [
            [(header["name"], header["value"]) for header in row]
            for row in frame["headers"].to_list()
        ]
        gone = self._gone(
            part.partition,
            frame["offset"].to_list(),
            frame["key"].to_list(),
            frame["value"].to_list(),
            headers,
        )
        if gone:
            kept = frame.with_row_index("row").filter(~pl.col("row").is_in(gone)).drop("row")
            try:
                part.store(path, kept)
            except TransientError as error:
                log.warning("archive.unwritten", why=str(error))
                erased.unread.append(path)
                return
            erased.records += len(gone)
            erased.files += 1

    def _learn(self, batch: RecordBatch) -> None:
        known = self._stored.partitions.setdefault(str(batch.partition), {})
        learnt = False
        rows = zip(batch.offsets, batch.values, batch.headers, strict=True)
        for offset, value, headers in rows:
            user_id = forgotten(value, headers)
            if user_id is None:
                continue
            name = self._hash(user_id)
            if name not in known or known[name].offset < offset:
                known[name] = Tombstone(offset)
                learnt = True
        if learnt:
            self._save()

    def _gone(
        self,
        partition: int,
        offsets: Sequence[int],
        keys: Sequence[bytes | None],
        values: Sequence[bytes | None],
        headers: Sequence[Sequence[tuple[str, Any]]],
    ) -> list[int]:
        """Rows of forget records, and of what they forbid."""
        known = self._stored.partitions.get(str(partition), {})
        if not known:
            return []
        hashes: dict[str, str] = {}
        gone = []
        for row, offset in enumerate(offsets):
            if forgotten(values[row], headers[row]) is not None:
                gone.append(row)
                continue
            for user_id in users_named(keys[row], values[row], headers[row]):
                if user_id not in hashes:
                    hashes[user_id] = self._hash(user_id)
                tombstone = known.get(hashes[user_id])
                if tombstone is not None and offset < tombstone.offset:
                    gone.append(row)
                    break
        return gone

    def _hash(self, user_id: str) -> str:
        return hashlib.sha256((self._stored.salt + user_id).encode()).hexdigest()[:32]

    def _save(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        replace_durably(self._path, msgspec.json.encode(self._stored))
