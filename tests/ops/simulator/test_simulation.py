"""The synthetic shop: the same for one seed, and its truth can be found in its events."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest

from ops.publish.segment import records
from ops.simulator.simulation import START_MS, Simulation, simulate_events
from schemas.events.codec import EventDecoder
from schemas.events.contract import Contract
from schemas.events.kinds import Kind

DAY_MS = 86_400_000


@pytest.fixture(scope="module")
def shop() -> Simulation:
    return simulate_events(7, users=600, items=300, days=90, events=40_000)


def test_one_seed_gives_one_shop_and_another_gives_another(shop: Simulation) -> None:
    again = simulate_events(7, users=600, items=300, days=90, events=40_000)
    other = simulate_events(8, users=600, items=300, days=90, events=40_000)
    assert shop.events.equals(again.events)
    assert shop.truth.equals(again.truth)
    assert shop.catalogue.equals(again.catalogue)
    assert not set(shop.events["message_id"]) & set(other.events["message_id"])


@pytest.mark.parametrize(
    ("users", "items", "days", "events"), [(10, 10, 1.0, 7), (300, 40, 30.0, 3_000)]
)
def test_the_number_of_events_is_exact(users: int, items: int, days: float, events: int) -> None:
    made = simulate_events(1, users, items, days, events).events
    assert len(made) == events
    assert made["time_ms"].is_sorted()
    assert made["time_ms"].is_between(START_MS, START_MS + days * DAY_MS).all()
    assert made["message_id"].n_unique() == events


def test_every_event_is_one_the_worker_knows(shop: Simulation) -> None:
    decoder = EventDecoder(Contract())
    encoded = records(shop.events, "events")
    rows = [decoder.decode(value) for value in encoded.values]
    assert all(row.known_name for row in rows)
    kinds = {Kind(row.kind) for row in rows}
    assert kinds >= set(Kind) - {Kind.PAD, Kind.RATE, Kind.OTHER}
    assert 250 < np.mean([len(value or b"") for value in encoded.values]) < 450


def test_no_event_tells_the_truth(shop: Simulation) -> None:
    assert not [name for name in shop.events.columns if "scenario" in name or "fraud" in name]
    paid = shop.events.filter(event="Payment Made")
    assert paid["properties.payment_id"].null_count() == len(paid)


def test_each_confirmation_names_a_fraudulent_payment_one_to_seven_days_earlier(
    shop: Simulation,
) -> None:
    frauds = shop.truth.filter(kind="fraud")
    labels = shop.events.filter(event="Fraud Confirmed").join(
        frauds, left_on="properties.payment_id", right_on="message_id", suffix="_paid"
    )
    assert len(labels) == (shop.events["event"] == "Fraud Confirmed").sum()
    delay = labels["time_ms"] - labels["time_ms_paid"]
    assert delay.is_between(DAY_MS, 7 * DAY_MS).all()
    assert len(frauds) > 0.5 * len(labels)


def test_terminals_and_devices_give_frauds_away(shop: Simulation) -> None:
    frauds = shop.truth.filter(kind="fraud").select("message_id", "scenario")
    paid = shop.events.filter(event="Payment Made").join(frauds, on="message_id", how="left")
    fraud = pl.col("scenario").is_not_null()
    share = paid.select(fraud.mean()).item()
    week = pl.col("time_ms") // (7 * DAY_MS)
    by_terminal = paid.group_by("properties.terminal_id", week).agg(pl.len(), share=fraud.mean())
    by_terminal = by_terminal.filter(pl.col("len") >= 5)
    stolen = paid.filter(scenario="takeover")
    users_per_device = stolen.group_by("context.device.id").agg(pl.col("user_id").n_unique())
    assert 0.01 < share < 0.2
    assert by_terminal["share"].max() > 5 * share  # type: ignore[operator]
    assert users_per_device["user_id"].mean() > 2  # type: ignore[operator]
    ordinary = paid.filter(~fraud)["properties.amount"].median()
    assert stolen["properties.amount"].median() > 1.5 * ordinary  # type: ignore[operator]


def test_who_quits_comes_no_more_and_came_less_before(shop: Simulation) -> None:
    quits = shop.truth.filter(kind="quit").select("user_id", quit_ms="time_ms")
    theirs = shop.events.filter(pl.col("event") == "Product Viewed").join(quits, on="user_id")
    before = theirs.select((pl.col("quit_ms") - pl.col("time_ms")) / DAY_MS).to_series()
    assert (before > -1).all()  # a last visit may end on the day of quitting
    last = before.is_between(0, 7).sum() / 7
    usual = before.is_between(21, 35).sum() / 14
    assert last < 0.7 * usual


def test_tastes_last(shop: Simulation) -> None:
    viewed = shop.events.filter(event="Product Viewed").with_columns(
        late=pl.col("time_ms") > START_MS + 45 * DAY_MS
    )
    favourite = (
        viewed.group_by("user_id", "late")
        .agg(pl.len().alias("n"), pl.col("properties.category").mode(maintain_order=True).first())
        .filter(pl.col("n") >= 10)
        .pivot("late", index="user_id", values="properties.category")
        .drop_nulls()
    )
    kept = (favourite["true"] == favourite["false"]).mean()
    assert isinstance(kept, float)
    assert kept > 0.4  # a dozen categories: one in twelve by chance


def test_items_are_in_the_catalogue_before_anybody_sees_them(shop: Simulation) -> None:
    arrived = shop.catalogue.filter(pl.col("available")).select("item_id", came_ms="time_ms")
    seen = shop.events.filter(pl.col("properties.product_id").is_not_null()).join(
        arrived, left_on="properties.product_id", right_on="item_id", how="left"
    )
    assert seen["came_ms"].null_count() == 0
    assert (seen["time_ms"] >= seen["came_ms"]).all()
    assert (shop.catalogue["time_ms"] > START_MS + DAY_MS).any()


def test_the_messages_are_plain_segment(shop: Simulation) -> None:
    value = records(shop.events.filter(event="Payment Made").head(1), "events").values[0]
    message = json.loads(value or b"")
    assert set(message) == {
        "messageId", "type", "userId", "event", "timestamp", "properties", "context",
    }  # fmt: skip
    assert set(message["context"]) == {"device", "ip", "library", "locale"}
    assert {"amount", "terminal_id", "payment_method"} <= set(message["properties"])
