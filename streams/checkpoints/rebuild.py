"""A partition's state from the records of its checkpoints."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import structlog

from schemas.errors import StateError
from streams.checkpoints import counter_records
from streams.checkpoints.capture import INCIDENTS, MARKER, Marker, Shape, decode_incident
from streams.checkpoints.user_row_bytes import unpack
from streams.histories.item_numbers import PAGE
from streams.partition import PartitionState

log = structlog.get_logger(__name__)


class Restoring:
    """Fills an empty state: call `rows` and `parts` any number of times, then `finish`.

    Parameters
    ----------
    state
        New and empty.
    """

    def __init__(self, state: PartitionState) -> None:
        self._state = state
        self._parts: dict[str, bytes] = {}
        self._users = state.histories.user_rows
        self._max_users = self._users.max_users
        self._users.max_users = 2**31 - 1  # restore all saved users first; `finish` sets the bound

    @property
    def found(self) -> bool:
        """Whether there is a marker; without it no checkpoint was ever completed."""
        return MARKER in self._parts

    def rows(self, keys: Sequence[bytes], values: Sequence[bytes | None]) -> None:
        """Take over records of `user-state`, in log order; None = tombstone.

        Raises
        ------
        StateError
            A record has another layout.
        """
        latest = dict(zip(keys, values, strict=True))
        present = {key: value for key, value in latest.items() if value is not None}
        users, state = self._users, self._state
        users.discard([key.decode() for key, value in latest.items() if value is None])
        if not present:
            return
        rows, sent = unpack(list(present.values()), state.histories.length)
        slots = users.restore(rows, [key.decode() for key in present])
        state.sent.restore(slots, users.owners[slots], *sent.T)

    def parts(self, keys: Sequence[bytes], values: Sequence[bytes | None]) -> None:
        """Take over records of `counters`, in log order; None = tombstone."""
        for key, value in zip(keys, values, strict=True):
            if value is None:
                self._parts.pop(key.decode(), None)
            else:
                self._parts[key.decode()] = value

    def finish(self) -> int:
        """Complete the state as of the marker -> the next offset to apply.

        Raises
        ------
        StateError
            The records are incomplete or have another layout: start from an empty state.
        """
        state, users = self._state, self._users
        marker = self._marker()
        if len(users) != marker.users:
            raise StateError(f"user-state holds {len(users)} users, its marker says {marker.users}")
        state.histories.numbers.restore(self._item_ids(marker.items))
        saved = marker.shape.tables_as(Shape.of(state.histories.length, state.counters))
        if saved is not None:
            log.warning(
                "state.tables_changed",
                partition=state.partition,
                saved=f"{saved.neighbours} neighbours an item, {saved.entities} entities an event",
                start_empty=sorted(saved.unknown),
            )
        counter_records.restore(state.counters, self._parts, saved)
        no_table = MARKER, counter_records.REST
        incidents = self._incidents()
        state.written.changes(
            [
                (name, data)
                for name, data in self._parts.items()
                if name not in no_table and not name.startswith("items/") and name not in incidents
            ]
        )
        users.evicted, users.max_users = marker.evicted, self._max_users
        while len(users) > users.max_users:
            users.evict()
        state.next_offset, state.last_broker_ms = marker.offset, marker.broker_ms
        return marker.offset

    def _incidents(self) -> set[str]:
        """Fill the alert books -> the keys of the restored incidents.

        Incidents of a disabled kind are left out; the next capture writes tombstones for them.
        """
        restored = set()
        for key, value in self._parts.items():
            if key.startswith(INCIDENTS):
                kind, user, incident = decode_incident(key, value)
                if kind in self._state.books:
                    self._state.books[kind].restore(user, incident)
                    restored.add(key)
        return restored

    def _marker(self) -> Marker:
        if not self.found:
            raise StateError("counters: there is no marker, so no checkpoint was ever completed")
        try:
            marker = msgspec.json.decode(self._parts[MARKER], type=Marker)
        except msgspec.DecodeError as error:
            raise StateError(f"counters: the marker can't be read: {error}") from None
        marker.shape.tables_as(Shape.of(self._state.histories.length, self._state.counters))
        return marker

    def _item_ids(self, count: int) -> list[str]:
        ids: list[str] = []
        for page in range(-(-count // PAGE)):
            try:
                ids += msgspec.msgpack.decode(self._parts.get(f"items/{page}", b""), type=list[str])
            except msgspec.DecodeError as error:
                raise StateError(f"counters: items/{page} can't be read: {error}") from None
        if len(ids) < count:
            raise StateError(f"counters: {len(ids)} items are named, the marker says {count}")
        return ids[:count]
