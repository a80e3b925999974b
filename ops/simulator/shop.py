"""A synthetic shop with known truth: its catalogue, its people, what they like, when they go.

All of it is drawn from one seeded generator; times are seconds after the first day's midnight.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
DAY_S = 86_400.0
CATEGORIES = (
    "Audio", "Baby", "Bags", "Beauty", "Bikes", "Board Games", "Books", "Camping", "Coffee",
    "Computers", "Cookware", "Crafts", "Furniture", "Garden", "Health", "Jewellery", "Lighting",
    "Luggage", "Music", "Office", "Pets", "Phones", "Running", "Shoes", "Tea", "Tools", "Toys",
    "Watches", "Wine", "Yoga",
)  # fmt: skip
_ADJECTIVES = ("Classic", "Compact", "Nordic", "Everyday", "Studio", "Urban", "Heritage", "Light")
_TASTES = 3
_RELATED = 6


@dataclass(frozen=True, slots=True)
class Shop:
    """I items in C categories, U users; the truth a model has to find.

    Attributes
    ----------
    category, price, born_s, gone_s
        (I,): what an item is, costs, when it arrives and when it sells out (inf: never).
    by_category, weight_sum, bounds
        (I,), (I,), (C + 1,): items ordered by category, running sum of their Zipf weights in
        that order, where each category begins.
    related
        (I, R): items people look at after this one.
    tastes, taste_weight
        (U, T): the categories a user likes and the running share of each.
    visits_per_day, buys, mood
        (U,): how often they come, how readily they buy, how content they are (0-1).
    joined_s, quit_s
        (U,): when they first and last may come (inf: they stay).
    hour, home_terminal
        (U,): their usual hour and payment terminal.
    """

    days: float
    category: Ints
    price: Floats
    born_s: Floats
    gone_s: Floats
    by_category: Ints
    weight_sum: Floats
    bounds: Ints
    related: Ints
    tastes: Ints
    taste_weight: Floats
    visits_per_day: Floats
    buys: Floats
    mood: Floats
    joined_s: Floats
    quit_s: Floats
    hour: Floats
    home_terminal: Ints
    terminals: int

    def draw(self, rng: np.random.Generator, category: Ints, now_s: Floats) -> Ints:
        """One item of each category by popularity, of those on sale at `now_s`; all (n,)."""
        edges = np.concatenate(([0.0], self.weight_sum))
        low, high = edges[self.bounds[category]], edges[self.bounds[category + 1]]
        items = np.zeros(len(category), np.int64)
        todo = np.arange(len(category))
        for _ in range(6):  # an item that isn't on sale is drawn again
            at = low[todo] + rng.random(len(todo)) * (high[todo] - low[todo])
            place = np.searchsorted(self.weight_sum, at, side="right")
            items[todo] = self.by_category[np.minimum(place, len(self.by_category) - 1)]
            todo = todo[~self.on_sale(items[todo], now_s[todo])]
        items[todo] = self.by_category[self.bounds[category[todo]]]  # always on sale
        return items

    def on_sale(self, items: Ints, now_s: Floats) -> npt.NDArray[np.bool_]:
        """Whether each item (n,) can be seen at `now_s` (n,)."""
        return (self.born_s[items] <= now_s) & (now_s < self.gone_s[items])

    def title(self, item: int) -> str:
        """A name for people."""
        noun = CATEGORIES[self.category[item] % len(CATEGORIES)].rstrip("s")
        return f"{_ADJECTIVES[item % len(_ADJECTIVES)]} {noun} {item}"


def build(rng: np.random.Generator, users: int, items: int, days: float) -> Shop:
    """Draw a shop: Zipf popularity, lognormal prices and activity, hazards of quitting."""
    return Shop(days=days, **_catalogue(rng, items, days), **_people(rng, users, items, days))


def _categories(items: int) -> int:
    return int(np.clip(items // 25, 1, len(CATEGORIES)))


def _catalogue(rng: np.random.Generator, items: int, days: float) -> dict[str, Any]:
    count = _categories(items)
    category = np.concatenate((np.arange(count), rng.integers(0, count, items - count)))
    weight = 1.0 / (1.0 + rng.permutation(items)) ** 0.8
    base = np.exp(rng.normal(3.3, 0.8, count))
    born = np.where(rng.random(items) < 0.15, rng.uniform(0.05, 0.95, items) * days * DAY_S, 0.0)
    gone = np.where(rng.random(items) < 0.03, rng.uniform(0.5, 1.0, items) * days * DAY_S, np.inf)
    by_category = np.lexsort((np.arange(items), category))
    bounds = np.searchsorted(category[by_category], np.arange(count + 1))
    always = by_category[bounds[:-1]]
    born[always], gone[always] = 0.0, np.inf
    size = bounds[category + 1] - bounds[category]
    within = (rng.random((items, _RELATED)) * size[:, None]).astype(np.int64)
    return {
        "category": category,
        "price": (base[category] * np.exp(rng.normal(0, 0.35, items))).round(2) + 0.99,
        "born_s": born,
        "gone_s": gone,
        "by_category": by_category,
        "weight_sum": np.cumsum(weight[by_category]),
        "bounds": bounds,
        "related": by_category[bounds[category][:, None] + within],
    }


def _people(rng: np.random.Generator, users: int, items: int, days: float) -> dict[str, Any]:
    count = _categories(items)
    liking = 1.0 / (1.0 + np.arange(count)) ** 0.5  # some categories have more friends
    tastes = rng.choice(count, size=(users, _TASTES), p=liking / liking.sum())
    share = rng.dirichlet((2.0, 1.0, 0.5), users)
    mood = rng.beta(3.0, 1.5, users)
    joined = np.where(rng.random(users) < 0.6, 0.0, rng.random(users) * 0.9 * days * DAY_S)
    hazard_per_day = 0.007 * np.exp(3.0 * (0.55 - mood)) * rng.gamma(2.0, 0.5, users)
    leaves = joined + (3.0 + rng.exponential(1.0 / hazard_per_day)) * DAY_S
    terminals = max(12, users // 40)
    return {
        "tastes": tastes,
        "taste_weight": np.cumsum(share, axis=1),
        "visits_per_day": np.exp(rng.normal(0.0, 0.6, users)),
        "buys": np.exp(rng.normal(0.0, 0.5, users)) * (0.5 + 0.7 * mood),
        "mood": mood,
        "joined_s": joined,
        "quit_s": np.where(leaves < days * DAY_S, leaves, np.inf),
        "hour": np.where(rng.random(users) < 0.35, 12.5, 20.0) + rng.normal(0, 1.5, users),
        "home_terminal": rng.integers(0, terminals, users),
        "terminals": terminals,
    }
