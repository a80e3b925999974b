"""What an entry of the catalogue says, however its publisher wrote it."""

from __future__ import annotations

import json
import warnings
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import Reason, RejectedRecord
from schemas.events.catalogue_entry import FIELDS, Entry, read_entry, read_item_id
from schemas.events.messages import ItemUpsert
from streams.catalogue.entries import CatalogueEntries
from streams.histories.item_table import ItemTable


def read(value: Any) -> Entry:
    return read_entry(value if type(value) is bytes else json.dumps(value).encode())


@pytest.mark.parametrize(
    "value",
    [
        False, 0, 0.0, -1, "false", "False", " FALSE ", "no", "No", "n", "f", "off", "0", "0.0",
        "-3",
        "unavailable", "out of stock", "out_of_stock", "OUT-OF-STOCK", "OutOfStock", "sold out",
        "discontinued", "https://schema.org/OutOfStock", "http://schema.org/Discontinued",
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["available", "availability", "Available", "in_stock", "inStock"])
def test_whatever_says_no_hides_the_item(name: str, value: Any) -> None:
    assert read({"title": "x", "category": "c", name: value}) == Entry("c", None, False)


@pytest.mark.parametrize(
    "value",
    [
        True, 1, 5, 0.5, 10**400, "true", "TRUE", "yes", "Y", "on", "1", "12", "in stock",
        "in_stock", "InStock", "preorder", "pre-order", "backorder", "https://schema.org/InStock",
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["available", "availability", "is_available", "stock_status"])
def test_whatever_says_yes_shows_it(name: str, value: Any) -> None:
    digits = b"1" + b"0" * 400
    written = digits if value == 10**400 else json.dumps(value).encode()
    assert read(b'{"category":"c","%s":%s}' % (name.encode(), written)) == Entry("c")


@pytest.mark.parametrize(
    "written", ['""', '"  "', '"perhaps"', '"nein"', "[]", "[true]", "{}", '{"value":true}', "NaN"]
)
def test_an_availability_that_cant_be_read_hides_it_and_is_left_out(written: str) -> None:
    assert read(b'{"available":%s}' % written.encode()) == Entry(None, None, False, ("available",))


@pytest.mark.parametrize("written", ["{}", '{"available":null}', '{"title":"out of stock"}'])
def test_an_entry_that_doesnt_say_shows_it(written: str) -> None:
    assert read(written.encode()) == Entry()


@pytest.mark.parametrize("name", ["hidden", "is_hidden", "IsHidden", "isHidden"])
def test_hidden_is_the_opposite(name: str) -> None:
    assert not read({name: True}).available
    assert not read({name: "perhaps"}).available
    assert read({name: False}).available


@pytest.mark.parametrize(
    "fields",
    [
        b'"available":true,"available":false',
        b'"available":false,"available":true',
        b'"available":true,"availability":"out of stock"',
        b'"\\u0061vailable":false,"available":true',
        b'"available":false,"hidden":false',
    ],
)
def test_one_no_is_enough(fields: bytes) -> None:
    assert not read(b"{%s}" % fields).available


@pytest.mark.parametrize(
    "fields",
    [
        {"in_stock": "0"}, {"stock": 0}, {"stock": "0"}, {"stock": -2}, {"quantity": 0},
        {"inventory_quantity": 0}, {"Stock Level": "sold out"}, {"deleted": True},
        {"is_deleted": 1}, {"deleted_at": "2026-11-30T09:26:28Z"}, {"isArchived": True},
        {"active": False}, {"enabled": "false"}, {"is_published": 0}, {"visible": "no"},
        {"status": "archived"}, {"status": "draft"}, {"status": "Out of stock"},
        {"catalog_visibility": "hidden"}, {"discontinued": True}, {"IsHidden": True},
        {"available": True, "deleted": True}, {"availability": "in_stock", "status": "draft"},
        {"offers": {"@type": "Offer", "availability": "https://schema.org/OutOfStock"}},
        {"offers": [{"availability": "SoldOut"}, {"availability": "Discontinued"}]},
        {"variants": [{"inventory_quantity": 0}, {"available": False}]},
    ],
)  # fmt: skip
def test_what_clearly_says_no_by_another_name_hides_it(fields: dict[str, Any]) -> None:
    assert read({"title": "x", **fields}) == Entry(None, None, False)


@pytest.mark.parametrize(
    "fields",
    [
        {"stock": 3}, {"stock": {"berlin": 0}}, {"stock": "perhaps"}, {"quantity": None},
        {"deleted": False}, {"deleted_at": None}, {"deleted_at": "0000-00-00 00:00:00"},
        {"deleted": "perhaps"}, {"active": True}, {"status": "active"}, {"status": "publish"},
        {"status": 2}, {"visible": []}, {"offers": []}, {"offers": "none"}, {"variants": [1]},
        {"availability": "preorder", "stock": 0}, {"available": True, "inventory": 0},
        {"variants": [{"inventory_quantity": 0}, {"inventory_quantity": 2}]},
        {"description": "out of stock, deleted, archived"},
    ],
)  # fmt: skip
def test_a_general_name_that_doesnt_clearly_say_no_shows_it(fields: dict[str, Any]) -> None:
    assert read({"title": "x", **fields}) == Entry()


@pytest.mark.parametrize(
    ("written", "price"),
    [
        ("19.9", 19.9), ("0", 0.0), ('"19.90"', 19.9), ('" 19.90 "', 19.9), ('"1e3"', 1000.0),
        ('"19.90 EUR"', 19.9), ("1e30", 1e30),
    ],
)  # fmt: skip
def test_prices_that_are_read(written: str, price: float) -> None:
    assert read(b'{"price":%s}' % written.encode()) == Entry(None, price)


@pytest.mark.parametrize(
    "written",
    [
        "1e39", "1e999", "-1e39", "NaN", "Infinity", "-Infinity", "-1", "true", '"1,299"',
        '"1.299 €"', '"20%"', '"(5.00)"',
        '"1_000"', '"free"', '""', "[1]", '{"amount":1}', '"NaN"', '"1e39"', "1" * 5_000,
        f'"{"1" * 5_000}"', '"١٩"',
    ],
)  # fmt: skip
def test_prices_that_are_left_out(written: str) -> None:
    assert read(b'{"available":false,"price":%s}' % written.encode()) == Entry(
        None, None, False, ("price",)
    )


@pytest.mark.parametrize(
    ("written", "category"),
    [('"shoes"', "shoes"), ('["shoes"]', "shoes"), ("7", "7"), ('""', None)],
)
def test_categories_that_are_read(written: str, category: str | None) -> None:
    assert read(b'{"category":%s}' % written.encode()) == Entry(category)


@pytest.mark.parametrize(
    "written",
    [
        '["a","b"]',
        "[]",
        "{}",
        "true",
        "1.5",
        '"caf\xe9"',
        '"cut \\ud83d"',
        f'"{"x" * 513}"',
        "[[1]]",
    ],
)
def test_categories_that_are_left_out(written: str) -> None:
    value = b'{"category":%s,"available":false}' % written.encode("latin-1")
    assert read(value) == Entry(None, None, False, ("category",))


@pytest.mark.parametrize(
    "rest",
    [
        b'"tags":null',
        b'"title":null', b'"title":5', b'"title":"caf\xe9"', b'"title":"cut \\ud83d"',
        b'"embedding":"no"', b'"tags":{"a":[{}]}', b'"deep":' + b"[" * 200 + b"]" * 200,
    ],
)  # fmt: skip
def test_fields_nobody_reads_may_be_anything(rest: bytes) -> None:
    assert read(b'{%s,"price":2,"available":false}' % rest) == Entry(None, 2.0, False)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"", Reason.MALFORMED_JSON), (b"{", Reason.MALFORMED_JSON), (b"x", Reason.MALFORMED_JSON),
        (b"[" * 100_000, Reason.MALFORMED_JSON), ("{}".encode("utf-16"), Reason.MALFORMED_JSON),
        (b"\x00\x00\x00\x00\x01{}", Reason.MALFORMED_JSON),
        (b"null", Reason.WRONG_TYPE), (b"[]", Reason.WRONG_TYPE), (b'"x"', Reason.WRONG_TYPE),
        (b"1", Reason.WRONG_TYPE), (b'[["available",false]]', Reason.WRONG_TYPE),
    ],
)  # fmt: skip
def test_what_is_no_object_is_refused(value: bytes, reason: Reason) -> None:
    with pytest.raises(RejectedRecord) as refused:
        read_entry(value)
    assert refused.value.reason is reason


