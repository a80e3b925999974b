"""From views to carts, payments and orders; sign-ins, searches and complaints around them."""

from __future__ import annotations

import numpy as np
import polars as pl

from ops.simulator.shop import DAY_S, Shop
from ops.simulator.visits import Visits

CART_RATE = 0.12


def carts(
    rng: np.random.Generator, shop: Shop, visits: Visits, seen: pl.DataFrame, rate: float
) -> pl.DataFrame:
    """The views that end in the cart, once per session and item; about `rate` of them."""
    user = visits.user[seen["session"].to_numpy()]
    liked = (shop.category[seen["item"].to_numpy()][:, None] == shop.tastes[user][:, :2]).any(
        axis=1
    )
    chance = rate * shop.buys[user] * np.where(liked, 1.2, 0.5)
    picked = seen.filter(rng.random(len(seen)) < chance).unique(
        ["session", "item"], keep="first", maintain_order=True
    )
    return picked.with_columns(
        time_s=pl.col("time_s") + pl.Series(rng.uniform(4.0, 25.0, len(picked))),
        quantity=pl.Series(1 + rng.poisson(0.2, len(picked)), dtype=pl.Float64),
        price=pl.Series(shop.price[picked["item"].to_numpy()]),
    )


def orders(
    rng: np.random.Generator, shop: Shop, visits: Visits, cart: pl.DataFrame
) -> pl.DataFrame:
    """Sessions that check out: one row per order, with its payment."""
    found = cart.group_by("session", maintain_order=True).agg(
        pl.col("time_s").max(), amount=(pl.col("price") * pl.col("quantity")).sum().round(2)
    )
    session = found["session"].to_numpy()
    user = visits.user[session]
    chance = np.clip(
        0.62 * (0.6 + 0.5 * shop.mood[user]) * (1 - 0.6 * visits.fading[session]), 0, 1
    )
    found = found.filter(rng.random(len(found)) < chance)
    user = visits.user[found["session"].to_numpy()]
    away = rng.integers(0, shop.terminals, len(found))
    at_home = rng.random(len(found)) < 0.8
    return found.with_columns(
        time_s=pl.col("time_s") + pl.Series(rng.uniform(40.0, 240.0, len(found))),
        user=pl.Series(user),
        device=pl.Series(visits.device[found["session"].to_numpy()]),
        terminal=pl.Series(np.where(at_home, shop.home_terminal[user], away)),
        order=pl.Series(np.arange(len(found))),
    )


def around(
    rng: np.random.Generator, shop: Shop, visits: Visits, cart: pl.DataFrame, order: pl.DataFrame
) -> list[pl.DataFrame]:
    """Every other event of a session, one frame per name."""
    lines = cart.join(order.select("session", "order", paid_s="time_s"), on="session", how="left")
    bought = lines.filter(pl.col("order").is_not_null())
    left = lines.filter(pl.col("order").is_null())
    removed = left.filter(rng.random(len(left)) < 0.15)
    sessions = np.arange(len(visits.user))
    contact = 0.01 + 0.06 * (1 - shop.mood[visits.user]) + 0.7 * visits.fading

    def some(chance: float | np.ndarray, wait_s: float) -> pl.DataFrame:
        index = sessions[rng.random(len(sessions)) < chance]
        return pl.DataFrame({"session": index, "time_s": visits.start_s[index] + wait_s})

    return [
        some(0.2, -8.0).with_columns(event=pl.lit("Signed In")),
        some(0.25, -3.0).with_columns(event=pl.lit("Products Searched"), query=pl.lit(True)),
        some(contact, 95.0).with_columns(event=pl.lit("Support Ticket Opened")),
        cart.with_columns(event=pl.lit("Product Added")),
        removed.with_columns(event=pl.lit("Product Removed"), time_s=pl.col("time_s") + 60.0),
        bought.with_columns(event=pl.lit("Order Completed"), time_s=pl.col("paid_s") + 1.0),
        _cancelled(rng, visits, bought),
        _unsubscribed(rng, shop, visits),
        _first_visits(visits),
    ]


def _cancelled(rng: np.random.Generator, visits: Visits, bought: pl.DataFrame) -> pl.DataFrame:
    chance = 0.008 + 0.15 * visits.fading[bought["session"].to_numpy()]
    back = bought.filter(rng.random(len(bought)) < chance)
    wait_s = rng.uniform(0.05, 2.0, len(back)) * DAY_S
    return back.with_columns(
        event=pl.lit("Order Cancelled"), time_s=pl.col("paid_s") + pl.Series(wait_s)
    )


def _unsubscribed(rng: np.random.Generator, shop: Shop, visits: Visits) -> pl.DataFrame:
    """Most who quit say so after their last visit; a few say so and come back all the same."""
    last = np.append(visits.user[1:] != visits.user[:-1], True)
    quits = last & np.isfinite(shop.quit_s[visits.user])
    index = np.flatnonzero(rng.random(len(last)) < np.where(quits, 0.6, 0.002))
    wait_s = rng.uniform(1.0, 2.5, len(index)) * 3600
    return pl.DataFrame({"session": index, "time_s": visits.start_s[index] + wait_s}).with_columns(
        event=pl.lit("Subscription Cancelled")
    )


def _first_visits(visits: Visits) -> pl.DataFrame:
    _, first = np.unique(visits.user, return_index=True)
    return pl.DataFrame(
        {
            "session": first,
            "time_s": visits.start_s[first] - 10.0,
            "plan": visits.user[first] % 4 == 0,
        }
    ).with_columns(event=pl.lit(None, pl.String))
