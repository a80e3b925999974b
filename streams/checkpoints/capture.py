"""The content of a checkpoint: a copy of the changes since the last capture, then its records.

There are two compacted topics. `user-state` has a record per user (`user_row_bytes`). `counters`
has the parts: items by number, tables of counters in pages, the rest of the counters, incidents,
and at the end the marker. The latest records of all keys, up to a marker, are the whole state as of
that marker.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import xxhash

from schemas.errors import StateError
from streams.alerts.book import Incident
from streams.checkpoints import counter_records
from streams.checkpoints.user_row_bytes import VERSION, PackedRows, pack
from streams.counters.counters import Counters
from streams.histories.user_rows import row_type
from streams.partition import PartitionState

MARKER = "marker"
INCIDENTS = "incidents/"
"""The prefix of incidents' keys; the kind of alert, a slash and the user id follow."""

Records = list[tuple[bytes, bytes | None]]
"""Key and value; None = tombstone."""


class Shape(msgspec.Struct):
    """The layout of a state; a restore compares the saved shape with the worker's.

    Attributes
    ----------
    row, tables
        Hashes of the layouts of a user's row and of the counters' tables.
    length
        L, events per user.
    entities
        E, entities per event.
    neighbours, layouts
        K, neighbours per item; and by table the hash of its layout without E and K. In a
        checkpoint of version 0.1 they are 0 and empty.
    """

    row: str
    tables: str
    length: int
    entities: int
    version: int = VERSION
    neighbours: int = 0
    layouts: dict[str, str] = {}

    @classmethod
    def of(cls, length: int, counters: Counters) -> Shape:
        """The shape of histories of `length` events and these counters."""
        tables = counter_records.layout(counters)
        entities = counters.queue.entities
        return cls(
            _hash(str(row_type(length).descr)),
            _hash(tables),
            length,
            entities,
            neighbours=counters.covisits.width,
            layouts={name: _hash(text) for name, text in counter_records.layouts(counters).items()},
        )

    def tables_as(self, kept: Shape) -> counter_records.Saved | None:
        """How these tables differ from a worker's with the shape `kept`, None if they don't.

        Raises
        ------
        StateError
            The rows of users differ, or it is unknown how the tables differ.
        """
        rows = self.row, self.length, self.version
        if rows != (kept.row, kept.length, kept.version):
            raise StateError(f"the saved rows are of {self}, this worker keeps {kept}")
        if self.tables == kept.tables:
            return None
        if not self.layouts:
            raise StateError(f"the saved tables are of {self}, this worker keeps {kept}")
        unknown = frozenset(
            name for name, layout in kept.layouts.items() if self.layouts.get(name) != layout
        )
        return counter_records.Saved(self.neighbours, self.entities, unknown)


class Marker(msgspec.Struct):
    """The last record of a checkpoint, with the totals that a restore checks.

    Attributes
    ----------
    offset
        The next offset to apply.
    broker_ms
        Kafka timestamp of the last record applied, epoch ms.
    users, items
        Number of users and of item numbers.
    evicted
        Number of users evicted so far because of the bound.
    shape
        The layout of the records.
    """

    offset: int
    broker_ms: int
    users: int
    items: int
    evicted: int
    shape: Shape


@dataclass(frozen=True, slots=True)
class Saved:
    """The records of one checkpoint.

    Attributes
    ----------
    offset
        The next offset to apply as of the capture.
    rows
        Records by user id, tombstones first.
    parts
        Records by name, the marker last.
    """

    offset: int
    rows: Records
    parts: Records


@dataclass(frozen=True, slots=True)
class Captured:
    """A copy of the changed state, as of a moment between two batches.

    Attributes
    ----------
    users, rows
        Ids of touched users and their packed rows.
    leavers
        Ids of users who are no longer known.
    items
        Changed pages of item ids, by page number.
    tables, rest
        Changed pages of the counters (None = the page no longer exists), and the rest.
    incidents
        By kind of alert: the changed incidents (None = the incident no longer exists), by user id.
    marker
        Totals and the offset of the capture.
    """

    users: list[str]
    rows: PackedRows
    leavers: list[str]
    items: list[tuple[int, list[str]]]
    tables: list[tuple[str, bytes | None]]
    rest: counter_records.Rest
    incidents: dict[str, list[tuple[str, Incident | None]]]
    marker: Marker

    @property
    def offset(self) -> int:
        """The next offset to apply as of the capture."""
        return self.marker.offset

    def encode(self) -> Saved:
        """The records to write; may run in any thread."""
        gone: Records = [(user_id.encode(), None) for user_id in self.leavers]
        keys = [user_id.encode() for user_id in self.users]
        parts: Records = [
            (f"items/{number}".encode(), msgspec.msgpack.encode(ids)) for number, ids in self.items
        ]
        parts += [(name.encode(), data) for name, data in self.tables]
        parts += [
            (f"{INCIDENTS}{kind}/{user}".encode(), _encode(incident))
            for kind, incidents in self.incidents.items()
            for user, incident in incidents
        ]
        parts.append((counter_records.REST.encode(), counter_records.encode(self.rest)))
        parts.append((MARKER.encode(), msgspec.json.encode(self.marker)))
        return Saved(self.offset, [*gone, *zip(keys, self.rows.values(), strict=True)], parts)


def capture(state: PartitionState) -> Captured:
    """Copy what was touched since the last capture, for a checkpoint."""
    users = state.histories.user_rows
    slots, ids, leavers = users.capture()
    tables, rest = counter_records.capture(state.counters)
    return Captured(
        users=ids,
        rows=pack(users.rows, slots, state.sent.of(slots, users.owners[slots])),
        leavers=leavers,
        items=state.histories.numbers.capture(),
        tables=state.written.changes(tables),
        rest=rest,
        incidents={kind: book.capture() for kind, book in state.books.items()},
        marker=Marker(
            state.next_offset,
            state.last_broker_ms,
            users=len(users),
            items=len(state.histories.numbers),
            evicted=users.evicted,
            shape=Shape.of(state.histories.length, state.counters),
        ),
    )


def retain(state: PartitionState, captured: Captured) -> None:
    """Mark everything in `captured` for the next capture, because it wasn't written."""
    users = state.histories.user_rows
    users.touch_users(captured.users)
    users.touch_users(captured.leavers)
    state.written.retain(name for name, _ in captured.tables)
    for kind, incidents in captured.incidents.items():
        state.books[kind].touch(subject for subject, _ in incidents)
    for page, _ in captured.items:
        state.histories.numbers.touch(page)


def touch_all(state: PartitionState) -> None:
    """Mark the whole state for the next capture."""
    users = state.histories.user_rows
    users.touch_users(users.users())
    users.leavers.clear()
    state.written.clear()
    state.histories.numbers.touch_all()
    for book in state.books.values():
        book.touch(book.subjects)


def _hash(text: str) -> str:
    return xxhash.xxh3_64_hexdigest(text.encode())


def _encode(incident: Incident | None) -> bytes | None:
    return None if incident is None else msgspec.msgpack.encode(incident)


def decode_incident(key: str, value: bytes) -> tuple[str, str, Incident]:
    """Kind, user id and incident of a record; raises `StateError` if it can't be read."""
    kind, _, user = key.removeprefix(INCIDENTS).partition("/")
    try:
        return kind, user, msgspec.msgpack.decode(value, type=Incident)
    except msgspec.DecodeError as error:
        raise StateError(f"counters: an incident of {kind} can't be read: {error}") from None