def test_a_byte_order_mark_is_read_over() -> None:
    assert read(b'\xef\xbb\xbf{"price":2,"available":false}') == Entry(None, 2.0, False)


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        (None, Reason.MISSING_ITEM_ID), (b"", Reason.MISSING_ITEM_ID),
        (b"caf\xe9", Reason.INVALID_UTF8), (b"x" * 513, Reason.WRONG_TYPE),
    ],
)  # fmt: skip
def test_keys_that_name_no_item(key: bytes | None, reason: Reason) -> None:
    with pytest.raises(RejectedRecord) as refused:
        read_item_id(key)
    assert refused.value.reason is reason


WHOLE = st.characters(exclude_characters="\ufffd", exclude_categories=["Cs"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=4,
)


@given(st.dictionaries(st.sampled_from(["title", "tags", "available", *FIELDS, "stock"]), JSON))
def test_any_object_is_read_and_fits_the_table(fields: dict[str, Any]) -> None:
    entry = read(fields)
    assert entry.price is None or 0 <= entry.price <= 1e30
    assert set(entry.left_out) <= {name for name in FIELDS if fields.get(name) is not None}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = ItemTable()
        table.upsert("a", category=entry.category, price=entry.price, available=entry.available)
    assert np.isfinite(table.prices[0]) or entry.price is None


@given(
    st.builds(
        ItemUpsert,
        title=st.none() | st.text(max_size=9),
        category=st.none() | st.text(WHOLE, min_size=1, max_size=20),
        tags=st.lists(st.text(max_size=9)),
        price=st.none() | st.floats(0, 1e30),
        available=st.booleans(),
    )
)  # fmt: skip
def test_what_the_contract_has_is_read_as_it_is(sent: ItemUpsert) -> None:
    value = msgspec.json.encode(sent)
    assert read_entry(value) == Entry(sent.category, sent.price, sent.available)


def test_an_entry_that_cant_be_read_hides_its_item() -> None:
    """What it replaces may have been compacted away, so that one can't count."""
    for value in (b"{", b"null", None):
        live, restarted = ItemTable(), ItemTable()
        entries = CatalogueEntries(live)
        entries.apply(0, 1, b"a", b'{"category":"shoes"}')
        entries.apply(0, 2, b"a", value)
        CatalogueEntries(restarted).apply(0, 2, b"a", value)
        for table in (live, restarted):
            index = table.index("a")
            assert (bool(table.available[index]), int(table.categories[index])) == (False, -1)
