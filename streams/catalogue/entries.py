"""Catalogue records to the item table: an item's newest entry counts, in whatever partition."""

from __future__ import annotations

import xxhash

from schemas.errors import RejectedRecord
from schemas.events.catalogue_entry import read_entry, read_item_id
from streams.histories.item_table import ItemTable

_PARTITION_BITS = 32
_PARTITION = (1 << _PARTITION_BITS) - 1


class CatalogueEntries:
    """Applies the records of `items` to a table, so that their order of arrival doesn't matter.

    Within a partition the later record counts. An item may also have records in two partitions: if
    the topic was widened, or if two clients partition keys differently. Then the record with the
    later Kafka timestamp counts, whichever partition is read first.

    An unreadable entry hides its item, like a tombstone. The item's earlier entry can't count
    instead, because compaction may delete that entry at any time.

    Parameters
    ----------
    items
        The table to feed.
    """

    def __init__(self, items: ItemTable) -> None:
        self.several = False  # whether there are several partitions; one has the log's order
        self._items = items
        self._newest: dict[int, int] = {}  # hash of the id -> its entry's timestamp and partition

    def apply(
        self, partition: int, timestamp_ms: int, key: bytes | None, value: bytes | None
    ) -> None:
        """Apply a record; `CatalogueDeadLetters` reports records that break the contract."""
        try:
            item_id = read_item_id(key)
        except RejectedRecord:
            return
        if self.several and not self._is_newest(item_id, timestamp_ms, partition):
            return
        if value is None:
            self._items.remove(item_id)
            return
        try:
            entry = read_entry(value)
        except RejectedRecord:
            self._items.remove(item_id)
            return
        self._items.upsert(
            item_id, category=entry.category, price=entry.price, available=entry.available
        )

    def _is_newest(self, item_id: str, timestamp_ms: int, partition: int) -> bool:
        item = xxhash.xxh3_64_intdigest(item_id.encode())
        at = timestamp_ms << _PARTITION_BITS | partition
        newest = self._newest.get(item, at)
        self._newest[item] = max(newest, at)
        return newest <= at or newest & _PARTITION == partition
