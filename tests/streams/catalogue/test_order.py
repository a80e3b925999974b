"""What the worker knows of items is the same in whatever order the two logs are read."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.catalogue.entries import CatalogueEntries
from streams.histories.item_numbers import ItemNumbers
from streams.histories.item_table import ItemTable

Entry = tuple[int, int, str, bytes | None]
"""Partition, timestamp, item, value."""

SHOWN, HIDDEN = b'{"category":"c","price":1}', b'{"available":false}'


def known(table: ItemTable, ids: str) -> dict[str, tuple[bool, bool, bool]]:
    """Of each item: shown, has a category, has a price; the events have named all of them."""
    rows = table.indices(list(ids)).tolist()
    return {
        item: (
            bool(table.available[row]),
            bool(table.categories[row] >= 0),
            bool(table.prices[row] == 1),
        )
        for item, row in zip(ids, rows, strict=True)
    }


@pytest.mark.parametrize("last", [None, HIDDEN, b"", b'{"available":"no"}'])
def test_a_removed_item_stays_hidden_in_every_order(last: bytes | None) -> None:
    def event(table: ItemTable) -> None:
        table.index("a")

    def restore(table: ItemTable) -> None:
        ItemNumbers(table).restore(["b", "a"])

    def catalogue(table: ItemTable) -> None:
        entries = CatalogueEntries(table)
        entries.apply(0, 1, b"a", SHOWN)
        entries.apply(0, 2, b"a", last)

    def compacted(table: ItemTable) -> None:
        CatalogueEntries(table).apply(0, 2, b"a", last)

    for read in (catalogue, compacted):
        for order in permutations([event, restore, read]):
            table = ItemTable()
            for step in order:
                step(table)
            assert known(table, "ab") == {"a": (False, False, False), "b": (True, False, False)}


def test_an_item_that_comes_back_is_shown() -> None:
    table = ItemTable()
    entries = CatalogueEntries(table)
    entries.apply(0, 1, b"a", None)
    entries.apply(0, 2, b"a", SHOWN)
    assert known(table, "a") == {"a": (True, True, True)}


def test_an_item_for_which_there_was_no_room_is_hidden_once_there_is() -> None:
    table = ItemTable(max_items=1)
    table.index("a")
    CatalogueEntries(table).apply(0, 1, b"b", HIDDEN)
    table.max_items = 2
    assert known(table, "b") == {"b": (False, False, False)}


def test_removed_ids_are_bounded() -> None:
    table = ItemTable(max_items=2)
    for item in "abc":
        table.remove(item)
    assert known(table, "cb") == dict.fromkeys("cb", (False, False, False))


ENTRIES = st.tuples(st.sampled_from("ab"), st.sampled_from([SHOWN, HIDDEN, None, b"{"]))


@given(st.lists(ENTRIES, max_size=8), st.data())
def test_partitions_may_be_read_in_any_order(
    written: list[tuple[str, bytes | None]], data: st.DataObject
) -> None:
    """Each entry is the newest when it is written, to any of three partitions."""
    log: list[Entry] = [
        (data.draw(st.integers(0, 2)), at, item, value) for at, (item, value) in enumerate(written)
    ]
    logs = {number: [entry for entry in log if entry[0] == number] for number in range(3)}
    in_order = ItemTable()
    for entry in log:
        take(CatalogueEntries(in_order), entry)  # the last entry of an item, wherever it lies
    any_order, compacted = ItemTable(), ItemTable()
    entries = CatalogueEntries(any_order)
    entries.several = True
    while any(logs.values()):
        number = data.draw(st.sampled_from([number for number in logs if logs[number]]))
        take(entries, logs[number].pop(0))
    entries = CatalogueEntries(compacted)
    entries.several = True
    newest = {(entry[0], entry[2]): entry for entry in log}
    for entry in newest.values():
        take(entries, entry)
    assert known(any_order, "ab") == known(compacted, "ab") == known(in_order, "ab")


def take(entries: CatalogueEntries, entry: Entry) -> None:
    number, at, item, value = entry
    entries.apply(number, at, item.encode(), value)
