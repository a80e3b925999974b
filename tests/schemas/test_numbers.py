"""Money in texts: events, catalogue entries and files read it alike, or all leave it out."""

import json

import polars as pl
import pytest

from ops.event_files.numbers import read_numbers
from schemas.events.catalogue_entry import read_entry
from schemas.events.codec import EventDecoder
from schemas.events.contract import Contract
from schemas.events.numbers import read_number

READ = {
    "19.90": 19.9, "1e3": 1000.0, "5\n": 5.0, ".50": 0.5, "$.50": 0.5, "0,500": 0.5,
    "$5": 5.0, "19,90": 19.9, "19,90 eur": 19.9, "EUR 19.90": 19.9, "5 AED": 5.0, "A$5": 5.0,
    "Rs. 500": 500.0, "500円": 500.0, "￥500": 500.0, "5 000 руб.": 5000.0, "500,-": 500.0,
    "1'299.00": 1299.0, "CHF 1’299.–": 1299.0, "1\u00a0299,00 €": 1299.0, "1\u2009299,00": 1299.0,
    "1,29,900.00": 129_900.0, "₹1,29,900": 129_900.0, "1.299,5": 1299.5, "1,299,000": 1_299_000.0,
}  # fmt: skip
BELOW_ZERO = {"(12.00)": -12.0, "-$5": -5.0, "$-5": -5.0, "12.00-": -12.0, "\u221212.00": -12.0}
LEFT_OUT = (
    "1,299", "1.299 €", "$1,299", "20%", "1_000", "1 2", "1'2", "1,2,3", "5-10", "0x10", "NaN",
    "inf", "1e31", "+-5", "(-5)", "free", "١٩٫٩٠", "1,29,90", "5¢",
)  # fmt: skip


def in_an_event(text: str) -> tuple[float, tuple[str, ...]]:
    value = {"messageId": "m", "userId": "u", "event": "e", "properties": {"price": text}}
    row = EventDecoder(Contract()).decode(json.dumps(value).encode())
    return row.items[0][1], row.left_out


@pytest.mark.parametrize(("text", "number"), [*READ.items(), *BELOW_ZERO.items()])
def test_money_is_read_alike_everywhere(text: str, number: float) -> None:
    assert in_an_event(text) == (number, ())
    assert read_numbers(pl.Series([text])).values.to_list() == [number]
    entry = read_entry(json.dumps({"price": text}).encode())
    # A price below zero is none.
    assert (entry.price, entry.left_out) == ((number, ()) if number >= 0 else (None, ("price",)))


@pytest.mark.parametrize("text", LEFT_OUT)
def test_what_has_no_single_reading_is_left_out_everywhere(text: str) -> None:
    assert in_an_event(text) == (0.0, ("amount",))
    assert read_entry(json.dumps({"price": text}).encode()).left_out == ("price",)
    found = read_numbers(pl.Series([text]))
    assert found.unread.to_list() == [True]
    assert found.why


@pytest.mark.parametrize(
    ("column", "numbers"),
    [
        (["1.299", "19,90"], [1299.0, 19.9]),
        (["1.299 €", "19,90 €", "7"], [1299.0, 19.9, 7.0]),
        (["1.299 €", "19.90 €"], [1.299, 19.9]),
        (["1,299", "19.90"], [1299.0, 19.9]),
        (["1,299", "1.5", "2,25"], [None, 1.5, 2.25]),
        (["1,299.00", "1.299,00"], [1299.0, 1299.0]),
    ],
)
def test_a_column_settles_what_a_value_leaves_open(
    column: list[str], numbers: list[float | None]
) -> None:
    assert read_numbers(pl.Series(column)).values.to_list() == numbers


def test_a_text_of_a_million_digits_is_no_work() -> None:
    assert read_number("1" * 1_000_000 + "x") is None
    assert read_number("1,111" * 200_000 + "x") is None
