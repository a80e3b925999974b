"""Simulate a shop: its events, its catalogue and the truth behind them, from one seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
import xxhash

from ops.simulator import fraud, orders
from ops.simulator.shop import CATEGORIES, Ints, Shop, build
from ops.simulator.visits import views, visits

START_MS = 1_736_121_600_000  # 2025-01-06, a Monday: never in anybody's future
_MARGIN = 1.06
_FEWEST = 500  # a smaller world may happen to be empty


@dataclass(frozen=True, slots=True)
class Simulation:
    """One simulated span of a shop.

    Attributes
    ----------
    events
        Event frame (see `ops.publish.segment`), sorted by time.
    catalogue
        Item upserts by time (`time_ms`, `item_id`, `title`, `category`, `tags`, `price`,
        `available`).
    truth
        `kind` (quit, fraud), `user_id`, `message_id` (of the payment), `time_ms` (of the last
        possible visit, of the payment) and `scenario` (of the fraud). Never published.
    """

    events: pl.DataFrame
    catalogue: pl.DataFrame
    truth: pl.DataFrame


def simulate_events(
    seed: int,
    users: int = 1_000,
    items: int = 1_000,
    days: float = 90.0,
    events: int = 80_000,
    cart_rate: float = orders.CART_RATE,
) -> Simulation:
    """Simulate exactly `events` events over about `days` days.

    `cart_rate` is about the share of views that end in the cart; the default makes a small shop
    with plenty to learn from, real ones have some 0.03.

    Examples
    --------
    >>> shop = simulate_events(seed=1, users=50, items=40, days=20, events=500)
    >>> len(shop.events), shop.events.equals(simulate_events(1, 50, 40, 20, 500).events)
    (500, True)
    """
    asked = max(events, _FEWEST) * _MARGIN
    while True:
        rng = np.random.default_rng([seed, users, items])
        shop = build(rng, users, items, days)
        happened = _happened(rng, shop, round(asked), cart_rate)
        if len(happened) >= events:
            break
        asked *= max(1.05, events / max(len(happened), 1))
    happened = happened.head(events).with_row_index("at")
    arguments = f"{seed}/{users}/{items}/{days}/{events}"
    if cart_rate != orders.CART_RATE:
        arguments += f"/{cart_rate}"
    run = xxhash.xxh32_hexdigest(arguments.encode())  # other arguments, other message ids
    return Simulation(_messages(happened, shop, run), _catalogue(shop), _truth(happened, shop, run))


def _happened(rng: np.random.Generator, shop: Shop, events: int, cart_rate: float) -> pl.DataFrame:
    """Every event as numbers, in the order of time."""
    visit = visits(rng, shop, events)
    seen = views(rng, shop, visit)
    cart = orders.carts(rng, shop, visit, seen, cart_rate)
    order = orders.orders(rng, shop, visit, cart)
    others = orders.around(rng, shop, visit, cart, order)
    stolen = fraud.takeovers(rng, shop, visit.user, visit.start_s)
    paid = pl.concat([fraud.at_terminals(rng, shop, order), stolen], how="diagonal_relaxed")
    paid = paid.with_columns(event=pl.lit("Payment Made"), payment=pl.int_range(pl.len()))
    in_sessions = pl.concat(
        [seen.with_columns(event=pl.lit("Product Viewed")), *others], how="diagonal"
    )
    index = in_sessions["session"].to_numpy()
    in_sessions = in_sessions.with_columns(
        user=pl.Series(visit.user[index]), device=pl.Series(visit.device[index])
    )
    everything = pl.concat(
        [in_sessions, paid, fraud.confirmations(rng, paid)], how="diagonal_relaxed"
    )
    inside = pl.col("time_s").is_between(0.0, shop.days * 86_400)
    return everything.filter(inside).sort("time_s", maintain_order=True)


def _message_id(run: str) -> pl.Expr:
    return pl.format(f"sim-{run}-{{}}", pl.col("at").cast(pl.String).str.zfill(7))


def _user_id(column: str = "user") -> pl.Expr:
    return pl.format("user-{}", column)


def _time_ms(column: str = "time_s") -> pl.Expr:
    return START_MS + (pl.col(column) * 1000).cast(pl.Int64)


def _messages(happened: pl.DataFrame, shop: Shop, run: str) -> pl.DataFrame:
    """The events as Segment's trackers would send them."""
    payments = happened.filter(event="Payment Made").select(
        confirms="payment", payment_id=_message_id(run)
    )
    frame = happened.join(payments, on="confirms", how="left", maintain_order="left")
    item = frame["item"].fill_null(0).to_numpy()
    about = pl.DataFrame(
        {"category": _category_names(shop, item), "list_price": shop.price[item].round(2)}
    )
    has_item, paying = pl.col("item").is_not_null(), pl.col("event") == "Payment Made"
    usual_address = pl.col("user") * 2_654_435_761 % 4_294_967_296
    device = (pl.col("device") * 2_654_435_761 + 97) % 1_099_511_627_776
    address = pl.when(pl.col("device") >= 0).then(usual_address).otherwise(device)
    columns = {  # a format of null is null, and a null is left out of the message
        "message_id": _message_id(run),
        "user_id": _user_id(),
        "event": pl.col("event"),
        "time_ms": _time_ms(),
        "properties.product_id": pl.format("item-{}", "item"),
        "properties.category": pl.when(has_item).then("category"),
        "properties.price": pl.when(has_item).then("list_price"),
        "properties.quantity": pl.col("quantity"),
        "properties.query": pl.when("query").then(pl.format("gift {}", pl.col("user") % 97)),
        "properties.order_id": pl.format("order-{}", "order"),
        "properties.amount": pl.col("amount"),
        "properties.payment_id": pl.col("payment_id"),
        "properties.terminal_id": pl.format("terminal-{}", "terminal"),
        "properties.payment_method": pl.when(paying).then(pl.format("card-{}", "user")),
        "traits.plan": pl.col("plan").replace_strict({True: "plus", False: "basic"}, default=None),
        "context.device.id": pl.format("device-{}", device),
        "context.ip": pl.format(
            "10.{}.{}.{}", address // 65_536 % 256, address // 256 % 256, address % 256
        ),
        "context.library.name": pl.lit("analytics.js"),
        "context.library.version": pl.lit("2.11.1"),
        "context.locale": pl.lit("en-GB"),
    }
    return pl.concat([frame, about], how="horizontal").select(**columns)


