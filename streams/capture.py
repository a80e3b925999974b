"""What a checkpoint holds: a copy of what was touched since the last one, then its records.

Two kinds of records, for two compacted topics: one per user (`row_bytes`), and the parts: items
by number, tables of counters in pages, the rest of them, incidents, and last of all the marker.
The latest record of each key, up to a marker, is the whole state as it stood at the marker.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import xxhash

from schemas.errors import StateError
from streams import counter_parts
from streams.alerts import Incident
from streams.counters import Counters
from streams.row_bytes import VERSION, PackedRows
from streams.user_rows import row_type

MARKER = "marker"
INCIDENTS = "incidents/"
"""What the keys of incidents begin with; then come the kind of alert, a slash, and the user id."""

Records = list[tuple[bytes, bytes | None]]
"""Key and value; None = tombstone."""


class Shape(msgspec.Struct):
    """What state must have in common with the bytes it is restored from.

    Attributes
    ----------
    row, tables
        Hashes of the layouts of a user's row and of the counters' tables.
    length
        L, events per user.
    entities
        E, entities per event.
    """

    row: str
    tables: str
    length: int
    entities: int
    version: int = VERSION

    @classmethod
    def of(cls, length: int, counters: Counters) -> Shape:
        """The shape of histories of `length` events and these counters."""
        tables = counter_parts.layout(counters)
        entities = counters.queue.entities
        return cls(_hash(str(row_type(length).descr)), _hash(tables), length, entities)


class Marker(msgspec.Struct):
    """The record that says what the others add up to.

    Attributes
    ----------
    offset
        The next one to apply.
    broker_ms
        Of the last record applied.
    users, items
        How many there are.
    evicted
        Users dropped so far because of the bound.
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
        The next one to apply as of the capture.
    rows
        By user id: tombstones first.
    parts
        By name: the marker last.
    """

    offset: int
    rows: Records
    parts: Records


@dataclass(frozen=True, slots=True)
class Captured:
    """A copy of what was touched, as of one moment between two batches.

    Attributes
    ----------
    users, rows
        Ids of touched users and their packed rows.
    leavers
        Ids of users who are known no longer.
    items
        Pages of item ids by number.
    tables, rest
        Of the counters: pages that changed (None = is no more), and the rest.
    incidents
        By kind of alert: those that changed (None = is no more), by user id.
    marker
        Where in the log that was.
    """

    users: list[str]
    rows: PackedRows
    leavers: list[str]
    items: list[tuple[int, list[str]]]
    tables: list[tuple[str, bytes | None]]
    rest: counter_parts.Rest
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
        parts.append((counter_parts.REST.encode(), counter_parts.encode(self.rest)))
        parts.append((MARKER.encode(), msgspec.json.encode(self.marker)))
        return Saved(self.offset, [*gone, *zip(keys, self.rows.values(), strict=True)], parts)


def _hash(text: str) -> str:
    return xxhash.xxh3_64_hexdigest(text.encode())


def _encode(incident: Incident | None) -> bytes | None:
    return None if incident is None else msgspec.msgpack.encode(incident)


def decode_incident(key: str, value: bytes) -> tuple[str, str, Incident]:
    """Kind, user id and incident of a record; raises `StateError` where it is none."""
    kind, _, user = key.removeprefix(INCIDENTS).partition("/")
    try:
        return kind, user, msgspec.msgpack.decode(value, type=Incident)
    except msgspec.DecodeError as error:
        raise StateError(f"counters: an incident of {kind} can't be read: {error}") from None
