"""The item table and the clock of decayed counters."""

from __future__ import annotations

import numpy as np
import pytest
import xxhash

from streams.counters.decay import MAX_EXPONENT, Decay
from streams.histories.item_table import MIN_CAPACITY, NO_ITEM, ItemTable


def test_an_item_keeps_its_index_while_the_table_grows() -> None:
    table = ItemTable()
    ids = [f"i{i}" for i in range(3 * MIN_CAPACITY)]
    assert table.indices(ids).tolist() == list(range(len(ids)))
    assert table.indices(ids[::-1]).tolist() == list(range(len(ids)))[::-1]
    assert table.ids == ids
    assert len(table.categories) == len(table.prices) == len(table.available) == len(ids)


def test_hashes_are_the_ids_own() -> None:
    table = ItemTable()
    table.index("shoe")
    assert table.hashes.tolist() == [xxhash.xxh3_64_intdigest(b"shoe")]


def test_unknown_items_are_not_added_by_looking() -> None:
    table = ItemTable()
    table.index("a")
    assert table.known(["a", "b"]).tolist() == [0, NO_ITEM]
    assert len(table) == 1


def test_an_empty_id_is_no_item() -> None:
    assert ItemTable().indices(["", None]).tolist() == [NO_ITEM, NO_ITEM]


def test_the_catalogue_says_category_price_and_availability() -> None:
    table = ItemTable()
    table.upsert("a", category="shoes", price=9.5)
    table.upsert("b", category="hats", available=False)
    table.upsert("c", category="shoes")
    table.upsert("d")
    assert table.category_of(np.array([[0, 1], [2, 3], [-1, 0]], np.int32)).tolist() == [
        [0, 1],
        [0, -1],
        [-1, 0],
    ]
    assert table.available.tolist() == [True, False, True, True]
    assert table.prices[0] == 9.5
    assert np.isnan(table.prices[1])


def test_an_upsert_replaces_the_whole_entry() -> None:
    table = ItemTable()
    table.upsert("a", category="shoes", price=9.5, available=False)
    table.upsert("a")
    assert table.categories.tolist() == [-1]
    assert np.isnan(table.prices[0])
    assert table.available.tolist() == [True]


def test_a_tombstone_makes_an_item_unavailable_but_known() -> None:
    table = ItemTable()
    table.upsert("a", category="shoes")
    table.remove("a")
    table.remove("never seen")
    assert table.available.tolist() == [False]
    assert table.index("a") == 0


def test_categories_of_an_empty_table_are_unknown() -> None:
    assert ItemTable().category_of(np.array([-1, -1], np.int32)).tolist() == [-1, -1]


def test_moving_the_landmark_changes_no_value() -> None:
    decay = Decay(100.0)
    decay.renew(0)
    stored = decay.weights(np.array([0, 50]))
    later = int(100 * MAX_EXPONENT) + 60
    before = stored * decay.scale(later)
    moved = stored * decay.renew(later)
    assert decay.landmark_s == later
    assert (moved * decay.scale(later)).tolist() == pytest.approx(before.tolist(), rel=1e-12)


def test_an_event_a_time_constant_old_counts_for_1_over_e() -> None:
    decay = Decay(100.0)
    decay.renew(0)
    value = decay.weights(np.array([0]))[0] * decay.scale(100)
    assert value == pytest.approx(np.exp(-1))
    assert decay.scales(np.array([0, 100])).tolist() == pytest.approx([1.0, np.exp(-1)])