def _category_names(shop: Shop, item: Ints) -> list[str]:
    return [CATEGORIES[c % len(CATEGORIES)] for c in shop.category[item].tolist()]


def _catalogue(shop: Shop) -> pl.DataFrame:
    """Each item when it arrives, and again, unavailable, when it sells out."""
    index = np.arange(len(shop.price))
    arrive = pl.DataFrame({"item": index, "time_s": shop.born_s, "available": True})
    sold = np.flatnonzero(np.isfinite(shop.gone_s))
    gone = pl.DataFrame({"item": sold, "time_s": shop.gone_s[sold], "available": False})
    rows = pl.concat([arrive, gone]).sort("time_s", maintain_order=True)
    items = rows["item"].to_numpy()
    category = _category_names(shop, items)
    return rows.select(
        time_ms=_time_ms(),
        item_id=pl.format("item-{}", "item"),
        title=pl.Series([shop.title(int(item)) for item in items]),
        category=pl.Series(category),
        tags=pl.Series([[name.lower()] for name in category]),
        price=pl.Series(shop.price[items].round(2)),
        available="available",
    )


def _truth(happened: pl.DataFrame, shop: Shop, run: str) -> pl.DataFrame:
    last_s = float(happened["time_s"][-1])
    gone = np.flatnonzero(shop.quit_s <= last_s)
    quits = pl.DataFrame({"user": gone, "time_s": shop.quit_s[gone]}).select(
        kind=pl.lit("quit"), user_id=_user_id(), message_id=pl.lit(None, pl.String),
        time_ms=_time_ms(), scenario=pl.lit(None, pl.String),
    )  # fmt: skip
    frauds = happened.filter(pl.col("scenario").is_not_null()).select(
        kind=pl.lit("fraud"), user_id=_user_id(), message_id=_message_id(run),
        time_ms=_time_ms(), scenario="scenario",
    )  # fmt: skip
    return pl.concat([quits, frauds])
