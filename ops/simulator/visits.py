"""What people do in the shop: sessions, views, carts, orders, complaints; then they stay or go."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from ops.simulator.shop import DAY_S, Floats, Ints, Shop

FADING_S = 21 * DAY_S
"""For so long before quitting a user comes less, stays shorter and complains more."""

EVENTS_PER_VISIT = 7.2
_MOST_VIEWS = 25


@dataclass(frozen=True, slots=True)
class Visits:
    """S sessions: whose (S,), when (S,), from which of their devices (S,), fading (S,) 0-1."""

    user: Ints
    start_s: Floats
    device: Ints
    fading: Floats


def visits(rng: np.random.Generator, shop: Shop, events: int) -> Visits:
    """Draw sessions so that about `events` events come of them."""
    end_s = np.minimum(shop.quit_s, shop.days * DAY_S)
    active_days = np.maximum(end_s - shop.joined_s, 0.0) / DAY_S
    expected = shop.visits_per_day * active_days
    scale = events / EVENTS_PER_VISIT / expected.sum()
    user = np.repeat(np.arange(len(expected)), rng.poisson(expected * scale))
    moment = shop.joined_s[user] + rng.random(len(user)) * active_days[user] * DAY_S
    hour = (shop.hour[user] + rng.normal(0, 2.5, len(user))) % 24
    start_s = np.floor(moment / DAY_S) * DAY_S + hour * 3600
    fading = np.clip(1 - (shop.quit_s[user] - start_s) / FADING_S, 0.0, 1.0)
    kept = rng.random(len(user)) >= 0.6 * fading
    user, start_s, fading = user[kept], start_s[kept], fading[kept]
    usual = user * 2 + (rng.random(len(user)) < 0.3)
    new = 2 * len(shop.mood) + np.arange(len(user))
    device = np.where(rng.random(len(user)) < 0.01, new, usual)
    order = np.lexsort((start_s, user))
    return Visits(user[order], start_s[order], device[order], fading[order])


def views(rng: np.random.Generator, shop: Shop, visits: Visits) -> pl.DataFrame:
    """Every view, all sessions one step at a time.

    From an item people go on to a related one (.5), another of the session's category (.38),
    another of their tastes (.07) or anything popular (.05); one view in eight is of something
    they saw before.
    """
    sessions = len(visits.user)
    mean = 5.2 - 3.2 * visits.fading
    length = np.minimum(1 + rng.geometric(1 / mean, sessions), _MOST_VIEWS) - (mean < 4)
    intent = _taste(rng, shop, visits.user)
    now = visits.start_s + rng.exponential(5.0, sessions)
    item = shop.draw(rng, intent, now)
    steps = []
    for step in range(int(length.max(initial=0))):
        alive = np.flatnonzero(length > step)
        if step:
            now[alive] += rng.lognormal(3.5, 0.9, len(alive))
            item[alive] = _next_item(
                rng, shop, visits.user[alive], intent[alive], item[alive], now[alive]
            )
        again = rng.random(len(alive)) < (0.13 if step else 0.25)
        steps.append((alive, now[alive], item[alive], again))
    session, time_s, items, again = (np.concatenate(part) for part in zip(*steps, strict=True))
    order = np.lexsort((time_s, visits.user[session]))
    session, time_s, items, again = session[order], time_s[order], items[order], again[order]
    items = items[_seen_before(rng, visits.user[session], again)]
    return pl.DataFrame({"session": session, "time_s": time_s, "item": items})


def _taste(rng: np.random.Generator, shop: Shop, user: Ints) -> Ints:
    which = (rng.random(len(user))[:, None] > shop.taste_weight[user]).sum(axis=1)
    liked: Ints = shop.tastes[user, np.minimum(which, shop.tastes.shape[1] - 1)]
    return liked


def _next_item(
    rng: np.random.Generator, shop: Shop, user: Ints, intent: Ints, item: Ints, now_s: Floats
) -> Ints:
    how = rng.random(len(user))
    category = np.where(how < 0.88, intent, _taste(rng, shop, user))
    popular = np.searchsorted(shop.weight_sum, rng.random(len(user)) * shop.weight_sum[-1])
    anything = shop.category[shop.by_category[popular]]
    following = shop.draw(rng, np.where(how < 0.95, category, anything), now_s)
    place = np.minimum(rng.geometric(0.35, len(user)) - 1, shop.related.shape[1] - 1)
    related = shop.related[item, place]
    return np.where((how < 0.5) & shop.on_sale(related, now_s), related, following)


def _seen_before(rng: np.random.Generator, user: Ints, again: npt.NDArray[np.bool_]) -> Ints:
    """Where the item of each view comes from: itself, or an earlier view of that user."""
    at = np.arange(len(user))
    earlier = at - rng.geometric(0.25, len(user))
    own = again & (earlier >= 0) & (user[np.maximum(earlier, 0)] == user)
    source: Ints = np.where(own, earlier, at)
    for _ in range(8):  # a repeat of a repeat is the first one
        source = source[source]
    return source
