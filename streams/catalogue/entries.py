"""Catalogue records to the item table: the newest entry of an item counts, wherever it lies."""

from __future__ import annotations

import xxhash

from schemas.errors import RejectedRecord
from schemas.events.catalogue_entry import read_entry, read_item_id
from streams.histories.item_table import ItemTable

_PARTITION_BITS = 32
_PARTITION = (1 << _PARTITION_BITS) - 1


class CatalogueEntries:
    """Applies the records of `items` to a table, so that their order of arrival doesn't matter.

    Within a partition the later record counts. An item may also have records in two partitions:
    of before and after the topic was widened, or of two clients that place keys differently. Then
    the one with the later Kafka timestamp counts, whichever partition is read first.

    An entry that can't be read hides its item, like a tombstone: compaction may have deleted the
    entry before it at any time, so that one can't count.

    Parameters
    ----------
    items
        The table to feed.
    """

    def __init__(self, items: ItemTable) -> None:
        self.several = False  # partitions: with one, the order is the log's
        self._items = items
        self._newest: dict[int, int] = {}  # hash of the id: timestamp and partition of its entry

    def apply(
        self, partition: int, timestamp_ms: int, key: bytes | None, value: bytes | None
    ) -> None:
        """Take over one record; what breaks the contract is told by `CatalogueLetters`."""
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
